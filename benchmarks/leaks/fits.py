"""Leaks on the way to the fit: the matrix, and the splits."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.leaks import EMBARGO, FOLDS, TEST_FOLDS, Leak
from trademl.rng import stream
from trademl.training.dataset import TrainingData
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.spans import LabelSpans
from trademl.validation.splits import Split


def standardised(data: TrainingData) -> TrainingData:
    """Scale the matrix with the mean and deviation of all rows, test rows among them."""
    scaled = ((data.X - np.nanmean(data.X, axis=0)) / np.nanstd(data.X, axis=0)).astype(np.float32)
    return replace(data, X=scaled)


def imputed(data: TrainingData) -> TrainingData:
    """Hide some cells and fill them with the mean of all rows."""
    X = data.X.copy()
    hidden = stream(3, "imputed").random(X.shape) < 0.02
    return replace(data, X=np.where(hidden, np.nanmean(X, axis=0), X).astype(np.float32))


def shuffled_labels(data: TrainingData) -> TrainingData:
    """Give each date's rows the labels of the same date in order of their size: the target in the order of rows."""
    value = data.value.copy()
    for day in np.unique(data.dates):
        of_day = data.dates == day
        value[of_day] = np.sort(value[of_day])
    return replace(data, value=value)


MATRIX_LEAKS = (
    Leak("preprocessing fitted on test folds: scaling", "matrix_differs_from_gold", matrix=standardised),
    Leak("preprocessing fitted on test folds: imputation", "matrix_differs_from_gold", matrix=imputed),
    Leak("labels sorted against the rows", "matrix_differs_from_gold", matrix=shuffled_labels),
    Leak(
        "target less the mean of the whole sample",
        "target_differs_from_label",
        matrix=lambda data: replace(data, target=data.value - data.value.mean()),
    ),
    Leak(
        "winners weighted up in the fit",
        "matrix_weight_differs",
        matrix=lambda data: replace(data, weight=data.weight * (1 + (data.value > 0))),
    ),
)


def cpcv(data: TrainingData, spans: LabelSpans | None = None, embargo: int = EMBARGO) -> list[Split]:
    """Return the product's splits, of other spans or with another embargo if given."""
    return list(CombinatorialPurgedCV(FOLDS, TEST_FOLDS, embargo).split(spans or data.spans))


def unpurged(data: TrainingData) -> list[Split]:
    """Take labels to end on their decision: nothing is purged."""
    return cpcv(data, LabelSpans(data.spans.start, data.spans.start, data.spans.entity), EMBARGO + 5)


def early_ends(data: TrainingData) -> list[Split]:
    """Take labels to end a session before they do."""
    return cpcv(data, LabelSpans(data.spans.start, data.spans.end - 1, data.spans.entity), EMBARGO + 1)


def by_row_count(data: TrainingData) -> list[Split]:
    """Purge and embargo by a number of rows on both sides, as if the panel were one series."""
    order, n, found = np.arange(len(data)), len(data), []
    blocks: list[NDArray[Any]] = np.array_split(order, FOLDS)
    for first in range(FOLDS):
        for second in range(first + 1, FOLDS):
            keep = np.ones(n, dtype=bool)
            for block in (blocks[first], blocks[second]):
                keep[max(block[0] - 5, 0) : block[-1] + 1 + EMBARGO] = False
            test = np.concatenate([blocks[first], blocks[second]])
            found.append(Split(len(found), order[keep].astype(np.int64), test.astype(np.int64), (first, second)))
    return found


def shuffled(data: TrainingData) -> list[Split]:
    """Draw folds row by row: rows of one date on both sides."""
    fold = stream(5, "shuffled").integers(0, FOLDS, len(data))
    return [Split(k, np.flatnonzero(fold != k), np.flatnonzero(fold == k), (k,)) for k in range(FOLDS)]


def in_both_roles(data: TrainingData) -> list[Split]:
    """Train on a few of the rows that are tested."""
    splits = cpcv(data)
    return [splits[0]._replace(train=np.union1d(splits[0].train, splits[0].test[:3])), *splits[1:]]


def hard_rows_untested(data: TrainingData) -> list[Split]:
    """Never test the rows with the largest moves."""
    easy = np.abs(data.value) < np.quantile(np.abs(data.value), 0.99)
    return [split._replace(test=split.test[easy[split.test]]) for split in cpcv(data)]


SPLIT_LEAKS = (
    Leak("no purge", "overlap_any_entity", splits=unpurged),
    Leak("purge by labels that end a session early", "overlap_any_entity", splits=early_ends),
    Leak("purge by a number of rows", "overlap_any_entity", splits=by_row_count),
    Leak("folds drawn row by row, dates on both sides", "overlap_any_entity", splits=shuffled),
    Leak("no embargo", "embargo_after_test", splits=lambda data: cpcv(data, embargo=0)),
    Leak("embargo one session short", "embargo_after_test", splits=lambda data: cpcv(data, embargo=EMBARGO - 1)),
    Leak("rows both trained on and tested", "train_and_test", splits=in_both_roles),
    Leak("hard rows never tested", "tested_in_no_path", splits=hard_rows_untested),
)
