"""`trademl score`."""

import json

import pytest
from click.testing import CliRunner, Result

from tests.edge.scoring_home import RUN, write_run, write_warehouse
from trademl.cli.main import main
from trademl.config import Home


@pytest.fixture
def ready(home: Home) -> Home:
    write_run(home)
    write_warehouse(home)
    return home


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "score", "equities", *arguments])


def test_the_table_shows_the_model_its_standing_and_the_picks(ready: Home) -> None:
    """The output names session, model and its standing, and the highest picks, best first."""
    result = run(ready, "--as-of", "2024-01-03", "--top", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "scored      4 symbols of 2024-01-03, coverage GREEN"
    how = "the latest registered run, as equities has no champion: challenger, not promoted"
    assert lines[1] == f"model       {RUN} (fwd_5d), {how}"
    assert lines[2] == "regime      mid"
    assert lines[3] == "rows        written: preds.equities in snapshot 2"
    assert [line.split()[:3] for line in lines[8:]] == [["1", "A", "0.5"], ["2", "B", "0.25"]]


def test_json_is_the_report_with_every_pick(ready: Home) -> None:
    """`--format json` prints the document of lake/reports."""
    result = run(ready, "--as-of", "2024-01-03", "--format", "json")
    document = json.loads(result.stdout)
    assert [pick["symbol"] for pick in document["picks"]] == ["A", "B", "C", "D"]
    assert document == json.loads((ready.lake / "reports" / "equities_2024-01-03.json").read_text())


def test_a_second_run_says_that_the_rows_were_there(ready: Home) -> None:
    """Scoring again says so instead of claiming new rows."""
    run(ready, "--as-of", "2024-01-03")
    assert (
        "rows        there already, unchanged: preds.equities in snapshot 2"
        in run(ready, "--as-of", "2024-01-03").stdout
    )


def test_bad_data_exits_3_with_the_remedy(ready: Home) -> None:
    """A session that is not GREEN exits 3, and standard error says what to do."""
    result = run(ready, "--as-of", "2024-01-04")
    assert result.exit_code == 3
    assert "AMBER" in result.stderr
    assert "remedy: land what is missing on 2024-01-04" in result.stderr


def test_a_date_that_is_none_exits_2(ready: Home) -> None:
    """A date that cannot be read is a usage error."""
    assert run(ready, "--as-of", "yesterday").exit_code == 2
