"""Wrong definitions and sets are refused, each with file, line, fault, limit and remedy."""

import shutil
from pathlib import Path

import pytest

from benchmarks.bad_features import CASES, Case, copy_home
from tests.warehouse.feature_project import CORE, write_project, write_set
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.warehouse.feature_check import (
    STAMP,
    check_features,
    check_unless_unchanged,
    definition_problems,
)
from trademl.warehouse.feature_macros import evaluate
from trademl.warehouse.feature_sets import set_problems


def problems(home: Home) -> list[str]:
    """Every fault of the definitions of a home, as text."""
    return [f"{one.place}: {one.text}" for one in definition_problems(home.dbt_project, evaluate(home.dbt_project))]


@pytest.mark.parametrize("case", CASES, ids=[case.wrong for case in CASES])
def test_a_wrong_definition_is_explained(case: Case, tmp_path: Path) -> None:
    """The message names the file and line of the edit, what is wrong, the limit and the remedy."""
    home = copy_home(tmp_path / "home")
    message = case.message(home)
    assert case.lacks(message, home) == [], message
    assert "Traceback" not in message


def test_the_cases_are_many_and_each_its_own() -> None:
    """At least twenty wrong definitions, among them those that the issue of the feature library names."""
    assert len({case.wrong for case in CASES}) == len(CASES) >= 20
    told = " ".join(case.wrong for case in CASES)
    for named in ("an unknown column", "window 0", "a name twice", "lookahead by a negative window", "no unit"):
        assert named in told


def test_the_house_passes(tmp_path: Path) -> None:
    """Definitions and feature sets of the checkout have no fault."""
    check_features(copy_home(tmp_path / "home"))


def test_a_message_that_falls_short_is_found(tmp_path: Path) -> None:
    """What is not in the message is named; a case that is not refused lacks everything; a stale case is an error."""
    home = copy_home(tmp_path / "home")
    harmless = Case("nothing", "beta.sql", "{# Slope", "{# The slope", "x", "y", "z")
    assert harmless.lacks(harmless.message(home), home) == ["any refusal"]
    vague = Case("vague", "beta.sql", "unit='ratio'", "unit=''", "unit is nothing", "some text", "no such remedy")
    assert vague.lacks(vague.message(home), home) == ["the place", "the remedy"]
    with pytest.raises(AssertionError, match="the case must follow the file"):
        vague.edit(home)


def test_columns_that_the_macros_state_are_the_only_ones(tmp_path: Path) -> None:
    """Where a table lists what expressions may read, anything else is refused with the nearest name."""
    listed = CORE.replace("{{ return([", "{{ return(checked_features([").replace(
        "    ]) }}", "    ], ['close', 'prev_close', 'mean_*'])) }}"
    )
    (found,) = problems(write_project(tmp_path, core=listed))
    assert found == (
        "macros/features/core.sql:6: feature change_1d: its expression reads the column previous_close, which the "
        "model gld_equities_features does not compute; did you mean prev_close?"
    )


def test_a_column_that_no_model_computes_is_found_by_binding(tmp_path: Path) -> None:
    """Where a table lists nothing, the models themselves are bound, each on what it is made from."""
    (found,) = problems(write_project(tmp_path, core=CORE.replace("close / previous_close", "close / previos_close")))
    assert found.startswith(
        "macros/features/core.sql:6: feature change_1d: its expression reads the column previos_close"
    )
    assert found.endswith("did you mean previous_close?")


@pytest.mark.parametrize(
    "sql, said",
    [
        ("lag(close, 1) over (order by date)", ""),
        ("lag(close, 2 - 1) over (order by date)", ""),
        ("lag(close, 1 - 2) over (order by date)", "looks ahead: lag()"),
        ("lag(close, volume) over (order by date)", "looks ahead: lag()"),
        ("lag(close, -1) over (order by date)", "looks ahead: lag()"),
        ("lead(close, -1) over (order by date)", ""),
        ("lead(close) over (order by date)", "looks ahead: lead()"),
        ("sum(close) over (order by date rows between 4 preceding and current row)", ""),
        ("sum(close) over (order by date rows between 4 preceding and 1 following)", "looks ahead: sum()"),
        ("sum(close) over (order by date rows between current row and unbounded following)", "looks ahead: sum()"),
        ("close; select 1", "is no SQL"),
        ("now() - date", "calls now(), which gives another value"),
        ("(select 1)", "reads a table of its own"),
        ("close::hugeint % 3", ""),
    ],
)
def test_what_an_expression_may_do(tmp_path: Path, sql: str, said: str) -> None:
    """It reads rows up to its own, by constant distances, calls functions of its row, and nothing else."""
    home = write_project(tmp_path, core=CORE.replace("close / previous_close - 1", sql))
    found = [text for text in problems(home) if "change_1d" in text]
    assert said in found[0] if said else found == [], found


