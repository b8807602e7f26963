"""The contract's own checks; what every family must do is in test_registry_contract.py."""

import numpy as np
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.base import (
    Task,
    checked_labels,
    checked_matrix,
    checked_names,
    checked_rows,
    checked_weight,
)

X, _ = awkward_panel(1500)


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


@pytest.mark.parametrize(
    "task, good, bad, need",
    [
        ("binary", [0, 1, 1], -1, "0 or 1"),
        ("three_class", [-1, 0, 1], 2, "-1, 0 or 1"),
        ("regression", [7, 8, 9], np.inf, "finite"),
    ],
)
def test_labels_are_those_of_the_task(task: Task, good: list[float], bad: float, need: str) -> None:
    """A label that the task does not have is named with its row."""
    rows = np.arange(1, 4)
    assert checked_labels(np.array([bad, *good], dtype=np.float64), rows, 4, task).tolist() == good
    with pytest.raises(ModelError, match=f"label of row 2 is {float(bad)}, must be {need}"):
        checked_labels(np.array([bad, good[0], bad, good[2]], dtype=np.float64), rows, 4, task)


def test_a_good_matrix_is_not_copied() -> None:
    """Checking returns the very same array."""
    assert checked_matrix(X, NAMES) is X
    with pytest.raises(ModelError, match="expected"):
        checked_matrix(X[0], NAMES)
