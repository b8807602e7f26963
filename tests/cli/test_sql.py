"""`trademl sql`: the command around the guarded query."""

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from tests.lake.small_warehouse import write_warehouse
from trademl.cli.main import main
from trademl.config import Home
from trademl.lake.layout import layout_of

QUERY = "select symbol, date, close from silver.equity_bars order by date, symbol"


@pytest.fixture(scope="module")
def home_with_build(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.configs.mkdir()
    (home.configs / "trademl.yml").touch()
    write_warehouse(layout_of(home))
    return home


@pytest.fixture
def built(home_with_build: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TRADEML_HOME", str(home_with_build.root))
    return home_with_build


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["sql", *arguments], input=stdin)


def test_a_table_is_shown_and_cut(built: Home) -> None:
    """The default is an aligned table of at most 100 rows that says when there are more."""
    result = run(QUERY)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["symbol", "date", "close"]
    assert lines[2].split() == ["S0", "2001-01-01", "11323"]
    assert len(lines) == 103
    assert lines[-1] == "(100 rows, there are more: --limit 0 shows all)"
    assert run(QUERY, "--limit", "0").stdout.splitlines()[-1] == "(440 rows)"
    assert run(QUERY, "--limit", "440").stdout.splitlines()[-1] == "(440 rows)"


def test_csv_and_json_are_whole(built: Home) -> None:
    """CSV and JSON have every row unless a limit is asked for."""
    assert len(list(csv.DictReader(io.StringIO(run(QUERY, "--format", "csv").stdout)))) == 440
    rows = json.loads(run(QUERY, "--format", "json", "--limit", "2").stdout)
    assert rows == [
        {"symbol": "S0", "date": "2001-01-01", "close": 11323.0},
        {"symbol": "S1", "date": "2001-01-01", "close": 11323.25},
    ]


def test_the_query_may_come_from_standard_input(built: Home) -> None:
    """`-` reads the statement from standard input."""
    assert json.loads(run("-", "--format", "json", stdin="select 1 as a;\n").stdout) == [{"a": 1}]


@pytest.mark.parametrize("style", ["table", "csv", "json", "parquet"])
def test_output_goes_to_a_file_whole(built: Home, tmp_path: Path, style: str) -> None:
    """--output writes the file in one step and nothing to standard output."""
    path = tmp_path / f"out.{style}"
    result = run(QUERY, "--format", style, "--output", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    if style == "parquet":
        assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(440,)]
    elif style == "json":
        assert len(json.loads(path.read_text())) == 440
    else:
        assert len(path.read_text().splitlines()) == {"csv": 441, "table": 443}[style]
    assert not list(tmp_path.glob(".incoming*"))


def test_a_refused_query_leaves_the_old_output(built: Home, tmp_path: Path) -> None:
    """A statement that fails does not touch the file it would have written."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    result = run("select * from read_text('/etc/passwd')", "--format", "csv", "--output", str(path))
    assert result.exit_code == 2
    assert "read_text is refused" in result.stderr
    assert path.read_text() == "old"
    failing = "select if(close > 11400, error('boom')::double, close) from silver.equity_bars order by date"
    assert run(failing, "--format", "csv", "--output", str(path)).exit_code == 2
    assert path.read_text() == "old"


def test_tables_lists_everything_published(built: Home) -> None:
    """--tables shows names, rows and grain in every text format."""
    assert "silver.equity_bars" in run("--tables").stdout
    listed = {row["table"]: row for row in json.loads(run("--tables", "--format", "json").stdout)}
    assert listed["silver.equity_bars"]["rows"] == 440
    assert listed["silver.equity_bars"]["grain"] == "symbol, date"
    assert len(run("--tables", "--format", "csv").stdout.splitlines()) == len(listed) + 1
    assert run("--tables", "--format", "parquet", "--output", "x").exit_code == 2


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ((), "either a QUERY or --tables"),
        (("select 1", "--tables"), "either a QUERY or --tables"),
        (("select 1", "--format", "parquet"), "needs --output"),
        (("select 1", "--limit", "-1"), "--limit"),
        (("drop table x",), "a DROP statement is refused"),
        (("select 1", "--as-known-at", "2015-06-30"), "--as-known-at 2015-06-30"),
        (("select 1", "--as-known-at", "yesterday"), "yesterday"),
    ],
)
def test_wrong_use_is_explained(built: Home, arguments: tuple[str, ...], expected: str) -> None:
    """Each wrong use ends with a message and a non-zero exit, never a traceback."""
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert expected in result.stderr
    assert "Traceback" not in result.output
