"""`trademl edge`."""

import json

import pytest
from click.testing import CliRunner, Result

from tests.edge.device_home import LATEST, SYMBOLS, limits, served, write_release
from tests.edge.scoring_home import RUN, WEDNESDAY, write_run, write_warehouse
from tests.sleeves.test_equities_skew import SERVER, serve
from trademl.cli.main import main
from trademl.clock import FIXED_NOW
from trademl.config import Home


@pytest.fixture(autouse=True)
def friday_evening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FIXED_NOW, "2024-01-05T22:00:00Z")


@pytest.fixture
def device(home: Home) -> Home:
    write_release(home)
    return home


@pytest.fixture
def server(home: Home) -> Home:
    write_run(home)
    write_warehouse(home)
    return home


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "edge", *arguments])


def test_the_table_shows_release_tripwires_and_picks(device: Home) -> None:
    """The output names the session, the model and its release, what the tripwires saw, and the highest picks."""
    result = run(device, "score", "--top", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[:5] == [
        f"scored      {SYMBOLS} symbols of 2024-01-05, coverage GREEN",
        f"model       {RUN} (fwd_5d), champion, from release 1",
        "regime      mid",
        "turnover    not measured since no session of late",
        "drift       features at most not measured, prediction not measured",
    ]
    assert lines[5] == "rows        written: preds.equities"
    assert [line.split()[:2] for line in lines[-2:]] == [["1", "S24"], ["2", "S23"]]
    assert "there already, unchanged" in run(device, "score").stdout


def test_json_is_the_report_with_every_pick(device: Home) -> None:
    """`--format json` prints the document of lake/reports."""
    document = json.loads(run(device, "score", "--format", "json", "--as-of", "2024-01-05").stdout)
    assert len(document["picks"]) == SYMBOLS
    assert document == json.loads((device.lake / "reports" / "equities_2024-01-05.json").read_text())


def test_a_tripwire_exits_5_and_leaves_nothing(device: Home) -> None:
    """Too few rows: exit code 5, the reason and a remedy on standard error, and no file."""
    limits(device, min_rows=SYMBOLS + 1)
    result = run(device, "score")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert "25 rows, limit at least 26; nothing was written" in result.stderr
    assert "remedy: look at the day's bars" in result.stderr
    assert served(device) == []


def test_a_day_that_the_release_does_not_have_exits_5(device: Home) -> None:
    """Monday is asked for and the release ends on Friday: Friday's numbers do not appear under Monday's date."""
    result = run(device, "score", "--as-of", "2024-01-08")
    assert (result.exit_code, served(device)) == (5, [])
    assert "it ends on 2024-01-05" in result.stderr


def test_no_release_exits_4(home: Home) -> None:
    """An empty lake names the command that fills it."""
    result = run(home, "score")
    assert result.exit_code == 4
    assert "run `trademl lake pull`" in result.stderr


def test_the_devices_rows_are_seen_by_sql(device: Home) -> None:
    """`trademl sql` shows what the device has scored, with its table listed."""
    run(device, "score")
    asked = ["--home", str(device.root), "sql", "select count(*) as n from preds.equities", "--format", "csv"]
    assert CliRunner().invoke(main, asked).stdout == f"n\n{SYMBOLS}\n"
    listed = CliRunner().invoke(main, ["--home", str(device.root), "sql", "--tables"]).stdout
    assert "preds.equities" in listed


def test_mode_fetch_scores_nothing_here(device: Home) -> None:
    """With `mode: fetch` the same command asks the source, of which this device has none."""
    limits(device, mode="fetch")
    result = run(device, "score")
    assert result.exit_code == 2
    assert "names no source to pull from" in result.stderr
    assert run(device, "fetch", "--as-of", str(LATEST)).exit_code == 2


def test_equal_journals_say_so(server: Home) -> None:
    """A journal that gold confirms is one line and exit code 0."""
    serve(server, SERVER)
    result = run(server, "verify")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{WEDNESDAY}  {RUN}  release 1: 4 symbols, 3 columns, all equal bit for bit\n"


def test_skew_exits_3_with_every_differing_feature(server: Home) -> None:
    """beta doubled: A scores 1 for 0.5 and B 0 for 0.25, sMAPE (2/3 + 2 + 0 + 0) / 4; alpha is not in the table."""
    path = serve(server, {symbol: (alpha, 2 * beta) for symbol, (alpha, beta) in SERVER.items()})
    result = run(server, "verify", "--journal", str(path))
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0].endswith("2 of 3 columns differ from the server's")
    assert [line.split() for line in lines[1:]] == [
        ["feature", "mismatches", "missing", "extra", "sMAPE"],
        ["beta", "2", "0", "0", "0.333"],
        ["yhat", "2", "0", "0", "0.667"],
    ]
    (document,) = json.loads(run(server, "verify", "--format", "json").stdout)
    assert [one["feature"] for one in document["skewed"]] == ["beta", "yhat"]


def test_no_journal_is_explained(server: Home) -> None:
    """Without a journal the message says where one comes from."""
    result = run(server, "verify")
    assert result.exit_code == 1
    assert "copy lake/journal/<sleeve>/ from the device" in result.stderr
