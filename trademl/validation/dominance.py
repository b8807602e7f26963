"""Stochastic dominance of one sample over another: is the first better for everybody, or for everybody who fears risk?

Source: Bailey, Borwein, Lopez de Prado & Zhu, "The Probability of Backtest Overfitting", Journal of Computational
Finance 20(4) (2017), where the out-of-sample performance of the strategy that is best in sample is compared with that
of all strategies: if it does not dominate, choosing by backtest is no better than choosing at random. The orders of
dominance are those of Hadar & Russell (1969).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.validation.pbo import Overfitting

FloatArray = NDArray[np.float64]

_ROUNDING = 1e-12
"""Areas below this share of the range are rounding: they neither give dominance nor deny it."""


@dataclass(frozen=True, eq=False)
class Dominance:
    """How a sample compares with another, with F and G their empirical distribution functions.

    Attributes:
        first: first order: F <= G everywhere and F < G somewhere. Everyone who prefers more prefers the sample.
        second: second order: the area between G and F, summed from the left, is never negative and somewhere positive.
            Everyone who prefers more and fears risk prefers the sample. Follows from the first order.
        points: the distinct values of both samples, ascending, shape (m,).
        cdf: F at the points, shape (m,). other_cdf: G.
        area: integral of G - F up to each point, shape (m,): the paper's SD2.
        largest_violation: max(F - G), at least 0: the share of outcomes by which the first order fails.
    """

    first: bool
    second: bool
    points: FloatArray
    cdf: FloatArray
    other_cdf: FloatArray
    area: FloatArray
    largest_violation: float


def stochastic_dominance(sample: FloatArray, other: FloatArray) -> Dominance:
    """Compare two samples, exactly on the union of their values: between those neither function changes.

    Args:
        sample: shape (n,), n >= 1. other: shape (m,), of any length.

    Raises:
        ModelError: an empty sample, more than one dimension, or a value that is not finite.

    >>> better = stochastic_dominance(np.array([1.0, 3.0]), np.array([0.0, 3.0]))
    >>> better.first, better.second
    (True, True)
    >>> safer = stochastic_dominance(np.array([1.0, 2.0]), np.array([0.0, 3.0]))
    >>> safer.first, safer.second
    (False, True)
    """
    values, others = _sorted("sample", sample), _sorted("other", other)
    points = np.unique(np.concatenate((values, others)))
    below = np.searchsorted(values, points, side="right")
    below_other = np.searchsorted(others, points, side="right")
    # Whole numbers with one denominator, so that equal shares compare as equal.
    lead = below_other * len(values) - below * len(others)
    gap = lead / (len(values) * len(others))
    width = np.diff(points)
    area = np.concatenate(([0.0], np.cumsum(gap[:-1] * width)))
    rounding = _ROUNDING * float(points[-1] - points[0])
    return Dominance(
        first=bool((lead >= 0).all() and (lead > 0).any()),
        second=bool((area >= -rounding).all() and (area > rounding).any()),
        points=points,
        cdf=below / len(values),
        other_cdf=below_other / len(others),
        area=area,
        largest_violation=float(max(-gap.min(), 0.0)),
    )


def selection_dominance(overfitting: Overfitting) -> Dominance:
    """Compare the selected strategy's Sharpe ratios out of sample with those of all strategies.

    Raises:
        ModelError: a strategy's return is constant in some half of the sample, so that its ratio is infinite.
    """
    return stochastic_dominance(overfitting.oos_sharpe, overfitting.oos_all.ravel())


def _sorted(name: str, values: FloatArray) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not bool(np.isfinite(array).all()):
        raise ModelError(
            f"`{name}` has shape {array.shape} and {int((~np.isfinite(array)).sum())} values that are not finite",
            remedy="give at least one finite value in one dimension",
        )
    return np.sort(array)
