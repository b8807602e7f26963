"""Read recognised files into one table of judged rows: ``staged(file_index, line, <fields>, reason, detail, row)``."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import duckdb

from trademl.errors import MissingExtra
from trademl.schema import RawDataset
from trademl.warehouse.ingest.chains import OPTION_QUOTES, judged_chain_sql
from trademl.warehouse.ingest.events import EVENTS, judged_event_sql
from trademl.warehouse.ingest.files import FileRefused, Inspected
from trademl.warehouse.ingest.intraday import INTRADAY_BARS, judged_intraday_sql
from trademl.warehouse.ingest.mapping import Columns, Reading
from trademl.warehouse.ingest.records import Record, read_records
from trademl.warehouse.ingest.rules import content_text, identifier, judged_sql, literal, row_json
from trademl.warehouse.ingest.ticks import BOOK_ZONE, TICKS, judged_tick_sql
from trademl.warehouse.ingest.traders import judged_trader_sql

_CHUNK = 50_000


def create_staged(con: duckdb.DuckDBPyConnection, dataset: RawDataset) -> None:
    """Create the empty table ``staged``."""
    con.execute(f"create temp table staged (file_index integer, {_row_columns(dataset)})")


def stage_file(
    con: duckdb.DuckDBPyConnection,
    dataset: RawDataset,
    file: Inspected,
    columns: Columns,
    reading: Reading,
    file_index: int,
) -> int:
    """Append every record of ``file`` to ``staged``, good or not; return how many there are.

    Rows of one file that give different values for one key are all marked: none of them can be trusted.

    Raises:
        FileRefused: the file breaks while it is read; nothing of it stays.
    """
    try:
        source, types = _source(con, dataset, file)
        if reading.venue is not None:
            sql = judged_trader_sql(dataset, file, columns, source, reading.venue)
        elif dataset.name == INTRADAY_BARS:
            sql = judged_intraday_sql(dataset, file, columns, types, source, reading.time_zone or "UTC")
        elif dataset.name in TICKS:
            zone = reading.time_zone or (BOOK_ZONE if dataset.name == "book" else "UTC")
            sql = judged_tick_sql(dataset, file, columns, types, source, zone)
        elif dataset.name == OPTION_QUOTES:
            sql = judged_chain_sql(dataset, file, columns, source)
        elif dataset.name == EVENTS:
            sql = judged_event_sql(dataset, file, columns, source)
        else:
            sql = judged_sql(
                dataset, file, columns, types, source, calendar=reading.calendar, date_format=reading.date_format
            )
        con.execute(f"create or replace temp table arriving as {sql}")
        rows = _count(con, "arriving")
        if file.kind == "csv" and file.plain and rows != file.records:
            # DuckDB saw other record borders than the byte count did: let the careful reader decide.
            return stage_file(con, dataset, _careful(file), columns, reading, file_index)
        _mark_conflicts(con, dataset, source, file)
    except duckdb.Error as error:
        if file.kind == "csv" and file.plain:
            return stage_file(con, dataset, _careful(file), columns, reading, file_index)
        found = f"it breaks while it is read ({str(error).splitlines()[0]})"
        raise FileRefused("unreadable_file", found, "fetch it again") from error
    con.execute(f"insert into staged select {file_index}, * from arriving")
    con.execute("drop table arriving")
    if file.kind == "csv" and not file.plain:
        con.execute(f"insert into staged select {file_index}, * from complaints")
        rows += _count(con, "complaints")
        con.execute("drop table careful; drop table complaints")
    return rows


def _source(con: duckdb.DuckDBPyConnection, dataset: RawDataset, file: Inspected) -> tuple[str, tuple[str, ...]]:
    """Return a SELECT of ``line, c0, c1, ...`` and the type of each column."""
    path = literal(str(file.source.path))
    if file.kind == "parquet":
        described = con.execute(f"describe select * from read_parquet({path})").fetchall()
        names = ", ".join(f"{identifier(row[0])} as c{index}" for index, row in enumerate(described))
        source = f"select file_row_number + 1 as line, {names} from read_parquet({path}, file_row_number = true)"
        return source, tuple(str(row[1]) for row in described)
    types = ("VARCHAR",) * len(file.columns)
    if not file.plain:
        _load_careful(con, dataset, file)
        return "select * from careful", types
    newline = file.newline.encode("unicode_escape").decode()
    struct = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(file.columns)))
    # On one file a scan keeps the order of lines, so the row number is the line number, the header being line 1.
    return (
        f"select 1 + row_number() over () as line, * from read_csv({path}, auto_detect = false, header = false, "
        f"skip = 1, columns = {{{struct}}}, delim = {literal(file.delimiter)}, quote = '', escape = '', comment = '', "
        f"new_line = {literal(newline)}, strict_mode = true, null_padding = false, ignore_errors = false)",
        types,
    )


def _careful(file: Inspected) -> Inspected:
    return replace(file, plain=False)


def _load_careful(con: duckdb.DuckDBPyConnection, dataset: RawDataset, file: Inspected) -> None:
    """Fill ``careful`` with the records that are rows, and ``complaints`` with those that are not."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("pyarrow", "train") from error
    names = [f"c{index}" for index in range(len(file.columns))]
    fields = ", ".join(f"{name} varchar" for name in names)
    con.execute(f"create or replace temp table careful (line bigint, {fields})")
    con.execute(f"create or replace temp table complaints ({_row_columns(dataset)})")
    records = read_records(file)
    while chunk := list(islice(records, _CHUNK)):
        good = [record for record in chunk if record.reason is None]
        arrays = [pa.array([record.line for record in good], pa.int64())]
        arrays += [pa.array([record.values[index] for record in good], pa.string()) for index in range(len(names))]
        chunk_table = pa.table(arrays, names=["line", *names])
        con.register("chunk_table", chunk_table)
        con.execute("insert into careful select * from chunk_table")
        con.unregister("chunk_table")
        for record in _complaints(chunk):
            con.execute(
                'insert into complaints (line, reason, detail, "row") values (?, ?, ?, ?)',
                [record.line, record.reason, record.detail, json.dumps({"text": record.text}, ensure_ascii=False)],
            )


