"""Walk-forward splits."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracles.splits import overlapping_pairs
from tests.validation.panels import dense_panel, random_panels
from trademl.errors import SplitError
from trademl.validation.spans import LabelSpans
from trademl.validation.walk_forward import WalkForward


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_panels(), st.integers(1, 4), st.integers(0, 3), st.sampled_from(["all", "entity"]))
def test_training_precedes_testing_by_more_than_the_embargo(
    spans: LabelSpans, n_folds: int, embargo: int, purge: str
) -> None:
    """Train rows are exactly the earlier rows whose label, lengthened by the embargo, meets no test label."""
    cv = WalkForward(n_folds, embargo, purge=purge)
    folds = cv.folds(spans)
    longer = LabelSpans(spans.start, spans.end + embargo, spans.entity)
    try:
        splits = list(cv.split(spans))
    except SplitError:
        splits = []
    for fold, split in enumerate(splits):
        test = [row for row in range(len(spans)) if folds[row] == fold]
        earlier = [row for row in range(len(spans)) if spans.start[row] < min(spans.start[test])]
        close = {i for i, _ in overlapping_pairs(longer, earlier, test, same_entity=purge == "entity")}
        assert split.test.tolist() == test
        assert split.train.tolist() == [row for row in earlier if row not in close]


def test_expanding_windows_by_hand() -> None:
    """12 sessions, 3 blocks after the first 3; labels and embargo of 1: row r trains for block b if r + 2 < b."""
    splits = list(WalkForward(3, embargo=1, min_train_sessions=3).split(dense_panel(12, 1, 1)))
    assert [split.test.tolist() for split in splits] == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert [split.train.tolist() for split in splits] == [[0], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6]]


def test_rolling_windows_by_hand() -> None:
    """A rolling window of 4 sessions before each block, less what embargo and purge take from its end."""
    splits = list(WalkForward(2, embargo=1, mode="rolling", train_sessions=4).split(dense_panel(10, 1, 0)))
    assert [split.test.tolist() for split in splits] == [[4, 5, 6], [7, 8, 9]]
    assert [split.train.tolist() for split in splits] == [[0, 1, 2], [3, 4, 5]]


def test_there_is_one_path() -> None:
    """Each test block is served by its own split, and rows of the first window by none."""
    cv = WalkForward(3, embargo=0)
    assert (cv.n_splits, cv.n_paths) == (3, 1)
    assert cv.paths().tolist() == [[0], [1], [2]]
    assert cv.path_of().tolist() == [[0, -1, -1], [-1, 0, -1], [-1, -1, 0]]
    assert cv.folds(dense_panel(8, 1, 0)).tolist() == [-1, -1, 0, 0, 1, 1, 2, 2]


def test_the_order_of_rows_does_not_matter() -> None:
    """Shuffled rows give the same splits, renumbered."""
    spans = dense_panel(40, 3, 2)
    order = np.random.default_rng(0).permutation(len(spans))
    cv = WalkForward(4, embargo=2)
    for one, other in zip(cv.split(spans), cv.split(spans.take(order)), strict=True):
        assert np.sort(order[other.train]).tolist() == one.train.tolist()
        assert np.sort(order[other.test]).tolist() == one.test.tolist()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_folds": 0}, "`n_folds=0`"),
        ({"mode": "sliding"}, "`mode='sliding'` is not a window"),
        ({"mode": "rolling"}, "`mode='rolling'` with `train_sessions=None`"),
        ({"train_sessions": 5}, "`mode='expanding'` with `train_sessions=5`"),
        ({"min_train_sessions": 0}, "`min_train_sessions=0` leaves no"),
        ({"embargo": 1.5}, "`embargo=1.5` is not a fraction"),
    ],
)
def test_parameters_that_cannot_split_are_refused(parameters: dict, message: str) -> None:
    """What was asked and the value are in the message."""
    with pytest.raises(SplitError, match=message):
        WalkForward(**parameters)


def test_too_little_history_is_refused() -> None:
    """Too few sessions raise at the call, a split without train rows when it is reached."""
    with pytest.raises(SplitError, match="needs at least 12 distinct sessions; the rows have 11"):
        WalkForward(2, embargo=0, min_train_sessions=10).split(dense_panel(11, 1, 0))
    with pytest.raises(SplitError, match="leaves no train row before test block 0"):
        next(WalkForward(2, embargo=9).split(dense_panel(12, 1, 0)))
