"""Export to ONNX and the proof of parity."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError, ParityError
from trademl.models.base import Native
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.models.boosting.lightgbm_text import canonicalise, ensemble_of, parse
from trademl.models.boundaries import ODD_VALUES
from trademl.models.onnx import export_trees, prove_parity
from trademl.models.runtime import INPUT, OUTPUT, open_graph
from trademl.models.trees import Ensemble

X, Y = awkward_panel(4000)
BINARY = (Y > 0).astype(np.float64)

# A column without a missing value in training has no learned side for NaN (LightGBM's missing type None).
COMPLETE = np.ascontiguousarray(np.nan_to_num(X))

MODELS: dict[str, tuple[np.ndarray, np.ndarray, int, dict[str, Any]]] = {
    "leaf-wise": (X, Y, 40, {"num_leaves": 63, "min_data_in_leaf": 5}),
    "depth-limited": (X, Y, 40, {"max_depth": 3, "num_leaves": 8}),
    "stumps": (X, Y, 60, {"num_leaves": 2}),
    "one row a leaf": (X, Y, 10, {"num_leaves": 255, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0}),
    "no missing in training": (COMPLETE, Y, 40, {"num_leaves": 31, "min_data_in_leaf": 5}),
    "binary": (X, BINARY, 40, {"objective": "binary", "num_leaves": 31}),
    "large label": (X, Y * 1e4 + 1e5, 20, {"learning_rate": 0.3}),
    "small label": (X, Y * 1e-6, 20, {}),
    "few bins": (X, Y, 20, {"max_bin": 4}),
    "constant": (np.ones_like(X), Y, 5, {}),
    "sampled": (X, Y, 30, {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5}),
    "quantised": (X, Y, 20, {"use_quantized_grad": True, "stochastic_rounding": False}),
    "l1 objective": (X, Y, 10, {"objective": "l1"}),
}


def trained(name: str) -> str:
    data, y, rounds, more = MODELS[name]
    parameters = {
        "objective": "regression",
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "seed": 3,
        **more,
    }
    dataset = lightgbm.Dataset(data, y, feature_name=list(NAMES), params=parameters)
    text: str = lightgbm.train(parameters, dataset, rounds).model_to_string()
    return text


def write_graph(text: str, path: Path) -> None:
    LightGBMModel.from_text(text).export_onnx(path)


def hostile_rows(text: str, rows: int) -> np.ndarray:
    """Random rows in which half of the cells lie on, or one ulp beside, a threshold of their column, or are odd."""
    rng = np.random.default_rng(5)
    drawn = (rng.standard_normal((rows, len(NAMES))) * 10.0 ** rng.integers(-3, 3, (rows, 1))).astype(np.float32)
    trees = ensemble_of(parse(text)).trees
    for column in range(len(NAMES)):
        thresholds = [tree.threshold[tree.feature == column] for tree in trees]
        near = np.concatenate([np.float32([0]), *thresholds]).astype(np.float32)
        pool = np.concatenate(
            [
                near,
                np.nextafter(near, np.float32(np.inf)),
                np.nextafter(near, np.float32(-np.inf)),
                np.array(ODD_VALUES),
            ]
        )
        hit = rng.random(rows) < 0.5
        drawn[hit, column] = rng.choice(pool, hit.sum())
    return drawn


def scores_of(path: Path, rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = open_graph(path).run([OUTPUT], {INPUT: rows})[0]
    return found.ravel()


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_bit_equal_on_hostile_rows(name: str, tmp_path: Path) -> None:
    """On 20,000 rows full of ties, missing values, infinities and denormals, LightGBM and ONNX agree in all 32 bits."""
    text = canonicalise(trained(name))
    write_graph(text, tmp_path / "m.onnx")
    rows = hostile_rows(text, 20_000)
    native = lightgbm.Booster(model_str=text).predict(rows, raw_score=True, num_threads=1)
    exported = scores_of(tmp_path / "m.onnx", rows)
    assert np.array_equal(native.astype(np.float32).view(np.uint32), exported.view(np.uint32))
    assert np.array_equal(native, exported.astype(np.float64))
    assert name == "constant" or len(np.unique(exported)) > 5


@pytest.mark.parametrize("batch", [1, 2, 31, 500])
def test_scores_do_not_depend_on_the_batch(batch: int, tmp_path: Path) -> None:
    """onnxruntime takes different routes for one row and for many; the bits are the same."""
    text = canonicalise(trained("leaf-wise"))
    write_graph(text, tmp_path / "m.onnx")
    rows = hostile_rows(text, 1000)
    whole = scores_of(tmp_path / "m.onnx", rows)
    parts = [scores_of(tmp_path / "m.onnx", rows[at : at + batch]) for at in range(0, min(1000, 40 * batch), batch)]
    assert np.array_equal(np.concatenate(parts), whole[: sum(map(len, parts))])


def test_without_the_canonical_form_ties_do_flip(tmp_path: Path) -> None:
    """The rounding is needed: LightGBM's own text against the exported graph differs on rows at thresholds."""
    text = trained("leaf-wise")
    write_graph(text, tmp_path / "m.onnx")
    rows = hostile_rows(text, 5000)
    native = lightgbm.Booster(model_str=text).predict(rows, raw_score=True, num_threads=1)
    assert (native.astype(np.float32) != scores_of(tmp_path / "m.onnx", rows)).mean() > 0.05


