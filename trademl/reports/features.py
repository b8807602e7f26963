"""Features as a reader asks for them: what one is, how it is filled, whether it drifts, where from, and who uses it."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np

from trademl.config.feature_sets import FeatureSet, feature_set_names, read_feature_set, table_of
from trademl.config.home import Home
from trademl.edge.features import column_in
from trademl.errors import ArtifactError, ConfigError
from trademl.lake.names import identifier, qualified
from trademl.reports.predictions import find_run
from trademl.schema import RAW
from trademl.validation.drift import drift_from_bins, reference_bins
from trademl.warehouse.feature_macros import CORE, Definition, Evaluation, FeatureTable
from trademl.warehouse.lineage import Model

SESSIONS = 252
"""Sessions of each of the two periods that drift compares."""

_SCHEMA = "gold"
_KEYS = ("symbol", "date", "series_key", "session_index")


@dataclass(frozen=True)
class Feature:
    """One column that holds a feature; ``suffix`` is that of a cross-sectional twin, or nothing."""

    table: FeatureTable
    definition: Definition
    suffix: str

    @property
    def column(self) -> str:
        """Its name in the table."""
        return self.definition.name + self.suffix

    @property
    def relation(self) -> str:
        """The table, with its schema."""
        return f"{_SCHEMA}.{self.table.name}"

    @property
    def sha256(self) -> str:
        """Of its definition, as feature sets pin it."""
        return self.table.definition_sha256()[self.column]


@dataclass(frozen=True)
class Filling:
    """How a column is filled over the universe.

    Attributes:
        rows: rows of the universe. null_rate: share of them without a value.
        first, last: dates of the rows.
        drift: population stability index of the last :data:`SESSIONS` sessions against those before them; None with
            too few sessions, or without a value in either.
    """

    rows: int
    null_rate: float
    first: date | None
    last: date | None
    drift: float | None


@dataclass(frozen=True)
class Use:
    """A registered run that trains on a feature."""

    run_id: str
    label: str
    model: str
    feature_set: str | None


@dataclass(frozen=True)
class SetDifference:
    """Two feature sets side by side: columns of one alone, columns defined otherwise, and whether the order is one."""

    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    redefined: tuple[str, ...]
    common: int
    same_order: bool


def all_features(evaluation: Evaluation) -> list[Feature]:
    """Return every column that holds a feature, table by table, in the tables' order."""
    found = []
    for table in evaluation.tables:
        places = {one.name + suffix: Feature(table, one, suffix) for one in table.features for suffix in one.suffixes}
        found += [places[name] for name in table.column_names()]
    return found


def find_feature(evaluation: Evaluation, name: str) -> Feature:
    """Return the feature called ``name``: a column, ``table.column``, or an alias such as ``KMID``.

    A column that several tables have is the core table's.

    Raises:
        ConfigError: there is none, and the message has the nearest; or several tables have it.
    """
    features = all_features(evaluation)
    table, _, column = name.rpartition(".")
    table = table.removeprefix(f"{_SCHEMA}.")
    found = [one for one in features if one.column == column and table in ("", one.table.name)]
    found = found or [one for one in features if one.definition.alias == column and not one.suffix and not table]
    core = [one for one in found if one.table.name == CORE]
    if len(found) == 1 or core:
        return (core or found)[0]
    if found:
        tables = [one.table.name for one in found]
        raise ConfigError(
            f"{name!r} is a column of {', '.join(tables)}",
            remedy=f"say which: {' or '.join(f'{one}.{column}' for one in tables)}",
        )
    known = [one.column for one in features] + [one.definition.alias for one in features if one.definition.alias]
    near = difflib.get_close_matches(column, known, n=3)
    hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise ConfigError(
        f"{name!r} is none of the {len(features)} features of {', '.join(one.name for one in evaluation.tables)}{hint}",
        remedy="`trademl features list` lists them",
    )


