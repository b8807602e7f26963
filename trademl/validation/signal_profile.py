"""The shape of a signal: how long it lasts, and whether every part of its ranking is worth something."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.validation.metrics import information_coefficient, ranks_within_dates, summarise_ic

FloatArray = NDArray[np.float64]

DECAY_LAGS = (0, 1, 2, 3, 5, 7, 10, 15, 20)
"""Sessions between a score and the start of the label it is compared with."""

QUANTILES = 10


@dataclass(frozen=True)
class DecayPoint:
    """Rank IC of a score with the label that starts ``lag`` sessions later: mean over dates, Newey-West t, dates."""

    lag: int
    rank_ic: float
    rank_ic_t: float
    dates: int


@dataclass(frozen=True)
class QuantileMean:
    """Mean outcome of one quantile of the score, 1 lowest; each date weighs the same. ``dates`` have a row in it."""

    quantile: int
    mean: float
    dates: int


def rank_ic_decay(
    score: FloatArray,
    value: FloatArray,
    session: NDArray[np.int64],
    entity: NDArray[np.int64],
    *,
    lags: Sequence[int] = DECAY_LAGS,
    overlap: int = 0,
) -> tuple[DecayPoint, ...]:
    """Correlate each date's scores with the outcomes of the same names some sessions later.

    A signal that is gone after a session must be traded at once; one that lasts can be traded slowly. Names without an
    outcome at the later session drop out of its cross-section.

    Args:
        score: predictions, shape (n,); NaN where there is none.
        value: outcomes, shape (n,).
        session: ordinal of each row's session; the gaps in these numbers are real sessions.
        entity: code of each row's name, from 0; one row per session and name.
        lags: sessions to wait, at least 0.
        overlap: sessions that neighbouring outcomes share, horizon - 1: the fewest Newey-West lags.

    Raises:
        ModelError: arrays of different lengths, a negative lag or code, or two rows of one name on one session.
    """
    n = len(score)
    if not len(value) == len(session) == len(entity) == n or min(lags, default=0) < 0:
        raise ModelError(
            f"{n} scores, {len(value)} outcomes, {len(session)} sessions, {len(entity)} names, lags {tuple(lags)}",
            remedy="give arrays of one length, and lags of at least 0",
        )
    if n == 0:
        return tuple(DecayPoint(lag, np.nan, np.nan, 0) for lag in lags)
    if int(entity.min()) < 0:
        raise ModelError(f"a name has the code {int(entity.min())}", remedy="count the names from 0")
    first, last = int(session.min()), int(session.max())
    place = np.full((last - first + 1, int(entity.max()) + 1), -1, dtype=np.int64)
    place[session - first, entity] = np.arange(n)
    if int((place >= 0).sum()) != n:
        raise ModelError(
            f"{n - int((place >= 0).sum())} of {n} rows repeat a name on its session", remedy="give each once"
        )
    points = []
    for lag in lags:
        rows = np.flatnonzero(session + lag <= last)
        later = place[session[rows] + lag - first, entity[rows]]
        rows, later = rows[later >= 0], later[later >= 0]
        series = information_coefficient(score[rows], value[later], session[rows]).spearman
        defined = int(np.isfinite(series).sum())
        automatic = int(4 * (max(defined, 1) / 100) ** (2 / 9))
        summary = summarise_ic(series, lags=max(overlap, automatic))
        points.append(DecayPoint(int(lag), summary.mean, summary.t_stat, defined))
    return tuple(points)


def quantile_means(
    score: FloatArray, value: FloatArray, dates: NDArray[Any], *, quantiles: int = QUANTILES
) -> tuple[QuantileMean, ...]:
    """Average outcomes by quantile of the score within its date, as marts.decile_returns does: each date weighs one.

    A row's quantile is ``ceil(quantiles rank / n)`` with its average-tie rank among the n rows of its date, so ties
    share one and a date of few rows leaves some empty. Pairs with a NaN are left out.

    Raises:
        ModelError: fewer than 2 quantiles, or arrays of different lengths.
    """
    if quantiles < 2:
        raise ModelError(f"`quantiles={quantiles}` is no ranking", remedy="use at least 2")
    if not len(score) == len(value) == len(dates):
        raise ModelError(
            f"{len(score)} scores, {len(value)} outcomes, {len(dates)} dates", remedy="give arrays of one length"
        )
    finite = np.isfinite(score) & np.isfinite(value)
    outcome = np.asarray(value, dtype=np.float64)[finite]
    days, code = np.unique(np.asarray(dates)[finite], return_inverse=True)
    rank = ranks_within_dates(np.asarray(score, dtype=np.float64)[finite], code)
    size = np.bincount(code, minlength=len(days))
    quantile = np.ceil(quantiles * rank / size[code]).astype(np.int64) - 1
    cell = code * quantiles + quantile
    count = np.bincount(cell, minlength=len(days) * quantiles).reshape(len(days), quantiles)
    total = np.bincount(cell, outcome, len(days) * quantiles).reshape(len(days), quantiles)
    daily = np.where(count > 0, total / np.maximum(count, 1), 0.0)
    there = (count > 0).sum(axis=0)
    means = np.where(there > 0, daily.sum(axis=0) / np.maximum(there, 1), np.nan)
    return tuple(
        QuantileMean(number + 1, float(mean), int(dates_with))
        for number, (mean, dates_with) in enumerate(zip(means, there, strict=True))
    )
