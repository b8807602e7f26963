"""Measures of the task binary in a run's metrics."""

import math

import numpy as np
import pytest

from tests.training.panels import by_hand
from trademl.training.cross_validate import CrossValidation, SplitResult
from trademl.training.evaluate import evaluate

HIGH, LOW = math.log(4), -math.log(4)
Y = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]


def measured(scores: list[float], task: str) -> object:
    data = by_hand(np.repeat([0, 1, 2], 2), np.tile([0, 1], 3), Y, horizon=0)
    split_of = np.array([[-1, -1, 0, 0, 1, 1]], dtype=np.int16)
    splits = tuple(SplitResult(n, (n,), 2, 2, None, 1.0, {"first": 1.0, "second": 0.0}, "") for n in range(2))
    return evaluate(data, CrossValidation(np.array([scores]), split_of, splits, None, 0), task)  # type: ignore[arg-type]


def test_probabilities_are_judged_per_split_and_pooled() -> None:
    """Two splits of two rows: the base rate of the first session is 1/2, of the first two 1/2 again."""
    found = measured([math.nan, math.nan, HIGH, LOW, HIGH, LOW], "binary")
    path = found.paths[0]  # type: ignore[attr-defined]
    # Errors: 0.2, 0.2, 0.2 and 0.8.
    assert path["brier"] == pytest.approx((0.04 * 3 + 0.64) / 4)
    assert path["brier_of_base_rate"] == pytest.approx(0.25)
    assert path["auc"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert path["base_rate"] == 0.75
    # As a probability the score is 0.5 at log-odds of 0: three rows of four lie on their own side.
    assert path["accuracy"] == path["direction_accuracy"] == 0.75
    first, second = found.splits  # type: ignore[attr-defined]
    assert (first["auc"], first["base_rate"], first["brier"]) == (1.0, 0.5, pytest.approx(0.04))
    assert math.isnan(second["auc"])
    assert second["brier"] == pytest.approx((0.04 + 0.64) / 2)
    headline = found.headline()  # type: ignore[attr-defined]
    assert {"auc", "brier", "brier_of_base_rate", "log_loss", "ece", "base_rate", "rank_ic"} <= set(headline)


def test_other_tasks_have_none_of_it() -> None:
    """What a regression's metrics hold did not change."""
    found = measured([math.nan, math.nan, HIGH, LOW, HIGH, LOW], "regression")
    assert "auc" not in found.paths[0]  # type: ignore[attr-defined]
    assert "auc" not in found.splits[0]  # type: ignore[attr-defined]
    assert "brier" not in found.headline()  # type: ignore[attr-defined]
