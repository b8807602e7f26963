"""The macros without dbt: `return`, `do`, `var`, overrides and refusals behave as in dbt."""

from pathlib import Path

import jinja2
import pytest

from tests.warehouse.macro_rendering import MacroError, Macros

TEXT = """
{# Returns a list, through another macro of the same file. #}
{% macro doubled(values) -%}
    {%- set found = [] -%}
    {%- for value in values -%}{%- do found.append(twice(value)) -%}{%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{% macro twice(value) -%}
    {{ return(value * 2) }}
{%- endmacro %}

{% macro limited(value, limit=var('limit')) -%}
    {%- if value > limit -%}{{ exceptions.raise_compiler_error('too large: ' ~ value) }}{%- endif -%}
    {{ value }} of {{ limit }}
{%- endmacro %}

{% materialization special, adapter='duckdb' %}
    {{ return({'relations': []}) }}
{% endmaterialization %}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one file of macros."""
    (tmp_path / "macros" / "folder").mkdir(parents=True)
    (tmp_path / "macros" / "folder" / "some.sql").write_text(TEXT)
    return tmp_path


def test_a_macro_returns_its_value_also_to_a_macro_of_the_same_file(project: Path) -> None:
    """A list of numbers, not its text; and what follows `return` does not run."""
    macros = Macros(project)
    assert macros.call("doubled", [1, 2]) == [2, 4]
    assert macros.render("{% for value in doubled(values) %}{{ value + 1 }} {% endfor %}", values=[3, 4]) == "7 9 "


def test_a_macro_without_return_gives_its_text(project: Path) -> None:
    """With a default that is a variable of the project."""
    assert Macros(project, variables={"limit": 5}).call("limited", 3) == "3 of 5"


def test_a_refusal_and_an_unknown_variable_are_errors(project: Path) -> None:
    """Both would stop dbt's parse."""
    with pytest.raises(MacroError, match="too large: 7"):
        Macros(project, variables={"limit": 5}).call("limited", 7)
    with pytest.raises(MacroError, match="limit"):
        Macros(project).call("limited", 7)


def test_a_name_that_nobody_defines_is_an_error(project: Path) -> None:
    """A misspelt macro is not rendered as nothing."""
    with pytest.raises(jinja2.UndefinedError, match="thrice"):
        Macros(project).render("{{ thrice(2) }}")


def test_an_override_takes_the_place_of_a_macro(project: Path) -> None:
    """For the macro's callers too."""
    assert Macros(project, overrides={"twice": lambda value: value + 10}).call("doubled", [1]) == [11]
