"""CatBoost: symmetric trees, deterministic whatever the number of threads, canonical from birth.

A fitted model *is* its canonical JSON (:mod:`trademl.models.boosting.catboost_json`), which the engine reads back. Its
float64 sums of canonical leaves are exact, so native scores and ONNX scores are the same numbers; a CatBoost that reads
the file without trademl is within a few float64 ulps of a leaf of them. Early stopping is decided here, from the trees:
the engine's own measure of the validation rows differs in its last bits with the threads.

Reference: Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.errors import MissingExtra, ModelError
from trademl.models.base import (
    CLASSES,
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
from trademl.models.boosting.catboost_config import CatBoostConfig
from trademl.models.boosting.catboost_json import CatBoostFile, canonicalise, ensemble_of, parse, render
from trademl.models.boosting.inputs import check_stopping, no_gpu, read_model_text, refuse_infinite
from trademl.models.boosting.losses import BestRound, Labels
from trademl.models.boosting.tables import Params, export_onnx, fit_table, predict_table
from trademl.models.boosting.text_model import TextModel, native_of
from trademl.models.trees import Ensemble, leaves_reached

if TYPE_CHECKING:
    import catboost

_BINNING_SEED = 1


@dataclass(frozen=True)
class BorderedData(Prepared):
    """A matrix and the borders of its bins, found once.

    A matrix that CatBoost has binned takes no new labels, so the floats are kept (not copied) and every fit looks its
    rows up in the shared borders again. Borders come from feature values of all rows, labels and weights never: what a
    split can learn from them about its test rows is the marginal distribution of each feature.
    """

    matrix: NDArray[np.float32]
    borders: str
    max_bin: int


class CatBoostModel(TextModel):
    """One CatBoost model, held as canonical JSON."""

    kind = "catboost"
    config_type = CatBoostConfig
    suffix = ".json"
    distributions = ("catboost",)
    config: CatBoostConfig

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> BorderedData:
        engine = _catboost()
        own = checked_config(config, CatBoostConfig)
        names = list(feature_names)
        matrix = training_matrix(X, names)
        refuse_infinite(matrix, names)
        try:
            pool = engine.Pool(matrix, feature_names=names, thread_count=own.thread_count)
            pool.quantize(border_count=own.max_bin, feature_border_type="GreedyLogSum", random_seed=_BINNING_SEED)
            with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
                place = Path(folder) / "borders.tsv"
                pool.save_quantization_borders(str(place))
                borders = place.read_text(encoding="utf-8")
        except engine.CatBoostError as error:
            raise ModelError(f"CatBoost cannot bin the matrix: {_said(error)}", remedy="mend what it names") from error
        return BorderedData(tuple(names), len(matrix), matrix, borders, own.max_bin)

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
        engine = _catboost()
        bordered = self._checked(data)
        stopping = self.config.early_stopping_rounds
        check_stopping(stopping, valid_rows)
        parameters = self.config.parameters(self.feature_names)
        chosen = checked_rows(rows, data.n_rows)
        labels = self._labels(bordered, y, weight, chosen)
        start = _margins_at_start(labels) if self.config.task == "three_class" else None
        measured = measured_labels = None
        try:
            train = self._pool(bordered, labels, weight is not None, chosen, start)
            if valid_rows is not None and stopping is not None:
                valid = checked_rows(valid_rows, data.n_rows, "valid_rows")
                measured_labels = self._labels(bordered, y, weight, valid)
                measured = self._pool(bordered, measured_labels, weight is not None, valid, start)
                # Later than asked for, so that the round it stops in can be found again from the trees alone.
                parameters |= {"od_type": "Iter", "od_wait": 2 * stopping, "use_best_model": False}
            fitted = engine.CatBoost(parameters)
            told = None if progress is None else [_Reporter(progress, self.config.n_rounds)]
            fitted.fit(train, eval_set=measured, callbacks=told)
            with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
                place = Path(folder) / "model.json"
                fitted.save_model(str(place), format="json")
                found = parse(place.read_text(encoding="utf-8"))
        except engine.CatBoostError as error:
            if self.config.device == "gpu":
                raise no_gpu("CatBoost", _said(error)) from error
            raise ModelError(f"CatBoost cannot fit: {_said(error)}", remedy="mend what it names") from error
        if start is not None:
            found = replace(found, biases=tuple(start.tolist()))
        if measured_labels is not None and stopping is not None:
            found = _stopped(found, measured_labels, bordered.matrix[valid], stopping)
        self._set_text(render(canonicalise(found, self.config.model_dump_json(exclude={"threads"}))))
        return self

    def importances(self) -> dict[str, float]:
        """Return CatBoost's PredictionValuesChange: by how much the score changes when a feature does, in per cent."""
        changes = self._engine().get_feature_importance(type="PredictionValuesChange", thread_count=1)
        # A constant model has nothing to share out: CatBoost divides 0 by 0.
        return dict(zip(self.feature_names, np.nan_to_num(changes).tolist(), strict=True))

    @classmethod
    def from_text(cls, text: str, *, origin: str = "model text") -> Self:
        """Build a fitted model from CatBoost's JSON, trademl's or its own; it is brought into canonical form.

        Raises:
            ModelError: it is no such JSON, or has what cannot be exported bit-equal, such as trees that are not
                symmetric.
        """
        parsed = parse(text)
        if parsed.config_json is None:
            config = CatBoostConfig(task=parsed.task, n_rounds=max(1, len(parsed.trees)))
        else:
            try:
                config = CatBoostConfig.model_validate_json(parsed.config_json)
            except ValueError as error:
                raise ModelError(f"{origin}: its configuration is wrong: {error}", remedy="train again") from error
        model = cls(config, parsed.feature_names)
        model._set_text(render(canonicalise(parsed)))
        return model

    def ensemble(self) -> Ensemble:
        return ensemble_of(parse(self.text))

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` as it lies there: CatBoost scores it, in its own float64 sums and on one thread."""
        parsed = parse(read_model_text(path))
        fitted = _opened(path, parsed)
        return native_of(path, parsed.feature_names, ensemble_of(parsed), lambda rows: _raw_scores(fitted, rows, 1))

    def _open(self, text: str) -> "catboost.CatBoost":
        with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
            place = Path(folder) / "model.json"
            place.write_text(text, encoding="utf-8")
            return _opened(place, parse(text))

    def _raw(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return _raw_scores(self._engine(), matrix, self.config.thread_count)

    def _checked(self, data: Prepared) -> BorderedData:
        if not isinstance(data, BorderedData):
            raise ModelError(f"{type(data).__name__} has no borders", remedy="use CatBoostModel.prepare")
        if data.feature_names != self.feature_names:
            raise ModelError("the matrix was binned with other feature names", remedy="prepare it with the model's own")
        if data.max_bin != self.config.max_bin:
            raise ModelError(
                f"the matrix was binned with max_bin={data.max_bin}, the model has {self.config.max_bin}",
                remedy="prepare the matrix once for each max_bin",
            )
        return data

    def _labels(self, data: BorderedData, y: Floats, weight: Floats | None, rows: NDArray[np.int64]) -> Labels:
        labels = checked_labels(y, rows, data.n_rows, self.config.task).astype(np.float64)
        weights = checked_weight(weight, rows, data.n_rows)
        wide = np.ones(len(rows)) if weights is None else weights.astype(np.float64)
        return Labels(labels, wide, self.config.task)

    def _pool(
        self,
        data: BorderedData,
        labels: Labels,
        weighted: bool,
        rows: NDArray[np.int64],
        start: NDArray[np.float64] | None,
    ) -> "catboost.Pool":
        y = labels.y - CLASSES[0] if self.config.task == "three_class" else labels.y
        pool = _catboost().Pool(
            data.matrix if len(rows) == data.n_rows else data.matrix[rows],
            label=y.astype(np.float32),
            weight=labels.weight.astype(np.float32) if weighted else None,
            baseline=None if start is None else np.tile(start, (len(rows), 1)),
            feature_names=list(self.feature_names),
            thread_count=self.config.thread_count,
        )
        with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
            place = Path(folder) / "borders.tsv"
            place.write_text(data.borders, encoding="utf-8")
            pool.quantize(input_borders=str(place))
        return pool


def _margins_at_start(labels: Labels) -> NDArray[np.float64]:
    absent = [label for label in CLASSES if label not in labels.y]
    if absent:
        raise ModelError(
            f"none of the {len(labels.y)} train rows has the class {absent[0]}, and CatBoost fits only classes it sees",
            remedy="widen the dates, or fit lightgbm or xgboost",
        )
    return labels.start()


def _stopped(found: CatBoostFile, labels: Labels, matrix: NDArray[np.float32], patience: int) -> CatBoostFile:
    """Return the trees up to the best round, when no better one comes for ``patience`` rounds."""
    best = BestRound(patience)
    ensemble = ensemble_of(found)
    classes = len(found.biases)
    score = np.tile(np.array(found.biases), (len(matrix), 1))
    for number, tree in enumerate(ensemble.trees):
        score[:, number % classes] += tree.leaf_value[leaves_reached(tree, matrix)]
        whole = number % classes == classes - 1
        if whole and best.stop_after(labels.loss(score if classes > 1 else score[:, 0])):
            break
    return replace(found, trees=found.trees[: best.number + 1])


def fit_catboost(
    X: Any, y: Any, sample_weight: Any = None, params: Params = None
) -> tuple[CatBoostModel, dict[str, float]]:
    """Fit a table in one call and return (model, in-sample metrics): see :func:`fit_table` (seed 004, section 7.2)."""
    return fit_table(CatBoostModel, CatBoostConfig, X, y, sample_weight, params)


def predict_catboost(model: CatBoostModel, X: Any) -> NDArray[np.float64]:
    """Score a table; a DataFrame's columns are taken by name, so their order is free (seed 004, section 7.2)."""
    return predict_table(model, X)


class _Reporter:
    """CatBoost's callback after each round."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total = progress, total

    def after_iteration(self, info: Any) -> bool:
        """Report the round; True goes on."""
        self.progress(int(info.iteration), self.total)
        return True


def _raw_scores(model: "catboost.CatBoost", X: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
    return np.asarray(model.predict(X, prediction_type="RawFormulaVal", thread_count=threads), dtype=np.float64)


def _opened(path: Path, written: CatBoostFile) -> "catboost.CatBoost":
    """Return the engine's model of ``path``, with exactly the leaves that are ``written`` in it.

    CatBoost's reader of JSON is not exact: it reads one leaf in ten, and more, a float64 ulp off (measured, 1.2.10).
    """
    engine = _catboost()
    try:
        model = engine.CatBoost().load_model(str(path), format="json")
        model.set_leaf_values(np.concatenate([tree.leaf_values for tree in written.trees]))
        model.set_scale_and_bias(1.0, list(written.biases) if len(written.biases) > 1 else written.biases[0])
        return model
    except engine.CatBoostError as error:
        raise ModelError(f"CatBoost cannot read {path}: {_said(error)}", remedy="train again") from error


def _said(error: Exception) -> str:
    """Return the first line of the engine's message, without its source line."""
    return str(error).strip().splitlines()[0].rpartition(".cpp:")[2]


def _catboost() -> ModuleType:
    try:
        import catboost
    except ImportError as error:
        raise MissingExtra("catboost", "train") from error
    module: ModuleType = catboost
    return module


__all__ = [
    "BorderedData",
    "CatBoostConfig",
    "CatBoostModel",
    "export_onnx",
    "fit_catboost",
    "predict_catboost",
]
