"""Decision trees as arrays, and the rounding under which every engine gives the same bits.

Features are float32. A tree sends a row left when ``x <= threshold``. Three changes leave scores as they were, but for
the last digits, and make them independent of engine, order of summation and precision:

* a threshold t becomes the largest float32 that is <= t: for float32 x the comparison is unchanged;
* leaf values are rounded to multiples of 2**-k, with k the largest integer for which the sum of the trees' largest
  absolute leaves stays below 2**24 multiples: every partial sum, in any order, then fits float32's 24-bit significand
  and is exact (2**-20 while that sum is in [8, 16), finer below); with several classes the sum is that of the class
  where it is largest;
* where an engine rounds tiny features to zero, thresholds are moved off that zone (see :func:`clear_zero_zone`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

SIGNIFICAND_BITS = 24
MAX_EXPONENT = 100
"""Finest grid used, 2**-100: well inside float32's normal numbers."""


@dataclass(frozen=True)
class Tree:
    """One regression tree. Splits are numbered 0..s-1 with the root first, leaves 0..s; s may be 0.

    ``left`` and ``right`` hold a split's number, or ``-1 - leaf``. ``nan_left`` says where a missing feature goes.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    nan_left: NDArray[np.bool_]
    leaf_value: NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Sums of leaves: one score, or one margin for each of several classes.

    With k ``constants``, tree t adds to margin t modulo k the leaf that a row reaches, and ``constants`` are where the
    margins start.
    """

    trees: tuple[Tree, ...]
    constants: tuple[float, ...] = (0.0,)

    def grid(self) -> int:
        """Return the exponent of the finest grid on which the leaves of every class sum exactly."""
        classes = len(self.constants)
        return min(
            grid_exponent([np.array([constant]), *(tree.leaf_value for tree in self.trees[number::classes])])
            for number, constant in enumerate(self.constants)
        )

    def canonical(self) -> "Ensemble":
        """Return the ensemble with thresholds floored to float32, and leaves and constants on one grid.

        A canonical ensemble comes back with the same numbers.
        """
        k = self.grid()
        trees = tuple(
            replace(tree, threshold=floor_float32(tree.threshold), leaf_value=round_to_grid(tree.leaf_value, k))
            for tree in self.trees
        )
        return Ensemble(trees, tuple(round_to_grid(np.array(self.constants), k).tolist()))

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row of ``X`` (float32, (rows, features)), summed in float64: exact when canonical.

        With several classes the shape is (rows, classes).
        """
        classes = len(self.constants)
        total = np.tile(np.array(self.constants), (len(X), 1))
        for number, tree in enumerate(self.trees):
            total[:, number % classes] += tree.leaf_value[leaves_reached(tree, X)]
        return total if classes > 1 else total[:, 0]


def leaves_reached(tree: Tree, X: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of the leaf that each row of ``X`` reaches in ``tree``."""
    node = np.zeros(len(X), dtype=np.int64) if len(tree.feature) else np.full(len(X), -1)
    while len(moving := np.flatnonzero(node >= 0)):
        split = node[moving]
        x = X[moving, tree.feature[split]]
        left = np.where(np.isnan(x), tree.nan_left[split], x <= tree.threshold[split])
        node[moving] = np.where(left, tree.left[split], tree.right[split])
    return -1 - node


def floor_float32(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each value, the largest float32 that is not above it, as float64 (-inf below the smallest).

    >>> import numpy as np
    >>> float(floor_float32(np.array([0.1]))[0]) <= 0.1 < float(np.float32(0.1))
    True
    """
    with np.errstate(over="ignore", under="ignore"):
        nearest = values.astype(np.float32)
        lower = np.nextafter(nearest, np.float32(-np.inf))
    above = nearest.astype(np.float64) > values
    return cast("NDArray[np.float64]", np.where(above, lower, nearest).astype(np.float64))


def clear_zero_zone(thresholds: NDArray[np.float64], zone: np.float32) -> NDArray[np.float64]:
    """Move thresholds so that comparing x itself equals comparing x with ``|x| <= zone`` read as 0.

    With t in [0, zone) all of the zone goes left, so t becomes ``zone``; with t in [-zone, 0) all of it goes right, so
    t becomes the next float32 below ``-zone``. Other thresholds do not touch the zone.
    """
    edge = float(zone)
    below = float(np.nextafter(-zone, np.float32(-np.inf)))
    moved = np.where((thresholds >= 0) & (thresholds < edge), edge, thresholds)
    return cast("NDArray[np.float64]", np.where((moved >= -edge) & (moved < 0), below, moved))


def grid_exponent(leaves: Sequence[NDArray[np.float64]]) -> int:
    """Return the largest k <= 100 for which leaves rounded to 2**-k sum exactly in float32, in any order."""
    bound = float(sum(np.abs(values).max() for values in leaves))
    k = MAX_EXPONENT if bound == 0 else min(MAX_EXPONENT, SIGNIFICAND_BITS - int(np.frexp(bound)[1]))
    # Rounding may lift the sum onto the limit itself.
    while sum(int(np.abs(np.rint(np.ldexp(values, k))).max()) for values in leaves) >= 1 << SIGNIFICAND_BITS:
        k -= 1
    return k


def round_to_grid(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return ``values`` rounded to multiples of 2**-k, halves to even; never a negative zero."""
    return np.ldexp(np.rint(np.ldexp(values, k)), -k) + 0.0
