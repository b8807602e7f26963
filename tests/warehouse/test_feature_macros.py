"""Definitions of features as the macros make them: the house's own, and a small project's."""

import hashlib
from pathlib import Path

import pytest

from tests.warehouse.feature_project import CORE, SECOND, TABLES, write_project
from trademl.errors import ConfigError
from trademl.warehouse.feature_macros import evaluate


def test_the_house_has_no_faulty_definition(repository: Path) -> None:
    """Every definition of the project is made by the constructor, in the file of its family, on a line of it."""
    found = evaluate(repository / "dbt_project")
    assert found.problems == ()
    counts = {table.name: len(table.features) for table in found.tables}
    assert counts["equities_features"] == 31
    assert counts["equities_alpha158"] == 158
    assert counts["equities_alpha360"] == 360
    for table in found.tables:
        assert table.model == f"gld_{table.name}"
        for one in table.features:
            assert Path(one.place.file).stem == one.family
            line = (repository / "dbt_project" / one.place.file).read_text().splitlines()[one.place.line - 1]
            assert "feature" in line, (one.name, one.place, line)


def test_alpha_names_are_those_of_qlib(repository: Path) -> None:
    """The aliases of Alpha158 are the published ones: 9 candles, 4 prices, 29 operators by 5 windows; none is twice."""
    tables = {table.name: table for table in evaluate(repository / "dbt_project").tables}
    aliases = [one.alias for one in tables["equities_alpha158"].features]
    operators = (
        "ROC MA STD BETA RSQR RESI MAX MIN QTLU QTLD RANK RSV IMAX IMIN IMXD CORR CORD CNTP CNTN CNTD SUMP SUMN SUMD"
    )
    operators += " VMA VSTD WVMA VSUMP VSUMN VSUMD"
    candles = "KMID KLEN KMID2 KUP KUP2 KLOW KLOW2 KSFT KSFT2"
    expected = [*candles.split(), "OPEN0", "HIGH0", "LOW0", "VWAP0"]
    expected += [f"{operator}{n}" for operator in operators.split() for n in (5, 10, 20, 30, 60)]
    assert aliases == expected
    lags = [one.alias for one in tables["equities_alpha360"].features]
    fields = ("CLOSE", "OPEN", "HIGH", "LOW", "VWAP", "VOLUME")
    assert lags == [f"{field}{k}" for field in fields for k in range(59, -1, -1)]


def test_a_definition_is_its_expression_and_the_columns_that_it_names(tmp_path: Path) -> None:
    """The text behind the hash has the expression, what its columns are made of, and of a twin the grid; no more."""
    core, second = evaluate(write_project(tmp_path).dbt_project).tables
    assert core.definitions["mean_5d"] == "mean_5; mean_5 = sum_5 / 5; sum_5 = sum(close) over w"
    assert core.definitions["change_1d"] == "close / previous_close - 1"
    assert core.definitions["change_1d_rank"] == "close / previous_close - 1; twin _rank on 1e-12"
    assert second.definition_sha256()["slow_10"] == hashlib.sha256(b"close_10 / close").hexdigest()


def test_columns_are_the_raw_ones_and_then_their_twins(tmp_path: Path) -> None:
    """A feature with a quantum has the table's twins, or those that name it; one without has none."""
    core, second = evaluate(write_project(tmp_path).dbt_project).tables
    assert core.column_names() == ["change_1d", "mean_5d", "change_1d_dm", "change_1d_rank"]
    assert second.column_names() == ["slow_10", "slow_20", "slow_10_wz", "slow_20_rank", "slow_20_wz"]
    first = core.features[0]
    assert (first.window, first.lookback, first.sources, first.quantum) == (1, 1, ("close",), "1e-12")
    assert (second.features[1].alias, second.features[1].description) == ("SLOW20", "Slow.")


def test_a_definition_knows_its_line(tmp_path: Path) -> None:
    """Of two constructors in one expression each has its own line; through another file it is the family's line."""
    core, second = evaluate(write_project(tmp_path).dbt_project).tables
    assert [str(one.place) for one in core.features] == ["macros/features/core.sql:4", "macros/features/core.sql:8"]
    assert {str(one.place) for one in second.features} == {"macros/features/second.sql:5"}


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """A refused definition does not hide the next, nor those of another table."""
    wrong = CORE.replace("unit='return'", "unit=''").replace("window=5", "window=0")
    home = write_project(tmp_path, core=wrong, second=SECOND.replace("[10, 20]", "[-10, 20]"))
    found = evaluate(home.dbt_project)
    told = [str(problem.place) for problem in found.problems]
    assert told[:2] == ["macros/features/core.sql:4", "macros/features/core.sql:8"]
    texts = [problem.text for problem in found.problems]
    assert texts[0].startswith("feature change_1d: unit is nothing")
    assert texts[1].startswith("feature mean_5d: window is 0; it must be a whole number of sessions, at least 1")
    # The name is wrong because the window is, and both are said.
    assert [text.partition(";")[0] for text in texts[2:]] == [
        "feature slow_-10: the name is slow_-10",
        "feature slow_-10: window is -10",
    ]
    assert [table.name for table in found.tables] == ["equities_features", "equities_second"]


@pytest.mark.parametrize(
    "second, place, message",
    [
        (SECOND.replace("slow_feature(n)", "slow_featur(n)"), "second.sql:5", "'slow_featur' is undefined"),
        (SECOND.replace("return(features)", "return(1 / 0)"), "second.sql:7", "division by zero"),
        (SECOND.replace("return(features)", "return(features + 1)"), "second.sql:7", "can only concatenate list"),
        (
            SECOND.replace("return(features)", "return([3])"),
            "tables.sql:1",
            "feature 3 of equities_second was not made by",
        ),
    ],
)
def test_a_macro_that_fails_is_named_with_its_line(tmp_path: Path, second: str, place: str, message: str) -> None:
    """What goes wrong inside a macro is a problem at its line; the other table is there all the same."""
    found = evaluate(write_project(tmp_path, second=second).dbt_project)
    (problem,) = found.problems
    assert str(problem.place).endswith(place)
    assert message in problem.text
    assert found.tables[0].name == "equities_features"


@pytest.mark.parametrize(
    "tables, message",
    [
        ("{# nothing #}", r"has no macro feature_tables\(\)"),
        (TABLES.replace("{{ return([", "{{ retrun(["), r"feature_tables\(\): 'retrun' is undefined"),
        (TABLES.replace("{{ return([", "{{ return([["), "macros/features/tables.sql:5: unexpected"),
    ],
)
def test_without_the_list_of_tables_there_is_nothing(tmp_path: Path, tables: str, message: str) -> None:
    """A project whose list of tables cannot be read is refused."""
    with pytest.raises(ConfigError, match=message):
        evaluate(write_project(tmp_path, tables=tables).dbt_project)


def test_a_project_without_settings_is_refused(tmp_path: Path) -> None:
    """dbt_project.yml must be there, and YAML."""
    home = write_project(tmp_path)
    (home.dbt_project / "dbt_project.yml").write_text("vars: [")
    with pytest.raises(ConfigError, match=r"dbt_project.yml cannot be read"):
        evaluate(home.dbt_project)
