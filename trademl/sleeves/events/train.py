"""Training the heads of the sleeve: one run of the one training path for each, then the bundle that they make.

Validation is walk-forward by date: each block of sessions is predicted by models of the sessions before it, with an
embargo between. A head is a run like any other: gate, leakage audit, out-of-fold predictions, final fit, parity proof,
and a row in ``ops.trials``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from pydantic import Field, field_validator, model_validator

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.reading import Section, validate_section
from trademl.errors import ConfigError, DataGateError
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit import Bounds
from trademl.models.registry import ModelField
from trademl.sleeves.events.feature_columns import select_features
from trademl.sleeves.events.heads import DATES, Head, model_dir, publish
from trademl.sleeves.events.names import (
    HORIZONS,
    Ablation,
    Stage,
    check_horizons,
    check_timeframe,
    head_names,
    is_regression,
)
from trademl.training.config import (
    Binning,
    DataGateConfig,
    SleeveTables,
    TrainingConfig,
    ValidationConfig,
    Weight,
)
from trademl.training.cross_validate import CrossValidation, Progress, Silent
from trademl.training.evaluate import Evaluation
from trademl.training.run import RunResult, train_sleeve
from trademl.training.trainer import Trainer
from trademl.warehouse.read import read_snapshot

EVENTS = SleeveTables(
    name="events",
    training="gold.events_training",
    entity="event_id",
    coverage="intraday_bars",
    features_model="gld_events_features",
    features_table="gold.events_features",
    label_name=lambda config: config.label,
    coverage_table="silver.event_coverage",
    daily_bars=False,
    ingest="intraday-bars",
    features_joined=True,
    # Labels end within their session.
    sessions_of=lambda label: 1,
    # How far a level lies in ATR says how soon a threshold in ATR is reached; daily stocks have no such ranks.
    bounds=replace(Bounds(), plausible_ic=0.5, target_ic=0.8, min_rows=30),
)


class EventsConfig(Section):
    """configs/training/events.yml: what `trademl train events` trains.

    Attributes:
        stage, ablation: which columns of ``gold.events_features``, see
            :func:`trademl.sleeves.events.feature_columns.select_features`.
        horizons: seconds of the heads t1, t2 and their sides.
        timeframe: of tradeable_2, direction and strength, such as ``8min``; None is the outcome window.
        heads: train these only; empty is all that stage, horizons and timeframe name.
        start, end, weight, binning, stop_fraction, validation, data_gate, model: as in every training configuration;
            validation is walk-forward.
    """

    stage: Stage = "stage_b"
    ablation: Ablation = "full"
    horizons: tuple[int, ...] = HORIZONS
    timeframe: str | None = None
    heads: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None
    weight: Weight = "sample_weight"
    validation: ValidationConfig = ValidationConfig(kind="walk_forward", folds=5, embargo=1)
    binning: Binning = "strict"
    stop_fraction: float = Field(default=0.15, gt=0.0, lt=1.0)
    data_gate: DataGateConfig = DataGateConfig()
    model: ModelField

    @field_validator("horizons")
    @classmethod
    def _horizons(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return check_horizons(value)

    @field_validator("timeframe")
    @classmethod
    def _timeframe(cls, value: str | None) -> str | None:
        return check_timeframe(value)

    @model_validator(mode="after")
    def _consistent(self) -> "EventsConfig":
        if self.validation.kind != "walk_forward":
            raise ValueError(
                "validation.kind must be walk_forward: events are never predicted by models of later dates"
            )
        known = head_names(self.horizons, self.timeframe)
        unknown = [head for head in self.heads if head not in known]
        if unknown:
            raise ValueError(f"heads: {', '.join(unknown)} are none of {', '.join(known)}")
        return self

    def chosen_heads(self) -> tuple[str, ...]:
        """Return the heads to train, in the order of the bundle."""
        known = head_names(self.horizons, self.timeframe)
        return tuple(head for head in known if not self.heads or head in self.heads)


@dataclass(frozen=True, eq=False)
class EventsResult:
    """What was trained.

    Attributes:
        runs: the run of each head, in order.
        heads: their metadata, as the bundle has it.
        folder: the bundle's.
        features: how many columns each head reads.
    """

    runs: Mapping[str, RunResult]
    heads: tuple[Head, ...]
    folder: Path
    features: int


class HeadTrainer(Trainer):
    """A :class:`Trainer` that notes which dates were fitted and which were predicted out of fold."""

    def finish(self, validated: CrossValidation, evaluation: Evaluation, audited: Sequence[AuditRow]) -> None:
        tested = np.isfinite(validated.scores).any(axis=0)
        dates = {"train_dates": self.data.fitted, "val_dates": tested}
        self.folder.add_json(
            DATES, {name: [str(day) for day in np.unique(self.data.dates[rows])] for name, rows in dates.items()}
        )
        super().finish(validated, evaluation, audited)


def head_config(config: EventsConfig, head: str, features: Sequence[str]) -> TrainingConfig:
    """Return the training configuration of one head over these columns."""
    shared = config.model_dump(exclude={"stage", "ablation", "horizons", "timeframe", "heads"})
    fields: dict[str, Any] = {
        **shared,
        "label": head,
        "task": "regression" if is_regression(head) else "binary",
        "target": "raw",
        "features": list(features),
    }
    return validate_section(fields, TrainingConfig, origin=f"head {head}")


def train(
    home: Home,
    config: EventsConfig,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    head_done: Callable[[str, RunResult], None] | None = None,
    mlflow: bool = True,
    command: str = "",
    now: Clock = utc_now,
) -> EventsResult:
    """Train every head that the configuration names and write the bundle, or finish what a killed command began.

    Args:
        home: where snapshot and artifacts are.
        config: what to train.
        folder: of the bundle; None is models_artifacts/boosted_trees.
        progress: told what happens.
        head_done: told of each finished head.
        mlflow: log the runs to MLflow.
        command: the command line, for the record.
        now: the clock.

    Raises:
        ConfigError: a head has no label in ``gold.events_training``, or labels of one class only.
        DataGateError: there are no events, or sessions are not GREEN.
        LeakageError: the splits or the data leak.
    """
    told = progress or Silent()
    heads = config.chosen_heads()
    with read_snapshot(home, now=now) as snapshot:
        check_heads(snapshot.con, config, heads)
        columns = feature_columns(snapshot.con)
    features = select_features(columns, config.stage, config.ablation).columns
    runs: dict[str, RunResult] = {}
    for number, head in enumerate(heads, start=1):
        told.stage(f"head {number} of {len(heads)}: {head}")
        runs[head] = train_sleeve(
            home,
            EVENTS,
            head_config(config, head, features),
            progress=told,
            mlflow=mlflow,
            command=command,
            now=now,
            trainer=HeadTrainer,
        )
        if head_done is not None:
            head_done(head, runs[head])
    place = folder or model_dir(home)
    told.stage(f"writing the bundle {config.stage} {config.ablation} to {place}")
    written = publish(
        place,
        [(head, result.path) for head, result in runs.items()],
        stage=config.stage,
        ablation=config.ablation,
        timeframe=config.timeframe,
        now=now,
    )
    return EventsResult(runs, tuple(written), place, len(features))


def feature_columns(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the columns of ``gold.events_features`` that are measures, in the table's order."""
    described = con.execute(f"describe {EVENTS.features_table}").fetchall()
    return [name for name, kind, *_ in described if kind in ("FLOAT", "DOUBLE")]


