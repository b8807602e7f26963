"""Estimates before an order is sent: parts by hand, units, and what is not traded."""

import numpy as np
import pytest

from trademl.costs.model import CostModel
from trademl.costs.orders import Orders
from trademl.errors import ConfigError


def orders(**other: object) -> Orders:
    """A purchase of 100,000 USD and a sale of 40,000, of shares of 50 USD that trade 10 million a day."""
    given = {
        "symbols": ("A", "B"),
        "value_usd": np.array([100_000.0, -40_000.0]),
        "day_value_usd": np.array([1e7, 4e6]),
        "day_volatility": np.array([0.02, 0.01]),
        **other,
    }
    return Orders(**given)  # type: ignore[arg-type]


def test_an_estimate_by_hand() -> None:
    """5 bps of spread; 2 % and 1 % times the root of a hundredth; half a cent a share on 2,000 and 800 shares."""
    model = CostModel(commission_usd_per_share=0.005)
    found = model.estimate(orders(price_usd=np.array([50.0, 50.0])))
    assert found.spread_usd == pytest.approx([50, 20])
    assert found.impact_usd == pytest.approx([200, 40])
    assert found.commission_usd == pytest.approx([10, 4])
    assert found.total_usd == pytest.approx([260, 64])
    assert found.bps == pytest.approx([26, 16])
    assert found.by_part() == pytest.approx({"commission": 14, "spread": 70, "impact": 240, "auction": 0, "borrow": 0})


def test_short_positions_after_the_orders_are_borrowed() -> None:
    """40,000 USD short for nine days at 200 basis points, and no cost of trading."""
    found = CostModel().estimate(orders(position_usd=np.array([1e5, -4e4])), borrow_days=9)
    assert found.borrow_usd == pytest.approx([0, 40_000 * 0.02 * 9 / 360])
    assert found.borrow_days == 9
    assert found.total_usd == pytest.approx([250, 60])


def test_an_auction_and_a_measured_spread() -> None:
    """Slippage on every traded dollar; the measured spread where there is one."""
    model = CostModel(impact_coefficient=0.0, auction_bps=3.0)
    found = model.estimate(orders(in_auction=True, spread_bps=np.array([1.0, np.nan])))
    assert found.auction_usd == pytest.approx([30, 12])
    assert found.spread_usd == pytest.approx([10, 20])


def test_nothing_traded_costs_nothing() -> None:
    """And has no rate of it."""
    found = CostModel().estimate(orders(value_usd=np.zeros(2)))
    assert found.total_usd.tolist() == found.bps.tolist() == [0, 0]


def test_shares_follow_from_prices() -> None:
    """Signed; none where no price was given."""
    assert orders(price_usd=np.array([50.0, 20.0])).shares.tolist() == [2000, -2000]
    assert orders().shares.tolist() == [0, 0]


def test_columns_of_another_length_are_refused() -> None:
    """With the name and the shape."""
    with pytest.raises(ConfigError, match=r"price_usd has the shape \(3,\) for 2 orders"):
        orders(price_usd=np.ones(3))
