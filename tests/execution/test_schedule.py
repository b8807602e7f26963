"""Schedules: Almgren and Chriss's own figures, optimality, and slices that lose no share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ConfigError
from trademl.execution.schedule import (
    MarketModel,
    capped_by_participation,
    cost_of,
    efficient_frontier,
    market_of_day,
    optimal_trajectory,
    twap_slices,
    vwap_slices,
)

PAPER = MarketModel(volatility=0.95, half_spread=0.0625, permanent=2.5e-7, temporary=2.5e-6)
"""Almgren and Chriss (2000), table 1."""


def test_the_paper_s_example() -> None:
    """Their 0.61 a day for a risk aversion of 1e-6, and holdings that they plot."""
    found = optimal_trajectory(1e6, 5, 5, PAPER, 1e-6)
    assert found.kappa == pytest.approx(0.61, abs=0.005)
    assert found.half_life == pytest.approx(1.6, abs=0.05)
    assert found.holdings[[0, -1]].tolist() == [1e6, 0]
    assert np.all(np.diff(found.trades) < 0)


def test_without_risk_aversion_slices_are_equal() -> None:
    """Lambda 0 is the cheapest schedule: E of equation 9, with the whole of gamma X^2 / 2 paid."""
    found = optimal_trajectory(1e6, 5, 5, PAPER, 0)
    assert found.trades == pytest.approx(np.full(5, 2e5))
    eta = 2.5e-6 - 2.5e-7 / 2
    assert found.expected_cost == pytest.approx(0.5 * 2.5e-7 * 1e12 + 0.0625 * 1e6 + eta * 5 * 4e10)
    assert found.half_life == np.inf


def test_value_at_risk_is_the_cost_and_so_many_deviations() -> None:
    """At 95 % 1.645 deviations."""
    found = optimal_trajectory(1e6, 5, 5, PAPER, 1e-6)
    assert found.value_at_risk() == pytest.approx(found.expected_cost + 1.6448536 * found.deviation)


@given(
    moves=st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4),
    aversion=st.floats(1e-8, 1e-5),
    days=st.floats(0.5, 10),
)
def test_no_other_schedule_has_a_better_utility(moves: list[float], aversion: float, days: float) -> None:
    """Any change of the holdings raises E + lambda V."""
    best = optimal_trajectory(1e6, days, 5, PAPER, aversion)
    other = best.holdings.copy()
    other[1:-1] += np.array(moves) * 1e6
    assert cost_of(other, days, PAPER, aversion).utility >= best.utility * (1 - 1e-12)


def test_the_frontier_trades_cost_for_variance() -> None:
    """A higher aversion costs more on average and varies less."""
    frontier = efficient_frontier(1e6, 5, 20, PAPER, np.geomspace(1e-8, 1e-4, 9))
    assert np.all(np.diff([one.expected_cost for one in frontier]) > 0)
    assert np.all(np.diff([one.variance for one in frontier]) < 0)


def test_a_huge_aversion_sells_at_once_without_overflow() -> None:
    """Where sinh itself would overflow."""
    found = optimal_trajectory(1e6, 5, 1000, PAPER, 1e3)
    assert np.all(np.isfinite(found.holdings))
    assert found.trades[0] > 0.99e6


def test_impossible_schedules_are_refused() -> None:
    """With what was given."""
    with pytest.raises(ConfigError, match="temporary impact"):
        optimal_trajectory(1e6, 100, 1, PAPER, 1e-6)
    with pytest.raises(ConfigError, match="risk aversion of -1"):
        optimal_trajectory(1e6, 5, 5, PAPER, -1)
    with pytest.raises(ConfigError, match="0 shares"):
        optimal_trajectory(0, 5, 5, PAPER, 1e-6)
    with pytest.raises(ConfigError, match="do not end in 0"):
        cost_of([5.0, 1.0], 1, PAPER)
    with pytest.raises(ConfigError, match="volume profile"):
        vwap_slices(10, [0.0, 0.0])
    with pytest.raises(ConfigError, match="participation limit"):
        capped_by_participation([1], [1], 0)


@given(shares=st.integers(-(10**9), 10**9), intervals=st.integers(1, 390))
def test_twap_places_every_share_once(shares: int, intervals: int) -> None:
    """Slices add up, and differ by one share at most."""
    slices = twap_slices(shares, intervals)
    assert slices.sum() == shares
    assert np.ptp(slices) <= 1


@given(shares=st.integers(-(10**7), 10**7), profile=st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_vwap_follows_the_volume_to_a_share(shares: int, profile: list[float]) -> None:
    """Slices add up, have one sign, and are within a share of their part."""
    volumes = np.array(profile)
    if volumes.sum() <= 0:
        with pytest.raises(ConfigError):
            vwap_slices(shares, volumes)
        return
    slices = vwap_slices(shares, volumes)
    assert slices.sum() == shares
    assert np.all(slices * np.sign(shares) >= 0)
    assert np.max(np.abs(slices - shares * volumes / volumes.sum())) <= 1 + 1e-6


@given(
    slices=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30),
    volume=st.floats(0, 1e6),
    limit=st.floats(0.01, 1),
)
def test_participation_is_never_exceeded_and_no_share_is_lost(slices: list[int], volume: float, limit: float) -> None:
    """What is placed and what waits are the order."""
    placed, waiting = capped_by_participation(slices, [volume] * len(slices), limit)
    assert placed.sum() + waiting == sum(slices)
    assert np.all(np.abs(placed) <= volume * limit)


def test_the_paper_s_rules_of_thumb_give_its_coefficients() -> None:
    """50 USD, 5 million shares a day, a spread of 1/8, 0.95 USD a day: epsilon, gamma and eta of table 1."""
    found = market_of_day(price=50.0, day_volatility=0.95 / 50, day_volume=5e6, spread=0.125)
    assert found.half_spread == PAPER.half_spread
    assert found.permanent == pytest.approx(PAPER.permanent)
    assert found.temporary == pytest.approx(PAPER.temporary)
    assert found.volatility == pytest.approx(PAPER.volatility)
    with pytest.raises(ConfigError, match="a volume of 0"):
        market_of_day(50.0, 0.01, 0, 0.1)
