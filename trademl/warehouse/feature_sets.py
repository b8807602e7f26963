"""Feature sets beside the definitions that they pin: written from patterns, and judged."""

import difflib
import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from trademl.config.feature_sets import (
    FOLDER,
    FeatureSet,
    changed_definitions,
    feature_set_names,
    read_feature_set,
    table_of,
)
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.lake.files import write_atomic
from trademl.warehouse.feature_macros import CORE, Evaluation, Place, Problem

_HEADING = """\
# A feature set: its columns in order, and the sha256 of each one's definition. Once a run has used it, it is never
# changed: a new definition is a new column, a new list a new file. Written by `trademl features freeze`; see
# docs/features.md, "Feature sets".
"""
_WRITABLE = 0o644
_FEW = 6


def freeze(
    home: Home, evaluation: Evaluation, name: str, columns: Sequence[str], description: str
) -> tuple[Path, FeatureSet, bool]:
    """Write configs/features/``name``.yml; return its path, the set, and whether it was written now.

    Args:
        home: the home.
        evaluation: the definitions of its project.
        name: name and version, such as ``alpha158_v1``.
        columns: names and patterns, in order; a table's name and a dot before one: ``equities_alpha158.*``. Without a
            table they are of the core table.
        description: what the set holds.

    Raises:
        ConfigError: the name has no version, a pattern fits no column, or the set exists and is another one.
    """
    stem, divided, number = name.rpartition("_v")
    if not divided or not number.isdigit():
        raise ConfigError(f"`{name}` has no version", remedy=f"call the set {name}_v1")
    hashes = {table.name: table.definition_sha256() for table in evaluation.tables}
    chosen: dict[str, str] = {}
    for wanted in columns:
        table, _, pattern = wanted.rpartition(".")
        for column in _matching(evaluation, table or CORE, pattern, wanted):
            having = [one for one, known in hashes.items() if column in known]
            entry = column if having == [table or CORE] or (table or CORE) == CORE else f"{table}.{column}"
            chosen.setdefault(entry, hashes[table or CORE][column])
    document = {
        "name": stem,
        "version": int(number),
        "description": description,
        "features": list(chosen),
        "definitions": chosen,
    }
    made = validate_section(document, FeatureSet, origin=name)
    path = home.configs / FOLDER / f"{name}.yml"
    if path.is_file():
        before = read_feature_set(home, name)
        if before.digest() != made.digest():
            raise ConfigError(
                f"{path} is another set: {len(before.features)} columns with the digest {before.digest()[:16]}, not "
                f"{len(made.features)} with {made.digest()[:16]}; a set is never changed",
                remedy=f"write {stem}_v{before.version + 1}",
            )
        return path, before, False
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _HEADING + yaml.safe_dump(document, sort_keys=False, width=120)
    write_atomic(path, text.encode(), mode=_WRITABLE)
    return path, made, True


def _matching(evaluation: Evaluation, table: str, pattern: str, wanted: str) -> list[str]:
    names = {one.name: one.column_names() for one in evaluation.tables}
    if table not in names:
        near = difflib.get_close_matches(table, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"columns: {wanted!r} names the feature table {table!r}, which does not exist{hint}",
            remedy=f"feature tables are {', '.join(names)}",
        )
    found = fnmatch.filter(names[table], pattern)
    if not found:
        near = difflib.get_close_matches(pattern, names[table], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"columns: {wanted!r} is none of the {len(names[table])} columns of {table}{hint}",
            remedy=f"`trademl features list --table {table}` lists them",
        )
    return found


def set_problems(home: Home, evaluation: Evaluation) -> list[Problem]:
    """Return the faults of the home's feature sets: files that cannot be read, unknown columns, changed definitions."""
    problems: list[Problem] = []
    for name in feature_set_names(home):
        file = f"configs/{FOLDER}/{name}.yml"
        try:
            chosen = read_feature_set(home, name)
        except ConfigError as error:
            problems.append(Problem(Place(file, 1), error.message, error.remedy))
            continue
        text = (home.configs / FOLDER / f"{name}.yml").read_text(encoding="utf-8")
        found, lost = set_definitions(chosen, evaluation)
        problems += [Problem(Place(file, _line(text, entry)), why, remedy) for entry, why, remedy in lost]
        changed = changed_definitions(chosen, found)
        if changed:
            first = changed[0]
            others = "".join(f", {one.feature}" for one in changed[1:_FEW])
            others += f" and {len(changed) - _FEW} more" if len(changed) > _FEW else ""
            bare = first.feature.rpartition(".")[2]
            problems.append(
                Problem(
                    Place(file, _line(text, first.feature)),
                    f"the definition of {first.feature} changed under its name: {name} pins {first.expected[:16]}, "
                    f"macros/features has {first.found[:16]} (sha256)"
                    + (f"; so did those of {others[2:]}" * bool(others)),
                    f"restore it, and give the new definition a column of its own, such as {bare}_v2 with `version` 2, "
                    f"and a new set {chosen.name}_v{chosen.version + 1}",
                )
            )
    return problems


def set_definitions(chosen: FeatureSet, evaluation: Evaluation) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Return the sha256 of each entry's definition now, and the entries that name no column: which, why, remedy."""
    hashes = {table.name: table.definition_sha256() for table in evaluation.tables}
    found: dict[str, str] = {}
    lost: list[tuple[str, str, str]] = []
    for entry in chosen.features:
        column = entry.rpartition(".")[2]
        having = {name: known[column] for name, known in hashes.items() if column in known}
        table = table_of(chosen, entry, having, CORE)
        if table is not None:
            found[entry] = having[table]
        elif having and column == entry:
            lost.append((entry, f"{entry} is a column of {' and '.join(having)}", f"write {min(having)}.{entry}"))
        else:
            every = sorted({name for known in hashes.values() for name in known})
            near = difflib.get_close_matches(column, every, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            lost.append(
                (entry, f"{entry} is no feature of macros/features{hint}", "restore its definition, or correct the set")
            )
    return found, lost


def _line(text: str, entry: str) -> int:
    pattern = rf"^\s*(-\s*)?[\"']?{re.escape(entry)}\b"
    return next((at for at, line in enumerate(text.splitlines(), 1) if re.match(pattern, line)), 1)
