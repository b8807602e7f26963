"""What the probabilities of the task ``binary`` are worth: AUC, Brier score, log loss and calibration error, beside the
base rate that was known before.

Here the model's own probabilities are judged, the logistic of its score, per split and over all splits of a path. The
base rate of a split is the mean label of the rows that ended before its first decision; where there is none, of the
rows outside the split.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from trademl.training.dataset import TrainingData
from trademl.validation.calibration import brier, ece, log_loss
from trademl.validation.discrimination import auc
from trademl.validation.sigmoid import sigmoid

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BinaryMetrics:
    """Measures of probabilities of an event; NaN where they are undefined, as AUC is without both classes.

    Attributes:
        events: rows in which it happened.
        base_rate: their share.
        auc: area under the ROC curve of the score.
        brier, log_loss: mean squared error, and mean negative log-likelihood in nats.
        brier_of_base_rate, log_loss_of_base_rate: the same of the rate that was known before.
        ece: expected calibration error over ten bins of equal width.
    """

    events: float
    base_rate: float
    auc: float
    brier: float
    brier_of_base_rate: float
    log_loss: float
    log_loss_of_base_rate: float
    ece: float

    def to_dict(self) -> dict[str, float]:
        """Return the measures by name."""
        return asdict(self)


HEADLINE: tuple[str, ...] = tuple(name for name in BinaryMetrics.__dataclass_fields__ if name != "events")


def judge(score: FloatArray, outcome: FloatArray, known_rate: FloatArray) -> BinaryMetrics:
    """Judge log-odds against outcomes.

    Args:
        score: log-odds, shape (n,).
        outcome: 0 or 1, shape (n,).
        known_rate: for each row the base rate that was known before, shape (n,).

    Raises:
        ModelError: there is no row, or an outcome is neither 0 nor 1.
    """
    likely = sigmoid(score)
    return BinaryMetrics(
        events=float(outcome.sum()),
        base_rate=float(outcome.mean()) if len(outcome) else float("nan"),
        auc=auc(score, outcome),
        brier=brier(likely, outcome),
        brier_of_base_rate=brier(known_rate, outcome),
        log_loss=log_loss(likely, outcome),
        log_loss_of_base_rate=log_loss(known_rate, outcome),
        ece=ece(likely, outcome),
    )


def known_rates(data: TrainingData, split_of: NDArray[np.int16]) -> FloatArray:
    """Return for each row the base rate known before its split, NaN for rows that no split tests; shape (n_rows,)."""
    rates = np.full(len(data), np.nan)
    fitted = np.isfinite(data.target)
    for number in np.unique(split_of[split_of >= 0]):
        held = split_of == number
        before = fitted & (data.spans.end < data.spans.start[held].min())
        source = before if before.any() else fitted & ~held
        rates[held] = data.target[source if source.any() else fitted].mean()
    return rates


def judge_path(data: TrainingData, scores: FloatArray, split_of: NDArray[np.int16]) -> BinaryMetrics:
    """Judge all rows of a path; see :func:`judge`."""
    tested = np.isfinite(scores) & np.isfinite(data.target)
    return judge(scores[tested], data.target[tested], known_rates(data, split_of)[tested])


def forward_calibrated(
    order: NDArray[np.int64], folds: NDArray[np.int64]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return, for each fold but the first, which rows it holds and which of the folds before may teach a calibrator.

    Args:
        order: what comes first, such as the session of each row.
        folds: the fold of each row; a fold is later than another when its first row is.
    """
    first = {number: order[folds == number].min() for number in np.unique(folds)}
    sequence = sorted(first, key=lambda number: (first[number], number))
    return [(folds == number, np.isin(folds, sequence[:place])) for place, number in enumerate(sequence) if place]
