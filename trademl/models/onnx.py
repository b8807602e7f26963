"""Export of trees to ONNX, and the proof that an exported graph scores exactly like its native model.

The graph of trees is one ``TreeEnsembleRegressor`` (ai.onnx.ml 3) over float32. With the model in canonical form
(:mod:`trademl.models.trees`) every sum is exact, so the proof asks for equal bits, not for closeness. The output is the
raw score: predicted label, or log-odds for a binary task. A probability is a calibrator's knots applied to it. With
three classes the trees give three margins, and the graph goes on to ``probabilities`` (:mod:`trademl.models.softmax`)
and to the expected class as ``score``. The proof takes any family's graph, trees or not.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import MissingExtra, ModelError, ParityError
from trademl.models.base import Native, checked_matrix, checked_names
from trademl.models.boundaries import CHUNK_ROWS, boundary_rows, odd_rows, threshold_count, used_features
from trademl.models.onnx_steps import Steps, add_softmax
from trademl.models.runtime import FEATURES_KEY, INPUT, OUTPUT, PROBABILITIES, open_graph
from trademl.models.trees import Ensemble

__all__ = ["ParityReport", "export_trees", "prove_parity"]

# Old enough for every supported onnxruntime, and all that is needed.
_IR_VERSION = 8
_OPSETS = {"": 17, "ai.onnx.ml": 3}

_MARGINS = "margins"

_ALONE = 64
"""Rows scored one by one as well: engines take another route for a single row."""


@dataclass(frozen=True)
class ParityReport:
    """What :func:`prove_parity` compared; latencies in milliseconds, None when not asked for."""

    rows: int
    boundary_rows: int
    thresholds: int
    trees: int
    mismatches: int
    max_abs_difference: float
    native_ms_500_rows: float | None = None
    native_ms_1_row: float | None = None
    onnx_ms_500_rows: float | None = None
    onnx_ms_1_row: float | None = None

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def export_trees(ensemble: Ensemble, feature_names: Sequence[str], path: Path) -> None:
    """Write a canonical ensemble, of one score or three classes as ONNX, atomically; equal ones give equal bytes.

    Raises:
        MissingExtra: onnx is not installed.
        ModelError: a feature name is no plain identifier or occurs twice.
    """
    graph = _graph(ensemble, checked_names(feature_names))
    write_atomic(path, graph.SerializeToString(deterministic=True))


def prove_parity(native: Native, onnx_path: Path, X: NDArray[np.float32], *, latency: bool = False) -> ParityReport:
    """Compare the two files' scores and probabilities, bit by bit, on ``X``, around every threshold and at odd floats.

    Both files are read anew (``native`` by :meth:`BaseModel.native`). A native score is a float64, and has to be the
    very number that the graph gives, which for trees is a float32. ``X`` also lends the boundary rows their free
    features; it needs at least one row.

    Raises:
        ParityError: one row or more differs; the message shows the first.
        ModelError: the graph cannot be read, or ``X`` does not fit the model.
    """
    checked_matrix(X, native.feature_names)
    if len(X) == 0:
        raise ModelError("parity needs at least one row", remedy="give rows of the training matrix")
    session = open_graph(onnx_path)
    recorded = json.loads(session.get_modelmeta().custom_metadata_map.get(FEATURES_KEY, "[]"))
    if tuple(recorded) != native.feature_names:
        raise ModelError(f"{onnx_path} has other features than {native.path}", remedy="export the model again")

    graded = native.probabilities
    outputs = [OUTPUT] if graded is None else [OUTPUT, PROBABILITIES]
    if (PROBABILITIES in [output.name for output in session.get_outputs()]) != (graded is not None):
        raise ModelError(f"{onnx_path} has not the classes of {native.path}", remedy="export the model again")

    def exported(rows: NDArray[np.float32]) -> NDArray[np.floating]:
        return np.concatenate([found.reshape(len(rows), -1) for found in session.run(outputs, {INPUT: rows})], axis=1)

    def scored(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        score = native.score(rows)[:, None]
        return score if graded is None else np.concatenate([score, graded(rows)], axis=1)

    tally = _Tally()
    for rows in _chunks(X):
        tally.compare(rows, scored(rows), exported(rows))
    tally.compare(X[:_ALONE], scored(X[:_ALONE]), _one_by_one(exported, X[:_ALONE]))
    plain = tally.rows
    base = X[: min(len(X), 4096)]
    for rows in _hostile(native, base):
        tally.compare(rows, scored(rows), exported(rows))
    report = ParityReport(
        rows=tally.rows,
        boundary_rows=tally.rows - plain,
        thresholds=threshold_count(native.trees or ()),
        trees=len(native.trees or ()),
        mismatches=tally.mismatches,
        max_abs_difference=tally.max_abs_difference,
    )
    if report.mismatches:
        raise ParityError(
            f"native and ONNX scores differ on {report.mismatches} of {report.rows} rows, by up to "
            f"{report.max_abs_difference:.3g}; first: {tally.first}",
            remedy="export from the canonical form (a model's save and export_onnx write matching files)",
        )
    if not latency:
        return report
    batch = np.ascontiguousarray(np.resize(X, (500, X.shape[1])))
    return replace(
        report,
        native_ms_500_rows=_milliseconds(lambda: scored(batch)),
        native_ms_1_row=_milliseconds(lambda: scored(batch[:1])),
        onnx_ms_500_rows=_milliseconds(lambda: exported(batch)),
        onnx_ms_1_row=_milliseconds(lambda: exported(batch[:1])),
    )


def _hostile(native: Native, base: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the rows on and beside thresholds, and those with odd floats in the features that the model uses."""
    if native.trees is None:
        yield from _chunks(odd_rows(range(base.shape[1]), base))
        return
    yield from boundary_rows(native.trees, base)
    yield from _chunks(odd_rows(range(base.shape[1]) if native.reads_all else used_features(native.trees), base))


