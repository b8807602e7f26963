"""Slow references for splits, in loops over rows and pairs, written from the definitions alone."""

from itertools import combinations

import numpy as np

from trademl.validation.spans import LabelSpans


def folds_of(spans: LabelSpans, n_folds: int) -> list[int]:
    """The fold of each row: numpy's own array_split over the sorted distinct sessions."""
    blocks = np.array_split(np.array(sorted({int(start) for start in spans.start})), n_folds)
    fold_of_session = {int(session): fold for fold, block in enumerate(blocks) for session in block}
    return [fold_of_session[int(start)] for start in spans.start]


def overlap(spans: LabelSpans, i: int, j: int) -> bool:
    """Whether the information intervals of two rows share a session."""
    return any(
        spans.start[j] <= session <= spans.end[j] for session in range(int(spans.start[i]), int(spans.end[i]) + 1)
    )


def overlapping_pairs(
    spans: LabelSpans, train: list[int], test: list[int], *, same_entity: bool
) -> list[tuple[int, int]]:
    """Every (train, test) pair whose intervals overlap."""
    return [
        (i, j)
        for i in train
        for j in test
        if overlap(spans, i, j) and (not same_entity or spans.entity[i] == spans.entity[j])
    ]


def cpcv_splits(
    spans: LabelSpans, n_folds: int, n_test_folds: int, embargo: int, purge: str
) -> list[tuple[list[int], list[int], tuple[int, ...]]]:
    """The splits of combinatorial purged cross-validation as (train, test, test folds), row by row."""
    folds = folds_of(spans, n_folds)
    result = []
    for chosen in combinations(range(n_folds), n_test_folds):
        test = [row for row in range(len(spans)) if folds[row] in chosen]
        label_ends = []
        for fold in chosen:
            if fold + 1 in chosen:
                continue
            first = fold
            while first - 1 in chosen:
                first -= 1
            label_ends.append(max(int(spans.end[row]) for row in test if first <= folds[row] <= fold))
        train = []
        for row in range(len(spans)):
            if row in test:
                continue
            leaks = overlapping_pairs(spans, [row], test, same_entity=purge == "entity")
            waits = any(end < spans.start[row] <= end + embargo for end in label_ends)
            if not leaks and not waits:
                train.append(row)
        result.append((train, test, chosen))
    return result
