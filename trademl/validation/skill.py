"""Skill or luck among many traders: records of unlike length, and what the luckiest of them all would show.

Every trader who was ever observed is a trial, the vanished included: who looks at the best of N records looks at a
selected one. Sources: Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012) [SREF]; "The Deflated
Sharpe Ratio" (2014) [DSR]; Efron, "Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis", JASA
99 (2004) [E].

The paper compares strategies over the same n days, so one variance of Sharpe ratios gives one threshold. Traders'
records are unlike in length, and a short one varies more: pooled, a threshold made of the short records' noise hides
every long one, and below the threshold the shorter or wilder record scores higher. So each Sharpe ratio is first taken
in units of its own error, ``z = S sqrt(n - 1) / e`` with e^2 the factor of [SREF], at least 1: that a few great days
make the error smaller is true of very long records only. The luckiest of N has ``z* = s E[max of N]``, and a record
must beat ``z* e / sqrt(n - 1)``. ``s`` is the spread of z over traders, from its middle half: without skill it is 1,
fat tails and dependent days make it larger, and the skilled few at the end do not count as luck. For normal records of
equal length and ``s`` from the plain variance this is the paper's formula. The order of traders is that of z, whatever
N is.
"""

from dataclasses import dataclass
from math import erfc, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.validation.sharpe import expected_maximum_sharpe, sharpe_variance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_NORMAL = NormalDist()
_NO_VARIATION = 1e-12
"""Variation, as a share of the size of the values, below which a record is one value repeated: rounding alone."""


@dataclass(frozen=True, eq=False)
class Records:
    """The moments of traders' daily profits, each of shape (traders,).

    Attributes:
        n: days, as float.
        sharpe: mean / standard deviation (n - 1) per day; NaN for fewer than 2 days or without variation.
        skew, kurtosis: population skewness and Pearson kurtosis; NaN with ``sharpe``.
    """

    n: FloatArray
    sharpe: FloatArray
    skew: FloatArray
    kurtosis: FloatArray


@dataclass(frozen=True, eq=False)
class Luck:
    """How likely each record is luck; arrays of shape (traders,), NaN where there is no Sharpe ratio.

    Attributes:
        n_observed: N, all traders ever observed. n_records: those whose Sharpe ratios measure the variance.
        spread: s of the module's text, at least 1.
        z_star: s times the expected maximum of N: by how many errors the luckiest's Sharpe ratio is above 0.
        variance: of the Sharpe ratios across traders (n - 1), per day.
        psr: probability that the true Sharpe ratio is above 0 [SREF eq. 11].
        dsr: the paper's deflated Sharpe ratio [DSR eq. 2], one threshold for all.
        threshold: the Sharpe ratio per day that a record of this length and shape must beat.
        deflated_skill: normal probability of ``z - z*``: that the record is not the luck of the best of N.
        min_track_record: days after which PSR reaches the confidence [SREF eq. 13]; infinite at or below 0.
    """

    n_observed: int
    n_records: int
    spread: float
    z_star: float
    variance: float
    psr: FloatArray
    dsr: FloatArray
    threshold: FloatArray
    deflated_skill: FloatArray
    min_track_record: FloatArray


def records_of(pnl: Any, first: Any, last: Any) -> Records:
    """Measure daily profits from each trader's first to its last day; days without a trade are 0, days outside ignored.

    Args:
        pnl: profit per day and trader, shape (days, traders), in any unit of money: a constant capital cancels.
        first, last: place of each trader's first and last day, both included, shape (traders,).

    Raises:
        ModelError: shapes that do not fit, a profit that is not finite, or places outside the days.
    """
    panel = standard_panel(pnl, first, last)
    days = (panel.last - panel.first + 1).astype(np.float64)
    sums, power = [], np.ones_like(panel.values)
    for _ in range(4):
        power = power * panel.values
        # A plain sum does not depend on the number of threads; a matrix product may, in its last bits.
        sums.append(power.sum(axis=0))
    return _moments(days, sums, panel.mean)


