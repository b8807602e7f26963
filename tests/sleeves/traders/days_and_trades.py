"""Stand-ins of silver.trader_days and silver.trader_trades, with the columns of the warehouse's models."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import duckdb

from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

START = date(2025, 1, 1)

DAY_COLUMNS = (
    "address varchar, date date, daily_pnl double, n_trades bigint, win_rate double, n_wins bigint, volume_usd double, "
    "long_ratio double, avg_hold_hours double, fees double, source varchar, known_at timestamp"
)
TRADE_COLUMNS = (
    "address varchar, coin varchar, trade_number bigint, side varchar, hold_hours double, entry_notional double, "
    "exit_notional double, pnl double, fees double, net_pnl double, n_fills bigint, opened_at timestamp, "
    "closed_at timestamp, known_at timestamp"
)
BUILDS = (
    "create table meta.builds (build_id varchar, invocation_id varchar, started_at timestamp, finished_at timestamp, "
    "affected_from date, definition_hash varchar, as_known_at varchar, status varchar)"
)


def silver() -> duckdb.DuckDBPyConnection:
    """Return a database with the two tables, empty."""
    con = duckdb.connect()
    make_tables(con)
    return con


def make_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the two tables, empty."""
    con.execute("create schema silver")
    con.execute(f"create table silver.trader_days ({DAY_COLUMNS})")
    con.execute(f"create table silver.trader_trades ({TRADE_COLUMNS})")


def add_days(
    con: duckdb.DuckDBPyConnection,
    address: str,
    pnl: Sequence[float | None],
    *,
    first: date = START,
    volume: Sequence[float] | float = 10_000.0,
    trades: int = 4,
    fees: float | None = 0.0,
    known_at: datetime | None = None,
) -> None:
    """Add one row a day from ``first``, None for a day without one, known at the end of the day unless said."""
    for place, value in enumerate(pnl):
        if value is None:
            continue
        day = first + timedelta(days=place)
        known = known_at or datetime.combine(day + timedelta(days=1), datetime.min.time())
        traded = volume if isinstance(volume, float) else volume[place]
        con.execute(
            "insert into silver.trader_days values (?, ?, ?, ?, 0.5, 2, ?, 0.5, null, ?, 'days', ?)",
            [address, day, value, trades, traded, fees, known],
        )


def add_trades(
    con: duckdb.DuckDBPyConnection,
    address: str,
    sizes: Sequence[float],
    pnl: Sequence[float],
    *,
    first: datetime = datetime(2025, 1, 1, 10),
    minutes: float = 30,
    every: float = 60,
    fee: float = 0.0,
    known_at: datetime | None = None,
) -> None:
    """Add one trade every ``every`` minutes, held for ``minutes``, known when it was closed unless said."""
    for place, (size, value) in enumerate(zip(sizes, pnl, strict=True)):
        opened = first + timedelta(minutes=every * place)
        closed = opened + timedelta(minutes=minutes)
        con.execute(
            "insert into silver.trader_trades values (?, 'BTC', ?, 'long', ?, ?, ?, ?, ?, ?, 2, ?, ?, ?)",
            [
                address,
                place + 1,
                minutes / 60,
                size,
                size + value,
                value,
                fee,
                value - fee,
                opened,
                closed,
                known_at or closed,
            ],
        )


def publish(home: Home, source: duckdb.DuckDBPyConnection) -> None:
    """Make the warehouse of ``home`` from the tables of ``source``, with an empty ops.trader_skill, and a snapshot."""
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    days, trades = (
        source.sql(f"select * from silver.{name}").to_arrow_table() for name in ("trader_days", "trader_trades")
    )
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("create schema meta")
        make_tables(con)
        con.register("landed_days", days)
        con.register("landed_trades", trades)
        con.execute("insert into silver.trader_days select * from landed_days order by address, date")
        con.execute("insert into silver.trader_trades select * from landed_trades order by address, opened_at")
        con.execute(BUILDS)
        con.execute("create table meta.tables (schema_name varchar, table_name varchar, grain varchar)")
        con.execute(
            "insert into meta.tables values ('silver', 'trader_days', 'address,date'), "
            "('silver', 'trader_trades', 'address,coin,trade_number')"
        )
        con.execute("insert into meta.builds values ('s1', 's1', now(), now(), null, 'd1', '', 'success')")
    take_snapshot(layout_of(home))
