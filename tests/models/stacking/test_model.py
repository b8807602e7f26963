"""A stack as a model: one file, one graph, the same bits in both."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.edge.session import ScoringSession
from trademl.errors import ModelError
from trademl.models.base import BaseModel
from trademl.models.onnx import prove_parity
from trademl.models.registry import create_model, model_class, read_model_config
from trademl.models.stacking.config import StackConfig
from trademl.models.stacking.fit import fit_blend
from trademl.models.stacking.model import StackModel, blended_importances, columns_of, union_of_features

X, Y = awkward_panel(1200)
FAMILIES: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_rounds": 6, "min_data_in_leaf": 20, "threads": 1},
    "xgboost": {"n_rounds": 6, "threads": 1},
    "catboost": {"n_rounds": 6, "depth": 3, "threads": 1},
    "ridge": {},
    "momentum": {"feature": "day"},
}
COLUMNS = {
    "lightgbm": NAMES[:6],
    "xgboost": NAMES[::-1],
    "catboost": NAMES[2:8],
    "ridge": ("normal", "with_nan", "tiny"),
    "momentum": ("normal", "day"),
}


def base(kind: str, task: str = "regression") -> BaseModel:
    names = COLUMNS[kind]
    y = Y if task == "regression" else (Y > 0).astype(np.float64)
    matrix = np.ascontiguousarray(X[:, columns_of(names, NAMES)])
    config = read_model_config({"kind": kind, **FAMILIES[kind], **({"task": task} if task != "regression" else {})})
    return create_model(config, names).fit(matrix, y)


def stack(kinds: tuple[str, ...], blender: str = "ridge", task: str = "regression") -> StackModel:
    models = [base(kind, task) for kind in kinds]
    trees = {"n_rounds": 5, "min_data_in_leaf": 20}
    config = StackConfig(bases=kinds, blender=blender, task=task, trees=trees)
    names = union_of_features([model.feature_names for model in models])
    features = np.ascontiguousarray(X[:, columns_of(names, NAMES)])
    scores = np.column_stack(
        [model.predict(np.ascontiguousarray(features[:, columns_of(model.feature_names, names)])) for model in models]
    )
    y = Y if task == "regression" else (Y > 0).astype(np.float64)
    return StackModel.of(config, models, fit_blend(scores, y, None, config, kinds))


CASES = [
    (("lightgbm", "xgboost", "catboost"), "ridge", "regression"),
    (("lightgbm", "ridge", "momentum"), "lightgbm", "regression"),
    (("ridge", "momentum"), "non_negative", "regression"),
    (("xgboost",), "average", "regression"),
    (("lightgbm", "catboost"), "average", "binary"),
    (("xgboost", "lightgbm"), "lightgbm", "binary"),
]


@pytest.mark.parametrize("kinds, blender, task", CASES)
def test_file_engines_and_graph_score_the_same_bits(
    kinds: tuple[str, ...], blender: str, task: str, tmp_path: Path
) -> None:
    """Memory, the file read anew, the bases' own engines and the one ONNX graph: no bit and no rank differs, on plain
    rows, around every threshold of every base, and at odd floats in every feature."""
    model = stack(kinds, blender, task)
    rows = np.ascontiguousarray(X[:, columns_of(model.feature_names, NAMES)])
    scores = model.predict(rows)
    assert np.isfinite(scores).all()
    native, exported = tmp_path / "model.json", tmp_path / "model.onnx"
    model.save(native)
    model.export_onnx(exported)
    again = StackModel.load(native)
    assert (again.config, again.blend, again.feature_names) == (model.config, model.blend, model.feature_names)
    assert np.array_equal(again.predict(rows), scores)
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == native.read_bytes()
    again.export_onnx(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()
    session = ScoringSession(exported)
    assert session.feature_names == model.feature_names
    found = session.predict(rows)
    assert np.array_equal(found, scores)
    assert np.array_equal(np.argsort(found, kind="stable"), np.argsort(scores, kind="stable"))
    read = StackModel.native(native)
    report = prove_parity(read, exported, rows)
    everywhere = prove_parity(replace(read, trees=None), exported, rows)
    assert (report.mismatches, everywhere.mismatches) == (0, 0)
    assert everywhere.boundary_rows > 0
    boosted = sum(len(one.trees() or ()) for one in model.bases)
    assert report.trees == boosted == len(model.trees() or ())


def test_one_graph_has_one_input_and_one_output(tmp_path: Path) -> None:
    """Bases, scaler and meta-learner are nodes of one graph; only operators of ONNX itself, and trees."""
    stack(("lightgbm", "ridge"), "lightgbm").export_onnx(tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [value.name for value in graph.input] == ["features"]
    assert [value.name for value in graph.output] == ["score"]
    assert sum(node.op_type == "TreeEnsembleRegressor" for node in graph.node) == 2


def test_each_base_takes_its_own_columns() -> None:
    """The stack's features are those of its bases in order of first appearance; each base scores its own."""
    model = stack(("momentum", "lightgbm"))
    assert model.feature_names == ("normal", "day", "with_nan", "mostly_zero", "integers", "constant", "all_nan")
    rows = np.ascontiguousarray(X[:50, columns_of(model.feature_names, NAMES)])
    scores = model.base_scores(rows)
    np.testing.assert_array_equal(scores[:, 0], rows[:, 1].astype(np.float64) - 0.5)
    alone = np.ascontiguousarray(X[:50, columns_of(COLUMNS["lightgbm"], NAMES)])
    np.testing.assert_array_equal(scores[:, 1], model.bases[1].predict(alone))


