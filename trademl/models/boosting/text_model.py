"""What boosted families share: a fitted model is its canonical text, on which the engine is opened when needed."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ModelError
from trademl.models.base import BaseModel, ModelConfig, checked_matrix
from trademl.models.boosting.constraints import BoostingConfig, monotone_signs
from trademl.models.boosting.inputs import read_model_text


class TextModel(BaseModel):
    """One boosted model, held as text."""

    config: BoostingConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        super().__init__(config, feature_names)
        monotone_signs(self.config.monotone, self.feature_names)
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

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        matrix = checked_matrix(X, self.feature_names)
        return self._score(matrix) if len(matrix) else np.empty(0)

    def save(self, path: Path) -> None:
        write_atomic(path, self.text.encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.from_text(read_model_text(path), origin=str(path))

    @abstractmethod
    def _open(self, text: str) -> Any:
        """Return the engine's own model of ``text``."""

    @abstractmethod
    def _score(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the engine's raw scores of a checked matrix that has rows."""

    def _set_text(self, text: str) -> None:
        self._text = text
        self._opened = None

    def _engine(self) -> Any:
        if self._opened is None:
            self._opened = self._open(self.text)
        return self._opened
