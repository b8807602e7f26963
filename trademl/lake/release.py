"""A release: what a device pulls, by content; signed as the exact bytes that were written.

A release is a small extract of one snapshot. Its document names every object by sha256 and no path at all, so nothing
in it can point outside a lake. ``lake/RELEASED`` names the release that devices should pull; a device that pulled one
reads it through an ordinary :class:`~trademl.lake.manifest.Manifest` made from it.
"""

import re
from datetime import date, datetime
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from trademl.errors import ReleaseError
from trademl.lake.manifest import FileEntry, Manifest, TableEntry

FORMAT = 1
MAX_DOCUMENT = 16 * 2**20
MAX_OBJECT = 2 * 2**30
MAX_FILES = 20_000
MAX_SEQ = 10**8 - 1

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=MAX_OBJECT)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z_0-9]*$", max_length=80)]
TableName = Annotated[str, StringConstraints(pattern=r"^(silver|gold|marts)\.[a-z_][a-z_0-9]*$", max_length=80)]
AssetName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+/[a-z_]+\.(json|onnx|sql)$", max_length=80)]
PartitionLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,16}$")]

_TYPE = re.compile(r"[A-Z][A-Z ]*(\(\d+(, ?\d+)?\))?(\[\])?")
_AGAIN = "pull a release that this version of trademl published"


def _known_type(kind: str) -> str:
    # It becomes part of a cast: a plain DuckDB type name and nothing else.
    if len(kind) > 40 or not _TYPE.fullmatch(kind):
        raise ValueError(f"{kind[:40]!r} is not a plain column type")
    return kind


ColumnType = Annotated[str, AfterValidator(_known_type)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Part(NamedTuple):
    """One parquet object of a table."""

    partition: PartitionLabel
    sha256: Sha256
    bytes: Size
    rows: Annotated[int, Field(ge=0)]


class Asset(NamedTuple):
    """One object that is no table: a model, its calibrator, SQL, golden values."""

    sha256: Sha256
    bytes: Size


class ReleaseTable(_Frozen):
    """A table: its columns with their DuckDB types, the columns that identify a row, and its objects."""

    columns: dict[Name, ColumnType]
    grain: tuple[Name, ...]
    files: tuple[Part, ...]


class ReleaseModel(_Frozen):
    """The model that a release scores with."""

    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,120}$")]
    label: Name
    horizon: Annotated[int, Field(ge=1)]
    status: Annotated[str, StringConstraints(pattern=r"^[a-z, ]{1,40}$")]


class Release(_Frozen):
    """What a device may use: tables, assets, the model, and until when. Times are UTC."""

    format: int = FORMAT
    seq: Annotated[int, Field(ge=1, le=MAX_SEQ)]
    created: datetime
    expires: datetime
    as_of: date
    git_revision: Annotated[str, StringConstraints(max_length=64)]
    build_id: Annotated[str, StringConstraints(max_length=64)]
    definition_hash: Annotated[str, StringConstraints(max_length=64)]
    duckdb_version: Annotated[str, StringConstraints(max_length=32)]
    versions: dict[str, str]
    sleeve: Name
    model: ReleaseModel
    tables: dict[TableName, ReleaseTable]
    assets: dict[AssetName, Asset]
    coverage: dict[str, Any]

    def objects(self) -> dict[str, int]:
        """Return the size of every object, by the name of its file in ``lake/objects``."""
        found = {f"{part.sha256}.parquet": part.bytes for table in self.tables.values() for part in table.files}
        return found | {asset.sha256: asset.bytes for asset in self.assets.values()}

    def to_bytes(self) -> bytes:
        """Return the document as it is signed and stored."""
        return self.model_dump_json().encode()

    def to_manifest(self) -> Manifest:
        """Return the manifest by which readers see this release: its tables, and no batch of the server."""
        return Manifest(
            seq=self.seq,
            created=self.created,
            as_of=self.as_of,
            as_known_at=None,
            git_revision=self.git_revision,
            build_id=self.build_id,
            invocation_id=self.build_id,
            definition_hash=self.definition_hash,
            warehouse_stamp=f"release {self.seq}",
            duckdb_version=self.duckdb_version,
            tables={
                name: TableEntry(
                    columns=dict(table.columns),
                    grain=table.grain,
                    files=tuple(
                        FileEntry(
                            path=f"objects/{part.sha256}.parquet",
                            sha256=part.sha256,
                            bytes=part.bytes,
                            rows=part.rows,
                            partition=part.partition,
                        )
                        for part in table.files
                    ),
                )
                for name, table in self.tables.items()
            },
            batches={},
            views={},
            coverage=self.coverage,
        )


def parse_release(raw: bytes) -> Release:
    """Return the release that ``raw`` documents. Check its signature first.

    Raises:
        ReleaseError: the document is too large, malformed, of another format, or contradicts itself.
    """
    if len(raw) > MAX_DOCUMENT:
        raise ReleaseError(f"the document has {len(raw)} bytes, the limit is {MAX_DOCUMENT}", remedy=_AGAIN)
    try:
        release = Release.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ReleaseError(f"this is no release document: {place}: {first['msg']}", remedy=_AGAIN) from error
    if release.format != FORMAT:
        raise ReleaseError(f"the document has format {release.format}, expected {FORMAT}", remedy=_AGAIN)
    sizes: dict[str, int] = {}
    listed = [(part.sha256, part.bytes) for table in release.tables.values() for part in table.files]
    listed += [(asset.sha256, asset.bytes) for asset in release.assets.values()]
    if len(listed) > MAX_FILES:
        raise ReleaseError(f"the document lists {len(listed)} files, the limit is {MAX_FILES}", remedy=_AGAIN)
    for digest, size in listed:
        if sizes.setdefault(digest, size) != size:
            raise ReleaseError(f"object {digest} is listed with {size} and {sizes[digest]} bytes", remedy=_AGAIN)
    if release.created.tzinfo is None or release.expires.tzinfo is None or release.expires <= release.created:
        raise ReleaseError(
            f"created {release.created} and expires {release.expires} are not two UTC times in order", remedy=_AGAIN
        )
    unknown = [name for name, table in release.tables.items() if set(table.grain) - set(table.columns)]
    if unknown:
        raise ReleaseError(f"the grain of {unknown[0]} is not among its columns", remedy=_AGAIN)
    return release