def test_proof_counts_rows_thresholds_and_trees(tmp_path: Path) -> None:
    """The report of a stump's proof is counted by hand: 4,000 rows, 64 alone, 4 at its split, 20 odd values."""
    model = LightGBMModel(LightGBMConfig(n_rounds=1, num_leaves=2, threads=1), NAMES).fit(X, Y)
    model.save(tmp_path / "m.txt")
    model.export_onnx(tmp_path / "m.onnx")
    report = prove_parity(LightGBMModel.native(tmp_path / "m.txt"), tmp_path / "m.onnx", X, latency=True)
    assert (report.rows, report.boundary_rows) == (4000 + 64 + 4 + 20, 24)
    assert (report.trees, report.thresholds, report.mismatches, report.max_abs_difference) == (1, 1, 0, 0.0)
    assert report.onnx_ms_500_rows is not None
    assert json.loads(json.dumps(report.to_dict()))["rows"] == 4088


@pytest.mark.parametrize("name", ["leaf-wise", "no missing in training", "binary", "constant"])
def test_proof_holds_for_saved_files(name: str, tmp_path: Path) -> None:
    """The files that a model saves and exports pass the proof, without latencies unless asked for."""
    model = LightGBMModel.from_text(trained(name))
    model.save(tmp_path / "m.txt")
    model.export_onnx(tmp_path / "m.onnx")
    report = prove_parity(LightGBMModel.native(tmp_path / "m.txt"), tmp_path / "m.onnx", X)
    assert report.mismatches == 0
    assert report.onnx_ms_1_row is None


def test_proof_finds_a_text_that_is_not_canonical(tmp_path: Path) -> None:
    """LightGBM's own text beside the graph fails the proof, which shows the first differing row."""
    (tmp_path / "m.txt").write_text(trained("leaf-wise"))
    write_graph(trained("leaf-wise"), tmp_path / "m.onnx")
    with pytest.raises(ParityError, match=r"differ on \d+ of \d+ rows, by up to .*; first: native"):
        prove_parity(LightGBMModel.native(tmp_path / "m.txt"), tmp_path / "m.onnx", X)


