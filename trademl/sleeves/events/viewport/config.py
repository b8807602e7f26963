"""What a viewport is told: which models, how many targets, the band, the worth of a move, and the gate's limits."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.errors import ConfigError
from trademl.sleeves.events.heads import model_dir
from trademl.sleeves.events.names import HORIZONS, Ablation, check_horizons, check_timeframe
from trademl.sleeves.events.viewport.feasibility import FeasibilityLimits

ENABLED_VARIABLE = "VIEWPORT_SCORING_ENABLED"
MODEL_DIR_VARIABLE = "VIEWPORT_MODEL_DIR"
INDEX_VARIABLE = "VIEWPORT_RETRIEVAL_INDEX"

INDEX_STAGE = "stage_b"
"""Whose columns the default index is over: all of them."""

CONFIG = Path("events") / "viewport.yml"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


class ViewportConfig(Section):
    """Everything but the models that decides a viewport.

    Attributes:
        ablation, horizons, timeframe: which heads of the bundles are read.
        k_neighbors: similar touches of the past that are asked for.
        max_targets: targets of one viewport: the pinned ones and the nearest.
        band_atr: half-width of the monitor band in ATR; events_monitor_atr of the build is the widest there is.
        payoff_atr: what a right call is worth, in ATR: the second threshold (events_threshold_2).
        cost_atr: what acting costs, in ATR: spread and slippage, both ways.
        feasibility: limits of the gate.
    """

    ablation: Ablation = "full"
    horizons: tuple[int, ...] = HORIZONS
    timeframe: str | None = None
    k_neighbors: int = Field(default=50, ge=1, le=1000)
    max_targets: int = Field(default=20, ge=1, le=200)
    band_atr: float = Field(default=2.0, gt=0.0, le=100.0)
    payoff_atr: float = Field(default=2.0, gt=0.0)
    cost_atr: float = Field(default=0.05, ge=0.0)
    feasibility: FeasibilityLimits = FeasibilityLimits()

    @field_validator("horizons")
    @classmethod
    def _ascending(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        if not horizons:
            raise ValueError("name at least one horizon in seconds")
        return check_horizons(horizons)

    @field_validator("timeframe")
    @classmethod
    def _window(cls, timeframe: str | None) -> str | None:
        return check_timeframe(timeframe)


@dataclass(frozen=True)
class ViewportPlaces:
    """Where the models of a viewport lie.

    Attributes:
        model_dir: the folder of the heads of both stages.
        index: the retrieval index.
        ensemble: the fitted weights, beside the heads.
    """

    model_dir: Path
    index: Path
    ensemble: Path


def load_config(home: Home, path: Path | None = None) -> ViewportConfig:
    """Read configs/events/viewport.yml of the home, or ``path``.

    Raises:
        ConfigError: the file is missing, or a field is unknown or wrong.
    """
    return load_section(path or home.configs / CONFIG, ViewportConfig)


def places(home: Home, config: ViewportConfig, environment: Mapping[str, str] = os.environ) -> ViewportPlaces:
    """Return where the models lie: ``VIEWPORT_MODEL_DIR`` and ``VIEWPORT_RETRIEVAL_INDEX``, else the home's own.

    A relative path in a variable is one below the home.
    """
    folder = _place(home, environment.get(MODEL_DIR_VARIABLE), model_dir(home))
    index = home.models_artifacts / f"retrieval_index_{INDEX_STAGE}_{config.ablation}"
    timeframe = "" if config.timeframe is None else f"_{config.timeframe}"
    return ViewportPlaces(
        folder,
        _place(home, environment.get(INDEX_VARIABLE), index),
        folder / f"ensemble{timeframe}_{config.ablation}.json",
    )


def scoring_enabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether ``VIEWPORT_SCORING_ENABLED`` says so; unset is no.

    Raises:
        ConfigError: it is neither yes nor no.
    """
    said = environment.get(ENABLED_VARIABLE, "").strip().lower()
    if said in _TRUE or said in _FALSE:
        return said in _TRUE
    raise ConfigError(f"{ENABLED_VARIABLE}={said!r} is neither yes nor no", remedy="set it to true or false")


def _place(home: Home, named: str | None, default: Path) -> Path:
    return home.root / Path(named).expanduser() if named else default
