"""The population stability index: zero for the same law, a hand-computed value, and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ModelError
from trademl.validation.drift import population_stability_index


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