def sets_with(home: Home, evaluation: Evaluation) -> dict[tuple[str, str], list[str]]:
    """Return (table, column) -> the feature sets that list it; a set that cannot be read lists nothing."""
    hashes = {table.name: table.definition_sha256() for table in evaluation.tables}
    found: dict[tuple[str, str], list[str]] = {}
    for name in feature_set_names(home):
        try:
            chosen = read_feature_set(home, name)
        except ConfigError:
            # `trademl features check` tells.
            continue
        for table, column in set_columns(chosen, hashes):
            found.setdefault((table, column), []).append(name)
    return found


def set_columns(chosen: FeatureSet, hashes: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Return table and column of each entry of a set; ``hashes`` are those of all definitions, table by table."""
    found = []
    for entry in chosen.features:
        column = entry.rpartition(".")[2]
        table = table_of(chosen, entry, {name: has[column] for name, has in hashes.items() if column in has}, CORE)
        if table is not None:
            found.append((table, column))
    return found


def filling(con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> dict[str, Filling]:
    """Return how columns of a feature table are filled; nothing of a table, or a column, that the snapshot lacks."""
    relation = qualified(f"{_SCHEMA}.{table}")
    try:
        present = {row[0] for row in con.execute(f"describe {relation}").fetchall()}
    except duckdb.CatalogException:
        return {}
    chosen = [name for name in columns if name in present]
    if not chosen:
        return {}
    counts = ", ".join(f"count({identifier(name)})" for name in chosen)
    rows, first, last, *known = con.execute(
        f"select count(*), min(date), max(date), {counts} from {relation} where in_universe"
    ).fetchall()[0]
    drifts = _drifts(con, relation, chosen)
    return {
        name: Filling(rows, 1 - count / rows if rows else 0.0, first, last, drifts.get(name))
        for name, count in zip(chosen, known, strict=True)
    }


def _drifts(con: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> dict[str, float]:
    days = [
        row[0]
        for row in con.execute(
            f"select distinct date from {relation} where in_universe order by date desc limit {2 * SESSIONS}"
        ).fetchall()
    ]
    if len(days) < 2 * SESSIONS:
        return {}
    listed = ", ".join(f"cast({identifier(name)} as float) as {identifier(name)}" for name in columns)
    found: list[dict[str, Any]] = [
        con.execute(
            f"select {listed} from {relation} where in_universe and date between $first and $last",
            {"first": first, "last": last},
        ).fetchnumpy()
        for first, last in ((days[-1], days[SESSIONS]), (days[SESSIONS - 1], days[0]))
    ]
    drifts = {}
    for name in columns:
        before, after = (
            np.ma.filled(np.ma.asarray(period[name], dtype=np.float64), np.nan).astype(np.float64) for period in found
        )
        if np.isfinite(before).any() and np.isfinite(after).any():
            drifts[name] = drift_from_bins(*reference_bins(before), after)
    return drifts


def runs_with(con: duckdb.DuckDBPyConnection, home: Home, table: str, column: str) -> tuple[list[Use], list[str]]:
    """Return the registered runs that train on a column, newest first, and a line on each that cannot be read."""
    rows = con.execute(
        "select run_id from ops.runs where status = 'registered' order by started_at desc, run_id"
    ).fetchall()
    found, lost = [], []
    for (run_id,) in rows:
        try:
            run = find_run(con, home, run_id)
            names = json.loads(run.folder.place("features/feature_list.json").read_bytes())
            facts = json.loads(run.folder.place("config/scoring.json").read_bytes())
        except (ArtifactError, OSError, ValueError) as error:
            lost.append(f"{run_id}: {str(error).splitlines()[0]}")
            continue
        if (f"{_SCHEMA}.{table}", column) in _places(names, facts):
            model = str(run.manifest.config.get("model", {}).get("kind", "?"))
            found.append(Use(run_id, run.label, model, facts.get("feature_set")))
    return found, lost


def _places(names: Sequence[str], facts: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return table and column of a run's features, as its scoring.json says where they lie."""
    listed = {name: table for table, has in facts.get("feature_tables", {}).items() for name in has}
    own = str(facts.get("features_table"))
    return {(table := str(listed.get(name, own)), column_in(name, table)) for name in names}


def compare_sets(first: FeatureSet, second: FeatureSet) -> SetDifference:
    """Compare two feature sets by the columns that they list and the definitions that they pin."""
    a, b = set(first.features), set(second.features)
    common = [name for name in first.features if name in b]
    return SetDifference(
        only_first=tuple(name for name in first.features if name not in b),
        only_second=tuple(name for name in second.features if name not in a),
        redefined=tuple(name for name in common if first.definitions[name] != second.definitions[name]),
        common=len(common),
        same_order=common == [name for name in second.features if name in a],
    )


@dataclass(frozen=True)
class Branch:
    """A line of a tree, and what stands below it."""

    text: str
    below: tuple["Branch", ...] = ()

    def lines(self) -> list[str]:
        """Return the tree as lines of text."""
        found = [self.text]
        for number, branch in enumerate(self.below):
            last = number == len(self.below) - 1
            head, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
            first, *others = branch.lines()
            found += [head + first, *(rest + line for line in others)]
        return found

    def document(self) -> dict[str, Any]:
        """Return the tree as JSON can hold it."""
        return {"name": self.text, "below": [branch.document() for branch in self.below]}


def lineage(feature: Feature, models: Mapping[str, Model], sets: Sequence[str], runs: Sequence[Use]) -> Branch:
    """Return where a feature comes from, down to the raw columns, and where it goes: sets, and the runs on them."""
    model = feature.table.model
    made = Branch("made from", (_made_from(feature, models, model, set()),))
    by_set = [
        Branch(
            f"set {name}", tuple(Branch(f"run {run.run_id}  {run.model}") for run in runs if run.feature_set == name)
        )
        for name in sets
    ]
    alone = [Branch(f"run {run.run_id}  {run.model}") for run in runs if run.feature_set not in sets]
    used = Branch("used by", (*by_set, *alone)) if by_set or alone else Branch("used by no set and no registered run")
    return Branch(f"{feature.table.name}.{feature.column}  {feature.definition.place}", (made, used))


def _made_from(feature: Feature, models: Mapping[str, Model], name: str, seen: set[str]) -> Branch:
    if name not in models:
        return Branch(f"{name}  (no such model in the project)")
    model = models[name]
    columns = _columns_of(feature, model)
    text = model.relation + (f"  {', '.join(columns)}" if columns else "")
    if name in seen:
        return Branch(f"{text}  (as above)" if model.parents or model.datasets else text)
    seen.add(name)
    below = [_made_from(feature, models, parent, seen) for parent in model.parents]
    below += [Branch(f"raw.{dataset}{_raw_columns(feature, dataset)}") for dataset in model.datasets]
    return Branch(text, tuple(below))


def _columns_of(feature: Feature, model: Model) -> list[str]:
    """Return what a feature reads of a model: its own column, the names in its definition, or its source columns."""
    if model.name == feature.table.model:
        return [feature.column]
    if model.relation.startswith("work."):
        text = re.sub(r"'[^']*'", "", feature.table.definitions[feature.column])
        words = dict.fromkeys(re.findall(r"[a-z_][a-z0-9_]*", text))
        found = [word for word in words if word in model.columns and word not in _KEYS]
        return found or [name for name in feature.definition.sources if name in model.columns]
    return [name for name in feature.definition.sources if name in model.columns and not model.parents]


def _raw_columns(feature: Feature, dataset: str) -> str:
    raw = RAW.get(dataset)
    has = [name for name in feature.definition.sources if raw is not None and name in raw.columns]
    return f"  {', '.join(has)}" if has else ""
