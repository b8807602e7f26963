"""Immutable batches of predictions and evidence: rows that Python writes without a database lock.

A batch is one parquet file under lake/preds or lake/ops, named ``<UTC stamp>-<content>.parquet``. A view shows the
latest row per grain over all batches, so writing the same rows again changes nothing. The content leaves out the column
that orders versions (``scored_at``): scoring the same day twice gives one file.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from trademl.clock import Clock, utc_now
from trademl.errors import SnapshotError
from trademl.lake.files import commit_file, temporary_beside
from trademl.lake.layout import Layout
from trademl.lake.names import quoted
from trademl.schema import BATCHES, BatchTable

# Where every batch is smaller, versions are found faster than footers are read.
_LARGE = 1_000_000


def write_batch(
    layout: Layout,
    table_name: str,
    source: Any,
    con: duckdb.DuckDBPyConnection | None = None,
    *,
    now: Clock = utc_now,
) -> Path | None:
    """Write ``source`` as one batch of ``table_name``, cast to the table's types and sorted by its grain.

    Args:
        layout: the lake.
        table_name: a key of ``trademl.schema.BATCHES``, such as ``preds.equities``.
        source: a DuckDB relation, the text of a SELECT, or an Arrow table (or data frame) that DuckDB can scan.
        con: the connection that ``source`` belongs to; needed for SQL over its tables, optional otherwise.
        now: gives the stamp in the file's name.

    Returns:
        The batch: the existing one when the view already shows exactly these rows; None when there are no rows.

    Raises:
        SnapshotError: a column is missing, unknown or of another type, or a grain value is NULL or there twice.
    """
    table = _table(layout, table_name)
    relation = _relation(source, con)
    _check_columns(table, relation.columns)
    casts = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in table.columns.items())
    order = ", ".join(f'"{name}"' for name in table.grain)
    folder = layout.batches(table_name)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder / "batch")
    try:
        try:
            relation.project(casts).order(order).write_parquet(str(temporary), compression="zstd", use_tmp_file=False)
        except (duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise SnapshotError(
                f"a batch of {table_name} has a value of the wrong type: {error}",
                remedy=f"the columns are {_describe(table.columns)}",
            ) from error
        with duckdb.connect() as private:
            private.execute("set enable_progress_bar = false")
            content = _check_rows(private, table, temporary)
            if content is None:
                return None
            existing = _same_batch(private, layout, table, temporary, content)
        if existing is not None:
            return existing
        path = folder / f"{now():%Y%m%dT%H%M%S%fZ}-{content}.parquet"
        commit_file(temporary, path)
        return path
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(
    layout: Layout, table_name: str, rows: Iterable[Mapping[str, Any]], *, now: Clock = utc_now
) -> Path | None:
    """Write a few plain mappings as one batch of ``table_name``; every column must be a key of every row.

    Returns and raises as :func:`write_batch`.
    """
    table = _table(layout, table_name)
    listed = [dict(row) for row in rows]
    if not listed:
        return None
    for row in listed:
        _check_columns(table, list(row))
    with duckdb.connect() as con:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in table.columns.items())
        con.execute(f"create table batch ({columns})")
        # One list a column: row by row, five thousand rows take seconds.
        lists = ", ".join(f"unnest(?::{kind}[])" for kind in table.columns.values())
        try:
            con.execute(f"insert into batch select {lists}", [[row[name] for row in listed] for name in table.columns])
        except (duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise SnapshotError(
                f"a row of {table_name} has a value of the wrong type: {error}",
                remedy=f"the columns are {_describe(table.columns)}",
            ) from error
        return write_batch(layout, table_name, con.table("batch"), con, now=now)


def latest_sql(table: BatchTable, files: Iterable[Path | str]) -> str:
    """Return a SELECT of the latest row per grain over ``files``; a typed empty table when there are none.

    Two versions with the same ``latest_by`` are told apart by file name, so the answer never depends on scan order.
    Batches whose files prove that they share no row with any other (a backtest path of a run, say) are read as they
    are: looking for versions among millions of rows that have none would be most of a query's work.
    """
    paths = [Path(file) for file in files]
    if not paths:
        columns = ", ".join(f'cast(null as {kind}) as "{name}"' for name, kind in table.columns.items())
        return f"select {columns} where false"
    columns = ", ".join(f'"{name}"' for name in table.columns)
    alone = _separate(table.name, tuple(paths)) if _pays(paths) else frozenset()
    parts = []
    if alone:
        parts.append(f"select {columns} from read_parquet([{_listed(path for path in paths if path in alone)}])")
    if len(alone) < len(paths):
        grain = ", ".join(f'"{name}"' for name in table.grain)
        latest = f'"{table.latest_by}" desc nulls last, batch_file desc'
        shared = _listed(path for path in paths if path not in alone)
        parts.append(
            f"select {columns} from read_parquet([{shared}], filename = 'batch_file') "
            f"qualify row_number() over (partition by {grain} order by {latest}) = 1"
        )
    return " union all ".join(parts)


def _pays(paths: Iterable[Path]) -> bool:
    try:
        return any(path.stat().st_size >= _LARGE for path in paths)
    except OSError:
        # Whoever reads the batches will say which one is missing.
        return False


@lru_cache(maxsize=8)
def _separate(table_name: str, paths: tuple[Path, ...]) -> frozenset[Path]:
    """Return the batches that share no grain with any other, as the smallest and largest value of each column tell.

    Every batch has each grain once (``write_batch`` sees to it), so these are their own latest versions. A file that
    lacks these values may share rows with all others. Batches never change, so the answer to a list of them is kept.
    """
    grain, kinds = BATCHES[table_name].grain, BATCHES[table_name].columns
    bounds = ", ".join(
        f"{side}(case when path_in_schema = '{name}' then cast(stats_{side}_value as {kinds[name]}) end) "
        f"as {side}_{place}"
        for place, name in enumerate(grain)
        for side in ("min", "max")
    )
    overlap = " and ".join(
        f"this.min_{place} <= other.max_{place} and other.min_{place} <= this.max_{place}"
        for place, _ in enumerate(grain)
    )
    named = ", ".join(f"'{name}'" for name in grain)
    query = f"""
        with ranges as (
            select file_name, {bounds},
                count(*) filter (where stats_min_value is null or stats_max_value is null) = 0
                    and count(distinct path_in_schema) = {len(grain)} as is_known
            from parquet_metadata([{_listed(paths)}]) where path_in_schema in ({named}) group by file_name
        )
        select this.file_name from ranges this where this.is_known and not exists (
            select 1 from ranges other
            where other.file_name <> this.file_name and (not other.is_known or ({overlap}))
        )
    """
    try:
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false")
            return frozenset(Path(name) for (name,) in con.execute(query).fetchall())
    except duckdb.Error:
        return frozenset()


def _table(layout: Layout, table_name: str) -> BatchTable:
    layout.batches(table_name)
    return BATCHES[table_name]


def _relation(source: Any, con: duckdb.DuckDBPyConnection | None) -> duckdb.DuckDBPyRelation:
    if isinstance(source, duckdb.DuckDBPyRelation):
        return source
    connection = con or duckdb.connect()
    if isinstance(source, str):
        return connection.sql(source)
    return connection.from_arrow(source)


def _check_columns(table: BatchTable, columns: list[str]) -> None:
    missing = [name for name in table.columns if name not in columns]
    unknown = [name for name in columns if name not in table.columns]
    if missing or unknown:
        raise SnapshotError(
            f"a batch of {table.name} lacks {missing or 'nothing'} and has unknown columns {unknown or 'none'}",
            remedy=f"give exactly the columns {_describe(table.columns)}",
        )


def _check_rows(con: duckdb.DuckDBPyConnection, table: BatchTable, path: Path) -> str | None:
    """Refuse NULL and repeated grains; return the first 12 digits of the content's hash, None without rows."""
    grain = ", ".join(f'"{name}"' for name in table.grain)
    nulls = " or ".join(f'"{name}" is null' for name in table.grain)
    content = ", ".join(f'"{name}"' for name in table.columns if name != table.latest_by)
    # The xor of row hashes ignores row order and, with a unique grain, no two rows cancel.
    rows, holes, distinct, digest = con.execute(
        f"select count(*), count(*) filter (where {nulls}), count(distinct ({grain})), "
        f"bit_xor(md5_number(row({content})::varchar))::varchar from read_parquet({quoted(str(path))})"
    ).fetchall()[0]
    if not rows:
        return None
    if holes or distinct != rows:
        raise SnapshotError(
            f"a batch of {table.name} with {rows} rows has {holes} rows with a NULL in its grain and "
            f"{rows - distinct} repeated grains",
            remedy=f"write one row per ({', '.join(table.grain)}), none of them NULL",
        )
    return hashlib.sha256(f"{table.name} {rows} {digest}".encode()).hexdigest()[:12]


def _same_batch(
    con: duckdb.DuckDBPyConnection, layout: Layout, table: BatchTable, batch: Path, content: str
) -> Path | None:
    """Return the batch with this content, unless a later one has since replaced any of its rows."""
    files = layout.batch_files(table.name)
    twins = [file for file in files if file.stem.endswith(f"-{content}")]
    if not twins:
        return None
    grain = ", ".join(f'"{name}"' for name in table.grain)
    differing = " or ".join(
        f'(old."{name}" is distinct from new."{name}")'
        for name in table.columns
        if name not in (*table.grain, table.latest_by)
    )
    # A then B then A again must end at A: the old file of A does not help once B is the latest.
    changed = con.execute(
        f"select count(*) from read_parquet({quoted(str(batch))}) new "
        f"join ({latest_sql(table, files)}) old using ({grain}) where {differing}"
    ).fetchall()[0][0]
    return None if changed else twins[-1]


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(quoted(str(path)) for path in paths)


def _describe(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
