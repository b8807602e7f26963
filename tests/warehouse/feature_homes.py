"""Homes with a small feature table of their own, ``gold.equities_tiny``, whose definition a test can change."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from tests.warehouse import small_market
from tests.warehouse.small_market import File, SectorFile
from trademl.cli.init import bundle, make_home
from trademl.config import Home
from trademl.lake.layout import layout_of
from trademl.warehouse.ingest import ingest_files

TINY = "gold.equities_tiny"
CORE = "gold.equities_features"
EVENTS = ("*/events", "*/intraday", "*/ticks", "*/options")
"""Folders of models that no table of equities reads; one of them reads evidence of ops."""

# Over the columns of the model below.
MOVES: Mapping[str, str] = {"move_3": "log_index - log_index_3", "calm_20": "return_squares_20", "age_now": "age"}

_MODEL = """
{{ config(materialized='feature_table', enabled=feature_table_is_built('equities_tiny')) }}

with panel as (
    select
        *,
        lag(log_index, 3) over by_series as log_index_3,
        lag(log_index, 7) over by_series as log_index_7,
        sum(cast(log_return as hugeint) * log_return) over last_20 as return_squares_20
    from {{ ref('slv_equity_panel') }}
    where date >= {{ sessions_before_block(20) }} and date < {{ block_to() }}
    window
        by_series as (partition by series_key order by session_index),
        last_20 as (partition by series_key order by session_index rows between 19 preceding and current row)
)

select
    symbol,
    in_universe,
    {%- for feature in features_of('equities_tiny') %}
    cast({{ feature.sql }} as float) as {{ feature.name }},
    {%- endfor %}
    date,
    known_at
from panel
where is_live and is_present and date >= {{ block_from() }} and date < {{ block_to() }}
"""


def ingest(home: Home, files: Sequence[File | SectorFile]) -> None:
    """Ingest each file at its own moment."""
    for file in files:
        path = home.root / file.name
        path.write_text(file.text())
        moment = file.ingested_at.replace(tzinfo=UTC)
        report = ingest_files(home, file.dataset, [path], source="test", now=lambda moment=moment: moment)
        assert report.landed == len(file.rows), report.as_text()


def new_home(folder: Path, files: Sequence[File | SectorFile] = ()) -> Home:
    """A home of the small market and a project with the models up to gold, the tiny table switched on among them.

    Without unit tests, views and tables that no feature table has to do with: builds take half the time.
    """
    make_home(folder, bundle())
    home = Home(folder)
    models = home.dbt_project / "models"
    leave_out(home, "marts", "preds", "ops", "gold/catalogue", *EVENTS)
    for path in [*models.rglob("*_unit_tests.yml"), *models.rglob("gld_equities_training.*")]:
        path.unlink()
    edit(home, "dbt_project.yml", "universe_min_history: 60", "universe_min_history: 5")
    tables = home.dbt_project / "macros/features/tables.sql"
    entry = "{'name': 'equities_tiny', 'features': tiny_features, 'twins': []},\n        {'name': 'equities_features',"
    text = tables.read_text()
    assert "{'name': 'equities_features'," in text
    tables.write_text(text.replace("{'name': 'equities_features',", entry, 1))
    (models / "gold/equities/gld_equities_tiny.sql").write_text(_MODEL)
    define(home, MOVES)
    switch(home, ["equities_tiny"])
    ingest(home, [SectorFile("sectors.csv", small_market.SECTORS, datetime(2019, 1, 2)), *files])
    return home


def leave_out(home: Home, *parts: str) -> None:
    """Remove folders of models, by patterns under ``models``; each must be there."""
    for part in parts:
        folders = list((home.dbt_project / "models").glob(part))
        assert folders, part
        for folder in folders:
            shutil.rmtree(folder)


def define(home: Home, features: Mapping[str, str]) -> None:
    """Write the tiny table's definitions, name and expression, and its contract."""
    listed = ",\n        ".join(
        f"feature(name='{name}', family='tiny', window=20, unit='none', lookback=20, formula='{sql}', sources='close',"
        f" sql='{sql}', description='A test.')"
        for name, sql in features.items()
    )
    macro = f"{{% macro tiny_features() -%}}\n    {{{{ return([\n        {listed}\n    ]) }}}}\n{{%- endmacro %}}\n"
    (home.dbt_project / "macros/features/tiny.sql").write_text(macro)
    types = {"symbol": "string", "in_universe": "boolean", **dict.fromkeys(features, "float")}
    types |= {"date": "date", "known_at": "timestamp"}
    columns = "".join(f"      - {{name: {name}, data_type: {kind}}}\n" for name, kind in types.items())
    (home.dbt_project / "models/gold/equities/gld_equities_tiny.yml").write_text(
        "version: 2\nmodels:\n  - name: gld_equities_tiny\n    config:\n      contract: {enforced: true}\n"
        f"      meta:\n        grain: [symbol, date]\n    columns:\n{columns}"
    )


