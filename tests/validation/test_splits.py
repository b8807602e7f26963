"""Folds of sessions, embargo lengths, and the scikit-learn face."""

import numpy as np
import pytest
from hypothesis import given

from tests.oracles.splits import folds_of
from tests.validation.panels import dense_panel, random_panels
from trademl.errors import SplitError
from trademl.validation.cpcv import PurgedKFold
from trademl.validation.spans import LabelSpans
from trademl.validation.splits import BoundSplitter, check_embargo, embargo_sessions, fold_codes, unique_sessions


@given(random_panels())
def test_folds_are_numpy_array_split_of_the_distinct_sessions(spans: LabelSpans) -> None:
    """Fold sizes differ by at most one session, the longer ones first, and no session is parted."""
    assert fold_codes(spans, 4)[1].tolist() == folds_of(spans, 4)


def test_far_apart_ordinals_give_the_same_sessions() -> None:
    """Sessions are found by sorting when their ordinals are too sparse to mark."""
    start = np.array([10**9, 0, 10**9, 5])
    spans = LabelSpans(start, start, np.zeros(4, int))
    assert unique_sessions(spans).tolist() == [0, 5, 10**9]


def test_more_folds_than_sessions_are_refused() -> None:
    """The message names the number asked for and the number there."""
    with pytest.raises(SplitError, match=r"`n_folds=5` needs at least 5 distinct sessions; the rows have 4"):
        fold_codes(dense_panel(4, 3, 1), 5)


def test_an_embargo_is_sessions_or_a_fraction_rounded_down() -> None:
    """10 stays 10; 0.01 of 1,250 sessions is 12 (AFML snippet 7.2 truncates)."""
    assert embargo_sessions(10, 1250) == 10
    assert embargo_sessions(0.01, 1250) == 12


@pytest.mark.parametrize("embargo", [-1, 1.0, -0.1, float("nan")])
def test_an_embargo_out_of_range_is_refused(embargo: float) -> None:
    """Negative sessions and fractions outside [0, 1) are refused."""
    with pytest.raises(SplitError, match="embargo="):
        check_embargo(embargo)


def test_scikit_learn_accepts_a_bound_splitter() -> None:
    """cross_val_score scores each purged fold."""
    selection = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")
    dummy = pytest.importorskip("sklearn.dummy", reason="scikit-learn is not installed")
    spans = dense_panel(20, 2, 1)
    cv = BoundSplitter(PurgedKFold(n_folds=4, embargo=1), spans)
    scores = selection.cross_val_score(dummy.DummyRegressor(), np.zeros((40, 1)), np.arange(40.0), cv=cv)
    assert len(scores) == cv.get_n_splits() == 4


def test_a_bound_splitter_refuses_other_rows() -> None:
    """A matrix of another length than the spans is not split."""
    cv = BoundSplitter(PurgedKFold(n_folds=2, embargo=0), dense_panel(10, 1, 1))
    with pytest.raises(SplitError, match="`X` has 9 rows, the label spans have 10"):
        cv.split(np.zeros((9, 1)))
