"""Is what lies in the lake what a release says? Plain files of the right bytes, and parquet of the right columns."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from trademl.errors import ReleaseError
from trademl.lake.export import stored_types
from trademl.lake.files import sha256_file
from trademl.lake.layout import Layout
from trademl.lake.names import quoted
from trademl.lake.release import Release, ReleaseTable

_AGAIN = "publish the release again: its objects and its document disagree"


def fault_of(path: Path, size: int, digest: str) -> str | None:
    """Return what is wrong with a file that should have this size and sha256, None when nothing is.

    A symbolic link is wrong whatever it points to.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return "is missing"
    if not stat.S_ISREG(status.st_mode):
        return "is not a plain file"
    if status.st_size != size:
        return f"has {status.st_size} bytes, the release says {size}"
    actual = sha256_file(path)
    return None if actual == digest else f"has sha256 {actual}"


def digest_of(name: str) -> str:
    """Return the sha256 that an object's file name states."""
    return name.removesuffix(".parquet")


def faulty_objects(layout: Layout, sizes: Mapping[str, int]) -> dict[str, str]:
    """Return what is wrong with objects of the lake, by name; every byte is read (a second for a few hundred MB)."""
    found = {name: fault_of(layout.objects / name, size, digest_of(name)) for name, size in sizes.items()}
    return {name: fault for name, fault in found.items() if fault is not None}


def check_footers(layout: Layout, release: Release) -> None:
    """Compare the footer of every parquet object with the release; no row is read.

    Raises:
        ReleaseError: an object is no parquet file, or has other columns, types or rows than the release says.
    """
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        con.execute("set enable_progress_bar = false")
        for name, table in release.tables.items():
            if table.files:
                _check_table(con, layout, name, table)


def _check_table(con: duckdb.DuckDBPyConnection, layout: Layout, name: str, table: ReleaseTable) -> None:
    rows = {str(layout.object(part.sha256)): part.rows for part in table.files}
    listed = ", ".join(quoted(path) for path in rows)
    wanted = {column: kind.upper().replace(", ", ",") for column, kind in stored_types(table.columns).items()}
    try:
        counted = con.execute(f"select file_name, num_rows from parquet_file_metadata([{listed}])").fetchall()
        schemas: dict[str, list[Any]] = {path: [] for path in rows}
        for path, *column in con.execute(
            "select file_name, name, type, converted_type, scale, precision, logical_type, num_children "
            f"from parquet_schema([{listed}]) order by file_name, column_id"
        ).fetchall():
            schemas[path].append(tuple(column))
        # Files with one and the same schema have the same columns: one of them is asked for their types.
        for path in {tuple(schema): path for path, schema in schemas.items()}.values():
            found = [row[:2] for row in con.execute(f"describe select * from read_parquet({quoted(path)})").fetchall()]
            if len(found) != len(wanted) or dict(found) != wanted:
                raise ReleaseError(
                    f"object {Path(path).stem} of {name} has {_other(dict(found), wanted)}", remedy=_AGAIN
                )
    except duckdb.Error as error:
        raise ReleaseError(
            f"an object of {name} is no parquet file that can be read: {str(error).splitlines()[0]}", remedy=_AGAIN
        ) from error
    for path, count in counted:
        if count != rows[path]:
            raise ReleaseError(
                f"object {Path(path).stem} of {name} has {count} rows, the release says {rows[path]}", remedy=_AGAIN
            )


def _other(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    for column, kind in wanted.items():
        if column not in found:
            return f"no column {column}, which the release lists"
        if found[column] != kind:
            return f"column {column} of type {found[column]}, the release says {kind}"
    extra = next((column for column in found if column not in wanted), "twice")
    return f"a column {extra!r}, which the release does not list"
