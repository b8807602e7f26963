"""A slow reference for clusters of trials: lists of columns, every distance and silhouette by its definition."""

from collections.abc import Sequence
from math import sqrt, tanh
from statistics import NormalDist

from tests.oracles.statistics import pearson


def clusters(columns: Sequence[Sequence[float]]) -> tuple[list[list[int]], float]:
    """The best cut of average linkage by mean silhouette, as lists of column indices, and that silhouette."""
    n, periods = len(columns), len(columns[0])
    distance = [[sqrt(max(1 - pearson(a, b), 0.0) / 2) for b in columns] for a in columns]

    def apart(one: list[int], other: list[int]) -> float:
        return sum(distance[i][j] for i in one for j in other) / (len(one) * len(other))

    def silhouette(i: int, cut: list[list[int]]) -> float:
        own = next(members for members in cut if i in members)
        if len(own) == 1:
            return 0.0
        inside = sum(distance[i][j] for j in own if j != i) / (len(own) - 1)
        outside = min([apart([i], members) for members in cut if members is not own] + [sqrt(0.5)])
        return (outside - inside) / max(outside, inside)

    pairs = n * (n - 1) / 2
    chance = tanh(NormalDist().inv_cdf(1 - 0.05 / pairs) / sqrt(periods - 3))
    limit = min(0.75 * sqrt(0.5), sqrt((1 - chance) / 2))
    cut = [[i] for i in range(n)]
    best, quality = cut, 0.0
    while len(cut) > 1:
        nearest, a, b = min((apart(cut[a], cut[b]), a, b) for a in range(len(cut)) for b in range(a))
        if nearest > limit:
            break
        cut = [members for at, members in enumerate(cut) if at not in (a, b)] + [cut[a] + cut[b]]
        mean = sum(silhouette(i, cut) for i in range(n)) / n
        if mean >= quality:
            best, quality = cut, mean
    return best, quality
