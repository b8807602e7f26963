"""Slow references for ranks, correlations, calibration and uniqueness, in plain loops."""

from collections.abc import Sequence
from fractions import Fraction
from math import sqrt


def average_ranks(values: Sequence[float]) -> list[float]:
    """Rank from 1; equal values share the mean of the ranks they would take."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    """Linear correlation."""
    n = len(a)
    mean_a, mean_b = sum(a) / n, sum(b) / n
    together = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread_a, spread_b = sum((x - mean_a) ** 2 for x in a), sum((y - mean_b) ** 2 for y in b)
    return together / sqrt(spread_a * spread_b)


def isotonic(y: Sequence[int], weight: Sequence[int]) -> list[Fraction]:
    """The weighted isotonic fit by its max-min formula, exactly: max over i <= k of min over j >= k of mean(i..j)."""
    n = len(y)

    def mean(i: int, j: int) -> Fraction:
        total = sum(weight[k] for k in range(i, j + 1))
        return Fraction(sum(y[k] * weight[k] for k in range(i, j + 1)), total)

    return [max(min(mean(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)]


def uniqueness(first: Sequence[int], last: Sequence[int], entity: Sequence[int]) -> list[float]:
    """Mean over a label's bars of 1 / the number of its entity's labels on that bar."""
    result = []
    for i in range(len(first)):
        shares = []
        for bar in range(first[i], last[i] + 1):
            alive = sum(entity[j] == entity[i] and first[j] <= bar <= last[j] for j in range(len(first)))
            shares.append(1 / alive)
        result.append(sum(shares) / len(shares))
    return result


def newey_west_t(series: Sequence[float], lags: int) -> float:
    """Mean over its Newey-West standard error, from the full matrix of Bartlett weights."""
    n = len(series)
    mean = sum(series) / n
    variance = 0.0
    for s in range(n):
        for t in range(n):
            weight = max(0.0, 1 - abs(s - t) / (lags + 1))
            variance += weight * (series[s] - mean) * (series[t] - mean)
    return mean / (sqrt(variance) / n)
