"""Figures: returns, turnover and costs by hand, and the same table of days from both engines."""

from dataclasses import replace

import numpy as np
import pytest

from tests.backtest.markets import flat_market
from trademl.backtest.engine import BacktestConfig, run_backtest
from trademl.backtest.figures import COSTS, Days, event_days, filled_share, session_bases, summarise
from trademl.costs.model import BorrowTier, CostModel
from trademl.errors import ModelError


def days(equity: list[float], sizing: str = "equity", **columns: list[float]) -> Days:
    """Days with this equity; amounts that are not given are 0."""
    names = ("cash_usd", "gross_usd", "net_usd", "traded_usd", "dividend_usd", "delisted_usd")
    found = {name: np.zeros(len(equity)) for name in (*names, *(f"{part}_usd" for part in COSTS))}
    found |= {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    found["equity_usd"] = np.array(equity, dtype=np.float64)
    rules = BacktestConfig(capital_usd=equity[0], sizing=sizing)  # type: ignore[arg-type]
    dates = np.datetime64("2020-01-06") + np.arange(len(equity))
    return Days(dates, found, session_bases(found["equity_usd"], rules))


def test_returns_are_measured_on_what_weights_are_shares_of() -> None:
    """100, 110, 121: 10 % and 10 % of equity, 10 % and 11 % of a fixed capital."""
    assert days([100, 110, 121]).net.tolist() == pytest.approx([0.1, 0.1])
    assert days([100, 110, 121], "capital").net.tolist() == pytest.approx([0.1, 0.11])


def test_gross_is_net_and_every_cost() -> None:
    """A spread of 1 and a borrow fee of 2 on 100: 10 % net is 13 % gross."""
    found = days([100, 110, 121], spread_usd=[0, 1, 0], borrow_usd=[0, 2, 0], traded_usd=[0, 50, 0])
    assert found.gross.tolist() == pytest.approx([0.13, 0.1])
    assert found.turnover.tolist() == pytest.approx([0.5, 0])


def test_figures_of_a_year_by_hand() -> None:
    """Net returns of 2 %, -1 % and 2 %, of which 1 % each was paid as spread on the first."""
    found = summarise(
        days(
            [100, 102, 100.98, 102.9996], spread_usd=[0, 1, 0, 0], traded_usd=[0, 40, 0, 0], gross_usd=[0, 90, 90, 90]
        ),
        filled=0.5,
    )
    net = np.array([0.02, -0.01, 0.02])
    assert found.sessions == 3
    assert found.net_return == pytest.approx(0.01 * 252)
    assert found.gross_return == pytest.approx((0.01 + 0.01 / 3) * 252)
    assert found.net_sharpe == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))
    assert found.max_drawdown == pytest.approx(0.01)
    assert found.turnover == pytest.approx(0.4 / 3)
    assert found.cost_bps["spread"] == pytest.approx(0.01 / 3 * 252 * 1e4)
    assert found.cost_bps["impact"] == 0
    assert found.filled == 0.5
    assert found.document()["final_equity_usd"] == pytest.approx(102.9996)


def test_what_has_no_figures_is_refused() -> None:
    """Too short, and ruined; a ratio that is no number is None in JSON."""
    with pytest.raises(ModelError, match="2 sessions has no figures"):
        summarise(days([100, 110]))
    with pytest.raises(ModelError, match="nothing was left on 2020-01-07"):
        summarise(days([100, -1, 110]))
    assert summarise(days([100, 100, 100])).document()["net_sharpe"] is None


def test_days_of_the_engine_hold_every_cost() -> None:
    """Equity falls by what was paid, in its parts, on the day it was paid."""
    market = flat_market(5)
    market.dividend[3] = 0.5
    costs = CostModel(commission_bps=1.0, auction_bps=2.0, borrow=(BorrowTier(0.0, 360.0),))
    rules = BacktestConfig()
    result = run_backtest(
        market, lambda seen, held: np.array([-0.5]) if len(seen.dates) == 1 else None, costs=costs, config=rules
    )
    found = event_days(result, rules, 0)
    assert found.columns["commission_usd"].tolist() == pytest.approx([0, 50, 0, 0, 0])
    assert found.columns["auction_usd"].tolist() == pytest.approx([0, 100, 0, 0, 0])
    assert found.columns["spread_usd"].tolist() == pytest.approx([0, 250, 0, 0, 0])
    # 500,000 USD short at 360 basis points of 360 days: 50 USD a night.
    assert found.columns["borrow_usd"].tolist() == pytest.approx([0, 0, 50, 50, 50])
    assert found.columns["dividend_usd"].tolist() == pytest.approx([0, 0, 0, -25_000, 0])
    gained = np.diff(found.columns["equity_usd"])
    assert gained == pytest.approx((found.columns["dividend_usd"] - found.cost)[1:])


def test_the_filled_share_is_of_the_value_ordered() -> None:
    """1,000 of 2,000 shares at 10, and none of 500 at a price that was last 20 two sessions before."""
    fills = {
        "session": np.array([1, 3]),
        "symbol": np.array([0, 1]),
        "ordered": np.array([2_000.0, -500.0]),
        "filled": np.array([1_000.0, 0.0]),
    }
    marks = np.array([[10.0, 20.0], [10.0, np.nan], [10.0, np.nan], [10.0, np.nan]])
    assert filled_share(fills, marks) == pytest.approx(10_000 / (20_000 + 10_000))
    none = {name: values[:0] for name, values in fills.items()}
    assert filled_share(none, marks) == 1.0


def test_a_partly_filled_order_shows() -> None:
    """A tenth of 30,000 shares of volume against 50,000 wanted."""
    market = replace(flat_market(3), volume=np.full((3, 1), 30_000.0))
    result = run_backtest(market, lambda seen, held: np.array([0.5]) if len(seen.dates) == 1 else None)
    assert filled_share(result.fills, market.close_price) == pytest.approx(3_000 / 50_000)
