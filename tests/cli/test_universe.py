"""``trademl universe``: what a user sees of a universe."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.execution.priced_home import WEDNESDAY, write_warehouse
from trademl.cli.main import main
from trademl.config.home import Home


@pytest.fixture
def ready(home: Home) -> Home:
    """Six symbols with bars, and rules that a short history can keep."""
    write_warehouse(home)
    (home.configs / "portfolio.yml").write_text("universe: {min_history_sessions: 2}\n", encoding="utf-8")
    return home


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "universe", "build", *arguments], standalone_mode=True)


def test_included_symbols_and_broken_rules_are_shown(ready: Home) -> None:
    """The most liquid first, then how many each rule left out."""
    found = run(ready)
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0] == f"{WEDNESDAY}: 3 of 7 symbols may be traded; ops.universe: written"
    assert [line.split()[:2] for line in lines[3:6]] == [["1", "A"], ["2", "B"], ["3", "C"]]
    told = {tuple(line.split(maxsplit=1)) for line in lines[8:]}
    assert told == {
        ("2", "members_only"),
        ("1", "min_price_usd"),
        ("1", "min_day_value_usd"),
        ("1", "no bar within the window"),
    }
    assert "there already, unchanged" in run(ready).stdout


def test_all_verdicts_as_json_and_as_a_file(ready: Home, tmp_path: Path) -> None:
    """The same document, with an option of the command line in its settings; a dry run records nothing."""
    output = tmp_path / "universe.json"
    found = run(ready, "--max-names", "1", "--dry-run", "--format", "json", "--output", str(output))
    document = json.loads(found.stdout)
    assert document == json.loads(output.read_text(encoding="utf-8"))
    assert [one["symbol"] for one in document["symbols"] if one["is_included"]] == ["A"]
    assert document["settings"]["max_names"] == 1
    assert not (ready.lake / "ops" / "universe").exists()


def test_a_date_without_bars_is_refused(ready: Home) -> None:
    """With the exit code of data that is not there."""
    refused = run(ready, "--asof", "2024-01-13")
    assert refused.exit_code == 3
    assert "the last session before it with bars is 2024-01-10" in refused.stderr
