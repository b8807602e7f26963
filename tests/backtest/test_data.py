"""The market of a snapshot: bars as the silver layer has them, and what follows from an absent one."""

import duckdb
import numpy as np
import pytest

from tests.backtest.home import SESSIONS, bars
from tests.backtest.warehouse import DELISTED_AFTER, Bar, day, warehouse
from trademl.backtest.data import LEAD_SESSIONS, bars_at_hand, read_panel, view_replaced
from trademl.errors import SnapshotError


def test_bars_are_what_silver_has(con: duckdb.DuckDBPyConnection) -> None:
    """Prices, volume, actions and features of every bar, NaN elsewhere; compared bar by bar."""
    symbols = tuple(sorted({bar.symbol for bar in bars()}))
    panel = read_panel(con, symbols, day(20), day(SESSIONS - 1))
    market, begin = panel.market, 20 - LEAD_SESSIONS
    assert panel.first == LEAD_SESSIONS
    assert market.dates.tolist() == [day(at).item() for at in range(begin, SESSIONS)]
    last: dict[str, Bar] = {}
    seen = np.zeros(market.close_price.shape, dtype=bool)
    for bar in sorted(bars(), key=lambda bar: bar.session):
        before, last[bar.symbol] = last.get(bar.symbol), bar
        if bar.session < begin:
            continue
        at = bar.session - begin, symbols.index(bar.symbol)
        seen[at] = True
        assert (market.open_price[at], market.close_price[at], market.volume[at]) == (bar.open, bar.close, bar.volume)
        continues = before is not None and bar.session - before.session <= DELISTED_AFTER
        split = bar.split
        if before is None or not continues:
            split = 1.0
        elif bar.suspect:
            # Carries no return: the position is worth as much as at the last close.
            split = before.close / bar.close
        assert market.split[at] == pytest.approx(split)
        assert market.dividend[at] == (bar.dividend if continues and not bar.suspect else 0)
        expected = np.nan if bar.adv is None else bar.adv * 1e6
        assert market.day_value[at] == pytest.approx(expected, rel=1e-6, nan_ok=True)
        if bar.volatility is not None:
            assert market.volatility[at] == pytest.approx(bar.volatility / np.sqrt(252), rel=1e-6)
            assert panel.forecast[20][at] == panel.forecast[60][at] == pytest.approx(bar.volatility, rel=1e-6)
        assert panel.sectors[panel.sector[at]] == "Energy"
    assert np.isnan(market.close_price[~seen]).all()
    assert (market.split[~seen] == 1).all()


def test_a_listing_ends_on_its_tenth_absent_session_and_may_begin_again() -> None:
    """Of two listings of a name; an absence that the data's end cuts short is no ending."""
    rows = [Bar("A", at, 10, 10) for at in (0, 1, 14, 15)] + [Bar("B", at, 10, 10) for at in range(18)]
    panel = read_panel(warehouse(rows, 18), ("A", "B", "none"), day(0), day(17))
    assert np.flatnonzero(panel.market.delisted[:, 0]).tolist() == [11, 12, 13]
    assert not panel.market.delisted[:, 1].any()
    assert np.isnan(panel.market.close_price[:, 2]).all()
    assert panel.sector[:, 2].tolist() == [-1] * 18


def test_bars_at_hand_are_the_same_bars(con: duckdb.DuckDBPyConnection) -> None:
    """And the view is its old self afterwards."""
    whole = con.execute("select count(*) from marts.backtest_bars").fetchall()
    plain = read_panel(con, ("S2",), day(30), day(60))
    with bars_at_hand(con, day(30), day(60)):
        near = read_panel(con, ("S2",), day(30), day(60))
        assert con.execute("select count(*) from marts.backtest_bars").fetchall() != whole
    assert np.array_equal(plain.market.close_price, near.market.close_price, equal_nan=True)
    assert con.execute("select count(*) from marts.backtest_bars").fetchall() == whole


def test_what_a_snapshot_lacks_is_named() -> None:
    """A view of a later version, and sessions that nobody has landed."""
    con = duckdb.connect()
    with pytest.raises(SnapshotError, match=r"no marts\.backtest_bars"):
        read_panel(con, ("A",), "2020-01-01", "2020-02-01")
    with pytest.raises(SnapshotError, match=r"no ops\.backtests"), view_replaced(con, "ops.backtests", "select 1"):
        pass
    with pytest.raises(SnapshotError, match="no session from 2031-01-01"):
        read_panel(warehouse([Bar("A", 0, 10, 10)], 1), ("A",), "2031-01-01", "2031-02-01")
