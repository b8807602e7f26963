"""LightGBM: deterministic whatever the number of threads, bins shared between splits, canonical from birth.

A fitted model *is* its canonical text (:mod:`trademl.models.boosting.lightgbm_text`): out-of-fold scores, native scores
and ONNX scores are therefore the same numbers, not nearly the same. Rounding the leaves moves a score by at most half a
grid step per tree: for 200 trees by less than 1.2e-5 of the largest possible score, mostly by far less.

Reference: Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017; quantised gradients:
Shi et al., "Quantized Training of Gradient Boosting Decision Trees", NeurIPS 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl.errors import MissingExtra, ModelError
from trademl.models.base import (
    Floats,
    ModelConfig,
    Native,
    Prepared,
    Progress,
    Rows,
    Task,
    checked_config,
    checked_labels,
    checked_rows,
    checked_weight,
    training_matrix,
)
from trademl.models.boosting.inputs import check_stopping, read_model_text
from trademl.models.boosting.lightgbm_config import LightGBMConfig
from trademl.models.boosting.lightgbm_text import canonicalise, export_onnx, parse, trees_of
from trademl.models.boosting.text_model import TextModel
from trademl.models.trees import Tree

if TYPE_CHECKING:
    import lightgbm


@dataclass(frozen=True)
class BinnedData(Prepared):
    """A matrix as LightGBM's bins (one byte a cell up to 255 bins); splits take rows of it without binning again.

    Bin edges come from feature values of all rows, labels never: what a split can learn from them about its test rows
    is the marginal distribution of each feature.
    """

    dataset: "lightgbm.Dataset"
    binning: dict[str, Any]


class LightGBMModel(TextModel):
    """One LightGBM model, held as canonical text."""

    kind = "lightgbm"
    config_type = LightGBMConfig
    suffix = ".txt"
    distributions = ("lightgbm",)
    config: LightGBMConfig

    @property
    def n_trees(self) -> int:
        """Trees in the model: fewer than ``n_rounds`` after early stopping, or when no split was left to make."""
        return len(parse(self.text).blocks)

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> BinnedData:
        engine = _lightgbm()
        own = checked_config(config, LightGBMConfig)
        names = list(feature_names)
        matrix = training_matrix(X, names)
        binning = own.binning()
        try:
            # LightGBM wants some label before it hands out subsets; each subset gets its own.
            dataset = engine.Dataset(
                matrix,
                label=np.zeros(len(matrix), dtype=np.float32),
                feature_name=names,
                categorical_feature=[],
                params={**binning, "num_threads": own.threads, "deterministic": True, "verbosity": -1},
                free_raw_data=True,
            ).construct()
        except engine.basic.LightGBMError as error:
            raise ModelError(
                f"LightGBM cannot bin the matrix: {str(error).strip()}", remedy="mend what it names"
            ) from error
        return BinnedData(tuple(names), len(matrix), dataset, binning)

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
        engine = _lightgbm()
        binned = self._checked(data)
        stopping = self.config.early_stopping_rounds
        check_stopping(stopping, valid_rows)
        callbacks: list[Any] = []
        valid_sets = []
        try:
            train = self._subset(binned, y, weight, checked_rows(rows, binned.n_rows))
            if valid_rows is not None:
                measured = checked_rows(valid_rows, binned.n_rows, "valid_rows")
                valid_sets.append(self._subset(binned, y, weight, measured))
                callbacks.append(engine.early_stopping(stopping, verbose=False))
            if progress is not None:
                callbacks.append(_reporter(progress, self.config.n_rounds))
            booster = engine.train(
                self.config.parameters(self.feature_names),
                train,
                num_boost_round=self.config.n_rounds,
                valid_sets=valid_sets,
                callbacks=callbacks,
            )
        except engine.basic.LightGBMError as error:
            raise ModelError(
                f"LightGBM cannot fit: {str(error).strip()}",
                remedy="turn quantised_gradients off" if self.config.quantised_gradients else "mend what it names",
            ) from error
        best = booster.best_iteration if valid_sets else -1
        raw = booster.model_to_string(num_iteration=best, importance_type="gain")
        self._set_text(canonicalise(raw, self.config.model_dump_json(exclude={"threads"})))
        return self

    def importances(self) -> dict[str, float]:
        """Return each feature's gain: the fall in training loss summed over its splits."""
        gains = self._engine().feature_importance("gain")
        return dict(zip(self.feature_names, map(float, gains), strict=True))

    @classmethod
    def from_text(cls, text: str, *, origin: str = "model text") -> Self:
        """Build a fitted model from native text, trademl's or LightGBM's own; it is brought into canonical form.

        Raises:
            ModelError: it is not a LightGBM text, or has what cannot be exported bit-equal.
        """
        parsed = parse(text)
        if parsed.config_json is None:
            task: Task = "binary" if parsed.header.get("objective", "").startswith("binary") else "regression"
            config = LightGBMConfig(task=task, n_rounds=max(1, len(parsed.blocks)))
        else:
            try:
                config = LightGBMConfig.model_validate_json(parsed.config_json)
            except ValueError as error:
                raise ModelError(f"{origin}: its configuration line is wrong: {error}", remedy="train again") from error
        model = cls(config, parsed.feature_names)
        model._set_text(canonicalise(text))
        return model

    def export_onnx(self, path: Path) -> None:
        export_onnx(self.text, self.feature_names, path)

    def trees(self) -> tuple[Tree, ...]:
        return tuple(trees_of(parse(self.text)))

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` as it lies there: LightGBM alone scores it, in its own float64 sums and on one thread."""
        text = read_model_text(path)
        model = parse(text)
        booster = _lightgbm().Booster(model_str=text)

        def score(rows: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.asarray(booster.predict(rows, raw_score=True, num_threads=1), dtype=np.float64)

        return Native(path, model.feature_names, tuple(trees_of(model)), score)

    def _open(self, text: str) -> "lightgbm.Booster":
        return cast("lightgbm.Booster", _lightgbm().Booster(model_str=text))

    def _score(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = self._engine().predict(matrix, raw_score=True, num_threads=self.config.threads)
        return cast("NDArray[np.float64]", np.asarray(scores, dtype=np.float64))

    def _checked(self, data: Prepared) -> BinnedData:
        if not isinstance(data, BinnedData):
            raise ModelError(f"{type(data).__name__} is not binned data", remedy="use LightGBMModel.prepare")
        if data.feature_names != self.feature_names:
            raise ModelError("the matrix was binned with other feature names", remedy="prepare it with the model's own")
        if data.binning != self.config.binning():
            raise ModelError(
                f"the matrix was binned with max_bin={data.binning['max_bin']}, the model has {self.config.max_bin}",
                remedy="prepare the matrix once for each max_bin",
            )
        return data

    def _subset(
        self, binned: BinnedData, y: Floats, weight: Floats | None, rows: NDArray[np.int64]
    ) -> "lightgbm.Dataset":
        labels = checked_labels(y, rows, binned.n_rows, self.config.task)
        weights = checked_weight(weight, rows, binned.n_rows)
        subset = binned.dataset.subset(rows.tolist()).construct()
        subset.set_label(labels)
        subset.set_weight(weights)
        return subset


def fit_split(
    binned: BinnedData,
    rows: Rows,
    y: Floats,
    weight: Floats | None,
    config: LightGBMConfig,
    *,
    valid_rows: Rows | None = None,
    progress: Progress | None = None,
) -> LightGBMModel:
    """Fit one split of a shared matrix; ``y`` and ``weight`` have one value per row of the whole matrix."""
    model = LightGBMModel(config, binned.feature_names)
    return model.fit_rows(binned, y, rows, weight=weight, valid_rows=valid_rows, progress=progress)


class LGBMParams(LightGBMConfig):
    """The defaults of seed 004's appendix: 63 leaves."""

    num_leaves: int = Field(default=63, ge=2, le=4096)


def fit_lgbm(X: Any, y: Any, sample_weight: Any = None, params: LightGBMConfig | None = None) -> LightGBMModel:
    """Fit on a table (DataFrame, or 2-D array whose columns become f0, f1, ...) in one call (seed 004, appendix A)."""
    matrix, names = _as_matrix(X)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    return LightGBMModel(params or LGBMParams(), names).fit(matrix, np.asarray(y, dtype=np.float64), weight=weight)


def predict_lgbm(model: LightGBMModel, X: Any) -> NDArray[np.float64]:
    """Score a table; a DataFrame's columns are taken by name, so their order is free (seed 004, appendix A)."""
    if hasattr(X, "columns"):
        absent = [name for name in model.feature_names if name not in X.columns]
        if absent:
            raise ModelError(f"the table lacks {len(absent)} features, first {absent[0]}", remedy="add these columns")
        X = X[list(model.feature_names)]
    return model.predict(_as_matrix(X)[0])


def _as_matrix(X: Any) -> tuple[NDArray[np.float32], list[str]]:
    matrix = np.ascontiguousarray(np.asarray(X), dtype=np.float32)
    if matrix.ndim != 2:
        raise ModelError(f"X has {matrix.ndim} dimensions, must have 2", remedy="give rows by features")
    named = [str(name) for name in X.columns] if hasattr(X, "columns") else [f"f{i}" for i in range(matrix.shape[1])]
    return matrix, named


def _reporter(progress: Progress, total: int) -> Any:
    def report(environment: Any) -> None:
        progress(environment.iteration + 1, total)

    # Before early stopping's own callback (order 30), which ends the round by raising.
    report.order = 20  # type: ignore[attr-defined]
    return report


def _lightgbm() -> ModuleType:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra("lightgbm", "train") from error
    return lightgbm


__all__ = [
    "BinnedData",
    "LGBMParams",
    "LightGBMConfig",
    "LightGBMModel",
    "fit_lgbm",
    "fit_split",
    "predict_lgbm",
]
