"""``trademl train``."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.training.market import small_config, write_market
from trademl.cli.main import main
from trademl.cli.train import Bars, aligned, read_config
from trademl.config.home import Home
from trademl.errors import ConfigError

NOTHING: dict[str, Any] = {}


def test_options_override_the_file(home: Home) -> None:
    """Each option wins over its field, and a field without an option keeps the file's value."""
    config = read_config(
        home,
        None,
        {"label": "tb", "start": date(2010, 1, 4), "symbols": ["AAPL"], "folds": 6, "embargo": 0, "rounds": 30,
         "seed": 1, "validation": None, "exclude_not_green": False},
    )  # fmt: skip
    assert (config.label, config.start, config.symbols) == ("tb", date(2010, 1, 4), ("AAPL",))
    assert (config.validation.kind, config.validation.folds, config.validation.embargo) == ("cpcv", 6, 0)
    fitted = config.model.model_dump()
    assert (fitted["n_rounds"], fitted["seed"], fitted["num_leaves"]) == (30, 1, 31)
    assert not config.data_gate.exclude_not_green


def test_walk_forward_and_exclusion_are_one_option_each(home: Home) -> None:
    """--validation walk_forward and --exclude-not-green change their field alone."""
    config = read_config(home, None, {"validation": "walk_forward", "exclude_not_green": True})
    default = read_config(home, None, NOTHING)
    assert config.validation == default.validation.model_copy(update={"kind": "walk_forward"})
    assert config.data_gate == default.data_gate.model_copy(update={"exclude_not_green": True})


def test_the_choice_of_features_on_the_command_line_replaces_that_of_the_file(home: Home) -> None:
    """--feature-set takes the place of the file's list, --features of the file's set; both at once are refused."""
    chosen = read_config(home, None, {"feature_set": "alpha158_v1"})
    assert (chosen.features, chosen.feature_set) == ((), "alpha158_v1")
    path = home.configs / "training" / "set.yml"
    path.write_text("feature_set: core_v1\nmodel: {kind: ridge}\n")
    assert read_config(home, path, {}).feature_set == "core_v1"
    listed = read_config(home, path, {"features": ["beta_60d"]})
    assert (listed.features, listed.feature_set) == (("beta_60d",), None)
    with pytest.raises(ConfigError, match="both choose the columns"):
        read_config(home, None, {"features": ["beta_60d"], "feature_set": "core_v1"})


def test_a_wrong_option_is_named(home: Home) -> None:
    """A value out of range is an error that names the field."""
    with pytest.raises(ConfigError, match=r"validation\.folds=1"):
        read_config(home, None, {"folds": 1})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--start", "2010-13-01"], "is no date"),
        (["--symbols", "A,,B"], "empty name"),
        (["--task", "rank"], "regression"),
    ],
)
def test_the_command_line_checks_forms(home: Home, arguments: list[str], message: str) -> None:
    """A date that is none, a list with a hole and an unknown task are refused by click, with exit code 2."""
    result = CliRunner().invoke(main, ["--home", str(home.root), "train", "equities", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_training_prints_paths_folder_and_the_next_command(home: Home) -> None:
    """The command ends with the table of paths and their spread, the run folder, and how to score."""
    write_market(home)
    command = ["--home", str(home.root), "train", "equities", "--config", str(small_config(home)), "--no-mlflow"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    heading = next(number for number, line in enumerate(lines) if line.split()[:1] == ["path"])
    assert [line.split()[0] for line in lines[heading + 1 : heading + 8]] == [
        "0",
        "1",
        "2",
        "mean",
        "std",
        "min",
        "max",
    ]
    assert "models_artifacts/equities/equities-fwd_5d-" in result.stdout
    assert "trademl score equities --as-of 2020-08-11" in result.stdout
    assert "split 6/6" in result.stderr
    again = CliRunner().invoke(main, command, catch_exceptions=False)
    assert again.stdout.startswith("already trained: equities-fwd_5d-")
    assert lines[heading : heading + 8] == again.stdout.splitlines()[heading : heading + 8]


def test_progress_tells_time_left_and_mean_rank_ic(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal every split is a line; splits of an earlier run are told at the start."""
    bars = Bars()
    bars.splits(5, 2)
    bars.split_done(0.0123)
    bars.splits_end()
    said = capsys.readouterr().err
    assert "2 of 5 splits are there from an earlier run" in said
    assert "split 3/5" in said
    assert "s left" in said
    assert "+0.0123" in said


def test_columns_are_aligned() -> None:
    """Cells are right-aligned under their headings."""
    assert aligned([["path", "IC"], ["0", "+0.0100"]]) == "path       IC\n   0  +0.0100"


def test_help_names_every_option(repository: Path) -> None:
    """`trademl train equities --help` explains each option."""
    result = CliRunner().invoke(main, ["train", "equities", "--help"])
    options = (
        "--config --start --end --symbols --label --k --task --target --embargo --folds --test-folds --purge "
        "--validation --regime --features --rounds --threads --seed --exclude-not-green --no-mlflow"
    )
    for option in options.split():
        assert option in result.output
