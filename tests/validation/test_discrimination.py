"""The area under the ROC curve, against counting pairs and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trademl.errors import ModelError
from trademl.validation.discrimination import auc, auc_error

PAIRS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=50)


@settings(deadline=None)
@given(PAIRS)
def test_it_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    """Of all pairs of an event and another row: one for the right order, one half for a tie."""
    score, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    events, others = score[y == 1], score[y == 0]
    found = auc(score, y)
    if not len(events) or not len(others):
        assert math.isnan(found)
        return
    wins = sum((a > b) + 0.5 * (a == b) for a in events for b in others)
    assert found == pytest.approx(wins / (len(events) * len(others)), abs=1e-12)
    assert found == pytest.approx(roc_auc_score(y, score), abs=1e-12)


@settings(deadline=None)
@given(PAIRS)
def test_turning_scores_around_turns_the_area_around(pairs: list[tuple[int, bool]]) -> None:
    """AUC(-s) = 1 - AUC(s), and any rising function of the score leaves it as it is."""
    score, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = auc(score, y)
    if not math.isnan(found):
        assert auc(-score, y) == pytest.approx(1 - found, abs=1e-12)
        assert auc(score**3 + score, y) == found


def test_rows_without_a_score_do_not_count() -> None:
    """Pairs with a NaN are left out."""
    assert auc([math.nan, 1.0, 2.0, 3.0], [1.0, 0.0, 1.0, math.nan]) == 1.0


def test_the_error_is_that_of_hanley_and_mcneil() -> None:
    """By their equation with A = 0.75, 4 events, 6 others: Q1 = 0.6, Q2 = 1.125 / 1.75."""
    first, second = 0.75 / 1.25, 2 * 0.5625 / 1.75
    expected = math.sqrt((0.1875 + 3 * (first - 0.5625) + 5 * (second - 0.5625)) / 24)
    assert auc_error(0.75, 4, 6) == pytest.approx(expected)
    assert math.isnan(auc_error(0.75, 0, 6))
    assert math.isnan(auc_error(math.nan, 4, 6))


@pytest.mark.parametrize("score, y, match", [([1.0, 2.0], [1.0], "shape"), ([1.0, 2.0], [1.0, 2.0], "outcomes lie in")])
def test_what_is_no_outcome_is_refused(score: list[float], y: list[float], match: str) -> None:
    """One outcome of 0 or 1 for each score."""
    with pytest.raises(ModelError, match=match):
        auc(score, y)
