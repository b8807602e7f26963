"""Noisy views of one signal, and blends fitted on them."""

from typing import Any

import numpy as np

from trademl.models.stacking.blend import Blend
from trademl.models.stacking.config import StackConfig
from trademl.models.stacking.fit import fit_blend

INPUTS = ("a", "b", "c")
ROWS = 3000


def views(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Three noisy views of one signal, in three units, and a label that is the signal and more noise."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(ROWS)
    seen = signal[:, None] + rng.standard_normal((ROWS, 3))
    return seen * np.array([1.0, 0.01, 40.0]) + np.array([0.0, 3.0, -7.0]), signal + 2 * rng.standard_normal(ROWS)


def config(**fields: Any) -> StackConfig:
    """The configuration of a blend of the three."""
    return StackConfig(bases=INPUTS, **fields)


def fitted(blender: str, task: str = "regression") -> Blend:
    """A blend of the first views."""
    scores, y = views()
    labels = y if task == "regression" else (y > 0).astype(np.float64)
    trees = {"n_rounds": 20, "min_data_in_leaf": 50} if blender == "lightgbm" else {}
    return fit_blend(scores, labels, None, config(blender=blender, task=task, trees=trees), INPUTS)