def test_lookahead_in_a_comment_is_none(tmp_path: Path) -> None:
    """Comments of macros and models may speak of the following session."""
    home = write_project(tmp_path, core="{# the following session, lead(x) #}\n" + CORE)
    model = home.dbt_project / "models" / "gold" / "gld_equities_features.sql"
    model.write_text("-- rows between 1 following\n" + model.read_text())
    assert problems(home) == []
    model.write_text(model.read_text().replace("from {{", ", lead (date) over (order by date) as x from {{"))
    (found,) = problems(home)
    assert found.startswith("models/gold/gld_equities_features.sql:3: `select symbol")


def test_changed_definitions_of_a_set_are_one_fault(tmp_path: Path) -> None:
    """The first is named with both hashes and its line, the others by name; a twin changes with its feature."""
    home = write_project(tmp_path)
    write_set(home, "small_v1", "*")
    assert set_problems(home, evaluate(home.dbt_project)) == []
    macros = home.dbt_project / "macros" / "features" / "core.sql"
    macros.write_text(macros.read_text().replace("close / previous_close - 1", "close / previous_close - 1.0"))
    (found,) = set_problems(home, evaluate(home.dbt_project))
    assert str(found.place) == "configs/features/small_v1.yml:8"
    assert found.text.startswith("the definition of change_1d changed under its name: small_v1 pins ")
    assert found.text.endswith("(sha256); so did those of change_1d_dm, change_1d_rank")
    assert "change_1d_v2 with `version` 2, and a new set small_v2" in found.remedy
    with pytest.raises(ConfigError, match="1 fault in features or their sets"):
        check_features(home)


def test_a_set_of_what_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """A column that was taken away, one of two tables, and a file that cannot be read, each with its line."""
    home = write_project(tmp_path)
    write_set(home, "small_v1", "mean_5d")
    path = write_set(home, "slow_v1", "equities_second.slow_*")
    assert "slow_10" in path.read_text()
    (home.configs / "features" / "odd_v1.yml").write_text("name: odd\n")
    macros = home.dbt_project / "macros" / "features"
    (macros / "core.sql").write_text(CORE.replace("name='mean_5d'", "name='mean_five'"))
    found = {str(one.place): one.text for one in set_problems(home, evaluate(home.dbt_project))}
    assert (
        found["configs/features/small_v1.yml:8"] == "mean_5d is no feature of macros/features; did you mean mean_five?"
    )
    assert "version is missing" in found["configs/features/odd_v1.yml:1"]
    assert len(found) == 2


def test_files_that_passed_are_not_judged_again(tmp_path: Path) -> None:
    """A build judges once; any edit of macros, models, settings or sets is judged, and a fault is never stamped."""
    home = write_project(tmp_path)
    assert check_unless_unchanged(home)
    assert not check_unless_unchanged(home)
    write_set(home, "small_v1", "mean_5d")
    assert check_unless_unchanged(home)
    assert not check_unless_unchanged(home)
    macros = home.dbt_project / "macros" / "features" / "core.sql"
    macros.write_text(CORE.replace("window=5", "window=0"))
    for _ in range(2):
        with pytest.raises(ConfigError, match="window is 0"):
            check_unless_unchanged(home)
    macros.write_text(CORE)
    assert not check_unless_unchanged(home)
    (home.lake / STAMP).write_bytes(b"\xff")
    assert check_unless_unchanged(home)
    shutil.rmtree(home.lake)
    assert check_unless_unchanged(home)
