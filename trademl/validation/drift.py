"""Drift of a distribution: the population stability index of new scores against those a model was judged by."""

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]

_LEAST_SHARE = 1e-4


def population_stability_index(expected: FloatArray, seen: FloatArray, *, bins: int = 10) -> float:
    """Return ``sum((s - e) ln(s / e))`` over the quantile bins of ``expected``; 0 for equal distributions.

    Customary readings: below 0.1 stable, above 0.25 shifted. An empty bin counts as a share of 1e-4. Source: Siddiqi,
    "Credit Risk Scorecards" (2006), chapter 8; Yurdakul, "Statistical properties of population stability index" (2018).

    Args:
        expected: reference values, finite, shape (n,), n >= ``bins``.
        seen: new values, finite, shape (m,), m >= 1.
        bins: number of quantile bins, at least 2.

    Raises:
        ModelError: too few values, or values that are not finite.
    """
    if bins < 2 or len(expected) < bins or len(seen) < 1:
        raise ModelError(
            f"{len(expected)} expected and {len(seen)} new values for {bins} bins",
            remedy="give at least one expected value per bin, and at least one new value",
        )
    if not (np.isfinite(expected).all() and np.isfinite(seen).all()):
        raise ModelError("values that are not finite have no bin", remedy="leave them out and count them")
    edges = np.unique(np.quantile(expected, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    old, new = (
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) / len(values)
        for values in (expected, seen)
    )
    old, new = np.maximum(old, _LEAST_SHARE), np.maximum(new, _LEAST_SHARE)
    return float(np.sum((new - old) * np.log(new / old)))
