"""One merged graph beside the staged path: the same scores, the same ranks."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trademl.edge.score import rank_pct
from trademl.edge.session import ScoringSession
from trademl.models.stacking.xgboost_ridge import XGBoostRidgeModel
from trademl.sleeves.traders.pipeline import MODEL_FILE


@dataclass(frozen=True)
class PathComparison:
    """How the merged graph and the staged path compare on some rows.

    Attributes:
        rows: how many.
        largest_difference: of the score of the one ONNX graph and of the staged path (each base model by XGBoost, then
            scaler, then ridge regression, operation by operation).
        rank_changes: rows whose rank differs between the two.
        largest_difference_of_product: of the graph and of the staged path with the regression as one matrix product,
            whose order of summation is the library's own.
        rank_changes_of_product: likewise.
        largest_score: the largest absolute score, to hold differences against.
    """

    rows: int
    largest_difference: float
    rank_changes: int
    largest_difference_of_product: float
    rank_changes_of_product: int
    largest_score: float

    def to_dict(self) -> dict[str, float | int]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        same = "ranks identical" if not self.rank_changes else f"{self.rank_changes} ranks differ"
        return f"largest difference {self.largest_difference:.3g} on {self.rows} rows, {same}"


def compare_paths(model: XGBoostRidgeModel, X: NDArray[np.float32]) -> PathComparison:
    """Score ``X`` by the one merged graph and stage by stage, both from files."""
    with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
        native, exported = Path(folder) / MODEL_FILE, Path(folder) / "model.onnx"
        model.save(native)
        model.export_onnx(exported)
        merged = ScoringSession(exported).predict(X)
        staged = XGBoostRidgeModel.native(native).score(X)
    meta = model.meta
    inputs = np.column_stack([X.astype(np.float64), model.base_scores(X)])
    scaled = (np.where(np.isfinite(inputs), inputs, meta.means) - np.array(meta.means)) / np.array(meta.scales)
    product = scaled @ np.array(meta.coefficients) + meta.intercept
    return PathComparison(
        rows=len(X),
        largest_difference=float(np.abs(merged - staged).max(initial=0.0)),
        rank_changes=_rank_changes(merged, staged),
        largest_difference_of_product=float(np.abs(merged - product).max(initial=0.0)),
        rank_changes_of_product=_rank_changes(merged, product),
        largest_score=float(np.abs(merged).max(initial=0.0)),
    )


def _rank_changes(one: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    return int((rank_pct(one) != rank_pct(other)).sum())
