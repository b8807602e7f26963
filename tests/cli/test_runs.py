"""``trademl runs``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.reports.conftest import Trained, trained, trained_once  # noqa: F401
from tests.reports.test_runs import another, earn
from trademl.cli.runs import SORTS, runs
from trademl.config.home import Home
from trademl.reports.runs import SortKey


def command(home: Home, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    return CliRunner().invoke(runs, list(arguments), catch_exceptions=False)


def test_the_list_is_a_table(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """One aligned line per run; what there is none of is a dash; a choice of nothing says so."""
    heading, line = command(trained.home, monkeypatch, "list").stdout.splitlines()
    assert heading.split()[:4] == ["run", "label", "model", "task"]
    assert line.split()[:5] == [trained.run_id, "fwd_5d", "lightgbm", "demeaned", "regression"]
    assert line.split()[8:10] == ["-", "-"]
    assert len(heading) == len(line)
    earn(trained, trained.run_id, [0.5, -0.5, 1.0])
    assert " 50.0%  " in command(trained.home, monkeypatch, "list", "--sort", "drawdown").stdout
    said = command(trained.home, monkeypatch, "list", "--label", "ret_1d").stdout
    assert said == "no registered run of this choice; `trademl train` makes one\n"


def test_the_orders_are_those_of_the_report() -> None:
    """The command offers what the report can sort by."""
    assert SortKey.__args__ == SORTS  # type: ignore[attr-defined]


def test_json_has_null_where_there_is_no_number(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Every form is strict JSON."""
    (listed,) = strict(command(trained.home, monkeypatch, "list", "--format", "json"))
    assert listed["run_id"] == trained.run_id
    assert "annualised_sharpe" not in listed
    shown = strict(command(trained.home, monkeypatch, "show", trained.run_id, "--format", "json"))
    assert shown["rank_ic"] == listed["rank_ic"]
    assert shown["config"]["model.kind"] == "lightgbm"


def strict(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    found: Any = json.loads(result.stdout, parse_constant=pytest.fail)
    return found


def test_a_run_is_shown_with_paths_and_configuration(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The page has the rows, the table of paths, where the folder lies, and every field of the configuration."""
    said = command(trained_once.home, monkeypatch, "show", trained_once.run_id).stdout
    assert "sleeve     equities, label fwd_5d, 5 sessions ahead" in said
    assert "6 splits" in said
    assert f"{trained_once.folder}: " in said
    assert "all as sealed" in said
    assert "returns    none recorded" in said
    assert "command    trademl train equities" in said
    assert "  validation.folds = 4" in said
    assert [line.split()[0] for line in said.splitlines() if line.strip().startswith(("0 ", "mean", "max "))] == [
        "0",
        "mean",
        "max",
    ]


def test_an_altered_run_is_not_shown(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The folder is checked first."""
    path = trained.folder / "metrics" / "metrics.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("0", "9", 1))
    monkeypatch.setenv("TRADEML_HOME", str(trained.home.root))
    result = CliRunner().invoke(runs, ["show", trained.run_id])
    assert "metrics/metrics.json was altered" in str(result.exception)


def test_runs_side_by_side(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The fields that differ, the measures, the paired difference and the picture."""
    other = another(trained)
    picture = tmp_path / "two.png"
    result = command(trained.home, monkeypatch, "compare", trained.run_id, other, "--plot", str(picture))
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"[1] {trained.run_id}  fwd_5d  lightgbm  demeaned regression",
        f"[2] {other}  fwd_5d  ridge  demeaned regression",
    ]
    assert ["model.kind", "lightgbm", "ridge"] in [line.split() for line in lines]
    assert not [line for line in lines if "validation.folds" in line]
    pair = next(line.split() for line in lines if line.strip().startswith("[2] less [1]"))
    assert int(pair[3]) > 100
    assert picture.stat().st_size > 10_000
    assert f"wrote {picture}" in result.stderr
    document = strict(command(trained.home, monkeypatch, "compare", trained.run_id, other, "--format", "json"))
    assert document["paired"][0]["dates"] == int(pair[3])
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("rank IC of path"))
    shown = [[float(cell) for cell in line.split()[1:]] for line in lines[at + 1 : at + 1 + len(document["paths"])]]
    np.testing.assert_allclose(shown, document["paths"], atol=5e-5)


def test_other_labels_are_told_apart(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Runs on two labels have measures and no paired difference, and the page says why."""
    other = another(trained, label="ret_1d")
    said = command(trained.home, monkeypatch, "compare", trained.run_id, other).stdout
    assert "less" not in said
    assert "[2] has the label ret_1d, [1] fwd_5d: daily rank IC of two labels is not paired" in said
