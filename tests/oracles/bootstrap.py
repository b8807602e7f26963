"""Slow references for the stationary bootstrap, written from the papers, one value at a time."""

from collections.abc import Sequence
from math import ceil, log10, sqrt

import numpy as np


def stationary_indices(n: int, n_resamples: int, block: float, rng: np.random.Generator) -> list[list[int]]:
    """Walk along each resampled series: a new random place with probability 1 / block, else the next value."""
    chance, first = rng.random((n_resamples, n)), rng.integers(0, n, (n_resamples, n))
    resamples = []
    for resample in range(n_resamples):
        walked: list[int] = []
        for place in range(n):
            if place == 0 or chance[resample, place] < 1 / block:
                walked.append(int(first[resample, place]))
            else:
                walked.append((walked[-1] + 1) % n)
        resamples.append(walked)
    return resamples


def variance_of_mean(values: Sequence[float], block: float) -> float:
    """The exact variance of a resampled mean (Politis & Romano 1994, lemma 1), from circular autocovariances."""
    n, p = len(values), 1 / block
    mean = sum(values) / n
    total = 0.0
    for s in range(n):
        for t in range(n):
            gap = abs(s - t)
            # Value t follows value s, gap places on, in the same block; otherwise the two are independent.
            together = (1 - p) ** gap
            circular = sum((values[i] - mean) * (values[(i + gap) % n] - mean) for i in range(n)) / n
            total += together * circular
    return total / n**2


def optimal_block(values: Sequence[float]) -> float:
    """The automatic block length of Politis & White (2004) as corrected in 2009, lag by lag."""
    n = len(values)
    mean = sum(values) / n
    deviation = [value - mean for value in values]

    def covariance(lag: int) -> float:
        return sum(deviation[t] * deviation[t - lag] for t in range(lag, n)) / n

    def correlation(lag: int) -> float:
        ahead = sum(deviation[t] ** 2 for t in range(lag, n))
        behind = sum(deviation[t] ** 2 for t in range(n - lag))
        return n * covariance(lag) / sqrt(ahead * behind)

    run = max(5, ceil(sqrt(log10(n))))
    furthest = min(ceil(sqrt(n)) + run, n - 1)
    outside = {lag: abs(correlation(lag)) >= 2 * sqrt(log10(n) / n) for lag in range(1, furthest + 1)}
    reach = next(
        (lag for lag in range(1, furthest - run + 2) if not any(outside[lag + k] for k in range(run))),
        max((lag for lag in outside if outside[lag]), default=1),
    )
    window = min(2 * reach, furthest)
    g = spectrum = 0.0
    for lag in range(-window, window + 1):
        share = abs(lag) / window
        weight = 1.0 if share <= 0.5 else 2 * (1 - share)
        g += weight * abs(lag) * covariance(abs(lag))
        spectrum += weight * covariance(abs(lag))
    largest = ceil(min(3 * sqrt(n), n / 3))
    return min(max((2 * g**2 / (2 * spectrum**2)) ** (1 / 3) * n ** (1 / 3), 1.0), max(largest, 1))
