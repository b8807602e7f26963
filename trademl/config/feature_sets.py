"""Feature sets: named, versioned lists of feature columns, each pinned to the definition that it was listed with.

A set is one file, configs/features/<name>_v<version>.yml. Once it is there, neither its list nor a definition behind it
changes: whatever was trained on the set can be trained again. A new definition is a new column, a new list a new file.
"""

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.errors import ConfigError

FOLDER = "features"
"""Where a home's feature sets lie, below configs/."""

_SHOWN = 5
Entry = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*\.)?[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FeatureSet(Section):
    """One feature set.

    Attributes:
        name, version: together the name by which a training configuration chooses the set, such as ``alpha158_v1``.
        description: what it holds and where it comes from.
        features: columns in the order of the matrix: a column's name, or ``table.column`` where two feature tables have
            a column of this name.
        definitions: of each of them, the sha256 of its definition, as ``gold.feature_catalogue`` states it.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    description: str = Field(min_length=1)
    features: tuple[Entry, ...] = Field(min_length=1)
    definitions: dict[str, Sha256]

    @model_validator(mode="after")
    def _consistent(self) -> "FeatureSet":
        twice = [name for name, count in Counter(self.features).items() if count > 1]
        if twice:
            raise ValueError(f"features lists {_some(twice)} more than once; list each column once")
        loose = [name for name in self.features if name not in self.definitions]
        if loose:
            raise ValueError(
                f"definitions has no hash of {_some(loose)}; `trademl features show NAME` prints the definition's"
            )
        foreign = sorted(self.definitions.keys() - set(self.features))
        if foreign:
            raise ValueError(f"definitions has {_some(foreign)}, which features does not list")
        return self

    @property
    def id(self) -> str:
        """The name by which the set is chosen, such as ``alpha158_v1``."""
        return f"{self.name}_v{self.version}"

    def digest(self) -> str:
        """Return the sha256 over the list, in order, and its definitions: 64 hexadecimal digits."""
        listed = [self.id, [[name, self.definitions[name]] for name in self.features]]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


@dataclass(frozen=True)
class ChangedDefinition:
    """A feature whose definition is no longer the one that a set pinned: ``found`` instead of ``expected``."""

    feature: str
    expected: str
    found: str


def feature_set_names(home: Home) -> list[str]:
    """Return the names of the home's feature sets, sorted."""
    return sorted(path.stem for path in (home.configs / FOLDER).glob("*.yml"))


def read_feature_set(home: Home, name: str) -> FeatureSet:
    """Return the set configs/features/``name``.yml.

    Raises:
        ConfigError: there is no such set, a field of it is wrong, or the file is named otherwise than the set.
    """
    names = feature_set_names(home)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"`feature_set={name}` is no feature set of {home.configs / FOLDER}{hint}",
            remedy=f"sets are {', '.join(names)}" if names else f"write one as docs/features.md says: {FOLDER}/*.yml",
        )
    path = home.configs / FOLDER / f"{name}.yml"
    found = load_section(path, FeatureSet)
    if found.id != name:
        raise ConfigError(
            f"{path} has `name: {found.name}` and `version: {found.version}`, which is the set {found.id}",
            remedy=f"call the file {found.id}.yml, or correct the two fields",
        )
    return found


def table_of(feature_set: FeatureSet, entry: str, tables: Mapping[str, str], core: str) -> str | None:
    """Return the feature table that an entry of a set means; None when it cannot be told.

    A name that several tables have is the one whose definition the set pins, else the core table's: a new table with
    a column of the same name changes no set.

    Args:
        feature_set: the set.
        entry: one of its features.
        tables: the tables that have a column of this name -> the sha256 of its definition there.
        core: the sleeve's own table.
    """
    named = entry.rpartition(".")[0]
    if named:
        return named if named in tables else None
    pinned = [table for table, digest in tables.items() if digest == feature_set.definitions[entry]]
    for choice in (list(tables), pinned, [core] if core in tables else []):
        if len(choice) == 1:
            return choice[0]
    return None


def changed_definitions(feature_set: FeatureSet, found: Mapping[str, str]) -> list[ChangedDefinition]:
    """Return the features of a set whose definition is another one now.

    Args:
        feature_set: the set.
        found: the sha256 of the present definition by the set's own names; one that is missing is not judged.
    """
    return [
        ChangedDefinition(name, feature_set.definitions[name], found[name])
        for name in feature_set.features
        if name in found and found[name] != feature_set.definitions[name]
    ]


def refuse_changed(feature_set: FeatureSet, found: Mapping[str, str], where: str) -> None:
    """Refuse a set whose definitions have changed under their names.

    Args:
        feature_set: the set.
        found: as in :func:`changed_definitions`.
        where: what holds the present definitions, for the message.

    Raises:
        ConfigError: naming the features, the expected hash, the one found and the remedy.
    """
    changed = changed_definitions(feature_set, found)
    if not changed:
        return
    told = "; ".join(f"{one.feature}: expected {one.expected[:16]}, found {one.found[:16]}" for one in changed[:_SHOWN])
    more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    first = changed[0].feature.rpartition(".")[2]
    raise ConfigError(
        f"the feature set {feature_set.id} pins {len(changed)} definition{'s' if len(changed) > 1 else ''} that "
        f"{where} has otherwise: {told}{more} (sha256)",
        remedy=f"give the changed definition a column of its own, such as {first}_v2 with `version` 2, list it in "
        f"{FOLDER}/{feature_set.name}_v{feature_set.version + 1}.yml, and restore the old one",
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
