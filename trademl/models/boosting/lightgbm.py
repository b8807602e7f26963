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
    checked_config,
    checked_labels,
    checked_rows,
    checked_weight,
    training_matrix,
)
from trademl.models.boosting.inputs import check_stopping, no_gpu, read_model_text
from trademl.models.boosting.lightgbm_config import LightGBMConfig
from trademl.models.boosting.lightgbm_text import canonicalise, ensemble_of, parse
from trademl.models.boosting.tables import Params, export_onnx, fit_table, predict_table
from trademl.models.boosting.text_model import TextModel, native_of
from trademl.models.trees import Ensemble

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
    fits_side_by_side = True
    config: LightGBMConfig

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
        self._check_quantised(weight)
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
            if self.config.device == "gpu":
                raise no_gpu("LightGBM", str(error).strip()) from error
            raise ModelError(
                f"LightGBM cannot fit: {str(error).strip()}",
                remedy="turn quantised_gradients off" if self.config.quantised_gradients else "mend what it names",
            ) from error
        best = booster.best_iteration if valid_sets else -1
        raw = booster.model_to_string(num_iteration=best, importance_type="gain")
        self._set_text(canonicalise(raw, self.config.model_dump_json(exclude={"threads"})))
        return self

    def _check_quantised(self, weight: Floats | None) -> None:
        # LightGBM 4.7 rounds the second derivatives with the gradients, and sums of uneven weights come out wrong:
        # measured, the correlation of score and label fell from 0.65 to -0.09.
        if self.config.quantised_gradients and weight is not None and np.ptp(weight) > 0:
            raise ModelError(
                f"quantised_gradients with sample weights from {weight.min():g} to {weight.max():g}: LightGBM fits "
                "uneven weights wrongly on quantised gradients",
                remedy="set quantised_gradients to false, or weight to none",
            )

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
            rounds = len(parsed.blocks) // max(1, int(parsed.header["num_tree_per_iteration"]))
            config = LightGBMConfig(task=parsed.task, n_rounds=max(1, rounds))
        else:
            try:
                config = LightGBMConfig.model_validate_json(parsed.config_json)
            except ValueError as error:
                raise ModelError(f"{origin}: its configuration line is wrong: {error}", remedy="train again") from error
        model = cls(config, parsed.feature_names)
        model._set_text(canonicalise(text))
        return model

    def ensemble(self) -> Ensemble:
        return ensemble_of(parse(self.text))

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` as it lies there: LightGBM alone scores it, in its own float64 sums and on one thread."""
        text = read_model_text(path)
        model = parse(text)
        booster = _lightgbm().Booster(model_str=text)

        def raw(rows: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.asarray(booster.predict(rows, raw_score=True, num_threads=1), dtype=np.float64)

        return native_of(path, model.feature_names, ensemble_of(model), raw)

    def _open(self, text: str) -> "lightgbm.Booster":
        return cast("lightgbm.Booster", _lightgbm().Booster(model_str=text))

    def _raw(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
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
        subset = binned.dataset.subset([])
        # Not through `subset`, which keeps two lists of Python integers: 40 bytes a row.
        subset.used_indices = rows.astype(np.int32)  # type: ignore[assignment]
        subset.construct()
        subset.set_label(labels + 1 if self.config.task == "three_class" else labels)
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


def fit_lgbm(
    X: Any, y: Any, sample_weight: Any = None, params: Params = None
) -> tuple[LightGBMModel, dict[str, float]]:
    """Fit a table in one call and return (model, in-sample metrics): see :func:`fit_table` (seed 004, section 7.2)."""
    return fit_table(LightGBMModel, LGBMParams, X, y, sample_weight, params)


def predict_lgbm(model: LightGBMModel, X: Any) -> NDArray[np.float64]:
    """Score a table; a DataFrame's columns are taken by name, so their order is free (seed 004, appendix A)."""
    return predict_table(model, X)


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
    "export_onnx",
    "fit_lgbm",
    "fit_split",
    "predict_lgbm",
]
