"""The SQL backtest: by hand on small cases, and to the cent like the event-driven engine on random ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backtest.warehouse import Bar, day, random_bars, random_weights, warehouse
from trademl.backtest.books import Account
from trademl.backtest.data import bars_at_hand, read_panel
from trademl.backtest.engine import BacktestConfig, run_backtest
from trademl.backtest.set_based import require_common_rules, run_set_based, sql_settings, weight_rows
from trademl.backtest.strategy import Weights, planned
from trademl.costs.impact import AlmgrenCoefficients
from trademl.costs.model import BorrowTier, CostModel
from trademl.errors import ConfigError, SnapshotError

COMMON = BacktestConfig(sizing="capital", max_participation=None)
FREE = CostModel(spread_bps=0.0, impact_coefficient=0.0, borrow=(BorrowTier(0.0, 0.0),))
DEAR = CostModel(
    commission_bps=1.0, commission_usd_per_share=0.005, spread_bps=7.0, impact_coefficient=0.8, auction_bps=2.0
)
ALMGREN = CostModel(impact="almgren_2005", almgren=AlmgrenCoefficients(), impact_duration_days=0.5)


def weights(decided: dict[int, list[float]], *symbols: str) -> Weights:
    """Weights by session."""
    return Weights(np.array([day(at) for at in decided]), symbols or ("A",), np.array(list(decided.values())))


def flat(sessions: int, price: float = 10.0, symbol: str = "A") -> list[Bar]:
    """The same price on every session."""
    return [Bar(symbol, at, price, price) for at in range(sessions)]


def test_a_decision_is_filled_at_the_next_open() -> None:
    """Half of 1,000,000 at a close of 10 is 50,000 shares; the open is 11, the close 12."""
    bars = [Bar("A", 0, 10, 10), Bar("A", 1, 11, 12), Bar("A", 2, 12, 12)]
    found = run_set_based(warehouse(bars, 3), weights({0: [0.5]}), costs=FREE, config=COMMON, last=day(2))
    assert found.daily["equity_usd"].tolist() == [1_000_000, 1_050_000, 1_050_000]
    assert found.daily["cash_usd"].tolist() == [1_000_000, 450_000, 450_000]
    assert found.daily["names_long"].tolist() == [0, 1, 1]
    assert found.trades.column("shares").to_pylist() == [50_000]
    assert found.trades.column("fill_price_usd").to_pylist() == [11]


def test_every_cost_is_told_apart() -> None:
    """500,000 USD: 5 basis points, 2 % x sqrt(0.5e6 / 1e8) of impact, a cent a share; 100 million trade a day."""
    volatility = 0.02 * np.sqrt(252)
    bars = [replace(bar, volatility=volatility) for bar in flat(3)]
    costs = CostModel(commission_usd_per_share=0.01, auction_bps=1.0)
    found = run_set_based(warehouse(bars, 3), weights({0: [0.5]}), costs=costs, config=COMMON, last=day(2)).daily
    assert found["spread_usd"].tolist() == pytest.approx([0, 250, 0])
    assert found["impact_usd"].tolist() == pytest.approx([0, 500_000 * 0.02 * (5e5 / 1e8) ** 0.5, 0], rel=1e-6)
    assert found["commission_usd"].tolist() == pytest.approx([0, 500, 0])
    assert found["auction_usd"].tolist() == pytest.approx([0, 50, 0])
    paid = sum(found[f"{part}_usd"].sum() for part in ("spread", "impact", "commission", "auction"))
    assert found["equity_usd"][-1] == pytest.approx(1_000_000 - paid)


def test_short_positions_pay_for_every_night_by_their_tier() -> None:
    """500,000 USD of a name that trades 100 million a day: 50 basis points a year, over a weekend and a night."""
    bars = flat(7)
    costs = replace(FREE, borrow=CostModel().borrow)
    found = run_set_based(warehouse(bars, 7), weights({3: [-0.5]}), costs=costs, config=COMMON, last=day(6)).daily
    # Filled on session 4, a Friday.
    assert found["borrow_usd"].tolist() == pytest.approx([0, 0, 500_000 * 0.005 * 3 / 360, 500_000 * 0.005 / 360])


def test_splits_and_dividends_change_nothing_but_their_form() -> None:
    """3 for 2 on an odd number of shares, nothing ordered: the fraction is paid in cash, the dividend on new shares."""
    bars = [Bar("A", 0, 10, 10), Bar("A", 1, 10, 10), Bar("A", 2, 10 / 1.5, 10 / 1.5, split=1.5)]
    bars.append(Bar("A", 3, 10 / 1.5, 10 / 1.5, dividend=1.0))
    found = run_set_based(warehouse(bars, 4), weights({0: [0.50001]}), costs=FREE, config=COMMON, last=day(3)).daily
    assert found["equity_usd"][:3] == pytest.approx([1e6] * 3)
    assert found["fraction_usd"].tolist() == pytest.approx([0, 0, 0.5 * 10 / 1.5, 0])
    assert found["dividend_usd"].tolist() == pytest.approx([0, 0, 0, 75_001])


def test_two_splits_in_a_row_cut_to_whole_shares_twice() -> None:
    """101 shares become 151 and then 226, not the 227 of one split by 2.25."""
    bars = [Bar("A", 0, 10, 10), Bar("A", 1, 10, 10), Bar("A", 2, 6, 6, split=1.5), Bar("A", 3, 4, 4, split=1.5)]
    con = warehouse(bars, 4)
    config = COMMON.model_copy(update={"capital_usd": 1010.0})
    found = run_set_based(con, weights({0: [1.0]}), costs=FREE, config=config, last=day(3)).daily
    assert found["net_usd"].tolist() == [0, 1010, 151 * 6, 226 * 4]
    fractional = config.model_copy(update={"whole_shares": False})
    found = run_set_based(con, weights({0: [1.0]}), costs=FREE, config=fractional, last=day(3)).daily
    assert found["net_usd"].tolist() == pytest.approx([0, 1010, 151.5 * 6, 227.25 * 4])


def test_without_a_bar_or_volume_nothing_is_filled() -> None:
    """The order of session 0 falls on an absent session, that of session 1 on one without volume."""
    bars = [Bar("A", 0, 10, 10), Bar("A", 2, 10, 10, volume=0.0), Bar("A", 3, 10, 10)]
    decided = weights({0: [0.5], 1: [0.5], 2: [0.25]})
    found = run_set_based(warehouse(bars, 4), decided, costs=FREE, config=COMMON, last=day(3)).daily
    assert found["traded_usd"].tolist() == [0, 0, 0, 250_000]


def test_a_name_that_a_decision_leaves_out_is_sold() -> None:
    """And a date that wants nothing sells everything; a date that is no decision sells nothing."""
    bars = flat(5) + flat(5, symbol="B")
    decided = weights({0: [0.5, 0.5], 2: [0.5, 0.0], 3: [0.0, 0.0]}, "A", "B")
    found = run_set_based(warehouse(bars, 5), decided, costs=FREE, config=COMMON, last=day(4)).daily
    assert found["gross_usd"].tolist() == [0, 1_000_000, 1_000_000, 500_000, 0]


def test_an_ended_listing_is_closed_on_its_tenth_absent_session() -> None:
    """With -30 %; a later listing of the same name begins with nothing."""
    bars = [Bar("A", 0, 10, 10), Bar("A", 1, 10, 10), Bar("A", 13, 50, 50), Bar("A", 14, 50, 50)]
    config = COMMON.model_copy(update={"delisting_return": -0.3})
    found = run_set_based(warehouse(bars, 15), weights({0: [0.5]}), costs=FREE, config=config, last=day(14)).daily
    assert found["equity_usd"].tolist() == [1e6] * 11 + [850_000] * 4
    assert found["net_usd"].tolist() == [0] + [500_000] * 10 + [0] * 4


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    whole=st.booleans(),
    every=st.sampled_from([1, 7]),
    costs=st.sampled_from([FREE, DEAR, ALMGREN, CostModel()]),
)
def test_both_engines_agree_to_the_cent(seed: int, whole: bool, every: int, costs: CostModel) -> None:
    """Equity, cash, exposure and every account of every session, and each trade, on random markets."""
    sessions = 60
    con = warehouse(random_bars(seed, sessions), sessions)
    dates, values = random_weights(seed, sessions, every=every)
    decided = Weights(dates, tuple(f"S{code}" for code in range(5)), values)
    config = COMMON.model_copy(update={"whole_shares": whole, "delisting_return": -0.3})
    last = day(sessions - 1)
    with bars_at_hand(con, dates[0], last):
        panel = read_panel(con, decided.symbols, dates[0], last)
        sql = run_set_based(con, decided, costs=costs, config=config, last=last)
    event = run_backtest(panel.market, planned(decided), costs=costs, config=config)
    assert sql.daily["date"].astype("datetime64[D]").tolist() == event.dates[panel.first :].tolist()
    for name, ours in (
        ("equity_usd", event.equity),
        ("cash_usd", event.cash),
        ("gross_usd", event.gross_usd),
        ("net_usd", event.net_usd),
        ("traded_usd", event.traded_usd),
    ):
        assert sql.daily[name] == pytest.approx(ours[panel.first :], abs=1e-5), name
    moved = np.diff(event.balances, axis=0, prepend=0.0)[panel.first :]
    for part in ("COMMISSION", "SPREAD", "IMPACT", "AUCTION", "BORROW"):
        assert sql.daily[f"{part.lower()}_usd"] == pytest.approx(moved[:, Account[part]], abs=1e-5), part
    assert sql.daily["dividend_usd"] == pytest.approx(-moved[:, Account.DIVIDENDS], abs=1e-5)
    filled = event.fills["filled"] != 0
    mine = sorted(
        (event.dates[session].item(), decided.symbols[int(symbol)], pytest.approx(shares, abs=1e-6))
        for session, symbol, shares in zip(
            *(event.fills[name][filled] for name in ("session", "symbol", "filled")), strict=True
        )
    )
    theirs = zip(*(sql.trades.column(name).to_pylist() for name in ("date", "symbol", "shares")), strict=True)
    assert sorted(theirs) == mine


def test_rules_that_depend_on_the_past_are_refused() -> None:
    """Sizing by equity, orders cut to a share of the volume, and orders too small to be sent."""
    require_common_rules(COMMON)
    for changed in ({"sizing": "equity"}, {"max_participation": 0.1}, {"min_order_usd": 1.0}):
        with pytest.raises(ConfigError, match="has a fixed capital and fills every order whole"):
            require_common_rules(COMMON.model_copy(update=changed))
    with pytest.raises(ConfigError, match="6 borrow tiers"):
        sql_settings(CostModel(borrow=tuple(BorrowTier(5.0 - at, 1.0) for at in range(6))), COMMON)


def test_a_date_that_wants_nothing_is_still_a_decision() -> None:
    """One row with the weight 0 stands for it; other zeros are left out."""
    rows = weight_rows(weights({0: [0.5, 0.0], 1: [0.0, 0.0]}, "A", "B"))
    assert rows.column("symbol").to_pylist() == ["A", "A"]
    assert rows.column("weight").to_pylist() == [0.5, 0.0]


def test_views_are_as_they_were_afterwards() -> None:
    """Also when the query fails."""
    con = warehouse(flat(3), 3)
    run_set_based(con, weights({0: [0.5]}), costs=FREE, config=COMMON, last=day(2))
    for view in ("ops.backtests", "ops.backtest_weights", "marts.backtest_positions"):
        assert con.execute(f"select count(*) from {view}").fetchall() == [(0,)]
    con.execute("drop view marts.backtest_positions")
    with pytest.raises(SnapshotError, match=r"no marts\.backtest_positions"):
        run_set_based(con, weights({0: [0.5]}), costs=FREE, config=COMMON, last=day(2))
    assert con.execute("select count(*) from ops.backtest_weights").fetchall() == [(0,)]
