"""``trademl portfolio``: what a user sees of targets and of a frontier."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.execution.priced_home import WEDNESDAY, write_predictions, write_warehouse
from trademl.cli.main import main
from trademl.config.home import Home

SCORES = {"A": 0.04, "B": 0.03, "C": 0.02, "D": 0.01, "E": 0.05}


@pytest.fixture
def ready(home: Home) -> Home:
    """Predictions of five symbols, of which four can be weighed."""
    write_warehouse(home)
    write_predictions(home, SCORES)
    return home


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), *arguments], standalone_mode=True)


def test_targets_are_shown_with_their_costs(ready: Home) -> None:
    """Both sides, the whole, its price, and where it was written."""
    found = run(ready, "portfolio", "build")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0].startswith(f"{WEDNESDAY} equities: 2 long, 2 short of 5 symbols, ranked")
    assert [line.split()[0] for line in lines[3:7]] == ["A", "B", "C", "D"]
    assert "rows        written: ops.targets" in found.stdout
    # Two names of 5 % each side are what is allowed of 50 %: 200,000 USD are traded, at 5 bps of spread.
    assert "spread 100.00" in found.stdout
    assert "note: 2 names of at most 0.05 cannot fill 0.5 of long exposure" in found.stderr
    assert "there already, unchanged" in run(ready, "portfolio", "build").stdout


def test_a_dry_run_writes_nothing(ready: Home) -> None:
    """And says so."""
    assert "nothing written (--dry-run)" in run(ready, "portfolio", "build", "--dry-run").stdout
    counted = run(ready, "sql", "select count(*) as n from ops.targets", "--format", "csv")
    assert counted.stdout.splitlines()[1] == "0"


def test_json_holds_the_whole_decision(ready: Home) -> None:
    """With the options that were given."""
    found = run(ready, "portfolio", "build", "--format", "json", "--long-only", "--equity", "500000", "--dry-run")
    document = json.loads(found.stdout)
    assert document["dt"] == str(WEDNESDAY)
    assert document["equity_usd"] == 500_000
    assert document["net"] == pytest.approx(document["gross"])
    assert {one["symbol"] for one in document["targets"]} == set("ABCDE")
    assert document["cost_usd"]["spread"] == pytest.approx(document["turnover"] * 500_000 * 5e-4)


def test_the_convex_optimiser_is_an_option(ready: Home) -> None:
    """With the same table."""
    pytest.importorskip("cvxpy", reason="the extra portfolio is not installed")
    found = run(ready, "portfolio", "build", "--optimiser", "convex", "--dry-run")
    assert found.exit_code == 0
    assert "convex" in found.stdout.splitlines()[0]
    assert "note: expects " in found.stderr


def test_only_the_universe_may_have_a_weight(ready: Home) -> None:
    """Without one the message says how to make it."""
    refused = run(ready, "portfolio", "build", "--universe")
    assert refused.exit_code == 3
    assert "trademl universe build" in refused.stderr
    (ready.configs / "portfolio.yml").write_text(
        "universe: {min_history_sessions: 0, min_day_value_usd: 25000000}\n", encoding="utf-8"
    )
    assert run(ready, "universe", "build").exit_code == 0
    found = run(ready, "portfolio", "build", "--universe", "--format", "json")
    assert {one["symbol"] for one in json.loads(found.stdout)["targets"]} == set("AB")


def test_wrong_settings_are_named(ready: Home) -> None:
    """With the file and the field, and the exit code of a wrong configuration."""
    (ready.configs / "portfolio.yml").write_text("max_nam: 0.1\n", encoding="utf-8")
    refused = run(ready, "portfolio", "build")
    assert refused.exit_code == 2
    assert "max_nam is not a field; did you mean max_name" in refused.stderr


def test_the_frontier_of_the_paper_needs_no_data(home: Home, tmp_path: Path) -> None:
    """A picture and three schedules; equal slices cost 662,500 USD, by hand in the report's own test."""
    picture = tmp_path / "frontier.png"
    found = run(home, "portfolio", "frontier", "--output", str(picture))
    assert found.exit_code == 0
    assert "662,500" in found.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_frontier_of_a_symbol_uses_its_session(ready: Home, tmp_path: Path) -> None:
    """Price, volatility and volume of G; an unknown symbol is refused."""
    picture = tmp_path / "g.png"
    found = run(ready, "portfolio", "frontier", "--symbol", "G", "--shares", "1000", "--output", str(picture))
    assert found.stdout.startswith(f"G on {WEDNESDAY}: 1,000 shares over 5 days")
    assert run(ready, "portfolio", "frontier", "--symbol", "X", "--output", str(picture)).exit_code == 3
