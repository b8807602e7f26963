"""What boosted families share: a fitted model is its canonical text, on which the engine is opened when needed."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ModelError
from trademl.models.base import CLASSES, BaseModel, ModelConfig, Native, checked_matrix, no_probabilities
from trademl.models.boosting.constraints import BoostingConfig, check_constraints
from trademl.models.boosting.inputs import read_model_text
from trademl.models.onnx import export_trees
from trademl.models.softmax import expected_class, softmax
from trademl.models.trees import Ensemble, Tree

Raw = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""An engine's raw scores of rows: one per row, or the margins of three classes, shape (rows, 3)."""


class TextModel(BaseModel):
    """One boosted model, held as text."""

    config: BoostingConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        super().__init__(config, feature_names)
        check_constraints(self.config, self.feature_names)
        self._text: str | None = None
        self._opened: Any = None

    @property
    def text(self) -> str:
        """The canonical native text.

        Raises:
            ModelError: the model is not fitted.
        """
        if self._text is None:
            raise ModelError(f"this {self.kind} model is not fitted", remedy="call fit, fit_rows or load first")
        return self._text

    @classmethod
    @abstractmethod
    def from_text(cls, text: str, *, origin: str = "model text") -> Self:
        """Build a fitted model from native text, trademl's or the engine's own; it is brought into canonical form.

        Raises:
            ModelError: it is no such text, or has what cannot be exported bit-equal.
        """

    @property
    def n_trees(self) -> int:
        """Trees in the model: one a round, or with three classes three."""
        return len(self.trees())

    @property
    def rounds(self) -> int:
        return self.n_trees // len(self.ensemble().constants)

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        matrix = checked_matrix(X, self.feature_names)
        return _scores(self._raw(matrix)) if len(matrix) else np.empty(0)

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.config.task != "three_class":
            raise no_probabilities(self.config)
        matrix = checked_matrix(X, self.feature_names)
        return softmax(self._raw(matrix)) if len(matrix) else np.empty((0, len(CLASSES)))

    @abstractmethod
    def ensemble(self) -> Ensemble:
        """Return the trees and constants that make the score, or the margins of three classes."""

    def trees(self) -> tuple[Tree, ...]:
        return self.ensemble().trees

    def export_onnx(self, path: Path) -> None:
        export_trees(self.ensemble(), self.feature_names, path)

    def save(self, path: Path) -> None:
        write_atomic(path, self.text.encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.from_text(read_model_text(path), origin=str(path))

    @abstractmethod
    def _open(self, text: str) -> Any:
        """Return the engine's own model of ``text``."""

    @abstractmethod
    def _raw(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the engine's raw scores of a checked matrix that has rows; three classes: margins, (rows, 3)."""

    def _set_text(self, text: str) -> None:
        self._text = text
        self._opened = None

    def _engine(self) -> Any:
        if self._opened is None:
            self._opened = self._open(self.text)
        return self._opened


def native_of(path: Path, feature_names: tuple[str, ...], ensemble: Ensemble, raw: Raw) -> Native:
    """Return the model of ``path`` for the parity proof, scored by ``raw``: the engine's own reading of the file."""
    several = len(ensemble.constants) > 1
    return Native(
        path,
        feature_names,
        ensemble.trees,
        lambda rows: _scores(raw(rows)),
        (lambda rows: softmax(raw(rows))) if several else None,
    )


def _scores(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return raw if raw.ndim == 1 else expected_class(softmax(raw))
