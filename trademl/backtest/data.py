"""The market of a snapshot: ``marts.backtest_bars`` as arrays, and the sectors that were known with it.

Prices, shares and corporate actions are defined once, in SQL, for this engine and for the set-based backtest.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.backtest.market import Market
from trademl.errors import SnapshotError

IntArray = NDArray[np.int64]

LEAD_SESSIONS = 15
"""Sessions before the first decision that a market begins with: by then each symbol has a mark or its listing ended."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A market with what a portfolio needs to know besides prices.

    Attributes:
        market: the bars.
        sectors: names; ``sector`` holds their numbers, -1 where none was known, shape (sessions, symbols).
        forecast: volatility a year as known at each close, by the sessions that it is measured over.
        first: number of the session of the first decision.
    """

    market: Market
    sectors: tuple[str, ...]
    sector: IntArray
    forecast: dict[int, NDArray[np.float64]]
    first: int


def require_view(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Refuse a snapshot of an earlier version.

    Raises:
        SnapshotError: the snapshot has no relation ``name``.
    """
    try:
        con.execute(f"describe {name}").fetchall()
    except duckdb.CatalogException as error:
        raise SnapshotError(
            f"the snapshot has no {name}: it was built by an earlier version", remedy="run `trademl build`"
        ) from error


@contextmanager
def view_replaced(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> Iterator[None]:
    """Let a view of an open snapshot show something else for the time of the block.

    Args:
        con: the connection of the snapshot, which nobody else uses meanwhile.
        name: schema and name of the view, such as ``ops.backtests``.
        sql: a SELECT in its place; not over the view itself.

    Raises:
        SnapshotError: the snapshot has no such view.
    """
    schema, _, view = name.partition(".")
    found = con.execute(
        "select sql from duckdb_views() where schema_name = ? and view_name = ?", [schema, view]
    ).fetchall()
    if not found:
        raise SnapshotError(
            f"the snapshot has no {name}: it was built by an earlier version", remedy="run `trademl build`"
        )
    con.execute(f"create or replace view {schema}.{view} as {sql}")
    try:
        yield
    finally:
        con.execute(re.sub("^CREATE VIEW", "CREATE OR REPLACE VIEW", found[0][0], count=1))


@contextmanager
def bars_at_hand(con: duckdb.DuckDBPyConnection, first: Any, last: Any) -> Iterator[None]:
    """Compute the bars between two dates once, with :data:`LEAD_SESSIONS` before the first, for whatever reads them.

    Raises:
        SnapshotError: the snapshot has no ``marts.backtest_bars``.
    """
    require_view(con, "marts.backtest_bars")
    con.execute(
        """
        create or replace temp table backtest_bars_at_hand as
        select * from marts.backtest_bars
        where date <= cast($last as date) and date >= (
            select min(date) from (
                select date from silver.calendar where date <= cast($first as date) order by date desc limit $lead
            )
        )
        """,
        {"first": str(first), "last": str(last), "lead": LEAD_SESSIONS + 1},
    )
    try:
        with view_replaced(con, "marts.backtest_bars", "select * from temp.backtest_bars_at_hand"):
            yield
    finally:
        con.execute("drop table if exists temp.backtest_bars_at_hand")


def read_panel(con: duckdb.DuckDBPyConnection, symbols: tuple[str, ...], first: Any, last: Any) -> Panel:
    """Read the market of ``symbols`` between two dates, with :data:`LEAD_SESSIONS` before the first.

    Args:
        con: an open snapshot.
        symbols: distinct names; one without any bar has a column of missing prices.
        first, last: dates of the first decision and of the last session.

    Raises:
        SnapshotError: the snapshot has no ``marts.backtest_bars``, or no session between the dates.
    """
    require_view(con, "marts.backtest_bars")
    dates, begin = _sessions(con, first, last)
    con.register("panel_symbols", {"symbol": np.array(symbols, dtype=object), "code": np.arange(len(symbols))})
    try:
        rows = con.execute(
            """
            select
                panel.code,
                calendar.session_index - $start as session,
                bars.open, bars.close, bars.volume, bars.split, bars.dividend_usd, bars.day_value_usd,
                bars.volatility_1d, bars.realised_volatility_20d, bars.realised_volatility_60d,
                bars.is_delisted, bars.has_bar, coalesce(bars.sector, '') as sector
            from marts.backtest_bars as bars
            inner join panel_symbols as panel on bars.symbol = panel.symbol
            inner join silver.calendar as calendar on bars.date = calendar.date
            where bars.date between cast($first as date) and cast($last as date)
            """,
            {"start": begin[1], "first": str(dates[0]), "last": str(dates[-1])},
        ).fetchnumpy()
    finally:
        con.unregister("panel_symbols")
    shape = (len(dates), len(symbols))
    at = (np.asarray(rows["session"], dtype=np.int64), np.asarray(rows["code"], dtype=np.int64))

    def spread(name: str, otherwise: float) -> NDArray[np.float64]:
        full = np.full(shape, otherwise)
        full[at] = np.ma.filled(np.ma.asarray(rows[name], dtype=np.float64), np.nan)
        return full

    close, ended, traded = spread("close", np.nan), spread("is_delisted", 0.0) > 0, spread("has_bar", 0.0) > 0
    names, code = np.unique(np.asarray(rows["sector"], dtype=str), return_inverse=True)
    sector = np.full(shape, -1, dtype=np.int64)
    sector[at] = code
    market = Market(
        dates=dates,
        symbols=symbols,
        open_price=spread("open", np.nan),
        close_price=np.where(traded, close, np.nan),
        volume=spread("volume", np.nan),
        split=spread("split", 1.0),
        dividend=spread("dividend_usd", 0.0),
        day_value=spread("day_value_usd", np.nan),
        volatility=spread("volatility_1d", np.nan),
        delisted=_until_next_bar(ended, traded),
    )
    forecast = {window: spread(f"realised_volatility_{window}d", np.nan) for window in (20, 60)}
    return Panel(market, tuple(names.tolist()), sector, forecast, begin[0])


def _sessions(con: duckdb.DuckDBPyConnection, first: Any, last: Any) -> tuple[NDArray[np.datetime64], tuple[int, int]]:
    found = con.execute(
        """
        select cast(date as varchar), session_index, date < cast($first as date) from silver.calendar
        where date <= cast($last as date)
        and session_index >= (
            select min(session_index) - $lead from silver.calendar where date >= cast($first as date)
        )
        order by date
        """,
        {"first": str(first), "last": str(last), "lead": LEAD_SESSIONS},
    ).fetchall()
    before = sum(1 for _, _, early in found if early)
    if len(found) == before:
        raise SnapshotError(
            f"silver.calendar has no session from {first} to {last}", remedy="choose dates that the snapshot covers"
        )
    return np.array([day for day, _, _ in found], dtype="datetime64[D]"), (before, int(found[0][1]))


def _until_next_bar(ended: NDArray[np.bool_], traded: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A listing that ended stays so until its symbol trades again."""
    state = np.zeros(ended.shape, dtype=bool)
    now = np.zeros(ended.shape[1], dtype=bool)
    for session in range(len(ended)):
        now = (now | ended[session]) & ~traded[session]
        state[session] = now
    return state
