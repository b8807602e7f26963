"""From the builder's database to immutable objects: the tables, their order, and which of them changed.

A table with a ``date`` column becomes one object a year, so that a new session rewrites one year only. Rows are sorted
by the table's grain, date first; equal rows always give equal bytes, whatever the number of threads. Whether a year
changed is asked of the rows themselves (an order-free hash, about a second for two million rows of eighty columns) and
not of the build's own record of what it touched: a wrong record would silently publish stale data.
"""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from trademl.errors import LockedError, SnapshotError
from trademl.lake.files import commit_file, sha256_file, temporary_beside
from trademl.lake.layout import Layout
from trademl.lake.manifest import FileEntry, Manifest, TableEntry, ViewEntry
from trademl.lake.names import identifier, qualified, quoted
from trademl.schema import BATCHES

TABLE_SCHEMAS = ("silver", "gold", "marts")
VIEW_SCHEMAS = ("silver", "gold", "marts", "preds", "ops")

# Measured on 2.1 million rows of 80 float columns and 2 cores: smaller groups write in parallel, level 1 beats snappy
# in both time and size.
_PARQUET = "format parquet, compression zstd, compression_level 1, row_group_size 61440, use_tmp_file false"
_ORDER_FIRST = ("label", "date", "dt", "symbol", "ticker", "address", "dataset", "series", "horizon", "model_id")
# Parquet has no 128-bit integer: DuckDB would write these as DOUBLE and lose digits.
_STORED_AS = {"HUGEINT": "decimal(38, 0)", "UHUGEINT": "decimal(38, 0)"}
_AT_ONCE = 2
_SINGLE = "all"
_UNDATED = "null"


@dataclass(frozen=True)
class Build:
    """The last run of the builder, as it noted it in the warehouse."""

    build_id: str
    invocation_id: str
    status: str
    definition_hash: str
    as_known_at: str | None


@dataclass(frozen=True)
class Contents:
    """What there is to publish in a warehouse: columns and grain per table, statement and columns per view."""

    tables: dict[str, tuple[dict[str, str], tuple[str, ...]]]
    views: dict[str, ViewEntry]


