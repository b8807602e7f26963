"""XGBoost models and the features they read, under one ridge regression.

The regression is fitted on predictions that each base model made of rows it did not train on: within the rows of a fit,
combinatorial purged cross-validation by session. The base models that score afterwards are fitted on all rows of the
fit. (Wolpert, "Stacked Generalization", Neural Networks 1992; that the regression also reads the features themselves is
from the trader ranking that this family was made for.)

The native form is several files, all readable: ``base_model_<i>.json`` (XGBoost's own, canonical), ``scaler.json``,
``ridge.json``, and the native file, which names them with their sha256.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ModelError
from trademl.models.base import (
    BaseModel,
    Floats,
    ModelConfig,
    Native,
    Prepared,
    Progress,
    Rows,
    checked_config,
    checked_labels,
    checked_matrix,
    checked_names,
    checked_rows,
    checked_weight,
)
from trademl.models.boosting.xgboost import QuantisedData, XGBoostModel
from trademl.models.stacking.blend import read_document
from trademl.models.stacking.meta_ridge import MetaRidge
from trademl.models.stacking.out_of_fold import fit_bases, out_of_fold
from trademl.models.stacking.xgboost_ridge_config import XGBoostRidgeConfig
from trademl.models.trees import Tree
from trademl.validation.spans import LabelSpans

FORMAT = "trademl xgboost ridge 1"
SCALER = "scaler.json"
RIDGE = "ridge.json"

_AGAIN = "restore the folder from a copy, convert it again, or train again"


def base_file(number: int) -> str:
    """Return the name of a base model's file.

    >>> base_file(0)
    'base_model_0.json'
    """
    return f"base_model_{number}.json"


class XGBoostRidgeModel(BaseModel):
    """One stack: base models, scaler and ridge regression.

    A fit purges its own out-of-fold predictions by the label spans that :meth:`tell_spans` was given. Without them each
    row counts as a session of its own, in row order, whose label ends with it.
    """

    kind = "xgboost_ridge"
    config_type = XGBoostRidgeConfig
    suffix = ".json"
    distributions = XGBoostModel.distributions
    has_parts = True
    config: XGBoostRidgeConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        super().__init__(config, feature_names)
        self._bases: tuple[XGBoostModel, ...] = ()
        self._meta: MetaRidge | None = None

    @classmethod
    def of(cls, config: XGBoostRidgeConfig, bases: Sequence[XGBoostModel], meta: MetaRidge) -> Self:
        """Return the stack of fitted ``bases``, which read the same features in the same order, under ``meta``.

        Raises:
            ModelError: a base reads other features, or ``meta`` has other inputs than features and bases.
        """
        if not bases or len(bases) != len(config.bases):
            raise ModelError(f"{len(bases)} base models for {len(config.bases)} in the configuration", remedy=_AGAIN)
        model = cls(config, bases[0].feature_names)
        model._bases, model._meta = tuple(bases), meta
        _check_fit([model.feature_names, *(base.feature_names for base in bases)], meta, "the stack")
        return model

    @property
    def bases(self) -> tuple[XGBoostModel, ...]:
        """The fitted base models, in order.

        Raises:
            ModelError: the model is not fitted.
        """
        self._fitted()
        return self._bases

    @property
    def meta(self) -> MetaRidge:
        """Scaler and ridge regression.

        Raises:
            ModelError: the model is not fitted.
        """
        return self._fitted()

    def _fitted(self) -> MetaRidge:
        if self._meta is None:
            raise ModelError(f"this {self.kind} model is not fitted", remedy="call fit, fit_rows or load first")
        return self._meta

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> QuantisedData:
        return XGBoostModel.prepare(X, feature_names, checked_config(config, XGBoostRidgeConfig).base(0))

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
        if not isinstance(data, QuantisedData) or data.feature_names != self.feature_names:
            raise ModelError(
                "the matrix was not prepared for this xgboost_ridge model", remedy="use XGBoostRidgeModel.prepare"
            )
        if valid_rows is not None:
            raise ModelError("xgboost_ridge has no rounds to stop early", remedy="give no validation rows")
        _refuse_equal(self.config)
        chosen = checked_rows(rows, data.n_rows)
        labels = checked_labels(y, chosen, data.n_rows, "regression").astype(np.float64)
        weights = checked_weight(weight, chosen, data.n_rows)
        wide = np.ones(len(chosen)) if weights is None else weights.astype(np.float64)
        spans = self._spans.take(chosen) if self._spans is not None else _one_by_one(len(chosen))
        own = _only(data, chosen)
        scores = out_of_fold(own, labels, wide, spans, self.config, progress)
        inputs = np.column_stack([own.matrix.astype(np.float64), scores])
        names = (*self.feature_names, *(f"base_model_{number}" for number in range(len(self.config.bases))))
        self._meta = MetaRidge.fit(inputs, labels, wide, alpha=self.config.alpha, inputs=names)
        self._bases = tuple(fit_bases(own, labels, wide, self.config))
        return self

    def base_scores(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return each base model's score of each row of ``X``, shape (rows, bases)."""
        matrix = checked_matrix(X, self.feature_names)
        return _stacked([base.predict for base in self.bases], matrix)

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        meta = self.meta
        matrix = checked_matrix(X, self.feature_names)
        return meta.predict(np.column_stack([matrix.astype(np.float64), self.base_scores(matrix)]))

    def importances(self) -> dict[str, float]:
        """Return by how much one standard deviation of each feature moves the score: by its own coefficient, and by its
        shares of the gains of the base models, times their coefficients.
        """
        n = len(self.feature_names)
        sizes = np.abs(np.array(self.meta.coefficients))
        found = dict(zip(self.feature_names, sizes[:n].tolist(), strict=True))
        for base, size in zip(self.bases, sizes[n:].tolist(), strict=True):
            gains = base.importances()
            total = sum(gains.values())
            for name, gain in gains.items():
                found[name] += size * gain / total if total > 0 else 0.0
        return found

    def shares(self) -> dict[str, float]:
        """Return the share of the features together, and of each base model, in the absolute coefficients."""
        n, meta = len(self.feature_names), self.meta
        sizes = np.abs(np.array(meta.coefficients))
        total = float(sizes.sum()) or 1.0
        parts = {"features": float(sizes[:n].sum()) / total}
        return parts | dict(zip(meta.inputs[n:], (sizes[n:] / total).tolist(), strict=True))

    def save(self, path: Path) -> None:
        scaler, ridge = self.meta.to_files()
        parts = {base_file(number): base.text.encode() for number, base in enumerate(self.bases)}
        parts |= {SCALER: scaler, RIDGE: ridge}
        for name, content in parts.items():
            write_atomic(path.parent / name, content)
        document = {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json", exclude={"threads"}),
            "features": list(self.feature_names),
            "parts": {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()},
        }
        # Last: whoever reads it finds its parts.
        write_atomic(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        config, names, parts = _read(path)
        bases = [
            XGBoostModel.from_text(parts[base_file(number)].decode(), origin=str(path.parent / base_file(number)))
            for number in range(len(config.bases))
        ]
        meta = MetaRidge.from_files(parts[SCALER], parts[RIDGE], origin=str(path.parent))
        _check_fit([names, *(base.feature_names for base in bases)], meta, str(path))
        return cls.of(config, bases, meta)

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` with each base model scored by XGBoost itself, from its own file."""
        config, names, parts = _read(path)
        meta = MetaRidge.from_files(parts[SCALER], parts[RIDGE], origin=str(path.parent))
        bases = [XGBoostModel.native(path.parent / base_file(number)) for number in range(len(config.bases))]
        _check_fit([names, *(base.feature_names for base in bases)], meta, str(path))

        def score(rows: NDArray[np.float32]) -> NDArray[np.float64]:
            scores = _stacked([base.score for base in bases], rows)
            return meta.predict(np.column_stack([rows.astype(np.float64), scores]))

        trees = tuple(tree for base in bases for tree in base.trees or ())
        return Native(path=path, feature_names=names, trees=trees, score=score, reads_all=True)

    def export_onnx(self, path: Path) -> None:
        from trademl.models.stacking.graph import export_meta_ridge

        export_meta_ridge(self.bases, self.meta, self.feature_names, path)

    def trees(self) -> tuple[Tree, ...]:
        return tuple(tree for base in self.bases for tree in base.trees())


def _stacked(
    predictors: Sequence[Callable[[NDArray[np.float32]], NDArray[np.float64]]], X: NDArray[np.float32]
) -> NDArray[np.float64]:
    scores = np.empty((len(X), len(predictors)))
    for number, predict in enumerate(predictors):
        scores[:, number] = predict(X) if len(X) else 0.0
    return scores


def _only(data: QuantisedData, rows: NDArray[np.int64]) -> QuantisedData:
    """Return ``rows`` of a prepared matrix as one of its own, in the same bins."""
    if len(rows) == data.n_rows:
        return data
    return QuantisedData(
        data.feature_names, len(rows), data.matrix[rows], data.subset(rows), data.max_bin, data.threads
    )


def _one_by_one(n_rows: int) -> LabelSpans:
    return LabelSpans(np.arange(n_rows), np.arange(n_rows), np.zeros(n_rows, dtype=np.int64))


def _refuse_equal(config: XGBoostRidgeConfig) -> None:
    for (one, first), (two, second) in combinations(enumerate(config.bases), 2):
        if first == second:
            raise ModelError(
                f"bases {one} and {two} are the same model twice",
                remedy="give each base another seed, depth or subsample",
            )


def _check_fit(names: Sequence[tuple[str, ...]], meta: MetaRidge, origin: str) -> None:
    """Refuse parts that do not read the same features in the same order."""
    features, bases = names[0], names[1:]
    for number, own in enumerate(bases):
        if own != features:
            at = next((at for at, pair in enumerate(zip(own, features, strict=False)) if pair[0] != pair[1]), "the end")
            raise ModelError(
                f"{origin}: the features of base model {number} are not those of the stack in their order; first "
                f"difference at {at}",
                remedy=_AGAIN,
            )
    if meta.inputs[: len(features)] != features:
        raise ModelError(f"{origin}: scaler and ridge read other features, or another order of them", remedy=_AGAIN)


def _read(path: Path) -> tuple[XGBoostRidgeConfig, tuple[str, ...], Mapping[str, bytes]]:
    """Return configuration, features and parts of the native file ``path``; parts are those it names, unaltered."""
    document: dict[str, Any] = read_document(path)
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"it is {document['format']!r}")
        config = XGBoostRidgeConfig.model_validate(document["config"])
        names = checked_names([str(name) for name in document["features"]])
        hashes = {str(name): str(digest) for name, digest in document["parts"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is no saved xgboost_ridge model: {error!r}", remedy=_AGAIN) from error
    wanted = [*(base_file(number) for number in range(len(config.bases))), SCALER, RIDGE]
    if sorted(hashes) != sorted(wanted):
        raise ModelError(f"{path} names the parts {', '.join(hashes)}; needed are {', '.join(wanted)}", remedy=_AGAIN)
    found = {name: _part(path.parent / name, hashes[name]) for name in wanted}
    return config, names, found


def _part(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the part {path.name} of the stack is missing: {error}", remedy=_AGAIN) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelError(f"{path} was altered: its sha256 is not the one that the stack states", remedy=_AGAIN)
    return content
