"""Label spans."""

import numpy as np
import pytest

from trademl.errors import SplitError
from trademl.validation.spans import LabelSpans


def test_integers_of_any_width_become_int64() -> None:
    """Whatever integers the warehouse hands over, a splitter sees int64."""
    spans = LabelSpans(np.array([1, 2], np.uint16), np.array([3, 4], np.int32), np.array([0, 0], np.int8))
    assert [spans.start.dtype, spans.end.dtype, spans.entity.dtype] == [np.int64] * 3
    assert len(spans) == 2


def test_a_label_that_ends_before_it_starts_is_refused_with_its_row() -> None:
    """The message counts the early labels and shows the first."""
    with pytest.raises(SplitError, match=r"1 of 3 labels end before they start; the first is row 1: start=5, end=4"):
        LabelSpans(np.array([4, 5, 6]), np.array([4, 4, 8]), np.zeros(3, int))


@pytest.mark.parametrize(
    "start, end, entity, message",
    [
        ([1, 2], [3], [0, 0], "2, 1, 2 elements"),
        ([], [], [], "0 rows"),
        ([1.5], [2.0], [0], "float64 values, not integers"),
        ([[1]], [[2]], [[0]], "2 dimensions"),
    ],
)
def test_arrays_that_are_not_spans_are_refused(start: list, end: list, entity: list, message: str) -> None:
    """Lengths that differ, no rows, fractions and matrices are each named."""
    with pytest.raises(SplitError, match=message):
        LabelSpans(np.array(start), np.array(end), np.array(entity))


def test_rows_can_be_taken_in_any_order() -> None:
    """Taking rows keeps each row's start, end and entity together."""
    spans = LabelSpans(np.array([1, 2, 3]), np.array([4, 5, 6]), np.array([7, 8, 9])).take(np.array([2, 0]))
    assert (spans.start.tolist(), spans.end.tolist(), spans.entity.tolist()) == ([3, 1], [6, 4], [9, 7])
