"""A manifest: every file and view that one snapshot consists of, by content.

A manifest is written once and never changed; the pointer ``CURRENT`` names the one to read and is flipped last. Sizes
are checked on every opening, hashes on demand.
"""

from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trademl.errors import SnapshotError
from trademl.lake.files import sha256_file, write_atomic
from trademl.lake.layout import Layout

FORMAT = 1
REBUILD = "run `trademl build`"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Frozen):
    """One immutable parquet file; ``path`` is relative to the lake.

    ``partition`` is a year, ``null`` (rows without a date) or ``all``. ``fingerprint`` is an order-free hash of
    the rows when they were exported: equal rows need no second export.
    """

    path: str
    sha256: str
    bytes: int
    rows: int
    partition: str = "all"
    fingerprint: str = ""


class TableEntry(_Frozen):
    """A published table: its columns with their DuckDB types, the columns that identify a row, and its files."""

    columns: dict[str, str]
    grain: tuple[str, ...]
    files: tuple[FileEntry, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


class ViewEntry(_Frozen):
    """A published view: the ``create view`` statement as the warehouse holds it, and its columns."""

    sql: str
    columns: dict[str, str]


class Manifest(_Frozen):
    """What a reader sees: published tables, batch files and views, and where they came from.

    ``created`` is UTC. ``as_of`` is the last session with bars. ``build_id``, ``invocation_id`` and ``warehouse_stamp``
    identify the build and the database file the tables came from; ``coverage`` is the data quality at ``as_of``.
    """

    format: int = FORMAT
    seq: int
    created: datetime
    as_of: date | None
    as_known_at: str | None
    git_revision: str
    build_id: str
    invocation_id: str
    definition_hash: str
    warehouse_stamp: str
    duckdb_version: str
    tables: dict[str, TableEntry]
    batches: dict[str, tuple[FileEntry, ...]]
    views: dict[str, ViewEntry]
    coverage: dict[str, Any]

    def files(self) -> list[FileEntry]:
        """Return every file of the snapshot: table objects first, then batches."""
        return [file for table in self.tables.values() for file in table.files] + self.batch_files()

    def batch_files(self) -> list[FileEntry]:
        """Return the files of the batch tables."""
        return [file for files in self.batches.values() for file in files]

    def object_names(self) -> set[str]:
        """Return the sha256 of every object that the tables need."""
        return {file.sha256 for table in self.tables.values() for file in table.files}


def write_manifest(layout: Layout, manifest: Manifest) -> Path:
    """Write a manifest under its number; a number is never used twice.

    Raises:
        SnapshotError: a manifest with that number exists.
    """
    path = layout.manifest(manifest.seq)
    if path.exists():
        raise SnapshotError(f"{path} exists already", remedy=REBUILD)
    write_atomic(path, manifest.model_dump_json(indent=1).encode())
    return path


def read_manifest(layout: Layout, seq: int | None = None) -> Manifest:
    """Read manifest ``seq``, or the one that ``CURRENT`` names.

    Raises:
        SnapshotError: there is none, or it is not a manifest of this version.
    """
    number = current_seq(layout) if seq is None else seq
    if number is None:
        raise SnapshotError(f"no snapshot in {layout.base}", remedy=REBUILD)
    path = layout.manifest(number)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise SnapshotError(f"no manifest {path}", remedy=REBUILD) from error
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SnapshotError(f"{path} is not a manifest: {place}: {first['msg']}", remedy=REBUILD) from error
    if manifest.format != FORMAT or manifest.seq != number:
        raise SnapshotError(
            f"{path} says format {manifest.format} and seq {manifest.seq}; expected format {FORMAT} and seq {number}",
            remedy=REBUILD,
        )
    return manifest


def current_seq(layout: Layout) -> int | None:
    """Return the number in ``CURRENT``, None when there is no pointer.

    Raises:
        SnapshotError: the pointer is not a number.
    """
    try:
        text = layout.current.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not text.isascii() or not text.isdigit():
        raise SnapshotError(
            f"{layout.current} holds {text[:40]!r}, not a number", remedy=f"delete that file, then {REBUILD}"
        )
    return int(text)


def flip_current(layout: Layout, seq: int) -> None:
    """Point ``CURRENT`` at manifest ``seq``: the last step of publishing."""
    write_atomic(layout.current, f"{seq}\n".encode(), mode=0o644)


def next_seq(layout: Layout) -> int:
    """Return a number above every manifest and release so far, also above one whose publishing was cut short."""
    written = [*layout.manifests.glob("[0-9]*.json"), *layout.releases.glob("[0-9]*.json")]
    numbers = [int(path.stem) for path in written]
    return max([*numbers, current_seq(layout) or 0]) + 1


def verify_files(layout: Layout, manifest: Manifest, *, content: bool = False) -> None:
    """Check that every file of ``manifest`` is there with its size and, if ``content``, its sha256.

    Raises:
        SnapshotError: naming the first file that is missing or differs.
    """
    for file in manifest.files():
        path = resolve(layout, file)
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise SnapshotError(f"snapshot {manifest.seq}: {path} is missing", remedy=_restore(file)) from error
        if size != file.bytes:
            raise SnapshotError(
                f"snapshot {manifest.seq}: {path} has {size} bytes, the manifest says {file.bytes}",
                remedy=_restore(file),
            )
        if content and (actual := sha256_file(path)) != file.sha256:
            raise SnapshotError(
                f"snapshot {manifest.seq}: {path} has sha256 {actual}, the manifest says {file.sha256}",
                remedy=_restore(file),
            )


def resolve(layout: Layout, file: FileEntry) -> Path:
    """Return the absolute path of a file of a manifest.

    Raises:
        SnapshotError: the path leads out of the lake.
    """
    relative = Path(file.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise SnapshotError(f"a manifest names {file.path}, which is not inside the lake", remedy=REBUILD)
    return _resolved(layout.root) / relative


@lru_cache(maxsize=64)
def _resolved(root: Path) -> Path:
    # Asked once per file of a manifest, and a manifest may have hundreds.
    return root.resolve()


def _restore(file: FileEntry) -> str:
    if file.path.startswith("objects/"):
        return f"delete lake/{file.path} if it is there, then run `trademl build`, which publishes it again"
    return f"restore lake/{file.path} from a backup: predictions and evidence cannot be rebuilt"