def check_heads(con: duckdb.DuckDBPyConnection, config: EventsConfig, heads: Sequence[str]) -> None:
    """Refuse heads that cannot be fitted, all of them at once and before anything is.

    Raises:
        ConfigError: a label is missing, or all its values are the same.
        DataGateError: the training table is empty.
    """
    rows = con.execute(
        f"select label, count(*), min(value), max(value) from {EVENTS.training} "
        "where value is not null and date between coalesce($start, date '0001-01-01') "
        "and coalesce($end, date '9999-12-31') group by label",
        {"start": config.start, "end": config.end},
    ).fetchall()
    labels = {label: (count, low, high) for label, count, low, high in rows}
    if not labels:
        raise DataGateError(
            f"{EVENTS.training} has no event in these dates", remedy=f"{EVENTS.landing}, then `trademl build`"
        )
    missing = [head for head in heads if head not in labels]
    if missing:
        raise ConfigError(
            f"{EVENTS.training} has no label {', '.join(missing)}: its bars do not resolve that window, or no "
            "event has it",
            remedy=f"its labels are {', '.join(sorted(labels))}; choose with --horizons, --timeframe or --heads",
        )
    same = [
        f"{head} ({labels[head][0]} of {labels[head][1]:g})" for head in heads if labels[head][1] == labels[head][2]
    ]
    if same:
        raise ConfigError(
            f"nothing can be learned of {', '.join(same)}: all labels are the same",
            remedy="ingest more sessions, or leave these heads out with --heads",
        )
