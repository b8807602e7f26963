"""``trademl traders score``, ``convert`` and ``shadow``, and ``trademl train traders``."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.sleeves.traders.conftest import SMALL
from tests.sleeves.traders.seed_models import write_seed_model
from tests.sleeves.traders.wallets import write_wallets
from trademl.cli.main import main
from trademl.config.home import Home


@pytest.fixture
def wallets(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with drawn wallets, in which the commands work."""
    write_wallets(home)
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    return home


def said(*arguments: str, code: int = 0) -> str:
    """Run a command and return what it says."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_train_score_and_shadow_from_the_command_line(wallets: Home) -> None:
    """A run is trained, its merged graph is held against the stages, and its scores are shown beside the composite."""
    path = wallets.configs / "training" / "small.yml"
    path.write_text(yaml.safe_dump(SMALL))
    trained = said("train", "traders", "--config", str(path), "--no-mlflow", "--folds", "3", "--test-folds", "1")
    assert "merged ONNX largest difference 0 on 1116 rows, ranks identical" in trained
    assert "wallets     12, 12 on the median of 93 days" in trained
    assert "next        trademl traders score" in trained
    scored = said("traders", "score", "--top", "3")
    assert "scored      12 traders of 2025-04-10" in scored
    assert "the latest registered run, as traders has no champion" in scored
    assert scored.count("0x") == 3
    again = json.loads(said("traders", "score", "--format", "json"))
    assert (again["as_of"], len(again["scores"])) == ("2025-04-10", 12)
    assert again["scores"][0]["yhat"] == max(row["yhat"] for row in again["scores"])
    shadowed = said("traders", "shadow")
    assert "shadow      stacked model traders-fwd_7d-" in shadowed
    assert shadowed.count("0x") == 5


def test_convert_from_the_command_line(wallets: Home, tmp_path: Path) -> None:
    """The pickle is converted to where shadow mode looks; the figures are told."""
    write_seed_model(tmp_path / "v3")
    told = said("traders", "convert", str(tmp_path / "v3"))
    assert "converted   8 base models, scaler and ridge" in told
    assert "caps        profit_factor 50" in told
    assert "largest difference 0 on 2000 rows, ranks identical" in told
    assert (wallets.models_artifacts / "traders_stack" / "pipeline.json").is_file()
    assert "stacked model traders-converted-" in said("traders", "shadow", "--as-of", "2025-04-10")


def test_refusals_are_messages(wallets: Home, tmp_path: Path) -> None:
    """No run yet, a pickle named as model, a wrong date: exit codes and remedies, no traceback."""
    assert (wallets.root / "lake").is_dir()
    assert "error: ops.runs has no registered run of traders" in said("traders", "score", code=1)
    write_seed_model(tmp_path / "v3")
    told = said("traders", "shadow", "--model", str(tmp_path / "v3"), code=1)
    assert "is a pickle, which is never loaded" in told
    assert "remedy: `trademl traders convert" in told
    assert "Invalid value" in said("traders", "score", "--as-of", "yesterday", code=2)
