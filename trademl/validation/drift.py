"""Drift of a distribution: the population stability index of new values against those a model was judged by.

The reference is kept as bins, not as values: inner edges and the share of each bin fit in a small file and travel to a
device that has none of the history.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]

_LEAST_SHARE = 1e-4
_DIGITS = 6


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
    return _index(*(_shares(edges, values) for values in (expected, seen)))


def reference_bins(values: FloatArray, *, bins: int = 10) -> tuple[list[float], list[float]]:
    """Return the inner quantile edges of ``values`` and the share of each bin, the last being that of missing values.

    ``edges`` increase and may be fewer than ``bins - 1`` where values repeat; ``shares`` has ``len(edges) + 2`` items
    and sums to 1. NaN and infinities count as missing. Without a finite value there is no edge, and all is missing.
    Edges have six significant digits, and the shares are those of exactly these edges: rounding them afterwards would
    move a value that many rows have (a weekday's) into another bin.

    Raises:
        ModelError: no value at all, or fewer than 2 bins.
    """
    values = np.asarray(values, dtype=np.float64)
    if bins < 2 or values.size == 0:
        raise ModelError(
            f"{values.size} values for {bins} bins", remedy="give at least one value and at least two bins"
        )
    finite = values[np.isfinite(values)]
    inner = np.quantile(finite, np.linspace(0.0, 1.0, bins + 1)[1:-1]) if finite.size else np.empty(0)
    edges = np.unique([float(f"{edge:.{_DIGITS}g}") for edge in inner])
    return edges.tolist(), _shares(edges, values).tolist()


def drift_from_bins(edges: Sequence[float], shares: Sequence[float], seen: FloatArray) -> float:
    """Return the population stability index of ``seen`` against bins from :func:`reference_bins`.

    A feature that goes missing shows like any other shift: missing values have a bin of their own. With ``shares`` of
    ``len(edges) + 1`` items the reference says nothing about missing values, and only finite ones are compared.

    Args:
        edges: inner edges, increasing.
        shares: the share of each bin in the reference.
        seen: new values, shape (m,), m >= 1; NaN where missing.

    Raises:
        ModelError: edges and shares do not fit each other, or there is no value to compare.
    """
    inner, expected = np.asarray(edges, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    values = np.asarray(seen, dtype=np.float64)
    finite_only = len(expected) == len(inner) + 1
    ordered = bool(np.isfinite(inner).all() and (np.diff(inner) > 0).all())
    if not (finite_only or len(expected) == len(inner) + 2) or not ordered or not bool((expected >= 0).all()):
        raise ModelError(
            f"{len(expected)} shares do not fit {len(inner)} edges",
            remedy="give increasing edges and one share, not negative, for each bin they make",
        )
    if finite_only:
        values = values[np.isfinite(values)]
    if values.size == 0:
        raise ModelError("there is no value to compare with the reference", remedy="give at least one new value")
    found = _shares(inner, values)
    return _index(expected, found[:-1] if finite_only else found)


def _shares(edges: FloatArray, values: FloatArray) -> FloatArray:
    """Return the share of ``values`` in each bin and, last, the share of those that are missing."""
    finite = np.isfinite(values)
    place = np.where(finite, np.searchsorted(edges, values, side="right"), len(edges) + 1)
    return np.bincount(place, minlength=len(edges) + 2) / len(values)


def _index(expected: FloatArray, seen: FloatArray) -> float:
    old, new = np.maximum(expected, _LEAST_SHARE), np.maximum(seen, _LEAST_SHARE)
    return float(np.sum((new - old) * np.log(new / old)))
