"""Prove the warehouse's claims on the real panel, each with one command.

    python benchmarks/proofs.py all
    python benchmarks/proofs.py time-machine future-poison
    python benchmarks/proofs.py time-machine future-poison --tables equities_alpha158,equities_risk --since 2008-01-01

`--tables` switches feature tables on in every home, `--since` leaves earlier bars away. Homes are made in
--work (default: a temporary folder); the data is found through TRADEML_REAL_DATA. Every figure is printed as it is
measured and written to <work>/proofs.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRADEML_REAL_DATA", REPOSITORY.parent / "shared" / "data")) / "equities"
CUTOFF = "2015-06-30"
GRAIN: dict[str, list[str]] = {
    "equities_features": ["symbol", "date"],
    "equities_labels": ["symbol", "date", "label"],
    "equities_regime": ["date"],
}
"""The gold tables that are compared; `--tables` adds to them."""

_ALWAYS = tuple(GRAIN)

SINCE = ["1999-01-01"]


def trademl(home: Path, *arguments: str, now: str | None = None, expect: int = 0) -> str:
    """Run one `trademl` command in ``home`` and return its output; an exit code other than ``expect`` stops."""
    environment = {**os.environ, "TRADEML_HOME": str(home)}
    if now:
        environment["TRADEML_NOW"] = now
    done = subprocess.run(
        [sys.executable, "-m", "trademl", *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode != expect:
        raise SystemExit(f"trademl {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def new_home(folder: Path) -> Path:
    """Make an empty home, whatever was there before."""
    if folder.exists():
        shutil.rmtree(folder)
    subprocess.run([sys.executable, "-m", "trademl", "init", str(folder)], check=True, capture_output=True)
    wanted = [table for table in GRAIN if table not in _ALWAYS]
    project = folder / "dbt_project" / "dbt_project.yml"
    project.write_text(project.read_text().replace("feature_tables: []", f"feature_tables: [{', '.join(wanted)}]"))
    return folder


def ingest_reference(home: Path) -> None:
    """Land membership, sectors, VIX and the Fama-French factors."""
    trademl(home, "ingest", "membership", str(DATA / "index_membership.csv"))
    trademl(home, "ingest", "reference", str(DATA / "sectors_2021.csv"), "--map", "symbol=Symbol")
    series = {"VIX": ("vix_daily.csv", "DATE", "CLOSE")}
    series |= {name: ("fama_french_5_daily.csv", "date", name) for name in ("mkt_rf", "smb", "hml", "rmw", "cma")}
    for name, (file, day, value) in series.items():
        columns = ("--map", f"date={day}", "--map", f"value={value}")
        trademl(home, "ingest", "series", str(DATA / file), "--name", name, *columns)


def panel(home: Path, query: str) -> None:
    """Ingest the result of ``query`` over the real panel ``bars``."""
    staged = home / "bars.parquet"
    con = duckdb.connect()
    source = DATA / "us_sp500_daily_1999_2018.parquet"
    con.execute(f"create view bars as select * from read_parquet('{source}') where date >= date '{SINCE[0]}'")
    con.execute(f"copy ({query}) to '{staged}' (format parquet)")
    con.close()
    print(trademl(home, "ingest", "equities", str(staged)), flush=True)
    staged.unlink()


def base_home(work: Path) -> Path:
    """The real panel, ingested and built once; other proofs compare with it."""
    home = work / "base"
    if not (home / "lake" / "CURRENT").exists():
        new_home(home)
        panel(home, "select * from bars")
        ingest_reference(home)
        print(timed_build(home, "--hashes"), flush=True)
    return home


def copy_lake(base: Path, home: Path) -> Path:
    """A home with the same landed files, hard-linked, and nothing built."""
    new_home(home)
    shutil.rmtree(home / "lake" / "raw", ignore_errors=True)
    shutil.copytree(base / "lake" / "raw", home / "lake" / "raw", copy_function=os.link)
    return home


def timed_build(home: Path, *arguments: str) -> str:
    """Build in a process of its own and report its peak resident memory beside its output."""
    environment = {**os.environ, "TRADEML_HOME": str(home)}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "trademl", "build", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"trademl build failed:\n{output}")
    wall, cpu = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    return f"{output}wall {wall:.1f} s, cpu {cpu:.1f} s, peak memory {usage.ru_maxrss / 2**20:.2f} GB"


def differing_cells(left: Path, right: Path, table: str, where: str) -> dict[str, int]:
    """Compare two warehouses cell by cell: rows on one side only, and differing cells among rows on both."""
    con = duckdb.connect()
    con.execute(f"attach '{left}' as l (read_only)")
    con.execute(f"attach '{right}' as r (read_only)")
    keys = GRAIN[table]
    columns = [row[0] for row in con.execute(f"describe l.gold.{table}").fetchall() if row[0] not in keys]
    on = " and ".join(f"a.{key} = b.{key}" for key in keys)
    cells = " + ".join(f'count_if(a."{c}" is distinct from b."{c}")' for c in columns)
    both = f"count_if(a.{keys[0]} is not null and b.{keys[0]} is not null and "
    (rows, only_left, only_right, cells_differing) = con.execute(
        f"""select count(*), count_if(b.{keys[0]} is null), count_if(a.{keys[0]} is null),
                   ({cells.replace("count_if(", both)})
            from (select * from l.gold.{table} where {where}) a
            full join (select * from r.gold.{table} where {where}) b on {on}"""
    ).fetchall()[0]
    con.close()
    return {
        "rows": int(rows),
        "columns": len(columns),
        "only_left": int(only_left),
        "only_right": int(only_right),
        "differing_cells": int(cells_differing),
    }


def up_to(table: str) -> str:
    """Rows that had ended by the cut-off."""
    if table == "equities_labels":
        return f"label_end_date <= date '{CUTOFF}' and outcome <> 'pending'"
    return f"date <= date '{CUTOFF}'"


def compare(left: Path, right: Path) -> dict[str, Any]:
    """Compare every gold table up to the cut-off."""
    return {table: differing_cells(left, right, table, up_to(table)) for table in GRAIN}


def warehouse(home: Path) -> Path:
    """The builder's file of a home that nobody is building."""
    return home / "lake" / "warehouse.duckdb"


