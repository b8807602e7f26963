"""How good predictions are: rank and linear correlation per date, their significance, and errors over all rows.

A pair with a NaN or infinite prediction or outcome is left out of every measure.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DailyIC:
    """Information coefficients, one element per date in ascending order.

    Attributes:
        dates: the distinct dates, in the type they were given.
        pearson: linear correlation of prediction and outcome over the date's rows.
        spearman: the same of their ranks, ties sharing the average rank.
        count: finite pairs on the date. A date with fewer than the minimum, or on which predictions or outcomes are all
            equal, has NaN coefficients: no ranking was made, or none could be judged.
    """

    dates: NDArray[Any]
    pearson: FloatArray
    spearman: FloatArray
    count: NDArray[np.int64]


@dataclass(frozen=True)
class ICSummary:
    """A series of daily coefficients in numbers.

    Attributes:
        mean, std: over the defined dates; ``std`` with n - 1.
        icir: mean / std, per date (multiply by sqrt(252) for a year of daily dates).
        t_stat: Newey-West t-statistic of the mean.
        hit_rate: share of the defined dates with a positive coefficient.
        n_dates, n_undefined: dates with and without a coefficient.
    """

    mean: float
    std: float
    icir: float
    t_stat: float
    hit_rate: float
    n_dates: int
    n_undefined: int


def information_coefficient(yhat: FloatArray, y: FloatArray, dates: NDArray[Any], *, min_rows: int = 3) -> DailyIC:
    """Correlate predictions with outcomes within each date.

    Args:
        yhat: predictions, shape (n,).
        y: outcomes, shape (n,).
        dates: date or ordinal of each row, shape (n,), in any order.
        min_rows: fewest finite pairs that make a coefficient.

    Raises:
        ModelError: the arrays differ in length.

    >>> factor, forward = np.array([1, 2, 3, 4, 4, 3, 2, 1.0]), np.array([4, 3, 2, 1, 1, 2, 3, 4.0])
    >>> information_coefficient(factor, forward, np.array([0, 0, 0, 0, 1, 1, 1, 1])).spearman
    array([-1., -1.])
    """
    yhat, y = _pair(yhat, y)
    dates = np.asarray(dates)
    if len(dates) != len(y):
        raise ModelError(f"`dates` has {len(dates)} rows, the predictions {len(y)}", remedy="give one date per row")
    days, code = _days(dates)
    finite = np.isfinite(yhat) & np.isfinite(y)
    if not finite.all():
        yhat, y, code = yhat[finite], y[finite], code[finite]
    n_days = len(days)
    count = np.bincount(code, minlength=n_days)
    enough = count >= min_rows
    pearson = _correlation_by_day(yhat, y, code, count)
    spearman = _correlation_by_day(_ranks_by_day(yhat, code), _ranks_by_day(y, code), code, count)
    undefined = ~enough | np.isnan(pearson)
    return DailyIC(
        days, np.where(undefined, np.nan, pearson), np.where(undefined, np.nan, spearman), count.astype(np.int64)
    )


def summarise_ic(series: FloatArray, *, lags: int | None = None) -> ICSummary:
    """Summarise daily coefficients; NaN days are counted and left out.

    Args:
        series: one coefficient per date, in order of date.
        lags: Newey-West lags; labels of h sessions overlap, so use at least h - 1. None: ``floor(4 (n / 100)^(2/9))``.
    """
    values = np.asarray(series, dtype=np.float64)
    defined = values[np.isfinite(values)]
    n = len(defined)
    mean = float(defined.mean()) if n else np.nan
    std = float(defined.std(ddof=1)) if n > 1 else np.nan
    return ICSummary(
        mean=mean,
        std=std,
        icir=mean / std if n > 1 and std > 0 else np.nan,
        t_stat=newey_west_t(defined, lags=lags),
        hit_rate=float((defined > 0).mean()) if n else np.nan,
        n_dates=n,
        n_undefined=len(values) - n,
    )


def newey_west_t(series: FloatArray, *, lags: int | None = None) -> float:
    """Return mean / standard error with Bartlett weights (Newey & West 1987, eq. 5), no small-sample factor.

    With ``d_t`` the deviations from the mean, ``g_l = sum_t d_t d_(t-l) / n`` and L lags, the error is
    ``sqrt((g_0 + 2 sum_l (1 - l / (L + 1)) g_l) / n)``. NaN for fewer than 2 values or no variation.
    """
    values = np.asarray(series, dtype=np.float64)
    n = len(values)
    if n < 2 or values.max() == values.min():
        return np.nan
    chosen = int(4 * (n / 100) ** (2 / 9)) if lags is None else lags
    if chosen < 0:
        raise ModelError(f"`lags={lags}` is negative", remedy="use 0 or more lags")
    chosen = min(chosen, n - 1)
    deviation = values - values.mean()
    variance = float(deviation @ deviation) / n
    for lag in range(1, chosen + 1):
        variance += 2 * (1 - lag / (chosen + 1)) * float(deviation[lag:] @ deviation[:-lag]) / n
    return float(values.mean() / np.sqrt(variance / n)) if variance > 0 else np.nan


def ranks_within_dates(values: FloatArray, dates: NDArray[Any]) -> FloatArray:
    """Rank each value within its date from 1, ties sharing the average rank; every value must be finite.

    Raises:
        ModelError: the arrays differ in length, or a value is not finite.

    >>> ranks_within_dates(np.array([0.2, 0.1, 0.2, 7.0]), np.array([0, 0, 0, 1])).tolist()
    [2.5, 1.0, 2.5, 1.0]
    """
    found, days = np.asarray(values, dtype=np.float64), np.asarray(dates)
    if found.shape != days.shape or found.ndim != 1 or not bool(np.isfinite(found).all()):
        strange = int((~np.isfinite(found)).sum())
        raise ModelError(
            f"values have shape {found.shape}, {strange} of them not finite; dates have shape {days.shape}",
            remedy="give one finite value and one date per row",
        )
    return _ranks_by_day(found, _days(days)[1])


def rmse(yhat: FloatArray, y: FloatArray) -> float:
    """Root mean squared error, in the units of ``y``."""
    yhat, y = _finite(yhat, y)
    return float(np.sqrt(np.mean((y - yhat) ** 2))) if len(y) else np.nan


def mae(yhat: FloatArray, y: FloatArray) -> float:
    """Mean absolute error, in the units of ``y``."""
    yhat, y = _finite(yhat, y)
    return float(np.mean(np.abs(y - yhat))) if len(y) else np.nan


def r2(yhat: FloatArray, y: FloatArray) -> float:
    """1 - squared error / squared deviation of ``y`` from its own mean; NaN when ``y`` does not vary."""
    yhat, y = _finite(yhat, y)
    if len(y) == 0 or y.max() == y.min():
        return np.nan
    return float(1 - np.sum((y - yhat) ** 2) / np.sum((y - y.mean()) ** 2))


def direction_accuracy(yhat: FloatArray, y: FloatArray) -> float:
    """Share of the rows that moved (``y != 0``) whose prediction has the outcome's sign; a prediction of 0 is wrong."""
    yhat, y = _finite(yhat, y)
    moved = y != 0
    return float(np.mean(np.sign(yhat[moved]) == np.sign(y[moved]))) if moved.any() else np.nan


