"""Writing a feature set: its columns chosen by patterns, each pinned to the definition that it has now."""

import difflib
import fnmatch
from collections.abc import Sequence
from pathlib import Path

import yaml

from trademl.config.feature_sets import FOLDER, FeatureSet, read_feature_set
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.lake.files import write_atomic
from trademl.warehouse.feature_check import CORE
from trademl.warehouse.feature_macros import Evaluation

_HEADING = """\
# A feature set: its columns in order, and the sha256 of each one's definition. Once a run has used it, it is never
# changed: a new definition is a new column, a new list a new file. Written by `trademl features freeze`; see
# docs/features.md, "Feature sets".
"""
_WRITABLE = 0o644


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
