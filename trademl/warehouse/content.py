"""Content hashes: what a table holds, whatever the order of its rows or the file it lives in."""

from collections.abc import Sequence
from pathlib import Path

import duckdb


def content_hashes(
    warehouse: Path, tables: Sequence[str] | None = None, *, where: str = "true", schema: str = "gold"
) -> dict[str, tuple[int, str]]:
    """Return ``{table: (rows, digest)}`` for the base tables of ``schema`` in a warehouse nobody writes.

    The digest combines a 64-bit hash of every row by sum and by exclusive or: row order does not matter, a doubled row
    shows. Cells are hashed as stored bits: two floats that differ in the last bit differ here. Comparable within
    one DuckDB version.

    Args:
        warehouse: the DuckDB file.
        tables: the tables to hash; None means every base table of the schema.
        where: a filter that each of them must be able to evaluate.
        schema: the schema whose tables are hashed.
    """
    con = duckdb.connect(str(warehouse), read_only=True)
    try:
        names = con.execute(
            "select table_name from information_schema.tables "
            "where table_schema = ? and table_type = 'BASE TABLE' order by 1",
            [schema],
        ).fetchall()
        return {
            name: _table_hash(con, f'"{schema}"."{name}"', where)
            for (name,) in names
            if tables is None or name in tables
        }
    finally:
        con.close()


def _table_hash(con: duckdb.DuckDBPyConnection, relation: str, where: str) -> tuple[int, str]:
    columns = [row[0] for row in con.execute(f"describe {relation}").fetchall()]
    listed = ", ".join(f'"{column}"' for column in columns)
    query = f"""
        select count(*), coalesce(bit_xor(digest), 0), coalesce(sum(digest), 0)
        from (select hash({listed}) as digest from {relation} where {where})
    """
    (row,) = con.execute(query).fetchall()
    return int(row[0]), f"{int(row[1]):016x}{int(row[2]) % 2**64:016x}"
