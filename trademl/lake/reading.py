"""Reading a snapshot: an in-memory database over immutable files, which no build can disturb.

The catalog is called ``warehouse``, as the builder's is, so SQL that dbt compiled runs verbatim. A reader holds a
shared lock on its manifest for as long as the snapshot is open; old manifests and their objects are removed only when
nobody holds them.

A device's manifest is made from a release and lists no batches: predictions are made on the device itself, and there
the views of ``preds`` and ``ops`` show the batches that lie in the lake when the snapshot is opened.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

from trademl.errors import SnapshotError
from trademl.lake.batches import latest_sql
from trademl.lake.export import VIEW_SCHEMAS, view_columns
from trademl.lake.layout import Layout
from trademl.lake.manifest import REBUILD, Manifest, current_seq, read_manifest, resolve, verify_files
from trademl.lake.names import identifier, qualified, quoted
from trademl.schema import BATCHES

_ATTEMPTS = 20
_RELEASED = "release "


@dataclass
class Snapshot:
    """One published state of the warehouse, open for reading.

    ``con`` is a private DuckDB connection: ``gold.x``, ``silver.x``, ``marts.x``, ``preds.x`` and ``ops.x`` are views
    over the files that ``manifest`` lists; ``batches`` are those of each batch table. When ``guarded``, it can read
    nothing else and its settings are locked: the only kind on which a user's SQL may run. Close it, or use it in a
    ``with`` block.
    """

    con: duckdb.DuckDBPyConnection
    manifest: Manifest
    layout: Layout
    batches: dict[str, tuple[Path, ...]]
    guarded: bool = False
    _resources: ExitStack = field(default_factory=ExitStack, repr=False)

    def guarded_copy(self, *, writable: Sequence[Path] = (), memory_limit: str | None = None) -> "Snapshot":
        """Open the same manifest again, locked down; ``writable`` are files that it may write besides."""
        return open_snapshot(self.layout, self.manifest.seq, guarded=True, writable=writable, memory_limit=memory_limit)

    def close(self) -> None:
        """Close the connection and let go of the manifest."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_snapshot(
    layout: Layout,
    seq: int | None = None,
    *,
    verify: bool = False,
    guarded: bool = False,
    writable: Sequence[Path] = (),
    threads: int | None = None,
    memory_limit: str | None = None,
) -> Snapshot:
    """Open manifest ``seq``, or the one ``CURRENT`` names, after checking that its files are there with their sizes.

    Args:
        layout: the lake, or its view as known at an instant.
        seq: the manifest's number; None means the current one.
        verify: check the sha256 of every file too (about a second a gigabyte).
        guarded: lock the connection down for SQL that others wrote.
        writable: files a guarded connection may write.
        threads: DuckDB's threads; None means all cores.
        memory_limit: DuckDB's limit, such as ``2GB``; None means its default.

    Raises:
        SnapshotError: there is no snapshot, a file is missing or altered, or a view does not bind.
    """
    with ExitStack() as resources:
        manifest = _lease_manifest(layout, seq, resources)
        verify_files(layout, manifest, content=verify)
        batches = _batches(layout, manifest)
        con = resources.enter_context(
            connect_files(layout, manifest, batches=batches, threads=threads, memory_limit=memory_limit)
        )
        try:
            if guarded:
                tables = [resolve(layout, file) for table in manifest.tables.values() for file in table.files]
                _lock_down(con, [*tables, *(path for files in batches.values() for path in files), *writable])
        except duckdb.Error as error:
            raise SnapshotError(
                f"snapshot {manifest.seq} in {layout.base} cannot be read: {error}", remedy=REBUILD
            ) from error
        return Snapshot(con, manifest, layout, batches, guarded, resources.pop_all())


