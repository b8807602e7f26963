"""Intervals and tests for the mean of a dependent series: the stationary block bootstrap and Newey-West.

Daily information coefficients of labels that overlap, and returns of strategies that trade slowly, are correlated from
date to date; resampling single dates would make their means look surer than they are. Sources: Politis & Romano, "The
Stationary Bootstrap", JASA 89 (1994) [PR]; Politis & White, "Automatic Block-Length Selection for the Dependent
Bootstrap", Econometric Reviews 23 (2004) [PW], with the correction of Patton, Politis & White, ibid. 28 (2009) [PPW];
White, "A Reality Check for Data Snooping", Econometrica 68 (2000) [RC].

Series are in order of date. A NaN is a date without a value: it is left out and counted. Infinity is refused.
"""

from dataclasses import dataclass
from math import ceil, log10, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.rng import stream
from trademl.validation.metrics import newey_west_t

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NORMAL = NormalDist()
_CELLS = 1 << 20
"""Resampled values drawn at a time, so that memory does not grow with the number of resamples."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval for the mean of a series.

    Attributes:
        low, high: its ends.
        mean: of the series.
        standard_error: of that mean.
        block: over how many periods dependence is allowed for: the expected block length of the bootstrap, or the
            Newey-West lags + 1.
        n: values used. n_dropped: NaN left out.
    """

    low: float
    high: float
    mean: float
    standard_error: float
    block: float
    n: int
    n_dropped: int


@dataclass(frozen=True)
class PairedTest:
    """Whether one series has the higher mean on the same dates.

    Attributes:
        mean_difference: challenger less champion, per period.
        standard_error: of it, Newey-West.
        t_stat: their ratio; NaN when the difference does not vary.
        p_newey_west: one-sided, from the normal limit of ``t_stat``; NaN with it.
        p_value: one-sided, from the bootstrap: small when the challenger is better. Never 0.
        block: expected block length of the bootstrap.
        n: dates used. n_dropped: dates on which one of the two was NaN.
    """

    mean_difference: float
    standard_error: float
    t_stat: float
    p_newey_west: float
    p_value: float
    block: float
    n: int
    n_dropped: int


def bootstrap_mean(
    series: FloatArray, *, n_resamples: int = 2000, block: float | None = None, confidence: float = 0.95, seed: int
) -> Interval:
    """Return the stationary bootstrap's interval for the mean [PR section 3].

    Its ends are quantiles of the resampled means (Efron's percentile interval): for returns with rare crashes the lower
    end is the more distant one, as it should be.

    Args:
        series: shape (n,), at least 2 values besides NaN.
        n_resamples: how many series are resampled.
        block: expected block length, 1 (independent values) to n. None: :func:`optimal_block`.
        confidence: of the two-sided interval.
        seed: same seed, same interval.

    Raises:
        ModelError: too few values, an infinite one, or a parameter out of range.
    """
    values, dropped = _values(series)
    tail = _tail(confidence)
    block, means = _resampled_means(values, n_resamples, block, seed)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(
        low=float(low),
        high=float(high),
        mean=float(values.mean()),
        standard_error=float(means.std()),
        block=block,
        n=len(values),
        n_dropped=dropped,
    )


def newey_west_interval(series: FloatArray, lags: int | None = None, confidence: float = 0.95) -> Interval:
    """Return mean -/+ normal quantile x Newey-West error, as in :func:`trademl.validation.metrics.newey_west_t`.

    Args:
        series: shape (n,), at least 2 values besides NaN.
        lags: None gives ``floor(4 (n / 100)^(2/9))``; labels of h sessions overlap, so use at least h - 1.
        confidence: of the two-sided interval.

    Raises:
        ModelError: as :func:`bootstrap_mean`, or negative lags.
    """
    values, dropped = _values(series)
    mean, error = float(values.mean()), _newey_west_error(values, lags)
    reach = _NORMAL.inv_cdf(1 - _tail(confidence)) * error
    return Interval(
        low=mean - reach,
        high=mean + reach,
        mean=mean,
        standard_error=error,
        block=1.0 + min(_default_lags(len(values)) if lags is None else lags, len(values) - 1),
        n=len(values),
        n_dropped=dropped,
    )


