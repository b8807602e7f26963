"""The models of trades, quotes, books and chains on a bare DuckDB: landed rows in, silver tables out, without dbt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from tests.warehouse.macro_rendering import PROJECT, Macros
from trademl.schema import RAW

DAY = date(2024, 1, 3)
OPEN = datetime(2024, 1, 3, 14, 30)
BRONZE = {
    "trades": "brz_ticks__trades",
    "quotes": "brz_ticks__quotes",
    "book": "brz_ticks__book",
    "option_quotes": "brz_options__quotes",
}
SILVER = (
    "slv_intraday_quotes",
    "slv_intraday_trades",
    "slv_intraday_trade_bars",
    "slv_option_strikes",
    "slv_event_strikes",
)
_KINDS = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}
_TOUCHES = {
    "event_id": pa.string(),
    "symbol": pa.string(),
    "date": pa.date32(),
    "t1": pa.timestamp("us"),
    "level_price": pa.float64(),
    "direction_sign": pa.int32(),
}

Row = dict[str, Any]


def at(clock: str) -> datetime:
    """Return an instant of the session from minutes and seconds since the opening, such as ``01:05.250``."""
    minutes, seconds = clock.split(":")
    return OPEN + timedelta(minutes=int(minutes), milliseconds=round(float(seconds) * 1000))


@dataclass
class Market:
    """Landed rows of one session, in the order of their files."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in BRONZE})

    def trade(self, clock: str, price: float, size: float, symbol: str = "AAA", **values: Any) -> None:
        """Add a trade."""
        self._tick("trades", clock, symbol, {"price": price, "size": size, "condition": "1", **values})

    def bid(self, clock: str, price: float, size: float, symbol: str = "AAA", **values: Any) -> None:
        """Add a row of a consolidated feed that states the bid alone."""
        self._tick("quotes", clock, symbol, {"bid": price, "bid_size": size, "ask_size": 0.0, **values})

    def ask(self, clock: str, price: float, size: float, symbol: str = "AAA", **values: Any) -> None:
        """Add a row of a consolidated feed that states the offer alone."""
        self._tick("quotes", clock, symbol, {"ask": price, "ask_size": size, "bid_size": 0.0, **values})

    def message(
        self,
        clock: str,
        event_type: int,
        order: tuple[int, float, float],
        bid: tuple[float | None, float],
        ask: tuple[float | None, float],
        symbol: str = "BBB",
    ) -> None:
        """Add a message of a book: ``order`` is side, price and shares, then the best level after it."""
        values = {"event_type": event_type, "direction": order[0], "price": order[1], "size": order[2], "order_id": 1}
        values |= {"bid_price": bid[0], "bid_size": bid[1], "ask_price": ask[0], "ask_size": ask[1]}
        self._tick("book", clock, symbol, values)

    def option(self, strike: float, kind: str, open_interest: float, **values: Any) -> None:
        """Add an option quote of the session before, a year from its end, with a volatility of 20 %."""
        quoted = values.pop("date", DAY - timedelta(days=1))
        known = datetime(quoted.year, quoted.month, quoted.day, 21, 15)
        row: Row = {
            "symbol": "CCC",
            "date": quoted,
            "contract": f"{strike} {kind} {values.get('expiration', '')}",
            "expiration": quoted + timedelta(days=365),
            "strike": strike,
            "option_type": kind,
            "underlying_price": 100.0,
            "implied_vol": 0.2,
            "open_interest": open_interest,
            "known_at": known,
            "ingested_at": known,
        }
        self.rows["option_quotes"].append(row | values)

    def _tick(self, dataset: str, clock: str, symbol: str, values: Row) -> None:
        rows = self.rows[dataset]
        instant = at(clock)
        row: Row = {
            "symbol": symbol,
            "date": DAY,
            "ts": instant,
            "seq": sum(1 for one in rows if one["symbol"] == symbol and one["ts"] == instant) + 1,
            "exchange": "",
            "condition": "",
            "suspicious": 0.0,
            "file": "f",
            "line": len(rows) + 1,
            "known_at": instant,
            "ingested_at": instant,
        }
        rows.append(row | values)


def built(market: Market, *, threads: int = 2, **variables: Any) -> duckdb.DuckDBPyConnection:
    """Return a database in which the models are tables under the names of their files.

    Args:
        market: the landed rows.
        threads: DuckDB's.
        variables: dbt variables of other values than the project's.
    """
    con = duckdb.connect(config={"threads": threads})
    con.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
    for dataset, table in BRONZE.items():
        kinds = {name: _KINDS[kind] for name, kind in RAW[dataset].all_columns.items()}
        _table(con, table, market.rows[dataset], kinds)
    con.execute(
        "create table slv_calendar as select *, close_at + interval 15 minute as decision_at from (values "
        "(date '2024-01-02', 1, timestamp '2024-01-02 14:30:00', timestamp '2024-01-02 21:00:00'), "
        "(date '2024-01-03', 2, timestamp '2024-01-03 14:30:00', timestamp '2024-01-03 21:00:00'), "
        "(date '2024-01-04', 3, timestamp '2024-01-04 14:30:00', timestamp '2024-01-04 21:00:00')"
        ") as days(date, session_index, open_at, close_at)"
    )
    for model in SILVER:
        con.execute(f"create table {model} as {rendered(model, tuple(sorted(variables.items())))}")
    return con


def measured(con: duckdb.DuckDBPyConnection, touches: Sequence[Row], **variables: Any) -> dict[str, Row]:
    """Return the row of silver.event_microstructure of each of ``touches``, by event_id.

    A touch has event_id, t1 and direction_sign; symbol, date and level_price where they are not AAA, that day and 100.
    """
    given = [{"symbol": "AAA", "date": DAY, "level_price": 100.0, **touch} for touch in touches]
    _table(con, "slv_event_touches", given, _TOUCHES)
    found = con.execute(rendered("slv_event_microstructure", tuple(sorted(variables.items()))))
    names = [column[0] for column in found.description or ()]
    return {str(row[0]): dict(zip(names, row, strict=True)) for row in found.fetchall()}


@cache
def rendered(model: str, variables: tuple[tuple[str, Any], ...] = ()) -> str:
    """Return a model's SQL as a build runs it."""
    (path,) = (PROJECT / "models").rglob(f"{model}.sql")
    return _macros(variables).render(path.read_text(encoding="utf-8"))


@cache
def _macros(variables: tuple[tuple[str, Any], ...]) -> Macros:
    project = yaml.safe_load(Path(PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    overrides: dict[str, object] = {"ref": lambda name: name, "config": lambda **_: ""}
    return Macros(variables={**project["vars"], **dict(variables)}, overrides=overrides)


def _table(
    con: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, pa.DataType]
) -> None:
    columns = {column: pa.array([row.get(column) for row in rows], type=kind) for column, kind in kinds.items()}
    con.register("given", pa.table(columns))
    con.execute(f"create or replace table {name} as select * from given")
    con.unregister("given")
