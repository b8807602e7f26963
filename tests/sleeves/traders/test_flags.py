"""Flags from trades where they are known, else from days."""

from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pytest

from tests.sleeves.traders.days_and_trades import START, add_days, add_trades, silver
from trademl.sleeves.traders.flags import Conduct, read_conduct

AS_OF = date(2025, 3, 31)


def conduct(con: duckdb.DuckDBPyConnection, *addresses: str, as_of: date = AS_OF) -> Conduct:
    known_by = datetime.combine(as_of + timedelta(days=1), datetime.min.time())
    return read_conduct(con, as_of, addresses, known_by)


def doubling(trades: int, seed: int = 1) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    sizes, results, size = [], [], 100.0
    for _ in range(trades):
        won = rng.random() < 0.55
        sizes.append(size)
        results.append(size * (0.01 if won else -0.01))
        size = 100.0 if won else min(2 * size, 3200.0)
    return sizes, results


def test_trades_decide_where_there_are_enough() -> None:
    """Twenty closed trades are evidence; with fewer the days speak."""
    con = silver()
    for name, number in (("a", 20), ("b", 19)):
        add_days(con, name, [1.0] * 40)
        add_trades(con, name, [100.0] * number, [1.0] * number)
    assert conduct(con, "a", "b").evidence == ("trades", "days")


def test_a_martingale_of_trades_and_one_of_days() -> None:
    """Doubling after losses is found in single trades, and in what is traded per fill on the day after a losing one."""
    con = silver()
    sizes, results = doubling(80)
    add_trades(con, "a", sizes, results)
    add_days(con, "a", [1.0] * 5)
    add_days(con, "b", results, volume=[4 * size for size in sizes])
    add_days(con, "c", results)
    found = conduct(con, "a", "b", "c")
    assert found.evidence == ("trades", "days", "days")
    assert found.is_martingale.tolist() == [True, True, False]
    assert found.size_after_loss[0] == pytest.approx(found.size_after_loss[1])
    assert found.size_after_loss[2] == pytest.approx(1.0)


def test_overlapping_trades_did_not_know() -> None:
    """A trade opened while the one before it was open is no answer to its result."""
    con = silver()
    add_trades(con, "a", *doubling(80), minutes=90, every=60)
    assert np.isnan(conduct(con, "a").size_after_loss[0])


def test_one_trade_or_one_day_that_made_it_all() -> None:
    """Half of the net profit from one day, or from one trade, raises the flag; 40 % does not."""
    con = silver()
    add_days(con, "a", [1.0] * 5 + [5.0])
    add_days(con, "b", [1.0] * 6 + [4.0])
    add_days(con, "c", [1.0] * 10)
    add_trades(con, "c", [100.0] * 25, [1.0] * 24 + [30.0])
    found = conduct(con, "a", "b", "c")
    assert found.is_single_trade.tolist() == [True, False, True]
    assert found.best_day_share.tolist() == pytest.approx([0.5, 0.4, 0.1])
    assert found.best_trade_share[2] == pytest.approx(30 / 54)
    assert np.isnan(found.best_trade_share[:2]).all()


def test_wash_flow_of_trades_and_of_days() -> None:
    """Sixty short round trips at one price, or days of many fills that earn nothing before fees."""
    con = silver()
    add_trades(con, "a", [1000.0] * 60, [0.01] * 60, minutes=2)
    add_trades(con, "b", [1000.0] * 60, [0.01] * 60, minutes=120, every=200)
    add_days(con, "c", [-3.0] * 10, volume=10_000.0, trades=40, fees=3.1)
    add_days(con, "d", [-3.0] * 10, volume=10_000.0, trades=40, fees=0.0)
    add_days(con, "e", [-3.1] * 10, volume=10_000.0, trades=40, fees=3.1)
    found = conduct(con, "a", "b", "c", "d", "e")
    assert found.is_wash.tolist() == [True, False, True, False, False]
    assert found.flat_share.tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_nothing_after_the_date_counts() -> None:
    """Trades closed after the day, and days known after it, change nothing."""
    con = silver()
    add_days(con, "a", [1.0] * 10)
    add_days(con, "a", [50.0], first=START + timedelta(days=20))
    add_trades(con, "a", [100.0] * 25, [1.0] * 25, first=datetime(2025, 1, 20))
    early = conduct(con, "a", as_of=date(2025, 1, 15))
    assert early.evidence == ("days",)
    assert early.best_day_share.tolist() == [0.1]
    assert conduct(con, "a").evidence == ("trades",)
    add_trades(con, "b", [100.0] * 25, [1.0] * 25, known_at=datetime(2025, 4, 1, 0, 0, 1))
    assert conduct(con, "b").evidence == ("days",)


def test_a_trader_without_rows_has_no_flag() -> None:
    """Addresses that are not asked for are left out, and one without any row is not judged."""
    con = silver()
    add_days(con, "a", [1.0, 1.0])
    add_days(con, "b", [1.0, 1.0])
    found = conduct(con, "a", "z")
    assert found.flagged.tolist() == [True, False]
    assert np.isnan(found.best_day_share[1])
