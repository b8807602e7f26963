"""trademl's own side: dbt builds one feature table of a home, from the landed bars on or again from the working panel.

    python -m benchmarks.features.gold_side HOME alpha158 --threads 2 --memory-limit 1GB

``--ancestors`` builds everything that the table is made from, too. The last line says the model's seconds as dbt
counted them, those of the panel that it reads, and the peak memory of the whole process. ``--in-memory`` runs the
statement that the last build compiled, all dates at once, into a table in memory: the work of the engines that give a
frame, without dbt, the contract and the file.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.features.memory import largest_resident_mib
from benchmarks.features.names import SETS

PANEL = "slv_equity_panel"


def build(home: Path, name: str, *, ancestors: bool, threads: int, memory_limit: str) -> dict[str, float]:
    """Run the models, without tests, and return the seconds of each."""
    from dbt.cli.main import dbtRunner

    os.environ |= {
        "TRADEML_LAKE": str(home / "lake"),
        "TRADEML_WAREHOUSE": str(home / "lake" / "warehouse.duckdb"),
        "TRADEML_THREADS": str(threads),
        "TRADEML_MEMORY_LIMIT": memory_limit,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    project = str(home / "dbt_project")
    model = f"gld_equities_{name}"
    selected = [f"+{model}"] if ancestors else [PANEL, model]
    arguments = ["--quiet", "run", "--full-refresh", "--project-dir", project, "--profiles-dir", project]
    outcome = dbtRunner().invoke([*arguments, "--select", *selected])
    if not outcome.success:
        raise SystemExit(f"dbt could not build {model} of {home}: {outcome.exception or 'see above'}")
    results: Any = outcome.result
    return {str(one.node.name): float(one.execution_time) for one in results}


def query(home: Path, name: str, *, threads: int, memory_limit: str) -> float:
    """Compute the table into memory and return the seconds."""
    (compiled,) = (home / "dbt_project/target/compiled").rglob(f"gld_equities_{name}.sql")
    con = duckdb.connect(config={"threads": threads, "memory_limit": memory_limit})
    con.execute(f"attach '{home / 'lake' / 'warehouse.duckdb'}' as warehouse (read_only)")
    con.execute("use warehouse")
    started = time.perf_counter()
    con.execute(f"create temp table filled as {compiled.read_text(encoding='utf-8')}")
    return time.perf_counter() - started


def main() -> None:
    """Build one table and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features.gold_side", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("name", choices=tuple(SETS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--ancestors", action="store_true")
    parser.add_argument("--in-memory", action="store_true")
    options = parser.parse_args()
    if options.in_memory:
        taken = query(options.home, options.name, threads=options.threads, memory_limit=options.memory_limit)
        print(json.dumps({"seconds": taken, "peak_mib": largest_resident_mib()}))
        return
    seconds = build(
        options.home,
        options.name,
        ancestors=options.ancestors,
        threads=options.threads,
        memory_limit=options.memory_limit,
    )
    said = {"seconds": seconds[f"gld_equities_{options.name}"], "panel_seconds": seconds[PANEL]}
    print(json.dumps({**said, "peak_mib": largest_resident_mib()}))


if __name__ == "__main__":
    main()