@pytest.mark.parametrize("field", ["nodes_values", "target_weights", "nodes_missing_value_tracks_true"])
def test_proof_finds_one_changed_number(field: str, tmp_path: Path) -> None:
    """One threshold an ulp off, one leaf a grid step off, or one missing value sent the other way, is found."""
    model = LightGBMModel(LightGBMConfig(n_rounds=20, num_leaves=15, min_data_in_leaf=20, threads=1), NAMES).fit(X, Y)
    model.save(tmp_path / "m.txt")
    model.export_onnx(tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx")
    attributes = {attribute.name: attribute for attribute in graph.graph.node[0].attribute}
    splits = [at for at, mode in enumerate(attributes["nodes_modes"].strings) if mode == b"BRANCH_LEQ"]
    if field == "nodes_missing_value_tracks_true":
        at = splits[len(splits) // 2]
        attributes[field].ints[at] = 1 - attributes[field].ints[at]
    elif field == "nodes_values":
        at = splits[len(splits) // 2]
        attributes[field].floats[at] = np.nextafter(np.float32(attributes[field].floats[at]), np.float32(np.inf))
    else:
        leaves = [tree.leaf_value for tree in model.trees()]
        bound = sum(np.abs(values).max() for values in leaves)
        attributes[field].floats[len(leaves) // 2] += 2.0 ** (np.floor(np.log2(bound)) + 1 - 24)
    onnx.save(graph, tmp_path / "changed.onnx")
    with pytest.raises(ParityError):
        prove_parity(LightGBMModel.native(tmp_path / "m.txt"), tmp_path / "changed.onnx", X)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """Exporting twice, or exporting the canonical text, writes identical files, read-only."""
    for number, text in enumerate([trained("binary"), trained("binary"), canonicalise(trained("binary"))]):
        write_graph(text, tmp_path / f"{number}.onnx")
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    assert (tmp_path / "0.onnx").stat().st_mode & 0o777 == 0o444


def test_proof_refuses_files_of_two_models(tmp_path: Path) -> None:
    """A graph with other features than the text, a missing text and an empty X are ModelErrors."""
    config = LightGBMConfig(n_rounds=1, threads=1)
    one = LightGBMModel(config, NAMES).fit(X, Y)
    other = LightGBMModel(config, NAMES[::-1]).fit(X, Y)
    one.save(tmp_path / "m.txt")
    other.export_onnx(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="has other features than"):
        prove_parity(LightGBMModel.native(tmp_path / "m.txt"), tmp_path / "m.onnx", X)
    with pytest.raises(ModelError, match="cannot read the model file"):
        prove_parity(LightGBMModel.native(tmp_path / "absent.txt"), tmp_path / "m.onnx", X)
    with pytest.raises(ModelError, match="at least one row"):
        prove_parity(LightGBMModel.native(tmp_path / "m.txt"), tmp_path / "m.onnx", X[:0])


@pytest.mark.parametrize("constant", [0.0, 0.7, -3e5])
def test_trees_of_any_family_are_exported_with_their_constant(constant: float, tmp_path: Path) -> None:
    """The graph of canonical trees and a constant gives exactly their sum, for many rows and for one."""
    trees = ensemble_of(parse(trained("stumps"))).trees
    ensemble = Ensemble(trees, (constant,)).canonical()
    export_trees(ensemble, NAMES, tmp_path / "m.onnx")
    expected = ensemble.scores(X)
    assert np.array_equal(scores_of(tmp_path / "m.onnx", X).astype(np.float64), expected)
    assert [float(scores_of(tmp_path / "m.onnx", X[at : at + 1])[0]) for at in range(40)] == expected[:40].tolist()
    native = Native(tmp_path / "m", NAMES, ensemble.trees, ensemble.scores)
    assert prove_parity(native, tmp_path / "m.onnx", X).mismatches == 0


def test_proof_tells_zeros_apart_and_takes_models_without_trees(tmp_path: Path) -> None:
    """-0.0 or NaN in place of 0.0 is a difference; without trees, odd values go into every feature."""
    ensemble = Ensemble(ensemble_of(parse(trained("stumps"))).trees[:1]).canonical()
    zero = Ensemble((replace(ensemble.trees[0], leaf_value=np.zeros(2)),))
    export_trees(zero, NAMES, tmp_path / "m.onnx")
    for scores, differ in ((0.0, False), (-0.0, True), (np.nan, True)):
        native = Native(tmp_path / "m", NAMES, None, lambda rows, scores=scores: np.full(len(rows), scores))
        if differ:
            with pytest.raises(ParityError):
                prove_parity(native, tmp_path / "m.onnx", X)
        else:
            report = prove_parity(native, tmp_path / "m.onnx", X)
            assert (report.trees, report.boundary_rows) == (0, len(NAMES) * len(ODD_VALUES))
