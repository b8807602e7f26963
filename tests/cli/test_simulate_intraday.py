"""``trademl simulate intraday``."""

from pathlib import Path

from click.testing import CliRunner

from trademl.cli.main import main
from trademl.cli.simulate_intraday import ingest_lines

SMALL = ["--symbols", "3", "--sessions", "3"]


def test_bars_are_written_and_the_next_commands_said(tmp_path: Path) -> None:
    """Three files, and the commands that land and build them."""
    folder = tmp_path / "two words"
    result = CliRunner().invoke(main, ["simulate", "intraday", "--out", str(folder), *SMALL])
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {"bars.parquet", "truth.csv", "truth.json"}
    for line in ingest_lines(folder, 1):
        assert f"trademl {line}" in result.stdout
    assert "bars of 3 symbols, 2025-01-02 to 2025-01-06" in result.stdout


def test_wrong_parameters_exit_with_2(tmp_path: Path) -> None:
    """A length that bars do not have is a message, and nothing is written."""
    result = CliRunner().invoke(main, ["simulate", "intraday", "--out", str(tmp_path / "t"), "--bar-minutes", "7"])
    assert result.exit_code == 2
    assert "must be 1 or 5" in result.stderr
    assert not (tmp_path / "t").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """Nobody's files are overwritten."""
    (tmp_path / "mine.csv").write_text("x")
    result = CliRunner().invoke(main, ["simulate", "intraday", "--out", str(tmp_path), *SMALL])
    assert result.exit_code == 2
    assert "mine.csv" in result.stderr
