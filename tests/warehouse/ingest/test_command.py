"""``trademl ingest`` as typed."""

import json

import pytest
from click.testing import CliRunner

from tests.warehouse.ingest.desk import NOW, Desk, bar
from trademl.cli.ingest import ingest
from trademl.errors import ConfigError, IngestError


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner whose home is the desk's and whose clock is fixed."""
    monkeypatch.setenv("TRADEML_HOME", str(desk.home.root))
    monkeypatch.setenv("TRADEML_NOW", NOW.isoformat())
    return CliRunner()


def test_equities_print_the_account(desk: Desk, run: CliRunner) -> None:
    """The small table adds up for the reader."""
    path = desk.write("a.csv", bar("AAA", "2026-11-18"), bar("AAA", "2026-11-18"), "bad,row,1,1,1,1,1")
    result = run.invoke(ingest, ["equities", str(path), "--source", "vendor"])
    assert result.exit_code == 0, result.output
    words = [line.split() for line in result.output.splitlines()]
    assert ["rows", "in", "3"] in words
    assert ["=", "landed", "1"] in words
    assert ["+", "quarantined", "1"] in words
    assert ["bad_date", "1"] in words
    assert ["+", "exact", "duplicates", "1"] in words


def test_json_is_the_report(desk: Desk, run: CliRunner) -> None:
    """--json gives the counts to a program."""
    result = run.invoke(ingest, ["equities", str(desk.write("a.csv", bar("AAA", "2026-11-18"))), "--json"])
    report = json.loads(result.output)
    assert (report["dataset"], report["rows_in"], report["landed"], report["balanced"]) == ("equity_bars", 1, 1, True)


def test_each_dataset_has_its_command_and_options(desk: Desk, run: CliRunner) -> None:
    """Sectors, spells and a named series land with the options of the README."""
    sectors = desk.write("s.csv", "AAA,Tech", header="Symbol,GICS Sector")
    spells = desk.write("m.csv", "AAA,2000-01-03,", header="ticker,start_date,end_date")
    vix = desk.write("v.csv", "2026-11-18,20,21", header="DATE,OPEN,CLOSE")
    for arguments in (
        ["reference", str(sectors), "--map", "symbol=Symbol"],
        ["membership", str(spells)],
        ["series", str(vix), "--name", "VIX", "--map", "value=CLOSE"],
    ):
        result = run.invoke(ingest, arguments)
        assert result.exit_code == 0, result.output
    assert desk.rows("select series, value from landed", "series") == [("VIX", 21.0)]


def test_a_refused_file_ends_the_command_with_an_error_after_the_report(desk: Desk, run: CliRunner) -> None:
    """The good file is in the report, the error names the count and the exit code is 1."""
    result = run.invoke(
        ingest, ["equities", str(desk.write_bytes("e.csv", b"")), str(desk.write("a.csv", bar("A", "2026-11-18")))]
    )
    assert "= landed" in result.output
    assert isinstance(result.exception, IngestError)
    assert "1 of 2 files could not be read" in str(result.exception)
    assert result.exception.exit_code == 1


def test_a_misspelt_field_gets_its_neighbour(desk: Desk, run: CliRunner) -> None:
    """The usage error carries exit code 2 and the remedy."""
    result = run.invoke(ingest, ["equities", str(desk.write("a.csv", bar("A", "2026-11-18"))), "--map", "clsoe=Close"])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.remedy == "did you mean close?"


def test_vendors_refuse_without_keys_or_with_an_empty_symbol(
    desk: Desk, run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys come from the environment only, and the message names the variables."""
    monkeypatch.delenv("APCA_API_KEY_ID", raising=False)
    monkeypatch.delenv("APCA_API_SECRET_KEY", raising=False)
    result = run.invoke(ingest, ["alpaca", "--symbols", "AAPL", "--start", "2026-11-02"])
    assert "APCA_API_KEY_ID and APCA_API_SECRET_KEY not set" in str(result.exception)
    result = run.invoke(ingest, ["yahoo", "--symbols", "AAPL,,MSFT", "--start", "2026-11-02"])
    assert "holds an empty symbol" in str(result.exception)
