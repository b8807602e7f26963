"""Blends and whole stacks as one ONNX graph: base models, scaler and meta-learner, the same bits as in numpy.

Each base is the graph that its own family exports, under a prefix and behind a ``Gather`` of its columns. What follows
repeats the operations of :meth:`trademl.models.stacking.blend.Blend.predict` one by one, in float64 (ONNX DOUBLE).
"""

import json
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import MissingExtra, ModelError
from trademl.models.base import BaseModel
from trademl.models.runtime import FEATURES_KEY, INPUT, OUTPUT
from trademl.models.stacking.blend import Blend, sum_in_order
from trademl.models.stacking.meta_ridge import MetaRidge

SCORES = "scores"
"""Input of a blend's own graph."""

_IR_VERSION = 8
_OPSET = 17


def export_stack(
    bases: Sequence[BaseModel],
    columns: Sequence[NDArray[np.int64]],
    blend: Blend,
    feature_names: Sequence[str],
    path: Path,
) -> None:
    """Write the graph from ``features`` (FLOAT, (rows, features)) to ``score`` (DOUBLE, (rows, 1)), atomically.

    Args:
        bases: fitted models, in the order of the blend's inputs.
        columns: for each base, the positions of its features among ``feature_names``.
        blend: what makes one score of theirs.
        feature_names: the stack's features, in order.
        path: the file; equal stacks give equal bytes.

    Raises:
        MissingExtra: onnx is not installed.
        ModelError: a base cannot be exported, or its graph is written in other operator versions than the others.
    """
    graph = _Graph()
    raw = [
        graph.merge(graph.exported(base), f"base_{number}_", graph.add("Gather", INPUT, chosen, axis=1))
        for number, (base, chosen) in enumerate(zip(bases, columns, strict=True))
    ]
    _finish(graph, [graph.add("Cast", score, to=graph.double) for score in raw], blend)
    source = graph.helper.make_tensor_value_info(INPUT, graph.float, [None, len(feature_names)])
    write_atomic(path, graph.serialised(source, {FEATURES_KEY: json.dumps(list(feature_names))}))


def export_blend(blend: Blend, path: Path) -> None:
    """Write the graph from ``scores`` (DOUBLE, (rows, inputs)) to ``score`` (DOUBLE, (rows, 1)), atomically.

    Raises:
        MissingExtra: onnx is not installed.
    """
    graph = _Graph()
    n = len(blend.inputs)
    raw = [graph.add("Gather", SCORES, np.array([number]), axis=1) for number in range(n)]
    _finish(graph, raw, blend)
    source = graph.helper.make_tensor_value_info(SCORES, graph.double, [None, n])
    write_atomic(path, graph.serialised(source, {"trademl.inputs": json.dumps(list(blend.inputs))}))


def export_meta_ridge(bases: Sequence[BaseModel], meta: MetaRidge, feature_names: Sequence[str], path: Path) -> None:
    """Write the graph of base models and features under a ridge regression, from ``features`` (FLOAT, (rows, features))
    to ``score`` (DOUBLE, (rows, 1)), atomically; equal models give equal bytes.

    Every base reads all features. What follows repeats :meth:`MetaRidge.predict` operation by operation.

    Raises:
        MissingExtra: onnx is not installed.
        ModelError: a base cannot be exported.
    """
    graph = _Graph()
    raw = [graph.merge(graph.exported(base), f"base_{number}_", INPUT) for number, base in enumerate(bases)]
    wide = [graph.add("Cast", value, to=graph.double) for value in (INPUT, *raw)]
    inputs = graph.add("Concat", *wide, axis=1)
    means = np.array([meta.means])
    unknown = graph.add("Or", graph.add("IsNaN", inputs), graph.add("IsInf", inputs))
    centred = graph.add("Sub", graph.add("Where", unknown, means, inputs), means)
    products = graph.add("Mul", graph.add("Div", centred, np.array([meta.scales])), np.array([meta.coefficients]))
    columns = [f"product_{number}" for number in range(len(meta.inputs))]
    ones = graph.constant(np.ones(len(columns), dtype=np.int64))
    graph.nodes.append(graph.helper.make_node("Split", [products, ones], columns, axis=1))
    total = columns[0]
    for column in columns[1:]:
        total = graph.add("Add", total, column)
    if meta.intercept:
        total = graph.add("Add", np.array([[meta.intercept]]), total)
    graph.add("Identity", total, output=OUTPUT)
    source = graph.helper.make_tensor_value_info(INPUT, graph.float, [None, len(feature_names)])
    write_atomic(path, graph.serialised(source, {FEATURES_KEY: json.dumps(list(feature_names))}))


