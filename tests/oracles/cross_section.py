"""Slow references for the cross-sectional operators, one date at a time; a missing value is None."""

from collections.abc import Hashable, Sequence
from math import inf, isfinite, sqrt

import numpy as np
from scipy.stats import norm

Values = Sequence[float | None]
Out = list[float | None]


def there(values: Values) -> list[float]:
    """The values that are not missing."""
    return [value for value in values if value is not None]


def demeaned(values: Values) -> Out:
    """Each value less the mean."""
    found = there(values)
    return [None if value is None else value - sum(found) / len(found) for value in values]


def zscores(values: Values) -> Out:
    """Each value less the mean, over the sample standard deviation; 0 where that is 0 or undefined."""
    found = there(values)
    if len(found) < 2 or max(found) == min(found):
        return [None if value is None else 0.0 for value in values]
    mean = sum(found) / len(found)
    deviation = sqrt(sum((value - mean) ** 2 for value in found) / (len(found) - 1))
    return [None if value is None else (value - mean) / deviation for value in values]


def by_group(values: Values, groups: Sequence[Hashable]) -> Out:
    """The z-scores of each group by itself."""
    out: Out = [None] * len(values)
    for group in set(groups):
        members = [row for row, other in enumerate(groups) if other == group]
        for row, score in zip(members, zscores([values[row] for row in members]), strict=True):
            out[row] = score
    return out


def mean_ranks(values: Values) -> Out:
    """The rank of each value, from 1; equal ones share the mean of their places."""
    found = there(values)
    return [
        None
        if value is None
        else sum(other < value for other in found) + (1 + sum(other == value for other in found)) / 2
        for value in values
    ]


def ranks(values: Values) -> Out:
    """The mean rank over the number of values."""
    return [None if rank is None else rank / len(there(values)) for rank in mean_ranks(values)]


def gaussian_ranks(values: Values) -> Out:
    """The normal quantile of (mean rank - 1/2) / n."""
    n = len(there(values))
    return [None if rank is None else float(norm.ppf((rank - 0.5) / n)) for rank in mean_ranks(values)]


def quantile_caps(values: Values, lower: float, upper: float) -> tuple[float | None, float | None]:
    """Two quantiles, linear between order statistics."""
    found = there(values)
    if not found:
        return None, None
    return float(np.quantile(found, lower)), float(np.quantile(found, upper))


def mad_caps(values: Values, k: float) -> tuple[float, float]:
    """Median -+ k times 1.4826 times the median absolute deviation; no caps where that is 0."""
    found = there(values)
    middle = float(np.median(found)) if found else 0.0
    deviation = float(np.median([abs(value - middle) for value in found])) if found else 0.0
    reach = k * 1.4826 * deviation if deviation > 0 else inf
    return middle - reach, middle + reach


def clipped(values: Values, caps: tuple[float | None, float | None]) -> Out:
    """Each value within its caps; missing where a cap is."""
    low, high = caps
    if low is None or high is None:
        return [None] * len(values)
    return [None if value is None else min(max(value, low), high) for value in values]


def residuals(values: Values, factors: Sequence[Values], groups: Sequence[Hashable] | None = None) -> Out:
    """The residuals of a least-squares fit on the factors and one intercept per group, by the documented edges.

    A factor enters when earlier ones leave more than 1e-9 of its variance (about the means of the groups); a value of
    which no more is left has residuals 0; without a row more than coefficients it is only demeaned.
    """
    groups = groups if groups is not None else [0] * len(values)
    rows = [row for row, value in enumerate(values) if value is not None and all(f[row] is not None for f in factors)]
    present = sorted({groups[row] for row in rows}, key=str)
    out: Out = [None] * len(values)
    if not rows:
        return out
    dummies = np.array([[float(groups[row] == group) for group in present] for row in rows])
    entered = dummies
    if len(rows) > len(factors) + len(present):
        for factor in factors:
            column = np.array([factor[row] for row in rows], dtype=float)
            if _share_left(column, entered, dummies) > 1e-9:
                entered = np.column_stack([entered, column])
    column = np.array([values[row] for row in rows], dtype=float)
    left = _rest(column, entered)
    if _share_left(column, entered, dummies) <= 1e-9:
        left = np.zeros_like(column)
    for row, residual in zip(rows, left, strict=True):
        out[row] = float(residual)
    return out


def _rest(column: np.ndarray, regressors: np.ndarray) -> np.ndarray:
    """What a least-squares fit leaves, fitted twice so that rounding of the first is removed."""
    for _ in range(2):
        column = column - regressors @ np.linalg.lstsq(regressors, column, rcond=None)[0]
    return column


def _share_left(column: np.ndarray, regressors: np.ndarray, dummies: np.ndarray) -> float:
    """The share of the column's variance about the means of its groups that the regressors leave."""
    variance = float(np.square(_rest(column, dummies)).sum())
    scale = float(np.square(column).sum())
    return float(np.square(_rest(column, regressors)).sum()) / variance if variance > 1e-24 * scale else 0.0


def past_medians(daily: Sequence[float | None], sessions: int, at_least: int) -> Out:
    """For each date the median of the ``sessions`` daily values before it; missing with fewer than ``at_least``."""
    out: Out = []
    for today in range(len(daily)):
        found = there(daily[max(0, today - sessions) : today])
        out.append(float(np.median(found)) if len(found) >= at_least else None)
    return out


def bins(values: Values, edges: Sequence[float | None]) -> list[int | None]:
    """1 plus the number of edges below each value."""
    if any(edge is None for edge in edges):
        return [None] * len(values)
    return [None if value is None else 1 + sum(value > edge for edge in there(edges)) for value in values]


def expanding_caps(dates: Sequence[Values], probability: float, floor: float) -> list[float]:
    """For each date the quantile of all finite values up to and including it, at least ``floor``."""
    seen: list[float] = []
    out: list[float] = []
    for values in dates:
        seen += [value for value in there(values) if isfinite(value)]
        out.append(max(float(np.quantile(seen, probability)), floor) if seen else floor)
    return out
