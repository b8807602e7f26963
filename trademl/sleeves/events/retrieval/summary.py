"""What the nearest events did: weights from distances, and weighted shares and means of their outcomes.

Pure arithmetic on arrays. A neighbour whose value is missing has no say in that value's mean: the weights of the others
are scaled to sum to 1. A mean of times is therefore one over neighbours that reached the threshold at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

OUTCOMES = ("BREAK", "BOUNCE", "OTHER")
"""What a touch can come to, in the order of the shares that the entropy is taken of."""

MEANS: dict[str, str] = {
    "p_tradeable_2": "tradeable_2",
    "strength_signed_mean": "strength_signed",
    "time_to_threshold_1_mean": "time_to_threshold_1",
    "time_to_threshold_2_mean": "time_to_threshold_2",
    "time_to_break_1_mean": "time_to_break_1",
    "time_to_bounce_1_mean": "time_to_bounce_1",
    "time_to_break_2_mean": "time_to_break_2",
    "time_to_bounce_2_mean": "time_to_bounce_2",
}
"""Field of a summary -> the label whose weighted mean it is."""

LABELS: tuple[str, ...] = ("outcome", *MEANS.values())
"""The labels that a summary is made of."""


@dataclass(frozen=True, eq=False)
class RetrievalSummary:
    """What the k nearest resolved events came to; every number is NaN where no neighbour can say.

    Attributes:
        p_break, p_bounce: weighted shares of the two outcomes among neighbours with a known one; the rest are OTHER.
        p_tradeable_2: weighted share that reached threshold 2 on either side.
        strength_signed_mean, strength_abs_mean: weighted means in ATR, the break side positive.
        time_to_threshold_1_mean ... time_to_bounce_2_mean: seconds, weighted means over those that got there.
        similarity: mean of 1 / (1 + distance), unweighted, in (0, 1].
        entropy: of the three weighted outcome shares, in nats: 0 when all agree, ln 3 at most.
        neighbors: one row a neighbour, nearest first: its identity, labels, distance and weight.
    """

    p_break: float
    p_bounce: float
    p_tradeable_2: float
    strength_signed_mean: float
    strength_abs_mean: float
    time_to_threshold_1_mean: float
    time_to_threshold_2_mean: float
    time_to_break_1_mean: float
    time_to_bounce_1_mean: float
    time_to_break_2_mean: float
    time_to_bounce_2_mean: float
    similarity: float
    entropy: float
    neighbors: "pd.DataFrame"

    def as_dict(self, *, neighbors: bool = True) -> dict[str, Any]:
        """Return the summary as plain values for JSON: None for a number that is not known, rows of neighbours."""
        found: dict[str, Any] = {name: _plain(getattr(self, name)) for name in NUMBERS}
        rows = self.neighbors.to_dict("records") if neighbors else []
        found["neighbors"] = [{str(name): _plain(value) for name, value in row.items()} for row in rows]
        return found


NUMBERS: tuple[str, ...] = tuple(field.name for field in fields(RetrievalSummary) if field.name != "neighbors")
"""The thirteen numbers of a summary, in the seed's order."""


def inverse_distance_weights(distance: FloatArray) -> FloatArray:
    """Return weights that sum to 1, proportional to 1 / distance; events at distance 0 alone count where there are any.

    This is what scikit-learn does for ``weights="distance"``.
    """
    if not len(distance):
        return np.zeros(0)
    exact = distance == 0.0
    if exact.any():
        weight: FloatArray = exact.astype(np.float64)
    else:
        # Relative to the nearest, so that no 1 / distance can overflow.
        weight = distance.min() / distance
    weight /= weight.sum()
    return weight


def summary_numbers(labels: Mapping[str, Sequence[Any] | NDArray[Any]], distance: FloatArray) -> dict[str, float]:
    """Return the numbers of :class:`RetrievalSummary` for neighbours with these labels and distances.

    Args:
        labels: :data:`LABELS` -> values of the neighbours; None or NaN where a label is missing.
        distance: of the neighbours, shape (k,), not negative.
    """
    weight = inverse_distance_weights(distance)
    outcome = np.asarray(labels["outcome"], dtype=object)
    shares = _shares(outcome, weight)
    found = {"p_break": shares[0], "p_bounce": shares[1]}
    for name, label in MEANS.items():
        found[name] = weighted_mean(_floats(labels[label]), weight)
    found["strength_abs_mean"] = weighted_mean(np.abs(_floats(labels["strength_signed"])), weight)
    found["similarity"] = float((1.0 / (1.0 + distance)).mean()) if len(distance) else math.nan
    found["entropy"] = _entropy(shares)
    return {name: found[name] for name in NUMBERS}


def weighted_mean(values: FloatArray, weight: FloatArray) -> float:
    """Return the weighted mean of the values that are numbers; NaN when none is."""
    known = ~np.isnan(values)
    total = weight[known].sum()
    return float((weight[known] * values[known]).sum() / total) if total > 0 else math.nan


def _shares(outcome: NDArray[Any], weight: FloatArray) -> tuple[float, ...]:
    kinds = [weight[outcome == kind].sum() for kind in OUTCOMES]
    total = sum(kinds)
    return tuple(float(kind / total) if total > 0 else math.nan for kind in kinds)


def _entropy(shares: Sequence[float]) -> float:
    if any(math.isnan(share) for share in shares):
        return math.nan
    # Not minus the sum: an entropy of -0.0 reads oddly.
    return math.fsum(share * math.log(1.0 / share) for share in shares if share > 0)


def _floats(values: Sequence[Any] | NDArray[Any]) -> FloatArray:
    return np.asarray([math.nan if value is None else float(value) for value in values], dtype=np.float64)


def _plain(value: Any) -> Any:
    if value is None or value != value:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
