"""Names of heads and files."""

import pytest

from trademl.errors import ConfigError
from trademl.sleeves.events.names import check_timeframe, file_stem, head_names, is_regression


def test_heads_are_those_of_the_seed() -> None:
    """Three of the outcome, six of each horizon."""
    assert head_names((120, 60)) == (
        "tradeable_2", "direction", "strength",
        "t1_60s", "t2_60s", "t1_break_60s", "t1_bounce_60s", "t2_break_60s", "t2_bounce_60s",
        "t1_120s", "t2_120s", "t1_break_120s", "t1_bounce_120s", "t2_break_120s", "t2_bounce_120s",
    )  # fmt: skip


def test_a_timeframe_belongs_to_the_outcome() -> None:
    """Heads of a horizon have none."""
    assert head_names((60,), "2min")[:4] == ("tradeable_2_2min", "direction_2min", "strength_2min", "t1_60s")
    assert file_stem("tradeable_2_2min", "stage_b", "full") == "tradeable_2_2min_stage_b_full"


def test_strength_alone_is_a_size() -> None:
    """With a timeframe and without."""
    heads = [*head_names((60,)), *head_names((60,), "8min")]
    assert [head for head in heads if is_regression(head)] == ["strength", "strength_8min"]


@pytest.mark.parametrize("timeframe", ["2", "0min", "8 min", "8min; drop", "12345min"])
def test_a_timeframe_is_a_number_of_minutes(timeframe: str) -> None:
    """Nothing else becomes part of a file name."""
    with pytest.raises(ConfigError, match="timeframe"):
        check_timeframe(timeframe)


@pytest.mark.parametrize("horizons", [(60, 60), (-1,), (86_400,)])
def test_horizons_are_different_seconds_of_a_day(horizons: tuple[int, ...]) -> None:
    """Twice the same, none, or a whole day make no head."""
    with pytest.raises(ConfigError, match="horizons"):
        head_names(horizons)