def _finish(graph: "_Graph", raw: Sequence[str], blend: Blend) -> None:
    """Add the blend of ``raw`` (DOUBLE, (rows, 1) each, NaN where missing) as the output."""
    missing = [graph.add("IsNaN", score) for score in raw]
    nothing = missing[0]
    for one in missing[1:]:
        nothing = graph.add("And", nothing, one)
    z = [
        graph.add("Div", graph.add("Sub", score, mean), scale)
        for score, mean, scale in zip(raw, blend.means, blend.scales, strict=True)
    ]
    blended = _trees(graph, z, blend) if blend.trees else _linear(graph, z, missing, blend)
    graph.add("Where", nothing, float("nan"), blended, output=OUTPUT)


def _linear(graph: "_Graph", z: Sequence[str], missing: Sequence[str], blend: Blend) -> str:
    sizes = np.abs(np.array(blend.weights))
    products = [
        graph.add("Mul", graph.add("Where", absent, 0.0, value), weight)
        for value, absent, weight in zip(z, missing, blend.weights, strict=True)
    ]
    there = [graph.add("Where", absent, 0.0, size) for absent, size in zip(missing, sizes.tolist(), strict=True)]
    total, present = products[0], there[0]
    for product, size in zip(products[1:], there[1:], strict=True):
        total, present = graph.add("Add", total, product), graph.add("Add", present, size)
    ratio = graph.add("Div", sum_in_order(sizes), present)
    factor = graph.add("Where", graph.add("Greater", present, 0.0), ratio, 1.0)
    blended = graph.add("Mul", total, factor)
    return graph.add("Add", blend.level, blended) if blend.level else blended


def _trees(graph: "_Graph", z: Sequence[str], blend: Blend) -> str:
    narrow = [graph.add("Cast", value, to=graph.float) for value in z]
    rows = graph.add("Concat", *narrow, axis=1)
    return graph.add("Cast", graph.merge(graph.exported(blend.meta), "meta_", rows), to=graph.double)


class _Graph:
    """Nodes and constants, made one operation at a time, and whole graphs merged among them."""

    def __init__(self) -> None:
        try:
            self.onnx: Any = import_module("onnx")
        except ImportError as error:
            raise MissingExtra("onnx", "train") from error
        self.helper = self.onnx.helper
        self.double, self.float = self.onnx.TensorProto.DOUBLE, self.onnx.TensorProto.FLOAT
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opsets: dict[str, int] = {"": _OPSET}

    def constant(self, value: Any) -> str:
        """Return the name of a new constant: a number or an array."""
        name = f"stack_constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operation: str, *inputs: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output; inputs are names, or numbers that become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        name = output or f"stack_value_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operation, names, [name], **attributes))
        return name

    def exported(self, model: BaseModel) -> Any:
        """Return the graph that a model's own family exports."""
        with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
            path = Path(folder) / "model.onnx"
            model.export_onnx(path)
            return self.onnx.load_model_from_string(path.read_bytes())

    def merge(self, model: Any, prefix: str, source: str) -> str:
        """Add a graph with ``prefix`` before its names, reading ``source``; return the name of its score."""
        for opset in model.opset_import:
            if self.opsets.setdefault(opset.domain, opset.version) != opset.version:
                raise ModelError(
                    f"the graph of {prefix.rstrip('_')} is written in operators {opset.domain or 'ai.onnx'} "
                    f"{opset.version}, the others in {self.opsets[opset.domain]}: one graph has one version",
                    remedy="leave this run out of the stack, or export its family in the same version",
                )
        inside = self.onnx.compose.add_prefix(model, prefix).graph
        self.nodes.append(self.helper.make_node("Identity", [source], [inside.input[0].name]))
        self.nodes.extend(inside.node)
        self.constants.extend(inside.initializer)
        return f"{prefix}{OUTPUT}"

    def serialised(self, source: Any, metadata: dict[str, str]) -> bytes:
        """Return the bytes of the checked graph."""
        target = self.helper.make_tensor_value_info(OUTPUT, self.double, [None, 1])
        graph = self.helper.make_graph(self.nodes, "trademl", [source], [target], self.constants)
        opsets = [self.helper.make_opsetid(domain, version) for domain, version in sorted(self.opsets.items())]
        model = self.helper.make_model(graph, producer_name="trademl", opset_imports=opsets, ir_version=_IR_VERSION)
        self.helper.set_model_props(model, metadata)
        self.onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