def _complaints(chunk: list[Record]) -> Iterator[Record]:
    return (record for record in chunk if record.reason is not None)


def _mark_conflicts(con: duckdb.DuckDBPyConnection, dataset: RawDataset, source: str, file: Inspected) -> None:
    key = ", ".join(identifier(name) for name in dataset.key)
    con.execute(
        f"create or replace temp table repeated as select {key} from arriving where reason is null "
        f"group by {key} having count(*) > 1"
    )
    if not _count(con, "repeated"):
        return
    con.execute(
        f"create or replace temp table conflicting as "
        f"select {key}, count(*) as rows, count(distinct {content_text(dataset, 'arriving')}) as versions "
        f"from arriving join repeated using ({key}) where reason is null group by {key} "
        f"having count(distinct {content_text(dataset, 'arriving')}) > 1"
    )
    if not _count(con, "conflicting"):
        return
    same = " and ".join(f"arriving.{identifier(name)} = marked.{identifier(name)}" for name in dataset.key)
    shown = " || ' ' || ".join(f"marked.{identifier(name)}" for name in dataset.key)
    con.execute(f"""
        create or replace temp table marked as
        select arriving.line, conflicting.*, original."row"
        from arriving
        join conflicting using ({key})
        join (select line, {row_json(file)} as "row" from ({source})) as original using (line)
        where arriving.reason is null
    """)
    con.execute(f"""
        update arriving set
            reason = 'conflicting_rows',
            detail = marked.rows || ' rows of this file give ' || marked.versions || ' different values for '
                || {shown},
            "row" = marked."row"
        from marked where marked.line = arriving.line and {same}
    """)


def _row_columns(dataset: RawDataset) -> str:
    fields = ", ".join(f"{identifier(name)} {kind}" for name, kind in dataset.columns.items())
    return f'line bigint, {fields}, reason varchar, detail varchar, "row" varchar'


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(con.execute(f"select count(*) from {table}").fetchall()[0][0])
