"""The definitions of features as dbt's macros make them, read without dbt and without a database, in under a second.

Every definition is known with its file and line; what is wrong with one is noted as a problem, and reading goes on, so
that all of them are named at once. :mod:`trademl.warehouse.feature_check` judges what no constructor can.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trademl.errors import ConfigError
from trademl.warehouse.feature_jinja import (
    FIELDS,
    UNPLACED,
    Macros,
    Place,
    Problem,
    failures,
    innermost_place,
    load_macros,
)

__all__ = ["CORE", "Definition", "Evaluation", "FeatureTable", "Place", "Problem", "evaluate"]

CORE = "equities_features"
"""The table that is always built: a bare name that several tables have is its own."""

TABLES = "feature_tables"
"""The macro that lists the feature tables: name, features (a macro), twins."""

_DEFINED_IN = "macros/feature_definition.sql"
_SUFFIXES, _DEFINITION, _COLUMN = "feature_suffixes", "feature_definition", "column_definition"


@dataclass(frozen=True)
class Definition:
    """One raw feature; the fields are those of the macro ``feature``.

    Attributes:
        suffixes: of the columns it has: none for its own, then those of its cross-sectional twins, such as ``_rank``.
        place: where the constructor is called.
    """

    table: str
    name: str
    family: str
    window: int
    unit: str
    lookback: int
    formula: str
    sources: tuple[str, ...]
    sql: str
    quantum: str | None
    alias: str
    version: int
    description: str
    suffixes: tuple[str, ...]
    place: Place

    @property
    def column_names(self) -> list[str]:
        """Every column of the feature."""
        return [self.name + suffix for suffix in self.suffixes]


@dataclass(frozen=True)
class FeatureTable:
    """One feature table.

    Attributes:
        name: its name in the schema gold.
        features: its raw features in column order.
        definitions: every column that holds a feature, twins included -> the text that defines it.
        columns: what expressions may read: names, and beginnings of names that end in ``*``. None: not stated.
    """

    name: str
    features: tuple[Definition, ...]
    definitions: Mapping[str, str]
    columns: tuple[str, ...] | None

    @property
    def model(self) -> str:
        """The dbt model that makes it."""
        return f"gld_{self.name}"

    def column_names(self) -> list[str]:
        """Return every column that holds a feature, in the order of the table: the raw ones, then their twins."""
        twins = [name for one in self.features for name in one.column_names[1:]]
        return [one.name for one in self.features] + twins

    def definition_sha256(self) -> dict[str, str]:
        """Return the sha256 of each column's definition, as ``gold.feature_catalogue`` has it."""
        return {column: hashlib.sha256(text.encode()).hexdigest() for column, text in self.definitions.items()}


@dataclass(frozen=True)
class Evaluation:
    """What evaluating the macros gave: the tables, what is wrong with their definitions, and the macros themselves."""

    tables: tuple[FeatureTable, ...]
    problems: tuple[Problem, ...]
    macros: Macros = field(repr=False, compare=False)


def evaluate(project: Path) -> Evaluation:
    """Evaluate the feature macros of the dbt project at ``project``.

    Raises:
        ConfigError: the project or its macros cannot be read as far as the list of tables.
        MissingExtra: jinja2 is not installed.
    """
    macros = load_macros(project)
    for name, file in {TABLES: UNPLACED, **dict.fromkeys((_SUFFIXES, _DEFINITION, _COLUMN), _DEFINED_IN)}.items():
        if name not in macros.functions:
            raise ConfigError(f"{project} has no macro {name}()", remedy=f"restore {file} of the dbt project")
    try:
        listed = macros.functions[TABLES]()
    except failures() as error:
        raise ConfigError(f"{TABLES}(): {_said(error)}", remedy=f"mend {UNPLACED}") from error
    tables = [_table(macros, one) for one in listed]
    return Evaluation(tuple(table for table in tables if table), tuple(macros.problems), macros)


def _table(macros: Macros, listed: Mapping[str, Any]) -> FeatureTable | None:
    name = str(listed["name"])
    macros.columns = None
    macros.made.clear()
    try:
        features = listed["features"]()
    except failures() as error:
        where = innermost_place(error) or Place(UNPLACED, 1)
        macros.problems.append(Problem(where, f"the features of {name}: {_said(error)}", "mend the line named here"))
        return None
    found, texts = [], {}
    for one in features:
        place = macros.place_of(one)
        if place is None or any(key not in one for key in FIELDS):
            told = one.get("name", "without a name") if isinstance(one, Mapping) else repr(one)[:60]
            macros.problems.append(
                Problem(
                    place or _family_file(one),
                    f"feature {told} of {name} was not made by the constructor feature()",
                    "define it with feature(name=..., ...), as macros/features/feature.sql says",
                )
            )
            continue
        made = _definition(name, one, [str(twin) for twin in macros.functions[_SUFFIXES](listed, one)], place)
        found.append(made)
        text = macros.functions[_DEFINITION](listed, one)
        for twin in made.suffixes:
            texts[made.name + twin] = str(macros.functions[_COLUMN](text, one, twin))
    return FeatureTable(name, tuple(found), texts, macros.columns)


def _definition(table: str, one: Mapping[str, Any], suffixes: list[str], place: Place) -> Definition:
    quantum = one.get("quantum")
    return Definition(
        table=table,
        name=str(one["name"]),
        family=str(one["family"]),
        window=one["window"],
        unit=str(one["unit"]),
        lookback=one["lookback"],
        formula=str(one["formula"]),
        sources=tuple(name.strip() for name in str(one["sources"]).split(",") if name.strip()),
        sql=str(one["sql"]),
        quantum=None if quantum is None else str(quantum),
        alias=str(one.get("alias") or ""),
        version=one.get("version", 1),
        description=str(one.get("description") or ""),
        suffixes=tuple(suffixes),
        place=place,
    )


def _family_file(one: Any) -> Place:
    """Return where a definition probably stands that the constructor has not seen."""
    family = one.get("family") if isinstance(one, Mapping) else None
    return Place(f"macros/features/{family}.sql" if family else UNPLACED, 1)


def _said(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())