def open_warehouse(path: Path, *, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open the builder's file read-only, as catalog ``warehouse`` of a private connection.

    Raises:
        LockedError: a build holds it.
        SnapshotError: there is no such file, or it is not a DuckDB database that this version reads.
    """
    con = duckdb.connect()
    con.execute("set enable_progress_bar = false")
    if threads:
        con.execute(f"set threads = {threads}")
    try:
        con.execute(f"attach {quoted(str(path))} as warehouse (read_only)")
    except (duckdb.IOException, duckdb.SerializationException) as error:
        con.close()
        holder = re.search(r"PID (\d+)", str(error))
        if "lock" in str(error).lower():
            raise LockedError(
                f"{path} is held by process {holder[1] if holder else 'unknown'}, most likely a build",
                remedy="wait for the build to end; readers use the last snapshot meanwhile",
            ) from error
        raise SnapshotError(
            f"{path} cannot be opened: {str(error).splitlines()[0]}",
            remedy="run `trademl build`; if it cannot open it either, delete the file first: it can be made again",
        ) from error
    return con


def last_build(con: duckdb.DuckDBPyConnection) -> Build | None:
    """Return the last run noted in ``meta.builds`` of an open warehouse, None if none ever started."""
    if not _has_table(con, "meta", "builds"):
        return None
    rows = con.execute(
        "select build_id, invocation_id, status, definition_hash, as_known_at from warehouse.meta.builds "
        "order by started_at desc, finished_at desc nulls last limit 1"
    ).fetchall()
    if not rows:
        return None
    build_id, invocation_id, status, definition_hash, as_known_at = rows[0]
    return Build(build_id, invocation_id or "", status, definition_hash or "", as_known_at or None)


def read_contents(con: duckdb.DuckDBPyConnection) -> Contents:
    """List the tables and views of an open warehouse that are published."""
    columns: dict[str, dict[str, str]] = {}
    for schema, relation, column, kind in con.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = 'warehouse' and not internal order by schema_name, table_name, column_index"
    ).fetchall():
        columns.setdefault(f"{schema}.{relation}", {})[column] = kind
    grains = _declared_grains(con)
    tables: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {}
    for (name,) in con.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where database_name = 'warehouse' "
        "and not temporary and schema_name in (select unnest(?)) and not contains(table_name, '__dbt_') order by 1",
        [list(TABLE_SCHEMAS)],
    ).fetchall():
        tables[name] = (columns[name], grains.get(name, ()))
    views = {
        name: ViewEntry(sql=sql, columns=columns[name])
        for name, sql in con.execute(
            "select schema_name || '.' || view_name, sql from duckdb_views() where database_name = 'warehouse' "
            "and not internal and not temporary and schema_name in (select unnest(?)) order by 1",
            [list(VIEW_SCHEMAS)],
        ).fetchall()
        if name not in BATCHES and "__dbt_" not in name
    }
    return Contents(tables, views)


def export_table(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    name: str,
    columns: dict[str, str],
    grain: tuple[str, ...],
    previous: Manifest | None,
) -> TableEntry:
    """Publish table ``name`` of an open warehouse as objects, writing only partitions whose rows changed.

    The caller holds ``layout.publish_lock``.
    """
    unknown = [column for column in grain if column not in columns]
    if unknown:
        raise SnapshotError(
            f"the declared grain of {name} has {unknown}, which are not columns of it",
            remedy="correct config.meta.grain of the model and build again",
        )
    key = grain or tuple(column for column in _ORDER_FIRST if column in columns)
    order = sorted(key, key=lambda column: _ORDER_FIRST.index(column) if column in _ORDER_FIRST[:5] else 5)
    dated = columns.get("date") in {"DATE", "TIMESTAMP"}
    old = previous.tables.get(name) if previous else None
    # Another version of DuckDB may hash, sort or write differently.
    comparable = old is not None and previous is not None and previous.duckdb_version == duckdb.__version__
    known: dict[tuple[str, str], FileEntry] = {}
    if comparable and old is not None and list(old.columns.items()) == list(columns.items()) and old.grain == grain:
        known = {(file.partition, file.fingerprint): file for file in old.files}

    def publish(partition: tuple[str, int, str]) -> FileEntry:
        label, rows, fingerprint = partition
        entry = known.get((label, fingerprint))
        if entry is not None and entry.rows == rows and _intact(layout, entry):
            return entry
        with con.cursor() as cursor:
            return _export_partition(cursor, layout, name, columns, (order, not grain), partition)

    # Two at a time: a year has too few row groups to keep two cores busy, and its file is hashed by one.
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        files = tuple(pool.map(publish, _partitions(con, name, columns, dated)))
    return TableEntry(columns=columns, grain=grain, files=files)


def write_object(con: duckdb.DuckDBPyConnection, layout: Layout, select: str) -> FileEntry:
    """Write the rows of ``select``, in its order, as one object of the lake, and return its entry.

    Equal rows give equal bytes and one object. The caller holds ``layout.publish_lock``.
    """
    layout.objects.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(layout.objects / "object")
    try:
        rows = con.execute(f"copy ({select}) to {quoted(str(temporary))} ({_PARQUET})").fetchall()[0][0]
        digest = sha256_file(temporary)
        path = layout.object(digest)
        size = temporary.stat().st_size
        if not (path.is_file() and path.stat().st_size == size):
            commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return FileEntry(path=f"objects/{path.name}", sha256=digest, bytes=size, rows=rows)


def read_coverage(con: duckdb.DuckDBPyConnection, contents: Contents) -> tuple[date | None, dict[str, Any]]:
    """Return the last session with data and, per dataset, its grade: what a reader must know before using it.

    The session is that of the daily bars; in a home without any, of the bars of minutes.
    """
    found: list[tuple[date | None, dict[str, Any]]] = []
    for table in _COVERAGE_TABLES:
        columns = contents.tables.get(table, ({}, ()))[0]
        if set(columns) >= _COVERAGE_COLUMNS:
            found.append(_grades(con, table))
    last = next((day for day, _ in found if day is not None), None)
    if last is None and not found and "silver.equity_bars" in contents.tables:
        last = con.execute("select max(date) from warehouse.silver.equity_bars").fetchall()[0][0]
    return last, {name: grade for _, grades in found for name, grade in grades.items()}


_COVERAGE_TABLES = ("silver.coverage", "silver.event_coverage")
_COVERAGE_COLUMNS = {"dataset", "date", "status", "present", "coverage_ratio", "reasons"}


def _grades(con: duckdb.DuckDBPyConnection, table: str) -> tuple[date | None, dict[str, Any]]:
    rows = con.execute(
        f"select dataset, date, status, coverage_ratio, reasons::varchar from warehouse.{table} "
        "where present > 0 qualify row_number() over (partition by dataset order by date desc) = 1 order by dataset"
    ).fetchall()
    grades = {
        dataset: {"date": day.isoformat(), "status": status, "coverage_ratio": ratio, "reasons": reasons}
        for dataset, day, status, ratio, reasons in rows
    }
    return max((row[1] for row in rows), default=None), grades


def view_columns(columns: Mapping[str, str]) -> str:
    """Return the select list that reads objects back with the types the warehouse has."""
    return ", ".join(f"cast({identifier(name)} as {kind}) as {identifier(name)}" for name, kind in columns.items())


def stored_types(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the types in which columns are written: parquet has no 128-bit integer."""
    return {column: _STORED_AS.get(kind, kind) for column, kind in columns.items()}


def _partitions(
    con: duckdb.DuckDBPyConnection, name: str, columns: dict[str, str], dated: bool
) -> list[tuple[str, int, str]]:
    label = f"coalesce(year(date)::varchar, {quoted(_UNDATED)})" if dated else quoted(_SINGLE)
    return con.execute(
        f"select {label} as partition, count(*), sum({_row_hash(columns)}::hugeint)::varchar "
        f"from warehouse.{qualified(name)} group by 1 order by 1"
    ).fetchall()


def _export_partition(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    name: str,
    columns: dict[str, str],
    ordering: tuple[list[str], bool],
    partition: tuple[str, int, str],
) -> FileEntry:
    label, rows, fingerprint = partition
    order, ties = ordering
    keys = [f"{identifier(column)} asc nulls first" for column in order]
    # Without a declared grain rows may tie; equal hashes then mean equal rows, so the bytes stay the same.
    keys += [_row_hash(columns)] if ties else []
    selected = view_columns(stored_types(columns))
    entry = write_object(
        con,
        layout,
        f"select {selected} from warehouse.{qualified(name)} where {_in_partition(label)} order by {', '.join(keys)}",
    )
    if entry.rows != rows:
        raise SnapshotError(
            f"{name} partition {label}: {entry.rows} of {rows} rows were exported", remedy="run `trademl build` again"
        )
    return entry.model_copy(update={"partition": label, "fingerprint": fingerprint})


def _in_partition(label: str) -> str:
    if label == _SINGLE:
        return "true"
    if label == _UNDATED:
        return "year(date) is null"
    year = int(label)
    if 1 <= year <= 9998:
        # A range, not year(): DuckDB skips row groups by it.
        return f"date >= date '{year:04d}-01-01' and date < date '{year + 1:04d}-01-01'"
    return f"year(date) = {year}"


def _row_hash(columns: Mapping[str, str]) -> str:
    return f"hash({', '.join(identifier(column) for column in columns)})"


def _intact(layout: Layout, entry: FileEntry) -> bool:
    path = layout.root / entry.path
    return path.is_file() and path.stat().st_size == entry.bytes


def _declared_grains(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    if not _has_table(con, "meta", "tables"):
        return {}
    return {
        f"{schema}.{table}": tuple(column.strip() for column in grain.split(",") if column.strip())
        for schema, table, grain in con.execute(
            "select schema_name, table_name, grain from warehouse.meta.tables where grain is not null"
        ).fetchall()
    }


def _has_table(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    found = con.execute(
        "select count(*) from duckdb_tables() where database_name = 'warehouse' and schema_name = ? and table_name = ?",
        [schema, table],
    ).fetchall()[0][0]
    return bool(found)
