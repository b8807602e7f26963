"""One-call fitting, scoring and export of tables (seed 004, section 7.2 and appendix A), the same for each family."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trademl.config.reading import validate_section
from trademl.errors import ModelError
from trademl.models.base import ModelConfig, checked_names
from trademl.models.boosting.constraints import BoostingConfig
from trademl.models.boosting.losses import Labels
from trademl.models.boosting.text_model import TextModel

Params = BoostingConfig | Mapping[str, Any] | None
"""A configuration, or some fields of the family's default one by name."""

ModelT = TypeVar("ModelT", bound=TextModel)


def fit_table(
    family: type[ModelT],
    defaults: type[BoostingConfig],
    X: Any,
    y: Any,
    sample_weight: Any = None,
    params: Params = None,
) -> tuple[ModelT, dict[str, float]]:
    """Fit a new model of ``family`` on all rows of a table.

    Args:
        family: the class of the model.
        defaults: its configuration where ``params`` are silent.
        X: DataFrame, or 2-D array whose columns become f0, f1, ...; read as float32.
        y: one label per row.
        sample_weight: one weight per row.
        params: a configuration, or a mapping of fields.

    Returns:
        The model, and its metrics on these very rows: ``rmse``, ``mae`` and ``r2`` of a regression, ``log_loss`` of a
        classification, weighted, and the number of ``trees``. They say how well it fits, not how well it predicts.

    Raises:
        ConfigError: a field is unknown or has a wrong value.
        ModelError: a shape, a label or a weight is wrong, or the engine refuses.
    """
    matrix, names = _as_matrix(X)
    config: ModelConfig = (
        params if isinstance(params, ModelConfig) else validate_section(dict(params or {}), defaults, origin="params")
    )
    labels = np.asarray(y, dtype=np.float64)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    model = family(config, names).fit(matrix, labels, weight=weight)
    return model, _in_sample(model, matrix, labels, np.ones(len(labels)) if weight is None else weight)


def predict_table(model: TextModel, X: Any) -> NDArray[np.float64]:
    """Score a table; a DataFrame's columns are taken by name, so their order is free.

    Raises:
        ModelError: the table lacks features of the model.
    """
    if hasattr(X, "columns"):
        absent = [name for name in model.feature_names if name not in X.columns]
        if absent:
            raise ModelError(f"the table lacks {len(absent)} features, first {absent[0]}", remedy="add these columns")
        X = X[list(model.feature_names)]
    return model.predict(_as_matrix(X)[0])


def export_onnx(model: TextModel, feature_names: Sequence[str], path: str | Path) -> None:
    """Write the model as ONNX to ``path``, atomically; the same model gives the same bytes.

    Raises:
        ModelError: ``feature_names`` are not the model's own in its order.
    """
    names = checked_names(feature_names)
    if names != model.feature_names:
        pairs = itertools.zip_longest(names, model.feature_names)
        differing = next(at for at, pair in enumerate(pairs) if pair[0] != pair[1])
        raise ModelError(
            f"the {len(names)} feature names are not the model's {len(model.feature_names)}: first difference at "
            f"position {differing}",
            remedy="give the names in the order the model was trained on",
        )
    model.export_onnx(Path(path))


def _in_sample(
    model: TextModel, X: NDArray[np.float32], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> dict[str, float]:
    labels = Labels(y, weight, model.config.task)
    if model.config.task == "three_class":
        # Margins are known up to a constant: log P is one choice of it. A probability of 0 would have no logarithm.
        score = np.log(np.maximum(model.probabilities(X), np.finfo(np.float64).tiny))
    else:
        score = model.predict(X)
    loss, trees = labels.loss(score), {"trees": float(model.n_trees)}
    if model.config.task != "regression":
        return {"log_loss": loss, **trees}
    constant = labels.loss(np.full(len(y), labels.start()))
    mae = float((weight * np.abs(score - y)).sum() / weight.sum())
    r2 = 1 - loss / constant if constant else float("nan")
    return {"rmse": float(np.sqrt(loss)), "mae": mae, "r2": r2, **trees}


def _as_matrix(X: Any) -> tuple[NDArray[np.float32], list[str]]:
    matrix = np.ascontiguousarray(np.asarray(X), dtype=np.float32)
    if matrix.ndim != 2:
        raise ModelError(f"X has {matrix.ndim} dimensions, must have 2", remedy="give rows by features")
    named = [str(name) for name in X.columns] if hasattr(X, "columns") else [f"f{i}" for i in range(matrix.shape[1])]
    return matrix, named
