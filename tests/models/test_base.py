"""The contract's own checks; what every family must do is asked of each row of the registry."""

from pathlib import Path

import numpy as np
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.base import (
    Prepared,
    Task,
    checked_labels,
    checked_matrix,
    checked_names,
    checked_rows,
    checked_weight,
)
from trademl.models.registry import MODELS, model_class

X, Y = awkward_panel(1500)


@pytest.mark.parametrize("kind", sorted(MODELS))
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_every_family_keeps_the_contract(kind: str, task: Task, tmp_path: Path) -> None:
    """Prepared once, fitted on some rows, every family scores, saves, loads and exports the same numbers."""
    from trademl.edge.session import ScoringSession

    family = model_class(kind)
    config = family.config_type.model_validate({"kind": kind, "task": task, "n_rounds": 5, "threads": 1})
    y = Y if task == "regression" else (Y > 0).astype(np.float64)
    prepared = family.prepare(X, NAMES, config)
    assert isinstance(prepared, Prepared)
    assert (prepared.n_rows, prepared.feature_names) == (1500, NAMES)
    model = family(config, NAMES).fit_rows(prepared, y, np.arange(0, 1500, 2))
    scores = model.predict(X)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    native = tmp_path / f"model{family.suffix}"
    model.save(native)
    model.export_onnx(tmp_path / "model.onnx")
    assert np.array_equal(family.load(native).predict(X), scores)
    assert np.array_equal(ScoringSession(tmp_path / "model.onnx").predict(X), scores)
    assert tuple(model.importances()) == NAMES
    assert np.array_equal(family(config, NAMES).fit(X, y).predict(X), family(config, NAMES).fit(X, y).predict(X))


def test_names_come_back_as_a_tuple() -> None:
    """Good names are returned in their order."""
    assert checked_names(["b", "a_1"]) == ("b", "a_1")


def test_rows_are_sorted_and_default_to_all() -> None:
    """Positions come back sorted as int64; None means every row."""
    assert checked_rows(None, 3).tolist() == [0, 1, 2]
    assert checked_rows(np.array([2, 0], dtype=np.int32), 3).tolist() == [0, 2]


def test_labels_and_weights_are_those_of_the_rows() -> None:
    """Only the chosen rows are read, as float32."""
    rows = np.array([0, 2])
    labels = checked_labels(np.array([0.5, np.nan, 1.5]), rows, 3, "regression")
    weights = checked_weight(np.array([1.0, -1.0, 0.0]), rows, 3)
    assert labels.dtype == np.float32
    assert labels.tolist() == [0.5, 1.5]
    assert weights is not None
    assert weights.tolist() == [1.0, 0.0]
    assert checked_weight(None, rows, 3) is None


def test_a_good_matrix_is_not_copied() -> None:
    """Checking returns the very same array."""
    assert checked_matrix(X, NAMES) is X
    with pytest.raises(ModelError, match="expected"):
        checked_matrix(X[0], NAMES)