def connect_files(
    layout: Layout,
    manifest: Manifest,
    *,
    batches: Mapping[str, Sequence[Path]] | None = None,
    threads: int | None = None,
    memory_limit: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Return a private connection with a view for every relation of ``manifest``; nothing is checked or held.

    ``batches`` are the files of each batch table; None means those of the manifest, or of the device.

    Raises:
        SnapshotError: a file cannot be read, or a view does not bind.
    """
    con = duckdb.connect(":memory:")
    try:
        _set_up(con, threads, memory_limit)
        _create_relations(con, layout, manifest, _batches(layout, manifest) if batches is None else batches)
    except duckdb.Error as error:
        con.close()
        raise SnapshotError(
            f"snapshot {manifest.seq} in {layout.base} cannot be read: {error}", remedy=REBUILD
        ) from error
    except SnapshotError:
        con.close()
        raise
    return con


def is_device(manifest: Manifest) -> bool:
    """Tell whether a manifest was made from a release: its home is a device, which publishes nothing itself."""
    return manifest.warehouse_stamp.startswith(_RELEASED)


def show_batches(con: duckdb.DuckDBPyConnection, layout: Layout, table: str) -> None:
    """Let the view of a batch table show every batch that lies in the lake now."""
    files = [path.resolve() for path in layout.batch_files(table)]
    con.execute(f"create or replace view warehouse.{qualified(table)} as {latest_sql(BATCHES[table], files)}")


def remove_unless_open(manifest: Path) -> bool:
    """Delete a manifest file unless a reader holds it; tell whether it was deleted."""
    descriptor = os.open(manifest, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        # Deleted while locked: a reader that waits for the lock then finds the file gone and takes a newer one.
        manifest.unlink()
        return True
    finally:
        os.close(descriptor)


def _lease_manifest(layout: Layout, seq: int | None, resources: ExitStack) -> Manifest:
    """Read a manifest and hold it, so that its objects stay; start again if it is removed in between."""
    for _ in range(_ATTEMPTS):
        number = current_seq(layout) if seq is None else seq
        if number is None:
            break
        try:
            descriptor = os.open(layout.manifest(number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if seq is None and current_seq(layout) != number:
                continue
            break
        with ExitStack() as lease:
            lease.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                manifest = read_manifest(layout, number)
                resources.push(lease.pop_all())
                return manifest
    # Says which of pointer and manifest is missing.
    read_manifest(layout, seq)
    raise SnapshotError(f"the manifests in {layout.manifests} keep being replaced", remedy="try again")


def _set_up(con: duckdb.DuckDBPyConnection, threads: int | None, memory_limit: str | None) -> None:
    con.execute("set enable_progress_bar = false")
    con.execute("set TimeZone = 'UTC'")
    if threads:
        con.execute(f"set threads = {threads}")
    if memory_limit:
        con.execute(f"set memory_limit = {quoted(memory_limit)}")
    con.execute("attach ':memory:' as warehouse")
    con.execute("use warehouse")


def _batches(layout: Layout, manifest: Manifest) -> dict[str, tuple[Path, ...]]:
    if is_device(manifest):
        return {name: tuple(path.resolve() for path in layout.batch_files(name)) for name in BATCHES}
    return {name: tuple(resolve(layout, file) for file in files) for name, files in manifest.batches.items()}


def _create_relations(
    con: duckdb.DuckDBPyConnection, layout: Layout, manifest: Manifest, batches: Mapping[str, Sequence[Path]]
) -> None:
    for schema in VIEW_SCHEMAS:
        con.execute(f"create schema warehouse.{identifier(schema)}")
    for name, table in manifest.tables.items():
        if table.files:
            paths = ", ".join(quoted(str(resolve(layout, file))) for file in table.files)
            source = f"select {view_columns(table.columns)} from read_parquet([{paths}])"
        else:
            empty = ", ".join(f"cast(null as {kind}) as {identifier(c)}" for c, kind in table.columns.items())
            source = f"select {empty} where false"
        con.execute(f"create view warehouse.{qualified(name)} as {source}")
    for name, batch_table in BATCHES.items():
        source = latest_sql(batch_table, batches.get(name, ()))
        con.execute(f"create view warehouse.{qualified(name)} as {source}")
    _create_views(con, manifest)


def _create_views(con: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """Create the stored views; one that needs another waits for it."""
    waiting = {name: view.sql for name, view in manifest.views.items()}
    for name, sql in waiting.items():
        statements = con.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.CREATE]:
            raise SnapshotError(f"view {name} of snapshot {manifest.seq} is not one CREATE VIEW", remedy=REBUILD)
    while waiting:
        failed: dict[str, duckdb.Error] = {}
        for name, sql in waiting.items():
            try:
                con.execute(sql)
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                failed[name] = error
        if len(failed) == len(waiting):
            name, cause = next(iter(failed.items()))
            raise SnapshotError(
                f"view {name} cannot be made from what is published: {str(cause).splitlines()[0]}",
                remedy="let the model read silver, gold, marts, preds or ops only, or materialise it as a table",
            ) from cause
        waiting = {name: waiting[name] for name in failed}


def _lock_down(con: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Leave the connection nothing but ``paths``: no other file, no network, extension, Python object or setting."""
    known = {row[0] for row in con.execute("select name from duckdb_settings()").fetchall()}
    listed = ", ".join(quoted(str(path)) for path in paths)
    settings = [
        ("allowed_paths", f"[{listed}]"),
        ("allow_persistent_secrets", "false"),
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
        ("allow_community_extensions", "false"),
        ("python_enable_replacements", "false"),
        # No spilling: a query that others wrote cannot fill the disk.
        ("temp_directory", "''"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ]
    required = {"allowed_paths", "enable_external_access", "lock_configuration"}
    for name, value in settings:
        if name in known:
            con.execute(f"set {name} = {value}")
        elif name in required:
            raise SnapshotError(
                f"DuckDB {duckdb.__version__} has no setting {name}", remedy="install duckdb>=1.5,<3 and try again"
            )
