"""The losses of boosting, computed in numpy: squared error on a label, logistic loss on the log-odds of class 1, and
cross-entropy on the margins of three classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl.models.base import CLASSES, Task
from trademl.models.softmax import softmax

_PROBABILITY = 1e-6
_HESSIAN = 1e-16


@dataclass(frozen=True)
class Labels:
    """Labels and weights of some rows (float64, one each).

    A ``score`` of theirs has one number per row, or for three classes three: the margins of -1, 0 and 1.
    """

    y: NDArray[np.float64]
    weight: NDArray[np.float64]
    task: Task

    def start(self) -> NDArray[np.float64]:
        """Return the best constant score, one number or three: weighted mean label, log-odds, or log shares."""
        if self.task == "three_class":
            share = np.array([self.weight[self.y == label].sum() for label in CLASSES]) / self.weight.sum()
            start: NDArray[np.float64] = np.log(np.maximum(share, _PROBABILITY))
            return start
        mean = float((self.weight * self.y).sum() / self.weight.sum())
        if self.task == "regression":
            return np.array([mean])
        p = min(max(mean, _PROBABILITY), 1 - _PROBABILITY)
        return np.array([float(np.log(p / (1 - p)))])

    def derivatives(self, score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return first and second derivative by the score, weighted, in its shape; of the squared error, half of it.

        With three classes the second one is doubled, as in XGBoost: twice the diagonal of the matrix of second
        derivatives is never below the matrix itself, so that a Newton step in each class alone does not go too far.
        """
        if self.task == "regression":
            return self.weight * (score - self.y), self.weight.copy()
        if self.task == "three_class":
            p = softmax(score)
            weight = self.weight[:, None]
            return weight * (p - self._indicator()), weight * np.maximum(2 * p * (1 - p), _HESSIAN)
        # In this form exp does not overflow.
        p = np.where(score >= 0, 1.0, np.exp(-np.abs(score))) / (1 + np.exp(-np.abs(score)))
        return self.weight * (p - self.y), self.weight * np.maximum(p * (1 - p), _HESSIAN)

    def loss(self, score: NDArray[np.float64]) -> float:
        """Return the weighted mean loss."""
        if self.task == "regression":
            each = (score - self.y) ** 2
        elif self.task == "three_class":
            peak = score.max(axis=1)
            total = np.log(np.exp(score - peak[:, None]).sum(axis=1)) + peak
            each = total - (score * self._indicator()).sum(axis=1)
        else:
            each = np.logaddexp(0, score) - self.y * score
        return float((self.weight * each).sum() / self.weight.sum())

    def _indicator(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.y[:, None] == np.array(CLASSES)
        return found


class BestRound:
    """The round with the least loss so far; time to stop is after ``patience`` rounds without a better one."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.number = 0
        self._least = np.inf
        self._seen = 0

    def stop_after(self, loss: float) -> bool:
        """Take the loss of the next round; return whether to stop."""
        if loss < self._least:
            self.number, self._least = self._seen, loss
        self._seen += 1
        return self._seen - 1 - self.number >= self.patience


def exactly_summable(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32 numbers whose partial sums, in any order, are all exact in float64; any shape.

    With the sum of absolute values below 2**e, multiples of 2**(e - 52) are; what is lost of a value, beyond float32's
    own rounding, is below 2**-52 of that sum.
    """
    narrow = values.astype(np.float32).astype(np.float64)
    e = int(np.frexp(np.abs(narrow).sum())[1]) - 52
    return np.ldexp(np.rint(np.ldexp(narrow, -e)), e).astype(np.float32)
