"""Prove on the real minute bars that nothing after t1 changes an event, and that the order of rows does not either.

    python -m benchmarks.events_proofs [--work DIR] [--timeframe 5min]

For each of three instants within sessions, two homes are built: one whose bars after the instant are garbage, and one
in which they have not landed. Every feature of every event confirmed by then, and every label settled by then, is
compared with the home that has all bars. A fourth home lands the same bars in another order, cut into seven files.
Figures are printed as they are measured and written to <work>/events_proofs.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRADEML_REAL_DATA", REPOSITORY.parent / "shared" / "data")) / "intraday"
CUTS = ("2025-10-08 15:07:00", "2025-11-05 18:30:00", "2025-12-17 14:45:00")
"""UTC, in the morning, at noon and in the first minutes of a session."""

ZONE = "America/New_York"
GARBAGE = """
    select symbol, ts, price as open, price * (1 + random()) as high, price * random() as low, price as close, volume
    from (
        select symbol, ts, close * exp(4 * random() - 2) as price, 1e6 * random() as volume from {source}
        where ts >= timezone('{zone}', timezone('UTC', timestamp '{cut}'))
    )
"""


def trademl(home: Path, *arguments: str) -> str:
    """Run one command in ``home`` and return its output; anything but success stops."""
    done = subprocess.run(
        [sys.executable, "-m", "trademl", *arguments],
        env={**os.environ, "TRADEML_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"trademl {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def built(folder: Path, files: list[Path], timeframe: str) -> Path:
    """Make a home from ``files`` and return its warehouse."""
    subprocess.run([sys.executable, "-m", "trademl", "init", str(folder)], check=True, capture_output=True)
    project = folder / "dbt_project" / "dbt_project.yml"
    minutes = timeframe.removesuffix("min")
    project.write_text(project.read_text().replace("events_bar_minutes: 1\n", f"events_bar_minutes: {minutes}\n"))
    started = time.perf_counter()
    trademl(folder, "ingest", "intraday-bars", *map(str, files), "--timeframe", timeframe, "--time-zone", ZONE)
    trademl(folder, "build")
    print(f"  {folder.name}: built in {time.perf_counter() - started:.0f} s", flush=True)
    return folder / "lake" / "warehouse.duckdb"


def compare(con: duckdb.DuckDBPyConnection, table: str, condition: str) -> dict[str, int]:
    """Return how many rows and cells of ``table`` differ between the databases ``a`` and ``b``, by event_id."""
    columns = [row[0] for row in con.execute(f"describe a.gold.{table}").fetchall() if row[0] != "event_id"]
    differs = " + ".join(f'cast(l."{name}" is distinct from r."{name}" as integer)' for name in columns)
    rows, missing, cells = con.execute(
        f"select count(*), count(*) filter (where l.event_id is null or r.event_id is null), "
        f"coalesce(sum({differs}) filter (where l.event_id is not null and r.event_id is not null), 0) "
        f"from (select * from a.gold.{table} where {condition}) as l "
        f"full join (select * from b.gold.{table} where {condition}) as r using (event_id)"
    ).fetchall()[0]
    return {"rows": rows, "missing": missing, "cells": rows * len(columns), "differing": int(cells)}


def judged(left: Path, right: Path, conditions: dict[str, str]) -> dict[str, dict[str, int]]:
    """Compare tables of two warehouses."""
    with duckdb.connect() as con:
        con.execute(f"attach '{left}' as a (read_only); attach '{right}' as b (read_only)")
        return {name: compare(con, name.split()[0], condition) for name, condition in conditions.items()}


def shown(found: dict[str, dict[str, int]]) -> None:
    """Print one line a table."""
    for name, counts in found.items():
        print(
            f"    {name}: {counts['rows']:,} rows, {counts['missing']:,} on one side only, "
            f"{counts['differing']:,} of {counts['cells']:,} cells differ",
            flush=True,
        )


def main() -> None:
    """Run the proofs and stop with 1 when one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for the homes; a temporary one by default")
    parser.add_argument("--timeframe", choices=("1min", "5min"), default="1min")
    options = parser.parse_args()
    source = DATA / f"us_{options.timeframe}_2025.parquet"
    if not source.exists():
        raise SystemExit(f"{source} is not there: set TRADEML_REAL_DATA")
    work = options.work or Path(tempfile.mkdtemp(prefix="trademl-events-"))
    work.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"timeframe": options.timeframe}
    whole = built(work / "whole", [source], options.timeframe)
    failed = False
    for number, cut in enumerate(CUTS):
        before, garbage = work / f"before_{number}.parquet", work / f"garbage_{number}.parquet"
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'; select setseed(0.5)")
            relation = f"read_parquet('{source}')"
            minutes = options.timeframe.removesuffix("min")
            until = f"ts + interval {minutes} minute <= timezone('{ZONE}', timezone('UTC', timestamp '{cut}'))"
            con.execute(f"copy (select * from {relation} where {until}) to '{before}' (format parquet)")
            sql = GARBAGE.format(source=f"(select * from {relation} where not ({until}))", zone=ZONE, cut=cut)
            con.execute(f"copy ({sql}) to '{garbage}' (format parquet)")
        print(f"cut at {cut} UTC")
        conditions = {
            "events_features": f"known_at <= timestamp '{cut}'",
            "events_labels": f"resolved_at <= timestamp '{cut}'",
        }
        for kind, files in (("garbage after it", [before, garbage]), ("nothing after it", [before])):
            home = work / kind.split()[0]
            warehouse = built(home, files, options.timeframe)
            found = judged(whole, warehouse, conditions)
            print(f"  {kind}:")
            shown(found)
            if kind.startswith("garbage"):
                later = {"events_labels after it": f"resolved_at > timestamp '{cut}'"}
                control = judged(whole, warehouse, later)
                shown(control)
                found |= control
                failed |= not control["events_labels after it"]["missing"]
            failed |= any(found[name]["missing"] or found[name]["differing"] for name in conditions)
            failed |= not all(found[name]["rows"] for name in conditions)
            figures[f"{cut} {kind}"] = found
            shutil.rmtree(home)
    pieces = []
    with duckdb.connect() as con:
        con.execute("select setseed(0.25)")
        con.execute(f"create table mixed as select *, cast(floor(random() * 7) as integer) as piece from '{source}'")
        for piece in range(7):
            pieces.append(work / f"piece_{piece}.parquet")
            con.execute(
                f"copy (select * exclude (piece) from mixed where piece = {piece} order by hash(ts, symbol, {piece})) "
                f"to '{pieces[-1]}' (format parquet)"
            )
    print("the same bars in another order, in seven files")
    mixed = judged(
        whole, built(work / "mixed", pieces, options.timeframe), {"events_features": "true", "events_labels": "true"}
    )
    shown(mixed)
    failed |= any(counts["missing"] or counts["differing"] for counts in mixed.values())
    figures["another order"] = mixed
    (work / "events_proofs.json").write_text(json.dumps(figures, indent=1))
    print("FAILED" if failed else "proved: 0 differences")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
