"""Fit a blend on out-of-fold scores.

Scores are centred and scaled by their weighted mean and standard deviation over the rows of the fit, and with ``z`` the
result, ``ridge`` minimises ``sum of weight (y - level - b'z)^2 / sum of weight + penalty b'b`` (Wolpert, "Stacked
Generalization", Neural Networks 1992). ``non_negative`` minimises the same with ``b >= 0``, which keeps a blend of
strongly correlated models from betting on their differences (Breiman, "Stacked Regressions", Machine Learning 1996), by
the active sets of Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23, on the normal equations (Bro
and de Jong, Journal of Chemometrics 1997). Sums are made without BLAS, so that threads change nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import Floats, checked_labels, checked_weight
from trademl.models.stacking.blend import Blend, average
from trademl.models.stacking.config import StackConfig, check_task

Array = NDArray[np.float64]


def fit_blend(scores: Array, y: Floats, weight: Floats | None, config: StackConfig, inputs: Sequence[str]) -> Blend:
    """Return the blend of ``config`` fitted on out-of-fold scores.

    Args:
        scores: float64, shape (rows, inputs), NaN where an input is missing. Linear blenders are fitted on the rows
            that have every input, trees on those that have any.
        y: labels, finite, shape (rows,).
        weight: sample weights, at least 0; None is 1.
        config: blender and its parameters.
        inputs: names of the columns.

    Raises:
        ModelError: a shape, label or weight is wrong, too few rows are complete, the inputs cannot be told apart, or
            the blender does not do the task.
    """
    check_task(config.blender, config.task)
    if scores.ndim != 2 or scores.shape[1] != len(inputs) or not len(inputs):
        raise ModelError(
            f"scores have shape {scores.shape} for {len(inputs)} inputs", remedy="give one column for each input"
        )
    everything = np.arange(len(scores))
    labels = checked_labels(y, everything, len(scores), config.task).astype(np.float64)
    checked = checked_weight(weight, everything, len(scores))
    weights = np.ones(len(scores)) if checked is None else checked.astype(np.float64)
    if config.blender == "average":
        return average(inputs, config.weights)
    known = np.isfinite(scores)
    rows = np.flatnonzero(known.any(axis=1) if config.blender == "lightgbm" else known.all(axis=1))
    if len(rows) <= len(inputs) or not weights[rows].sum() > 0:
        raise ModelError(
            f"{len(rows)} of {len(scores)} rows have the scores that {config.blender} is fitted on; it needs more than "
            f"its {len(inputs)} inputs, with weight",
            remedy="stack runs that predict the same rows, or use `blender: average`",
        )
    chosen, w = scores[rows], weights[rows]
    means, scales = _moments(chosen, w)
    z = (chosen - means) / scales
    blend = Blend(config.blender, tuple(inputs), tuple(means.tolist()), tuple(scales.tolist()))
    if config.blender == "lightgbm":
        return replace(blend, trees=_trees(z, labels[rows], w, config))
    level = float((w * labels[rows]).sum()) / float(w.sum())
    weighted = z * w[:, None]
    gram = np.einsum("ij,ik->jk", weighted, z, optimize=False) / w.sum() + config.penalty * np.eye(len(inputs))
    moment = np.einsum("ij,i->j", weighted, labels[rows] - level, optimize=False) / w.sum()
    try:
        found = non_negative(gram, moment) if config.blender == "non_negative" else np.linalg.solve(gram, moment)
    except np.linalg.LinAlgError as error:
        raise ModelError(
            f"{len(inputs)} inputs cannot be told apart with penalty {config.penalty:g}",
            remedy="set a positive penalty, or leave out a run that repeats another",
        ) from error
    return replace(blend, weights=tuple(found.tolist()), level=level)


def non_negative(gram: Array, moment: Array) -> Array:
    """Return the ``b >= 0`` that minimises ``b'Gb / 2 - m'b`` for a positive definite G, by active sets.

    Args:
        gram: G, shape (n, n).
        moment: m, shape (n,).

    Raises:
        LinAlgError: G is singular, or no set of free weights is found.
    """
    n = len(moment)
    free, b = np.zeros(n, dtype=bool), np.zeros(n)
    small = 1e-12 * max(float(np.abs(moment).max()), np.finfo(np.float64).tiny)
    for _ in range(10 * n):
        gradient = moment - (gram * b).sum(axis=1)
        rising = ~free & (gradient > small)
        if not rising.any():
            return b
        free[int(np.argmax(np.where(rising, gradient, -np.inf)))] = True
        while True:
            candidate = np.zeros(n)
            if not free.any():
                b = candidate
                break
            candidate[free] = np.linalg.solve(gram[np.ix_(free, free)], moment[free])
            falling = free & (candidate <= 0.0)
            if not falling.any():
                b = candidate
                break
            # As far towards the candidate as every weight stays at 0 or above; the ones that reach 0 stay there.
            steps = np.full(n, np.inf)
            steps[falling] = np.where(b[falling] > 0.0, b[falling] / (b[falling] - candidate[falling]), 0.0)
            free &= steps > steps.min()
            b = np.where(free, b + steps.min() * (candidate - b), 0.0)
    raise np.linalg.LinAlgError("no set of free weights was found")


def _moments(scores: Array, w: Array) -> tuple[Array, Array]:
    """Return the weighted mean and standard deviation of each column's known values; 1 where it does not vary."""
    known = np.isfinite(scores)
    weights = known * w[:, None]
    total = np.maximum(weights.sum(axis=0), np.finfo(np.float64).tiny)
    mean = (np.where(known, scores, 0.0) * weights).sum(axis=0) / total
    apart = np.where(known, scores - mean, 0.0)
    spread = np.sqrt((apart**2 * weights).sum(axis=0) / total)
    return mean, np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)


def _trees(z: Array, y: Array, w: Array, config: StackConfig) -> str:
    from trademl.models.boosting.lightgbm import LightGBMModel

    # Run ids are no feature names.
    names = [f"input_{number}" for number in range(z.shape[1])]
    settings = config.trees.model_copy(update={"task": config.task})
    return LightGBMModel(settings, names).fit(np.ascontiguousarray(z.astype(np.float32)), y, weight=w).text
