"""``trademl experiment``."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.training.conftest import market, published  # noqa: F401
from tests.training.market import small_config
from trademl.cli.experiment import experiment
from trademl.config.home import Home


def command(home: Home, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    return CliRunner().invoke(experiment, ["run", *arguments], catch_exceptions=False)


def written(home: Home, **fields: object) -> Path:
    """Write an experiment of two cells on the small market and return its path below the home."""
    small_config(home)
    document = {
        "name": "small",
        "training": "training/small.yml",
        "models": ["ridge", {"name": "feature", "kind": "momentum", "feature": "signal_rank"}],
        "labels": ["ret_1d"],
        **fields,
    }
    path = home.configs / "experiments" / "small.yml"
    path.write_text(yaml.safe_dump(document))
    return path.relative_to(home.root)


def test_a_dry_run_lists_cells_and_trains_nothing(market: Home, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Each cell is a line with its fits and its trial; once trained, the ledger's state and run stand there."""
    path = written(market)
    result = command(market, monkeypatch, str(path), "--dry-run")
    assert result.exit_code == 0, result.output
    heading, *cells = [line.split() for line in result.stdout.splitlines()]
    assert heading == ["label", "task", "model", "kind", "fits", "trial", "status", "run"]
    assert [(cell[2], cell[4], cell[6], cell[7]) for cell in cells] == [
        ("ridge", "7", "new", "-"),
        ("feature", "7", "new", "-"),
    ]
    assert not (market.models_artifacts / "equities").exists()
    assert command(market, monkeypatch, str(path), "--no-mlflow").exit_code == 0
    again = [line.split() for line in command(market, monkeypatch, str(path), "--dry-run").stdout.splitlines()[1:]]
    assert [cell[6] for cell in again] == ["finished", "finished"]
    assert all(cell[7].startswith("equities-ret_1d-") for cell in again)


def test_the_comparison_is_printed_and_kept(market: Home, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The table comes to standard output, progress to standard error, and three files stay; a rerun trains nothing."""
    path = written(market)
    first = command(market, monkeypatch, str(path), "--no-mlflow")
    assert first.exit_code == 0
    names = ("comparison.md", "comparison.csv", "comparison.png")
    folder = market.models_artifacts / "experiments" / "small"
    assert first.stdout.splitlines()[-3:] == [str((folder / name).relative_to(market.root)) for name in names]
    assert "cell 1/2: ret_1d ridge" in first.stderr
    assert "cell 2/2: ret_1d feature, at most about" in first.stderr
    kept = {name: (folder / name).read_bytes() for name in names}
    second = command(market, monkeypatch, str(path), "--no-mlflow")
    assert second.stderr.count("already trained: equities-ret_1d-") == 2
    assert second.stdout == first.stdout
    assert {name: (folder / name).read_bytes() for name in names} == kept


def test_a_failed_cell_ends_in_exit_code_1(market: Home, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The other cells are trained and compared; the failure is named with its remedy at the end."""
    result = command(market, monkeypatch, str(written(market, labels=["ret_9d", "ret_1d"])), "--no-mlflow")
    assert result.exit_code == 1
    assert "failed: ret_9d ridge: `label=ret_9d`" in result.stderr
    assert "remedy: labels are fwd_5d, ret_1d" in result.stderr
    assert "2 of 4 cells failed" in result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[-1] for line in lines[1:3]] == ["failed", "failed"]
    assert all(line[-1].startswith("equities-ret_1d-") for line in lines[3:5])


def test_an_experiment_that_is_not_there_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error lists the experiments of the home."""
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    result = CliRunner().invoke(experiment, ["run", "configs/experiments/none.yml"])
    assert "no experiment configs/experiments/none.yml" in str(result.exception)
    assert "remedy: give one of configs/experiments/baseline.yml" in str(result.exception)
