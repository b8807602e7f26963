"""What it costs to keep feature tables up to date: a day, a new feature, and ever more symbols.

    python -m benchmarks.feature_builds increment                     # the last sessions of the real panel, one by one
    python -m benchmarks.feature_builds backfill --tables equities_alpha158
    python -m benchmarks.feature_builds scaling --tables equities_alpha158    # 1/8, 1/4, 1/2 and all of 5,000 x 2,520

Every build is a process of its own. Model seconds are dbt's own, summed over models; CPU seconds and peak memory are
the process's.
Homes are made in --work. Small runs: `increment --from 2017-01-01 --sessions 2`, `scaling --symbols 400 --days 300`.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.proofs import DATA, ingest_reference, new_home, panel, trademl, warehouse

_BUILD = """
import json, sys
from pathlib import Path
from trademl.config import Home
from trademl.warehouse.dbt import build
home, threads, memory, refresh, select = sys.argv[1:]
report = build(
    Home(Path(home)), threads=int(threads), memory_limit=memory, full_refresh=refresh == "True", select=select or None
)
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


def build(home: Path, options: argparse.Namespace, *, full_refresh: bool = False, select: str = "") -> Built:
    """Build ``home`` in a process of its own."""
    arguments = [str(home), str(options.threads), options.memory_limit, str(full_refresh), select]
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
    cells = [list(headings)] + [
        [f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        print(
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ),
            flush=True,
        )


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
    print(f"median increment {100 * ratio:.2f} % of the full build's model time; equal: {by_days == at_once}")
    slowest(daily[-1], whole[-1])
    return by_days == at_once


def slowest(day: Built, whole: Built, count: int = 12) -> None:
    """Print where an increment's time goes, beside the full build's."""
    names = sorted(day.models, key=day.models.__getitem__, reverse=True)[:count]
    table(["model", "increment s", "full s"], [[name, day.models[name], whole.models[name]] for name in names])


def backfill(options: argparse.Namespace) -> bool:
    """Add to a built table a feature that is another's double; compare all that was there before and after."""
    home = new_home(options.work / "backfill")
    switch_on(home, options.tables)
    panel(home, f"select * from bars where date >= date '{options.first}'")
    ingest_reference(home)
    whole = build(home, options)
    for name in options.tables or ["equities_features"]:
        before, columns = digests(home), columns_of(home, name)
        again = add_double(home, name)
        added = build(home, options)
        con = duckdb.connect(str(warehouse(home)), read_only=True)
        found = con.execute(
            f"select count(*), count_if({again} is distinct from {again.removesuffix('_again')}) from gold.{name}"
        ).fetchall()[0]
        con.close()
        kept = digests(home, {name: columns}) == before
        table(
            ["build", "model s", f"of it {name}", "CPU s", "peak GB"],
            [
                ["from nothing", whole.seconds, whole.models[name], whole.cpu, whole.peak],
                [f"with {again}", added.seconds, added.models[name], added.cpu, added.peak],
            ],
        )
        print(f"{found[0]:,} rows, {found[1]} new cells differ from their double; the others untouched: {kept}")
        if not kept or found[1]:
            return False
    return True


def columns_of(home: Path, name: str) -> list[str]:
    """The columns of a gold table."""
    con = duckdb.connect(str(warehouse(home)), read_only=True)
    try:
        return [str(row[0]) for row in con.execute(f"describe gold.{name}").fetchall()]
    finally:
        con.close()


def digests(home: Path, columns: dict[str, list[str]] | None = None) -> dict[str, tuple[object, ...]]:
    """Order-free hashes of the feature and label tables' rows, of some columns where they are named."""
    con = duckdb.connect(str(warehouse(home)), read_only=True)
    try:
        names = con.execute(
            "select table_name from duckdb_tables() where schema_name = 'gold' and table_name like 'equities%'"
        ).fetchall()
        found: dict[str, tuple[object, ...]] = {}
        for (name,) in names:
            listed = ", ".join((columns or {}).get(name, ["*columns(*)"]))
            found[name] = con.execute(
                f"select count(*), bit_xor(h), sum(h) from (select hash({listed}) as h from gold.{name})"
            ).fetchall()[0]
        return found
    finally:
        con.close()


def add_double(home: Path, name: str) -> str:
    """Define, in the home's project, a feature with the expression of the table's first; return its name."""
    project = home / "dbt_project"
    tables = project / "macros/features/tables.sql"
    defined = re.search(rf"'name': '{name}', 'features': (\w+)", tables.read_text())
    contract = project / f"models/gold/equities/gld_{name}.yml"
    listed = re.findall(r"- name: (\w+)\n\s+data_type: float", contract.read_text())
    if defined is None or not listed:
        raise SystemExit(f"{tables} and {contract} do not define {name} as expected")
    tables.write_text(tables.read_text().replace(f"'features': {defined[1]}", f"'features': {name}_and_one"))
    (project / f"macros/features/{name}_and_one.sql").write_text(
        f"{{% macro {name}_and_one() -%}}\n    {{%- set features = {defined[1]}() -%}}\n    {{%- set one = {{}} -%}}\n"
        "    {%- do one.update(features[0]) -%}\n"
        "    {%- do one.update({'name': features[0].name ~ '_again', 'quantum': none}) -%}\n"
        "    {{ return(features + [one]) }}\n{%- endmacro %}\n"
    )
    again = f"{listed[0]}_again"
    text = contract.read_text()
    at = text.rindex("      - name: date\n")
    contract.write_text(f"{text[:at]}      - name: {again}\n        data_type: float\n{text[at:]}")
    return again


def scaling(options: argparse.Namespace) -> bool:
    """Build ever larger simulated markets, and print what a million rows cost."""
    name = (options.tables or ["equities_features"])[-1]
    rows = []
    for part in options.parts:
        home = new_home(options.work / "scaling")
        switch_on(home, options.tables)
        simulate(home, options.symbols // part, options.days)
        # The table's own test compares its rows with those of the core.
        built = build(home, options, select=f"+gld_{name} +gld_equities_features")
        con = duckdb.connect(str(warehouse(home)), read_only=True)
        count = int(con.execute(f"select count(*) from gold.{name}").fetchall()[0][0])
        con.close()
        millions, size = count / 1e6, warehouse(home).stat().st_size / 2**30
        rows.append(
            [f"1/{part}", options.symbols // part, f"{count:,}", built.models[name], built.models[name] / millions]
            + [built.seconds, built.seconds / millions, built.cpu / millions, built.peak, size]
        )
        slowest(built, built, 6)
        if not options.keep:
            shutil.rmtree(home)
    table(
        ["part", "symbols", "rows", f"{name} s", "s a million rows", "with its inputs s", "s a million rows"]
        + ["CPU s a million rows", "peak GB", "file GB"],
        rows,
    )
    return True


def simulate(home: Path, symbols: int, days: int) -> None:
    """Land a simulated market."""
    market = home / "market"
    size = ("--symbols", str(symbols), "--sessions", str(days))
    output = trademl(home, "simulate", "--out", str(market), *size, "--seed", "11")
    for line in output.splitlines():
        words = line.strip().removeprefix("$ ").split()
        if words[:2] == ["trademl", "ingest"]:
            trademl(home, *words[1:])
    shutil.rmtree(market)


COMMANDS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "increment": increment,
    "backfill": backfill,
    "scaling": scaling,
}


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
    parser.add_argument("--parts", type=int, nargs="*", default=[8, 4, 2, 1], help="scaling: shares of the symbols")
    parser.add_argument("--symbols", type=int, default=5000, help="scaling: symbols of the whole")
    parser.add_argument("--days", type=int, default=2520, help="scaling: sessions")
    parser.add_argument("--keep", action="store_true", help="scaling: leave the homes where they are")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not COMMANDS[options.command](options):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
