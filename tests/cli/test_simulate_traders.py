"""``trademl simulate traders``."""

from pathlib import Path

from click.testing import CliRunner

from trademl.cli.main import main
from trademl.cli.simulate_traders import ingest_lines

SMALL = ["--wallets", "40", "--days", "40", "--fills", "6"]


def test_wallets_are_written_and_the_next_commands_said(tmp_path: Path) -> None:
    """Four files, and the commands that land, build and rank them."""
    folder = tmp_path / "two words"
    result = CliRunner().invoke(main, ["simulate", "traders", "--out", str(folder), *SMALL])
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {"account_days.csv", "fills.csv", "truth.csv", "truth.json"}
    for line in ingest_lines(folder):
        assert f"trademl {line}" in result.stdout
    assert "trademl traders rank --as-of 2024-10-10" in result.stdout
    assert "of 40 wallets" in result.stdout


def test_wrong_parameters_exit_with_2(tmp_path: Path) -> None:
    """Shares that do not fit are a message, and nothing is written."""
    result = CliRunner().invoke(main, ["simulate", "traders", "--out", str(tmp_path / "t"), "--skilled", "0.95"])
    assert result.exit_code == 2
    assert "more than all wallets" in result.stderr
    assert not (tmp_path / "t").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """Nobody's files are overwritten."""
    (tmp_path / "mine.csv").write_text("x")
    result = CliRunner().invoke(main, ["simulate", "traders", "--out", str(tmp_path), *SMALL])
    assert result.exit_code == 2
    assert "mine.csv" in result.stderr


def test_options_of_the_market_are_not_lost(tmp_path: Path) -> None:
    """Options before `traders` belong to the market and would have no effect: they are refused."""
    result = CliRunner().invoke(main, ["simulate", "--out", str(tmp_path / "t"), "traders", *SMALL])
    assert result.exit_code == 2
    assert "--out belongs to the market" in result.stderr


def test_the_market_is_still_simulated_without_a_command(tmp_path: Path) -> None:
    """`trademl simulate` alone writes the market, as before."""
    arguments = ["simulate", "--out", str(tmp_path / "m"), "--symbols", "12", "--sessions", "120"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "m" / "bars.parquet").is_file()
