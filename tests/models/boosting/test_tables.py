"""One-call fitting, scoring and export of tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.edge.session import ScoringSession
from trademl.errors import ConfigError, ModelError
from trademl.models.boosting import catboost, lightgbm
from trademl.models.boosting.tables import export_onnx

X, Y = awkward_panel(2000)
TABLE = pd.DataFrame(X[:, :4], columns=list(NAMES[:4]))
UP = pd.Series((Y > 0).astype(int))
THREE = pd.Series(np.digitize(Y, [-0.5, 1.0]) - 1)
WEIGHT = np.linspace(0.1, 3.0, 2000)

FAMILIES: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "lightgbm": (lightgbm.fit_lgbm, lightgbm.predict_lgbm, {"n_rounds": 5, "min_data_in_leaf": 20, "threads": 1}),
    "catboost": (catboost.fit_catboost, catboost.predict_catboost, {"n_rounds": 5, "threads": 1}),
}
EACH = pytest.mark.parametrize("family", FAMILIES)


@EACH
def test_tables_are_read_by_name(family: str) -> None:
    """A DataFrame's columns are taken by name, so their order changes no score; arrays have columns f0, f1, ..."""
    fit, predict, few = FAMILIES[family]
    model, _ = fit(TABLE, pd.Series(Y), params=few)
    assert model.feature_names == NAMES[:4]
    assert np.array_equal(predict(model, TABLE[list(NAMES[3::-1])]), predict(model, TABLE))
    assert np.array_equal(predict(model, TABLE), model.predict(np.ascontiguousarray(X[:, :4])))
    with pytest.raises(ModelError, match="lacks 1 features, first normal"):
        predict(model, TABLE.drop(columns=["normal"]))
    bare, _ = fit(X[:, :4], Y, params=few)
    assert bare.feature_names == ("f0", "f1", "f2", "f3")
    assert np.array_equal(predict(bare, X[:, :4]), predict(model, TABLE))
    with pytest.raises(ModelError, match="X has 1 dimensions, must have 2"):
        fit(Y, Y, params=few)


@EACH
def test_metrics_of_a_regression_are_those_of_a_loop(family: str) -> None:
    """Weighted root mean square, mean absolute error and share of variance, computed row by row."""
    fit, predict, few = FAMILIES[family]
    model, metrics = fit(TABLE, Y, WEIGHT, few)
    assert set(metrics) == {"rmse", "mae", "r2", "trees"}
    scores, total = predict(model, TABLE), WEIGHT.sum()
    mean = sum(w * y for w, y in zip(WEIGHT, Y, strict=True)) / total
    square = sum(w * (s - y) ** 2 for w, s, y in zip(WEIGHT, scores, Y, strict=True)) / total
    spread = sum(w * (y - mean) ** 2 for w, y in zip(WEIGHT, Y, strict=True)) / total
    assert metrics["rmse"] == pytest.approx(square**0.5, rel=1e-9)
    assert metrics["mae"] == pytest.approx(sum(WEIGHT * np.abs(scores - Y)) / total, rel=1e-9)
    assert metrics["r2"] == pytest.approx(1 - square / spread, rel=1e-6)
    assert metrics["trees"] == 5


@EACH
def test_metrics_of_classes_are_log_losses(family: str) -> None:
    """Minus the mean logarithm of the probability that the model gave the class that came."""
    fit, predict, few = FAMILIES[family]
    model, metrics = fit(TABLE, UP, params={**few, "task": "binary"})
    chance = 1 / (1 + np.exp(-predict(model, TABLE)))
    assert metrics["log_loss"] == pytest.approx(-np.log(np.where(UP == 1, chance, 1 - chance)).mean(), rel=1e-9)
    model, metrics = fit(TABLE, THREE, WEIGHT, {**few, "task": "three_class"})
    each = model.probabilities(np.ascontiguousarray(X[:, :4]))
    came = np.array([row[label + 1] for row, label in zip(each, THREE, strict=True)])
    assert metrics == {
        "log_loss": pytest.approx(-(WEIGHT * np.log(came)).sum() / WEIGHT.sum(), rel=1e-9),
        "trees": 15,
    }
    assert metrics["log_loss"] < np.log(3)


@EACH
def test_parameters_are_fields_or_a_configuration(family: str) -> None:
    """A mapping fills in the defaults and refuses names it does not know; a whole configuration is taken as it is."""
    fit, _, few = FAMILIES[family]
    model, _ = fit(TABLE, Y, params=few)
    assert fit(TABLE, Y, params=model.config)[0].text == model.text
    with pytest.raises(ConfigError, match="params: n_round is not a field; did you mean n_rounds"):
        fit(TABLE, Y, params={"n_round": 5})


def test_lightgbm_has_63_leaves_unless_told_otherwise() -> None:
    """The default of seed 004's appendix A holds where a mapping is silent."""
    model, _ = lightgbm.fit_lgbm(TABLE, Y, params={"n_rounds": 1, "min_data_in_leaf": 1, "threads": 1})
    assert model.config.num_leaves == 63
    assert len(model.trees()[0].leaf_value) == 63


@EACH
def test_export_writes_the_models_scores(family: str, tmp_path: Path) -> None:
    """The graph scores as the model, whether its place is a path or a text."""
    fit, predict, few = FAMILIES[family]
    model, _ = fit(TABLE, Y, params=few)
    export_onnx(model, list(TABLE.columns), str(tmp_path / "m.onnx"))
    scores = ScoringSession(tmp_path / "m.onnx").predict(np.ascontiguousarray(X[:, :4]))
    assert np.array_equal(scores, predict(model, TABLE))
    assert lightgbm.export_onnx is catboost.export_onnx is export_onnx


@EACH
def test_features_of_another_order_are_refused(family: str, tmp_path: Path) -> None:
    """Export wants the model's own names in its own order, and says where they first differ."""
    fit, _, few = FAMILIES[family]
    model, _ = fit(TABLE, Y, params=few)
    with pytest.raises(ModelError, match="first difference at position 2"):
        export_onnx(model, [*NAMES[:2], NAMES[3], NAMES[2]], tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="the 3 feature names are not the model's 4: first difference at position 3"):
        export_onnx(model, NAMES[:3], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
