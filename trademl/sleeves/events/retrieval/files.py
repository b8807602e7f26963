"""A retrieval index on disk: parquet for the events, JSON for the scaling and what the index is of; no object files.

A folder holds versions, each ``<id>.parquet`` and ``<id>.json`` with id the first digits of the parquet's sha256, and
``index.json``, a copy of the newest JSON, replaced last. A reader of ``index.json`` therefore finds a whole version,
also while another is written or after a kill.
"""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from trademl.artifacts.files import commit_file, sha256_file, temporary_beside, write_atomic
from trademl.config.reading import Section
from trademl.errors import ArtifactError

INDEX = "index.json"
ID_DIGITS = 16
_MAKE = "run `trademl events index`"


class IndexFile(Section):
    """What ``index.json`` holds.

    Attributes:
        file, sha256, bytes: of the parquet file.
        feature_names: in the order of vectors. metadata_cols: what can be filtered on.
        mean, scale: one number a feature; scale 0 leaves a feature out that has no value.
        scaled_on: events that they were measured on. rows: events held. unresolved: events left out.
        data_hash: of the tables that the events came from. about: further facts.
    """

    format: int = Field(default=1, ge=1, le=1)
    file: str = ""
    sha256: str = ""
    bytes: int = 0
    feature_names: tuple[str, ...] = Field(min_length=1)
    metadata_cols: tuple[str, ...]
    stage: str
    ablation: str
    k_neighbors: int = Field(ge=1)
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    scaled_on: int = Field(ge=1)
    rows: int = Field(ge=1)
    unresolved: int = Field(ge=0)
    data_hash: str = ""
    about: dict[str, str] = Field(default_factory=dict)


def write_index_file(folder: Path, write: Callable[[str], None], index: IndexFile) -> Path:
    """Write a version into ``folder`` and make it the current one; return the path of ``index.json``.

    Args:
        folder: of the index; made where it does not exist.
        write: writes the events as parquet to a path.
        index: all but the facts of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder / INDEX)
    try:
        write(str(temporary))
        digest = sha256_file(temporary)
        name = digest[:ID_DIGITS]
        size = temporary.stat().st_size
        commit_file(temporary, folder / f"{name}.parquet")
    finally:
        temporary.unlink(missing_ok=True)
    whole = index.model_copy(update={"file": f"{name}.parquet", "sha256": digest, "bytes": size})
    text = json.dumps(whole.model_dump(), indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    write_atomic(folder / f"{name}.json", text)
    write_atomic(folder / INDEX, text)
    return folder / INDEX


def read_index_file(path: Path) -> tuple[IndexFile, Path]:
    """Read ``index.json`` of a folder, or a version's JSON, and check the file that it names; return both.

    Raises:
        ArtifactError: there is none, it is not a description of an index, or its parquet file is missing or altered.
    """
    described = path / INDEX if path.is_dir() else path
    if not described.is_file():
        raise ArtifactError(f"no retrieval index {described}", remedy=_MAKE)
    try:
        found = IndexFile.model_validate_json(described.read_bytes())
    except (ValidationError, OSError) as error:
        first = str(error).splitlines()[0]
        raise ArtifactError(f"{described} does not describe a retrieval index: {first}", remedy=_MAKE) from error
    if not len(found.feature_names) == len(found.mean) == len(found.scale):
        raise ArtifactError(f"{described} has other numbers of features, means and scales", remedy=_MAKE)
    parquet = described.parent / found.file
    if Path(found.file).name != found.file or not parquet.is_file():
        raise ArtifactError(f"{described} names {found.file!r}, which does not lie beside it", remedy=_MAKE)
    size = parquet.stat().st_size
    if size != found.bytes or sha256_file(parquet) != found.sha256:
        raise ArtifactError(
            f"{parquet} has {size} bytes and is not the file of {found.bytes} bytes that {described} describes",
            remedy=_MAKE,
        )
    return found, parquet
