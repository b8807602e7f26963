"""How well scores part events from the rest, whatever the scores' unit: the area under the ROC curve."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]


def auc(score: Any, y: Any) -> float:
    """Return the probability that an event has a higher score than another row; ties count one half.

    It is the Mann-Whitney statistic over its maximum (Hanley & McNeil 1982), computed from average ranks: 0.5 is no
    skill, 1 a perfect order.

    Args:
        score: any real scores, shape (n,); pairs with a NaN are left out.
        y: 0 or 1, shape (n,).

    Returns:
        NaN when one of the two classes has no row.

    Raises:
        ModelError: the shapes differ, or an outcome is neither 0 nor 1.
    """
    values, outcome = np.asarray(score, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if values.ndim != 1 or values.shape != outcome.shape:
        raise ModelError(
            f"scores have shape {values.shape}, outcomes {outcome.shape}",
            remedy="give one-dimensional arrays of one length",
        )
    known = ~(np.isnan(values) | np.isnan(outcome))
    values, outcome = values[known], outcome[known]
    if not bool(((outcome == 0) | (outcome == 1)).all()):
        raise ModelError(f"outcomes lie in [{outcome.min()}, {outcome.max()}]", remedy="give 0 or 1 for each event")
    positives = int(outcome.sum())
    negatives = len(outcome) - positives
    if not positives or not negatives:
        return float("nan")
    _, member, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - (count - 1) / 2.0)[member]
    return float((rank[outcome == 1].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def auc_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of an area by Hanley & McNeil (1982, equation 1); NaN without both classes.

    It takes rows as independent. Events of one session are not, so it is a lower bound there.
    """
    if not positives or not negatives or np.isnan(area):
        return float("nan")
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    return float(np.sqrt(max(spread, 0.0) / (positives * negatives)))
