"""Accuracy, precision, recall and F1, against counting by hand and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from trademl.errors import ModelError
from trademl.validation.classification import classification

CLASSES = (-1, 0, 1)


def test_counts_by_hand() -> None:
    """Six rows whose table is written down."""
    found = classification(np.array([1, 1, 0, -1, 0, 1]), np.array([1, 0, 0, -1, -1, 1]), CLASSES)
    short, neutral, long = found.classes
    assert (short.support, short.predicted, short.precision, short.recall) == (2, 1, 1.0, 0.5)
    assert (neutral.support, neutral.predicted, neutral.precision, neutral.recall) == (2, 2, 0.5, 0.5)
    assert (long.support, long.predicted, long.recall) == (2, 3, 1.0)
    assert long.f1 == pytest.approx(0.8)
    assert (found.rows, found.accuracy, found.majority) == (6, 4 / 6, 2 / 6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=60))
def test_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    """The same numbers as precision_recall_fscore_support, which counts 0 where nothing was predicted."""
    said, true = (np.array(column) for column in zip(*pairs, strict=True))
    found = classification(said, true, CLASSES)
    precision, recall, f1, support = precision_recall_fscore_support(true, said, labels=CLASSES, zero_division=0)
    assert found.accuracy == pytest.approx(accuracy_score(true, said))
    for number, one in enumerate(found.classes):
        assert one.support == support[number]
        assert one.precision == pytest.approx(precision[number])
        if one.support:
            assert one.recall == pytest.approx(recall[number])
            assert one.f1 == pytest.approx(f1[number])
        else:
            assert math.isnan(one.recall)
            assert math.isnan(one.f1)


@given(st.lists(st.sampled_from(CLASSES), min_size=1))
def test_the_largest_class_is_what_always_saying_it_reaches(true: list[int]) -> None:
    """No constant prediction has more accuracy than the majority, and one has as much."""
    actual = np.array(true)
    constant = [classification(np.full(len(actual), label), actual, CLASSES) for label in CLASSES]
    assert max(one.accuracy for one in constant) == constant[0].majority


@pytest.mark.parametrize(
    "said, true, match",
    [
        (np.array([]), np.array([]), "shapes"),
        (np.array([1]), np.array([1, 0]), "shapes"),
        (np.array([2]), np.array([1]), "predicted class of row 0 is 2"),
        (np.array([1.0, 0.0]), np.array([1.0, np.nan]), "actual class of row 1 is nan"),
    ],
)
def test_refuses_what_is_no_class(said: np.ndarray, true: np.ndarray, match: str) -> None:
    """Rows without a class are not dropped in silence."""
    with pytest.raises(ModelError, match=match):
        classification(said, true, CLASSES)
