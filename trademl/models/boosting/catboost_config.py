"""What a CatBoost fit is told."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from trademl.errors import ModelError
from trademl.models.base import CLASSES, Task
from trademl.models.boosting.constraints import BoostingConfig, monotone_signs

LOSSES: dict[Task, str] = {"regression": "RMSE", "binary": "Logloss", "three_class": "MultiClass"}


class CatBoostConfig(BoostingConfig):
    """Parameters of one CatBoost fit: symmetric trees of ``depth`` levels.

    Rows (``subsample``) are drawn anew every tree, columns (``colsample_bylevel``) for every level of it.
    ``random_strength`` is the noise that CatBoost adds to the scores of candidate splits, fading with the rounds.
    ``threads`` (0: all cores) changes no result. With three classes a tree has three numbers in each leaf.
    """

    kind: Literal["catboost"] = "catboost"
    n_rounds: int = Field(default=200, ge=1, le=20_000)
    depth: int = Field(default=6, ge=1, le=10)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    lambda_l2: float = Field(default=3.0, ge=0)
    random_strength: float = Field(default=1.0, ge=0)
    colsample_bylevel: float = Field(default=0.8, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    max_bin: int = Field(default=254, ge=1, le=65_535)
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    threads: int = Field(default=0, ge=0)

    @property
    def thread_count(self) -> int:
        """CatBoost's number of threads: -1 is all cores."""
        return self.threads or -1

    def parameters(self, feature_names: Sequence[str]) -> dict[str, Any]:
        """CatBoost's own names and values for this configuration, for features in this order.

        Raises:
            ModelError: a constraint is for a feature that is not there, or a graphics card cannot draw columns.

        One Newton step a leaf, as in the other families: CatBoost's default of ten for Logloss sums in an order that
        depends on the number of threads (measured: 1, 2 and 3 threads gave three models of 60,000 rows).
        """
        signs = monotone_signs(self.monotone, feature_names)
        # Three classes start from margins that the fit gives, because CatBoost starts only one score from an average.
        start: dict[str, Any] = (
            {"classes_count": len(CLASSES)} if self.task == "three_class" else {"boost_from_average": True}
        )
        if self.device == "gpu" and self.colsample_bylevel < 1:
            raise ModelError(
                f"colsample_bylevel is {self.colsample_bylevel:g} with device gpu, on which CatBoost draws no columns",
                remedy="set `colsample_bylevel: 1`, or `device: cpu`",
            )
        drawn = {"rsm": self.colsample_bylevel}
        rows = {"bootstrap_type": "Bernoulli", "subsample": self.subsample}
        return {
            **({"monotone_constraints": signs} if any(signs) else {}),
            **(rows if self.subsample < 1 else {"bootstrap_type": "No"}),
            "loss_function": LOSSES[self.task],
            "iterations": self.n_rounds,
            "depth": self.depth,
            "grow_policy": "SymmetricTree",
            "boosting_type": "Plain",
            "learning_rate": self.learning_rate,
            "l2_leaf_reg": self.lambda_l2,
            "random_strength": self.random_strength,
            **({"task_type": "GPU"} if self.device == "gpu" else drawn),
            "leaf_estimation_method": "Newton",
            "leaf_estimation_iterations": 1,
            **start,
            "allow_const_label": True,
            "random_seed": self.seed,
            "thread_count": self.thread_count,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
