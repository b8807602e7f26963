"""What a stack may be told."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.models.stacking.views import config
from trademl.errors import ModelError
from trademl.models.base import Task
from trademl.models.stacking.config import BLENDERS, Blender, StackConfig, check_task


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"bases": ("a", "a")}, "bases has 'a' twice"),
        ({"bases": ("a", "b"), "blender": "average", "weights": {"a": 1}}, "weights and bases differ in b"),
        ({"bases": ("a", "b"), "blender": "average", "weights": {"a": -1, "b": 2}}, "must be finite, at least 0"),
        ({"bases": ("a", "b"), "blender": "average", "weights": {"a": 0, "b": 0}}, "not all 0"),
        ({"bases": ("a", "b"), "weights": {"a": 1, "b": 1}}, "weights belong to `blender: average`"),
        ({"trees": {"early_stopping_rounds": 3}}, "no rows to stop on"),
        ({"blender": "mean"}, "Input should be 'ridge', 'non_negative', 'lightgbm' or 'average'"),
        ({"penalty": -1}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_configuration_is_refused(fields: dict[str, Any], told: str) -> None:
    """Each message says what is wrong."""
    with pytest.raises(ValidationError, match=told):
        StackConfig(**fields)


def test_the_meta_trees_are_small_and_their_threads_are_no_part_of_a_run() -> None:
    """Two configurations that differ in threads alone are written alike, and so are one run."""
    one, two = (config(trees={"threads": threads}).model_dump(mode="json") for threads in (1, 2))
    assert one == two
    assert "threads" not in one["trees"]
    assert (one["trees"]["n_rounds"], one["trees"]["num_leaves"]) == (60, 7)


@pytest.mark.parametrize("blender", list(BLENDERS))
@pytest.mark.parametrize("task", ["regression", "binary", "three_class"])
def test_a_task_without_a_score_is_refused(blender: Blender, task: Task) -> None:
    """Least squares makes no log-odds, and nothing blends three probabilities; the remedy names what would do."""
    if task in BLENDERS[blender]:
        check_task(blender, task)
        return
    with pytest.raises(ModelError, match=f"blender '{blender}' makes no score of the task '{task}'") as refused:
        check_task(blender, task)
    assert ("lightgbm or average" if task == "binary" else "task: regression") in refused.value.remedy
