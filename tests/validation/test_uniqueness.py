"""Concurrency and uniqueness of labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import statistics as oracle
from trademl.errors import SplitError
from trademl.validation.uniqueness import average_uniqueness, concurrency, panel_uniqueness

LABELS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=25)


@given(LABELS)
def test_panel_uniqueness_equals_the_loop_oracle(labels: list[tuple[int, int, int]]) -> None:
    """Each label's mean share of its bars, counted among its own entity's labels only."""
    first, length, entity = np.array(labels).T
    expected = oracle.uniqueness(first.tolist(), (first + length).tolist(), entity.tolist())
    np.testing.assert_allclose(panel_uniqueness(first, first + length, entity, 20), expected, rtol=1e-12)


def test_lone_labels_are_unique_and_twins_are_half() -> None:
    """By hand: two labels over the same bars have 1/2 each, one alone has 1."""
    first, last = np.array([0, 0, 5]), np.array([2, 2, 6])
    assert average_uniqueness(first, last, 8).tolist() == [0.5, 0.5, 1.0]
    assert concurrency(first, last, 8).tolist() == [2, 2, 2, 0, 0, 1, 1, 0]


def test_labels_outside_the_bars_are_refused() -> None:
    """The message gives the range seen and the range allowed."""
    with pytest.raises(SplitError, match=r"from bar 0 to 8 of 8"):
        concurrency(np.array([0]), np.array([8]), 8)