def _pair(yhat: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    left, right = np.asarray(yhat, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ModelError(
            f"predictions have shape {left.shape}, outcomes {right.shape}",
            remedy="give two one-dimensional arrays, row by row",
        )
    return left, right


def _finite(yhat: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    left, right = _pair(yhat, y)
    finite = np.isfinite(left) & np.isfinite(right)
    return left[finite], right[finite]


def _days(dates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the distinct dates, ascending, and the position of each row's date among them."""
    if len(dates) and bool((dates[1:] >= dates[:-1]).all()):
        new = np.concatenate(([True], dates[1:] != dates[:-1]))
        return dates[new], np.cumsum(new) - 1
    days, code = np.unique(dates, return_inverse=True)
    return days, code


def _correlation_by_day(a: FloatArray, b: FloatArray, code: NDArray[Any], count: NDArray[Any]) -> FloatArray:
    """Pearson correlation within each day; NaN where a side is constant (compared exactly, not by variance)."""
    n_days = len(count)
    safe = np.maximum(count, 1)
    a = a - (np.bincount(code, a, n_days) / safe)[code]
    b = b - (np.bincount(code, b, n_days) / safe)[code]
    spread = np.sqrt(np.bincount(code, a * a, n_days)) * np.sqrt(np.bincount(code, b * b, n_days))
    varies = _varies(a, code, n_days) & _varies(b, code, n_days) & (spread > 0)
    together = np.bincount(code, a * b, n_days)
    return np.where(varies, np.clip(together / np.where(varies, spread, 1.0), -1.0, 1.0), np.nan)


def _varies(values: FloatArray, code: NDArray[Any], n_days: int) -> NDArray[np.bool_]:
    """Say for each day whether its values are not all equal."""
    first = np.zeros(n_days)
    first[code] = values
    return np.bincount(code, values != first[code], n_days) > 0


def _ranks_by_day(values: FloatArray, code: NDArray[Any]) -> FloatArray:
    """Rank values within each day from 1, ties sharing the average rank."""
    n = len(values)
    if n == 0:
        return np.empty(0)
    by_value = np.argsort(values)
    days = code[by_value]
    # A stable sort by day keeps the order of values; 16-bit keys sort by radix.
    order = by_value[np.argsort(days.astype(np.uint16) if days.max() < 2**16 else days, kind="stable")]
    ordered, day = values[order], code[order]
    new_day, new_value = np.ones(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
    np.not_equal(day[1:], day[:-1], out=new_day[1:])
    np.not_equal(ordered[1:], ordered[:-1], out=new_value[1:])
    new_value |= new_day
    day_start = np.flatnonzero(new_day)
    position = np.arange(1.0, n + 1)
    if not new_value.all():
        tie_start = np.flatnonzero(new_value)
        tie_end = np.append(tie_start[1:], n)
        position = np.repeat((tie_start + tie_end + 1) / 2, tie_end - tie_start)
    position -= np.repeat(day_start, np.diff(np.append(day_start, n)))
    ranks = np.empty(n)
    ranks[order] = position
    return ranks
