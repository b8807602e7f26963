"""Does the time of a wide feature table grow with its rows, and no faster, within a memory limit?

    python -m benchmarks.features.scaling                # Alpha158, 5,000 symbols x 2,520 sessions: 1/8, 1/4, 1/2, all
    python -m benchmarks.features.scaling --table equities_alpha360 --symbols 1000

The model's own compiled SQL runs over a panel of random walks with splits and dividends, in blocks of dates of the size
that the materialization `feature_table` chooses (macros/feature_blocks.sql), each size in a process of its own. It
takes minutes. What precedes the model in a build is not measured: `python -m benchmarks.feature_builds scaling` does
the whole of it, from a simulated market on, in an hour. A time per row that rises with the size means worse than
linear growth.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]

_PANEL = """
create table work.equity_panel as
with drawn as (
    select
        symbols.range as series_key,
        sessions.range as session_index,
        hash(symbols.range * 100003 + sessions.range) as h,
        (h % 2001 / 1000.0 - 1.0) * 0.02 as log_return,
        (h // 2001 % 1000) / 1000.0 as u,
        (h // 2001000 % 1000) / 1000.0 as v
    from range({symbols}) as symbols, range({sessions}) as sessions
),
walked as (
    select
        *,
        50 * exp(sum(log_return) over by_series) as price,
        case when h % 61 = 0 then 2000000000 else 0 end + case when h % 2503 = 0 then 693147180560 else 0 end as action,
        case when h % 2503 = 0 then 693147180560 else 0 end as split
    from drawn
    window by_series as (partition by series_key order by session_index)
)
select
    'S' || series_key as symbol,
    series_key,
    session_index,
    date '2008-01-01' + session_index::integer as date,
    true as is_live,
    true as is_present,
    true as in_universe,
    session_index::integer + 1 as age,
    price * (1 + (u - 0.5) * 0.01) as open,
    price * (1.005 + u * 0.01) as high,
    price * (0.995 - v * 0.01) as low,
    price as close,
    cast(100000 + 1000000 * v as bigint) as volume,
    sum(action) over by_series::bigint as log_action,
    sum(split) over by_series::bigint as log_shares,
    timestamp '2030-01-01' as known_at
from walked
window by_series as (partition by series_key order by session_index)
order by series_key, session_index
"""


def compiled(table: str, folder: Path) -> str:
    """Return dbt's compilation of the model of ``table``; no warehouse is opened."""
    settings = {"TRADEML_LAKE": str(folder), "TRADEML_WAREHOUSE": str(folder / "warehouse.duckdb")}
    project = str(ROOT / "dbt_project")
    command = [str(Path(sys.executable).parent / "dbt"), "--quiet", "compile", "--project-dir", project]
    command += ["--profiles-dir", project, "--target-path", str(folder / "target"), "--log-path", str(folder / "logs")]
    command += ["--select", f"gld_{table}", "--vars", f"{{feature_tables: [{table}]}}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **settings})
    return next((folder / "target" / "compiled").rglob(f"gld_{table}.sql")).read_text()


def fill(table: str, symbols: int, sessions: int, memory_limit: str, threads: int, folder: Path) -> dict[str, float]:
    """Make the panel, fill the table in blocks, and return rows, blocks, seconds and peak memory in MiB."""
    sql = (folder / "model.sql").read_text()
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    con = duckdb.connect(str(folder / "warehouse.duckdb"))
    con.execute(f"set memory_limit = '{memory_limit}'; set threads = {threads}; create schema work; create schema gold")
    con.execute(_PANEL.format(symbols=symbols, sessions=sessions))
    con.execute("checkpoint")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    con.execute(f"create table gold.{table} as select * from ({sql}) limit 0")
    columns = len(con.execute(f"describe gold.{table}").fetchall())
    limit = con.execute("select current_setting('memory_limit')").fetchall()[0][0].split()
    units = {"MiB": 2**20, "GiB": 2**30}
    rows_per_block = float(limit[0]) * units[limit[1]] * 2.5 / (columns * 8 + 1000)
    step = max(1, int(rows_per_block / symbols))
    started = time.monotonic()
    blocks = 0
    for first in range(0, sessions, step):
        day = f"date '2008-01-01' + {first}"
        con.execute(f"set variable block_from = {day}; set variable block_to = {day} + {step}")
        for lookback in (59, 60):
            con.execute(f"set variable before_block_{lookback} = {day} - {lookback}")
        con.execute(f"insert into gold.{table} by name select * from ({sql})")
        blocks += 1
    con.execute("checkpoint")
    seconds = time.monotonic() - started
    rows = con.execute(f"select count(*) from gold.{table}").fetchall()[0][0]
    con.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "blocks": blocks, "seconds": seconds, "peak_mib": peak, "peak_before_mib": before}


def main() -> None:
    """Run every size in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="equities_alpha158")
    parser.add_argument("--symbols", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=2520)
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 4, 2, 1])
    parser.add_argument("--memory-limit", default="4GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        given = (options.table, options.symbols, options.sessions, options.memory_limit, options.threads, options.one)
        print(json.dumps(fill(*given)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model.sql").write_text(compiled(options.table, folder))
        print(f"{options.table}, memory limit {options.memory_limit}, {options.threads} threads")
        print(f"{'part':>5} {'rows':>12} {'blocks':>7} {'seconds':>9} {'us a row':>9} {'peak MiB':>9}", flush=True)
        for part in options.parts:
            command = [sys.executable, "-m", "benchmarks.features.scaling", "--one", scratch, "--table", options.table]
            command += ["--symbols", str(options.symbols // part), "--sessions", str(options.sessions)]
            command += ["--memory-limit", options.memory_limit, "--threads", str(options.threads)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
            print(
                f"{'1/' + str(part):>5} {found['rows']:>12,} {found['blocks']:>7} {found['seconds']:>9.1f} "
                f"{found['seconds'] / found['rows'] * 1e6:>9.2f} {found['peak_mib']:>9,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
