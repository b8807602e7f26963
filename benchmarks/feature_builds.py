"""What it costs to keep feature tables up to date: a day, a new feature, and ever more symbols.

    python -m benchmarks.feature_builds increment                     # the last sessions of the real panel, one by one
    python -m benchmarks.feature_builds backfill --table equities_alpha158
    python -m benchmarks.feature_builds scaling --parts 8 4 2 1       # 1/8, 1/4, 1/2 and all of 5,000 x 2,520

Every build is a process of its own. Model seconds are dbt's own, summed over models; CPU seconds and peak memory are the process's.
Homes are made in --work. Small runs: `increment --from 2017-01-01 --sessions 2`, `scaling --symbols 400 --days 300`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.proofs import DATA, ingest_reference, new_home, panel, trademl, warehouse

_BUILD = """
import json, sys
from pathlib import Path
from trademl.config import Home
from trademl.warehouse.dbt import build
home, threads, memory, refresh = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "True"
report = build(Home(home), threads=threads, memory_limit=memory, full_refresh=refresh)
print(json.dumps({node.name: node.seconds for node in report.nodes if node.kind == "model"}))
"""


@dataclass(frozen=True)
class Built:
    """One build: seconds of each model, CPU seconds and peak resident GB of the whole process."""

    models: dict[str, float]
    cpu: float
    peak: float

    @property
    def seconds(self) -> float:
        return sum(self.models.values())


def build(home: Path, options: argparse.Namespace, *, full_refresh: bool = False) -> Built:
    """Build ``home`` in a process of its own."""
    arguments = [str(home), str(options.threads), options.memory_limit, str(full_refresh)]
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the build of {home} failed:\n{output[-4000:]}")
    models = {str(name): float(seconds) for name, seconds in json.loads(output.strip().splitlines()[-1]).items()}
    return Built(models, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def switch_on(home: Path, tables: Sequence[str]) -> None:
    """Name the feature tables that the home builds beside the core."""
    project = home / "dbt_project" / "dbt_project.yml"
    lines = project.read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("  feature_tables:")]
    lines[at] = f"  feature_tables: [{', '.join(tables)}]"
    project.write_text("\n".join(lines) + "\n")


def hashes(home: Path) -> dict[str, tuple[int, str]]:
    """Rows and content hash of every gold table."""
    from trademl.warehouse.content import content_hashes

    return content_hashes(warehouse(home))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, aligned."""
    cells = [list(headings)] + [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        print("  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))), flush=True)


def increment(options: argparse.Namespace) -> bool:
    """Build without the last sessions, land and build them one by one, and compare with full refreshes of the end."""
    home = new_home(options.work / "increment")
    switch_on(home, options.tables)
    con = duckdb.connect()
    days = [
        str(row[0])
        for row in con.execute(
            f"select distinct date from read_parquet('{DATA / 'us_sp500_daily_1999_2018.parquet'}') "
            f"order by date desc limit {options.sessions}"
        ).fetchall()[::-1]
    ]
    con.close()
    panel(home, f"select * from bars where date >= date '{options.first}' and date < date '{days[0]}'")
    ingest_reference(home)
    build(home, options)
    daily = []
    for day in days:
        panel(home, f"select * from bars where date = date '{day}'")
        daily.append(build(home, options))
    by_days = hashes(home)
    whole = [build(home, options, full_refresh=True) for _ in range(options.refreshes)]
    at_once = hashes(home)
    full = statistics.median(one.seconds for one in whole)
    table(
        ["build", "model s", "of full", "CPU s", "peak GB"],
        [["full (median)", full, 1.0, statistics.median(one.cpu for one in whole), max(one.peak for one in whole)]]
        + [[day, one.seconds, one.seconds / full, one.cpu, one.peak] for day, one in zip(days, daily, strict=True)],
    )
    ratio = statistics.median(one.seconds for one in daily) / full
    print(f"median increment {100 * ratio:.2f} % of the full build's model time; equal cell for cell: {by_days == at_once}")
    slowest(daily[-1], whole[-1])
    return by_days == at_once


def slowest(day: Built, whole: Built, count: int = 12) -> None:
    """Print where an increment's time goes, beside the full build's."""
    names = sorted(day.models, key=day.models.__getitem__, reverse=True)[:count]
    table(["model", "increment s", "full s"], [[name, day.models[name], whole.models[name]] for name in names])


COMMANDS: dict[str, Callable[[argparse.Namespace], bool]] = {"increment": increment}


def main() -> None:
    """Run the command named on the command line; exit code 1 when a content hash differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "trademl-feature-builds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="4GB")
    parser.add_argument("--tables", nargs="*", default=[], help="feature tables beside the core")
    parser.add_argument("--from", dest="first", default="1999-01-01", help="first date of the real panel")
    parser.add_argument("--sessions", type=int, default=5, help="increments")
    parser.add_argument("--refreshes", type=int, default=1, help="full refreshes, of which the median counts")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not COMMANDS[options.command](options):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
