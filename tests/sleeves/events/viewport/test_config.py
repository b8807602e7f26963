"""What a viewport is told, and where its models lie."""

from pathlib import Path
from typing import Any

import pytest

from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.sleeves.events.viewport.config import ViewportConfig, load_config, places, scoring_enabled


def test_the_file_of_the_checkout_holds_the_defaults(home: Home) -> None:
    """configs/events/viewport.yml says what the code would do without it, so its comments can be trusted."""
    assert load_config(home) == ViewportConfig()


@pytest.mark.parametrize(
    "line, says",
    [
        ("band: 2", "did you mean band_atr"),
        ("horizons: []", "at least one horizon"),
        ("horizons: [60, 60]", "no different numbers"),
        ("timeframe: 8", "timeframe"),
        ("timeframe: 8 minutes", "no window"),
        ("max_targets: 0", "max_targets"),
        ("cost_atr: -1", "cost_atr"),
        ("ablation: all", "ablation"),
        ("feasibility: {min_neighbours: 3}", "did you mean min_neighbors"),
    ],
)
def test_a_wrong_field_is_named(line: str, says: str, tmp_path: Path, home: Home) -> None:
    """Unknown keys and impossible values are refused with the field's name."""
    (tmp_path / "v.yml").write_text(line)
    with pytest.raises(ConfigError, match=says):
        load_config(home, tmp_path / "v.yml")


def test_horizons_are_put_in_order() -> None:
    """Horizons are seconds in ascending order, whatever order they were written in."""
    assert ViewportConfig(horizons=(120, 60)).horizons == (60, 120)


def test_models_lie_in_the_home_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    """The seed's variables name the folder of the heads and the index; a relative path is one below the home."""
    home, config = Home(tmp_path), ViewportConfig()
    own = places(home, config, {})
    assert own.model_dir == tmp_path / "models_artifacts" / "boosted_trees"
    assert own.index == tmp_path / "models_artifacts" / "retrieval_index_stage_b_full"
    assert own.ensemble == own.model_dir / "ensemble_full.json"
    told = places(home, config, {"VIEWPORT_MODEL_DIR": "/m", "VIEWPORT_RETRIEVAL_INDEX": "data/index"})
    assert told.model_dir == Path("/m")
    assert told.index == tmp_path / "data" / "index"
    assert told.ensemble == Path("/m/ensemble_full.json")
    assert places(home, ViewportConfig(timeframe="8min"), {}).ensemble.name == "ensemble_8min_full.json"


@pytest.mark.parametrize(
    "said, enabled",
    [({}, False), ({"VIEWPORT_SCORING_ENABLED": "true"}, True), ({"VIEWPORT_SCORING_ENABLED": " ON "}, True),
     ({"VIEWPORT_SCORING_ENABLED": "1"}, True), ({"VIEWPORT_SCORING_ENABLED": "false"}, False),
     ({"VIEWPORT_SCORING_ENABLED": ""}, False)],
)  # fmt: skip
def test_scoring_is_on_only_where_it_is_said(said: dict[str, str], enabled: bool) -> None:
    """Unset is off."""
    assert scoring_enabled(said) is enabled


def test_a_flag_that_is_neither_is_refused() -> None:
    """A typing error does not switch anything on or off."""
    with pytest.raises(ConfigError, match="'ture' is neither yes nor no"):
        scoring_enabled({"VIEWPORT_SCORING_ENABLED": "ture"})


def test_a_config_is_closed_and_frozen() -> None:
    """Nothing changes it after it was read."""
    config: Any = ViewportConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.band_atr = 3.0
