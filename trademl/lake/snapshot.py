"""Publishing: the builder's tables as an immutable snapshot, CURRENT flipped last.

Objects are written first, then the manifest, then the manifest is opened as a reader would open it, and only then does
the pointer move. Dying at any point leaves the old snapshot in place and, at worst, a file that the next run removes.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb

from trademl.clock import Clock, utc_now
from trademl.errors import SnapshotError
from trademl.lake.export import export_table, last_build, open_warehouse, read_contents, read_coverage
from trademl.lake.files import FileLock, sha256_file
from trademl.lake.garbage import collect
from trademl.lake.layout import Layout
from trademl.lake.manifest import (
    FileEntry,
    Manifest,
    current_seq,
    flip_current,
    next_seq,
    read_manifest,
    write_manifest,
)
from trademl.lake.names import quoted
from trademl.lake.reading import Snapshot, open_snapshot
from trademl.schema import BATCHES

__all__ = ["Snapshot", "collect_garbage", "open_snapshot", "snapshot_batches", "take_snapshot", "warehouse_stamp"]

KEEP_MANIFESTS = 5
_WAIT_SECONDS = 120.0


def take_snapshot(
    layout: Layout,
    warehouse: Path | None = None,
    *,
    git_revision: str = "unknown",
    now: Clock = utc_now,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
    again: bool = True,
) -> Manifest:
    """Publish the warehouse's silver, gold and marts tables, its views and all batches; return the new manifest.

    Args:
        layout: the lake, or its view as known at an instant.
        warehouse: the builder's file; None means ``layout.warehouse``. Nobody may have it open for writing.
        git_revision: recorded in the manifest.
        now: gives the manifest's time.
        threads: DuckDB's threads; the objects are the same bytes for any number.
        progress: called with the name of each table when it is published.
        again: publish also if the current manifest already shows this build; False returns that manifest, for
            readers that may have waited while another one published it.

    Raises:
        LockedError: a build holds the warehouse, or another process is publishing.
        SnapshotError: no build finished well, or what it left cannot be published.
    """
    path = warehouse or layout.warehouse
    with FileLock(layout.publish_lock, wait=_WAIT_SECONDS):
        con = open_warehouse(path, threads=threads)
        try:
            stamp = warehouse_stamp(path)
            build = last_build(con)
            if build is None or build.status != "success":
                told = "no build is noted in it" if build is None else f"its last build ended as {build.status!r}"
                raise SnapshotError(f"{path} cannot be published: {told}", remedy="run `trademl build` to the end")
            previous = _previous(layout)
            shown = previous is not None and current_seq(layout) is not None and previous.build_id == build.build_id
            if previous is not None and shown and not again:
                return previous
            contents = read_contents(con)
            tables = {}
            for name, (columns, grain) in contents.tables.items():
                tables[name] = export_table(con, layout, name, columns, grain, previous)
                if progress is not None:
                    progress(name)
            as_of, coverage = read_coverage(con, contents)
        finally:
            con.close()
        manifest = Manifest(
            seq=next_seq(layout),
            created=_utc(now),
            as_of=as_of,
            as_known_at=build.as_known_at,
            git_revision=git_revision,
            build_id=build.build_id,
            invocation_id=build.invocation_id,
            definition_hash=build.definition_hash,
            warehouse_stamp=stamp,
            duckdb_version=duckdb.__version__,
            tables=tables,
            batches=_batch_entries(layout, previous),
            views=contents.views,
            coverage=coverage,
        )
        _publish(layout, manifest)
        collect(layout, KEEP_MANIFESTS)
    return manifest


def snapshot_batches(layout: Layout, *, now: Clock = utc_now) -> Manifest:
    """Publish batches written since the current manifest, with the same tables; the current one if there are none.

    Raises:
        LockedError: another process keeps publishing.
        SnapshotError: there is no snapshot yet.
    """
    with FileLock(layout.publish_lock, wait=_WAIT_SECONDS):
        previous = read_manifest(layout)
        batches = _batch_entries(layout, previous)
        if batches == previous.batches:
            return previous
        manifest = previous.model_copy(update={"seq": next_seq(layout), "created": _utc(now), "batches": batches})
        _publish(layout, manifest)
        collect(layout, KEEP_MANIFESTS)
    return manifest


def collect_garbage(layout: Layout, *, keep: int = KEEP_MANIFESTS) -> list[Path]:
    """Remove old manifests and the objects that no remaining one refers to; return what was removed.

    The last ``keep`` manifests of each view, the current one and those that a reader has open remain.
    """
    with FileLock(layout.publish_lock, wait=_WAIT_SECONDS):
        return collect(layout, keep)


def warehouse_stamp(path: Path) -> str:
    """Return what identifies the state of a database file without opening it: times and sizes of it and its log."""
    parts = []
    for file in (path, path.with_name(path.name + ".wal")):
        if file.is_file():
            status = file.stat()
            parts.append(f"{status.st_mtime_ns}:{status.st_size}")
    return "+".join(parts)


def _utc(now: Clock) -> datetime:
    return now().replace(microsecond=0)


def _previous(layout: Layout) -> Manifest | None:
    """Return the current manifest, or that of the present for the first snapshot of a time-machine view."""
    for view in (layout, Layout(layout.root)):
        if current_seq(view) is not None:
            try:
                return read_manifest(view)
            except SnapshotError:
                # It only saves work: an unreadable one is replaced by the one being made.
                continue
    return None


def _batch_entries(layout: Layout, previous: Manifest | None) -> dict[str, tuple[FileEntry, ...]]:
    known = {file.path: file for file in previous.batch_files()} if previous else {}
    entries: dict[str, tuple[FileEntry, ...]] = {}
    with duckdb.connect() as con:
        for table in BATCHES:
            listed = []
            for path in layout.batch_files(table):
                relative = path.relative_to(layout.root).as_posix()
                listed.append(known.get(relative) or _batch_entry(con, path, relative))
            entries[table] = tuple(listed)
    present = {file.path for files in entries.values() for file in files}
    lost = sorted(set(known) - present)
    if lost:
        raise SnapshotError(
            f"{len(lost)} published batches are gone from the lake, {lost[0]} among them",
            remedy=f"restore them from a backup, or accept the loss by deleting {layout.current} and publishing again",
        )
    return entries


def _batch_entry(con: duckdb.DuckDBPyConnection, path: Path, relative: str) -> FileEntry:
    try:
        rows = con.execute(f"select num_rows from parquet_file_metadata({quoted(str(path))})").fetchall()[0][0]
    except duckdb.Error as error:
        raise SnapshotError(
            f"{path} is not a readable batch: {str(error).splitlines()[0]}",
            remedy="restore it from a backup, or move it away if another run has written its rows",
        ) from error
    return FileEntry(path=relative, sha256=sha256_file(path), bytes=path.stat().st_size, rows=rows)


def _publish(layout: Layout, manifest: Manifest) -> None:
    write_manifest(layout, manifest)
    try:
        open_snapshot(layout, manifest.seq).close()
    except SnapshotError:
        layout.manifest(manifest.seq).unlink()
        raise
    flip_current(layout, manifest.seq)
