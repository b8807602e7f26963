"""The traders' gold tables of many wallets: seconds and memory, beside pandas with the seed's functions.

    python -m benchmarks.traders_scale                          # 100,000 wallets x 90 days, 2 threads
    python -m benchmarks.traders_scale --wallets 10000 --pandas # the same columns in pandas, in a process of its own

Days with fills are drawn in SQL; then dbt builds panel, snapshots, caps, windows, and the aggregates of the newest
date, which is what scoring reads (--all-dates: of every date, which is what training reads), with their tests. Seconds
are those of the models; peak memory is that of the whole process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tests.oracles.traders import EXTRA_RAW_FEATURES, FEATURE_COLUMNS, aggregated_columns, per_sample_columns
from tests.warehouse.traders.project import START
from trademl.cli.init import bundle, make_home
from trademl.config import Home
from trademl.lake.layout import layout_of
from trademl.warehouse.dbt import build

SNAPSHOTS = ("slv_trader_panel", "gld_ml_feature_snapshots")
WINDOWS = ("gld_trader_feature_caps", "gld_traders_windows")
SECONDS, GIGABYTES, TIMES = 60.0, 4.0, 10.0
TOLERANCE = 1e-6


def draw_days(con: duckdb.DuckDBPyConnection, wallets: int, days: int, active: float) -> None:
    """Make the work table of days with fills: every wallet trades on the first day and on a share of the others."""
    con.execute(f"""
        create schema work; create table work.trader_epoch_days as
        with drawn as (
            select
                '0x' || left(sha256(cast(w as varchar)), 40) as address,
                d,
                hash(w, d) % 1000000 / 1e6 as u,
                1 + hash(w, d, 1) % 50 as n,
                hash(w, d, 2) % 1000003 / 1e6 as v,
                hash(w, d, 3) % 1000003 / 1e6 as g
            from range({wallets}) as wallets(w) cross join range({days}) as days(d)
        )
        select
            address,
            'fills' as source,
            cast(round((g - 0.49) * 1e9 * (1 + v)) as bigint) as gross_pnl,
            cast(round(v * 1e6) as bigint) as fees,
            cast(round((g - 0.49) * 1e9 * (1 + v)) as bigint) - cast(round(v * 1e6) as bigint) as net_pnl,
            cast(n as bigint) as n_trades,
            cast(floor(n * g * 0.999) as bigint) as n_wins,
            cast(floor(n * v * 0.999) as bigint) as n_long,
            cast(round(n * 1e9 * (0.1 + v)) as bigint) as volume,
            0.3 + 0.7 * u as concentration,
            cast(n // 5 as bigint) as n_closed,
            cast(n // 5 * round(g * 90000) as bigint) as held_seconds,
            date '1900-01-01' as starts_at,
            date '9999-12-31' as ends_before,
            date '{START}' + cast(d as integer) as date,
            timestamp '{START}' + cast(d + 1 as integer) * interval 1 day as known_at
        from drawn
        where d = 0 or u < {active!r}
        order by address, d
    """)


def sql_side(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Build the tables with dbt and return the seconds of each model; write the newest aggregates to files."""
    make_home(folder / "home", bundle())
    home = Home(folder / "home")
    newest = START + timedelta(days=arguments.days - 1)
    if not arguments.all_dates:
        project = home.dbt_project / "dbt_project.yml"
        text = project.read_text(encoding="utf-8")
        assert 'trader_features_from: ""' in text
        project.write_text(text.replace('trader_features_from: ""', f'trader_features_from: "{newest}"'))
    warehouse = layout_of(home).warehouse
    with duckdb.connect(str(warehouse), config={"threads": arguments.threads}) as con:
        con.execute(f"set memory_limit = '{arguments.memory_limit}'; set enable_progress_bar = false")
        draw_days(con, arguments.wallets, arguments.days, arguments.active)
    models = (*SNAPSHOTS, *WINDOWS, "gld_traders_features")
    report = build(
        home,
        select=" ".join(models),
        threads=arguments.threads,
        memory_limit=arguments.memory_limit,
        progress=lambda node, _number, _total: print(f"  {node.kind} {node.name}", file=sys.stderr, flush=True),
    )
    seconds = {node.name: round(node.seconds, 2) for node in report.nodes if node.kind == "model"}
    peak = peak_gigabytes()
    with duckdb.connect(str(warehouse), read_only=True) as con:
        rows = {
            name: con.execute(f"select count(*) from gold.{name}").fetchall()[0][0]
            for name in ("ml_feature_snapshots", "traders_windows", "traders_features")
        }
        for name, query in (
            ("snapshots", "select * exclude (known_at) from gold.ml_feature_snapshots"),
            ("newest", f"select * exclude (known_at) from gold.traders_features where as_of = date '{newest}'"),
            ("caps", "select snapshot_date, cap from gold.trader_feature_caps"),
        ):
            con.execute(f"copy ({query}) to '{folder / name}.parquet' (format parquet)")
    return {"seconds": seconds, "total": round(sum(seconds.values()), 1), "rows": rows, "peak_gb": peak}


def pandas_side(folder: Path) -> dict[str, Any]:
    """Make the same aggregates of the newest date in pandas, the way the seed does, and compare them."""
    import pandas as pd

    frame = pd.read_parquet(folder / "snapshots.parquet")
    caps = pd.read_parquet(folder / "caps.parquet").set_index("snapshot_date")["cap"]
    started = time.monotonic()
    limit = frame["snapshot_date"].map(caps)
    infinite = np.isinf(frame["profit_factor"])
    frame.loc[infinite, "profit_factor"] = limit[infinite]
    frame[FEATURE_COLUMNS] = frame[FEATURE_COLUMNS].fillna(0.0)
    frame["roi_momentum_7_30"] = frame["roi_7d"] - frame["roi_30d"]
    frame["roi_momentum_30_90"] = frame["roi_30d"] - frame["roi_90d"]
    frame["pnl_momentum_7_30"] = frame["pnl_7d"] - frame["pnl_30d"]
    frame["wr_x_pf"] = frame["win_rate"] * np.clip(frame["profit_factor"], 0, 50)
    frame["sharpe_x_wr"] = frame["pseudo_sharpe"] * frame["win_rate"]
    frame["roi7_x_rec"] = frame["roi_7d"] * frame["recency_decay"]
    for name in (*FEATURE_COLUMNS, *EXTRA_RAW_FEATURES):
        by_date = frame.groupby("snapshot_date")[name]
        mean, deviation = by_date.transform("mean"), by_date.transform("std")
        frame[f"{name}_dm"] = np.where(deviation > 0, (frame[name] - mean) / deviation, 0.0)
        frame[f"{name}_rank"] = by_date.rank(pct=True)
    windows_seconds = time.monotonic() - started
    started = time.monotonic()
    rows = []
    for address, group in frame.groupby("address"):
        n = len(group)
        if n < 16:
            continue
        ordered = group.sort_values("snapshot_date")
        k = max(1, n // 3)
        row: dict[str, Any] = {"address": address, "n_windows": n}
        for name in per_sample_columns():
            values = ordered[name].to_numpy()
            row[f"{name}_mean"] = float(values.mean())
            row[f"{name}_trend"] = float(values[-k:].mean() - values[:k].mean())
        rows.append(row)
    made = pd.DataFrame(rows).set_index("address").sort_index()
    aggregate_seconds = time.monotonic() - started
    newest = pd.read_parquet(folder / "newest.parquet").set_index("address").sort_index()
    columns = aggregated_columns()
    worst = float(np.abs(made.loc[newest.index, columns].to_numpy() - newest[columns].to_numpy()).max())
    return {
        "windows": round(windows_seconds, 1),
        "aggregates": round(aggregate_seconds, 1),
        "total": round(windows_seconds + aggregate_seconds, 1),
        "largest_difference": worst,
        "traders": len(made),
    }


def peak_gigabytes() -> float:
    """The largest resident memory of this process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2)


def main() -> None:
    """Run the SQL, and pandas in a process of its own when asked; print what was measured and judge it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wallets", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--active", type=float, default=0.6, help="share of days with fills")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="2500MB")
    parser.add_argument("--all-dates", action="store_true")
    parser.add_argument("--pandas", action="store_true")
    parser.add_argument("--side", choices=("sql", "pandas"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        result = sql_side(arguments.folder, arguments) if arguments.side == "sql" else pandas_side(arguments.folder)
        print(json.dumps({"peak_gb": peak_gigabytes(), **result}))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {"sql": _in_process("sql", folder)}
        if arguments.pandas:
            found["pandas"] = _in_process("pandas", folder)
    print(json.dumps({"wallets": arguments.wallets, "days": arguments.days, "threads": arguments.threads, **found}))
    failures = []
    if not arguments.all_dates and found["sql"]["total"] > SECONDS:
        failures.append(f"{found['sql']['total']} s, limit {SECONDS:g} s")
    if found["sql"]["peak_gb"] > GIGABYTES:
        failures.append(f"{found['sql']['peak_gb']} GB, limit {GIGABYTES:g} GB")
    if arguments.pandas:
        seconds = found["sql"]["seconds"]
        same_work = sum(seconds[model.removeprefix("gld_")] for model in (*WINDOWS, "gld_traders_features"))
        times = found["pandas"]["total"] / same_work
        print(f"windows and aggregates: SQL {same_work:.1f} s, pandas {found['pandas']['total']} s: {times:.1f} times")
        if times < TIMES:
            failures.append(f"{times:.1f} times as fast as pandas, at least {TIMES:g} wanted")
        if found["pandas"]["largest_difference"] > TOLERANCE:
            failures.append(f"differs from pandas by {found['pandas']['largest_difference']}")
    if failures:
        raise SystemExit("; ".join(failures))


def _in_process(side: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.traders_scale", *sys.argv[1:], "--side", side, "--folder", folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
