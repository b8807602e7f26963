"""``trademl train stacker``."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from trademl.cli.stacker import stacker
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.sleeves import stacker as sleeve
from trademl.sleeves.stacker import StackerConfig


@pytest.fixture
def home(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    shutil.copytree(repository / "configs", tmp_path / "configs")
    monkeypatch.setenv("TRADEML_HOME", str(tmp_path))
    return Home(tmp_path)


def test_options_come_before_the_file_and_the_next_steps_are_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, blender and penalty reach the sleeve; router.yml keeps its bytes and the command says who changes it."""
    asked: list[tuple[StackerConfig, dict[str, Any]]] = []
    router = (home.configs / "router.yml").read_bytes()

    def trained(where: Home, config: StackerConfig, **more: Any) -> Any:
        asked.append((config, more))
        return SimpleNamespace(run_id="equities-fwd_5d-0123456789ab")

    monkeypatch.setattr(sleeve, "train", trained)
    monkeypatch.setattr("trademl.cli.train.show", lambda where, result: None)
    given = ["--runs", "one, two", "--blender", "average", "--penalty", "0.5", "--no-mlflow"]
    result = CliRunner().invoke(stacker, given, catch_exceptions=False)
    assert result.exit_code == 0
    config, more = asked[0]
    assert config == StackerConfig(runs=("one", "two"), blender="average", penalty=0.5)
    assert more["mlflow"] is False
    assert "trademl gate equities-fwd_5d-0123456789ab" in result.output
    assert "trademl promote equities-fwd_5d-0123456789ab" in result.output
    assert "only once it is promoted" in result.output
    assert (home.configs / "router.yml").read_bytes() == router


def test_without_runs_it_says_how_to_give_them(home: Home) -> None:
    """The shipped file names none."""
    with pytest.raises(ConfigError, match="runs is empty") as refused:
        CliRunner().invoke(stacker, [], catch_exceptions=False)
    assert "--runs A,B,C" in refused.value.remedy


def test_a_file_with_an_unknown_field_is_refused(home: Home, tmp_path: Path) -> None:
    """With the nearest name."""
    path = tmp_path / "mine.yml"
    path.write_text("run: [a, b]\n")
    with pytest.raises(ConfigError, match="run is not a field; did you mean runs"):
        CliRunner().invoke(stacker, ["--config", str(path)], catch_exceptions=False)
