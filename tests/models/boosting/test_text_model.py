"""A model held as text: its engine is opened once for each text, and never for nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import ModelConfig, Prepared
from trademl.models.boosting.constraints import BoostingConfig
from trademl.models.boosting.text_model import TextModel
from trademl.models.trees import Ensemble


class ConstantConfig(BoostingConfig):
    """Nothing to set."""

    kind: Literal["constant"] = "constant"


class Constant(TextModel):
    """Its text is the score of every row."""

    kind = "constant"
    config_type = ConstantConfig
    suffix = ".txt"
    opened = 0

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> Prepared:
        return Prepared(tuple(feature_names), len(X))

    def fit_rows(self, data: Prepared, y: Any, rows: Any = None, **others: Any) -> Self:
        self._set_text(repr(float(np.mean(y))))
        return self

    @classmethod
    def from_text(cls, text: str, *, origin: str = "model text") -> Self:
        model = cls(ConstantConfig(), ("a",))
        model._set_text(text)
        return model

    def importances(self) -> dict[str, float]:
        return {}

    def ensemble(self) -> Ensemble:
        return Ensemble((), (float(self.text),))

    def _open(self, text: str) -> float:
        type(self).opened += 1
        return float(text)

    def _raw(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.full(len(matrix), self._engine())


X = np.zeros((3, 1), dtype=np.float32)


def test_the_engine_is_opened_once_for_each_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another fit is another text: the engine of the old one is not asked any more."""
    monkeypatch.setattr(Constant, "opened", 0)
    model = Constant(ConstantConfig(), ["a"]).fit(X, np.array([1.0, 2.0, 3.0]))
    assert [model.predict(X).tolist() for _ in range(2)] == [[2.0] * 3] * 2
    assert Constant.opened == 1
    assert model.fit(X, np.array([5.0, 5.0, 5.0])).predict(X).tolist() == [5.0] * 3
    assert Constant.opened == 2
    assert len(model.predict(X[:0])) == 0


def test_text_is_what_is_saved(tmp_path: Path) -> None:
    """A saved model reads back with the same text, read-only."""
    model = Constant.from_text("0.25")
    model.save(tmp_path / "model.txt")
    assert (tmp_path / "model.txt").read_text() == "0.25"
    assert Constant.load(tmp_path / "model.txt").predict(X).tolist() == [0.25] * 3
    with pytest.raises(ModelError, match="absent"):
        Constant.load(tmp_path / "absent.txt")


def test_an_unfitted_model_says_so() -> None:
    """It has no text, and so no score."""
    with pytest.raises(ModelError, match="this constant model is not fitted"):
        Constant(ConstantConfig(), ["a"]).predict(X)


def test_a_constraint_on_an_unknown_feature_is_refused() -> None:
    """Before anything is fitted."""
    with pytest.raises(ModelError, match="b"):
        Constant(ConstantConfig(monotone={"b": 1}), ["a"])
