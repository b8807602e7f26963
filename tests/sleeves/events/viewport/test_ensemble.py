"""Pools of forecasts: weights on the simplex, missing forecasts, recalibration, and the stored document."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl.errors import ModelError
from trademl.sleeves.events.projection import project, violations
from trademl.sleeves.events.viewport.ensemble import EQUAL, FORMAT, Ensemble, Pool, fit_pool, log_odds, simplex_weights
from trademl.validation.calibration import Platt, brier


def test_a_pool_is_a_weighted_mean() -> None:
    """Half of 0.2, a quarter of 0.6 and a quarter of 1.0 are 0.5."""
    pool = Pool(("stage_a", "stage_b", "retrieval"), (0.5, 0.25, 0.25))
    found = pool.combine({"stage_a": np.array([0.2]), "stage_b": np.array([0.6]), "retrieval": np.array([1.0])})
    assert found.tolist() == [0.5]


def test_a_missing_forecast_leaves_its_weight_to_the_others() -> None:
    """Without retrieval, weights of 0.6 and 0.2 count as 0.75 and 0.25; without any forecast there is none."""
    pool = Pool(("stage_a", "stage_b", "retrieval"), (0.6, 0.2, 0.2))
    given_ = {
        "stage_a": np.array([0.4, np.nan]),
        "stage_b": np.array([0.8, np.nan]),
        "retrieval": np.array([np.nan, np.nan]),
    }
    found = pool.combine(given_)
    assert found[0] == pytest.approx(0.5)
    assert np.isnan(found[1])
    del given_["retrieval"]
    assert pool.combine(given_)[0] == pytest.approx(0.5)


def test_forecasts_without_weight_count_equally_where_they_are_all_there_is() -> None:
    """A source of weight 0 answers when the one with all the weight is silent."""
    pool = Pool(("stage_a", "stage_b", "retrieval"), (1.0, 0.0, 0.0))
    found = pool.combine({"stage_a": np.array([np.nan]), "stage_b": np.array([0.2]), "retrieval": np.array([0.4])})
    assert found[0] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "forecasts", [{}, {"nobody": np.array([0.1])}, {"stage_a": np.zeros(2), "stage_b": np.zeros(3)}]
)
def test_a_pool_needs_forecasts_of_one_length(forecasts: dict[str, np.ndarray]) -> None:
    """No known source, or two lengths, are refused."""
    with pytest.raises(ModelError):
        EQUAL.combine(forecasts)


def test_weights_of_a_known_mixture_are_found() -> None:
    """Outcomes that are 0.7 of one column and 0.3 of another, exactly, give these weights and none to noise."""
    rng = np.random.default_rng(3)
    matrix = rng.random((200, 3))
    weights = simplex_weights(matrix, 0.7 * matrix[:, 0] + 0.3 * matrix[:, 2])
    assert weights == pytest.approx((0.7, 0.0, 0.3), abs=1e-9)


def test_a_forecast_that_is_worse_than_nothing_gets_no_weight() -> None:
    """An unconstrained fit would give the mirrored forecast a negative weight; here it gets 0."""
    rng = np.random.default_rng(4)
    good = rng.random(300)
    y = good + 0.01 * rng.standard_normal(300)
    assert simplex_weights(np.stack([good, 1 - good], axis=1), y)[1] == pytest.approx(0.0, abs=0.01)


def test_two_equal_forecasts_share() -> None:
    """Columns that repeat each other get equal weights."""
    column = np.random.default_rng(5).random(50)
    assert simplex_weights(np.stack([column, column], axis=1), column + 0.1) == pytest.approx((0.5, 0.5))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 4), rows=st.integers(3, 40))
def test_no_point_of_a_grid_on_the_simplex_is_better(seed: int, k: int, rows: int) -> None:
    """The weights are not negative, sum to 1, and beat every point of a grid and every single forecast."""
    rng = np.random.default_rng(seed)
    matrix, y = rng.random((rows, k)), rng.integers(0, 2, rows).astype(np.float64)
    weights = np.array(simplex_weights(matrix, y))
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    tried = np.vstack([rng.dirichlet(np.ones(k), 200), np.eye(k)])
    least = ((matrix @ tried.T - y[:, None]) ** 2).mean(axis=0).min()
    assert ((matrix @ weights - y) ** 2).mean() <= least + 1e-9


def test_fitted_probabilities_are_recalibrated() -> None:
    """Forecasts that are far too sure, but in the right order, come out with a better Brier score than their mean."""
    rng = np.random.default_rng(6)
    truth = rng.uniform(0.3, 0.7, 4000)
    y = (rng.random(4000) < truth).astype(np.float64)
    sure = np.clip(0.5 + 2.4 * (truth - 0.5), 0.01, 0.99)
    pool = fit_pool("tradeable_2", {"stage_a": sure, "stage_b": sure}, y)
    assert isinstance(pool.calibrator, Platt)
    pooled = pool.combine({"stage_a": sure, "stage_b": sure})
    assert brier(pooled, y) < brier(sure, y) - 0.005
    assert brier(pooled, y) == pytest.approx(brier(truth, y), abs=0.002)


def test_a_pool_that_points_the_wrong_way_is_not_turned_around() -> None:
    """Where more probability meant fewer events, no calibrator is fitted: it would turn the forecast upside down."""
    p = np.linspace(0.1, 0.9, 400)
    y = (np.random.default_rng(7).random(400) < 1 - p).astype(np.float64)
    assert fit_pool("p_break", {"stage_a": p, "stage_b": p}, y).calibrator is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0))
def test_pooled_probabilities_of_reaching_stay_consistent(seed: int, share: float) -> None:
    """One set of weights for all of them keeps t2 <= t1 and max(break, bounce) <= either <= break + bounce."""
    rng = np.random.default_rng(seed)
    stages = [project({side: rng.random((2, 2, 5)) for side in ("either", "break", "bounce")}) for _ in range(2)]
    pool = Pool(("stage_a", "stage_b"), (share, 1.0 - share))
    pooled = {
        side: pool.combine({"stage_a": stages[0][side].ravel(), "stage_b": stages[1][side].ravel()}).reshape(2, 2, 5)
        for side in stages[0]
    }
    assert violations(pooled, tolerance=1e-12) == 0


def test_rows_without_all_forecasts_do_not_fit() -> None:
    """A row that lacks a forecast or its outcome is left out; without any whole row there is nothing to fit."""
    y = np.array([0.0, 1.0, np.nan, 1.0])
    a, b = np.array([0.0, 1.0, 0.5, np.nan]), np.array([0.5, 0.5, 0.5, 0.5])
    assert fit_pool("strength", {"stage_a": a, "stage_b": b}, y).weights == pytest.approx((1.0, 0.0))
    with pytest.raises(ModelError, match="none of 4 rows"):
        fit_pool("strength", {"stage_a": np.full(4, np.nan), "stage_b": b}, y)
    with pytest.raises(ModelError, match="is not pooled"):
        fit_pool("profit", {"stage_a": a}, y)


def test_log_odds_are_finite_at_the_ends() -> None:
    """0 and 1 are moved by a millionth; one half is 0."""
    found = log_odds(np.array([0.0, 0.5, 1.0]))
    assert found[1] == 0.0
    assert found[0] == pytest.approx(np.log(1e-6 / (1 - 1e-6)))
    assert found[2] == pytest.approx(-found[0])


def test_a_stored_ensemble_gives_the_same_numbers(tmp_path: Path) -> None:
    """What is read back combines to the last bit as what was written."""
    pool = Pool(("stage_a", "retrieval"), (1 / 3, 2 / 3), Platt(-1.1, 0.1))
    Ensemble({"tradeable_2": pool}, {"rows": 3}).save(tmp_path / "e.json")
    read = Ensemble.load(tmp_path / "e.json")
    assert read.pool("tradeable_2") == pool
    assert read.pool("strength") is EQUAL
    assert read.evidence == {"rows": 3}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"format": "another"}',
        f'{{"format": "{FORMAT}", "pools": {{"profit": {{"weights": {{"stage_a": 1}}, "calibrator": null}}}}, '
        '"evidence": {}}',
        f'{{"format": "{FORMAT}", "pools": {{"strength": {{"weights": {{"stage_a": 2}}, "calibrator": null}}}}, '
        '"evidence": {}}',
        f'{{"format": "{FORMAT}", "pools": {{"strength": {{"weights": {{"you": 1}}, "calibrator": null}}}}, '
        '"evidence": {}}',
        f'{{"format": "{FORMAT}", "pools": {{"strength": {{"weights": {{"stage_a": 1}}}}}}, "evidence": {{}}}}',
    ],
)
def test_a_damaged_ensemble_is_refused(text: str, tmp_path: Path) -> None:
    """Files that are cut off, foreign, or whose weights cannot be are refused, and the remedy says how to fit again."""
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(ModelError) as refused:
        Ensemble.load(tmp_path / "e.json")
    assert "trademl events ensemble" in refused.value.remedy
