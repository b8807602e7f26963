"""Stored split assignments."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from trademl.errors import SplitError
from trademl.governance.assignments import as_pairs, encode_splits, from_pairs, write_assignments
from trademl.validation.splits import Split


def split(split_id: int, train: list[int], test: list[int]) -> Split:
    return Split(split_id, np.array(train, np.int64), np.array(test, np.int64), (0,))


SPLITS = [split(0, [0, 1], [2]), split(63, [2], [0]), split(64, [1], [2])]
PAIRS = {
    (0, 0, "train"), (0, 1, "train"), (0, 2, "test"),
    (63, 2, "train"), (63, 0, "test"),
    (64, 1, "train"), (64, 2, "test"),
}  # fmt: skip


def test_each_split_has_a_bit_of_its_own() -> None:
    """Split 63 is the top bit of the first word, split 64 the first of the second; row 3 is in none."""
    columns = encode_splits(SPLITS, 4)
    assert columns["train_0"].tolist() == [1, 1, 1 << 63, 0]
    assert columns["test_0"].tolist() == [1 << 63, 0, 1, 0]
    assert columns["train_1"].tolist() == [0, 1, 0, 0]
    assert columns["test_1"].tolist() == [0, 0, 1, 0]


def test_the_long_form_and_back(tmp_path: Path) -> None:
    """A written table reads as (split, row, role), and that compacts to the same bits."""
    path = write_assignments(tmp_path / "run" / "assignments.parquet", SPLITS, 4)
    assert path.stat().st_mode & 0o777 == 0o444
    with duckdb.connect() as con:
        assert set(con.execute(f"from {as_pairs(path, 65)}").fetchall()) == PAIRS
        again = con.execute(f"from {from_pairs(as_pairs(path, 65), 65)} order by row_id").fetchall()
        stored = con.execute(f"from read_parquet('{path}') where row_id < 3 order by row_id").fetchall()
    assert again == stored


def test_the_same_splits_are_the_same_bytes(tmp_path: Path) -> None:
    """Writing is deterministic, so a run folder's hash of the file is stable."""
    one, other = (write_assignments(tmp_path / name, SPLITS, 4) for name in ("a.parquet", "b.parquet"))
    assert one.read_bytes() == other.read_bytes()


def test_rows_outside_the_panel_are_refused() -> None:
    """A split of more rows than there are is an error, as is no split at all."""
    with pytest.raises(SplitError, match="split 0 has train rows 0 to 9 of 4"):
        encode_splits([split(0, [0, 9], [1])], 4)
    with pytest.raises(SplitError, match="no split"):
        encode_splits([], 4)
