"""Do the models of feature tables find every column that they name? DuckDB's binder says, over empty tables.

The models of a feature table and all that they are made from are rendered as for a device, whose text is the build's
but for its dates, and created in memory over typed, empty sources: no lake, no dbt, half a second. A column that an
expression names and nothing computes is then an error of the binder, and the feature is the one that names it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from trademl.lake.names import identifier, qualified
from trademl.schema import RAW
from trademl.warehouse.feature_jinja import Macros, Place, Problem, failures
from trademl.warehouse.feature_macros import Evaluation, FeatureTable
from trademl.warehouse.lineage import Model, in_order, read_models

_UNKNOWN = re.compile(r'Referenced column "([^"]+)" (?:was )?not found')
_CANDIDATES = re.compile(r'Candidate bindings: "([^"]+)"')


def unknown_columns(project: Path, evaluation: Evaluation) -> Iterator[tuple[FeatureTable, str, str, Place]]:
    """Yield the columns that the models of feature tables name and nothing computes.

    Of each model the first one: table, column, what DuckDB thinks was meant (or nothing), and the model's place.
    Models that plain jinja cannot render, or whose parents do not bind, are left to dbt.
    """
    models = read_models(project)
    files = {path.stem: path for path in (project / "models").rglob("*.sql")}
    macros = evaluation.macros
    before = dict(macros.variables)
    macros.variables |= {"for_device": True, "feature_tables": [table.name for table in evaluation.tables]}
    done: dict[str, str] = {}
    try:
        with duckdb.connect(":memory:") as con:
            for statement in _SETTING:
                con.execute(statement)
            for table in evaluation.tables:
                for name in in_order(models, table.model):
                    if name in done or name not in files:
                        continue
                    done[name] = _create(con, macros, models, name, files[name])
                    found, near = _UNKNOWN.search(done[name]), _CANDIDATES.search(done[name])
                    if found and (name == table.model or models[name].relation.startswith("work.")):
                        place = Place(files[name].relative_to(project).as_posix(), 1)
                        yield table, found.group(1), near.group(1) if near else "", place
    finally:
        macros.variables.clear()
        macros.variables |= before


def _create(con: duckdb.DuckDBPyConnection, macros: Macros, models: Mapping[str, Model], name: str, path: Path) -> str:
    """Create a model's relation, empty; return the error where the binder refuses it."""
    problems = len(macros.problems)
    names: dict[str, Any] = {
        "ref": lambda one: qualified(models[one].relation),
        "landed": _landed,
        "config": lambda *_, **__: "",
        "is_incremental": lambda: False,
        "this": qualified(models[name].relation),
    }
    try:
        sql = macros.render(path.read_text(encoding="utf-8"), names)
    except failures():
        return "not rendered"
    finally:
        # They are told where definitions are evaluated.
        del macros.problems[problems:]
    try:
        # Bound and planned, never run: its columns are all that the models after it need.
        columns = con.execute(f"describe {sql}").fetchall()
        listed = ", ".join(f"{identifier(column)} {kind}" for column, kind, *_ in columns)
        con.execute(f"create table {qualified(models[name].relation)} ({listed})")
    except duckdb.BinderException as error:
        return str(error)
    except duckdb.Error:
        return "not bound"
    return ""


def _landed(dataset: str) -> str:
    columns = ", ".join(
        f"cast(null as {kind}) as {identifier(name)}" for name, kind in RAW[dataset].all_columns.items()
    )
    return f"(select {columns} where false)"


_SETTING = (
    "set enable_progress_bar = false",
    "create schema bronze",
    "create schema silver",
    "create schema work",
    "create schema gold",
    "create schema meta",
    "create table meta.batches (dataset varchar, batch_id varchar, built_by varchar)",
    "set variable first_session = date '2000-01-03'",
)
"""What a builder's file has besides models."""


def binding_problems(project: Path, evaluation: Evaluation) -> list[Problem]:
    """Return the unknown columns as problems, each at the line of the feature that names it."""
    found = []
    for table, column, near, place in unknown_columns(project, evaluation):
        hint = f"; did you mean {near}?" if near else ""
        naming = [one for one in table.features if re.search(rf"(?<![\w.]){re.escape(column)}(?!\w|\s*\()", one.sql)]
        who = f"feature {naming[0].name}: its expression" if naming else f"the model of {table.name}"
        found.append(
            Problem(
                line_of(project, naming[0].place, column) if naming else line_of(project, place, column),
                f"{who} reads the column {column}, which {table.model} and what it is made from do not compute{hint}",
                "correct the name, or compute the column in the model",
            )
        )
    return found


def line_of(project: Path, place: Place, word: str) -> Place:
    """Return the first line of the file that has the word, also with the window left open in it; else ``place``."""
    lines = without_comments((project / place.file).read_text(encoding="utf-8")).splitlines()
    for pattern in (rf"\b{re.escape(word)}\b", re.escape(re.sub(r"_\d+$", "_", word))):
        for number, line in enumerate(lines, start=1):
            if re.search(pattern, line):
                return Place(place.file, number)
    return place


def without_comments(text: str) -> str:
    """Return SQL without comments, every line in its place."""
    text = re.sub(r"\{#.*?#\}", lambda found: "\n" * found.group().count("\n"), text, flags=re.DOTALL)
    return re.sub(r"--[^\n]*", "", text)
