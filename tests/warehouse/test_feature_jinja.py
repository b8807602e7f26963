"""The project's macros as functions."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from tests.warehouse.feature_project import write_project
from trademl.errors import ConfigError, MissingExtra
from trademl.warehouse.feature_jinja import Place, Problem, failures, load_macros, project_variables


def test_macros_call_each_other_and_return_values(tmp_path: Path) -> None:
    """`return` gives a value through macros of the same and of other files; text comes back as text."""
    text = (
        "{% macro twice(x) -%}{{ return(once(x) + once(x)) }}{%- endmacro %}"
        "{% macro once(x) -%}{{ return([x]) }}{%- endmacro %}"
        "{% macro plain(x) -%} x is {{ x }}{% endmacro %}"
        "{% macro setting() -%}{{ return(var('longest_lookback') + var('unknown', 1)) }}{%- endmacro %}"
        "{% macro found() -%}{{ return(modules.re.findall('[a-z]', 'a1b2')) }}{%- endmacro %}"
    )
    macros = load_macros(write_project(tmp_path, more=text).dbt_project)
    assert macros.functions["twice"](3) == [3, 3]
    assert macros.functions["plain"](3) == "x is 3"
    assert macros.functions["setting"]() == 131
    assert macros.functions["found"]() == ["a", "b"]
    assert macros.functions["slow_feature"](10)["name"] == "slow_10"


def test_what_dbt_refuses_is_refused(tmp_path: Path) -> None:
    """A compiler error, a missing variable and an undefined name are failures, with the text that was said."""
    text = (
        "{% macro no() -%}{{ exceptions.raise_compiler_error('not so') }}{%- endmacro %}"
        "{% macro missing() -%}{{ return(var('nowhere')) }}{%- endmacro %}"
        "{% macro undefined() -%}{{ return(nothing_like_it(1)) }}{%- endmacro %}"
    )
    macros = load_macros(write_project(tmp_path, more=text).dbt_project)
    for name, said in (("no", "not so"), ("missing", "'nowhere' is not in"), ("undefined", "is undefined")):
        with pytest.raises(failures(), match=said):
            macros.functions[name]()


def test_a_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """A file that is no jinja is refused, with its line, by the first call of one of its macros, and not before."""
    macros = load_macros(write_project(tmp_path, broken="{% macro odd() -%}\n{% for %}").dbt_project)
    with pytest.raises(ConfigError, match=r"macros/features/broken.sql:2: "):
        macros.functions["odd"]()


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    """Macros are UTF-8."""
    home = write_project(tmp_path)
    (home.dbt_project / "macros" / "odd.sql").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"macros/odd.sql is not UTF-8"):
        load_macros(home.dbt_project)


def test_a_negative_lag_is_noted_with_its_line(tmp_path: Path) -> None:
    """The macro of lags refuses a later session; evaluation goes on, and the place is the line of the call."""
    text = (
        "{% macro far() -%}\n    {{ return([\n        lagged('close', 2), lagged('close', 0),\n"
        "        lagged('close', 0 - 2)\n    ]) }}\n{%- endmacro %}"
    )
    macros = load_macros(write_project(tmp_path, more=text).dbt_project)
    assert macros.functions["far"]() == ["close_2", "close", "close"]
    (problem,) = macros.problems
    assert problem.place == Place("macros/features/more.sql", 4)
    assert "the lag is -2; it must be a whole number, at least 0" in problem.text


def test_models_are_rendered_with_the_macros(tmp_path: Path) -> None:
    """A model's text sees every macro, and what it is given for dbt's own names."""
    macros = load_macros(write_project(tmp_path).dbt_project)
    text = "select {{ slow_feature(5).sql }} from {{ ref('panel') }}"
    assert macros.render(text, {"ref": lambda name: f"work.{name}"}) == "select close_5 / close from work.panel"


def test_settings_are_those_of_the_project(tmp_path: Path) -> None:
    """A project without variables has none."""
    home = write_project(tmp_path)
    assert project_variables(home.dbt_project)["longest_lookback"] == 130
    (home.dbt_project / "dbt_project.yml").write_text("name: x\n")
    assert project_variables(home.dbt_project) == {}


def test_without_jinja_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a base install the message says what to install."""
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "jinja2":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    home = write_project(tmp_path)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match="'jinja2' is not installed"):
        load_macros(home.dbt_project)


def test_a_problem_says_where_what_and_what_to_do() -> None:
    """File and line first, as editors and terminals make links of."""
    problem = Problem(Place("macros/features/core.sql", 4), "feature x: unit is nothing", "say its unit")
    assert str(problem) == "macros/features/core.sql:4: feature x: unit is nothing\n    remedy: say its unit"
