"""The equities sleeve."""

import pytest

from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.sleeves.equities import EquitiesConfig, label_name


@pytest.mark.parametrize(
    "fields, label",
    [
        ({}, "fwd_5d"),
        ({"label": "horizon", "k": 1}, "fwd_1d"),
        ({"label": "horizon", "k": 20}, "fwd_20d"),
        ({"label": "tb"}, "tb_2_1_10"),
        ({"label": "ret_1d"}, "ret_1d"),
    ],
)
def test_label_names(fields: dict[str, object], label: str) -> None:
    """`horizon` with k, `tb`, or a label's own name."""
    config = validate_section({"model": {"kind": "lightgbm"}, **fields}, EquitiesConfig, origin="test")
    assert label_name(config) == label


def test_a_horizon_that_gold_does_not_have_is_refused() -> None:
    """k=3 is an error that lists 1, 5 and 20."""
    config = validate_section({"model": {"kind": "lightgbm"}, "k": 3}, EquitiesConfig, origin="test")
    with pytest.raises(ConfigError, match="1, 5 or 20"):
        label_name(config)
