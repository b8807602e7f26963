"""The cost model: parts by hand, units, tiers, and that costs add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.costs.impact import AlmgrenCoefficients
from trademl.costs.model import BorrowTier, CostModel
from trademl.errors import ConfigError

FREE = CostModel(spread_bps=0.0, impact_coefficient=0.0)


def test_a_trade_by_hand() -> None:
    """100,000 USD of a share of 25 USD that trades 10 million a day with 2 % volatility, at the close."""
    model = CostModel(commission_bps=1.0, commission_usd_per_share=0.005, auction_bps=2.0)
    costs = model.trade_costs(-100_000, 10_000_000, 0.02, shares=-4000, in_auction=True)
    assert float(costs.commission_usd) == pytest.approx(10 + 20)
    assert float(costs.spread_usd) == pytest.approx(50)
    # 2 % times the root of a hundredth is 20 basis points.
    assert float(costs.impact_usd) == pytest.approx(200)
    assert float(costs.auction_usd) == pytest.approx(20)
    assert float(costs.total_usd) == pytest.approx(300)
    assert costs.by_part() == pytest.approx({"commission": 30, "spread": 50, "impact": 200, "auction": 20})


def test_a_measured_spread_replaces_the_default_where_it_is_known() -> None:
    """NaN is not known."""
    costs = CostModel(impact_coefficient=0.0).trade_costs([1e6, 1e6], 1e7, 0.01, spread_bps=[2.0, np.nan])
    assert costs.spread_usd == pytest.approx([200, 500])


def test_what_is_not_traded_costs_nothing_and_needs_no_volume() -> None:
    """A row without a day's value is refused only when something is traded."""
    assert CostModel().trade_costs([0.0, 1e5], [0.0, 1e6], [np.nan, 0.01]).total_usd[0] == 0
    with pytest.raises(ConfigError, match="day_value"):
        CostModel().trade_costs([1.0], [0.0], [0.01])


@given(value=st.floats(1, 1e8), parts=st.integers(2, 20))
def test_smaller_trades_move_the_price_less(value: float, parts: int) -> None:
    """The same value in parts pays the same spread and less impact."""
    whole = CostModel().trade_costs(value, 1e8, 0.02)
    split = CostModel().trade_costs(np.full(parts, value / parts), 1e8, 0.02)
    assert split.by_part()["spread"] == pytest.approx(whole.by_part()["spread"])
    assert split.by_part()["impact"] == pytest.approx(whole.by_part()["impact"] / parts**0.5)


def test_borrow_tiers() -> None:
    """50, 100 and 200 basis points by liquidity; a missing liquidity is the dearest; long positions borrow nothing."""
    rates = CostModel().borrow_bps_per_year([60e6, 50e6, 49e6, 1e6, np.nan])
    assert rates.tolist() == [50, 50, 100, 200, 200]
    cost = CostModel().borrow_cost_usd([-1e6, 1e6], 60e6, 3)
    assert cost == pytest.approx([1e6 * 0.005 * 3 / 360, 0])


def test_the_impact_of_almgren_by_hand() -> None:
    """A tenth of a day's volume worked for half a day, at 2 % volatility, 16 days to turn the company over.

    Permanent 0.3 x 0.02 x 0.1 x 16^0.25 = 0.0012, of which half is paid; temporary 0.1 x 0.02 x (0.1 / 0.5)^1 = 0.0004.
    """
    coefficients = AlmgrenCoefficients(gamma=0.3, eta=0.1, beta=1.0, delta=0.25)
    model = CostModel(
        impact="almgren_2005", almgren=coefficients, impact_duration_days=0.5, days_to_turn_over=16.0, spread_bps=0.0
    )
    costs = model.trade_costs([1e6, -1e6], 1e7, 0.02)
    assert costs.impact_usd == pytest.approx([1000, 1000])


@given(
    value=st.floats(1, 1e9),
    day=st.floats(1e5, 1e10),
    volatility=st.floats(0.001, 0.2),
    model=st.builds(
        CostModel,
        impact=st.sampled_from(["square_root", "almgren_2005"]),
        impact_coefficient=st.floats(0, 3),
        impact_exponent=st.floats(0.3, 1),
        impact_duration_days=st.floats(0.05, 5),
        days_to_turn_over=st.floats(20, 2000),
    ),
)
def test_powers_are_the_impact_that_trades_pay(value: float, day: float, volatility: float, model: CostModel) -> None:
    """What an optimiser is given prices any order as the trade itself is priced."""
    terms = model.impact_terms(np.array([day]), np.array([volatility]))
    by_terms = sum(float(term.coefficient[0]) * value**term.exponent for term in terms)
    assert by_terms == pytest.approx(float(model.trade_costs(value, day, volatility).impact_usd), rel=1e-9)
    assert all(term.exponent > 1 for term in terms)


def test_the_rate_is_all_that_does_not_depend_on_size() -> None:
    """1 bp of commission, 5 of spread, 2 of the auction, and half a cent on a share of 25 USD is 2 bps."""
    model = CostModel(commission_bps=1.0, commission_usd_per_share=0.005, auction_bps=2.0)
    assert model.rate_bps([25.0], in_auction=True) == pytest.approx([10])
    assert model.rate_bps(spread_bps=[2.0, np.nan]) == pytest.approx([3, 6])


def test_a_free_model_is_free() -> None:
    """Nothing hides in the parts."""
    assert float(FREE.trade_costs(1e6, 1e6, 0.5).total_usd) == 0


def test_rates_and_tiers_that_make_no_sense_are_refused() -> None:
    """With name and value."""
    with pytest.raises(ConfigError, match="spread_bps is -1"):
        CostModel(spread_bps=-1.0)
    with pytest.raises(ConfigError, match="impact is 'cube_root'"):
        CostModel(impact="cube_root")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"days_to_turn_over is 0\.0"):
        CostModel(days_to_turn_over=0.0)
    with pytest.raises(ConfigError, match="borrow tiers begin at"):
        CostModel(borrow=(BorrowTier(1e6, 50.0),))
