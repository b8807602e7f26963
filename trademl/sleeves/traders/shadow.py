"""Shadow mode of the traders sleeve: a model scores beside the composite score, and selects nobody.

The stacked pipeline is looked for first: in the folder that is named; else in that of the run registered last; else
where `trademl traders convert` writes. Without one the frozen single model of the first system answers
(``xgb_trader_*.json`` in legacy/, started by :mod:`trademl.governance.router`), else nobody. Scores go to
``preds.shadow``; the five highest are logged.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np

from trademl.artifacts.files import sha256_file
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.edge.bundle import open_bundle
from trademl.edge.score import rank_pct
from trademl.errors import ArtifactError, ConfigError, ModelError
from trademl.governance.router import FrozenScorer, frozen_scorer
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.log import get_logger
from trademl.sleeves.routed import registered_run
from trademl.sleeves.shadowing import FAILURES, TABLE, reason_of, shadow_rows
from trademl.sleeves.traders.answers import TraderAnswer, of_frozen, of_scores
from trademl.sleeves.traders.pipeline import PIPELINE_FILE
from trademl.sleeves.traders.scoring import latest_date
from trademl.sleeves.traders.stack import CHECKPOINTS, load_stacked_pipeline, predict_stacked_scores
from trademl.sleeves.traders.train import TRADERS
from trademl.validation.calibration import PROBABILITY_RANGE, apply
from trademl.warehouse.read import read_snapshot

CONVERTED = "traders_stack"
"""Folder below models_artifacts/ in which a converted pipeline lies."""

TOP = 5
LABEL = "fwd_7d"
HORIZON = 7

Kind = Literal["stacked", "v1", "none"]

_LOG = get_logger("sleeves.traders")


@dataclass(frozen=True)
class ShadowModel:
    """Who scores in shadow: ``folder`` is the pipeline's, ``frozen`` the frozen model."""

    kind: Kind
    folder: Path | None = None
    frozen: FrozenScorer | None = None


@dataclass(frozen=True)
class ShadowScores:
    """What shadow mode did on one date: ``predictions`` are (address, predicted PnL), the highest first."""

    kind: Kind
    model_id: str
    as_of: date | None
    predictions: tuple[tuple[str, float], ...]


def detect_model(home: Home, con: duckdb.DuckDBPyConnection, model_dir: Path | None = None) -> ShadowModel:
    """Return who scores in shadow.

    Raises:
        ModelError, ArtifactError: the folder that is looked at holds a damaged pipeline.
    """
    for folder in [model_dir] if model_dir is not None else _folders(home, con):
        if load_stacked_pipeline(folder) is not None:
            return ShadowModel("stacked", folder)
    try:
        return ShadowModel("v1", frozen=frozen_scorer(TRADERS.name))
    except (ConfigError, ModelError) as error:
        _LOG.info("no frozen model of the traders answers: %s", error.message)
        return ShadowModel("none")


def shadow_traders(
    home: Home, as_of: date | None = None, model_dir: Path | None = None, *, now: Clock = utc_now
) -> ShadowScores:
    """Score the traders of ``as_of`` (None: the latest date with features) into ``preds.shadow``; log the highest five.

    Raises:
        DataGateError: there is no date with features.
        ModelError, ArtifactError, SnapshotError: model or snapshot are damaged.
    """
    with read_snapshot(home, now=now) as snapshot:
        day = as_of or latest_date(snapshot.con)
        model = detect_model(home, snapshot.con, model_dir)
        found = of_frozen(snapshot.con, model.frozen, day) if model.frozen is not None else None
    if model.folder is not None:
        found = _by_stack(home, model.folder, day, now)
    if found is None or not len(found):
        _LOG.info("ML shadow mode: %s model, no scores on %s", model.kind, day)
        return ShadowScores(model.kind, found.model_id if found else "", day, ())
    layout = layout_of(home)
    write_rows(layout, TABLE, shadow_rows(found.rows(now=now), TRADERS.name, TRADERS.entity), now=now)
    snapshot_batches(layout, now=now)
    order = np.argsort(-found.yhat, kind="stable")
    predictions = tuple((found.entities[at], float(found.yhat[at])) for at in order)
    _LOG.info("ML shadow mode: %s model %s scored %d traders of %s", model.kind, found.model_id, len(order), day)
    _LOG.info("ML shadow top %d: %s", TOP, [(address[:10], f"{score:+.4f}") for address, score in predictions[:TOP]])
    return ShadowScores(model.kind, found.model_id, day, predictions)


def shadow_beside(
    home: Home, as_of: date | None = None, model_dir: Path | None = None, *, now: Clock = utc_now
) -> tuple[str, ...]:
    """Run shadow mode beside something that matters: raise nothing, log a failure and return it as a note."""
    try:
        shadow_traders(home, as_of, model_dir, now=now)
    except FAILURES as error:
        _LOG.warning("ML shadow mode failed: %s", reason_of(error))
        return (f"ML shadow mode failed: {reason_of(error)}",)
    return ()


def _folders(home: Home, con: duckdb.DuckDBPyConnection) -> list[Path]:
    folders = []
    # Without a run the converted pipeline, or the frozen model, answers.
    with suppress(ArtifactError):
        folders.append(registered_run(con, home, TRADERS.name)[1])
    return [*folders, home.models_artifacts / CONVERTED]


def _by_stack(home: Home, folder: Path, day: date, now: Clock) -> TraderAnswer:
    scored = predict_stacked_scores(folder, day, home=home, now=now)
    addresses = tuple(one["address"] for one in scored)
    yhat = np.array([one["ml_predicted_pnl"] for one in scored], dtype=np.float64)
    if (folder / CHECKPOINTS).is_dir():
        bundle = open_bundle(folder)
        spread, likely = bundle.residuals.lookup(yhat), apply(bundle.calibrator, yhat, clip=PROBABILITY_RANGE)
        return TraderAnswer(
            bundle.run_id, bundle.label, bundle.horizon, day, addresses, yhat, spread, likely, rank_pct(yhat)
        )
    name = f"traders-converted-{sha256_file(folder / PIPELINE_FILE)[:12]}"
    return of_scores(name, LABEL, HORIZON, day, addresses, yhat)
