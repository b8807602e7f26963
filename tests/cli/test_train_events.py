"""``trademl train events`` on the command line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner

from tests.sleeves.events.conftest import SMALL
from tests.sleeves.events.event_market import write_touches
from trademl.cli.init import bundle, make_home
from trademl.cli.main import main
from trademl.cli.train_events import head_table, read_config
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.sleeves.events.heads import read_head


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with small planted events and a small configuration; only what a test names is trained in it."""
    root = tmp_path_factory.mktemp("train_events") / "home"
    make_home(root, bundle())
    made = Home(root)
    write_touches(made)
    path = made.configs / "training" / "events.yml"
    path.write_text(yaml.safe_dump(SMALL))
    return made


def run(home: Home, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["--home", str(home.root), *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_heads_are_trained_told_and_judged(home: Home, tmp_path: Path) -> None:
    """One line for each head, the bundle's place, and a command that follows and works."""
    code, out, err = run(home, "train", "events", "--heads", "direction,strength", "--no-mlflow")
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["head", "direction", "strength"]
    assert "2 heads of 8 features" in out
    assert "predicted out of fold: 2025-01-13 to 2025-02-11" in out
    assert "head 2 of 2: strength" in err
    assert (home.models_artifacts / "boosted_trees" / "direction_stage_b_full.onnx").is_file()
    following = next(line for line in lines if line.startswith("next: ")).removeprefix("next: trademl ").split()
    code, out, err = run(home, *following, "--output", str(tmp_path))
    assert code == 0, err
    assert out.splitlines()[1].split()[:2] == ["direction", out.splitlines()[1].split()[1]]
    assert (tmp_path / "reliability_direction_stage_b_full.png").is_file()


def test_test_dates_are_read_as_the_seed_writes_them(home: Home, tmp_path: Path) -> None:
    """Several dates behind one option, by blanks or commas; the report as JSON."""
    run(home, "train", "events", "--heads", "direction", "--no-mlflow")
    asked = ["events", "calibrate", "--stage", "stage_b", "--ablation", "full", "--json", "--output", str(tmp_path)]
    found = []
    for dates in (["2025-02-10", "2025-02-11"], ["2025-02-10,2025-02-11"]):
        code, out, err = run(home, *asked, "--heads", "direction", "--test-dates", *dates)
        assert code == 0, err
        found.append(json.loads(out))
    assert found[0] == found[1]
    assert found[0][0]["head"] == "direction"
    code, _, err = run(home, *asked, "--test-dates", "yesterday")
    assert (code, "no date" in err) == (2, True)


def test_another_family_trains_the_same_heads(home: Home, tmp_path: Path) -> None:
    """XGBoost's own text is JSON: it stands beside the metadata under a name of its own, and the bundle loads."""
    mine = tmp_path / "mine"
    code, _, err = run(
        home, "train", "events", "--heads", "direction", "--stage", "stage_a", "--ablation", "ta",
        "--model", "xgboost", "--rounds", "5", "--threads", "1", "--output", str(mine), "--no-mlflow",
    )  # fmt: skip
    assert code == 0, err
    assert {path.name for path in mine.glob("direction*")} == {
        "direction_stage_a_ta.json", "direction_stage_a_ta.xgboost.json", "direction_stage_a_ta.onnx",
    }  # fmt: skip
    found = read_head(mine, "direction", "stage_a", "ta")
    assert (found.kind, found.feature_names[:3]) == ("xgboost", ("approach_velocity", "distance_signed", "atr"))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--horizons", "60,sixty"], "no whole numbers of seconds"),
        (["--horizons", "300", "--no-mlflow"], "no label t1_300s"),
        (["--timeframe", "2", "--no-mlflow"], "timeframe"),
        (["--heads", "t3_60s", "--no-mlflow"], "t3_60s"),
        (["--heads", "direction,,strength"], "empty name"),
        (["--start", "soon", "--no-mlflow"], "start"),
    ],
)
def test_wrong_options_are_refused(home: Home, arguments: list[str], said: str) -> None:
    """Exit code 2 and a message that names what is wrong, before anything is trained."""
    code, _, err = run(home, "train", "events", *arguments)
    assert code == 2
    assert said in err


def test_options_come_before_the_file(home: Home) -> None:
    """Every option reaches its field; what is not given stays."""
    given = {
        "stage": "stage_a", "ablation": "ta", "horizons": [60, 300], "timeframe": "2min", "heads": None,
        "start": "2025-01-06", "end": None, "folds": 2, "embargo": 0, "rounds": 5, "threads": 2, "model": None,
        "exclude_not_green": True,
    }  # fmt: skip
    config = read_config(home, None, dict(given))
    assert (config.stage, config.ablation, config.horizons, config.timeframe) == ("stage_a", "ta", (60, 300), "2min")
    assert (str(config.start), config.end) == ("2025-01-06", None)
    assert (config.validation.folds, config.validation.embargo, config.validation.kind) == (2, 0, "walk_forward")
    assert (config.model.n_rounds, config.model.threads, config.model.num_leaves) == (5, 2, 7)  # type: ignore[attr-defined]
    assert config.data_gate.exclude_not_green
    plain = read_config(home, None, dict.fromkeys(given))
    assert (plain.stage, plain.validation.folds, plain.data_gate.exclude_not_green) == ("stage_b", 3, False)


def test_the_default_configuration_is_the_seed(tmp_path: Path) -> None:
    """A new home trains stage B in full, 60 and 120 seconds, walk-forward."""
    make_home(tmp_path / "new", bundle())
    config = read_config(Home(tmp_path / "new"), None, {})
    assert (config.stage, config.ablation, config.horizons, config.timeframe) == ("stage_b", "full", (60, 120), None)
    assert (config.validation.kind, config.validation.folds, config.validation.embargo) == ("walk_forward", 5, 1)
    assert len(config.chosen_heads()) == 15
    with pytest.raises(ConfigError, match="no configuration file"):
        read_config(Home(tmp_path / "new"), tmp_path / "none.yml", {})


def test_a_measure_that_is_undefined_is_a_dash() -> None:
    """A head without both classes in some place has no AUC to print."""

    metrics = {
        "rows": 12, "base_rate": 0.5, "auc": None, "brier": 0.25, "brier_of_base_rate": 0.25, "ece": 0.1,
    }  # fmt: skip
    line = head_table((SimpleNamespace(head="direction", metrics=metrics),))[1]  # type: ignore[arg-type]
    assert line.split() == ["direction", "12", "0.5000", "-", "0.2500", "0.2500", "0.1000"]
