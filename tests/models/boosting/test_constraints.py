"""Monotone constraints as configuration."""

import pytest

from trademl.errors import ModelError
from trademl.models.boosting.constraints import BoostingConfig, monotone_signs


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
