"""``trademl tune``."""

import pytest
from click.testing import CliRunner

from tests.training.market import small_config, write_market
from trademl.cli.main import main
from trademl.cli.train import equities as train_equities
from trademl.cli.tune import StudyBars, describe, equities
from trademl.config.home import Home
from trademl.training.tune_report import Choice
from trademl.training.tune_trial import Outcome

SPACE = "kind: lightgbm\nparameters:\n  num_leaves: {values: [3, 7]}\n  learning_rate: {values: [0.05, 0.2]}\n"


def test_a_study_prints_its_trials_and_the_next_command(home: Home) -> None:
    """The command ends with the best trials, and best.yml trains; repeating it shows the same without fitting."""
    write_market(home)
    (home.root / "space.yml").write_text(SPACE)
    options = ["--config", str(small_config(home)), "--space", str(home.root / "space.yml"), "--study", "first"]
    command = ["--home", str(home.root), "tune", "equities", *options, "--trials", "3", "--start", "2020-01-20"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "study first: 3 trials: 3 finished, 0 pruned, 0 failed" in result.stdout
    assert "trial 1/3: learning_rate=" in result.stderr
    assert "left" in result.stderr
    assert (
        "next          trademl train equities --config models_artifacts/equities/studies/first/best.yml"
        in result.stdout
    )
    again = CliRunner().invoke(main, command, catch_exceptions=False)
    assert again.stdout == result.stdout
    assert "trial 1/3" not in again.stderr
    best = str(home.models_artifacts / "equities" / "studies" / "first" / "best.yml")
    trained = CliRunner().invoke(
        main, ["--home", str(home.root), "train", "equities", "--config", best, "--no-mlflow"], catch_exceptions=False
    )
    assert trained.stdout.startswith("trained equities-fwd_5d-")


def test_the_options_of_training_are_those_of_tuning() -> None:
    """Whatever training may be told, a study may be told; --seed is the search's own, and nothing is logged."""
    training = {option.name for option in train_equities.params}
    tuning = [option.name for option in equities.params]
    assert len(tuning) == len(set(tuning))
    assert set(tuning) == (training - {"no_mlflow"}) | {"trials", "space_path", "study", "pruner", "seed"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--trials", "0"], "0 is not in the range"),
        (["--pruner", "hyperband"], "median"),
        (["--model", "momentum"], "there is no search space"),
        (["--model", "lightgmb"], "did you mean lightgbm"),
        (["--space", "/nowhere.yml"], "no configuration file /nowhere.yml"),
    ],
)
def test_wrong_options_are_messages(home: Home, arguments: list[str], message: str) -> None:
    """Each names what is wrong, and none is a traceback."""
    result = CliRunner().invoke(main, ["--home", str(home.root), "tune", "equities", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_progress_is_a_line_for_each_trial(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal splits say nothing; a trial says what it tries, how it ended and what is left."""
    bars = StudyBars()
    bars.trial_begins(0, 3, {"num_leaves": 31, "learning_rate": 0.0123456}, again=False)
    bars.splits(28, 0)
    bars.split_done(0.01)
    bars.trial_ends(0, 3, Outcome("r", "finished", value=0.0123), 0.0123, 4000.0)
    bars.trial_begins(1, 3, {"num_leaves": 31}, again=True)
    bars.trial_ends(1, 3, Outcome("r", "pruned", passes=(0.1, 0.2)), 0.0123, 10.0)
    bars.trial_ends(2, 3, Outcome("r", "failed", detail="no memory"), None, 0.0)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert lines[0].endswith("trial 1/3: learning_rate=0.01235, num_leaves=31")
    assert lines[1:] == [
        "rank IC +0.0123, best +0.0123, 1 h 07 min left",
        lines[2],
        "pruned after 2 passes, best +0.0123, 10 s left",
        "failed: no memory",
    ]
    assert lines[2].endswith("trial 2/3 goes on: num_leaves=31")


def test_a_choice_that_was_not_measured_says_so() -> None:
    """Missing figures are words; notes stand below."""
    text = "\n".join(describe(Choice(trials=4, sessions=20, notes=("too short",))))
    assert "PBO           not measured among 0 trials" in text
    assert text.endswith("note          too short")
    assert describe(Choice(trials=1, notes=("no returns",))) == ["note          no returns"]
