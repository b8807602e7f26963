"""The frontier of an order: its ends, its shape, and a picture that is the same bytes each time."""

from pathlib import Path

import numpy as np
import pytest

from trademl.errors import ConfigError
from trademl.execution.schedule import MarketModel
from trademl.reports.frontier import Frontier, describe, frontier_of, write_frontier

PAPER = MarketModel(volatility=0.95, half_spread=0.0625, permanent=2.5e-7, temporary=2.5e-6)
"""Almgren and Chriss (2000), table 1."""


def paper() -> Frontier:
    return frontier_of("the paper", 1e6, 5.0, 5, PAPER, 1e-6)


def test_the_ends_are_equal_slices_and_everything_at_once() -> None:
    """Of a million shares over five days, by their equations 7 and 8 with eta less gamma / 2.

    Equal slices: half of gamma X^2 is 125,000, the spread 62,500, and 2.375e-6 x 5 x 200,000^2 is 475,000; at once:
    2.375e-6 x 1e12 instead, with no variance.
    """
    found = paper()
    assert found.calm.expected_cost == pytest.approx(125_000 + 62_500 + 475_000)
    assert found.at_once.expected_cost == pytest.approx(125_000 + 62_500 + 2_375_000)
    assert found.at_once.deviation == 0
    assert found.calm.deviation == pytest.approx(0.95 * 1e6 * np.sqrt(0.8**2 + 0.6**2 + 0.4**2 + 0.2**2))


def test_less_uncertainty_costs_more_and_ever_more() -> None:
    """Along the curve the variance falls, the cost rises, and the price of a unit of variance is lambda."""
    curve = paper().curve
    variance = np.array([one.variance for one in curve])
    cost = np.array([one.expected_cost for one in curve])
    aversion = np.array([one.risk_aversion for one in curve])
    assert np.all(np.diff(variance) < 0)
    assert np.all(np.diff(cost) > 0)
    slope = np.diff(cost) / -np.diff(variance)
    assert np.all((slope >= aversion[:-1] * (1 - 1e-9)) & (slope <= aversion[1:] * (1 + 1e-9)))


def test_the_picture_is_the_same_bytes_twice(tmp_path: Path) -> None:
    """A PNG with no trace of when it was made."""
    first = write_frontier(paper(), tmp_path / "a" / "one.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert write_frontier(paper(), tmp_path / "two.png").read_bytes() == first


def test_lines_state_cost_deviation_and_half_life() -> None:
    """Of the schedule that was asked for: the paper's half-life of 1.6 days."""
    lines = describe(paper())
    assert lines[0] == "the paper: 1,000,000 shares over 5 days"
    asked = next(line for line in lines if line.strip().startswith("as asked")).split()
    assert asked[2] == "1.0e-06"
    assert float(asked[5]) == pytest.approx(1.6, abs=0.06)


def test_an_order_of_nothing_has_no_frontier() -> None:
    """As no schedule has."""
    with pytest.raises(ConfigError, match="no schedule can be made"):
        frontier_of("nothing", 0.0, 5.0, 5, PAPER, 1e-6)
