"""What weights are worth: the parts by hand, and the cost model's own prices."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.costs.model import CostModel
from trademl.errors import ConfigError
from trademl.portfolio.build import Candidates, PortfolioConfig, portfolio_volatility
from trademl.portfolio.config import ConvexConfig
from trademl.portfolio.utility import TradingMarket, problem_of

PAIR = Candidates(("A", "B"), np.array([1.0, 2.0]), volatility=np.array([0.2, 0.4]), held=np.array([0.1, 0.0]))


def test_the_parts_by_hand() -> None:
    """A year of 252 sessions, no correlation: forecasts, half the variance, spread, and a year of borrowing."""
    config = PortfolioConfig(
        correlation=0.0,
        convex=ConvexConfig(information_coefficient=0.1, horizon_sessions=252, risk_aversion=3, cost_aversion=2),
    )
    market = TradingMarket(1e6, np.full(2, 60e6), costs=CostModel(impact_coefficient=0.0))
    found = problem_of(PAIR, config, market, confidence=0.5).utility(np.array([-0.1, 0.3]))
    # Two ranks are -1 and 1 over the root of 2: forecasts 0.5 x 0.1 x volatility of those.
    assert found.forecast == pytest.approx(0.05 / sqrt(2) * (0.2 * 0.1 + 0.4 * 0.3))
    assert found.risk == pytest.approx(1.5 * (0.02**2 + 0.12**2))
    assert found.trading == pytest.approx(0.5 * 5e-4)
    assert found.borrow == pytest.approx(0.1 * 0.005 * 365.25 / 360)
    assert found.total == pytest.approx(found.forecast - found.risk - 2 * (found.trading + found.borrow))


@given(
    before=st.floats(-0.05, 0.05),
    after=st.floats(-0.05, 0.05),
    equity=st.floats(1e4, 1e9),
    impact=st.sampled_from(["square_root", "almgren_2005"]),
)
def test_trading_costs_what_the_cost_model_says(before: float, after: float, equity: float, impact: str) -> None:
    """The share of equity that the optimiser counts is the sum that a backtest would pay."""
    model = CostModel(impact=impact, commission_usd_per_share=0.01)  # type: ignore[arg-type]
    candidates = Candidates(("A",), np.array([1.0]), volatility=np.array([0.3]), held=np.array([before]))
    market = TradingMarket(equity, np.array([2e7]), price_usd=np.array([40.0]), costs=model)
    found = problem_of(candidates, PortfolioConfig(), market, 1.0).utility(np.array([after])).trading
    value = (after - before) * equity
    paid = model.trade_costs(value, 2e7, 0.3 / sqrt(252), shares=value / 40).total_usd
    assert found * equity == pytest.approx(float(paid), rel=1e-9, abs=1e-9)


def test_the_risk_is_that_of_the_ranked_policy() -> None:
    """Over a year, lambda 2: the variance of the volatility that a target is compared with."""
    config = PortfolioConfig(correlation=0.3, convex=ConvexConfig(horizon_sessions=252, risk_aversion=2))
    problem = problem_of(PAIR, config, TradingMarket(1e6, np.full(2, 1e7)), 1.0)
    weights = np.array([0.4, 0.2])
    expected = portfolio_volatility(weights, np.array([0.2, 0.4]), 0.3) ** 2
    assert problem.utility(weights).risk == pytest.approx(expected)


def test_half_of_kelly_is_twice_the_risk_aversion() -> None:
    """And what has no traded value has no impact, so that it can be left."""
    problem = problem_of(
        PAIR, PortfolioConfig(kelly_fraction=0.5), TradingMarket(1e6, np.array([1e7, np.nan])), confidence=1.0
    )
    assert problem.risk_aversion == 2 * ConvexConfig().risk_aversion
    assert problem.powers[0].coefficient[0] > 0
    assert problem.powers[0].coefficient[1] == 0


def test_what_does_not_fit_is_refused() -> None:
    """No volatility, a column too long, no equity."""
    market = TradingMarket(1e6, np.full(2, 1e7))
    with pytest.raises(ConfigError, match="no volatility is forecast"):
        problem_of(Candidates(("A", "B"), np.zeros(2)), PortfolioConfig(), market, 1.0)
    with pytest.raises(ConfigError, match=r"day_value_usd has the shape \(3,\) for 2 symbols"):
        problem_of(PAIR, PortfolioConfig(), TradingMarket(1e6, np.full(3, 1e7)), 1.0)
    with pytest.raises(ConfigError, match="an equity of 0 USD"):
        problem_of(PAIR, PortfolioConfig(), TradingMarket(0, np.full(2, 1e7)), 1.0)
