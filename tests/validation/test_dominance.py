"""Stochastic dominance of one sample over another, and of what was selected over everything."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import dominance as oracle
from trademl.errors import ModelError
from trademl.validation.dominance import selection_dominance, stochastic_dominance
from trademl.validation.pbo import probability_of_overfitting

SAMPLES = st.lists(st.integers(-3, 3), min_size=1, max_size=9)


@settings(max_examples=300, deadline=None)
@given(SAMPLES, SAMPLES)
def test_both_orders_equal_the_exact_oracle(sample: list[int], other: list[int]) -> None:
    """With ties, equal samples and samples of different size."""
    found = stochastic_dominance(np.array(sample, float), np.array(other, float))
    assert (found.first, found.second) == oracle.dominance(sample, other)


@settings(deadline=None)
@given(SAMPLES, SAMPLES)
def test_laws_of_dominance(sample: list[int], other: list[int]) -> None:
    """The first order implies the second, the second a mean that is no lower; nothing dominates itself or both ways."""
    left, right = np.array(sample, float), np.array(other, float)
    one, back = stochastic_dominance(left, right), stochastic_dominance(right, left)
    assert not (one.second and back.second)
    assert one.second or not one.first
    assert not one.first or one.largest_violation == 0
    if one.second:
        assert left.mean() >= right.mean() - 1e-12
        assert left.min() >= right.min()
    assert one.area[-1] == pytest.approx(left.mean() - right.mean())
    assert not stochastic_dominance(left, left).second
    assert stochastic_dominance(left + 0.1, left).first


def test_the_distribution_functions_by_hand() -> None:
    """{1, 2} against {0, 3}: F is 0, 1/2, 1, 1 and G 1/2, 1/2, 1/2, 1 at 0, 1, 2, 3; the area is 0, 1/2, 1/2, 0."""
    found = stochastic_dominance(np.array([2.0, 1.0]), np.array([3.0, 0.0]))
    assert found.points.tolist() == [0, 1, 2, 3]
    assert found.cdf.tolist() == [0, 0.5, 1, 1]
    assert found.other_cdf.tolist() == [0.5, 0.5, 0.5, 1]
    assert found.area.tolist() == [0, 0.5, 0.5, 0]
    assert found.largest_violation == 0.5
    assert (found.first, found.second) == (False, True)


def test_selection_is_compared_with_every_strategy_of_every_combination() -> None:
    """The other sample is the Sharpe ratio of each strategy over each out-of-sample half, by the definition."""
    returns = np.random.default_rng(4).standard_normal((30, 4)) + 0.1
    result = probability_of_overfitting(returns, n_blocks=6)
    blocks = np.array_split(np.arange(30), 6)
    assert result.oos_all.shape == (20, 4)
    for position, chosen in enumerate(combinations(range(6), 3)):
        outside = returns[np.concatenate([blocks[block] for block in range(6) if block not in chosen])]
        np.testing.assert_allclose(result.oos_all[position], outside.mean(0) / outside.std(0, ddof=1))
    np.testing.assert_array_equal(result.oos_all[np.arange(20), result.selected], result.oos_sharpe)
    direct = stochastic_dominance(result.oos_sharpe, result.oos_all.ravel())
    assert selection_dominance(result).largest_violation == direct.largest_violation


def test_selecting_skill_dominates_and_selecting_noise_does_not() -> None:
    """One strategy with skill among 19 without is a better choice than any at random; the best of noise is not."""
    noise = np.random.default_rng(5).standard_normal((800, 20))
    assert not selection_dominance(probability_of_overfitting(noise, n_blocks=8)).second
    noise[:, 7] += 0.4
    found = selection_dominance(probability_of_overfitting(noise, n_blocks=8))
    assert (found.first, found.second) == (True, True)


@pytest.mark.parametrize("bad", [np.array([]), np.array([np.nan]), np.array([np.inf]), np.zeros((2, 2))])
def test_samples_that_cannot_be_compared_are_refused(bad: np.ndarray) -> None:
    """Empty, not finite and two-dimensional samples are named."""
    with pytest.raises(ModelError, match="`other` has shape"):
        stochastic_dominance(np.array([1.0]), bad)
