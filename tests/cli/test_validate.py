"""``trademl validate calibration``."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.reports.conftest import Trained, trained, trained_once  # noqa: F401
from trademl.artifacts.run_folder import RunFolder
from trademl.cli.main import main
from trademl.config.home import Home


def command(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "validate", "calibration", *arguments])


def test_tables_are_printed_and_diagrams_written(trained: Trained) -> None:  # noqa: F811
    """Base rate, measures before and after, a reliability table and a PNG for each way, beside the daily reports."""
    result = command(trained.home, trained.run_id, "--bins", "5")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{trained.run_id}: P(fwd_5d > 0) on 3,720 rows in 4 folds")
    heading = next(number for number, line in enumerate(lines) if "Brier" in line)
    columns = "Brier reliability resolution uncertainty within bins log loss ECE MCE ECE wide"
    assert " ".join(lines[heading].split()) == columns
    assert [line.split()[0] for line in lines[heading + 1 : heading + 5]] == ["base", "before", "isotonic", "platt"]
    tables = [number for number, line in enumerate(lines) if line.split()[:2] == ["above", "to"]]
    assert len(tables) == 3
    assert all(lines[number + 5].split()[1] == "1.00000" for number in tables)
    folder = trained.home.lake / "reports" / trained.run_id
    assert sorted(path.name for path in folder.iterdir()) == [
        "reliability_before.png",
        "reliability_isotonic.png",
        "reliability_platt.png",
    ]
    RunFolder.open(trained.folder).verify()


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_one_method_is_compared_with_the_raw_score(
    trained_once: Trained,  # noqa: F811
    tmp_path: Path,
    method: str,
) -> None:
    """--method chooses one, --out the folder, and --format json gives every number."""
    result = command(
        trained_once.home, trained_once.run_id, "--method", method, "--out", str(tmp_path), "--format", "json"
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [judged["name"] for judged in document["judged"]] == ["before", method]
    assert [Path(path) for path in document["plots"]] == [
        tmp_path / "reliability_before.png",
        tmp_path / f"reliability_{method}.png",
    ]
    assert document["judged"][1]["brier"] < document["base_brier"]


def test_an_unknown_run_is_named(trained_once: Trained) -> None:  # noqa: F811
    """A run that nobody registered is an error with the runs there are, and nothing is written."""
    result = command(trained_once.home, "equities-fwd_5d-000000000000")
    assert result.exit_code == 1
    assert "no registered run 'equities-fwd_5d-000000000000'" in result.stderr
    assert trained_once.run_id in result.stderr
    assert not (trained_once.home.lake / "reports" / "equities-fwd_5d-000000000000").exists()


def test_a_home_without_a_build_says_what_to_run(home: Home) -> None:
    """Before the first build there is nothing to read."""
    result = command(home, "any")
    assert result.exit_code == 1
    assert "trademl build" in result.stderr


def test_wrong_options_are_refused(home: Home) -> None:
    """An unknown method and one bin are errors of the command line."""
    assert command(home, "any", "--method", "beta").exit_code == 2
    assert command(home, "any", "--bins", "1").exit_code == 2