def time_machine(work: Path) -> dict[str, Any]:
    """Build what was known by the evening of the cut-off, and compare with the full build."""
    home = base_home(work)
    trademl(home, "build", "--as-known-at", f"{CUTOFF}T23:59:59")
    past = next((home / "lake" / "as_known").glob("*/warehouse.duckdb"))
    return compare(past, warehouse(home))


def future_poison(work: Path) -> dict[str, Any]:
    """Multiply prices and volumes after the cut-off by plausible random factors, and compare the past."""
    home = new_home(work / "poison")
    panel(
        home,
        f"""with drawn as (select *,
                   0.7 + 0.6 * (hash(symbol || date::varchar || 'price') % 1000003) / 1000003.0 as factor,
                   0.5 + (hash(symbol || date::varchar || 'volume') % 1000003) / 1000003.0 as volume_factor from bars)
            select symbol, date,
                   (case when date > date '{CUTOFF}' then open * factor else open end)::double as open,
                   (case when date > date '{CUTOFF}' then high * factor else high end)::double as high,
                   (case when date > date '{CUTOFF}' then low * factor else low end)::double as low,
                   (case when date > date '{CUTOFF}' then close * factor else close end)::double as close,
                   round(volume * case when date > date '{CUTOFF}' then volume_factor else 1 end) as volume,
                   dividend_amount, split_coefficient from drawn""",
    )
    ingest_reference(home)
    trademl(home, "build")
    poisoned = compare(warehouse(base_home(work)), warehouse(home))
    after = differing_cells(warehouse(base_home(work)), warehouse(home), "equities_features", f"date > date '{CUTOFF}'")
    return {**poisoned, "after_cutoff": after}


def late_correction(work: Path) -> dict[str, Any]:
    """Correct a 2014 bar in 2016 and ask for it as known in 2015 and today."""
    home = copy_lake(base_home(work), work / "correction")
    correction = home / "correction.csv"
    correction.write_text(
        "symbol,date,open,high,low,close,volume,dividend_amount,split_coefficient\n"
        "MSFT,2014-03-03,37.9,38.5,37.4,38.05,29717500,0,1\n"
    )
    print(trademl(home, "ingest", "equities", str(correction), now="2016-05-02T12:00:00"), flush=True)
    trademl(home, "build")
    trademl(home, "build", "--as-known-at", "2015-06-30T23:59:59")
    query = "select close from silver.equity_bars where symbol = 'MSFT' and date = date '2014-03-03'"
    read = {
        "as_known_2015": json.loads(
            trademl(home, "sql", query, "--format", "json", "--as-known-at", "2015-06-30T23:59:59")
        ),
        "today": json.loads(trademl(home, "sql", query, "--format", "json")),
    }
    features = {table: differing_cells(warehouse(base_home(work)), warehouse(home), table, "true") for table in GRAIN}
    return {**read, "gold_against_the_build_without_the_correction": features}


