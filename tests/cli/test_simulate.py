import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from trademl.cli.main import main
from trademl.cli.simulate import ingest_lines
from trademl.config import Home


def test_simulate_writes_a_market_and_says_how_to_land_it(tmp_path: Path) -> None:
    """`trademl simulate --out DIR` writes seven files and prints the ingest commands."""
    folder = tmp_path / "market"
    result = CliRunner().invoke(main, ["simulate", "--out", str(folder), "--symbols", "20", "--sessions", "150"])
    assert result.exit_code == 0, result.output
    assert "150" not in result.stderr
    assert {path.name for path in folder.iterdir()} == {
        "bars.parquet",
        "corrections.parquet",
        "membership.csv",
        "sectors.csv",
        "vix.csv",
        "truth.parquet",
        "truth.json",
    }
    for line in ingest_lines(folder):
        assert f"trademl {line}" in result.stdout


# exchange_calendars 4.13 calls what pandas 3 deprecates
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_simulated_files_land_without_a_map_and_without_quarantine(tmp_path: Path, home: Home) -> None:
    """Every printed ingest command runs in a new home; all rows land, and the corrections count as corrections."""
    folder = tmp_path / "a market"
    runner = CliRunner()
    small = ["--symbols", "20", "--sessions", "150", "--corrections", "5"]
    assert runner.invoke(main, ["simulate", "--out", str(folder), *small]).exit_code == 0
    outputs = []
    for line in ingest_lines(folder):
        result = runner.invoke(main, ["--home", str(home.root), *shlex.split(line)])
        assert result.exit_code == 0, result.output
        outputs.append([" ".join(row.split()) for row in result.stdout.splitlines()])
    assert all("+ quarantined 0" in rows for rows in outputs), outputs
    assert "corrections 5" in outputs[-1], outputs[-1]


def test_a_wrong_parameter_exits_with_2(tmp_path: Path) -> None:
    """A parameter out of range is a message that names it, with exit code 2 and no folder."""
    result = CliRunner().invoke(main, ["simulate", "--out", str(tmp_path / "m"), "--planted-ic", "0.9"])
    assert result.exit_code == 2
    assert "planted_ic=0.9" in result.stderr
    assert not (tmp_path / "m").exists()


def test_a_market_that_runs_into_the_future_is_noted(tmp_path: Path) -> None:
    """Bars of the future would be quarantined: the command says so on standard error."""
    arguments = ["simulate", "--out", str(tmp_path / "m"), "--symbols", "12", "--sessions", "120"]
    result = CliRunner(env={"TRADEML_NOW": "2015-03-01"}).invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "future" in result.stderr
