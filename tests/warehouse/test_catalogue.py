"""The table of features in a page; tests/warehouse/test_dbt.py compares docs/features.md with a built catalogue."""

import pytest

from trademl.errors import ConfigError
from trademl.warehouse.catalogue import BEGIN, END, feature_table, with_table

EXAMPLE = ("gaps", "gap_1d", "ln(open / close)", "log return", 1, 2, "1e-12", "open, close", True)


def test_a_feature_is_one_line_of_the_table() -> None:
    """A row of the catalogue becomes one line, name and formula in code style."""
    lines = feature_table([EXAMPLE]).splitlines()
    assert lines[2] == ("| gaps | `gap_1d` | `ln(open / close)` | log return | 1 | 2 | 1e-12 | open, close | yes |")
    assert [line.count("|") for line in lines] == [10, 10, 10]


def test_the_table_replaces_only_what_lies_between_the_markers() -> None:
    """Text around the markers stays, and writing twice changes nothing."""
    page = with_table(f"above\n{BEGIN}\nold\n{END}\nbelow\n", "new")
    assert page == f"above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"
    assert with_table(page, "new") == page


@pytest.mark.parametrize("page", ["no marker", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    """Each marker must be there once, in order; the remedy shows them."""
    with pytest.raises(ConfigError, match="no place for the catalogue"):
        with_table(page, "new")
