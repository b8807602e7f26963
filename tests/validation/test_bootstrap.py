"""Stationary bootstrap, automatic block length, and tests of one series against another."""

from math import isnan, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import bootstrap as oracle
from tests.oracles.statistics import newey_west_t
from trademl.errors import ModelError
from trademl.validation import bootstrap
from trademl.validation.bootstrap import (
    bootstrap_mean,
    newey_west_interval,
    optimal_block,
    paired_test,
    stationary_indices,
)


def autoregressive(seed: int, n: int, coefficient: float) -> np.ndarray:
    """A normal series in which each value carries part of the one before, after a warm-up of 100."""
    values = np.random.default_rng(seed).standard_normal(n + 100)
    for at in range(1, len(values)):
        values[at] += coefficient * values[at - 1]
    return values[100:]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 5), st.floats(1.0, 30.0), st.integers(0, 10**6))
def test_resamples_equal_those_of_a_walk(n: int, resamples: int, block: float, seed: int) -> None:
    """From the same random numbers, the vectorised indices are those of walking place by place."""
    fast = stationary_indices(n, resamples, block, np.random.default_rng(seed))
    assert fast.tolist() == oracle.stationary_indices(n, resamples, block, np.random.default_rng(seed))


def test_blocks_have_the_expected_length_and_every_value_its_share() -> None:
    """Of 2.4 million steps, one in 8 starts a block (a jump that hits the next value by chance aside)."""
    indices = stationary_indices(1200, 2000, 8.0, np.random.default_rng(0))
    follows = (indices[:, 1:] - indices[:, :-1]) % 1200 == 1
    assert follows.mean() == pytest.approx(1 - 1 / 8 * (1 - 1 / 1200), abs=0.001)
    counts = np.bincount(indices.ravel(), minlength=1200) / 2000
    assert counts.mean() == 1
    assert abs(counts - 1).max() < 0.4


def test_the_standard_error_is_that_of_the_paper() -> None:
    """The spread of resampled means is the exact one of lemma 1, within what 20,000 resamples leave."""
    values = autoregressive(5, 40, 0.5)
    for block in (1.0, 4.0, 12.0):
        found = bootstrap_mean(values, n_resamples=20_000, block=block, seed=1).standard_error
        assert found == pytest.approx(sqrt(oracle.variance_of_mean(values.tolist(), block)), rel=0.02)


def test_a_published_block_length() -> None:
    """arch's own test (arch/tests/bootstrap/test_block_length.py) prints 13.635665 for this series."""
    values = np.random.RandomState(0).standard_normal(10_100)
    for at in range(1, len(values)):
        values[at] = 0.3 * values[at - 1] + values[at]
    assert optimal_block(values[100:]) == pytest.approx(13.635665, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 80), st.floats(-0.8, 0.95))
def test_the_block_length_equals_the_loop_oracle(seed: int, n: int, coefficient: float) -> None:
    """Whatever the dependence and however short the series."""
    values = autoregressive(seed, n, coefficient)
    assert optimal_block(values) == pytest.approx(oracle.optimal_block(values.tolist()), rel=1e-6)


def test_more_dependence_takes_longer_blocks() -> None:
    """Stronger dependence asks for several times the length; a constant, or 3 values, for none.

    An AR(1) with coefficient c has G / spectrum = 2 c / (1 - c^2), so of 4,000 values blocks of 19 and 71 are best for
    0.5 and 0.9 (Politis & White 2004); the estimate is within a third of that.
    """
    lengths = [optimal_block(autoregressive(2, 4000, coefficient)) for coefficient in (0.0, 0.5, 0.9)]
    assert lengths[0] < 6
    assert lengths[1] == pytest.approx(((2 * 0.5 / 0.75) ** 2 * 4000) ** (1 / 3), rel=1 / 3)
    assert lengths[2] == pytest.approx(((2 * 0.9 / 0.19) ** 2 * 4000) ** (1 / 3), rel=1 / 3)
    assert optimal_block(np.full(50, 0.1)) == 1
    assert [optimal_block(np.arange(n, dtype=float)) for n in (2, 3)] == [1, 1]


