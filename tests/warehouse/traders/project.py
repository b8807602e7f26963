"""The traders' models on a bare DuckDB: landed rows in, every silver and gold table out, without a dbt run."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from tests.warehouse.macro_rendering import PROJECT, Macros
from trademl.schema import RAW

SILVER = (
    "slv_trader_fills",
    "slv_trader_epochs",
    "slv_trader_epoch_fills",
    "slv_trader_epoch_trades",
    "slv_trader_trades",
    "slv_trader_epoch_days",
    "slv_trader_days",
    "slv_trader_panel",
    "slv_trader_calendar",
    "slv_trader_coverage",
)
CROSS = ("gld_trader_feature_caps", "gld_traders_windows", "gld_traders_features", "gld_traders_composite")
GOLD = ("gld_ml_feature_snapshots", "gld_traders_labels", *CROSS, "gld_traders_training")
START = date(2024, 1, 1)
_KINDS = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us")}

Row = dict[str, Any]


def day(number: int) -> date:
    """The date with a number, from 0."""
    return START + timedelta(days=number)


def midnight(number: int) -> datetime:
    """The instant at which day ``number`` begins (UTC)."""
    return datetime(START.year, START.month, START.day) + timedelta(days=number)


def fill(address: str, at: datetime, side: str, size: float, price: float = 10.0, **values: Any) -> Row:
    """Return a landed fill, known when it happened, without position, PnL and fee unless given."""
    number = (at.date() - START).days
    row: Row = {
        "address": address,
        "fill_id": values.pop("fill_id", f"{at:%Y%m%d%H%M%S}{side}{size}{values.get('coin', 'BTC')}"),
        "coin": "BTC",
        "side": side,
        "direction": None,
        "position_side": None,
        "venue": "plain",
        "price": price,
        "size": size,
        "start_position": None,
        "closed_pnl": 0.0,
        "fee": 0.0,
        "date": at.date(),
        "filled_at": at,
        "day_end_at": midnight(number + 1),
        "known_at": at,
    }
    return row | values


def account_day(address: str, number: int, pnl: float, n_trades: int = 10, **values: Any) -> Row:
    """Return a landed account-day, known when it ended."""
    row: Row = {
        "address": address,
        "venue": "plain",
        "daily_pnl": pnl,
        "fees": None,
        "n_trades": float(n_trades),
        "win_rate": 0.5,
        "volume_usd": 5000.0,
        "long_ratio": 0.5,
        "date": day(number),
        "day_end_at": midnight(number + 1),
        "known_at": midnight(number + 1),
    }
    return row | values


def built(
    fills: Sequence[Row] = (), days: Sequence[Row] = (), *, threads: int = 2, models: Sequence[str] = (*SILVER, *GOLD)
) -> duckdb.DuckDBPyConnection:
    """Return a database in which the models are tables under the names of their files."""
    con = duckdb.connect(config={"threads": threads})
    con.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
    for name, rows in (("trader_fills", fills), ("trader_days", days)):
        land(con, f"brz_traders__{name.removeprefix('trader_')}", name, rows)
    make(con, models)
    return con


def make(con: duckdb.DuckDBPyConnection, models: Sequence[str], first_date: date | None = None) -> None:
    """Make the tables of ``models``, each under the name of its file; gold from ``first_date`` on, where given."""
    for model in models:
        con.execute(f"create or replace table {model} as {rendered(model, first_date)}")


def land(con: duckdb.DuckDBPyConnection, table: str, dataset: str, rows: Sequence[Row]) -> None:
    """Make ``table`` of landed rows; a row without ``ingested_at`` and ``line`` has them by its place."""
    kinds = {**RAW[dataset].columns, "known_at": "TIMESTAMP", "ingested_at": "TIMESTAMP"}
    given = [
        {"ingested_at": row.get("ingested_at") or row["known_at"] + timedelta(microseconds=place), **row}
        for place, row in enumerate(rows)
    ]
    columns: dict[str, Any] = {
        name: pa.array([row.get(name) for row in given], type=_KINDS[kind]) for name, kind in kinds.items()
    }
    columns["line"] = pa.array([row.get("line", place) for place, row in enumerate(given)], type=pa.int64())
    con.register("given", pa.table(columns))
    con.execute(f"create or replace table {table} as select * from given")
    con.unregister("given")


def snapshots(con: duckdb.DuckDBPyConnection, rows: Mapping[tuple[str, date], Mapping[str, float | None]]) -> None:
    """Make the table of snapshots from values, each known at noon of its date."""
    names = list(next(iter(rows.values())))
    columns: dict[str, Any] = {"address": pa.array([address for address, _ in rows])}
    columns |= {name: pa.array([row[name] for row in rows.values()], type=pa.float64()) for name in names}
    columns["snapshot_date"] = pa.array([at for _, at in rows], type=pa.date32())
    con.register("given", pa.table(columns))
    con.execute(
        "create or replace table gld_ml_feature_snapshots as "
        "select *, cast(snapshot_date as timestamp) + interval 12 hour as known_at from given"
    )
    con.unregister("given")


@cache
def rendered(model: str, first_date: date | None = None) -> str:
    """Return a model's SQL as a first build runs it, or a build that replaces gold from ``first_date`` on."""
    (path,) = (PROJECT / "models").rglob(f"{model}.sql")
    return _macros(first_date).render(path.read_text(encoding="utf-8"))


@cache
def _macros(first_date: date | None) -> Macros:
    project = yaml.safe_load(Path(PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    overrides: dict[str, object] = {
        "ref": lambda name: name,
        "config": lambda **_: "",
        "is_incremental": lambda: False,
        "execute": False,
        "this": SimpleNamespace(),
    }
    if first_date is not None:
        overrides["traders_from"] = lambda *_: f"cast('{first_date}' as date)"
        overrides["trader_few_dates"] = lambda *_: True
    return Macros(variables=project["vars"], overrides=overrides)


def table(con: duckdb.DuckDBPyConnection, name: str, keys: int = 2) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return a table's rows by the values of (address, date), other columns by name."""
    found = con.execute(f"select * from {name}")
    names = [column[0] for column in found.description or ()]
    when = next(column for column in ("snapshot_date", "as_of", "date") if column in names)
    out = {}
    for values in found.fetchall():
        row = dict(zip(names, values, strict=True))
        out[row["address"], row[when]] = row
    return out
