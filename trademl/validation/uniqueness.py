"""Concurrency and uniqueness of overlapping labels: the reference for what the warehouse computes in SQL.

Source: Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 4. Label ``i`` occupies the bars
``first[i]`` to ``last[i]``, both included. For a return decided after the close of ``start`` and ended at ``end`` those
bars are ``start + 1`` to ``end``: the bars whose returns it uses.
"""

import numpy as np
from numpy.typing import NDArray

from trademl.errors import SplitError
from trademl.validation.spans import IntArray

FloatArray = NDArray[np.float64]


def concurrency(first: IntArray, last: IntArray, n_bars: int) -> IntArray:
    """Return how many labels occupy each bar, shape (n_bars,) (AFML snippet 4.1).

    Raises:
        SplitError: a label lies outside bars 0 to ``n_bars - 1`` or ends before it begins.
    """
    _check(first, last, n_bars)
    change = np.bincount(first, minlength=n_bars + 1) - np.bincount(last + 1, minlength=n_bars + 1)
    return np.cumsum(change)[:n_bars].astype(np.int64)


def average_uniqueness(first: IntArray, last: IntArray, n_bars: int) -> FloatArray:
    """Return each label's mean of 1 / concurrency over its bars, shape (n_labels,), in (0, 1] (AFML snippet 4.2)."""
    counts = concurrency(first, last, n_bars)
    return _mean_over_bars(1.0 / np.maximum(counts, 1), first, last)


def panel_uniqueness(first: IntArray, last: IntArray, entity: IntArray, n_bars: int) -> FloatArray:
    """Return :func:`average_uniqueness` with concurrency counted within each entity, shape (n_labels,)."""
    _check(first, last, n_bars)
    _, code = np.unique(entity, return_inverse=True)
    # Entities are laid end to end, so no label reaches into the next one's bars.
    offset = code.astype(np.int64) * n_bars
    return average_uniqueness(first + offset, last + offset, n_bars * (int(code.max(initial=0)) + 1))


def pooled_uniqueness(first: IntArray, last: IntArray, n_bars: int) -> float:
    """Return the mean of 1 / concurrency over all (label, bar) cells.

    This weighs long labels more than the mean of :func:`average_uniqueness` does; mlfinlab reports this one.
    """
    counts = concurrency(first, last, n_bars)
    return float(np.count_nonzero(counts) / counts.sum())


def next_draw_uniqueness(first: IntArray, last: IntArray, n_bars: int, drawn: IntArray) -> FloatArray:
    """Return the uniqueness each label would have if drawn next, after ``drawn`` (label indices, with repeats).

    The sequential bootstrap draws with probability proportional to it (AFML section 4.5.2), shape (n_labels,).
    """
    _check(first, last, n_bars)
    counts = concurrency(first[drawn], last[drawn], n_bars)
    return _mean_over_bars(1.0 / (counts + 1), first, last)


def _mean_over_bars(values: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    total = np.concatenate(([0.0], np.cumsum(values)))
    means: FloatArray = (total[last + 1] - total[first]) / (last - first + 1)
    return means


def _check(first: IntArray, last: IntArray, n_bars: int) -> None:
    if len(first) and (int(first.min()) < 0 or int(last.max()) >= n_bars or bool((last < first).any())):
        raise SplitError(
            f"labels run from bar {int(first.min())} to {int(last.max())} of {n_bars}, or one ends before it begins",
            remedy=f"give 0 <= first <= last <= {n_bars - 1} for every label",
        )