def luck_among(records: Records, *, n_observed: int, min_days: int = 30, confidence: float = 0.95) -> Luck:
    """Judge records against the luckiest of ``n_observed`` traders without skill.

    Args:
        records: of all traders that left one, the vanished included.
        n_observed: traders ever observed, at least as many as records.
        min_days: shorter records are judged too, but do not measure the variance.
        confidence: of the minimum track record length.

    Raises:
        ModelError: fewer observed than records, ``min_days`` below 2, or a confidence outside (0, 1).
    """
    if n_observed < max(len(records.n), 1):
        raise ModelError(
            f"`n_observed={n_observed}` with {len(records.n)} records",
            remedy="count every trader ever observed, at least those with a record",
        )
    if min_days < 2 or not 0 < confidence < 1:
        raise ModelError(
            f"`min_days={min_days}`, `confidence={confidence}`", remedy="use at least 2 days and, say, 0.95"
        )
    measured = (records.n >= min_days) & np.isfinite(records.sharpe)
    z = skill_scores(records)
    spread = _spread(z[measured])
    z_star = expected_maximum_sharpe(n_observed, spread**2)
    variance = sharpe_variance(records.sharpe[measured])
    published = expected_maximum_sharpe(n_observed, variance)
    error = np.sqrt(_variance_factor(records))
    root = np.sqrt(np.maximum(records.n - 1, 1))
    quantile = _NORMAL.inv_cdf(confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.where(records.sharpe > 0, 1 + (error * quantile / records.sharpe) ** 2, np.inf)
    return Luck(
        n_observed=n_observed,
        n_records=int(measured.sum()),
        spread=spread,
        z_star=z_star,
        variance=variance,
        psr=_cdf(records.sharpe * root / error),
        dsr=_cdf((records.sharpe - published) * root / error),
        threshold=z_star * np.maximum(error, 1) / root,
        deflated_skill=_cdf(z - z_star),
        min_track_record=np.where(np.isfinite(records.sharpe), length, np.nan),
    )


def skill_scores(records: Records) -> FloatArray:
    """Return by how many of its own errors each Sharpe ratio is above 0: z of the module's text.

    It orders traders by deflated skill, also where that rounds to 1. NaN without a Sharpe ratio.
    """
    root = np.sqrt(np.maximum(records.n - 1, 1))
    return np.asarray(records.sharpe * root / np.sqrt(np.maximum(_variance_factor(records), 1)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class StandardPanel:
    """Daily profits, each trader's less its mean and divided by its deviation, 0 outside its record.

    Attributes:
        values: shape (days, traders). mean: of each trader in units of its deviation; NaN without variation.
        first, last: places of the first and last days, shape (traders,).
    """

    values: FloatArray
    mean: FloatArray
    first: IntArray
    last: IntArray


def standard_panel(pnl: Any, first: Any, last: Any) -> StandardPanel:
    """Standardise a panel, so that neither size nor mean costs digits; arguments and errors as :func:`records_of`."""
    values = np.asarray(pnl, dtype=np.float64)
    start, end = np.asarray(first, dtype=np.int64), np.asarray(last, dtype=np.int64)
    if values.ndim != 2 or start.shape != (values.shape[1],) or end.shape != start.shape:
        raise ModelError(
            f"profits of shape {values.shape} with {start.shape} first and {end.shape} last days",
            remedy="give shape (days, traders), and one first and one last day for each trader",
        )
    if not bool(np.isfinite(values).all()):
        raise ModelError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} daily profits are not finite",
            remedy="put 0 where nothing was earned",
        )
    if len(start) and (start.min() < 0 or end.max() >= len(values) or bool((end < start).any())):
        raise ModelError(
            f"first days {start.min()} to {start.max()}, last days {end.min()} to {end.max()}, for {len(values)} days",
            remedy="give places from 0, the last not before the first",
        )
    day = np.arange(len(values))[:, None]
    inside = (day >= start) & (day <= end)
    kept = np.where(inside, values, 0.0)
    largest = np.abs(kept).max(axis=0, initial=0.0)
    # Scaled to the largest first, so that squares neither overflow nor vanish.
    kept = kept / np.where(largest > 0, largest, 1.0)
    n = end - start + 1
    mean = kept.sum(axis=0) / n
    deviation = np.where(inside, kept - mean, 0.0)
    size = np.sqrt((deviation**2).sum(axis=0) / n)
    varies = size > _NO_VARIATION
    scale = np.where(varies, size, 1.0)
    return StandardPanel(deviation / scale, np.where(varies, mean / scale, np.nan), start, end)


def resampled_records(counts: FloatArray, panel: StandardPanel) -> Records:
    """Measure resamples of days: ``counts`` says how often each has each day, shape (resamples, days).

    The arrays of the result have shape (resamples, traders).
    """
    reached = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    sums, power = [], np.ones_like(panel.values)
    for _ in range(4):
        power = power * panel.values
        sums.append(counts @ power)
    return _moments(reached[:, panel.last + 1] - reached[:, panel.first], sums, panel.mean)


def _moments(n: FloatArray, sums: list[FloatArray], shift: FloatArray) -> Records:
    """Return moments from sums of powers of values to which ``shift`` is yet to be added."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, second, third, fourth = (total / n for total in sums)
        variance = second - mean**2
        known = (n >= 2) & (variance > _NO_VARIATION * (second + shift**2))
        variance = np.where(known, variance, np.nan)
        return Records(
            n=n,
            sharpe=(mean + shift) / np.sqrt(variance * n / (n - 1)),
            skew=(third - 3 * mean * second + 2 * mean**3) / variance**1.5,
            kurtosis=(fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / variance**2,
        )


def _variance_factor(records: Records) -> FloatArray:
    """(n - 1) times the variance of each Sharpe ratio's estimate (Mertens 2002); NaN without one.

    It is at least ``(1 - skew S / 2)^2``, so 0 only for two values that touch it; rounding must not take it below.
    """
    factor = 1 - records.skew * records.sharpe + (records.kurtosis - 1) / 4 * records.sharpe**2
    return np.asarray(np.maximum(factor, 1e-9), dtype=np.float64)


def _spread(z: FloatArray) -> float:
    """Return the standard deviation of a normal with the interquartile range of ``z`` [E], at least 1."""
    if len(z) < 4:
        return 1.0
    low, high = np.quantile(z, [0.25, 0.75])
    return max(float(high - low) / (2 * _NORMAL.inv_cdf(0.75)), 1.0)


def _cdf(x: FloatArray) -> FloatArray:
    return np.array([0.5 * erfc(-value / sqrt(2)) for value in x.tolist()], dtype=np.float64)
