"""Kinds of values that options take."""

from datetime import date

import click
import pytest

from trademl.cli.params import Day, Names


def test_names_are_divided_by_commas() -> None:
    """Blanks around a name are dropped; a list stays what it is."""
    assert Names().convert("a, b,c", None, None) == ["a", "b", "c"]
    assert Names().convert(["a"], None, None) == ["a"]


@pytest.mark.parametrize("text", ["", "a,", ",a", "a,,b"])
def test_an_empty_name_is_refused(text: str) -> None:
    """It is nearly always a slip, so nothing is guessed."""
    with pytest.raises(click.BadParameter, match="empty name"):
        Names().convert(text, None, None)


def test_a_day_is_an_iso_date() -> None:
    """A date stays what it is; other spellings and dates that do not exist are refused."""
    assert Day().convert("2024-02-29", None, None) == date(2024, 2, 29)
    assert Day().convert(date(2024, 1, 2), None, None) == date(2024, 1, 2)
    for text in ("29.02.2024", "2023-02-29"):
        with pytest.raises(click.BadParameter, match="no date"):
            Day().convert(text, None, None)
