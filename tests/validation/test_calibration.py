"""Calibrators and measures of calibration."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import statistics as oracle
from tests.validation.calibrators import PLATTS, knots, one_by_one, same, tried
from trademl.errors import ModelError
from trademl.validation.calibration import (
    PROBABILITY_RANGE,
    Calibrator,
    Knots,
    Platt,
    apply,
    brier,
    brier_parts,
    ece,
    fit_isotonic,
    fit_platt,
    from_dict,
    log_loss,
    mce,
    reliability_bins,
)

EVENTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1), st.integers(1, 3)), min_size=1, max_size=30)


@settings(deadline=None)
@given(EVENTS)
def test_isotonic_equals_the_max_min_formula(events: list[tuple[int, int, int]]) -> None:
    """At every score the fit is the exact weighted isotonic regression of the pooled rows."""
    score, y, weight = (np.array(column, float) for column in zip(*events, strict=True))
    distinct = sorted(set(score.tolist()))
    # Pooled rows enter the formula as their event weight over their weight, in whole numbers.
    mass = [int(weight[score == value].sum()) for value in distinct]
    hits = [int((weight * y)[score == value].sum()) for value in distinct]
    units = [unit for hit, total in zip(hits, mass, strict=True) for unit in [(hit, total)]]
    expected = _max_min(units)
    knots = fit_isotonic(score, y, weight)
    np.testing.assert_allclose(apply(knots, np.array(distinct)), expected, atol=1e-12)


def _max_min(units: list[tuple[int, int]]) -> list[float]:
    n = len(units)

    def mean(i: int, j: int) -> float:
        return sum(hit for hit, _ in units[i : j + 1]) / sum(total for _, total in units[i : j + 1])

    return [max(min(mean(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)]


def test_isotonic_of_distinct_scores_equals_the_exact_oracle() -> None:
    """500 scores in order against the oracle in fractions."""
    rng = np.random.default_rng(5)
    y = (rng.random(60) < np.linspace(0.2, 0.8, 60)).astype(int)
    expected = [float(value) for value in oracle.isotonic(y.tolist(), [1] * 60)]
    np.testing.assert_allclose(
        apply(fit_isotonic(np.arange(60.0), y.astype(float)), np.arange(60.0)), expected, atol=1e-12
    )


def test_isotonic_equals_scikit_learn_between_and_beyond_the_scores() -> None:
    """The same straight lines between blocks, the same clipping outside."""
    module = pytest.importorskip("sklearn.isotonic", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    score = rng.standard_normal(5000).round(2)
    y = (rng.random(5000) < 1 / (1 + np.exp(-score))).astype(float)
    weight = rng.random(5000) + 0.1
    fitted = module.IsotonicRegression(out_of_bounds="clip").fit(score, y, sample_weight=weight)
    grid = np.linspace(-6, 6, 3001)
    np.testing.assert_allclose(apply(fit_isotonic(score, y, weight), grid), fitted.predict(grid), atol=1e-12)


def test_platt_recovers_a_sigmoid_in_any_unit() -> None:
    """Outcomes drawn from 1 / (1 + exp(-(2 s - 0.5))), with scores in units of 1e-3 and with an offset."""
    rng = np.random.default_rng(2)
    s = rng.standard_normal(200_000)
    y = (rng.random(s.size) < 1 / (1 + np.exp(-(2 * s - 0.5)))).astype(float)
    fitted = fit_platt(s * 1e-3 + 7, y)
    assert fitted.a * 1e-3 == pytest.approx(-2, abs=0.03)
    assert apply(fitted, np.array([7 + 1e-3]))[0] == pytest.approx(1 / (1 + np.exp(-1.5)), abs=0.005)


def test_platt_minimises_its_loss() -> None:
    """At the fit, the gradient of the smoothed log-likelihood (Platt 1999) vanishes, also for separable scores."""
    score, y = np.array([-2, -1, 0.5, 1, 3]), np.array([0, 0, 1, 1, 1.0])
    fitted = fit_platt(score, y)
    residual = apply(fitted, score) - np.where(y == 1, 4 / 5, 1 / 4)
    assert abs(residual.sum()) < 1e-9
    assert abs(residual @ score) < 1e-9


def test_far_scores_do_not_overflow() -> None:
    """A sigmoid of huge scores is 0 or 1, without a warning."""
    assert apply(Platt(-1.0, 0.0), np.array([-1e6, 1e6])).tolist() == [0.0, 1.0]


def test_published_probabilities_stay_off_certainty() -> None:
    """With the published range no probability leaves [0.01, 0.99], and NaN stays NaN."""
    knots = Knots(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    result = apply(knots, np.array([-5, 0.5, 5, np.nan]), clip=PROBABILITY_RANGE)
    assert result[:3].tolist() == [0.01, 0.5, 0.99]
    assert np.isnan(result[3])


@given(EVENTS)
def test_calibrators_survive_json(events: list[tuple[int, int, int]]) -> None:
    """Written as JSON and read back, a calibrator gives bit-equal probabilities."""
    score, y = (np.array(column, float) for column in list(zip(*events, strict=True))[:2])
    grid = np.linspace(-1, 21, 50)
    calibrators = [fit_isotonic(score / 7, y)]
    if 0 < y.sum() < len(y):
        calibrators.append(fit_platt(score / 7, y))
    for calibrator in calibrators:
        again = from_dict(json.loads(json.dumps(calibrator.to_dict())))
        assert apply(again, grid).tolist() == apply(calibrator, grid).tolist()


@pytest.mark.parametrize(
    "stored", [{"kind": "beta"}, {"kind": "platt", "a": 1.0}, {"kind": "isotonic", "x": [1, 1], "y": [0, 1]}, {}]
)
def test_damaged_calibrators_are_refused(stored: dict) -> None:
    """An unknown kind, a missing coefficient and knots out of order are errors, not a wrong curve."""
    with pytest.raises(ModelError):
        from_dict(stored)


@given(EVENTS, st.sampled_from(["uniform", "quantile"]), st.integers(1, 12))
def test_the_brier_score_is_the_sum_of_its_parts(events: list, strategy: str, n_bins: int) -> None:
    """Reliability less resolution plus uncertainty plus what lies within bins, for any binning."""
    p, y = np.array([event[0] / 20 for event in events]), np.array([float(event[1]) for event in events])
    parts = brier_parts(p, y, n_bins=n_bins, strategy=strategy)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert total == pytest.approx(parts.brier, abs=1e-12)
    assert parts.brier == brier(p, y) == pytest.approx(np.mean([(a - b) ** 2 for a, b in zip(p, y, strict=True)]))


def test_murphys_decomposition_by_hand() -> None:
    """Forecasts 0.2 (no event in 2) and 0.8 (3 events in 4): each part worked out by hand."""
    p = np.array([0.2, 0.2, 0.8, 0.8, 0.8, 0.8])
    y = np.array([0, 0, 1, 1, 1, 0.0])
    parts = brier_parts(p, y, n_bins=5)
    assert parts.reliability == pytest.approx((2 * 0.2**2 + 4 * 0.05**2) / 6)
    assert parts.resolution == pytest.approx((2 * 0.5**2 + 4 * 0.25**2) / 6)
    assert parts.uncertainty == pytest.approx(0.25)
    assert parts.within_bins == pytest.approx(0, abs=1e-15)


def test_log_loss_by_hand_and_at_certainty() -> None:
    """Mean of -ln p of what happened; a certain mistake costs -ln(epsilon), not infinity."""
    assert log_loss(np.array([0.8, 0.4]), np.array([1, 0.0])) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert log_loss(np.array([0.0]), np.array([1.0]), epsilon=1e-6) == pytest.approx(-np.log(1e-6))


def test_bins_hold_their_right_edge() -> None:
    """0 and 0.5 lie in the first of two bins, 0.5000001 and 1 in the second; a bin without rows is absent."""
    bins = reliability_bins(np.array([0, 0.5, 0.5000001, 1.0]), np.array([0, 0, 1, 1.0]), n_bins=2)
    assert bins.count.tolist() == [2, 2]
    assert reliability_bins(np.array([0.95]), np.array([1.0])).index.tolist() == [9]


def test_quantile_bins_hold_equal_counts_and_merge_ties() -> None:
    """Ten distinct probabilities in five bins give two each; one repeated probability gives one bin."""
    assert reliability_bins(np.arange(10) / 20, np.zeros(10), n_bins=5, strategy="quantile").count.tolist() == [2] * 5
    assert reliability_bins(np.full(10, 0.3), np.zeros(10), n_bins=5, strategy="quantile").count.tolist() == [10]


def test_perfect_calibration_has_no_error() -> None:
    """Half of the rows forecast at 0.5 happen: both errors are 0."""
    p, y = np.full(4, 0.5), np.array([0, 1, 0, 1.0])
    assert (ece(p, y), mce(p, y)) == (0, 0)


@pytest.mark.parametrize(
    "p, y, message",
    [
        ([1.2], [1.0], r"probabilities lie in \[1.2, 1.2\]"),
        ([0.5], [2.0], r"outcomes lie in \[2.0, 2.0\]"),
        ([np.nan], [1.0], "no pair"),
        ([0.5, 0.5], [1.0], "one length"),
    ],
)
def test_values_that_are_no_probabilities_are_refused(p: list, y: list, message: str) -> None:
    """Each mistake has its own message."""
    with pytest.raises(ModelError, match=message):
        brier(np.array(p), np.array(y))


def test_one_class_has_no_sigmoid() -> None:
    """A sample without events cannot fit Platt's sigmoid."""
    with pytest.raises(ModelError, match="all 3 outcomes are 0"):
        fit_platt(np.arange(3.0), np.zeros(3))


@given(tried(knots() | knots(st.floats(-1e300, 1e300)) | PLATTS))
def test_applying_rounds_once_per_operation(case: tuple[Calibrator, np.ndarray]) -> None:
    """Any calibrator has, at any score, the bits of the same steps on single Python floats, and lies in [0, 1]."""
    calibrator, scores = case
    found = apply(calibrator, scores)
    assert same(found, one_by_one(calibrator, scores))
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known <= 1)).all()


@given(tried(knots()))
def test_a_higher_score_is_never_less_likely(case: tuple[Calibrator, np.ndarray]) -> None:
    """The curve does not fall anywhere, not even by a rounding just below a knot."""
    calibrator, scores = case
    ordered = np.sort(scores[~np.isnan(scores)])
    assert (np.diff(apply(calibrator, ordered)) >= 0).all()


def test_knots_further_apart_than_a_float_can_hold_are_refused() -> None:
    """Their slope would be 0 and the line between them NaN."""
    with pytest.raises(ModelError):
        Knots(np.array([-1.5e308, 1.5e308]), np.array([0.0, 1.0]))
