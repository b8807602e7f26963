"""The files of a built version: one parquet file a session, and a manifest that names each by its content.

    lake/silver/features/<version>/manifest.json                   columns, parameters, source, sha256 of each file
    lake/silver/features/<version>/date=<session>/events.parquet   the events of a session, in order of time
    lake/silver/features/.building-<version>/                      what a build has so far; the next goes on with it

A version is shown by one rename of its folder and never changed afterwards.
"""

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trademl.artifacts.files import sha256_file
from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.sleeves.events.versions.config import check_name

FORMAT = 1
MANIFEST = "manifest.json"
EVENTS_FILE = "events.parquet"
BUILDING = ".building-"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionFile(_Frozen):
    """The events of one session; ``path`` is relative to the version's folder."""

    date: date
    path: str
    sha256: str
    bytes: int
    rows: int


class VersionManifest(_Frozen):
    """What a built version is.

    Attributes:
        parameters: its configuration as it was; config_sha256: of what decides the content.
        columns: every column with its DuckDB type, in order; identity, features, categorical, coverage and labels are
            the parts they belong to. ``features`` are numbers, ``categorical`` 0 or 1 for the kind of level.
        source: snapshot, build and content of the tables it was made from.
        data_hash: sha256 over dates and contents of the files.
        duckdb: the version that wrote them.
    """

    format: int
    version: str
    description: str
    parameters: dict[str, Any]
    config_sha256: str
    columns: dict[str, str]
    identity: tuple[str, ...]
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    coverage: tuple[str, ...]
    labels: tuple[str, ...]
    source: dict[str, Any]
    duckdb: str
    rows: int
    files: tuple[SessionFile, ...]
    data_hash: str


def versions_folder(home: Home) -> Path:
    """Return where a home's built versions lie."""
    return home.lake / "silver" / "features"


def version_folder(home: Home, version: str) -> Path:
    """Return where a built version lies.

    Raises:
        ConfigError: it cannot be the name of one.
    """
    return versions_folder(home) / check_name(version)


def session_path(day: date) -> Path:
    """Return the path of a session's events, relative to the version's folder."""
    return Path(f"date={day.isoformat()}") / EVENTS_FILE


def read_version_manifest(home: Home, version: str) -> VersionManifest:
    """Return the manifest of a built version.

    Raises:
        ArtifactError: it is not built, or its manifest cannot be read.
    """
    path = version_folder(home, version) / MANIFEST
    try:
        found = VersionManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{version} is not built: no {path}", remedy=f"run `trademl events features build {version}`"
        ) from error
    except (OSError, ValidationError) as error:
        raise ArtifactError(
            f"{path} is no manifest of a version: {str(error).splitlines()[0]}", remedy=_restore(version)
        ) from error
    if found.format != FORMAT or found.version != version:
        raise ArtifactError(
            f"{path} says format {found.format} and version {found.version}; expected {FORMAT} and {version}",
            remedy=_restore(version),
        )
    return found


def damaged_files(home: Home, manifest: VersionManifest) -> list[str]:
    """Return, in words, each file of a version that is missing, altered or too many."""
    folder = version_folder(home, manifest.version)
    wrong = []
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            wrong.append(f"{file.path} is missing")
        elif path.stat().st_size != file.bytes:
            wrong.append(f"{file.path} has {path.stat().st_size} bytes, the manifest says {file.bytes}")
        elif sha256_file(path) != file.sha256:
            wrong.append(f"{file.path} has another content than the manifest says")
    known = {MANIFEST, *(file.path for file in manifest.files)}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return wrong + [f"{path} is not in the manifest" for path in sorted(found - known)]


def check_files(home: Home, manifest: VersionManifest) -> None:
    """Refuse a version with a damaged file.

    Raises:
        ArtifactError: naming the first few.
    """
    wrong = damaged_files(home, manifest)
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ArtifactError(
            f"{manifest.version} is not as it was built: {'; '.join(wrong[:3])}{more}",
            remedy=_restore(manifest.version),
        )


def _restore(version: str) -> str:
    return (
        f"restore lake/silver/features/{version} from a backup, or remove that folder and run "
        f"`trademl events features build {version}`: from the same data it gives the same bytes"
    )
