"""The XGBoost family: what is its own beside the contract."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.boosting.xgboost import QuantisedData, XGBoostConfig, XGBoostModel
from trademl.models.boosting.xgboost_json import parse

ROWS = 4000
X, Y = awkward_panel(ROWS)
UP = (Y > 0).astype(np.float64)
SMALL = XGBoostConfig(n_rounds=12, max_depth=4, min_child_weight=5, threads=1)
LARGEST = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def binned() -> QuantisedData:
    return XGBoostModel.prepare(X, NAMES, SMALL)


@pytest.fixture(scope="module")
def fitted(binned: QuantisedData) -> XGBoostModel:
    return XGBoostModel(SMALL, NAMES).fit_rows(binned, Y)


def changed(**fields: Any) -> XGBoostConfig:
    return SMALL.model_copy(update=fields)


@pytest.mark.parametrize("task, y", [("regression", Y), ("binary", UP)])
def test_the_fit_is_xgboosts_own(task: str, y: np.ndarray, binned: QuantisedData) -> None:
    """With the same start and no sampling, xgboost.train gives these scores, but for float32 sums and rounding."""
    weight = np.linspace(0.5, 2.0, ROWS)
    config = changed(task=task, n_rounds=30, subsample=1.0, colsample_bytree=1.0)
    model = XGBoostModel(config, NAMES).fit_rows(binned, y, weight=weight)
    mean = float((weight * y).sum() / weight.sum())
    matrix = xgboost.QuantileDMatrix(X, label=y, weight=weight, max_bin=256, ref=binned.bins)
    plain = xgboost.train({**config.parameters(NAMES), "base_score": mean}, matrix, 30)
    expected = plain.inplace_predict(X, predict_type="margin")
    assert np.abs(model.predict(X) - expected).max() < 2e-5 * np.abs(expected).max()


def test_plain_xgboost_reads_the_saved_file(fitted: XGBoostModel, tmp_path: Path) -> None:
    """The saved file is XGBoost's own format: the engine alone gives the same scores, infinities aside by any call."""
    fitted.save(tmp_path / "model.json")
    booster = xgboost.Booster(model_file=str(tmp_path / "model.json"))
    assert booster.feature_names == list(NAMES)
    matrix = xgboost.DMatrix(X, feature_names=list(NAMES))
    assert np.array_equal(booster.predict(matrix, output_margin=True).astype(np.float64), fitted.predict(X))
    again = parse(bytes(booster.save_raw("json")).decode())
    assert again.trees == parse(fitted.text).trees


def test_a_split_of_shared_bins_has_the_shared_edges(binned: QuantisedData) -> None:
    """Rows that a split leaves out decide edges with it, and nothing else: it equals a fit with their weight at 0."""
    rows = np.arange(0, ROWS, 3)
    config = changed(subsample=1.0)
    weight = np.zeros(ROWS)
    weight[rows] = 1.0
    split = XGBoostModel(config, NAMES).fit_rows(binned, Y, rows)
    weighted = XGBoostModel(config, NAMES).fit_rows(binned, Y, weight=weight)
    assert np.abs(split.predict(X) - weighted.predict(X)).max() < 1e-5


def test_infinite_training_values_are_named(binned: QuantisedData) -> None:
    """XGBoost bins finite values only; the feature, the row and the value are in the message."""
    spoilt = X.copy()
    spoilt[17, 3] = -np.inf
    with pytest.raises(ModelError, match=f"feature {NAMES[3]} is -inf in row 17"):
        XGBoostModel.prepare(spoilt, NAMES, SMALL)
    with pytest.raises(ModelError, match="binned with max_bin=256, the model has 63"):
        XGBoostModel(changed(max_bin=63), NAMES).fit_rows(binned, Y)


def test_leaf_limits_and_policies_are_the_engines(binned: QuantisedData) -> None:
    """At most 5 leaves with lossguide, and depth 2 means at most 4."""
    config = changed(max_leaves=5, grow_policy="lossguide", max_depth=0)
    for model, most in (
        (XGBoostModel(config, NAMES).fit_rows(binned, Y), 5),
        (XGBoostModel(changed(max_depth=2), NAMES).fit_rows(binned, Y), 4),
    ):
        assert max(len(tree.leaf_value) for tree in model.trees()) == most


def test_importances_are_gains(fitted: XGBoostModel) -> None:
    """XGBoost's own total gain, to float32 precision, and 0 for features that no split uses."""
    engine = xgboost.Booster(model_file=bytearray(fitted.text.encode())).get_score(importance_type="total_gain")
    for name, gain in fitted.importances().items():
        assert gain == pytest.approx(engine.get(name, 0.0), rel=1e-5)
