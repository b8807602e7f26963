"""Rows in order of decision."""

import numpy as np
import pytest

from trademl.errors import SplitError
from trademl.validation.panel import check_purge, make_panel
from trademl.validation.spans import LabelSpans


def test_rows_come_back_under_their_own_indices() -> None:
    """A choice among sorted positions is reported in the order that the rows were given in."""
    spans = LabelSpans(np.array([3, 1, 2]), np.array([3, 1, 2]), np.zeros(3, int))
    panel = make_panel(spans, np.array([1, 3]), "all")
    assert panel.rows(np.array([True, False, True])).tolist() == [0, 1]
    assert panel.span(0, 2).tolist() == [1, 2]


def test_sessions_too_far_apart_for_16_bits_are_sorted_alike() -> None:
    """The fast sort of near ordinals and the general one agree."""
    near = np.array([5, 1, 3, 1])
    far = near * 100_000
    zeros = np.zeros(4, int)
    orders = [make_panel(LabelSpans(s, s, zeros), s.min(keepdims=True), "all").order for s in (near, far)]
    assert [order.tolist() for order in orders if order is not None] == [[1, 3, 2, 0]] * 2


def test_entities_with_large_codes_are_told_apart() -> None:
    """Hashed entity codes work as small ones do: the first decision and last end are per entity."""
    start = np.array([0, 1, 1, 2])
    spans = LabelSpans(start, start + np.array([0, 3, 1, 0]), np.array([2**60, 2**60, 7, 7]))
    panel = make_panel(spans, np.array([0]), "entity")
    assert panel.code is not None
    assert panel.entity_end[0][panel.code].tolist() == [4, 4, 2, 2]
    assert panel.entity_start[0][panel.code].tolist() == [0, 0, 1, 1]


def test_an_unknown_purge_rule_is_refused() -> None:
    """The two rules are named in the remedy."""
    with pytest.raises(SplitError, match="`purge='symbol'` is not a rule"):
        check_purge("symbol")
