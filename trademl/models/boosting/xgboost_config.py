"""What an XGBoost fit is told."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from trademl.models.base import CLASSES, Task
from trademl.models.boosting.constraints import BoostingConfig, monotone_signs
from trademl.models.boosting.xgboost_json import OBJECTIVES

_OBJECTIVE_OF: dict[Task, str] = {task: objective for objective, (task, _) in OBJECTIVES.items()}


class XGBoostConfig(BoostingConfig):
    """Parameters of one XGBoost fit.

    ``min_child_weight`` is the least sum of second derivatives in a leaf: of weights for a regression, of weight times
    p(1 - p) for a binary task, of weight times 2 p(1 - p) for each of three classes, which have a tree each in every
    round. ``max_depth`` 0 is no limit, and ``max_leaves`` 0 too. Rows (``subsample``) and columns are drawn anew every
    tree. ``threads`` (0: all cores) changes no result.
    """

    kind: Literal["xgboost"] = "xgboost"
    n_rounds: int = Field(default=200, ge=1, le=20_000)
    max_depth: int = Field(default=6, ge=0, le=32)
    max_leaves: int = Field(default=0, ge=0, le=4096)
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    min_child_weight: float = Field(default=100.0, ge=0)
    min_split_gain: float = Field(default=0.0, ge=0)
    colsample_bytree: float = Field(default=0.8, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    lambda_l1: float = Field(default=0.0, ge=0)
    lambda_l2: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=256, ge=3, le=65_535)
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    threads: int = Field(default=0, ge=0)

    def parameters(self, feature_names: Sequence[str]) -> dict[str, Any]:
        """XGBoost's own names and values for this configuration, for features in this order."""
        signs = monotone_signs(self.monotone, feature_names)
        objective = _OBJECTIVE_OF[self.task]
        return {
            **({"monotone_constraints": f"({','.join(map(str, signs))})"} if any(signs) else {}),
            **({"num_class": len(CLASSES)} if self.task == "three_class" else {}),
            **({"device": "cuda"} if self.device == "gpu" else {}),
            "objective": objective,
            "base_score": float(OBJECTIVES[objective][1]),
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "max_leaves": self.max_leaves,
            "grow_policy": self.grow_policy,
            "eta": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "gamma": self.min_split_gain,
            "colsample_bytree": self.colsample_bytree,
            "alpha": self.lambda_l1,
            "lambda": self.lambda_l2,
            "max_bin": self.max_bin,
            "seed": self.seed,
            "nthread": self.threads,
            "verbosity": 0,
        }
