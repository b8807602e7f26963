import json
from pathlib import Path

from click.testing import CliRunner

from trademl.cli.demo import demo_lines, next_commands, picks_table, write_config
from trademl.cli.main import main
from trademl.config import Home
from trademl.config.reading import load_section
from trademl.sleeves.equities import EquitiesConfig


def test_the_demo_lands_corrections_last_and_scores_the_last_session() -> None:
    """The commands: five ingests, corrections after the bars, then build, train and score as of the last session."""
    lines = demo_lines(Path("demo/market"), Path("demo/configs/training/demo.yml"), "2024-03-07")
    assert [line.split()[0] for line in lines] == ["ingest"] * 5 + ["build", "train", "score"]
    assert "corrections.parquet" in lines[4]
    assert lines[-1].endswith("--as-of 2024-03-07")


def test_the_next_commands_are_five() -> None:
    """Five commands to try, each in the demo's home."""
    commands = next_commands(Path("my demo"), "2024-03-07")
    assert len(commands) == 5
    assert all(command.startswith("trademl --home 'my demo' ") for command in commands)


def test_picks_show_both_ends() -> None:
    """Of 30 picks the 10 highest and the 10 lowest are shown; a missing number leaves a blank."""
    picks = [(f"S{i:03d}", 0.01 - i / 1000, None if i == 0 else 0.02, 0.5, 1 - i / 30) for i in range(30)]
    lines = picks_table(picks)  # type: ignore[arg-type]
    shown = [line.split()[0] for line in lines[1:]]
    assert shown == [f"S{i:03d}" for i in range(10)] + ["..."] + [f"S{i:03d}" for i in range(20, 30)]
    assert len(picks_table(picks[:5])) == 6  # type: ignore[arg-type]


def test_another_market_in_the_same_home_is_refused(tmp_path: Path) -> None:
    """A demo with other options needs a new folder: its bars would count as corrections of the first."""
    market = tmp_path / "demo" / "market"
    market.mkdir(parents=True)
    parameters = {"symbols": 150, "sessions": 800, "seed": 7, "planted_ic": 0.05, "start": "2021-01-04"}
    (market / "truth.json").write_text(json.dumps({"parameters": parameters}))
    result = CliRunner().invoke(main, ["demo", "--dir", str(tmp_path / "demo"), "--seed", "8"])
    assert result.exit_code != 0
    assert "seed 7 there, 8 now" in result.stderr + str(result.exception)


def test_the_demos_model_is_a_valid_configuration(home: Home) -> None:
    """configs/training/demo.yml differs from equities.yml in its model only, and reads as a training configuration."""
    usual = load_section(home.configs / "training" / "equities.yml", EquitiesConfig)
    smooth = load_section(write_config(home.root), EquitiesConfig)
    assert smooth != usual
    assert smooth.model_copy(update={"model": usual.model}) == usual
