"""Information coefficients and errors."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import statistics as oracle
from trademl.errors import ModelError
from trademl.validation.metrics import (
    direction_accuracy,
    information_coefficient,
    mae,
    newey_west_t,
    r2,
    rmse,
    summarise_ic,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-3, 3), st.integers(-3, 3)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(ROWS)
def test_coefficients_equal_the_loop_oracle(rows: list[tuple[int, int, int]]) -> None:
    """Per date, in any row order and with many ties, both coefficients are those of the definitions."""
    dates, yhat, y = np.array(rows).T
    result = information_coefficient(yhat.astype(float), y.astype(float), dates)
    assert result.dates.tolist() == sorted(set(dates.tolist()))
    for position, date in enumerate(result.dates):
        a, b = yhat[dates == date].tolist(), y[dates == date].tolist()
        assert result.count[position] == len(a)
        if len(a) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
            assert np.isnan(result.pearson[position])
            assert np.isnan(result.spearman[position])
        else:
            assert result.pearson[position] == pytest.approx(oracle.pearson(a, b), abs=1e-12)
            ranks = oracle.average_ranks(a), oracle.average_ranks(b)
            assert result.spearman[position] == pytest.approx(oracle.pearson(*ranks), abs=1e-12)


def test_spearman_equals_scipy_on_real_valued_rows() -> None:
    """The vectorised ranks agree with scipy.stats.spearmanr date by date."""
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    rng = np.random.default_rng(1)
    dates = np.datetime64("2020-01-01") + rng.integers(0, 20, 2000)
    y, yhat = rng.standard_normal(2000), rng.standard_normal(2000).round(1)
    result = information_coefficient(yhat, y, dates)
    expected = [stats.spearmanr(yhat[dates == date], y[dates == date]).statistic for date in result.dates]
    np.testing.assert_allclose(result.spearman, expected, atol=1e-12)


def test_pairs_that_are_not_finite_are_left_out() -> None:
    """A NaN or infinite side removes its pair only; a date left with too few pairs stays, undefined."""
    nan, inf = np.nan, np.inf
    yhat = np.array([1, 2, 3, nan, 1, 2, 3.0])
    y = np.array([3, 2, 1, 9, inf, 1, 2.0])
    result = information_coefficient(yhat, y, np.array([0, 0, 0, 0, 1, 1, 1]))
    assert result.count.tolist() == [3, 2]
    assert result.spearman[0] == pytest.approx(-1.0)
    assert np.isnan(result.spearman[1])


def test_a_constant_cross_section_has_no_coefficient_however_it_rounds() -> None:
    """Equal predictions of 0.1, whose mean does not round to 0.1, rank nothing: NaN, not a rounding error."""
    result = information_coefficient(np.full(7, 0.1), np.arange(7.0), np.zeros(7, int))
    assert np.isnan(result.pearson[0])
    assert np.isnan(result.spearman[0])


def test_no_rows_give_no_dates() -> None:
    """An empty panel is an empty series, and its summary says so."""
    result = information_coefficient(np.empty(0), np.empty(0), np.empty(0, int))
    assert len(result.dates) == 0
    assert summarise_ic(result.spearman).n_dates == 0


def test_summary_by_hand() -> None:
    """Series 0.1, 0.3, NaN, -0.1: mean 0.1, deviation 0.2, two of three dates hit, one undefined."""
    summary = summarise_ic(np.array([0.1, 0.3, np.nan, -0.1]), lags=0)
    assert summary.mean == pytest.approx(0.1)
    assert summary.std == pytest.approx(0.2)
    assert summary.icir == pytest.approx(0.5)
    assert summary.hit_rate == pytest.approx(2 / 3)
    assert (summary.n_dates, summary.n_undefined) == (3, 1)
    # Without lags: mean / sqrt(population variance / n) = 0.1 / sqrt(0.08 / 3 / 3).
    assert summary.t_stat == pytest.approx(0.1 / np.sqrt(0.08 / 9))


@given(st.lists(st.integers(-9, 9), min_size=3, max_size=15), st.integers(0, 5))
def test_newey_west_equals_the_full_weight_matrix(series: list[int], lags: int) -> None:
    """The error sums Bartlett-weighted products over all pairs of dates."""
    if len(set(series)) == 1:
        assert np.isnan(newey_west_t(np.array(series, float), lags=lags))
        return
    lags = min(lags, len(series) - 1)
    assert newey_west_t(np.array(series, float), lags=lags) == pytest.approx(
        oracle.newey_west_t(series, lags), rel=1e-9
    )


def test_overlapping_labels_lower_the_t_statistic() -> None:
    """A positively autocorrelated series is less significant than its plain t-statistic says."""
    noise = np.random.default_rng(3).standard_normal(2000)
    series = np.convolve(noise, np.ones(5) / 5, "valid") + 0.1
    assert newey_west_t(series, lags=20) < 0.6 * newey_west_t(series, lags=0)


def test_errors_by_hand() -> None:
    """Predictions 1, 2, NaN against 2, 4, 6: errors 1 and 2 over the two finite pairs."""
    yhat, y = np.array([1, 2, np.nan]), np.array([2, 4, 6.0])
    assert rmse(yhat, y) == pytest.approx(np.sqrt(2.5))
    assert mae(yhat, y) == pytest.approx(1.5)
    assert r2(yhat, y) == pytest.approx(1 - 5 / 2)
    assert np.isnan(r2(np.array([1.0, 2.0]), np.array([3.0, 3.0])))
    assert np.isnan(rmse(np.array([np.nan]), np.array([1.0])))


def test_direction_counts_rows_that_moved() -> None:
    """Of the four that moved two had the right sign; a prediction of 0 is wrong; a return of 0 is not counted."""
    yhat, y = np.array([1, -1, 0, 1, 1.0]), np.array([2, -2, 1, -1, 0.0])
    assert direction_accuracy(yhat, y) == 0.5
    assert np.isnan(direction_accuracy(np.array([1.0]), np.array([0.0])))


def test_shapes_must_agree() -> None:
    """Arrays of different lengths are refused."""
    with pytest.raises(ModelError, match=r"shape \(2,\), outcomes \(3,\)"):
        rmse(np.zeros(2), np.zeros(3))
    with pytest.raises(ModelError, match="`dates` has 1 rows"):
        information_coefficient(np.zeros(2), np.zeros(2), np.zeros(1))


def test_a_million_rows_take_well_under_a_few_seconds() -> None:
    """1,000,000 rows on 1,250 dates need no loop over dates (bound wide enough for a busy machine)."""
    rng = np.random.default_rng(0)
    y, dates = rng.standard_normal(1_000_000), np.repeat(np.arange(1250), 800)
    began = time.process_time()
    result = information_coefficient(0.05 * y + rng.standard_normal(1_000_000), y, dates)
    assert time.process_time() - began < 2
    assert summarise_ic(result.pearson).mean == pytest.approx(0.05, abs=0.005)
