"""The models of feature tables, bound over empty tables."""

from pathlib import Path

import pytest

from tests.warehouse.feature_project import MODELS, write_project
from trademl.config.home import Home
from trademl.warehouse.feature_binding import binding_problems, line_of, unknown_columns, without_comments
from trademl.warehouse.feature_jinja import Place
from trademl.warehouse.feature_macros import evaluate


def edited(home: Home, name: str, text: str) -> Home:
    (home.dbt_project / "models" / name).write_text(text)
    return home


def found(home: Home) -> list[tuple[str, str]]:
    """Place and text of every problem."""
    return [(str(one.place), one.text) for one in binding_problems(home.dbt_project, evaluate(home.dbt_project))]


def test_the_house_binds(repository: Path) -> None:
    """Every column that the models of feature tables name is computed by what they are made from."""
    evaluation = evaluate(repository / "dbt_project")
    before = dict(evaluation.macros.variables)
    assert list(unknown_columns(repository / "dbt_project", evaluation)) == []
    assert evaluation.macros.variables == before


def test_a_model_that_names_an_unknown_column_is_named_itself(tmp_path: Path) -> None:
    """No definition names it: the line is the model's."""
    text = MODELS["gold/gld_equities_features.sql"].replace("select symbol", "select symbl, symbol")
    assert found(edited(write_project(tmp_path), "gold/gld_equities_features.sql", text)) == [
        (
            "models/gold/gld_equities_features.sql:2",
            "the model of equities_features reads the column symbl, which gld_equities_features and what it is made "
            "from do not compute; did you mean symbol?",
        )
    ]


def test_the_working_model_of_a_table_is_bound_too(tmp_path: Path) -> None:
    """A column that is lost on the way is a fault of the working model, told once for all tables that it serves."""
    text = MODELS["silver/slv_panel.sql"].replace("close as previous_close", "clos as previous_close")
    (one,) = found(edited(write_project(tmp_path), "silver/slv_panel.sql", text))
    assert one[0] == "models/silver/slv_panel.sql:2"
    assert "reads the column clos" in one[1]


@pytest.mark.parametrize("text", ["select nothing_like_it()", "{{ undefined_macro() }}", "select * from nowhere"])
def test_what_cannot_be_bound_is_left_to_dbt(tmp_path: Path, text: str) -> None:
    """A model that is wrong in another way makes no fault of columns, nor do those that read it."""
    assert found(edited(write_project(tmp_path), "silver/slv_panel.sql", text)) == []


def test_a_table_without_its_model_has_nothing_to_bind(tmp_path: Path) -> None:
    """Definitions may come before their model."""
    home = write_project(tmp_path)
    (home.dbt_project / "models/gold/gld_equities_second.sql").unlink()
    assert found(home) == []


def test_comments_keep_their_lines() -> None:
    """Jinja and SQL comments go, and every other text stays on its line."""
    assert without_comments("a {# b\nc #} d -- e\nf") == "a \n d \nf"


def test_a_word_is_found_also_with_the_window_left_open(tmp_path: Path) -> None:
    """`close_20` stands in the macro as `close_` and a number; a word that is not there leaves the place."""
    project = write_project(tmp_path).dbt_project
    assert line_of(project, Place("macros/helpers.sql", 1), "close_20").line == 9
    assert line_of(project, Place("macros/helpers.sql", 1), "nowhere").line == 1
