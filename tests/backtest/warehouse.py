"""A bare DuckDB with silver bars, gold features and the project's own backtest marts, without a dbt run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import numpy as np

from trademl.schema import BATCHES

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
SCHEMAS = {"ops": "ops", "mrt": "marts", "slv": "silver", "gld": "gold"}
DELISTED_AFTER = 10
FIRST = np.datetime64("2020-01-06")


@dataclass(frozen=True)
class Bar:
    """A row of silver.equity_bars with its features; ``session`` counts weekdays from :data:`FIRST`."""

    symbol: str
    session: int
    open: float
    close: float
    volume: float = 1e6
    split: float = 1.0
    dividend: float = 0.0
    suspect: bool = False
    adv: float | None = 100.0
    volatility: float | None = 0.32
    sector: str | None = "Energy"


def day(session: int) -> np.datetime64:
    """The date of a session: weekdays, so that some nights are three."""
    return np.datetime64(np.busday_offset(FIRST, session), "D")


def warehouse(bars: list[Bar], sessions: int) -> duckdb.DuckDBPyConnection:
    """Return a database in which ``marts.backtest_*`` are views over ``bars``."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    fill(con, bars, sessions)
    return con


def fill(con: duckdb.DuckDBPyConnection, bars: list[Bar], sessions: int) -> None:
    """Make the tables of ``bars`` and the marts over them in an empty database."""
    for schema in SCHEMAS.values():
        con.execute(f"create schema if not exists {schema}")
    con.execute("create table silver.calendar (session_index bigint, date date)")
    _insert(con, "silver.calendar", [(at, str(day(at))) for at in range(sessions)])
    con.execute(
        "create table silver.equity_bars (symbol varchar, sector varchar, is_member boolean, "
        "flag_split_mismatch boolean, session_index bigint, open double, close double, volume double, "
        "split_coefficient double, dividend_amount double, date date)"
    )
    con.execute(
        "create table gold.equities_features (symbol varchar, date date, adv_20d float, "
        "realised_volatility_20d float, realised_volatility_60d float)"
    )
    _insert(
        con,
        "silver.equity_bars",
        [
            (one.symbol, one.sector, True, one.suspect, one.session, one.open, one.close, one.volume, one.split)
            + (one.dividend, str(day(one.session)))
            for one in bars
        ],
    )
    features = [(one.symbol, str(day(one.session)), one.adv, one.volatility, one.volatility) for one in bars]
    _insert(con, "gold.equities_features", features)
    for table in ("ops.backtests", "ops.backtest_weights"):
        columns = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in BATCHES[table].columns.items())
        con.execute(f"create view {table} as select {columns} where false")
    for mart in ("bars", "positions", "trades", "daily"):
        con.execute(f"create view marts.backtest_{mart} as {rendered(mart)}")


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    con.execute(f"insert into {table} select {', '.join('unnest(?)' for _ in columns)}", columns)


def rendered(mart: str) -> str:
    """Return a mart's SQL with references in place of the macros."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    macros = (PROJECT / "macros" / "backtest.sql").read_text(encoding="utf-8")
    model = (PROJECT / "models" / "marts" / "backtest" / f"mrt_backtest_{mart}.sql").read_text(encoding="utf-8")
    return environment.from_string(macros + model).render(
        ref=lambda name: f"{SCHEMAS[name.partition('_')[0]]}.{name.partition('_')[2]}",
        var=lambda name: {"delisted_after_sessions": DELISTED_AFTER}[name],
    )


def random_bars(seed: int, sessions: int = 60, symbols: int = 5) -> list[Bar]:
    """Random walks with splits, dividends, suspect and absent sessions, thin days, endings and a second listing."""
    random = np.random.default_rng(seed)
    bars: list[Bar] = []
    for code in range(symbols):
        price = float(random.uniform(5, 80))
        away = (25, 25 + int(random.integers(8, 16))) if code == 0 else (0, 0)
        last = int(random.integers(30, 50)) if code == 1 else sessions
        first = int(random.integers(0, 8))
        for session in range(first, min(last, sessions)):
            if away[0] <= session < away[1] or random.random() < 0.04:
                continue
            split = float(random.choice([0.5, 2.0, 1.5, 3.0])) if random.random() < 0.04 else 1.0
            price = price / split * float(np.exp(random.normal(0, 0.02)))
            dividend = round(price * 0.01, 2) if random.random() < 0.05 else 0.0
            suspect = random.random() < 0.02
            bars.append(
                Bar(
                    f"S{code}",
                    session,
                    open=round(price * float(np.exp(random.normal(0, 0.01))), 2),
                    close=round(price, 2),
                    volume=0.0 if random.random() < 0.03 else float(random.integers(1, 10_000)) * 100,
                    split=split,
                    dividend=dividend,
                    suspect=suspect,
                    adv=None if session < first + 3 else round(float(random.uniform(1, 80)), 3),
                    volatility=None if random.random() < 0.02 else round(float(random.uniform(0.1, 0.6)), 4),
                )
            )
    return bars


def random_weights(seed: int, sessions: int, symbols: int = 5, every: int = 1) -> tuple[Any, Any]:
    """Return decision dates and weights: some dates decide nothing, some want nothing, some names are left out."""
    random = np.random.default_rng([seed, 1])
    decided = [at for at in range(2, sessions - 1) if at % every == 0 and random.random() < 0.9]
    values = random.normal(0, 0.2, (len(decided), symbols))
    values[random.random(values.shape) < 0.15] = 0.0
    values[random.random(len(decided)) < 0.05] = 0.0
    return np.array([day(at) for at in decided], dtype="datetime64[D]"), values