def test_importances_are_shared_out() -> None:
    """A base of share 1/4 whose importances are 1 and 3, and one of 3/4 with a single feature."""
    found = blended_importances(("a", "b", "c"), [{"a": 1.0, "b": 3.0}, {"b": 5.0}], [0.25, 0.75])
    assert found == {"a": 0.0625, "b": 0.9375, "c": 0.0}
    assert sum(stack(("lightgbm", "ridge")).importances().values()) == pytest.approx(1.0)


def test_a_stack_is_not_fitted_on_features() -> None:
    """It says what it is fitted on, and by which command."""
    model = create_model(StackConfig(bases=("a", "b")), ["x"])
    with pytest.raises(ModelError, match="out-of-fold scores, not on features") as refused:
        model.fit(np.ones((3, 1), dtype=np.float32), np.ones(3))
    assert "trademl train stacker --runs" in refused.value.remedy
    with pytest.raises(ModelError, match="this stack is not fitted"):
        model.predict(np.ones((3, 1), dtype=np.float32))


def test_parts_that_do_not_fit_are_refused() -> None:
    """Another number of models, a stack in a stack, a task that the blender does not do."""
    model = stack(("ridge", "momentum"))
    with pytest.raises(ModelError, match="1 models and a blend of ridge, momentum"):
        StackModel.of(model.config, model.bases[:1], model.blend)
    with pytest.raises(ModelError, match="itself a stack"):
        StackModel.of(model.config, [model, model.bases[0]], model.blend)
    with pytest.raises(ModelError, match="blender 'ridge' makes no score of the task 'three_class'"):
        create_model(StackConfig(bases=("a",), task="three_class"), ["x"])


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("bases"),
        lambda raw: raw.update(format="other"),
        lambda raw: raw["bases"].reverse(),
        lambda raw: raw["config"].update(blender="mean"),
        lambda raw: raw["blend"].update(scales=[0.0, 1.0]),
        lambda raw: raw["bases"][0].update(native="{}"),
    ],
)
def test_a_damaged_file_is_refused(change: Any, tmp_path: Path) -> None:
    """No part is taken on trust."""
    stack(("ridge", "momentum")).save(tmp_path / "model.json")
    raw = json.loads((tmp_path / "model.json").read_bytes())
    change(raw)
    (tmp_path / "damaged.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError):
        StackModel.load(tmp_path / "damaged.json")


def test_the_registry_knows_the_family() -> None:
    """``kind: stack`` in a configuration is this class."""
    assert model_class("stack") is StackModel
    assert read_model_config({"kind": "stack", "bases": ["a", "b"]}) == StackConfig(bases=("a", "b"))
