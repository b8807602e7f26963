"""XGBoost: histogram trees, deterministic whatever the number of threads, canonical from birth.

A fitted model *is* its canonical JSON (:mod:`trademl.models.boosting.xgboost_json`), which the engine reads back:
native scores and ONNX scores are the same numbers. The gradients are computed here, not in the engine: rounded so that
every sum of them is exact in float64, they give the same trees in any order of summation and so on any number of
threads. Rows are sampled here for the same reason.

Reference: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

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
from trademl.models.boosting.inputs import check_stopping, no_gpu, read_model_text, refuse_infinite
from trademl.models.boosting.losses import BestRound, Labels, exactly_summable
from trademl.models.boosting.text_model import TextModel, native_of
from trademl.models.boosting.xgboost_config import XGBoostConfig
from trademl.models.boosting.xgboost_json import canonicalise, ensemble_of, parse, render
from trademl.models.trees import Ensemble
from trademl.rng import stream

if TYPE_CHECKING:
    import xgboost


@dataclass(frozen=True)
class QuantisedData(Prepared):
    """A matrix and its bins; a split's rows are looked up in the same bins, without finding edges again.

    XGBoost cannot take rows out of binned data, so the floats are kept (not copied) and each split bins its own. Edges
    come from feature values of all rows, labels and weights never: what a split can learn from them about its test rows
    is the marginal distribution of each feature.
    """

    matrix: NDArray[np.float32]
    bins: "xgboost.QuantileDMatrix"
    max_bin: int
    threads: int

    def subset(self, rows: NDArray[np.int64]) -> "xgboost.QuantileDMatrix":
        """Return the bins of ``rows`` (sorted, each once)."""
        if len(rows) == self.n_rows:
            return self.bins
        chosen: xgboost.QuantileDMatrix = _xgboost().QuantileDMatrix(
            self.matrix[rows],
            ref=self.bins,
            max_bin=self.max_bin,
            nthread=self.threads,
            feature_names=list(self.feature_names),
        )
        return chosen


class XGBoostModel(TextModel):
    """One XGBoost model, held as canonical JSON."""

    kind = "xgboost"
    config_type = XGBoostConfig
    suffix = ".json"
    distributions = ("xgboost-cpu", "xgboost")
    config: XGBoostConfig

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> QuantisedData:
        engine = _xgboost()
        own = checked_config(config, XGBoostConfig)
        names = list(feature_names)
        matrix = training_matrix(X, names)
        refuse_infinite(matrix, names)
        try:
            bins = engine.QuantileDMatrix(matrix, max_bin=own.max_bin, nthread=own.threads, feature_names=names)
        except engine.core.XGBoostError as error:
            raise ModelError(f"XGBoost cannot bin the matrix: {_said(error)}", remedy="mend what it names") from error
        return QuantisedData(tuple(names), len(matrix), matrix, bins, own.max_bin, own.threads)

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
        engine = _xgboost()
        quantised = self._checked(data)
        stopping = self.config.early_stopping_rounds
        check_stopping(stopping, valid_rows)
        bins, labels = self._sample(quantised, y, weight, checked_rows(rows, data.n_rows))
        known, measured, best = [bins], None, None
        if valid_rows is not None and stopping is not None:
            chosen = checked_rows(valid_rows, data.n_rows, "valid_rows")
            measured_bins, measured = self._sample(quantised, y, weight, chosen)
            known.append(measured_bins)
            best = BestRound(stopping)
        start = labels.start()
        drawn = stream(self.config.seed, "xgboost", "subsample")
        try:
            booster = engine.Booster(self.config.parameters(self.feature_names), known)
            self._check_device(booster)
            for number in range(self.config.n_rounds):
                gradient, hessian = labels.derivatives(start + _cached_margins(booster, bins))
                if self.config.subsample < 1:
                    kept = drawn.random(len(gradient)) < self.config.subsample
                    # Transposed, so that three classes lose the same rows as one score.
                    gradient, hessian = (gradient.T * kept).T, (hessian.T * kept).T
                booster.boost(bins, number, grad=exactly_summable(gradient), hess=exactly_summable(hessian))
                if progress is not None:
                    progress(number + 1, self.config.n_rounds)
                if best is None or measured is None:
                    continue
                if best.stop_after(measured.loss(start + _cached_margins(booster, measured_bins))):
                    break
            raw = bytes((booster if best is None else booster[: best.number + 1]).save_raw("json")).decode()
        except engine.core.XGBoostError as error:
            raise ModelError(f"XGBoost cannot fit: {_said(error)}", remedy="mend what it names") from error
        config = self.config.model_dump_json(exclude={"threads"})
        self._set_text(render(canonicalise(parse(raw), start.tolist(), config)))
        return self

    def importances(self) -> dict[str, float]:
        """Return each feature's gain: the fall in training loss summed over its splits."""
        total = dict.fromkeys(self.feature_names, 0.0)
        for nodes in parse(self.text).trees:
            for node in nodes:
                if node.left >= 0:
                    total[self.feature_names[node.feature]] += node.gain
        return total

    @classmethod
    def from_text(cls, text: str, *, origin: str = "model text") -> Self:
        """Build a fitted model from XGBoost's JSON, trademl's or its own; it is brought into canonical form.

        Raises:
            ModelError: it is no such JSON, or has what cannot be exported bit-equal.
        """
        parsed = parse(text)
        if parsed.config_json is None:
            config = XGBoostConfig(task=parsed.task, n_rounds=len(parsed.trees) // len(parsed.bases))
        else:
            try:
                config = XGBoostConfig.model_validate_json(parsed.config_json)
            except ValueError as error:
                raise ModelError(f"{origin}: its configuration is wrong: {error}", remedy="train again") from error
        model = cls(config, parsed.feature_names)
        model._set_text(render(canonicalise(parsed)))
        return model

    def ensemble(self) -> Ensemble:
        # The file has the fewest digits that tell float32 numbers apart; the leaf is the number on the grid.
        return ensemble_of(parse(self.text)).canonical()

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` as it lies there: XGBoost alone scores it, in its own float32 sums and on one thread."""
        text = read_model_text(path)
        parsed = parse(text)
        booster = _booster(text, 1)
        return native_of(path, parsed.feature_names, ensemble_of(parsed), lambda rows: _margins(booster, rows))

    def _sample(
        self, data: QuantisedData, y: Floats, weight: Floats | None, rows: NDArray[np.int64]
    ) -> "tuple[xgboost.QuantileDMatrix, Labels]":
        labels = checked_labels(y, rows, data.n_rows, self.config.task).astype(np.float64)
        weights = checked_weight(weight, rows, data.n_rows)
        wide = np.ones(len(rows)) if weights is None else weights.astype(np.float64)
        return data.subset(rows), Labels(labels, wide, self.config.task)

    def _open(self, text: str) -> "xgboost.Booster":
        return _booster(text, self.config.threads)

    def _raw(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return _margins(self._engine(), matrix)

    def _check_device(self, booster: "xgboost.Booster") -> None:
        """Refuse a card that is not there: XGBoost itself would train on the processor instead."""
        if self.config.device == "cpu":
            return
        if not _xgboost().build_info().get("USE_CUDA"):
            raise no_gpu("XGBoost", "this build has no CUDA (the package xgboost has it, xgboost-cpu has not)")
        if json.loads(booster.save_config())["learner"]["generic_param"]["device"] == "cpu":
            raise no_gpu("XGBoost", "it finds no card")

    def _checked(self, data: Prepared) -> QuantisedData:
        if not isinstance(data, QuantisedData):
            raise ModelError(f"{type(data).__name__} is not quantised data", remedy="use XGBoostModel.prepare")
        if data.feature_names != self.feature_names:
            raise ModelError("the matrix was binned with other feature names", remedy="prepare it with the model's own")
        if data.max_bin != self.config.max_bin:
            raise ModelError(
                f"the matrix was binned with max_bin={data.max_bin}, the model has {self.config.max_bin}",
                remedy="prepare the matrix once for each max_bin",
            )
        return data


def _booster(text: str, threads: int) -> "xgboost.Booster":
    engine = _xgboost()
    try:
        booster: xgboost.Booster = engine.Booster(
            {"nthread": threads, "verbosity": 0}, model_file=bytearray(text.encode())
        )
    except engine.core.XGBoostError as error:
        raise ModelError(f"XGBoost cannot read its model: {_said(error)}", remedy="train again") from error
    return booster


def _margins(booster: "xgboost.Booster", X: NDArray[np.float32]) -> NDArray[np.float64]:
    # In place: a DMatrix takes longer to make, and refuses infinities.
    return np.asarray(booster.inplace_predict(X, predict_type="margin"), dtype=np.float64)


def _cached_margins(booster: "xgboost.Booster", bins: "xgboost.QuantileDMatrix") -> NDArray[np.float64]:
    """Return the scores so far of rows that the booster was made with: it keeps them up to date."""
    return np.asarray(booster.predict(bins, output_margin=True), dtype=np.float64)


def _said(error: Exception) -> str:
    """Return the first line of the engine's message, without its clock and source line."""
    return str(error).strip().splitlines()[0].rpartition("Check failed: ")[2]


def _xgboost() -> ModuleType:
    try:
        import xgboost
    except ImportError as error:
        raise MissingExtra("xgboost", "train") from error
    return xgboost


__all__ = ["QuantisedData", "XGBoostConfig", "XGBoostModel"]
