"""Names and literals inside SQL text."""

import duckdb
import pytest

from trademl.lake.names import identifier, qualified, quoted


@pytest.mark.parametrize("text", ["plain", "it's", "a''b", 'say "hi"', "; drop table x --", "é", ""])
def test_a_quoted_text_is_that_text(text: str) -> None:
    """Whatever is in it, a literal evaluates to the text and nothing else."""
    assert duckdb.sql(f"select {quoted(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("name", ["plain", "select", 'a "quoted" name', "a.b", "Upper Case", "a;b"])
def test_an_identifier_names_one_column(name: str) -> None:
    """Whatever is in it, an identifier is one name, spelled as given."""
    assert duckdb.sql(f"select 1 as {identifier(name)}").columns == [name]


def test_a_qualified_name_has_two_parts() -> None:
    """The schema ends at the first point; quotes inside either part are doubled."""
    assert qualified("gold.equities_features") == '"gold"."equities_features"'
    assert qualified('go"ld.a.b') == '"go""ld"."a.b"'
