"""Combinatorial purged cross-validation, and purged k-fold as its case of one test fold.

Source: M. Lopez de Prado, Advances in Financial Machine Learning (2018), sections 7.4 and 12.3 to 12.4.
docs/validation.md states the conventions and where other libraries differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from trademl.errors import SplitError
from trademl.validation.panel import Panel, Purge, check_purge, make_panel
from trademl.validation.spans import IntArray, LabelSpans
from trademl.validation.splits import Split, check_embargo, embargo_sessions, fold_codes, fold_starts, unique_sessions


@dataclass(frozen=True)
class CombinatorialPurgedCV:
    """Test every choice of ``n_test_folds`` out of ``n_folds`` blocks of sessions, training on what cannot have leaked.

    Folds are contiguous blocks of unique decision sessions; adjacent test folds act as one block. From the rest, a
    train row is purged when its information interval [start, end] meets that of a test row, and embargoed when it
    starts within ``embargo`` sessions after a test block's last label end.

    Attributes:
        n_folds: N, number of blocks.
        n_test_folds: k, blocks under test in each split, ``1 <= k < N``.
        embargo: sessions (int), or a fraction in [0, 1) of all decision sessions (float, rounded down).
        purge: 'all', against test rows of any entity; 'entity', against test rows of the same entity only. The embargo
            holds for all entities in both.

    Raises:
        SplitError: a parameter is out of range, there are too few sessions, or a split has no train row left.

    >>> spans = LabelSpans(np.arange(12), np.arange(12) + 1, np.zeros(12, dtype=int))
    >>> cv = CombinatorialPurgedCV(n_folds=3, n_test_folds=2, embargo=0)
    >>> for split in cv.split(spans):
    ...     print(split.test_groups, split.train)
    (0, 1) [ 9 10 11]
    (0, 2) [5 6]
    (1, 2) [0 1 2]
    """

    n_folds: int = 8
    n_test_folds: int = 2
    embargo: int | float = 10
    purge: Purge = "all"

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise SplitError(f"`n_folds={self.n_folds}` cannot hold a train and a test fold", remedy="use n_folds >= 2")
        if self.n_test_folds < 1:
            raise SplitError(f"`n_test_folds={self.n_test_folds}` tests nothing", remedy="use n_test_folds >= 1")
        if self.n_test_folds >= self.n_folds:
            raise SplitError(
                f"`n_folds={self.n_folds}`, `n_test_folds={self.n_test_folds}` leaves no training fold",
                remedy=f"use n_test_folds <= {self.n_folds - 1}",
            )
        check_embargo(self.embargo)
        check_purge(self.purge)

    @property
    def n_splits(self) -> int:
        """C(N, k)."""
        return comb(self.n_folds, self.n_test_folds)

    @property
    def n_paths(self) -> int:
        """C(N, k) k / N = C(N - 1, k - 1): how many times each row is tested."""
        return comb(self.n_folds - 1, self.n_test_folds - 1)

    @property
    def test_folds(self) -> list[tuple[int, ...]]:
        """The folds under test in each split, in lexicographic order."""
        return list(combinations(range(self.n_folds), self.n_test_folds))

    def paths(self) -> IntArray:
        """Return which split serves each fold of each backtest path, shape (n_folds, n_paths).

        Path ``p`` takes, for each fold, the p-th split that tests it (AFML figure 12.2), so each (split, tested fold)
        belongs to exactly one path.
        """
        serving: list[list[int]] = [[] for _ in range(self.n_folds)]
        for split_id, folds in enumerate(self.test_folds):
            for fold in folds:
                serving[fold].append(split_id)
        return np.array(serving, dtype=np.int64)

    def path_of(self) -> IntArray:
        """Return the path that each fold tested by each split belongs to, shape (n_splits, n_folds); else -1."""
        served = np.full((self.n_splits, self.n_folds), -1, dtype=np.int64)
        for fold, splits in enumerate(self.paths()):
            served[splits, fold] = np.arange(self.n_paths)
        return served

    def folds(self, spans: LabelSpans) -> IntArray:
        """Return the fold of each row, shape (n_rows,), in 0 to N - 1.

        Raises:
            SplitError: there are fewer distinct sessions than folds.
        """
        return fold_codes(spans, self.n_folds)[1]

    def split(self, spans: LabelSpans) -> Iterator[Split]:
        """Yield the C(N, k) splits in lexicographic order of their test folds.

        Too few sessions are refused at the call, an empty training set when its split is reached.

        Raises:
            SplitError: see above; the message names the split and what to change.
        """
        sessions = unique_sessions(spans)
        panel = make_panel(spans, fold_starts(sessions, self.n_folds), self.purge)
        embargo = embargo_sessions(self.embargo, len(sessions))
        return (self._one(split_id, folds, panel, embargo) for split_id, folds in enumerate(self.test_folds))

    def _one(self, split_id: int, folds: tuple[int, ...], panel: Panel, embargo: int) -> Split:
        keep = np.ones(len(panel.start), dtype=np.bool_)
        for fold in folds:
            keep[panel.bounds[fold] : panel.bounds[fold + 1]] = False
        test = panel.rows(~keep)
        for first, last in _blocks(folds):
            panel.purge_before(keep, first, last)
            panel.purge_after(keep, first, last, embargo)
        train = panel.rows(keep)
        if not len(train):
            raise SplitError(
                f"`n_folds={self.n_folds}`, `n_test_folds={self.n_test_folds}`, `embargo={self.embargo}`, "
                f"`purge={self.purge!r}` leaves no train row in split {split_id} (test folds {folds}): "
                f"all {len(panel.start) - len(test)} rows outside the test folds are purged or embargoed",
                remedy=f"use fewer test folds, an embargo under {embargo} sessions, shorter labels or more history",
            )
        return Split(split_id, train, test, folds)


@dataclass(frozen=True)
class PurgedKFold(CombinatorialPurgedCV):
    """Purged and embargoed k-fold (AFML section 7.4): each fold is tested once, so there is one path."""

    n_folds: int = 5
    n_test_folds: int = 1

    def __post_init__(self) -> None:
        if self.n_test_folds != 1:
            raise SplitError(
                f"`n_test_folds={self.n_test_folds}` is not k-fold", remedy="use CombinatorialPurgedCV for more than 1"
            )
        super().__post_init__()


def _blocks(folds: tuple[int, ...]) -> list[tuple[int, int]]:
    """Merge adjacent folds: (0, 1, 3) gives [(0, 1), (3, 3)]."""
    merged: list[tuple[int, int]] = []
    for fold in folds:
        if merged and merged[-1][1] == fold - 1:
            merged[-1] = (merged[-1][0], fold)
        else:
            merged.append((fold, fold))
    return merged
