"""Linear scores: one weighted sum of features, the same bits in numpy and in ONNX.

``score = bias + w1 f1(x1) + w2 f2(x2) + ...`` in float64, where ``f`` puts a fixed value in place of a missing one.
Products and sums are single operations in feature order, never a matrix product: engines sum those in orders of their
own, and IEEE 754 fixes each single operation to the last bit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import MissingExtra, ModelError
from trademl.models.base import BaseModel, ModelConfig, checked_matrix, checked_names
from trademl.models.runtime import FEATURES_KEY, INPUT, OUTPUT

FORMAT = "trademl linear model 1"
_IR_VERSION = 8
_OPSET = 17


@dataclass(frozen=True)
class LinearForm:
    """A fitted linear score. ``weights``, ``fills`` and ``scales`` have one float64 per feature, in feature order.

    ``scales`` are the standard deviations of the fit: they change no score, only what a weight is worth.
    """

    kind: str
    config: dict[str, Any]
    feature_names: tuple[str, ...]
    weights: tuple[float, ...]
    fills: tuple[float, ...]
    scales: tuple[float, ...]
    bias: float

    def importances(self) -> dict[str, float]:
        """Return, for each feature, by how much one standard deviation of it moves the score."""
        moved = np.abs(np.array(self.weights) * np.array(self.scales)).tolist()
        return dict(zip(self.feature_names, moved, strict=True))

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row of ``X`` (float32, C-order, features in order, NaN where missing)."""
        matrix = checked_matrix(X, self.feature_names).astype(np.float64)
        # A product of float64 is rounded once, in every engine.
        with np.errstate(invalid="ignore", over="ignore"):
            products = np.where(np.isnan(matrix), np.array(self.fills), matrix) * np.array(self.weights)
        total = np.full(len(matrix), self.bias)
        with np.errstate(invalid="ignore", over="ignore"):
            for column in range(products.shape[1]):
                total = total + products[:, column]
        return total

    def save(self, path: Path) -> None:
        """Write the form as JSON, atomically and read-only; numbers read back as the same float64."""
        document = {
            "format": FORMAT,
            "kind": self.kind,
            "config": self.config,
            "bias": self.bias,
            "features": [
                {"name": name, "weight": weight, "fill": fill, "scale": scale}
                for name, weight, fill, scale in zip(
                    self.feature_names, self.weights, self.fills, self.scales, strict=True
                )
            ],
        }
        write_atomic(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path, kind: str) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing, is no such file, or is of another kind.
        """
        try:
            document = json.loads(path.read_bytes())
            if document["format"] != FORMAT or document["kind"] != kind:
                raise ValueError(f"it is {document['format']!r} of kind {document['kind']!r}")
            features = document["features"]
            form = cls(
                kind=kind,
                config=dict(document["config"]),
                feature_names=checked_names([str(one["name"]) for one in features]),
                weights=tuple(float(one["weight"]) for one in features),
                fills=tuple(float(one["fill"]) for one in features),
                scales=tuple(float(one["scale"]) for one in features),
                bias=float(document["bias"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} is no saved {kind} model: {error}", remedy="give the model file of a run, or train again"
            ) from error
        if not np.isfinite([*form.weights, *form.fills, *form.scales, form.bias]).all():
            raise ModelError(f"{path} has numbers that are not finite", remedy="train again")
        return form

    def export_onnx(self, path: Path) -> None:
        """Write the graph that computes the same operations in the same order, atomically; equal forms, equal bytes.

        Raises:
            MissingExtra: onnx is not installed.
        """
        try:
            import onnx
            from onnx import helper, numpy_helper
        except ImportError as error:
            raise MissingExtra("onnx", "train") from error
        n = len(self.feature_names)
        constants = {
            "fills": np.array([self.fills]),
            "weights": np.array([self.weights]),
            "bias": np.array([[self.bias]]),
            "ones": np.ones(n, dtype=np.int64),
        }
        columns = [f"column_{number}" for number in range(n)]
        sums = ["bias", *(f"sum_{number}" for number in range(n - 1)), OUTPUT]
        nodes = [
            helper.make_node("Cast", [INPUT], ["wide"], to=onnx.TensorProto.DOUBLE),
            helper.make_node("IsNaN", ["wide"], ["missing"]),
            helper.make_node("Where", ["missing", "fills", "wide"], ["filled"]),
            helper.make_node("Mul", ["filled", "weights"], ["products"]),
            helper.make_node("Split", ["products", "ones"], columns, axis=1),
            *(helper.make_node("Add", [sums[number], columns[number]], [sums[number + 1]]) for number in range(n)),
        ]
        graph = helper.make_graph(
            nodes,
            "trademl",
            [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [None, n])],
            [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.DOUBLE, [None, 1])],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        entry = model.metadata_props.add()
        entry.key, entry.value = FEATURES_KEY, json.dumps(list(self.feature_names))
        write_atomic(path, model.SerializeToString(deterministic=True))


class LinearModel(BaseModel):
    """What linear families share: everything but where the weights come from."""

    suffix = ".json"

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        super().__init__(config, feature_names)
        if config.task != "regression":
            raise ModelError(
                f"{self.kind} fits a regression, not the task {config.task!r}",
                remedy="use `task: regression`, or a boosted family (lightgbm, xgboost, catboost) for classes",
            )
        self._form: LinearForm | None = None

    @property
    def form(self) -> LinearForm:
        """The fitted weights.

        Raises:
            ModelError: the model is not fitted.
        """
        if self._form is None:
            raise ModelError(f"this {self.kind} model is not fitted", remedy="call fit, fit_rows or load first")
        return self._form

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.form.predict(X)

    def importances(self) -> dict[str, float]:
        """Return, for each feature, by how much one standard deviation of it moves the score."""
        return self.form.importances()

    def save(self, path: Path) -> None:
        self.form.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        form = LinearForm.load(path, cls.kind)
        model = cls(cls.config_type.model_validate(form.config), form.feature_names)
        model._form = form
        return model

    def export_onnx(self, path: Path) -> None:
        self.form.export_onnx(path)


def unit_form(
    kind: str, config: dict[str, Any], names: Sequence[str], feature: str, *, fill: float, bias: float
) -> LinearForm:
    """Return the form that is one feature alone, plus ``bias``.

    Raises:
        ModelError: the feature is not among ``names``.
    """
    if feature not in names:
        raise ModelError(
            f"{kind} scores by {feature!r}, which is not among the {len(names)} features",
            remedy=f"add it to `features`, or choose one of {', '.join(list(names)[:5])}, ...",
        )
    at = list(names).index(feature)
    weights = [0.0] * len(names)
    weights[at] = 1.0
    fills = [0.0] * len(names)
    fills[at] = fill
    return LinearForm(kind, config, tuple(names), tuple(weights), tuple(fills), (1.0,) * len(names), bias)
