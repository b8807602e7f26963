"""One fit: its rows, its tail, its bins."""

import numpy as np
import pytest

from tests.training.panels import panel
from trademl.errors import SplitError
from trademl.models.base import BaseModel
from trademl.models.boosting.lightgbm import LightGBMConfig
from trademl.models.ridge import RidgeConfig
from trademl.models.stacking.xgboost_ridge import XGBoostRidgeModel
from trademl.models.stacking.xgboost_ridge_config import BaseTrees, InnerValidation, XGBoostRidgeConfig
from trademl.training.fit import Fitter
from trademl.training.splits import stopping_tail

MODEL = LightGBMConfig(n_rounds=60, num_leaves=5, min_data_in_leaf=10, learning_rate=0.3, threads=1)
STOPPING = MODEL.model_copy(update={"early_stopping_rounds": 3})


def scores(model: BaseModel) -> np.ndarray:
    return model.predict(panel().X)


def test_without_early_stopping_all_rows_are_fitted() -> None:
    """The same model as the family's own fit on these rows."""
    data = panel()
    rows = np.arange(0, len(data), 2)
    fitter = Fitter(data, MODEL)
    expected = fitter.fit(rows).predict(data.X)
    own = type(fitter.fit(rows))(MODEL, data.feature_names)
    own.fit_rows(own.prepare(data.X, data.feature_names, MODEL), data.target, rows, weight=data.weight)
    np.testing.assert_array_equal(expected, own.predict(data.X))


@pytest.mark.parametrize("binning", ["shared", "strict"])
def test_early_stopping_measures_on_the_tail_and_keeps_fewer_rounds(binning: str) -> None:
    """A fit on kept rows alone, of as many rounds as were kept, scores the same: the tail is measured on only."""
    data = panel()
    rows = np.arange(len(data))
    fitter = Fitter(data, STOPPING, binning, stop_fraction=0.3)
    stopped = fitter.fit(rows)
    assert stopped.rounds is not None
    assert 1 <= stopped.rounds < 60
    kept, _ = stopping_tail(data, rows, 0.3)
    if binning == "shared":
        alone = fitter.fit_rounds(kept, stopped.rounds)
        np.testing.assert_array_equal(scores(stopped), scores(alone))


@pytest.mark.parametrize("binning", ["shared", "strict"])
def test_a_family_that_purges_within_a_fit_is_told_the_rows_label_spans(binning: str) -> None:
    """The stack's regression is fitted on predictions purged by the label spans of the very rows of the fit."""
    data = panel()
    config = XGBoostRidgeConfig(
        bases=tuple(BaseTrees(n_rounds=4, max_depth=depth, min_child_weight=1, seed=depth) for depth in (1, 2)),
        inner=InnerValidation(folds=3, test_folds=1, embargo=1),
        threads=1,
    )
    rows = np.flatnonzero(data.spans.start < 60)
    fitted = Fitter(data, config, binning).fit(rows)
    alone = XGBoostRidgeModel(config, data.feature_names)
    alone.tell_spans(data.spans.take(rows))
    alone.fit(np.ascontiguousarray(data.X[rows]), data.target[rows], weight=data.weight[rows])
    unpurged = XGBoostRidgeModel(config, data.feature_names)
    unpurged.fit(np.ascontiguousarray(data.X[rows]), data.target[rows], weight=data.weight[rows])
    assert isinstance(fitted, XGBoostRidgeModel)
    assert unpurged.meta != alone.meta
    if binning == "strict":
        assert fitted.meta == alone.meta
    assert fitted.meta != unpurged.meta


def test_rounds_can_be_fixed_for_the_final_fit() -> None:
    """All rows, no tail, exactly so many rounds."""
    fitter = Fitter(panel(), STOPPING)
    assert fitter.fit_rounds(np.arange(len(panel())), 7).rounds == 7


def test_a_tail_that_leaves_nothing_is_refused() -> None:
    """The remedy names the setting."""
    data = panel(sessions=6, horizon=5)
    with pytest.raises(SplitError, match="leaves no row to train on") as caught:
        Fitter(data, STOPPING, stop_fraction=0.5).fit(np.arange(len(data)))
    assert "stop_fraction" in str(caught.value.remedy)


def test_bins_are_made_once() -> None:
    """Shared fits share them; strict fits leave nothing behind."""
    data = panel()
    shared, strict = Fitter(data, MODEL), Fitter(data, MODEL, "strict")
    shared.fit(np.arange(100))
    first = shared.prepared
    shared.fit(np.arange(200))
    strict.fit(np.arange(100))
    assert first is not None
    assert shared.prepared is first
    assert strict.prepared is None


@pytest.mark.parametrize("model, expected", [(MODEL.model_copy(update={"threads": 3}), 3), (RidgeConfig(), 1)])
def test_only_families_that_gain_by_it_fit_side_by_side(model: LightGBMConfig, expected: int) -> None:
    """LightGBM on as many threads as it may use; others one at a time."""
    assert Fitter(panel(), model).side_by_side == expected
