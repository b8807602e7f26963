"""What a LightGBM fit is told."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from trademl.models.base import CLASSES, Task
from trademl.models.boosting.constraints import BoostingConfig, monotone_signs

OBJECTIVES: dict[Task, tuple[str, str]] = {
    "regression": ("regression", "l2"),
    "binary": ("binary", "binary_logloss"),
    "three_class": ("multiclass", "multi_logloss"),
}
"""Task -> LightGBM objective and the metric of early stopping."""

QUANTISED_LEVELS = 4
"""Levels of a quantised gradient. More would lose less, but with 8 or more and weights or a binary task LightGBM 4.7
stops in the middle of many fits ("Check failed: right_count > 0"); with 4 it was not seen to."""


class LightGBMConfig(BoostingConfig):
    """Parameters of one LightGBM fit.

    Row and column samples are drawn anew every tree (``subsample`` every ``subsample_freq`` trees; 0 draws none).
    ``quantised_gradients`` trains on gradients rounded to 4 levels, less accurate on noisy labels; with uneven sample
    weights a fit refuses it (measured, LightGBM 4.7: a correlation with the label of 0.65 fell to 0.648 without
    weights, and to -0.09 with weights from 0.1 to 3).
    ``threads`` (0: all cores) changes no result. ``monotone`` and ``device``: see :class:`BoostingConfig`; with three
    classes every round has a tree for each.
    """

    kind: Literal["lightgbm"] = "lightgbm"
    n_rounds: int = Field(default=200, ge=1, le=20_000)
    num_leaves: int = Field(default=31, ge=2, le=4096)
    max_depth: int = Field(default=-1, ge=-1)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    min_data_in_leaf: int = Field(default=200, ge=1)
    colsample_bytree: float = Field(default=0.8, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    subsample_freq: int = Field(default=1, ge=0)
    lambda_l1: float = Field(default=0.0, ge=0)
    lambda_l2: float = Field(default=0.0, ge=0)
    max_bin: int = Field(default=255, ge=3, le=65_535)
    quantised_gradients: bool = False
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    threads: int = Field(default=0, ge=0)

    def binning(self) -> dict[str, Any]:
        """The parameters that decide the bins: fits that agree on these can share one :class:`BinnedData`."""
        return {
            "max_bin": self.max_bin,
            "min_data_in_bin": 3,
            "bin_construct_sample_cnt": 200_000,
            "data_random_seed": 1,
            "feature_pre_filter": False,
            "use_missing": True,
            "zero_as_missing": False,
        }

    def parameters(self, feature_names: Sequence[str] = ()) -> dict[str, Any]:
        """LightGBM's own names and values for this configuration, for features in this order.

        ``deterministic`` with column-wise histograms makes every sum a one-thread sum. Quantised gradients need
        round-to-nearest for the same reason: the stochastic kind draws from one generator per thread (measured: 1 and
        2 threads grow different trees), and renewed leaves are summed in parallel.
        """
        objective, metric = OBJECTIVES[self.task]
        signs = {"monotone_constraints": monotone_signs(self.monotone, feature_names)} if self.monotone else {}
        return {
            **signs,
            **({"num_class": len(CLASSES)} if self.task == "three_class" else {}),
            **({"device_type": "gpu"} if self.device == "gpu" else {}),
            **self.binning(),
            "objective": objective,
            "metric": metric,
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.colsample_bytree,
            "bagging_fraction": self.subsample,
            "bagging_freq": self.subsample_freq,
            "lambda_l1": self.lambda_l1,
            "lambda_l2": self.lambda_l2,
            "use_quantized_grad": self.quantised_gradients,
            "num_grad_quant_bins": QUANTISED_LEVELS,
            "stochastic_rounding": False,
            "quant_train_renew_leaf": False,
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }
