"""Momentum: the score is one feature, as it is. Nothing is fitted, so nothing can be overfitted.

The oldest cross-sectional strategy there is (Jegadeesh and Titman, "Returns to Buying Winners and Selling Losers",
Journal of Finance 1993), and the bar that anything with parameters must clear. A missing value scores in the middle.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import (
    BaseModel,
    Floats,
    ModelConfig,
    Prepared,
    Progress,
    Rows,
    checked_matrix,
    checked_rows,
)
from trademl.models.linear import LinearForm, require_regression, unit_form

MIDDLE = 0.5
"""The middle of a percentile rank, which becomes the score 0."""


class MomentumConfig(ModelConfig):
    """Which feature is the score; a percentile rank in (0, 1], so that 0.5 is the middle."""

    kind: Literal["momentum"] = "momentum"
    task: Literal["regression"] = "regression"
    feature: str = "momentum_126d_rank"


class MomentumModel(BaseModel):
    """One feature, less 0.5."""

    kind = "momentum"
    config_type = MomentumConfig
    suffix = ".json"
    config: MomentumConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        if not isinstance(config, MomentumConfig):
            raise ModelError(f"a {config.kind} configuration for a momentum model", remedy="use registry.create_model")
        require_regression(self.kind, config.task)
        super().__init__(config, feature_names)
        self._form: LinearForm = unit_form(
            self.kind, config.model_dump(mode="json"), self.feature_names, config.feature, fill=MIDDLE, bias=-MIDDLE
        )

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> Prepared:
        return Prepared(tuple(feature_names), len(checked_matrix(X, list(feature_names))))

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

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._form.predict(X)

    def importances(self) -> dict[str, float]:
        """Return 1 for the feature and 0 for the others."""
        return self._form.importances()

    def save(self, path: Path) -> None:
        self._form.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        form = LinearForm.load(path, cls.kind)
        return cls(MomentumConfig.model_validate(form.config), form.feature_names)

    def export_onnx(self, path: Path) -> None:
        self._form.export_onnx(path)
