"""Slow references for the shape of a signal, one date at a time."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy.stats import rankdata, spearmanr


def decay(
    score: Sequence[float], value: Sequence[float], session: Sequence[int], entity: Sequence[int], lag: int
) -> tuple[float, int]:
    """Return mean and number of the daily rank correlations of scores with the names' outcomes ``lag`` sessions on."""
    outcome = {(day, name): found for day, name, found in zip(session, entity, value, strict=True)}
    daily = []
    for day in sorted(set(session)):
        pairs = [
            (mine, outcome[day + lag, name])
            for mine, when, name in zip(score, session, entity, strict=True)
            if when == day and (day + lag, name) in outcome
        ]
        pairs = [pair for pair in pairs if np.isfinite(pair).all()]
        sides = list(zip(*pairs, strict=True))
        if len(pairs) >= 3 and len(set(sides[0])) > 1 and len(set(sides[1])) > 1:
            daily.append(float(spearmanr(*sides).statistic))
    return (float(np.mean(daily)) if daily else float("nan")), len(daily)


def quantile_means(
    score: Sequence[float], value: Sequence[float], dates: Sequence[int], quantiles: int
) -> list[tuple[float, int]]:
    """Return for each quantile the mean over dates of its mean outcome, and the number of those dates."""
    daily: list[list[float]] = [[] for _ in range(quantiles)]
    for day in sorted(set(dates)):
        rows = [(s, v) for s, v, when in zip(score, value, dates, strict=True) if when == day]
        rows = [row for row in rows if np.isfinite(row).all()]
        ranks = rankdata([s for s, _ in rows]) if rows else []
        cells: dict[int, list[float]] = {}
        for rank, (_, outcome) in zip(ranks, rows, strict=True):
            cells.setdefault(ceil(quantiles * rank / len(rows)) - 1, []).append(outcome)
        for cell, found in cells.items():
            daily[cell].append(sum(found) / len(found))
    return [(float(np.mean(found)) if found else float("nan"), len(found)) for found in daily]
