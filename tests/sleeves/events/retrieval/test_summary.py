"""Weights and weighted means of neighbours, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sleeves.events.past_events import TIMES
from trademl.sleeves.events.retrieval.summary import (
    NUMBERS,
    RetrievalSummary,
    inverse_distance_weights,
    summary_numbers,
    weighted_mean,
)


def test_a_summary_by_hand() -> None:
    """Distances 1, 2, 4 have weights 4/7, 2/7, 1/7; a missing label leaves the others their proportions."""
    labels = {
        "outcome": ["BREAK", None, "OTHER"],
        "strength_signed": [2.0, -1.0, math.nan],
        "tradeable_2": [1.0, 0.0, 0.0],
        **{name: [60.0, math.nan, 120.0] for name in TIMES},
    }
    found = summary_numbers(labels, np.array([1.0, 2.0, 4.0]))
    assert list(found) == list(NUMBERS)
    # Known outcomes weigh 4 and 1: BREAK 4/5, OTHER 1/5.
    assert found["p_break"] == pytest.approx(0.8)
    assert found["p_bounce"] == 0.0
    assert found["entropy"] == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    assert found["p_tradeable_2"] == pytest.approx(4 / 7)
    # Strengths weigh 4 and 2.
    assert found["strength_signed_mean"] == pytest.approx((4 * 2.0 - 2 * 1.0) / 6)
    assert found["strength_abs_mean"] == pytest.approx((4 * 2.0 + 2 * 1.0) / 6)
    # Times weigh 4 and 1: (4 * 60 + 120) / 5.
    assert found["time_to_bounce_2_mean"] == pytest.approx(72.0)
    assert found["similarity"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 5) / 3)


def test_agreement_has_no_entropy_and_an_even_split_the_most() -> None:
    """0 when all neighbours agree, ln 3 when the three outcomes weigh the same."""
    rest = {"strength_signed": [0.0] * 3, "tradeable_2": [0.0] * 3, **{name: [1.0] * 3 for name in TIMES}}
    same = summary_numbers({"outcome": ["BREAK"] * 3, **rest}, np.ones(3))
    even = summary_numbers({"outcome": ["BREAK", "BOUNCE", "OTHER"], **rest}, np.ones(3))
    assert str(same["entropy"]) == "0.0"
    assert even["entropy"] == pytest.approx(math.log(3))


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=20))
def test_weights_sum_to_one_and_fall_with_distance(distances: list[float]) -> None:
    """Weights are proportional to 1 / distance, however small or large distances are."""
    distance = np.sort(np.array(distances))
    weight = inverse_distance_weights(distance)
    assert weight.sum() == pytest.approx(1.0)
    assert (np.diff(weight) <= 1e-15).all()
    assert weight[0] * distance[0] / distance[-1] == pytest.approx(weight[-1], abs=1e-15)


def test_only_events_at_distance_zero_count_where_there_are_any() -> None:
    """Two equal events share all the weight; nothing overflows."""
    assert inverse_distance_weights(np.array([0.0, 0.0, 1.0])).tolist() == [0.5, 0.5, 0.0]
    assert inverse_distance_weights(np.zeros(0)).shape == (0,)


def test_a_mean_of_nothing_is_missing() -> None:
    """Without a known value, or without weight on one, there is no mean."""
    assert math.isnan(weighted_mean(np.array([math.nan]), np.array([1.0])))
    assert math.isnan(weighted_mean(np.array([3.0, math.nan]), np.array([0.0, 1.0])))


def test_json_has_plain_values() -> None:
    """Missing numbers and labels are None, numpy numbers plain ones, times text."""
    rows = pd.DataFrame({"event_id": ["a"], "t": [pd.Timestamp("2025-01-02")], "n": [np.int64(3)], "x": [np.nan]})
    summary = RetrievalSummary(**dict.fromkeys(NUMBERS, math.nan) | {"p_break": 0.5}, neighbors=rows)
    found = summary.as_dict()
    assert found["p_break"] == 0.5
    assert found["entropy"] is None
    assert found["neighbors"] == [{"event_id": "a", "t": "2025-01-02T00:00:00", "n": 3, "x": None}]
    assert summary.as_dict(neighbors=False)["neighbors"] == []