@pytest.mark.parametrize("method", ["bootstrap", "newey_west"])
def test_intervals_of_dependent_series_cover_their_mean(method: str) -> None:
    """Of 200 series with autocorrelation 0.5, about 95 % of the 95 % intervals hold the true mean of 0.

    One that took dates as independent would hold it 74 % of the time. Both methods are known to err somewhat to the
    narrow side, hence 87 %.
    """
    covered = 0
    for seed in range(200):
        values = autoregressive(seed, 400, 0.5)
        found = (
            bootstrap_mean(values, n_resamples=400, seed=seed) if method == "bootstrap" else newey_west_interval(values)
        )
        covered += found.low <= 0 <= found.high
        assert found.low < found.mean < found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval() -> None:
    """Also however many values are drawn at a time; another seed gives another."""
    values = autoregressive(1, 300, 0.3)
    one = bootstrap_mean(values, seed=4)
    assert one == bootstrap_mean(values, seed=4)
    assert one.low != bootstrap_mean(values, seed=5).low


def test_rare_crashes_lengthen_the_lower_side() -> None:
    """A series that loses much in 1 of 20 periods may be worse than it looks more than it may be better."""
    losses = np.where(np.arange(60) % 20 == 7, -1.0, 0.01)
    found = bootstrap_mean(losses, n_resamples=20_000, block=1.0, seed=0)
    assert found.mean - found.low > 1.2 * (found.high - found.mean) > 0


@pytest.mark.parametrize("lags", [0, 4, None])
def test_the_newey_west_interval_is_mean_and_error(lags: int | None) -> None:
    """The error is mean / t of the loop oracle (23 values: 2 lags when none are given)."""
    values = np.random.default_rng(3).standard_normal(23) + 0.4
    chosen = 2 if lags is None else lags
    error = values.mean() / newey_west_t(values.tolist(), chosen)
    found = newey_west_interval(values, lags=lags, confidence=0.9)
    assert found.standard_error == pytest.approx(error)
    assert found.high - found.mean == pytest.approx(NormalDist().inv_cdf(0.95) * error)
    assert found.low + found.high == pytest.approx(2 * found.mean)
    assert found.block == chosen + 1


def test_a_mean_of_zero_has_an_error_too() -> None:
    """The t-statistic is 0 there, the error is not: two values of -1 and 1 have error 1 / sqrt(2)."""
    assert newey_west_interval(np.array([-1.0, 1.0]), lags=0).standard_error == pytest.approx(1 / sqrt(2))


def test_dates_without_a_value_are_dropped_and_counted() -> None:
    """NaN dates change nothing but the count, as in a series of daily information coefficients."""
    values = autoregressive(6, 120, 0.2)
    gaps = np.insert(values, [0, 50, 120], np.nan)
    for measure in (lambda x: bootstrap_mean(x, seed=1), newey_west_interval):
        full, holed = measure(values), measure(gaps)
        assert (holed.n, holed.n_dropped, full.n_dropped) == (120, 3, 0)
        assert (holed.low, holed.high, holed.block) == (full.low, full.high, full.block)
    found = paired_test(gaps, np.insert(np.zeros(122), 10, np.nan), seed=1)
    assert (found.n, found.n_dropped) == (119, 4)


def test_a_constant_series_has_an_interval_of_one_point() -> None:
    """Nothing varies, so nothing is uncertain."""
    for found in (bootstrap_mean(np.full(30, 0.5), seed=0), newey_west_interval(np.full(30, 0.5))):
        assert (found.low, found.high, found.standard_error) == (0.5, 0.5, 0)


