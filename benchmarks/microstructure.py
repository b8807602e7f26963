"""Trades, quotes, books and chains of the real files: what lands, what is odd, and what the features say.

    python -m benchmarks.microstructure [--work DIR] [--home DIR]

A home is made and built from the tape of IBM and BAC and the quotes of IBM (2013), the book of AMZN (2012) and the
chains of SPX (2019) and SPY (2021), unless --home names one. Printed as it is measured, and written to
<work>/microstructure.json:

- the account of every file, and its oddities;
- coverage of the events, and quantiles of each feature per feed;
- the regression of changes of the mid-quote on order flow imbalance (Cont, Kukanov and Stoikov 2014);
- the side of trades by rule beside the side that the book states;
- computed gamma beside the vendor's;
- garbage from an instant on, in every feed: cells of earlier events, and earlier bars, that differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.events_proofs import trademl
from tests.warehouse.events.tick_market import BRONZE, SILVER, rendered

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRADEML_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
ZONE = ("--time-zone", "America/New_York")
FILES: tuple[tuple[str, ...], ...] = (
    ("trades", "intraday/ticks/ibm_bac_trades_20131007_11.parquet", *ZONE),
    ("quotes", "intraday/ticks/ibm_quotes_20131007_11.parquet", *ZONE),
    ("book", "intraday/book/AMZN_20120621_lobster_l1.parquet", "--symbol", "AMZN"),
    ("option-chain", "options/spx_chain_2019q2.parquet"),
    ("option-chain", "options/spy_2021_subset.parquet"),
)
CUTS = ("2012-06-21 15:31:00", "2013-10-08 14:15:00", "2013-10-09 18:05:00", "2013-10-11 13:50:00")
FLAGS = ("has_trades", "has_quotes", "has_book", "has_chain")


def made(home: Path) -> list[dict[str, Any]]:
    """Make and build a home of the real files; return the account of each."""
    subprocess.run([sys.executable, "-m", "trademl", "init", str(home)], check=True, capture_output=True)
    accounts = []
    for command, path, *options in FILES:
        report = json.loads(trademl(home, "ingest", command, str(DATA / path), *options, "--json"))
        kept = ("rows_in", "landed", "quarantined", "duplicates", "by_reason", "seconds")
        accounts.append({"file": path, **{name: report[name] for name in kept}})
    started = time.perf_counter()
    trademl(home, "build")
    print(f"built in {time.perf_counter() - started:.0f} s", flush=True)
    return accounts


def opened(home: Path) -> duckdb.DuckDBPyConnection:
    """Return a database that sees the home's warehouse as ``w``, and its raw rows under the names of bronze."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
    con.execute(f"attach '{home}/lake/warehouse.duckdb' as w (read_only)")
    for dataset, table in BRONZE.items():
        con.execute(
            f"create view {table} as select * from read_parquet('{home}/lake/raw/{dataset}/[0-9]*/rows.parquet')"
        )
    con.execute("create table slv_calendar as select * from w.silver.calendar")
    con.execute("create table slv_event_touches as select * from w.silver.event_touches")
    return con


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Return a query's rows by the names of their columns."""
    found = con.execute(sql)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def oddities(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return what the files hold that a naive reader would trip over."""
    exchanges = [row[0] for row in con.execute("select distinct exchange from brz_ticks__quotes order by 1").fetchall()]
    best_bid = ", ".join(
        f"last_value(case when exchange = '{name}' then bid end ignore nulls) over in_order" for name in exchanges
    )
    best_ask = best_bid.replace("then bid", "then ask")
    return {
        "quotes": rows(
            con,
            "select count(*) as rows, count(*) filter (bid is null or ask is null) as one_sided, "
            "cast(sum(suspicious) as bigint) as suspicious from brz_ticks__quotes",
        )[0],
        "crossed_if_each_row_is_the_best": rows(
            con,
            "select count(*) filter (is_crossed) / count(*) as share from w.silver.intraday_quotes join slv_calendar "
            "using (date) where feed = 'quotes' and ts >= open_at and ts < close_at",
        )[0]["share"],
        "crossed_if_each_row_is_its_exchange": rows(
            con,
            f"select count(*) filter (bid > ask) / count(*) as share from (select greatest({best_bid}) as bid, "
            f"least({best_ask}) as ask, ts from brz_ticks__quotes where date = '2013-10-08' and suspicious = 0 "
            "window in_order as (order by line)) where hour(ts) between 14 and 19",
        )[0]["share"],
        "trades": rows(
            con,
            "select symbol, feed, count(*) as trades, count(*) filter (not is_price_forming) as excluded, "
            "count(*) filter (side_from = 'quote') as by_quote, count(*) filter (side_from = 'tick') as by_tick, "
            "count(*) filter (side_from = 'book') as by_book, count(*) filter (side = 0) as unknown "
            "from w.silver.intraday_trades group by 1, 2 order by 1, 2",
        ),
        "repeated_executions_of_hidden_orders": rows(
            con,
            "select coalesce(sum(copies - 1), 0)::bigint as copies from (select count(*) as copies "
            "from brz_ticks__book "
            "group by time_s, event_type, order_id, size, price, direction having count(*) > 1)",
        )[0]["copies"],
        "chains": rows(
            con,
            "select symbol, count(*) as quotes, count(distinct date) as sessions, "
            "count(*) filter (bid = 0) as zero_bids, "
            "count(*) filter (bid > ask) as crossed, count(*) filter (implied_vol = 0) as volatility_0, "
            "count(*) filter (implied_vol > 5) as volatility_above_5, count(*) filter (expiration = date) as last_day "
            "from brz_options__quotes group by 1 order by 1",
        ),
        "sessions_without_a_chain": [
            str(row["date"])
            for row in rows(
                con,
                "select date from slv_calendar where date between '2019-04-25' and '2019-06-28' and date not in "
                "(select date from brz_options__quotes where symbol = 'SPX') order by 1",
            )
        ],
    }


def features(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return the coverage of the real events, and NULL share and quantiles of each feature per feed."""
    described = con.execute("describe w.silver.event_microstructure").fetchall()
    names = [row[0] for row in described if row[1] == "FLOAT"]
    con.execute(
        "create table measured as select m.*, t.symbol, t.level_kind_name, case when has_quotes then 'quotes' "
        "when has_book then 'book' when has_trades then 'trades only' else 'none' end as feed "
        "from w.silver.event_microstructure as m join slv_event_touches as t using (event_id)"
    )
    coverage = rows(con, f"select symbol, {', '.join(FLAGS)}, count(*) as events from measured group by all order by 1")
    quantiles = {}
    for name in names:
        quantiles[name] = {
            row.pop("feed"): row
            for row in rows(
                con,
                f"select feed, count(*) as events, count({name}) as known, quantile_cont({name}, 0.05) as q05, "
                f"median({name}) as median, quantile_cont({name}, 0.95) as q95 from measured group by feed order by 1",
            )
        }
    return {"coverage": coverage, "features": quantiles}


def strikes(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return fuel at the strikes that a session watches, from below, over all sessions: there are no bars of SPX."""
    con.execute("create or replace table kept as select * from slv_event_touches")
    con.execute(
        "create or replace table slv_event_touches as select symbol || date || level_price as event_id, symbol, date, "
        "open_at as t1, level_price, 1 as direction_sign from w.silver.event_strikes join slv_calendar using (date)"
    )
    for name in SILVER:
        con.execute(f"create or replace view {name} as select * from w.silver.{name.removeprefix('slv_')}")
    sql = rendered("slv_event_microstructure")
    con.execute(f"create or replace table fuel as {sql}")
    found = rows(
        con,
        "select t.symbol, count(*) as levels, count(*) filter (has_chain) as with_chain, "
        "median(gamma_exposure) as gamma_exposure, median(gamma_pressure) as gamma_pressure, "
        "median(dealer_pressure) as dealer_pressure, median(reversion_pressure) as reversion_pressure, "
        "avg(case fuel_effect when 1 then 1.0 else 0 end) as share_amplify, "
        "avg(case fuel_effect when -1 then 1.0 else 0 end) as share_dampen "
        "from fuel join slv_event_touches as t using (event_id) group by 1 order by 1",
    )
    con.execute("create or replace table slv_event_touches as select * from kept")
    for name in SILVER:
        con.execute(f"drop view {name}")
    return found


def order_flow(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return R2 and slope of the change of the mid-quote in cents on order flow imbalance, in buckets of 10 seconds."""
    return rows(
        con,
        """
        with buckets as (
            select symbol, feed, date, epoch_us(ts) // 10000000 as bucket, sum(bid_change - ask_change) as flow,
                max_by((bid + ask) / 2, tick) as mid
            from w.silver.intraday_quotes join slv_calendar using (date)
            where ts >= open_at and ts < close_at and not is_crossed
            group by all
        ),
        changes as (
            select *, 100 * (mid - lag(mid) over (partition by symbol, feed, date order by bucket)) as cents,
                bucket - lag(bucket) over (partition by symbol, feed, date order by bucket) as gap
            from buckets
        )
        select symbol, feed, date, count(*) as buckets, regr_r2(cents, flow) as r2,
            100 * regr_slope(cents, flow) as cents_per_100_shares
        from changes where gap = 1 group by all order by 1, 3
        """,
    )


def sides(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return how often the rules find the side that the book states, for visible executions.

    What one instant executed is one trade: its first message, against the best level before that instant.
    """
    return rows(
        con,
        """
        with quotes as (
            select ts, bid, ask from w.silver.intraday_quotes where feed = 'book'
            qualify row_number() over (partition by symbol, ts order by tick desc) = 1
        ),
        trades as (
            select *, sign(price - lag(price) over (order by tick)) as change
            from w.silver.intraday_trades where feed = 'book' and condition = '4'
        ),
        ticked as (
            select *, last_value(nullif(change, 0) ignore nulls) over (order by tick) as tick_side from trades
        ),
        firsts as (select * from ticked qualify row_number() over (partition by ts order by tick) = 1),
        sided as (
            select side, tick_side, sign(round(price * 2e6) - round((bid + ask) * 1e6)) as quote_side
            from firsts asof join quotes on firsts.ts > quotes.ts
        )
        select count(*) as trades,
            avg(cast(quote_side = side as integer)) filter (quote_side <> 0) as quote_rule,
            avg(cast(tick_side = side as integer)) filter (tick_side is not null) as tick_rule,
            avg(cast(coalesce(nullif(quote_side, 0), tick_side) = side as integer)) as both
        from sided
        """,
    )[0]


def gammas(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the vendor's gamma over the computed one, where the vendor printed two digits and a usable volatility."""
    return rows(
        con,
        """
        with contracts as (
            select symbol, gamma, underlying_price, implied_vol as v, (expiration - date) / 365.0 as years,
                (ln(underlying_price / strike) + 0.5 * v * v * years) / (v * sqrt(years)) as d1
            from brz_options__quotes where expiration > date and implied_vol > 0.01 and implied_vol <= 5
        ),
        computed as (
            select symbol,
                gamma / (exp(-0.5 * d1 * d1) / sqrt(2 * pi()) / (underlying_price * v * sqrt(years))) as ratio
            from contracts where gamma >= case symbol when 'SPX' then 0.001 else 0.01 end
        )
        select symbol, count(*) as contracts, quantile_cont(ratio, 0.05) as q05, median(ratio) as median,
            quantile_cont(ratio, 0.95) as q95
        from computed group by 1 order by 1
        """,
    )


def poisoned(con: duckdb.DuckDBPyConnection, cut: str) -> dict[str, Any]:
    """Make the models of bronze rows that are garbage from ``cut`` on; compare every event confirmed by then."""
    for dataset in ("trades", "quotes", "book"):
        table = BRONZE[dataset]
        numbers = {"trades": ("price", "size"), "quotes": ("bid", "ask", "bid_size", "ask_size")}.get(
            dataset, ("price", "size", "bid_price", "ask_price", "bid_size", "ask_size")
        )
        garbage = ", ".join(
            f"case when ts >= timestamp '{cut}' then {name} * exp(6 * random() - 3) else {name} end as {name}"
            for name in numbers
        )
        con.execute(f"create or replace table bad.{table} as select * replace ({garbage}) from {table}")
    con.execute("create or replace view bad.brz_options__quotes as select * from memory.main.brz_options__quotes")
    con.execute("create or replace view bad.slv_calendar as select * from memory.main.slv_calendar")
    con.execute(
        "create or replace table bad.slv_event_touches as select * from memory.main.slv_event_touches "
        f"where t1 <= timestamp '{cut}'"
    )
    con.execute("use bad")
    for name in (*SILVER, "slv_event_microstructure"):
        con.execute(f"create or replace table {name} as {rendered(name)}")
    con.execute("use memory")
    names = [row[0] for row in con.execute("describe w.silver.event_microstructure").fetchall()[1:]]
    differs = " + ".join(f"cast(l.{name} is distinct from r.{name} as integer)" for name in names)
    found = rows(
        con,
        f"select count(*) as events, count(*) * {len(names)} as cells, "
        f"coalesce(sum({differs}), 0)::bigint as differing "
        "from bad.slv_event_microstructure as l join w.silver.event_microstructure as r using (event_id)",
    )[0]
    bars = rows(
        con,
        "select count(*) as bars, count(*) filter (l is distinct from r) as bars_differing "
        f"from (select * from bad.slv_intraday_trade_bars where ends_at <= timestamp '{cut}') as l "
        f"full join (select * from w.silver.intraday_trade_bars where ends_at <= timestamp '{cut}') as r "
        "using (symbol, ts)",
    )[0]
    changed = con.execute(f"select count(*) from {BRONZE['trades']} where ts >= timestamp '{cut}'").fetchall()[0][0]
    return {"cut": cut, **found, **bars, "trades_poisoned": changed}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None, help="where homes and results go")
    parser.add_argument("--home", type=Path, default=None, help="a home of these files that is built already")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    home = arguments.home or work / "microstructure"
    if arguments.home is None:
        results["accounts"] = made(home)
        _show("accounts", results["accounts"])
    con = opened(home)
    for name, measure in (
        ("oddities", oddities),
        ("events", features),
        ("strikes", strikes),
        ("order_flow", order_flow),
        ("sides", sides),
        ("gammas", gammas),
    ):
        results[name] = measure(con)
        _show(name, results[name])
    con.execute(f"attach '{work}/poisoned.duckdb' as bad")
    results["poison"] = [poisoned(con, cut) for cut in CUTS]
    _show("poison", results["poison"])
    (work / "microstructure.json").write_text(json.dumps(results, indent=1, default=str) + "\n", encoding="utf-8")
    if any(one["differing"] or one["bars_differing"] for one in results["poison"]):
        raise SystemExit("a feature or a bar read what came later")


def _show(name: str, found: Any) -> None:
    print(f"{name}:", flush=True)
    if isinstance(found, list):
        for one in found:
            print(f"  {_line(one)}")
    elif all(isinstance(value, dict) for value in found.values()):
        for key, value in found.items():
            print(f"  {key}")
            for inner, one in value.items():
                print(f"    {inner}: {_line(one)}")
    else:
        for key, value in found.items():
            if isinstance(value, dict) and any(isinstance(one, dict) for one in value.values()):
                print(f"  {key}")
                for inner, one in value.items():
                    print(f"    {inner}: {'; '.join(f'{feed}: {_line(row)}' for feed, row in one.items())}")
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                print(f"  {key}")
                for one in value:
                    print(f"    {_line(one)}")
            else:
                print(f"  {key}: {_line(value)}")


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(one)}" for key, one in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


if __name__ == "__main__":
    main()
