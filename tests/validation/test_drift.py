"""The population stability index: zero for the same law, a hand-computed value, and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ModelError
from trademl.validation.drift import drift_from_bins, population_stability_index, reference_bins


def test_equal_samples_do_not_drift() -> None:
    """Equal samples do not drift."""
    values = np.arange(1000.0)
    assert population_stability_index(values, values[::-1]) == 0.0


def test_a_hand_computed_shift() -> None:
    """Two bins split at 2.5: shares 1/2 and 1/2 before, 1/4 and 3/4 after."""
    found = population_stability_index(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 3.0, 4.0]), bins=2)
    assert found == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))


def test_an_empty_bin_counts_as_a_small_share() -> None:
    """An empty bin counts as a small share."""
    found = population_stability_index(np.array([1.0, 2.0, 3.0, 4.0]), np.full(5, 9.0), bins=2)
    assert found == pytest.approx((1 - 0.5) * math.log(2) + (1e-4 - 0.5) * math.log(1e-4 / 0.5))


@given(st.floats(0.5, 3.0), st.integers(0, 1000))
def test_a_larger_shift_is_a_larger_index(shift: float, seed: int) -> None:
    """A larger shift is a larger index."""
    base = np.random.default_rng(seed).normal(size=2000)
    near, far = (population_stability_index(base, base + by) for by in (shift / 2, shift))
    assert 0.0 < near < far


@pytest.mark.parametrize(
    "expected, seen",
    [
        (np.arange(5.0), np.arange(5.0)),
        (np.arange(50.0), np.empty(0)),
        (np.array([np.nan] * 50), np.arange(5.0)),
        (np.arange(50.0), np.array([np.inf])),
    ],
)
def test_what_cannot_be_binned_is_refused(expected: np.ndarray, seen: np.ndarray) -> None:
    """What cannot be binned is refused."""
    with pytest.raises(ModelError):
        population_stability_index(expected, seen)


@given(st.integers(0, 1000), st.sampled_from([2, 5, 10]))
def test_bins_give_the_index_of_the_values_they_were_made_from(seed: int, bins: int) -> None:
    """The index from kept bins equals the index from the reference values themselves, when none is missing."""
    generator = np.random.default_rng(seed)
    expected, seen = generator.normal(size=400), generator.normal(0.3, 1.2, size=150)
    edges, shares = reference_bins(expected, bins=bins)
    assert (len(edges), len(shares), shares[-1]) == (bins - 1, bins + 1, 0.0)
    found = drift_from_bins(edges, shares, seen)
    assert found == pytest.approx(population_stability_index(expected, seen, bins=bins), abs=1e-12)


def test_values_that_many_rows_share_stay_in_their_bin() -> None:
    """Cosines of five weekdays lie beyond six digits: each of them alone falls into a bin that the reference filled."""
    days = np.cos(2 * np.pi * np.arange(5) / 5).astype(np.float32).astype(np.float64)
    edges, shares = reference_bins(np.repeat(days, 50))
    assert [float(f"{edge:.6g}") for edge in edges] == edges
    for day in days:
        place = int(np.searchsorted(edges, day, side="right"))
        assert shares[place] in (0.2, 0.4)


def test_missing_values_have_a_bin_of_their_own() -> None:
    """Shares 1/4, 1/4 and 1/2 missing before; all missing after: the two empty bins count as 1e-4."""
    edges, shares = reference_bins(np.array([1.0, 3.0, np.nan, np.nan]), bins=2)
    assert (edges, shares) == ([2.0], [0.25, 0.25, 0.5])
    found = drift_from_bins(edges, shares, np.full(3, np.nan))
    assert found == pytest.approx(2 * (1e-4 - 0.25) * math.log(1e-4 / 0.25) + 0.5 * math.log(2))
    assert drift_from_bins(edges, shares, np.array([1.0, np.nan, 3.0, np.inf])) == 0.0


def test_a_reference_without_a_bin_of_missing_values_compares_finite_ones() -> None:
    """Two shares for one edge leave missing values out; without a finite value nothing can be compared."""
    assert drift_from_bins([2.0], [0.5, 0.5], np.array([1.0, np.nan, 3.0])) == 0.0
    with pytest.raises(ModelError, match="no value to compare"):
        drift_from_bins([2.0], [0.5, 0.5], np.array([np.nan]))


def test_a_feature_that_was_never_there_has_one_bin() -> None:
    """All values missing: no edge, the whole share is missing, and staying missing is no drift."""
    edges, shares = reference_bins(np.array([np.nan, np.nan]))
    assert (edges, shares) == ([], [0.0, 1.0])
    assert drift_from_bins(edges, shares, np.array([np.nan])) == 0.0


@pytest.mark.parametrize(
    "edges, shares", [([1.0], [1.0]), ([2.0, 1.0], [0.5, 0.25, 0.25]), ([1.0], [1.5, -0.5]), ([math.nan], [0.5, 0.5])]
)
def test_bins_that_contradict_themselves_are_refused(edges: list[float], shares: list[float]) -> None:
    """Too few shares, edges out of order or not numbers, and negative shares are refused."""
    with pytest.raises(ModelError, match="do not fit"):
        drift_from_bins(edges, shares, np.array([1.0]))


def test_no_value_at_all_has_no_bins() -> None:
    """An empty reference is refused."""
    with pytest.raises(ModelError, match="0 values"):
        reference_bins(np.empty(0))
