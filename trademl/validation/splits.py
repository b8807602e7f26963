"""What every splitter yields, and the face that scikit-learn expects of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from trademl.errors import SplitError
from trademl.validation.spans import IntArray, LabelSpans


class Split(NamedTuple):
    """One split: ``train`` and ``test`` are ascending row indices (int64), ``test_groups`` the folds under test."""

    split_id: int
    train: IntArray
    test: IntArray
    test_groups: tuple[int, ...]


class Splitter(Protocol):
    """Anything that turns label spans into splits, deterministically."""

    @property
    def n_splits(self) -> int:
        """How many splits :meth:`split` yields."""
        ...

    @property
    def n_paths(self) -> int:
        """How many times each tested row is tested."""
        ...

    def split(self, spans: LabelSpans) -> Iterator[Split]:
        """Yield the splits in order of ``split_id``."""
        ...

    def folds(self, spans: LabelSpans) -> IntArray:
        """Return the fold of each row, shape (n_rows,); -1 for a row that is never tested."""
        ...

    def paths(self) -> IntArray:
        """Return which split serves each fold of each path, shape (n_folds, n_paths)."""
        ...

    def path_of(self) -> IntArray:
        """Return the path of each (split, fold), shape (n_splits, n_folds); -1 where the split does not test it."""
        ...


@dataclass(frozen=True)
class BoundSplitter:
    """A splitter with its spans bound, usable as ``cv=`` in scikit-learn.

    >>> from trademl.validation.cpcv import PurgedKFold
    >>> spans = LabelSpans(np.arange(6), np.arange(6), np.zeros(6, dtype=int))
    >>> cv = BoundSplitter(PurgedKFold(n_folds=3, embargo=0), spans)
    >>> [test.tolist() for _, test in cv.split(np.zeros((6, 2)))]
    [[0, 1], [2, 3], [4, 5]]
    """

    splitter: Splitter
    spans: LabelSpans

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield (train, test) indices. ``X`` is only checked for its number of rows; ``y`` and ``groups`` are ignored.

        Raises:
            SplitError: ``X`` has another number of rows than the spans.
        """
        rows = len(self.spans) if X is None else len(X)
        if rows != len(self.spans):
            raise SplitError(
                f"`X` has {rows} rows, the label spans have {len(self.spans)}",
                remedy="bind the spans of the same rows, in the same order",
            )
        return ((split.train, split.test) for split in self.splitter.split(self.spans))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits."""
        return self.splitter.n_splits


def fold_codes(spans: LabelSpans, n_folds: int) -> tuple[IntArray, IntArray]:
    """Cut the unique decision sessions into ``n_folds`` contiguous blocks of almost equal size.

    The first ``n_sessions % n_folds`` blocks hold one session more (as ``numpy.array_split``). Rows of one session are
    never parted.

    Returns:
        the first session of each fold, shape (n_folds,), and the fold of each row, shape (n_rows,).

    Raises:
        SplitError: there are fewer sessions than folds.
    """
    first = fold_starts(unique_sessions(spans), n_folds)
    return first, np.searchsorted(first, spans.start, side="right").astype(np.int64) - 1


def unique_sessions(spans: LabelSpans) -> IntArray:
    """Return the distinct decision sessions, ascending."""
    low, high = int(spans.start.min()), int(spans.start.max())
    if high - low < 4 * len(spans) + 1024:
        present = np.zeros(high - low + 1, dtype=bool)
        present[spans.start - low] = True
        return np.flatnonzero(present).astype(np.int64) + low
    return np.unique(spans.start)


def fold_starts(sessions: IntArray, n_folds: int) -> IntArray:
    """Return the first session of each of ``n_folds`` contiguous blocks of ``sessions`` (sorted, distinct)."""
    if len(sessions) < n_folds:
        raise SplitError(
            f"`n_folds={n_folds}` needs at least {n_folds} distinct sessions; the rows have {len(sessions)}",
            remedy=f"use n_folds <= {len(sessions)} or a longer date range",
        )
    size, extra = divmod(len(sessions), n_folds)
    position = np.arange(n_folds)
    return sessions[position * size + np.minimum(position, extra)]


def embargo_sessions(embargo: int | float, n_sessions: int) -> int:
    """Return the embargo in sessions: an integer as it is, a fraction rounded down as in AFML snippet 7.2."""
    if isinstance(embargo, float):
        return int(embargo * n_sessions)
    return int(embargo)


def check_embargo(embargo: int | float) -> None:
    """Refuse an embargo that is neither a number of sessions nor a fraction of all sessions.

    Raises:
        SplitError: negative, or a float of 1 or more.
    """
    if isinstance(embargo, float) and not 0.0 <= embargo < 1.0:
        raise SplitError(
            f"`embargo={embargo}` is not a fraction in [0, 1)",
            remedy="give sessions as an integer, such as 10, or a fraction of all sessions, such as 0.01",
        )
    if embargo < 0:
        raise SplitError(f"`embargo={embargo}` is negative", remedy="use 0 or more sessions")
