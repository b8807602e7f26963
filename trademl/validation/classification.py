"""How well classes are predicted: accuracy beside the largest class, and precision, recall and F1 of each class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

Classes = NDArray[np.integer] | NDArray[np.floating]


@dataclass(frozen=True)
class ClassReport:
    """One class.

    Attributes:
        label: the class.
        support: rows that are of it.
        predicted: rows that were said to be.
        precision: share of the predicted rows that are of it; 0 when none was predicted.
        recall: share of its rows that were predicted; NaN when it has none.
        f1: harmonic mean of the two, 0 when both are 0; NaN when recall is.
    """

    label: int
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Classification:
    """All classes.

    Attributes:
        rows: how many were judged.
        accuracy: share predicted right.
        majority: share of the most frequent class: the accuracy of always saying it.
        macro_f1: mean F1 over the classes that occur.
        classes: a report of each, in the order asked for.
    """

    rows: int
    accuracy: float
    majority: float
    macro_f1: float
    classes: tuple[ClassReport, ...]


def classification(predicted: Classes, actual: Classes, classes: Sequence[int]) -> Classification:
    """Compare predicted with actual classes, both of shape (rows,).

    Raises:
        ModelError: no row, two lengths, or a value that is none of ``classes``.

    >>> found = classification(np.array([1, 1, 0]), np.array([1, 0, 0]), (0, 1))
    >>> found.accuracy, [one.precision for one in found.classes]
    (0.6666666666666666, [1.0, 0.5])
    """
    if predicted.shape != actual.shape or predicted.ndim != 1 or not len(predicted):
        raise ModelError(
            f"classes have shapes {predicted.shape} and {actual.shape}", remedy="give one predicted class for each row"
        )
    for name, values in (("predicted", predicted), ("actual", actual)):
        strange = ~np.isin(values, classes)
        if strange.any():
            raise ModelError(
                f"{name} class of row {int(np.argmax(strange))} is {values[np.argmax(strange)]}, classes are "
                f"{', '.join(map(str, classes))}",
                remedy="leave out rows without a class",
            )
    reports = tuple(_report(predicted == label, actual == label, label) for label in classes)
    known = [one.f1 for one in reports if one.support]
    return Classification(
        rows=len(actual),
        accuracy=float((predicted == actual).mean()),
        majority=max(one.support for one in reports) / len(actual),
        macro_f1=float(np.mean(known)),
        classes=reports,
    )


def _report(said: NDArray[np.bool_], true: NDArray[np.bool_], label: int) -> ClassReport:
    right, support, predicted = int((said & true).sum()), int(true.sum()), int(said.sum())
    precision = right / predicted if predicted else 0.0
    recall = right / support if support else float("nan")
    # 2 P R / (P + R), in counts: without a division by 0 where both are.
    f1 = 2 * right / (support + predicted) if support else float("nan")
    return ClassReport(label, support, predicted, precision, recall, f1)
