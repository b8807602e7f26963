"""Rows that lie where two engines are most likely to disagree: on and beside every threshold, and at odd floats."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trademl.models.trees import Tree

CHUNK_ROWS = 16_384

_TINY = np.float32(1e-35)  # LightGBM's zero zone; XGBoost has none
_DENORMAL = np.float32(1e-40)
_INF = np.float32(np.inf)
ODD_VALUES: tuple[np.float32, ...] = tuple(
    np.float32(value)
    for value in (
        np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0,
        np.finfo(np.float32).max, np.finfo(np.float32).min,
        np.finfo(np.float32).smallest_subnormal, -np.finfo(np.float32).smallest_subnormal,
        np.finfo(np.float32).smallest_normal, -np.finfo(np.float32).smallest_normal, _DENORMAL, -_DENORMAL,
        _TINY, -_TINY, np.nextafter(_TINY, _INF), np.nextafter(-_TINY, -_INF), np.nextafter(_TINY, -_INF),
    )
)  # fmt: skip

# What the path to a split allows one feature: from (inclusive), to (inclusive), may it be missing.
_Range = tuple[np.float32, np.float32, bool]
_FREE: _Range = (-_INF, _INF, True)


def boundary_rows(trees: Sequence[Tree], base: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield matrices of at most 16,384 rows that visit every reachable split of ``trees`` four times.

    For a split ``x <= t`` the four rows follow the path from the root to the split and then have x at t, one ulp above,
    one ulp below, and missing. Features that the path leaves free keep their value in a row of ``base`` (float32,
    (rows, features), at least one row), taken in turn.
    """
    block = np.empty((CHUNK_ROWS, base.shape[1]), dtype=np.float32)
    filled = 0
    turn = 0
    for tree in trees:
        for feature, threshold, path in _paths(tree):
            row = base[turn % len(base)]
            turn += 1
            rows = block[filled : filled + 4]
            rows[:] = row
            for constrained, allowed in path.items():
                rows[:, constrained] = _value_in(allowed, row[constrained])
            with np.errstate(over="ignore", under="ignore"):
                rows[:, feature] = (threshold, np.nextafter(threshold, _INF), np.nextafter(threshold, -_INF), np.nan)
            filled += 4
            if filled == CHUNK_ROWS:
                yield block.copy()
                filled = 0
    if filled:
        yield block[:filled].copy()


def used_features(trees: Sequence[Tree]) -> list[int]:
    """Return the numbers of the features that some split asks about, ascending."""
    return sorted({int(feature) for tree in trees for feature in tree.feature})


def odd_rows(features: Sequence[int], base: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of ``base`` in which one of ``features`` has one of :data:`ODD_VALUES`, for all pairs."""
    used = np.array(features, dtype=np.int64)
    rows = base[np.arange(len(used) * len(ODD_VALUES)) % len(base)]
    rows[np.arange(len(rows)), np.repeat(used, len(ODD_VALUES))] = np.tile(np.array(ODD_VALUES), len(used))
    return rows


def threshold_count(trees: Sequence[Tree]) -> int:
    """Return how many different (feature, threshold) pairs the trees have."""
    return len({pair for tree in trees for pair in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True)})


def _paths(tree: Tree) -> Iterator[tuple[int, np.float32, dict[int, _Range]]]:
    """Yield (feature, threshold, ranges of the features on the way) of each split that some row can reach."""
    if not len(tree.feature):
        return
    with np.errstate(over="ignore", under="ignore"):
        thresholds = tree.threshold.astype(np.float32)
        # Nothing is above inf: NaN makes that range empty.
        above = np.where(thresholds < _INF, np.nextafter(thresholds, _INF), np.float32(np.nan))
    pending: list[tuple[int, dict[int, _Range]]] = [(0, {})]
    while pending:
        split, path = pending.pop()
        feature, threshold = int(tree.feature[split]), thresholds[split]
        yield feature, threshold, path
        low, high, missing = path.get(feature, _FREE)
        nan_left = bool(tree.nan_left[split])
        left: _Range = (low, min(high, threshold), missing and nan_left)
        right: _Range = (np.maximum(low, above[split]), high, missing and not nan_left)
        for child, allowed in ((int(tree.left[split]), left), (int(tree.right[split]), right)):
            if child >= 0 and (allowed[2] or allowed[0] <= allowed[1]):
                pending.append((child, {**path, feature: allowed}))


def _value_in(allowed: _Range, present: np.float32) -> np.float32:
    low, high, missing = allowed
    if low <= present <= high or (missing and np.isnan(present)):
        return present
    if low <= high:
        return high if high < _INF else low
    return np.float32(np.nan)
