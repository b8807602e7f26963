"""Slow references for blends and their cross-validation, in loops over rows and folds, written from the definitions."""

import math
from itertools import combinations

import numpy as np

from tests.oracles.splits import cpcv_splits, folds_of
from trademl.validation.spans import LabelSpans


def blend_one(
    row: list[float], means: tuple[float, ...], scales: tuple[float, ...], weights: tuple[float, ...], level: float
) -> float:
    """The linear blend of one row's scores; the weights of those there are scaled up to the size of all."""
    there = [column for column, score in enumerate(row) if not math.isnan(score)]
    if not there:
        return math.nan
    known = sum(abs(weights[column]) for column in there)
    up = sum(map(abs, weights)) / known if known > 0 else 1.0
    return level + up * sum(weights[column] * (row[column] - means[column]) / scales[column] for column in there)


def ridge_by_rows(
    scores: np.ndarray, y: np.ndarray, weight: np.ndarray | None, penalty: float
) -> tuple[list[float], list[float], np.ndarray, float]:
    """Means, scales, weights and level of a ridge blend, every sum a loop over rows."""
    n, m = scores.shape
    w = [1.0] * n if weight is None else [float(value) for value in weight]
    total = sum(w)
    means = [sum(w[i] * scores[i, j] for i in range(n)) / total for j in range(m)]
    scales = [math.sqrt(sum(w[i] * (scores[i, j] - means[j]) ** 2 for i in range(n)) / total) for j in range(m)]
    level = sum(w[i] * y[i] for i in range(n)) / total
    z = [[(scores[i, j] - means[j]) / scales[j] for j in range(m)] for i in range(n)]
    left = [[sum(w[i] * z[i][a] * z[i][b] for i in range(n)) / total for b in range(m)] for a in range(m)]
    right = [sum(w[i] * z[i][a] * (y[i] - level) for i in range(n)) / total for a in range(m)]
    return means, scales, np.linalg.solve(np.array(left) + penalty * np.eye(m), np.array(right)), level


def meta_inputs(
    spans: LabelSpans, n_folds: int, n_test_folds: int, embargo: int, purge: str, fold: int
) -> list[tuple[int, int, int]]:
    """(row, split, path) of every row that trains the meta-learner of ``fold``.

    The row is outside the fold, purged and embargoed against it; the split is the first choice of folds that has the
    row's own and ``fold``; the path is how many earlier choices have the row's own fold.
    """
    train, _, _ = cpcv_splits(spans, n_folds, 1, embargo, purge)[fold]
    folds = folds_of(spans, n_folds)
    choices = list(combinations(range(n_folds), n_test_folds))
    found = []
    for row in train:
        split = next(number for number, choice in enumerate(choices) if {fold, folds[row]} <= set(choice))
        path = sum(folds[row] in choice for choice in choices[:split])
        found.append((row, split, path))
    return found
