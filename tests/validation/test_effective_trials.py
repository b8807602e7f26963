"""Clusters of correlated trials and the variance of their Sharpe ratios."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import effective_trials as oracle
from trademl.errors import ModelError
from trademl.validation.effective_trials import effective_trials


def blocks(seed: int, periods: int, sizes: list[int], correlation: float) -> np.ndarray:
    """Returns in blocks: members of one share a factor, blocks are independent."""
    rng = np.random.default_rng(seed)
    columns = [
        np.sqrt(correlation) * factor + np.sqrt(1 - correlation) * rng.standard_normal(periods)
        for size, factor in zip(sizes, rng.standard_normal((len(sizes), periods)), strict=True)
        for _ in range(size)
    ]
    return 0.01 * np.column_stack(columns)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    """The clusters as sets of columns, whatever their numbers."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


MATRICES = st.builds(
    blocks,
    st.integers(0, 10**6),
    st.integers(8, 60),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.5, 0.8, 0.95]),
)


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_clusters_equal_those_of_the_loop_oracle(returns: np.ndarray) -> None:
    """Average linkage, limits, silhouettes and the choice of the cut, each by its definition."""
    if returns.shape[1] == 1:
        return
    found = effective_trials(returns)
    expected, quality = oracle.clusters(returns.T.tolist())
    assert partition(found.labels) == {frozenset(members) for members in expected}
    assert found.n_effective == len(expected)
    assert found.quality == pytest.approx(quality, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter(returns: np.ndarray, random) -> None:
    """A permutation of the columns permutes the labels and changes no digit."""
    order = random.sample(range(returns.shape[1]), returns.shape[1])
    one, other = effective_trials(returns), effective_trials(returns[:, order])
    assert (one.n_effective, one.sharpe_variance, one.quality) == (
        other.n_effective,
        other.sharpe_variance,
        other.quality,
    )
    assert partition(one.labels) == {frozenset(order[i] for i in members) for members in partition(other.labels)}


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.data())
def test_a_trial_run_again_is_no_new_trial(returns: np.ndarray, data: st.DataObject) -> None:
    """Copies of a column join it and change nothing else."""
    copied = data.draw(st.integers(0, returns.shape[1] - 1))
    one = effective_trials(returns)
    other = effective_trials(np.column_stack((returns, returns[:, copied], returns[:, copied])))
    assert (other.n_effective, other.sharpe_variance, other.quality) == (
        one.n_effective,
        one.sharpe_variance,
        one.quality,
    )
    assert other.labels.tolist() == [*one.labels.tolist(), one.labels[copied], one.labels[copied]]


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.sampled_from([1e-8, 0.5, 1000.0]))
def test_leverage_does_not_matter(returns: np.ndarray, leverage: float) -> None:
    """Holding every trial in another size changes no cluster and no Sharpe ratio."""
    one, other = effective_trials(returns), effective_trials(leverage * returns)
    assert one.labels.tolist() == other.labels.tolist()
    assert one.sharpe_variance == pytest.approx(other.sharpe_variance, rel=1e-6)


@pytest.mark.parametrize("periods", [250, 1000])
@pytest.mark.parametrize("sizes", [[10] * 5, [20, 10, 5, 3, 2] + [1] * 10, [50], [1] * 50])
def test_planted_clusters_are_found(periods: int, sizes: list[int]) -> None:
    """Members correlated at 0.8, also in one cluster, in clusters beside single trials, and none at all."""
    found = effective_trials(blocks(1, periods, sizes, 0.8 if max(sizes) > 1 else 0.0))
    assert found.labels.tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()
    assert found.n_effective == len(sizes)


def test_weakly_correlated_trials_stay_apart() -> None:
    """At a correlation of 0.3 the luckiest of 50 is nearly as lucky as of 50 independent trials: they count as such."""
    assert effective_trials(blocks(2, 1000, [50], 0.3)).n_effective == 50


def test_opposite_trials_are_two() -> None:
    """A strategy and its reverse are two bets: the better of them is chosen."""
    returns = blocks(3, 200, [1], 0.0)
    assert effective_trials(np.column_stack((returns, -returns))).n_effective == 2


def test_the_variance_is_that_of_clusters_weighted_by_inverse_variance() -> None:
    """By the definition, in loops over two clusters of two and one trial alone."""
    returns = blocks(4, 300, [2, 2, 1], 0.9) * np.array([1.0, 3.0, 1.0, 1.0, 5.0]) + 0.001
    found = effective_trials(returns)
    assert found.labels.tolist() == [0, 0, 1, 1, 2]
    ratios = []
    for members in ([0, 1], [2, 3], [4]):
        weight = [1 / np.var(returns[:, i], ddof=1) for i in members]
        together = sum(w / sum(weight) * returns[:, i] for w, i in zip(weight, members, strict=True))
        ratios.append(together.mean() / together.std(ddof=1))
    mean = sum(ratios) / 3
    assert found.sharpe_variance == pytest.approx(sum((ratio - mean) ** 2 for ratio in ratios) / 2)


def test_degenerate_trials() -> None:
    """One trial is one; copies are one; trials that never move are none, but never fewer than one in all."""
    rng = np.random.default_rng(5)
    one = rng.standard_normal((100, 1))
    alone = effective_trials(one)
    assert (alone.n_effective, alone.sharpe_variance, alone.labels.tolist()) == (1, 0.0, [0])
    copies = effective_trials(np.tile(one, 7))
    assert (copies.n_effective, copies.sharpe_variance, copies.labels.tolist()) == (1, 0.0, [0] * 7)
    idle = effective_trials(np.zeros((100, 3)))
    assert (idle.n_effective, idle.sharpe_variance, idle.labels.tolist()) == (1, 0.0, [-1] * 3)
    some = np.column_stack((np.zeros(100), one, np.full(100, 0.1), rng.standard_normal(100)))
    assert effective_trials(some).labels.tolist() == [-1, 0, -1, 1]
    assert effective_trials(some).n_effective == 2


def test_copies_in_another_size_are_one_trial() -> None:
    """A trial held at 2 and 3 times its size correlates with it at 1 up to rounding."""
    one = np.random.default_rng(6).standard_normal((500, 1))
    assert effective_trials(one * np.array([1.0, 2.0, 3.0])).n_effective == 1


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.zeros((10, 0)), np.zeros(10), np.full((10, 2), np.nan)])
def test_trials_that_cannot_be_compared_are_refused(bad: np.ndarray) -> None:
    """Too few periods, no trial, one dimension and values that are not finite are named."""
    with pytest.raises(ModelError, match=r"returns of shape .* not finite"):
        effective_trials(bad)


def test_five_hundred_trials_take_seconds() -> None:
    """500 trials of 2,500 days in 50 clusters (bound wide enough for a busy machine)."""
    returns = blocks(7, 2500, [10] * 50, 0.8)
    began = time.process_time()
    assert effective_trials(returns).n_effective == 50
    assert time.process_time() - began < 6
