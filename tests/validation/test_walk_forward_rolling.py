"""Rolling walk-forward on any panel, row by row, and the share of history that it leaves out."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracles.splits import overlapping_pairs
from tests.validation.panels import dense_panel, random_panels
from trademl.errors import SplitError
from trademl.validation.spans import LabelSpans
from trademl.validation.walk_forward import WalkForward

quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PURGES = st.sampled_from(["all", "entity"])


@quickly
@given(random_panels(), st.integers(1, 4), st.integers(0, 3), st.integers(1, 6), PURGES)
def test_a_rolling_window_holds_the_latest_sessions_that_do_not_leak(
    spans: LabelSpans, n_folds: int, embargo: int, window: int, purge: str
) -> None:
    """Train rows are those of the ``window`` decision sessions before the block, less what purge and embargo take."""
    cv = WalkForward(n_folds, embargo, mode="rolling", train_sessions=window, purge=purge)
    sessions = sorted({int(start) for start in spans.start})
    if len(sessions) < window + n_folds:
        with pytest.raises(SplitError, match="distinct sessions"):
            cv.split(spans)
        return
    blocks = np.array_split(np.array(sessions[window:]), n_folds)
    longer = LabelSpans(spans.start, spans.end + embargo, spans.entity)
    splits = cv.split(spans)
    for fold, block in enumerate(blocks):
        test = [row for row in range(len(spans)) if spans.start[row] in block]
        before = sessions.index(int(block[0]))
        allowed = sessions[before - window : before]
        near = [row for row in range(len(spans)) if spans.start[row] in allowed]
        close = {i for i, _ in overlapping_pairs(longer, near, test, same_entity=purge == "entity")}
        train = [row for row in near if row not in close]
        if not train:
            with pytest.raises(SplitError, match=f"no train row before test block {fold}"):
                next(splits)
            return
        split = next(splits)
        assert (split.split_id, split.test_groups) == (fold, (fold,))
        assert split.test.tolist() == test
        assert split.train.tolist() == train


@quickly
@given(random_panels(), st.integers(1, 3), st.integers(0, 2))
def test_a_window_as_long_as_history_is_an_expanding_one(spans: LabelSpans, n_folds: int, embargo: int) -> None:
    """The first block of a rolling and of an expanding walk with the same warm-up are one split."""
    rolling = WalkForward(n_folds, embargo, mode="rolling", train_sessions=3)
    expanding = WalkForward(n_folds, embargo, min_train_sessions=3)
    try:
        one, other = next(rolling.split(spans)), next(expanding.split(spans))
    except SplitError:
        return
    assert one.train.tolist() == other.train.tolist()
    assert one.test.tolist() == other.test.tolist()


def test_rolling_windows_are_equally_long() -> None:
    """Labels of 2 sessions and an embargo of 3 take 5 of the 20 sessions before each block."""
    spans = dense_panel(100, 3, 2)
    for split in WalkForward(4, 3, mode="rolling", train_sessions=20).split(spans):
        first = spans.start[split.test].min()
        assert np.unique(spans.start[split.train]).tolist() == list(range(first - 20, first - 5))
