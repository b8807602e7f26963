"""What a model is made from, read from the project's files alone: models, landed datasets, and the tests of a column.

``ref('...')`` and ``landed('...')`` in a model's text are its parents; no dbt and no manifest of an earlier build is
needed, so the answer is that of the files as they are.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trademl.errors import ConfigError

_REF = re.compile(r"\bref\(\s*['\"]([a-z0-9_]+)['\"]")
_LANDED = re.compile(r"\blanded\(\s*['\"]([a-z0-9_]+)['\"]")
_SCHEMA = re.compile(r"\bschema\s*=\s*['\"]([a-z_]+)['\"]")
_COMMENT = re.compile(r"\{#.*?#\}|--[^\n]*", re.DOTALL)


@dataclass(frozen=True)
class Model:
    """One dbt model.

    Attributes:
        name: its file's name.
        relation: what it makes, such as ``work.equity_panel``.
        parents, datasets: the models, and the landed datasets, that its text reads.
        columns: what its yml states.
    """

    name: str
    relation: str
    parents: tuple[str, ...]
    datasets: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ColumnTest:
    """A dbt test that looks at a column: its kind (``unit`` or the generic test), what it is called, and its file."""

    kind: str
    name: str
    file: str


def read_models(project: Path) -> dict[str, Model]:
    """Return the models of a dbt project by name.

    Raises:
        ConfigError: a yml file is no YAML.
    """
    columns = {
        str(one["name"]): tuple(str(column["name"]) for column in one.get("columns") or ())
        for _, document in _documents(project)
        for one in document.get("models") or ()
    }
    found = {}
    for path in sorted((project / "models").rglob("*.sql")):
        text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        schema = _SCHEMA.search(text)
        layer = path.relative_to(project / "models").parts[0]
        found[path.stem] = Model(
            name=path.stem,
            relation=f"{schema.group(1) if schema else layer}.{path.stem.partition('_')[2]}",
            parents=tuple(dict.fromkeys(_REF.findall(text))),
            datasets=tuple(dict.fromkeys(_LANDED.findall(text))),
            columns=columns.get(path.stem, ()),
        )
    return found


def ancestors(models: Mapping[str, Model], name: str) -> list[str]:
    """Return ``name`` and every model that it is made from, each once, nearest first."""
    found, waiting = [], [name]
    while waiting:
        one = waiting.pop(0)
        if one in models and one not in found:
            found.append(one)
            waiting += models[one].parents
    return found


def in_order(models: Mapping[str, Model], name: str) -> list[str]:
    """Return ``name`` and every model that it is made from, each after all of its parents."""
    found: list[str] = []

    def visit(one: str) -> None:
        if one in models and one not in found:
            for parent in models[one].parents:
                visit(parent)
            if one not in found:
                found.append(one)

    visit(name)
    return found


def column_tests(project: Path, models: Mapping[str, Model], model: str, column: str) -> list[ColumnTest]:
    """Return the dbt tests that look at ``column``: of ``model``, or of the working models that serve it.

    A unit test looks at the columns that it expects; a generic test of the whole model looks at every row.

    Raises:
        ConfigError: a file is no YAML.
    """
    near = {model, *(one for one in ancestors(models, model) if models[one].relation.startswith("work."))}
    found: list[ColumnTest] = []
    for file, document in _documents(project):
        for test in document.get("unit_tests") or ():
            if test.get("model") in near and column in _expected(project, test):
                found.append(ColumnTest("unit", str(test["name"]), file))
        for one in document.get("models") or ():
            if one.get("name") == model:
                found += [ColumnTest(kind, model, file) for kind in _generic(one, column)]
    return found


def _documents(project: Path) -> Iterator[tuple[str, Any]]:
    """Yield every yml file of the models, and what it says."""
    for path in sorted((project / "models").rglob("*.yml")):
        file = path.relative_to(project).as_posix()
        try:
            yield file, yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise ConfigError(f"{file} is not valid YAML: {error}", remedy="mend the line named above") from error


def _expected(project: Path, test: Mapping[str, Any]) -> set[str]:
    """Return the columns that a unit test expects values of."""
    expect = test.get("expect") or {}
    rows = expect.get("rows")
    if expect.get("fixture"):
        path = next((project / "tests").rglob(f"{expect['fixture']}.csv"), None)
        rows = path.read_text(encoding="utf-8") if path else ""
    if isinstance(rows, str):
        return {name.strip() for name in next(csv.reader(rows.strip().splitlines()), [])}
    return {name for row in rows or () for name in row}


def _generic(model: Mapping[str, Any], column: str) -> Iterator[str]:
    """Yield the generic tests of a model that look at a column: its own, those that name it, those of every row."""
    for test in model.get("data_tests") or ():
        kind, arguments = next(iter(test.items())) if isinstance(test, dict) else (test, {})
        told = str((arguments or {}).get("arguments") or "")
        if not told or kind == "unique_grain" or re.search(rf"\b{re.escape(column)}\b", told):
            yield str(kind)
    for one in model.get("columns") or ():
        if one.get("name") == column:
            for test in one.get("data_tests") or ():
                yield str(next(iter(test)) if isinstance(test, dict) else test)
