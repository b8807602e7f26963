"""The files of a bundle."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.sleeves.events.event_market import FEATURES
from trademl.artifacts.files import sha256_file
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.errors import ArtifactError, ModelError
from trademl.sleeves.events.heads import Head, listed_heads, metadata_name, model_dir, publish, read_head
from trademl.sleeves.events.names import head_names
from trademl.sleeves.events.train import EventsResult

HEADS = head_names([60])


def test_every_head_has_its_three_files(heads_once: tuple[Home, EventsResult]) -> None:
    """Native text, graph and metadata by the seed's names, the list, and nothing that pickle could have made."""
    home, _ = heads_once
    names = {path.name for path in model_dir(home).iterdir() if not path.name.startswith(".")}
    expected = {f"{head}_stage_b_full{suffix}" for head in HEADS for suffix in (".txt", ".onnx", ".json")}
    assert names == expected | {"metadata_stage_b_full.json"}


def test_metadata_has_what_the_seed_asks(heads_once: tuple[Home, EventsResult]) -> None:
    """Feature names in order, dates, metrics, time, data hash, as the run has them."""
    home, result = heads_once
    facts = json.loads((model_dir(home) / "t1_break_60s_stage_b_full.json").read_text())
    run = RunFolder.open(result.runs["t1_break_60s"].path)
    manifest = run.manifest()
    assert facts["feature_names"] == list(FEATURES)
    assert (facts["stage"], facts["ablation"], facts["head"]) == ("stage_b", "full", "t1_break_60s")
    assert (facts["data_hash"], facts["run_id"]) == (manifest.data_hash, run.run_id)
    assert facts["timestamp"] == manifest.created.isoformat()
    assert (facts["train_dates"][0], facts["train_dates"][-1]) == ("2025-01-01", "2025-02-11")
    assert facts["val_dates"][0] == "2025-01-13"
    assert {"auc", "brier", "log_loss", "ece", "base_rate", "brier_calibrated"} <= set(facts["metrics"])
    assert facts["timeframe"] is None
    for role, source in (("native", "model.txt"), ("onnx", "model.onnx")):
        assert facts["files"][role]["sha256"] == sha256_file(run.place(f"checkpoints/{source}"))


def test_metadata_survives_a_file(heads_once: tuple[Home, EventsResult]) -> None:
    """What is read back writes the same document."""
    home, _ = heads_once
    for head in HEADS:
        found = read_head(model_dir(home), head, "stage_b", "full")
        path = model_dir(home) / f"{head}_stage_b_full.json"
        assert found.to_dict() == json.loads(path.read_text())
        assert (found.calibrator is None) == (head == "strength")


def test_heads_of_a_timeframe_join_the_bundle(heads: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """A head published under a timeframe stands beside those that are there."""
    _, result = heads
    moment = datetime(2025, 3, 1, tzinfo=UTC)
    path = result.runs["direction"].path
    publish(tmp_path, [("direction", path)], stage="stage_a", ablation="ta", now=lambda: moment)
    publish(tmp_path, [("direction_8min", path)], stage="stage_a", ablation="ta", timeframe="8min", now=lambda: moment)
    assert listed_heads(tmp_path, "stage_a", "ta") == ("direction", "direction_8min")
    assert read_head(tmp_path, "direction_8min", "stage_a", "ta").timeframe == "8min"
    assert read_head(tmp_path, "direction", "stage_a", "ta").timeframe is None
    again = (tmp_path / metadata_name("stage_a", "ta")).read_bytes()
    publish(tmp_path, [("direction", path)], stage="stage_a", ablation="ta", now=lambda: moment)
    assert (tmp_path / metadata_name("stage_a", "ta")).read_bytes() == again


def test_a_run_that_was_altered_is_not_published(heads: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """The run folder is checked first."""
    home, result = heads
    run = home.models_artifacts / "events" / result.runs["direction"].run_id
    model = run / "checkpoints/model.txt"
    model.chmod(0o644)
    model.write_text(model.read_text() + "\n")
    with pytest.raises(ArtifactError):
        publish(tmp_path, [("direction", run)], stage="stage_b", ablation="full")
    assert not (tmp_path / metadata_name("stage_b", "full")).exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"heads": 3}'])
def test_a_damaged_list_is_an_error(heads: tuple[Home, EventsResult], text: str) -> None:
    """The message names the file and the command that writes it anew."""
    home, _ = heads
    path = model_dir(home) / metadata_name("stage_b", "full")
    path.chmod(0o644)
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"metadata_stage_b_full\.json(.|\n)*trademl train events"):
        listed_heads(model_dir(home), "stage_b", "full")


def test_metadata_of_another_form_is_an_error() -> None:
    """A field that is missing or unknown is no head."""
    with pytest.raises(ModelError, match=r"here\.json is no metadata of a head"):
        Head.from_dict({"head": "direction"}, "here.json")
