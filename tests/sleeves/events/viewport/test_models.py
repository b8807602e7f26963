"""Loading what scores, and naming it by its content; a viewport of trained heads from a snapshot."""

import json
from pathlib import Path

import pytest

from tests.sleeves.events.conftest import copied
from tests.sleeves.events.scored_home import CONFIG, INDEX, a_bar, add_what_scoring_needs
from trademl.config.home import Home
from trademl.errors import ArtifactError, ModelError
from trademl.sleeves.events.service.desk import open_desk
from trademl.sleeves.events.train import EventsResult
from trademl.sleeves.events.viewport.config import places
from trademl.sleeves.events.viewport.ensemble import Ensemble, Pool
from trademl.sleeves.events.viewport.models import last_trained_date, load_models, runs_of


@pytest.fixture(scope="module")
def scored(heads_once: tuple[Home, EventsResult], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that can be scored; tests that change it take a copy."""
    home = copied(heads_once[0], tmp_path_factory.mktemp("scored") / "home")
    add_what_scoring_needs(home, heads_once[1])
    return home


def test_trained_heads_score_a_bar(scored: Home) -> None:
    """Both stages and the index answer; their probabilities hold together; the same question gives the same bytes."""
    models = load_models(scored, CONFIG, {}, threads=1)
    assert list(models.stages) == ["stage_a", "stage_b"]
    assert models.notes == ("no weights were fitted: forecasts count equally; fit them with `trademl events ensemble`",)
    desk = open_desk(scored, CONFIG, models)
    found = desk.document("ES", a_bar(scored))
    (target,) = found["viewport"]["targets"]
    assert target["stage"] == "stage_b"
    times = {name: one["60"] for name, one in target["time_to_threshold"].items()}
    assert times["t2"] <= times["t1"] + 1e-12
    for first in ("t1", "t2"):
        sides = times[f"{first}_break"], times[f"{first}_bounce"]
        assert max(sides) - 1e-12 <= times[first] <= sum(sides) + 1e-12
    assert 0 < target["retrieval"]["similarity"] < 1
    again = open_desk(scored, CONFIG, load_models(scored, CONFIG, {}, threads=1)).document("ES", a_bar(scored))
    assert json.dumps(again) == json.dumps(found)
    assert last_trained_date(models) == "2025-02-11"


def test_without_stage_b_stage_a_scores_alone(scored: Home, tmp_path: Path) -> None:
    """It is noted, and the target says so."""
    home = copied(scored, tmp_path / "home")
    (places(home, CONFIG, {}).model_dir / "metadata_stage_b_full.json").unlink()
    models = load_models(home, CONFIG, {}, threads=1)
    assert list(models.stages) == ["stage_a"]
    assert "no stage_b of the ablation full: stage A scores alone" in models.notes
    (target,) = open_desk(home, CONFIG, models).document("ES", a_bar(home))["viewport"]["targets"]
    assert target["stage"] == "stage_a"


def test_the_name_follows_the_content(scored: Home, tmp_path: Path) -> None:
    """Another configuration or other weights are another model; the same content anywhere has the same name."""
    home = copied(scored, tmp_path / "home")
    first = load_models(scored, CONFIG, {}, threads=1).model_id
    assert first.startswith("viewport-")
    assert load_models(home, CONFIG, {}, threads=1).model_id == first
    other = CONFIG.model_copy(update={"cost_atr": 0.1})
    assert load_models(home, other, {}, threads=1).model_id != first
    Ensemble({"strength": Pool(("stage_a",), (1.0,))}, {}).save(places(home, CONFIG, {}).ensemble)
    weighted = load_models(home, CONFIG, {}, threads=1)
    assert weighted.model_id != first
    assert weighted.notes == (
        "the weights were fitted for heads of other runs; fit them with `trademl events ensemble`",
    )
    Ensemble({}, {"runs": runs_of(weighted.stages)}).save(places(home, CONFIG, {}).ensemble)
    assert load_models(home, CONFIG, {}, threads=1).notes == ()


def test_what_is_missing_is_said(scored: Home, tmp_path: Path) -> None:
    """No stage A, no index, a folder of the environment without heads: each with its remedy."""
    home = copied(scored, tmp_path / "home")
    with pytest.raises(ModelError, match="no stage_a of the ablation full"):
        load_models(home, CONFIG, {"VIEWPORT_MODEL_DIR": str(tmp_path / "nowhere")})
    with pytest.raises(ArtifactError, match="no retrieval index"):
        load_models(home, CONFIG, {"VIEWPORT_RETRIEVAL_INDEX": "nowhere"})
    with pytest.raises(ModelError):
        load_models(home, CONFIG.model_copy(update={"horizons": (60, 120)}), {})
    (home.models_artifacts / "boosted_trees" / "t1_60s_stage_b_full.json").unlink()
    with pytest.raises(ArtifactError, match="t1_60s_stage_b_full"):
        load_models(home, CONFIG, {})
    assert (home.models_artifacts / INDEX).is_dir()
