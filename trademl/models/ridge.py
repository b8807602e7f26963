"""Ridge regression: the linear baseline that a boosted model must beat; with ``penalty: 0``, ordinary least squares.

Features are centred and scaled by their weighted mean and standard deviation over the rows of the fit, a missing value
counts as the mean, and ``b`` minimises ``sum of weight (y - level - b'z)^2 / sum of weight + penalty b'b`` (Hoerl and
Kennard, "Ridge Regression", Technometrics 1970), which is solved by its normal equations. Sums are made in row order in
float64 without BLAS, so that the number of threads changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl.errors import ModelError
from trademl.models.base import (
    Floats,
    ModelConfig,
    Prepared,
    Progress,
    Rows,
    checked_labels,
    checked_rows,
    checked_weight,
    training_matrix,
)
from trademl.models.linear import LinearForm, LinearModel

_BLOCK_ROWS = 65_536


class RidgeConfig(ModelConfig):
    """Parameters of one ridge fit; ``penalty`` is per row and per standardised feature."""

    kind: Literal["ridge"] = "ridge"
    task: Literal["regression"] = "regression"
    penalty: float = Field(default=0.01, ge=0.0, le=1e6)


@dataclass(frozen=True)
class RidgeData(Prepared):
    """The matrix itself: every fit standardises by its own rows, so nothing is shared and nothing leaks."""

    X: NDArray[np.float32]


class RidgeModel(LinearModel):
    """One ridge regression, held as weights on raw features."""

    kind = "ridge"
    config_type = RidgeConfig
    config: RidgeConfig

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> RidgeData:
        matrix = training_matrix(X, feature_names)
        return RidgeData(tuple(feature_names), len(matrix), matrix)

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
        if not isinstance(data, RidgeData) or data.feature_names != self.feature_names:
            raise ModelError("the matrix was not prepared for this ridge model", remedy="use RidgeModel.prepare")
        if valid_rows is not None:
            raise ModelError("ridge has no rounds to stop early", remedy="give no validation rows")
        chosen = checked_rows(rows, data.n_rows)
        target = checked_labels(y, chosen, data.n_rows, "regression").astype(np.float64)
        weights = checked_weight(weight, chosen, data.n_rows)
        w = np.ones(len(chosen)) if weights is None else weights.astype(np.float64)
        fitted = fit_standardised(data.X, chosen, w, target, self.config.penalty)
        raw = fitted.weights / fitted.scale
        bias = fitted.level - float(sum((raw * fitted.mean).tolist()))
        self._form = LinearForm(
            kind=self.kind,
            config=self.config.model_dump(mode="json"),
            feature_names=self.feature_names,
            weights=tuple(raw.tolist()),
            fills=tuple(fitted.mean.tolist()),
            scales=tuple(fitted.scale.tolist()),
            bias=bias,
        )
        if progress is not None:
            progress(1, 1)
        return self


@dataclass(frozen=True, eq=False)
class Standardised:
    """A ridge regression on standardised features: ``level + weights'z`` with ``z = (x - mean) / scale``.

    ``mean``, ``scale`` and ``weights`` are float64 of shape (features,).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    level: float


def fit_standardised(
    X: NDArray[np.floating], rows: NDArray[np.int64], w: NDArray[np.float64], y: NDArray[np.float64], penalty: float
) -> Standardised:
    """Return the ridge regression of ``y`` on the standardised ``rows`` of ``X``.

    Args:
        X: shape (rows, features); what is not finite counts as the feature's mean.
        rows: positions in ``X``, shape (n,).
        w: their weights, at least 0, shape (n,).
        y: their labels, finite, shape (n,).
        penalty: per row and per standardised feature.

    Raises:
        ModelError: features repeat each other and the penalty is 0.
    """
    mean, scale = _moments(X, rows, w)
    gram, moment, level = _normal_equations(X, rows, w, y, mean, scale)
    try:
        beta = np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), moment), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise ModelError(
            f"{len(gram)} features cannot be told apart with penalty {penalty:g}",
            remedy="set a positive penalty, or leave out features that repeat others",
        ) from error
    return Standardised(mean, scale, beta, level)


def _blocks(X: NDArray[np.floating], rows: NDArray[np.int64]) -> "list[tuple[slice, NDArray[np.int64]]]":
    starts = range(0, len(rows), _BLOCK_ROWS)
    return [(slice(start, start + _BLOCK_ROWS), rows[start : start + _BLOCK_ROWS]) for start in starts]


def _moments(
    X: NDArray[np.floating], rows: NDArray[np.int64], w: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weighted mean and standard deviation of each feature's known values; 0 and 1 where there is none."""
    n = X.shape[1]
    total, first, second = np.zeros(n), np.zeros(n), np.zeros(n)
    for place, block in _blocks(X, rows):
        values = X[block].astype(np.float64)
        known = np.isfinite(values)
        filled = np.where(known, values, 0.0)
        weights = w[place][:, None]
        total += (known * weights).sum(axis=0)
        first += (filled * weights).sum(axis=0)
        second += (filled**2 * weights).sum(axis=0)
    safe = np.maximum(total, np.finfo(np.float64).tiny)
    mean = np.where(total > 0, first / safe, 0.0)
    spread = np.sqrt(np.maximum(second / safe - mean**2, 0.0))
    return mean, np.where(spread > 1e-12 * np.maximum(np.abs(mean), 1.0), spread, 1.0)


def _normal_equations(
    X: NDArray[np.floating],
    rows: NDArray[np.int64],
    w: NDArray[np.float64],
    y: NDArray[np.float64],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return Z'WZ / sum of w, Z'W(y - level) / sum of w, and the level: the weighted mean of y."""
    n, weight = X.shape[1], float(w.sum())
    level = float((w * y).sum()) / weight
    gram, moment = np.zeros((n, n)), np.zeros(n)
    for place, block in _blocks(X, rows):
        values = X[block].astype(np.float64)
        z = np.where(np.isfinite(values), (values - mean) / scale, 0.0)
        weighted = z * w[place][:, None]
        # Not `@`: BLAS sums in another order with another number of threads.
        gram += np.einsum("ij,ik->jk", weighted, z, optimize=False)
        moment += np.einsum("ij,i->j", weighted, y[place] - level, optimize=False)
    return gram / weight, moment / weight, level
