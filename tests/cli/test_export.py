"""``trademl export``."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.reports.conftest import Trained, trained_once  # noqa: F401
from trademl.cli.export import export


def command(trained: Trained, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("TRADEML_HOME", str(trained.home.root))
    return CliRunner().invoke(export, ["onnx", *arguments])


def test_the_proof_is_printed(trained_once: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The lines name the file, the outputs, how many rows differ (none), the recorded vectors and the latencies."""
    place = tmp_path / "out.onnx"
    result = command(trained_once, monkeypatch, trained_once.run_id, "--output", str(place), "--calibrated")
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert said.startswith(f"wrote      {place}: {place.stat().st_size:,} bytes")
    assert "score, probability out" in said
    assert "parity     0 of " in said
    assert "recorded vectors score as recorded, bit for bit" in said
    assert "probabilities as in Python, bit for bit" in said
    assert said.splitlines()[-1].startswith("latency    500 rows: native ")


def test_the_name_is_the_runs_own(trained_once: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Without --output the graph of a run lies where one stands; that of a file is named after the file."""
    monkeypatch.chdir(tmp_path)
    assert command(trained_once, monkeypatch, trained_once.run_id).exit_code == 0
    native = trained_once.folder / "checkpoints" / "model.txt"
    assert command(trained_once, monkeypatch, str(native)).exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == [f"{trained_once.run_id}.onnx", "model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / f"{trained_once.run_id}.onnx").read_bytes()


def test_a_file_has_no_calibrator(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """--calibrated belongs to runs."""
    native = trained_once.folder / "checkpoints" / "model.txt"
    result = command(trained_once, monkeypatch, str(native), "--calibrated")
    assert "it has no calibrator" in str(result.exception)


def test_an_unknown_run_is_named(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The error lists the runs that there are."""
    result = command(trained_once, monkeypatch, "nothing")
    assert "no registered run 'nothing'" in str(result.exception)
    assert trained_once.run_id in str(result.exception)
