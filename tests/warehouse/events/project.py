"""The events' models on a bare DuckDB: bars in, every silver and gold table out, without a dbt run."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from tests.oracles.events import Bar, Session
from tests.warehouse.macro_rendering import PROJECT, Macros

SILVER = (
    "slv_intraday_bars",
    "slv_event_days",
    "slv_event_averages",
    "slv_event_bars",
    "slv_event_touches",
    "slv_event_microstructure",
    "slv_event_coverage",
)
ABSENT = (
    "slv_intraday_trade_bars",
    "slv_intraday_trades",
    "slv_intraday_quotes",
    "slv_option_strikes",
    "slv_event_external",
)
"""Tables that these tests have no rows for."""

GOLD = ("gld_events_features", "gld_events_labels", "gld_events_training", "gld_events_targets")
FIRST = date(2025, 9, 15)


def calendar(n: int, *, early: Sequence[int] = ()) -> list[Session]:
    """Return ``n`` sessions of consecutive days, 13:30 to 20:00 UTC; those in ``early`` end at 17:00."""
    found = []
    for number in range(n):
        day = FIRST + timedelta(days=number)
        midnight = datetime(day.year, day.month, day.day)
        close = midnight + timedelta(hours=17 if number in early else 20)
        found.append(Session(day, number + 1, midnight + timedelta(hours=13, minutes=30), close))
    return found


def walk(
    sessions: Sequence[Session],
    seed: int,
    *,
    minutes: int = 1,
    price: float = 50.0,
    missing: float = 0.03,
    early_bars: int = 10,
    swing: float = 3.0,
) -> list[Bar]:
    """Return a random walk in whole cents over ``sessions``: regular bars with holes, and a few before the open.

    ``swing`` is the standard deviation of a bar's change in cents.
    """
    rng = np.random.default_rng(seed)
    bars = []
    cents = round(price * 100)
    length = timedelta(minutes=minutes)
    for session in sessions:
        cents = max(200, cents + int(rng.normal(0, 8 * swing)))
        start = session.open_at - early_bars * length
        while start + length <= session.close_at:
            path = cents + np.rint(np.cumsum(rng.normal(0, swing, 4))).astype(int)
            path = np.maximum(path, 100)
            if rng.random() >= missing:
                o, c = int(path[0]), int(path[-1])
                volume = float(rng.integers(0, 5000))
                bars.append(Bar(start, o / 100, max(path) / 100, min(path) / 100, c / 100, volume))
                cents = c
            start += length
    return bars


def landed(symbol: str, bars: Sequence[Bar], sessions: Sequence[Session], minutes: int = 1) -> list[dict[str, Any]]:
    """Return ``bars`` as bronze has them, each known when it ends."""
    days = {session.day for session in sessions}
    return [
        {
            "symbol": symbol,
            "source": "test",
            "batch_id": "b",
            "file": "f",
            "line": number,
            "bar_minutes": minutes,
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
            "date": bar.start.date(),
            "ts": bar.start,
            "known_at": bar.start + timedelta(minutes=minutes),
            "ingested_at": bar.start + timedelta(minutes=minutes),
        }
        for number, bar in enumerate(bars)
        if bar.start.date() in days
    ]


def built(
    rows: Sequence[Mapping[str, Any]],
    sessions: Sequence[Session],
    *,
    strikes: Sequence[tuple[str, date, float]] = (),
    threads: int = 2,
    **variables: Any,
) -> duckdb.DuckDBPyConnection:
    """Return a database in which the models are tables under the names of their files.

    Args:
        rows: of bronze.
        sessions: the calendar.
        strikes: symbol, session and price.
        threads: DuckDB's.
        variables: dbt variables of other values than the project's.
    """
    con = duckdb.connect(config={"threads": threads})
    con.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
    _table(con, "brz_intraday__bars", rows, _BARS)
    _table(
        con,
        "slv_calendar",
        [
            {
                "date": s.day,
                "session_index": s.index,
                "open_at": s.open_at,
                "close_at": s.close_at,
                "decision_at": s.close_at,
            }
            for s in sessions
        ],
        _CALENDAR,
    )
    chain = [{"symbol": symbol, "date": day, "level_price": price} for symbol, day, price in strikes]
    _table(con, "slv_event_strikes", chain, _STRIKES)
    for name in ABSENT:
        con.execute(f"create or replace table {name} ({', '.join(declared(name))})")
    for model in (*SILVER, *GOLD):
        con.execute(f"create or replace table {model} as {rendered(model, tuple(sorted(variables.items())))}")
    return con


_BARS = {
    **dict.fromkeys(("symbol", "source", "batch_id", "file"), pa.string()),
    "line": pa.int64(),
    "bar_minutes": pa.int32(),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pa.float64()),
    "date": pa.date32(),
    **dict.fromkeys(("ts", "known_at", "ingested_at"), pa.timestamp("us")),
}
_CALENDAR = {
    "date": pa.date32(),
    "session_index": pa.int32(),
    **dict.fromkeys(("open_at", "close_at", "decision_at"), pa.timestamp("us")),
}
_STRIKES = {"symbol": pa.string(), "date": pa.date32(), "level_price": pa.float64()}


def _table(
    con: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, pa.DataType]
) -> None:
    columns = {column: pa.array([row[column] for row in rows], type=kind) for column, kind in kinds.items()}
    con.register("given", pa.table(columns))
    con.execute(f"create or replace table {name} as select * from given")
    con.unregister("given")


@cache
def declared(model: str) -> tuple[str, ...]:
    """Return name and type of a model's columns, as its contract has them."""
    (path,) = (PROJECT / "models").rglob(f"{model}.yml")
    (found,) = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    return tuple(
        f'"{column["name"]}" {column["data_type"].replace("string", "varchar")}' for column in found["columns"]
    )


@cache
def rendered(model: str, variables: tuple[tuple[str, Any], ...] = ()) -> str:
    """Return a model's SQL with these variables."""
    (path,) = (PROJECT / "models").rglob(f"{model}.sql")
    project = yaml.safe_load(Path(PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    macros = Macros(
        variables={**project["vars"], **dict(variables)},
        overrides={
            "ref": lambda name: name,
            "config": lambda **_: "",
            "is_incremental": lambda: False,
            "execute": False,
            "this": SimpleNamespace(),
        },
    )
    return macros.render(path.read_text(encoding="utf-8"))


def rows_of(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query, columns by name."""
    found = con.execute(sql)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, values, strict=True)) for values in found.fetchall()]
