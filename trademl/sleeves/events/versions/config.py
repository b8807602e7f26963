"""configs/events/versions/*.yml: what a version of the event features holds. A version is one file, named after it."""

import difflib
import hashlib
import json
import re
from datetime import date

from pydantic import Field, model_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.errors import ConfigError
from trademl.sleeves.events.names import Ablation, Stage

FOLDER = "events/versions"
"""Where a home's versions are described, below configs/."""

NAME = r"v[0-9]{1,3}\.[0-9]{1,3}_[a-z][a-z0-9_]{0,60}"
"""A version's name is a folder's too: a number, and what it is about."""


class VersionConfig(Section):
    """One version.

    Attributes:
        version: its name, the file's too.
        description: what it is for.
        stage, ablation: which columns, see :func:`trademl.sleeves.events.feature_columns.select_features`.
        exclude: columns, or beginnings of columns, that are left out.
        sources: whose events: ``computed`` and names of external datasets; none means all.
        start, end: first and last session; None is as far as the events go.
    """

    version: str = Field(pattern=f"^{NAME}$")
    description: str = Field(min_length=1)
    stage: Stage = "stage_b"
    ablation: Ablation = "full"
    exclude: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "VersionConfig":
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self

    def digest(self) -> str:
        """Return the sha256 of what decides the content: 64 hexadecimal digits; the description does not."""
        document = self.model_dump(mode="json", exclude={"description"})
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def version_names(home: Home) -> list[str]:
    """Return the names of the home's versions, sorted."""
    return sorted(path.stem for path in (home.configs / FOLDER).glob("*.yml"))


def check_name(version: str) -> str:
    """Return ``version`` if it can be the name of one.

    Raises:
        ConfigError: it cannot.
    """
    if not re.fullmatch(NAME, version):
        raise ConfigError(f"{version!r} is no name of a version", remedy="write it as v1.0_what_it_is")
    return version


def read_version(home: Home, version: str) -> VersionConfig:
    """Return what configs/events/versions/``version``.yml says.

    Raises:
        ConfigError: there is no such version, a field of it is wrong, or the file is named otherwise.
    """
    names = version_names(home)
    if version not in names:
        near = difflib.get_close_matches(version, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{version!r} is no version in {home.configs / FOLDER}{hint}",
            remedy=f"versions are {', '.join(names)}" if names else "write one as docs/events_data.md says",
        )
    path = home.configs / FOLDER / f"{version}.yml"
    found = load_section(path, VersionConfig)
    if found.version != version:
        raise ConfigError(f"{path} describes {found.version}", remedy=f"call the file {found.version}.yml")
    return found
