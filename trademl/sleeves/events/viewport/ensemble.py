"""The ensemble: one forecast from those of stage A, stage B and retrieval, with weights fitted out of fold.

A linear opinion pool: ``pooled = sum_i w_i p_i`` with ``w_i >= 0`` and ``sum w_i = 1``, the weights of least squared
error (of probabilities: the least Brier score) on rows that no model was fitted on. A pool of calibrated forecasts is
less sharp than it could be (Ranjan & Gneiting 2010, Combining probability forecasts, JRSS B 72), so a probability is
recalibrated afterwards: Platt's sigmoid on the pool's log-odds, two numbers. The probabilities of reaching a threshold
share one set of weights and are not recalibrated: a weighted mean of forecasts that obey ``t2 <= t1`` and
``max(break, bounce) <= either <= break + bounce`` obeys them too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ModelError
from trademl.validation.calibration import Platt, apply, fit_platt
from trademl.validation.calibration import from_dict as calibrator_from

FloatArray = NDArray[np.float64]

FORMAT = "trademl events ensemble 1"
SOURCES = ("stage_a", "stage_b", "retrieval")
QUANTITIES = ("tradeable_2", "p_break", "strength", "reach")
"""What is pooled: P(tradeable), P(break | tradeable), signed strength, and P(reach) of every threshold and horizon."""

PROBABILITIES = frozenset({"tradeable_2", "p_break", "reach"})
_RECALIBRATED = frozenset({"tradeable_2", "p_break"})
_TINY = 1e-6
_AGAIN = "fit it again: `trademl events ensemble`"


@dataclass(frozen=True)
class Pool:
    """A weighted mean of forecasts.

    Attributes:
        sources: whose forecasts, in order.
        weights: one per source, not negative, summing to 1.
        calibrator: Platt's sigmoid on the pool's log-odds; None leaves the pool as it is.
    """

    sources: tuple[str, ...]
    weights: tuple[float, ...]
    calibrator: Platt | None = None

    def combine(self, forecasts: Mapping[str, FloatArray]) -> FloatArray:
        """Return one forecast per row, shape (rows,).

        A forecast that is NaN, or a source that is not there, is missing: the weights of the others are scaled up to
        sum to 1. Where those that are there have no weight, they count equally. A row without any forecast is NaN.

        Raises:
            ModelError: no source of the pool has forecasts, or they differ in length.
        """
        held = [name for name in self.sources if name in forecasts]
        if not held:
            raise ModelError(
                f"forecasts of {', '.join(forecasts) or 'nobody'} for a pool of {', '.join(self.sources)}",
                remedy="give the forecasts of at least one of them",
            )
        columns = [np.asarray(forecasts[name], dtype=np.float64) for name in held]
        if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
            raise ModelError(
                f"forecasts have shapes {[column.shape for column in columns]}", remedy="give one value per row each"
            )
        values = np.stack(columns, axis=1)
        weight = np.array([self.weights[self.sources.index(name)] for name in held])
        known = np.isfinite(values)
        mass = np.where(known, weight, 0.0)
        total = mass.sum(axis=1, keepdims=True)
        mass = np.where(total > 0, mass, known.astype(np.float64))
        total = mass.sum(axis=1)
        pooled = np.where(known, values, 0.0) * mass
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = pooled.sum(axis=1) / total
        # A mean lies between the smallest and the largest: rounding must not carry it out of [0, 1].
        low = np.where(known, values, np.inf).min(axis=1)
        high = np.where(known, values, -np.inf).max(axis=1)
        found = np.where(total > 0, np.clip(mean, low, np.maximum(low, high)), np.nan)
        return found if self.calibrator is None else apply(self.calibrator, log_odds(found))

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        calibrator = None if self.calibrator is None else self.calibrator.to_dict()
        return {"weights": dict(zip(self.sources, self.weights, strict=True)), "calibrator": calibrator}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, origin: str) -> Self:
        """Read what :meth:`to_dict` gave; ``origin`` begins the message of a refusal.

        Raises:
            ModelError: a weight is missing, negative or not a number, or they do not sum to 1.
        """
        try:
            weights = {str(name): float(weight) for name, weight in raw["weights"].items()}
            stored = raw["calibrator"]
            calibrator = None if stored is None else calibrator_from(stored)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{origin} lacks a part: {error!r}", remedy=_AGAIN) from error
        values = np.array(list(weights.values()))
        unknown = set(weights) - set(SOURCES)
        if not weights or unknown or not np.isfinite(values).all() or values.min() < 0 or abs(values.sum() - 1) > 1e-6:
            raise ModelError(
                f"{origin} has the weights {weights}",
                remedy=f"weights belong to {', '.join(SOURCES)}, are not negative and sum to 1; {_AGAIN}",
            )
        if calibrator is not None and not isinstance(calibrator, Platt):
            raise ModelError(f"{origin} has a calibrator that is no Platt sigmoid", remedy=_AGAIN)
        return cls(tuple(weights), tuple(values.tolist()), calibrator)


@dataclass(frozen=True)
class Ensemble:
    """The pools of all quantities, and on what they were fitted and tried.

    Attributes:
        pools: by quantity (:data:`QUANTITIES`).
        evidence: the document of how they were fitted: dates, rows, and scores on later dates.
    """

    pools: dict[str, Pool]
    evidence: dict[str, Any]

    def pool(self, quantity: str) -> Pool:
        """Return the pool of ``quantity``; equal weights where none was fitted."""
        return self.pools.get(quantity, EQUAL)

    def to_bytes(self) -> bytes:
        """Return the JSON document."""
        pools = {name: pool.to_dict() for name, pool in self.pools.items()}
        document = {"format": FORMAT, "pools": pools, "evidence": self.evidence}
        return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()

    def save(self, path: Path) -> None:
        """Write the document, atomically and read-only."""
        write_atomic(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing, damaged, or no such document.
        """
        try:
            raw = json.loads(path.read_bytes())
            if not isinstance(raw, dict) or raw.get("format") != FORMAT:
                raise ValueError(f"it is no {FORMAT!r}")
            listed, evidence = dict(raw["pools"]), dict(raw["evidence"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"cannot read the ensemble {path}: {error}", remedy=_AGAIN) from error
        pools = {name: Pool.from_dict(one, origin=f"{path}: pool {name}") for name, one in listed.items()}
        if set(pools) - set(QUANTITIES):
            raise ModelError(f"{path} has the pools {', '.join(pools)}", remedy=_AGAIN)
        return cls(pools, evidence)


EQUAL = Pool(SOURCES, (1 / 3, 1 / 3, 1 / 3))
"""What counts where no weights were fitted."""


def log_odds(probability: FloatArray) -> FloatArray:
    """Return ``ln(p / (1 - p))``, probabilities first moved one in a million away from 0 and 1; NaN stays NaN."""
    safe = np.clip(np.asarray(probability, dtype=np.float64), _TINY, 1 - _TINY)
    found: FloatArray = np.log(safe) - np.log1p(-safe)
    return found


def fit_pool(quantity: str, forecasts: Mapping[str, FloatArray], y: FloatArray) -> Pool:
    """Return the pool of least squared error on rows that have every forecast and an outcome.

    Args:
        quantity: one of :data:`QUANTITIES`.
        forecasts: by source; out of fold, shape (rows,) each.
        y: outcomes: 0 or 1, or the strength; shape (rows,).

    Raises:
        ModelError: the quantity is unknown, or no row has all forecasts and an outcome.
    """
    if quantity not in QUANTITIES:
        raise ModelError(f"`quantity={quantity!r}` is not pooled", remedy=f"use one of {', '.join(QUANTITIES)}")
    sources = tuple(name for name in SOURCES if name in forecasts)
    matrix = np.stack([np.asarray(forecasts[name], dtype=np.float64) for name in sources], axis=1)
    outcome = np.asarray(y, dtype=np.float64)
    complete = np.isfinite(matrix).all(axis=1) & np.isfinite(outcome)
    if not complete.any():
        raise ModelError(
            f"none of {len(outcome)} rows of {quantity} has an outcome and a forecast of {', '.join(sources)}",
            remedy="train both stages on the same dates, and build the index on the same events",
        )
    matrix, outcome = matrix[complete], outcome[complete]
    pool = Pool(sources, simplex_weights(matrix, outcome))
    if quantity not in _RECALIBRATED or not 0 < outcome.mean() < 1:
        return pool
    sigmoid = fit_platt(log_odds(pool.combine(dict(zip(sources, matrix.T, strict=True)))), outcome)
    # A falling curve would turn the forecast upside down: the pool knows nothing here, and says so by itself.
    return Pool(sources, pool.weights, sigmoid) if sigmoid.a < 0 else pool


def simplex_weights(matrix: FloatArray, y: FloatArray) -> tuple[float, ...]:
    """Return the weights ``w >= 0, sum w = 1`` that minimise ``|matrix w - y|^2``; of shapes (rows, k), (rows,).

    Every set of columns that may be active is tried: its least squares under ``sum w = 1`` has a closed form, and the
    best answer without a negative weight is the optimum of the convex problem. At most 8 columns.
    """
    k = matrix.shape[1]
    if not 1 <= k <= 8:
        raise ModelError(f"{k} forecasts to weigh", remedy="give between 1 and 8")
    residual = matrix - y[:, None]
    # |M w - y|^2 = w' R'R w when the weights sum to 1.
    gram = residual.T @ residual / len(y)
    best, least = np.full(k, 1 / k), np.inf
    for size in range(k, 0, -1):
        for active in combinations(range(k), size):
            weights = _on_the_plane(gram, active, k)
            loss = float(weights @ gram @ weights)
            # Of equal losses the set tried first, the larger, stays.
            if weights.min() >= 0 and loss < least * (1 - 1e-12):
                best, least = weights, loss
    return tuple((best / best.sum()).tolist())


def _on_the_plane(gram: FloatArray, active: Sequence[int], k: int) -> FloatArray:
    """Minimise ``w' gram w`` over the ``active`` weights with sum 1, by the conditions of Lagrange."""
    size = len(active)
    system = np.zeros((size + 1, size + 1))
    system[:size, :size] = gram[np.ix_(active, active)]
    system[:size, size] = system[size, :size] = 1.0
    right = np.zeros(size + 1)
    right[size] = 1.0
    weights = np.zeros(k)
    weights[list(active)] = np.linalg.lstsq(system, right, rcond=None)[0][:size]
    # Rounding leaves a hair below zero where the optimum is at zero.
    return np.where(np.abs(weights) < 1e-12, 0.0, weights)