def switch(home: Home, tables: Sequence[str]) -> None:
    """Name the feature tables that are built beside the core."""
    project = home.dbt_project / "dbt_project.yml"
    lines = project.read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("  feature_tables:")]
    lines[at] = f"  feature_tables: [{', '.join(tables)}]"
    project.write_text("\n".join(lines) + "\n")


def edit(home: Home, file: str, old: str, new: str) -> None:
    """Replace a text that is there in a file of the home's dbt_project."""
    path = home.dbt_project / file
    text = path.read_text()
    assert old in text, (file, old)
    path.write_text(text.replace(old, new))


def copy_of(home: Home, folder: Path) -> Home:
    """The same home elsewhere, as it stands."""
    shutil.copytree(home.root, folder)
    return Home(folder)


def rebuilt(home: Home, folder: Path) -> Home:
    """The same landed files and project in a home where nothing has been built."""
    shutil.copytree(home.root, folder, ignore=shutil.ignore_patterns("*.duckdb*", "objects", "manifests", "CURRENT"))
    return Home(folder)


@contextmanager
def open_warehouse(home: Home, *, write: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """The builder's file, which nobody else has open."""
    con = duckdb.connect(str(layout_of(home).warehouse), read_only=not write)
    try:
        yield con
    finally:
        con.close()


def ask(home: Home, query: str) -> list[tuple[object, ...]]:
    """The rows of a query on the builder's file."""
    with open_warehouse(home) as con:
        return con.execute(query).fetchall()


def mark(home: Home, table: str, assignment: str, where: str) -> int:
    """Change stored cells, so that one can see later which were computed again; return how many rows."""
    with open_warehouse(home, write=True) as con:
        return int(con.execute(f"update {table} set {assignment} where {where}").fetchall()[0][0])


def last_fills(home: Home) -> dict[str, list[tuple[object, ...]]]:
    """Per feature table, what the last build filled: action, columns, first date, date before which it ended."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for table, *rest in ask(
        home,
        "select table_name, action, columns, first_date::varchar, before_date::varchar from meta.feature_builds "
        "where build_id = (select build_id from meta.builds order by started_at desc limit 1) order by all",
    ):
        found.setdefault(str(table), []).append(tuple(rest))
    return found


def build_killed_at(home: Home, statement: int, containing: str) -> bool:
    """Build in a process that kills itself before the n-th statement with a text in it; tell whether it came to that.

    The commit that ends the model's transaction counts as such a statement.
    """
    script = f"""
import os, signal, sys
from pathlib import Path
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from trademl.config import Home
from trademl.warehouse.dbt import build
seen = 0
def counted(method):
    def wrapped(self, *arguments, **named):
        global seen
        text = str(arguments[0]) if arguments else "commit " + self.get_thread_connection().name
        if {containing!r} in text:
            seen += 1
            if seen == {statement}:
                os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments, **named)
    return wrapped
DuckDBConnectionManager.add_query = counted(DuckDBConnectionManager.add_query)
DuckDBConnectionManager.add_commit_query = counted(DuckDBConnectionManager.add_commit_query)
build(Home(Path(sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(home.root)], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == -signal.SIGKILL
