"""Which rows each split trains on and tests, stored as one bit per row and split.

A run's ``assignments.parquet`` has one row per training row: ``row_id`` (0 to n - 1, the order in which the rows were
loaded), then per word of 64 splits ``train_0, test_0, train_1, test_1, ...`` (UBIGINT): bit ``s % 64`` of word
``s // 64`` says whether split ``s`` trains on, or tests, the row. Ten million rows x 45 splits are 450 million (row,
split) pairs, and two integers a row here; rows with the same labels mostly share them, so a parquet file holds them in
few bytes and SQL groups them at once.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import commit_file, temporary_beside
from trademl.errors import SplitError
from trademl.validation.splits import Split

WORD = 64


def encode_splits(splits: Iterable[Split], n_rows: int) -> dict[str, NDArray[Any]]:
    """Return the columns of the assignment table for ``n_rows`` rows.

    Raises:
        SplitError: there is no split, or a row index lies outside 0 to ``n_rows - 1``.
    """
    columns: dict[str, NDArray[Any]] = {"row_id": np.arange(n_rows, dtype=np.int64)}
    for split in splits:
        word, bit = divmod(split.split_id, WORD)
        for role, rows in (("train", split.train), ("test", split.test)):
            if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= n_rows):
                raise SplitError(
                    f"split {split.split_id} has {role} rows {int(rows.min())} to {int(rows.max())} of {n_rows}",
                    remedy="encode the splits with the number of rows that they were made from",
                )
            column = columns.setdefault(f"{role}_{word}", np.zeros(n_rows, dtype=np.uint64))
            column[rows] |= np.uint64(1 << bit)
    if len(columns) == 1:
        raise SplitError("there is no split to encode", remedy="give the splits of a splitter")
    return columns


def write_assignments(path: Path, splits: Iterable[Split], n_rows: int) -> Path:
    """Write the assignment table to ``path`` (parquet, whole or absent, read-only) and return it.

    Raises:
        SplitError: as :func:`encode_splits`.
    """
    return write_columns(path, encode_splits(splits, n_rows))


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Write columns as :func:`encode_splits` gives them, and others beside them; return ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false")
            con.register("columns", dict(columns))
            con.table("columns").write_parquet(str(temporary), compression="zstd")
        commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def source_text(source: str | Path) -> str:
    """Return what may follow FROM: a path as ``read_parquet('...')``, a table name or ``(select ...)`` as it is."""
    if isinstance(source, Path):
        quoted = str(source).replace("'", "''")
        return f"read_parquet('{quoted}')"
    return source


def as_pairs(assignments: str | Path, n_splits: int) -> str:
    """Return a SELECT of the table in long form, (split_id, row_id, role): what a person wants to read."""
    cases = " union all ".join(
        f"select {split} as split_id, row_id, '{role}' as role from {source_text(assignments)} "
        f"where {has_bit(f'{role}_{split // WORD}', str(split % WORD))}"
        for split in range(n_splits)
        for role in ("train", "test")
    )
    return f"({cases})"


def from_pairs(pairs: str | Path, n_splits: int) -> str:
    """Return a SELECT of the assignment table from one in long form, (split_id, row_id, role 'train' or 'test')."""
    words = ", ".join(
        f"coalesce(bit_or(1::ubigint << (split_id % {WORD})::ubigint) "
        f"filter (where role = '{role}' and split_id // {WORD} = {word}), 0::ubigint) as {role}_{word}"
        for word in range(-(-n_splits // WORD))
        for role in ("train", "test")
    )
    return f"(select row_id, {words} from {source_text(pairs)} group by row_id)"


def has_bit(column: str, bit: str) -> str:
    """Return the SQL condition that ``bit`` (an expression, 0 to 63) of the UBIGINT ``column`` is set."""
    return f"(({column} >> ({bit})::ubigint) & 1::ubigint) = 1"
