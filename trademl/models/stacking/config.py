"""What a stack is told: which runs it blends, and how."""

import math
from typing import Literal

from pydantic import Field, model_validator

from trademl.errors import ModelError
from trademl.models.base import ModelConfig, Task
from trademl.models.boosting.lightgbm_config import LightGBMConfig

Blender = Literal["ridge", "non_negative", "lightgbm", "average"]

BLENDERS: dict[Blender, tuple[Task, ...]] = {
    "ridge": ("regression",),
    "non_negative": ("regression",),
    "lightgbm": ("regression", "binary"),
    "average": ("regression", "binary"),
}
"""Blender -> tasks whose score it makes: least squares on classes gives no log-odds, an average of log-odds does."""


class MetaTrees(LightGBMConfig):
    """The meta-learner of ``blender: lightgbm``: few small trees, for a few scores hold little structure."""

    n_rounds: int = Field(default=60, ge=1, le=20_000)
    num_leaves: int = Field(default=7, ge=2, le=4096)
    min_data_in_leaf: int = Field(default=1000, ge=1)
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    subsample: float = Field(default=1.0, gt=0, le=1)
    subsample_freq: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0, exclude=True)


class StackConfig(ModelConfig):
    """Parameters of one stack.

    Attributes:
        bases: the runs whose models are blended, in order; a blend's inputs have this order.
        blender: ``ridge``, least squares on standardised scores with a penalty; ``non_negative``, the same with no
            weight below 0; ``lightgbm``, boosted trees on standardised scores; ``average``, the weighted mean of the
            scores as they are, in their own unit, with nothing fitted.
        penalty: of ``ridge`` and ``non_negative``, per row and standardised score.
        weights: of ``average``: base -> weight, at least 0; empty is equal weights.
        trees: of ``lightgbm``.
    """

    kind: Literal["stack"] = "stack"
    bases: tuple[str, ...] = ()
    blender: Blender = "ridge"
    penalty: float = Field(default=0.01, ge=0.0, le=1e6)
    weights: dict[str, float] = Field(default_factory=dict)
    trees: MetaTrees = MetaTrees()

    @model_validator(mode="after")
    def _consistent(self) -> "StackConfig":
        twice = sorted({base for base in self.bases if self.bases.count(base) > 1})
        if twice:
            raise ValueError(f"bases has {twice[0]!r} twice; name each run once")
        if self.weights and self.blender != "average":
            raise ValueError(f"weights belong to `blender: average`; {self.blender} finds its own")
        check_weights(self.weights, self.bases)
        if self.trees.early_stopping_rounds is not None:
            raise ValueError("trees.early_stopping_rounds: the blender has no rows to stop on; set n_rounds")
        return self


def check_weights(weights: dict[str, float], bases: tuple[str, ...]) -> None:
    """Refuse weights of an average that are not one number of at least 0 for each base, with a sum above 0.

    Empty weights are equal ones.

    Raises:
        ValueError: they are not; the message names the base.
    """
    if not weights:
        return
    unlike = sorted(set(weights) ^ set(bases))
    if unlike:
        raise ValueError(f"weights and bases differ in {', '.join(unlike)}; give one weight for each base")
    wrong = {base: weight for base, weight in weights.items() if not (math.isfinite(weight) and weight >= 0.0)}
    if wrong or not math.fsum(weights.values()) > 0.0:
        raise ValueError(f"weights {wrong or weights} must be finite, at least 0, and not all 0")


def check_task(blender: Blender, task: Task) -> None:
    """Refuse a task whose score the blender does not make.

    Raises:
        ModelError: it does not; the remedy names one that does.
    """
    if task in BLENDERS[blender]:
        return
    able = [name for name, tasks in BLENDERS.items() if task in tasks]
    raise ModelError(
        f"blender {blender!r} makes no score of the task {task!r}",
        remedy=f"use `blender: {' or '.join(able)}`" if able else "stack with `task: regression`",
    )