def threads(work: Path) -> dict[str, Any]:
    """Build with one thread and with two."""
    one = copy_lake(base_home(work), work / "one_thread")
    trademl(one, "build", "--threads", "1")
    return _same_hashes(base_home(work), one)


def plain_dbt(work: Path) -> dict[str, Any]:
    """Run `dbt build` inside dbt_project/ of a fresh home."""
    home = copy_lake(base_home(work), work / "plain")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRADEML_")}
    dbt = Path(sys.executable).parent / "dbt"
    subprocess.run([str(dbt), "build", "--quiet"], cwd=home / "dbt_project", env=environment, check=True)
    return _same_hashes(base_home(work), home)


def append_session(work: Path) -> dict[str, Any]:
    """Build without the last session, append it, and compare the increment with a full refresh."""
    home = new_home(work / "append")
    panel(home, "select * from bars where date < date '2018-12-31'")
    ingest_reference(home)
    trademl(home, "build")
    panel(home, "select * from bars where date = date '2018-12-31'")
    increment = trademl(home, "build", "--hashes")
    refresh = trademl(home, "build", "--full-refresh", "--hashes")
    seconds = [float(text.split(" models in ")[1].split(" s")[0]) for text in (increment, refresh)]
    hashes = [[line for line in text.splitlines() if " rows " in line] for text in (increment, refresh)]
    return {
        "increment_model_seconds": seconds[0],
        "full_model_seconds": seconds[1],
        "ratio": round(seconds[0] / seconds[1], 4),
        "equal_hashes": hashes[0] == hashes[1],
        "hashes": hashes[0],
    }


def red_week(work: Path) -> dict[str, Any]:
    """Seed 004, acceptance case 1: a missing week blocks training until it is filled."""
    home = new_home(work / "red")
    gone = "date between date '2016-03-07' and date '2016-03-11' and symbol < 'D'"
    panel(home, f"select * from bars where date between date '2014-06-02' and date '2017-06-30' and not ({gone})")
    ingest_reference(home)
    trademl(home, "build")
    grades = "select status, count(*) as sessions from silver.coverage group by status order by status"
    before = json.loads(trademl(home, "sql", grades, "--format", "json"))
    train = (
        "train",
        "equities",
        "--label",
        "horizon",
        "--k",
        "5",
        "--start",
        "2015-01-01",
        "--rounds",
        "30",
        "--no-mlflow",
    )
    refused = trademl(home, *train, expect=3)
    panel(home, f"select * from bars where {gone}")
    trademl(home, "build")
    after = json.loads(trademl(home, "sql", grades, "--format", "json"))
    trained = trademl(home, *train)
    return {
        "before": before,
        "refusal": refused.strip().splitlines()[-8:],
        "after": after,
        "trained": trained.strip().splitlines()[-12:],
    }


def _same_hashes(left: Path, right: Path) -> dict[str, Any]:
    from trademl.warehouse.content import content_hashes

    a, b = content_hashes(warehouse(left)), content_hashes(warehouse(right))
    return {"equal": a == b, "tables": {name: f"{rows} rows {digest}" for name, (rows, digest) in b.items()}}


PROOFS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "time-machine": time_machine,
    "future-poison": future_poison,
    "late-correction": late_correction,
    "threads": threads,
    "plain-dbt": plain_dbt,
    "append-session": append_session,
    "red-week": red_week,
}


def main() -> None:
    """Run the proofs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proofs", nargs="+", choices=[*PROOFS, "all"])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "trademl-proofs")
    parser.add_argument("--tables", default="", help="feature tables to build and compare too, separated by commas")
    parser.add_argument("--since", default=SINCE[0], help="first date of the bars that are landed")
    options = parser.parse_args()
    GRAIN.update({table: ["symbol", "date"] for table in options.tables.split(",") if table})
    SINCE[0] = options.since
    options.work.mkdir(parents=True, exist_ok=True)
    record = options.work / "proofs.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    for name in PROOFS if "all" in options.proofs else options.proofs:
        started = time.monotonic()
        results[name] = PROOFS[name](options.work)
        results[name]["seconds"] = round(time.monotonic() - started, 1)
        print(name, json.dumps(results[name], indent=2), flush=True)
        record.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
