"""What a stack of XGBoost models under a ridge regression is told."""

from typing import Literal

from pydantic import Field, model_validator

from trademl.config.reading import Section
from trademl.models.base import ModelConfig
from trademl.models.boosting.xgboost_config import XGBoostConfig


class BaseTrees(XGBoostConfig):
    """One base model: small trees, for its errors are to differ from those of the others. ``threads`` are the stack's.

    See :class:`XGBoostConfig` for the fields.
    """

    n_rounds: int = Field(default=80, ge=1, le=20_000)
    max_depth: int = Field(default=3, ge=0, le=32)
    min_child_weight: float = Field(default=20.0, ge=0)
    colsample_bytree: float = Field(default=0.7, gt=0, le=1)
    subsample: float = Field(default=0.7, gt=0, le=1)
    max_bin: int = Field(default=64, ge=3, le=65_535)
    threads: int = Field(default=0, ge=0, exclude=True)


DEFAULT_BASES: tuple[BaseTrees, ...] = tuple(
    BaseTrees(seed=seed, max_depth=depth, subsample=subsample)
    for seed, depth, subsample in (
        (101, 1, 0.8),
        (102, 2, 0.6),
        (103, 2, 0.8),
        (104, 3, 0.6),
        (105, 3, 0.8),
        (106, 4, 0.6),
        (107, 4, 0.8),
        (108, 5, 0.7),
    )
)
"""Eight base models: distinct seeds, and depths from stumps to five levels."""


class InnerValidation(Section):
    """How a fit predicts its own rows out of fold: CPCV over their sessions, purged by their label spans.

    ``embargo`` is in sessions. A row's out-of-fold prediction is the mean over the splits that test it.
    """

    folds: int = Field(default=5, ge=2, le=64)
    test_folds: int = Field(default=2, ge=1)
    embargo: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _trains(self) -> "InnerValidation":
        if self.test_folds >= self.folds:
            raise ValueError(f"folds={self.folds}, test_folds={self.test_folds} leaves no training fold")
        return self


class XGBoostRidgeConfig(ModelConfig):
    """Parameters of one stack.

    Attributes:
        bases: the XGBoost models, in order; they share ``max_bin`` and no two may be the same.
        alpha: penalty of the ridge regression: ``sum of weight (y - level - b'z)^2 + alpha b'b`` with weights of mean
            1, as scikit-learn's ``Ridge(alpha)`` on standardised inputs.
        inner: how the base predictions that the regression is fitted on are made.
        threads: of the base models; 0 is all cores. Changes no result.
    """

    kind: Literal["xgboost_ridge"] = "xgboost_ridge"
    task: Literal["regression"] = "regression"
    bases: tuple[BaseTrees, ...] = Field(default=DEFAULT_BASES, min_length=1)
    alpha: float = Field(default=60.0, ge=0.0, le=1e9)
    inner: InnerValidation = InnerValidation()
    threads: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fit_together(self) -> "XGBoostRidgeConfig":
        stopping = [number for number, base in enumerate(self.bases) if base.early_stopping_rounds is not None]
        if stopping:
            raise ValueError(f"bases.{stopping[0]}.early_stopping_rounds: a base has no rows to stop on; set n_rounds")
        if len({base.max_bin for base in self.bases}) > 1:
            raise ValueError(f"bases have several max_bin ({', '.join(str(base.max_bin) for base in self.bases)})")
        return self

    def base(self, number: int) -> XGBoostConfig:
        """Return the configuration of one base, with the stack's number of threads."""
        return XGBoostConfig.model_validate({**self.bases[number].model_dump(), "threads": self.threads})
