"""The order of splits in which a trial can be judged early.

After a *pass* every fold has been tested once more than before it, so means over complete passes compare trials on the
whole history, not on a stretch of it that happens to be easy. With two test folds and an even number of folds passes
are the rounds of a round-robin tournament: each pass tests every fold exactly once.
"""

from collections.abc import Sequence

import numpy as np

from trademl.training.splits import Splitter
from trademl.validation.cpcv import CombinatorialPurgedCV


def passes_of(splitter: Splitter) -> list[list[int]]:
    """Return the passes of a splitter as lists of split numbers, in order; walk-forward is one pass."""
    if not isinstance(splitter, CombinatorialPurgedCV):
        return [list(range(splitter.n_splits))]
    return balanced_passes(splitter.test_folds, splitter.n_folds)


def balanced_passes(test_folds: Sequence[tuple[int, ...]], n_folds: int) -> list[list[int]]:
    """Return all splits, each once, in passes; after ``p`` passes every fold has been tested at least ``p`` times.

    Args:
        test_folds: the folds under test in each split: every choice of the same number of folds.
        n_folds: how many folds there are.

    >>> balanced_passes([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], 4)
    [[5, 0], [2, 3], [4, 1]]
    """
    if len(test_folds[0]) == 2 and n_folds % 2 == 0:
        number = {folds: split for split, folds in enumerate(test_folds)}
        return [[number[pair] for pair in rounds] for rounds in _round_robin(n_folds)]
    return _greedy(test_folds, n_folds)


def _round_robin(n: int) -> list[list[tuple[int, int]]]:
    """Return the rounds of a tournament of ``n`` players by the circle method: one stays, the others move on."""
    rounds = []
    for shift in range(n - 1):
        seats = [n - 1, *((place + shift) % (n - 1) for place in range(n - 1))]
        pairs = [(seats[at], seats[n - 1 - at]) for at in range(n // 2)]
        rounds.append([(min(pair), max(pair)) for pair in pairs])
    return rounds


def _greedy(test_folds: Sequence[tuple[int, ...]], n_folds: int) -> list[list[int]]:
    """Take the split whose folds have been tested least, the first of equals, until all are taken."""
    tests = np.zeros((len(test_folds), n_folds), dtype=np.int64)
    for split, folds in enumerate(test_folds):
        tests[split, list(folds)] = 1
    left = np.ones(len(test_folds), dtype=np.bool_)
    covered = np.zeros(n_folds, dtype=np.int64)
    passes: list[list[int]] = [[]]
    while left.any():
        load = np.where(left, tests @ covered, np.iinfo(np.int64).max)
        chosen = int(np.argmin(load))
        left[chosen] = False
        covered += tests[chosen]
        passes[-1].append(chosen)
        if covered.min() >= len(passes) and left.any():
            passes.append([])
    return passes