class _Tally:
    """Counts rows and differences over many comparisons of outputs, which have one row per row and one column each."""

    def __init__(self) -> None:
        self.rows = 0
        self.mismatches = 0
        self.max_abs_difference = 0.0
        self.first = ""

    def compare(self, rows: NDArray[np.float32], native: NDArray[np.float64], exported: NDArray[np.floating]) -> None:
        wide = exported.astype(np.float64)
        bits = np.ascontiguousarray(native).view(np.uint64) != np.ascontiguousarray(wide).view(np.uint64)
        # NaN has many bit patterns and one meaning; 0.0 and -0.0 are different bits.
        undefined = np.isnan(native) & np.isnan(wide)
        wrong = bits & ~undefined
        if wrong.any():
            at = int(np.argmax(wrong.any(axis=1)))
            told = f"native {native[at].tolist()}, ONNX {exported[at].tolist()}, row {rows[at][:8].tolist()}..."
            self.first = self.first or told
            self.mismatches += int(wrong.any(axis=1).sum())
        self.rows += len(rows)
        with np.errstate(invalid="ignore"):
            apart = np.abs(native - wide)[wrong]
        self.max_abs_difference = max(self.max_abs_difference, float(apart.max(initial=0.0)))


def _chunks(X: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return (X[start : start + CHUNK_ROWS] for start in range(0, len(X), CHUNK_ROWS))


def _one_by_one(
    score: Callable[[NDArray[np.float32]], NDArray[np.floating]], X: NDArray[np.float32]
) -> NDArray[np.floating]:
    return np.concatenate([score(X[at : at + 1]) for at in range(len(X))])


def _milliseconds(call: Callable[[], object], repeats: int = 15) -> float:
    """Return the median wall time of ``call`` after one warm-up."""
    call()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return round(1000 * float(np.median(taken)), 3)


def _graph(ensemble: Ensemble, names: tuple[str, ...]) -> Any:
    """Return the ModelProto: per tree its splits under their own numbers, then its leaves."""
    onnx = _imported("onnx")
    helper, float_type, double_type = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    classes = len(ensemble.constants)
    nodes: dict[str, list[Any]] = {key: [] for key in _NODE_FIELDS}
    target_trees: list[int] = []
    target_nodes: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for number, tree in enumerate(ensemble.trees):
        splits, leaves = len(tree.feature), len(tree.leaf_value)
        no_child, no_value = [0] * leaves, [0.0] * leaves
        nodes["treeids"] += [number] * (splits + leaves)
        nodes["nodeids"] += range(splits + leaves)
        nodes["featureids"] += tree.feature.tolist() + no_child
        nodes["modes"] += ["BRANCH_LEQ"] * splits + ["LEAF"] * leaves
        nodes["values"] += tree.threshold.tolist() + no_value
        nodes["truenodeids"] += _children(tree.left, splits) + no_child
        nodes["falsenodeids"] += _children(tree.right, splits) + no_child
        nodes["missing_value_tracks_true"] += tree.nan_left.astype(int).tolist() + no_child
        targets += [number % classes] * leaves
        target_trees += [number] * leaves
        target_nodes += range(splits, splits + leaves)
        weights += tree.leaf_value.tolist()
    # Written only where there is one, so that a graph without it keeps its bytes.
    constant = {"base_values": list(ensemble.constants)} if any(ensemble.constants) else {}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [OUTPUT if classes == 1 else _MARGINS],
        domain="ai.onnx.ml",
        n_targets=classes,
        aggregate_function="SUM",
        post_transform="NONE",
        target_treeids=target_trees,
        target_nodeids=target_nodes,
        target_ids=targets,
        target_weights=weights,
        **constant,
        **{f"nodes_{key}": values for key, values in nodes.items()},
    )
    steps = Steps(onnx, "softmax")
    outputs = [(OUTPUT, float_type, 1)]
    if classes > 1:
        score, probabilities = add_softmax(steps, steps.add("Cast", _MARGINS, to=double_type))
        steps.name(score, OUTPUT)
        steps.name(probabilities, PROBABILITIES)
        outputs = [(OUTPUT, double_type, 1), (PROBABILITIES, double_type, classes)]
    graph = helper.make_graph(
        [node, *steps.nodes],
        "trademl",
        [helper.make_tensor_value_info(INPUT, float_type, [None, len(names)])],
        [helper.make_tensor_value_info(output, kind, [None, width]) for output, kind, width in outputs],
        steps.constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    model = helper.make_model(graph, producer_name="trademl", opset_imports=opsets, ir_version=_IR_VERSION)
    helper.set_model_props(model, {FEATURES_KEY: json.dumps(names)})
    onnx.checker.check_model(model)
    return model


_NODE_FIELDS = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _children(child: NDArray[np.int64], splits: int) -> list[int]:
    """Turn a tree's ``-1 - leaf`` into the leaf's node number, ``splits + leaf``."""
    numbers: list[int] = np.where(child >= 0, child, splits - 1 - child).tolist()
    return numbers


def _imported(package: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(package, "train") from error
