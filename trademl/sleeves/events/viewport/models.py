"""The models of a viewport, loaded from where configuration and environment say, and named by their content."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from trademl.config.home import Home
from trademl.errors import ModelError
from trademl.sleeves.events.bundle import TreeModelBundle
from trademl.sleeves.events.heads import metadata_name
from trademl.sleeves.events.names import STAGES
from trademl.sleeves.events.retrieval.files import INDEX
from trademl.sleeves.events.retrieval.index import RetrievalIndex
from trademl.sleeves.events.retrieval.run import search_settings
from trademl.sleeves.events.viewport.config import ViewportConfig, ViewportPlaces, places
from trademl.sleeves.events.viewport.ensemble import Ensemble
from trademl.sleeves.events.viewport.neighbors import IndexedRetrieval
from trademl.sleeves.events.viewport.score import StageModel, StageName, ViewportModels

_DIGITS = 12
_TRAIN = "train it: `trademl train events --stage {stage} --ablation {ablation}`"


def load_models(
    home: Home, config: ViewportConfig, environment: Mapping[str, str] = os.environ, *, threads: int | None = None
) -> ViewportModels:
    """Load the heads of both stages, the retrieval index and the ensemble.

    Stage A and the index must be there. Without stage B, targets are scored by stage A; without an ensemble, forecasts
    count equally and are not recalibrated. Both are noted.

    Args:
        home: where the models lie unless the environment says otherwise.
        config: which heads.
        environment: ``VIEWPORT_MODEL_DIR`` and ``VIEWPORT_RETRIEVAL_INDEX``.
        threads: of the index; None means those of configs/events/retrieval.yml.

    Raises:
        ModelError, ArtifactError: a head or the index is missing, damaged or of another training.
    """
    where = places(home, config, environment)
    notes: list[str] = []
    stages = load_stages(where, config, notes)
    index = RetrievalIndex.load(where.index, settings=search_settings(home, threads))
    if index.ablation and index.ablation != config.ablation:
        notes.append(f"the retrieval index is of the ablation {index.ablation}, the heads are of {config.ablation}")
    if where.ensemble.is_file():
        ensemble = Ensemble.load(where.ensemble)
        if ensemble.evidence.get("runs", {}) != runs_of(stages):
            notes.append("the weights were fitted for heads of other runs; fit them with `trademl events ensemble`")
    else:
        ensemble = Ensemble({}, {})
        notes.append("no weights were fitted: forecasts count equally; fit them with `trademl events ensemble`")
    return ViewportModels(stages, IndexedRetrieval(index), ensemble, model_id(where, config, stages), tuple(notes))


def load_stages(where: ViewportPlaces, config: ViewportConfig, notes: list[str]) -> dict[StageName, StageModel]:
    """Return the bundles that are there, stage A first; a missing stage B is noted.

    Raises:
        ModelError: stage A was not trained.
        ArtifactError: a file is damaged or of another training.
    """
    found: dict[StageName, StageModel] = {}
    for stage in STAGES:
        listed = where.model_dir / metadata_name(stage, config.ablation)
        if listed.is_file():
            found[stage] = TreeModelBundle(where.model_dir, stage, config.ablation, config.horizons, config.timeframe)
        elif stage == "stage_a":
            raise ModelError(
                f"no {stage} of the ablation {config.ablation}: {listed} does not exist",
                remedy=_TRAIN.format(stage=stage, ablation=config.ablation),
            )
        else:
            notes.append(f"no {stage} of the ablation {config.ablation}: stage A scores alone")
    return found


def model_id(where: ViewportPlaces, config: ViewportConfig, stages: Sequence[str] | Mapping[Any, Any]) -> str:
    """Return ``viewport-<12 digits>``: a hash of heads, index, ensemble and configuration."""
    index = where.index / INDEX if where.index.is_dir() else where.index
    files = [where.model_dir / metadata_name(stage, config.ablation) for stage in stages]
    digest = hashlib.sha256(json.dumps(config.model_dump(mode="json"), sort_keys=True).encode())
    for path in (*files, index, where.ensemble):
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    return f"viewport-{digest.hexdigest()[:_DIGITS]}"


def runs_of(stages: Mapping[Any, Any]) -> dict[str, dict[str, str]]:
    """Return the training run of every head, by stage and head."""
    return {str(stage): {name: head.run_id for name, head in model.heads.items()} for stage, model in stages.items()}


def last_trained_date(models: ViewportModels) -> str:
    """Return the last date that some head was fitted on; nothing where no head says."""
    dates = [
        date
        for model in models.stages.values()
        for head in getattr(model, "heads", {}).values()
        for date in head.train_dates[-1:]
    ]
    return max(dates, default="")