def test_a_better_challenger_is_told_from_luck() -> None:
    """A mean higher by half a standard deviation is found in 250 dates, and the reverse is as clearly refused."""
    market = autoregressive(7, 250, 0.2)
    champion = market + np.random.default_rng(8).standard_normal(250)
    challenger = champion + 0.5 + np.random.default_rng(9).standard_normal(250)
    better, worse = paired_test(challenger, champion, seed=0), paired_test(champion, challenger, seed=0)
    assert better.p_value <= 1 / 2001 + 1e-12
    assert better.p_newey_west < 1e-6
    assert worse.p_value > 0.999
    assert better.mean_difference == -worse.mean_difference == pytest.approx((challenger - champion).mean())
    assert better.t_stat == pytest.approx(better.mean_difference / better.standard_error)
    assert better.t_stat == pytest.approx(newey_west_t((challenger - champion).tolist(), int(4 * 2.5 ** (2 / 9))))


def test_what_both_series_share_cancels() -> None:
    """A common market of any size leaves the comparison as it is."""
    rng = np.random.default_rng(10)
    one, other, market = rng.standard_normal((3, 200))
    plain, shared = paired_test(one, other, seed=2), paired_test(one + 8 * market, other + 8 * market, seed=2)
    assert shared.p_value == plain.p_value
    assert shared.t_stat == pytest.approx(plain.t_stat)


def test_equal_challengers_are_promoted_about_as_often_as_asked() -> None:
    """Of 300 pairs without a difference, some 5 % have p <= 0.05 (at most 10 %)."""
    series = [autoregressive(seed, 200, 0.3) for seed in range(600)]
    found = [paired_test(series[at], series[at + 1], n_resamples=300, seed=at) for at in range(0, 600, 2)]
    assert 0.01 <= np.mean([test.p_value <= 0.05 for test in found]) <= 0.10
    assert np.mean([test.p_value for test in found]) == pytest.approx(0.5, abs=0.06)
    assert np.corrcoef([test.p_value for test in found], [test.p_newey_west for test in found])[0, 1] > 0.98


def test_the_champion_does_not_beat_itself() -> None:
    """A copy has p = 1 and no t-statistic."""
    champion = autoregressive(3, 100, 0.0)
    found = paired_test(champion, champion, seed=0)
    assert found.p_value == 1
    assert isnan(found.t_stat)
    assert isnan(found.p_newey_west)


def test_few_values_at_a_time_draw_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by drawing in parts: every resample is there, and the result is as sure."""
    values = autoregressive(4, 100, 0.3)
    whole = bootstrap_mean(values, n_resamples=3001, seed=0)
    monkeypatch.setattr(bootstrap, "_CELLS", 250)
    parts = bootstrap_mean(values, n_resamples=3001, seed=0)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=0.1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: bootstrap_mean(np.array([1.0, np.nan]), seed=0), "1 of 2 values are numbers"),
        (lambda: bootstrap_mean(np.array([1.0, np.inf, 2.0]), seed=0), "1 of them infinite"),
        (lambda: bootstrap_mean(np.zeros((3, 2)), seed=0), r"shape \(3, 2\)"),
        (lambda: bootstrap_mean(np.arange(5.0), n_resamples=0, seed=0), "`n_resamples=0`"),
        (lambda: bootstrap_mean(np.arange(5.0), block=6, seed=0), "`block=6` is not between 1 and the 5 values"),
        (lambda: bootstrap_mean(np.arange(5.0), confidence=95, seed=0), "`confidence=95`"),
        (lambda: newey_west_interval(np.arange(5.0), lags=-1), "`lags=-1` is negative"),
        (lambda: paired_test(np.arange(5.0), np.arange(4.0), seed=0), r"shape \(5,\), the champion \(4,\)"),
        (lambda: paired_test(np.full(5, np.inf), np.full(5, np.inf), seed=0), "infinite"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    """The message names what was given."""
    with pytest.raises(ModelError, match=message):
        call()
