"""Momentum: the score is one feature, as it is. Nothing is fitted, so nothing can be overfitted.

The oldest cross-sectional strategy there is (Jegadeesh and Titman, "Returns to Buying Winners and Selling Losers",
Journal of Finance 1993), and the bar that anything with parameters must clear. A missing value scores in the middle.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import (
    Floats,
    ModelConfig,
    Prepared,
    Progress,
    Rows,
    checked_matrix,
    checked_rows,
)
from trademl.models.linear import LinearModel, unit_form

MIDDLE = 0.5
"""The middle of a percentile rank, which becomes the score 0."""


class MomentumConfig(ModelConfig):
    """Which feature is the score; a percentile rank in (0, 1], so that 0.5 is the middle."""

    kind: Literal["momentum"] = "momentum"
    task: Literal["regression"] = "regression"
    feature: str = "momentum_126d_rank"


class MomentumModel(LinearModel):
    """One feature, less 0.5."""

    kind = "momentum"
    config_type = MomentumConfig
    config: MomentumConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        super().__init__(config, feature_names)
        settings = self.config.model_dump(mode="json")
        self._form = unit_form(self.kind, settings, self.feature_names, self.config.feature, fill=MIDDLE, bias=-MIDDLE)

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> Prepared:
        return Prepared(tuple(feature_names), len(checked_matrix(X, feature_names)))

    def fit_rows(
        self,
        data: Prepared,
        y: Floats,
        rows: Rows | None = None,
        *,
        weight: Floats | None = None,
        valid_rows: Rows | None = None,
        progress: Progress | None = None,
    ) -> Self:
        if data.feature_names != self.feature_names:
            raise ModelError("the matrix has other features than this model", remedy="prepare it with the model's own")
        if valid_rows is not None:
            raise ModelError("momentum has no rounds to stop early", remedy="give no validation rows")
        checked_rows(rows, data.n_rows)
        if progress is not None:
            progress(1, 1)
        return self
