"""Slow references for the ranking of traders, written from the papers and the text of docs/skill.md, one at a time."""

from collections.abc import Sequence
from math import e, exp, log, sqrt
from statistics import NormalDist

NORMAL = NormalDist()
EULER = 0.5772156649015329


def luckiest(n: int) -> float:
    """Expected maximum of n standard normals, equation 1 of the deflated Sharpe ratio."""
    if n == 1:
        return 0.0
    return (1 - EULER) * NORMAL.inv_cdf(1 - 1 / n) + EULER * NORMAL.inv_cdf(1 - 1 / (n * e))


def moments(values: Sequence[float]) -> tuple[float, float, float]:
    """Sharpe ratio (n - 1), population skewness and Pearson kurtosis of one record."""
    n = len(values)
    mean = sum(values) / n
    central = [sum((value - mean) ** power for value in values) / n for power in (2, 3, 4)]
    return mean / sqrt(central[0] * n / (n - 1)), central[1] / central[0] ** 1.5, central[2] / central[0] ** 2


def probability(values: Sequence[float], threshold: float) -> float:
    """Probability that the true Sharpe ratio of one record is above a threshold."""
    return NORMAL.cdf((moments(values)[0] - threshold) * sqrt(len(values) - 1) / error_of(values))


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between the order statistics, as numpy's default."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def error_of(values: Sequence[float]) -> float:
    """sqrt(n - 1) times the standard error of one record's Sharpe ratio."""
    sharpe, skew, kurtosis = moments(values)
    return sqrt(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)


def deflated(records: Sequence[Sequence[float]], observed: int, min_days: int) -> tuple[list[float], list[float]]:
    """The paper's deflated Sharpe ratio and the deflated skill of every record."""
    sharpes = [moments(record)[0] for record in records]
    long = [place for place, record in enumerate(records) if len(record) >= min_days]
    z = [
        sharpe * sqrt(len(record) - 1) / max(error_of(record), 1)
        for sharpe, record in zip(sharpes, records, strict=True)
    ]
    spread = 1.0
    if len(long) >= 4:
        known = [z[place] for place in long]
        spread = max(1.0, (quantile(known, 0.75) - quantile(known, 0.25)) / (2 * NORMAL.inv_cdf(0.75)))
    variance = 0.0
    if len(long) > 1:
        mean = sum(sharpes[place] for place in long) / len(long)
        variance = sum((sharpes[place] - mean) ** 2 for place in long) / (len(long) - 1)
    published = sqrt(variance) * luckiest(observed)
    return (
        [probability(record, published) for record in records],
        [NORMAL.cdf(own - spread * luckiest(observed)) for own in z],
    )


def growth_after(sizes: Sequence[float], results: Sequence[float]) -> tuple[float, float]:
    """Geometric mean growth of size after losses over that after gains, and Welch's t of the logarithms."""
    after: dict[bool, list[float]] = {True: [], False: []}
    for place in range(1, len(sizes)):
        if results[place - 1] != 0:
            after[results[place - 1] < 0].append(log(sizes[place] / sizes[place - 1]))
    mean = {lost: sum(found) / len(found) for lost, found in after.items()}
    error = sum(
        sum((value - mean[lost]) ** 2 for value in found) / (len(found) - 1) / len(found)
        for lost, found in after.items()
    )
    difference = mean[True] - mean[False]
    return exp(difference), difference / sqrt(error)
