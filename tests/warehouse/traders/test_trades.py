"""Fills to closed trades and days: open, scale, close, flip, dust, unseen openings, corrections, account-days."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.warehouse.traders.project import SILVER, Row, account_day, built, day, fill, midnight

NOON = datetime(2024, 1, 1, 12)


def trades(*fills: Row) -> list[tuple[Any, ...]]:
    """The closed trades: side, entry, exit, pnl, fees, fills, hours held."""
    con = built(fills, models=SILVER)
    return con.execute(
        "select side, entry_notional, exit_notional, pnl, fees, n_fills, hold_hours "
        "from slv_trader_trades order by closed_at"
    ).fetchall()


def at(hours: float) -> datetime:
    """An instant so many hours after noon of the first day."""
    return NOON + timedelta(hours=hours)


def test_a_position_that_is_built_and_taken_off_is_one_trade() -> None:
    """Two purchases and two sales: values of both sides, PnL and fees added up, held from first to last fill."""
    found = trades(
        fill("a", at(0), "buy", 1, 100, fee=0.1),
        fill("a", at(1), "buy", 1, 110, fee=0.1),
        fill("a", at(2), "sell", 0.5, 120, closed_pnl=7.5, fee=0.2),
        fill("a", at(6), "sell", 1.5, 120, closed_pnl=22.5, fee=0.3),
    )
    assert found == [("long", 210.0, 240.0, 30.0, 0.7, 4, 6.0)]


def test_a_flip_closes_one_trade_and_opens_the_other() -> None:
    """Sold 3 with 2 held: two thirds of the fee close the long trade, one third opens the short one."""
    found = trades(
        fill("a", at(0), "buy", 2, 100, fee=1.0),
        fill("a", at(1), "sell", 3, 110, closed_pnl=20.0, fee=3.0),
        fill("a", at(3), "buy", 1, 100, closed_pnl=10.0, fee=0.5),
    )
    assert found == [("long", 200.0, 220.0, 20.0, 3.0, 2, 1.0), ("short", 110.0, 100.0, 10.0, 1.5, 2, 2.0)]


def test_an_open_position_is_no_trade_yet() -> None:
    """Nothing is closed before the position is."""
    assert trades(fill("a", at(0), "buy", 2), fill("a", at(1), "sell", 1, closed_pnl=1.0)) == []


def test_what_a_fee_leaves_over_counts_as_nothing() -> None:
    """Dust below a dollar closes a trade, and the next purchase opens another."""
    found = trades(
        fill("a", at(0), "buy", 10, 10, start_position=0.0),
        fill("a", at(1), "sell", 9.95, 10, closed_pnl=1.0, start_position=9.99),
        fill("a", at(2), "buy", 5, 10, start_position=0.04),
        fill("a", at(4), "sell", 5.04, 10, closed_pnl=2.0, start_position=5.04),
    )
    assert [(row[0], row[3], row[6]) for row in found] == [("long", 1.0, 1.0), ("long", 2.0, 2.0)]


def test_a_trade_whose_opening_was_not_seen_has_no_holding_time() -> None:
    """The position before the first fill says that there was one."""
    found = trades(
        fill("a", at(0), "sell", 1, 100, closed_pnl=5.0, start_position=2.0),
        fill("a", at(1), "sell", 1, 100, closed_pnl=5.0, start_position=1.0),
    )
    assert found == [("long", 0.0, 200.0, 10.0, 0.0, 2, None)]


def test_coins_and_traders_do_not_mix() -> None:
    """Positions are counted per address and coin."""
    found = trades(
        fill("a", at(0), "buy", 1, 100, coin="ETH"),
        fill("a", at(1), "sell", 1, 100, coin="SOL"),
        fill("b", at(2), "sell", 1, 100, coin="ETH"),
    )
    assert found == []


def days(fills: list[Row], account_days: list[Row]) -> dict[int, tuple[Any, ...]]:
    """source, net and gross PnL, fees, fills, wins and hours held by day number."""
    con = built(fills, account_days, models=SILVER)
    found = con.execute(
        "select date - date '2024-01-01', source, daily_pnl, gross_pnl, fees, n_trades, n_wins, avg_hold_hours "
        "from slv_trader_days order by 1"
    ).fetchall()
    return {row[0]: row[1:] for row in found}


def test_whole_fills_win_and_partial_ones_do_not() -> None:
    """Day 0 has all fills that the account counts, day 1 one of two, day 2 none; day 3 has no account-day."""
    fills = [
        fill("a", at(0), "buy", 1, 100, fee=0.5),
        fill("a", at(1), "sell", 1, 110, closed_pnl=10.0, fee=0.5),
        fill("a", at(24), "buy", 1, 100),
        fill("a", at(72), "sell", 1, 100, closed_pnl=0.0, start_position=1.0),
    ]
    account = [
        account_day("a", 0, 10.0, 2, win_rate=0.5),
        account_day("a", 1, 7.0, 2, fees=1.0, win_rate=1.0),
        account_day("a", 2, 3.0, 4, win_rate=0.25),
    ]
    assert days(fills, account) == {
        0: ("fills", 9.0, 10.0, 1.0, 2, 1, 1.0),
        1: ("days", 6.0, 7.0, 1.0, 2, 2, None),
        2: ("days", 3.0, 3.0, None, 4, 1, None),
        3: ("fills", 0.0, 0.0, 0.0, 1, 0, 48.0),
    }


def test_concentration_is_the_herfindahl_index_of_volume() -> None:
    """Three quarters in one coin and one in another: 9/16 + 1/16."""
    con = built([fill("a", at(0), "buy", 3, 100), fill("a", at(1), "buy", 1, 100, coin="ETH")], models=SILVER)
    assert con.execute("select coin_concentration, volume_usd from slv_trader_days").fetchall() == [(0.625, 400.0)]


def test_silver_shows_the_latest_version_and_work_what_was_known() -> None:
    """A fee corrected on day 5 begins an epoch there: before it the day is as it was, from it on as it is."""
    first = fill("a", at(0), "buy", 1, 100, closed_pnl=0.0, fee=1.0, fill_id="x")
    corrected = first | {"fee": 2.0, "known_at": midnight(5) + timedelta(hours=1)}
    con = built([first, corrected], models=SILVER)
    assert con.execute("select fee from slv_trader_fills").fetchall() == [(2.0,)]
    assert con.execute("select starts_at, ends_before, net_pnl from slv_trader_epoch_days order by 1").fetchall() == [
        (datetime(1900, 1, 1).date(), day(5), -1_000_000),
        (day(5), datetime(9999, 12, 31).date(), -2_000_000),
    ]


@pytest.mark.parametrize("minutes", [0, 60])
def test_fills_of_one_instant_keep_the_order_of_the_file(minutes: int) -> None:
    """Bought, sold, bought again within one minute: two trades and an open one, also when a later file corrects one."""
    rows = [
        fill("a", NOON, "buy", 1, 100, fill_id="1", line=2),
        fill("a", NOON, "sell", 1, 101, closed_pnl=1.0, fill_id="2", line=3),
        fill("a", NOON, "buy", 2, 100, fill_id="3", line=4),
    ]
    if minutes:
        rows.append(rows[0] | {"fee": 0.5, "line": 9, "known_at": NOON + timedelta(minutes=minutes)})
    assert [(row[0], row[3], row[4]) for row in trades(*rows)] == [("long", 1.0, 0.5 if minutes else 0.0)]