def paired_test(
    challenger: FloatArray,
    champion: FloatArray,
    *,
    lags: int | None = None,
    n_resamples: int = 2000,
    block: float | None = None,
    seed: int,
) -> PairedTest:
    """Test whether ``challenger`` has a higher mean than ``champion`` on the same dates.

    The null is that the mean difference is 0 or less. ``p_value`` is the share of resamples whose mean, less the mean
    of the series, reaches that mean, counting the series itself as one ([RC] section 3 for a single model; Davison &
    Hinkley 1997, equation 4.11). Dates stay paired, so what moves both series cancels.

    Args:
        challenger, champion: one value per date, shape (n,), of the same dates in the same order.
        lags: of the Newey-West error, as in :func:`newey_west_interval`.
        n_resamples, block, seed: as in :func:`bootstrap_mean`.

    Raises:
        ModelError: as :func:`bootstrap_mean`, or series of different length.
    """
    left, right = np.asarray(challenger, dtype=np.float64), np.asarray(champion, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ModelError(
            f"the challenger has shape {left.shape}, the champion {right.shape}",
            remedy="align both on the same dates, one value per date",
        )
    if bool(np.isinf(left).any() or np.isinf(right).any()):
        raise ModelError("a paired series holds an infinite value", remedy="use NaN for a date without a value")
    values, dropped = _values(left - right)
    mean, error = float(values.mean()), _newey_west_error(values, lags)
    t_stat = mean / error if error > 0 else np.nan
    block, means = _resampled_means(values, n_resamples, block, seed)
    return PairedTest(
        mean_difference=mean,
        standard_error=error,
        t_stat=t_stat,
        p_newey_west=1 - _NORMAL.cdf(t_stat) if error > 0 else np.nan,
        p_value=(1 + int(np.count_nonzero(means - mean >= mean))) / (n_resamples + 1),
        block=block,
        n=len(values),
        n_dropped=dropped,
    )


def optimal_block(series: FloatArray) -> float:
    """Return the expected block length with the least mean squared error of the variance ([PW] section 3.2; [PPW]).

    ``b = (2 G^2 / D)^(1/3) n^(1/3)`` with ``G = sum_k w(k/M) |k| R(k)``, ``D = 2 (sum_k w(k/M) R(k))^2``, R the
    autocovariances and w the flat-top window: 1 up to a half, then falling to 0 at 1. M is twice the first of
    K = max(5, sqrt(log10 n)) lags in a row whose autocorrelations lie within ``2 sqrt(log10(n) / n)``, or twice the
    last lag outside when there is no such run, but at most ``ceil(sqrt(n)) + K``, as in Patton's program. The result is
    at least 1 and at most ``ceil(min(3 sqrt(n), n / 3))``; it is 1 for a series without variation.

    Args:
        series: shape (n,), at least 2 values besides NaN.
    """
    values, _ = _values(series)
    n = len(values)
    if values.max() == values.min():
        return 1.0
    run = max(5, ceil(sqrt(log10(n))))
    furthest = min(ceil(sqrt(n)) + run, n - 1)
    deviation = values - values.mean()
    covariance = np.array([deviation[lag:] @ deviation[: n - lag] for lag in range(furthest + 1)]) / n
    lags = np.arange(furthest + 1)
    # A lag's correlation is taken over the values that it pairs.
    ahead = np.array([deviation[lag:] @ deviation[lag:] for lag in lags])
    behind = np.array([deviation[: n - lag] @ deviation[: n - lag] for lag in lags])
    spread = np.sqrt(ahead * behind)
    correlation = np.divide(n * covariance, spread, out=np.zeros(furthest + 1), where=spread > 0)
    significant = np.abs(correlation[1:]) >= 2 * sqrt(log10(n) / n)
    window = min(2 * _reach(significant, run), furthest)
    weight = np.clip(2 * (1 - lags[1 : window + 1] / window), 0.0, 1.0)
    covariances = weight * covariance[1 : window + 1]
    spectrum = float(covariance[0] + 2 * covariances.sum())
    slope = float(2 * (lags[1 : window + 1] * covariances).sum())
    largest = ceil(min(3 * sqrt(n), n / 3))
    if not spectrum**2 > 0:
        return float(max(largest, 1))
    return float(np.clip((slope**2 / spectrum**2 * n) ** (1 / 3), 1.0, max(largest, 1)))


def stationary_indices(n: int, n_resamples: int, block: float, rng: np.random.Generator) -> IntArray:
    """Draw which value stands at each place of each resampled series, shape (n_resamples, n) [PR section 2].

    Each place starts a new block, at a random value, with probability 1 / ``block``; otherwise it takes the value after
    the one before it, and the first value follows the last.
    """
    place = np.arange(n)
    begins = rng.random((n_resamples, n)) < 1 / block
    begins[:, 0] = True
    first = rng.integers(0, n, (n_resamples, n))
    origin = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return np.asarray((np.take_along_axis(first, origin, axis=1) + place - origin) % n, dtype=np.int64)


def _resampled_means(values: FloatArray, n_resamples: int, block: float | None, seed: int) -> tuple[float, FloatArray]:
    """Return the block length used and the mean of each resampled series, shape (n_resamples,)."""
    n = len(values)
    if n_resamples < 1:
        raise ModelError(f"`n_resamples={n_resamples}` resamples nothing", remedy="use, say, 2000")
    chosen = optimal_block(values) if block is None else float(block)
    if not 1 <= chosen <= n:
        raise ModelError(f"`block={block}` is not between 1 and the {n} values", remedy="use None to choose it")
    rng = stream(seed, "stationary_bootstrap")
    step = max(_CELLS // n, 1)
    parts = [min(step, n_resamples - low) for low in range(0, n_resamples, step)]
    return chosen, np.concatenate([values[stationary_indices(n, part, chosen, rng)].mean(axis=1) for part in parts])


def _reach(significant: NDArray[np.bool_], run: int) -> int:
    """Return the first of ``run`` lags in a row that are not significant, else the last lag that is, else 1.

    ``significant[i]`` speaks of lag i + 1.
    """
    if len(significant) >= run:
        quiet = np.convolve(~significant, np.ones(run, dtype=np.int64), mode="valid") == run
        if quiet.any():
            return int(quiet.argmax()) + 1
    return int(np.flatnonzero(significant).max(initial=0)) + 1


def _newey_west_error(values: FloatArray, lags: int | None) -> float:
    """Return the Newey-West standard error of the mean; 0 without variation."""
    if values.max() == values.min():
        return 0.0
    # The error does not depend on the mean, but a t-statistic of 0 would hide it: move the mean away from 0 first.
    scale = float(values.std())
    t_stat = newey_west_t(values - values.mean() + scale, lags=lags)
    return scale / t_stat if t_stat > 0 else 0.0


def _default_lags(n: int) -> int:
    return int(4 * (n / 100) ** (2 / 9))


def _tail(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ModelError(f"`confidence={confidence}` is not a probability in (0, 1)", remedy="use, say, 0.95")
    return (1 - confidence) / 2


def _values(series: Any) -> tuple[FloatArray, int]:
    """Return the values besides NaN and how many were NaN."""
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1:
        raise ModelError(f"a series of shape {values.shape}", remedy="give one value per date in one dimension")
    kept = values[~np.isnan(values)]
    if len(kept) < 2 or bool(np.isinf(kept).any()):
        raise ModelError(
            f"{len(kept)} of {len(values)} values are numbers and {int(np.isinf(kept).sum())} of them infinite",
            remedy="give at least 2 finite values; NaN marks a date without one",
        )
    return kept, len(values) - len(kept)
