"""The splits of a run and their audit."""

import math
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.panels import by_hand, panel
from trademl.errors import LeakageError, SplitError
from trademl.training.config import ValidationConfig
from trademl.training.dataset import TrainingData
from trademl.training.splits import audit, make_splits, make_splitter, path_of_row, split_number, stopping_tail


def spans_of(con: duckdb.DuckDBPyConnection, data: TrainingData, longer: int = 0) -> str:
    """Register the label spans of ``data``, ``longer`` sessions longer than the splitter was told."""
    columns = {
        "row_id": np.arange(len(data)),
        "entity": data.spans.entity,
        "start_ordinal": data.spans.start,
        "end_ordinal": data.spans.end + longer,
    }
    con.register("spans_given", columns)
    return (
        "(select *, timestamp '2020-01-01 20:00' as known_at, timestamp '2020-01-01 20:15' as decision_at "
        "from spans_given)"
    )


@pytest.mark.parametrize(
    "config",
    [
        ValidationConfig(folds=6, test_folds=2, embargo=4),
        ValidationConfig(folds=6, test_folds=2, embargo=4, purge="entity"),
        ValidationConfig(kind="walk_forward", folds=4, embargo=4),
        ValidationConfig(kind="walk_forward", folds=4, embargo=4, mode="rolling", train_sessions=25),
        ValidationConfig(kind="walk_forward", folds=4, embargo=2, purge="entity"),
    ],
    ids=lambda config: f"{config.kind}-{config.purge}-{config.mode}",
)
def test_honest_splits_pass_the_audit(tmp_path: Path, config: ValidationConfig) -> None:
    """Every kind of validation stores splits in which the independent audit finds nothing."""
    data, splitter = panel(), make_splitter(config)
    with duckdb.connect() as con:
        rows = audit(con, tmp_path / "splits.parquet", spans_of(con, data), data, splitter, run_id="r")
    assert sum(row.violations for row in rows) == 0
    assert {row.split_id for row in rows} == {-1, *range(splitter.n_splits)}
    assert (tmp_path / "splits.parquet").is_file()


def test_labels_that_end_later_than_told_are_found(tmp_path: Path) -> None:
    """When the warehouse's labels are longer than what the splitter purged by, the audit refuses the run."""
    data = panel()
    splitter = make_splitter(ValidationConfig(folds=4, test_folds=1, embargo=0))
    with duckdb.connect() as con, pytest.raises(LeakageError, match="overlap_any_entity"):
        audit(con, tmp_path / "splits.parquet", spans_of(con, data, longer=1), data, splitter, run_id="r")


def test_rows_that_are_not_fitted_are_tested_all_the_same() -> None:
    """A row without a target is on no train side and on every test side that it would be on."""
    sessions, target = np.repeat(np.arange(40), 3), np.tile([0.0, np.nan, 1.0], 40)
    data = by_hand(sessions, np.tile(np.arange(3), 40), np.arange(120.0), target=target)
    splits = list(make_splits(make_splitter(ValidationConfig(folds=4, test_folds=1, embargo=0)), data))
    assert all(data.fitted[split.train].all() for split in splits)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(120))


def test_a_split_without_a_fitted_row_is_refused() -> None:
    """Choosing rows so narrowly that a split trains on nothing is an error that says which."""
    target = np.full(40, np.nan)
    target[:10] = 1.0
    data = by_hand(np.arange(40), np.zeros(40, dtype=int), np.arange(40.0), target=target)
    with pytest.raises(SplitError, match="split 0"):
        list(make_splits(make_splitter(ValidationConfig(folds=4, test_folds=1, embargo=0)), data))


def test_every_row_is_once_on_every_path() -> None:
    """Putting the splits' test rows on their paths fills each path with each row exactly once."""
    data = panel()
    splitter = make_splitter(ValidationConfig(folds=5, test_folds=2, embargo=0))
    times = np.zeros((splitter.n_paths, len(data)), dtype=int)
    for split in make_splits(splitter, data):
        times[path_of_row(splitter, data, split), split.test] += 1
    assert splitter.n_paths == 4
    assert (times == 1).all()


@given(st.integers(2, 40), st.integers(1, 4), st.integers(1, 9), st.floats(0.02, 0.9), st.integers(0, 2**31))
def test_the_tail_of_early_stopping_is_later_than_all_that_is_fitted(
    sessions: int, symbols: int, horizon: int, fraction: float, seed: int
) -> None:
    """Against the definition, row by row: the tail is the last sessions, and a kept label ends before it begins."""
    data = panel(sessions, symbols, horizon=horizon)
    drawn = np.random.default_rng(seed).random(len(data)) < 0.8
    drawn[[0, -1]] = True
    rows = np.flatnonzero(drawn)
    known = sorted({int(data.spans.start[row]) for row in rows})
    last = known[-math.ceil(fraction * len(known)) :]
    kept = [int(row) for row in rows if data.spans.end[row] < last[0]]
    if not kept:
        with pytest.raises(SplitError, match="early stopping"):
            stopping_tail(data, rows, fraction)
        return
    found, tail = stopping_tail(data, rows, fraction)
    assert found.tolist() == kept
    assert tail.tolist() == [int(row) for row in rows if data.spans.start[row] in last]
    assert data.spans.end[found].max() < data.spans.start[tail].min()


def test_a_split_by_number_is_the_one_of_the_sequence() -> None:
    """The same rows, whether all splits are made or one."""
    data = panel()
    splitter = make_splitter(ValidationConfig(folds=4, test_folds=2, embargo=2))
    for split in make_splits(splitter, data):
        one = split_number(splitter, data, split.split_id)
        assert one.test_groups == split.test_groups
        np.testing.assert_array_equal(one.train, split.train)
        np.testing.assert_array_equal(one.test, split.test)
