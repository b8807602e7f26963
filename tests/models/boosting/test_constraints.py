"""Monotone constraints as configuration."""

import pytest

from trademl.errors import ModelError
from trademl.models.boosting.constraints import BoostingConfig, check_constraints, monotone_signs


def test_signs_come_in_feature_order() -> None:
    """Features that are not named are free."""
    assert monotone_signs({"c": -1, "a": 1}, ["a", "b", "c"]) == [1, 0, -1]
    with pytest.raises(ModelError, match="monotone names 'd', which is not among the 3 features"):
        monotone_signs({"d": 1}, ["a", "b", "c"])


def test_equal_constraints_have_one_written_form() -> None:
    """Order and zeros say nothing; without constraints nothing is written."""
    one = BoostingConfig(kind="any", monotone={"b": -1, "a": 1, "c": 0})
    two = BoostingConfig(kind="any", monotone={"a": 1, "b": -1})
    assert one.model_dump_json() == two.model_dump_json()
    assert BoostingConfig.model_validate_json(one.model_dump_json()) == two
    assert BoostingConfig(kind="any", monotone={"a": 0}).model_dump() == {"kind": "any", "task": "regression"}


def test_constraints_are_for_one_score_and_its_features() -> None:
    """Three classes take none, and none is always fine."""
    check_constraints(BoostingConfig(kind="any", task="three_class"), ["a"])
    check_constraints(BoostingConfig(kind="any", task="binary", monotone={"a": 1}), ["a"])
    with pytest.raises(ModelError, match="monotone names a, b, and the task is three_class"):
        check_constraints(BoostingConfig(kind="any", task="three_class", monotone={"b": 1, "a": -1}), ["a", "b"])
    with pytest.raises(ModelError, match="monotone names 'b', which is not among the 1 features"):
        check_constraints(BoostingConfig(kind="any", monotone={"b": 1}), ["a"])


def test_the_processor_is_not_written() -> None:
    """It is what every earlier file and hash means; a card is written and read back."""
    assert BoostingConfig(kind="any", device="cpu").model_dump() == {"kind": "any", "task": "regression"}
    card = BoostingConfig(kind="any", device="gpu")
    assert card.model_dump()["device"] == "gpu"
    assert BoostingConfig.model_validate_json(card.model_dump_json()) == card
