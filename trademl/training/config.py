"""What a training run is told: label, rows, target, validation, data gate and model; the same for every sleeve."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trademl.config.reading import Section
from trademl.governance.data_audit import Bounds
from trademl.models.base import ModelConfig
from trademl.models.base import Task as ModelTask
from trademl.models.registry import ModelField

Task = Literal["regression", "top_bottom", "three_class", "binary"]
Target = Literal["raw", "demeaned", "rank"]
Weight = Literal["sample_weight", "time_decay_weight", "uniqueness_weight", "none"]
Regime = Literal["low", "mid", "high"]
Status = Literal["GREEN", "AMBER"]
Binning = Literal["shared", "strict"]

MODEL_TASKS: dict[Task, ModelTask] = {
    "regression": "regression",
    "top_bottom": "binary",
    "three_class": "three_class",
    "binary": "binary",
}
"""Task of a run -> task of its model."""

REGIMES: tuple[Regime, ...] = ("low", "mid", "high")
"""Volatility regimes; a regime's code is its position, -1 is unknown."""


class ValidationConfig(Section):
    """How predictions are made out of fold.

    ``cpcv`` tests every choice of ``test_folds`` out of ``folds`` blocks; ``walk_forward`` trains on the past of each
    of ``folds`` blocks. ``test_folds`` belongs to the first, ``mode``, ``train_sessions`` and ``min_train_sessions``
    to the second.
    """

    kind: Literal["cpcv", "walk_forward"] = "cpcv"
    folds: int = Field(default=8, ge=2, le=64)
    test_folds: int = Field(default=2, ge=1)
    embargo: int = Field(default=10, ge=0)
    purge: Literal["all", "entity"] = "all"
    mode: Literal["expanding", "rolling"] = "expanding"
    train_sessions: int | None = Field(default=None, ge=1)
    min_train_sessions: int | None = Field(default=None, ge=1)


class DataGateConfig(Section):
    """Which data may be trained on.

    Attributes:
        require: the worst status a session may have: GREEN, or AMBER to let both pass. RED never passes.
        max_amber_fraction: with ``require: GREEN``, the share of the sessions that may be AMBER all the same.
        exclude_not_green: leave the rows of sessions that do not pass out of training instead of refusing; they are
            listed in the run's metrics/data_gate.json.
    """

    require: Status = "GREEN"
    max_amber_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    exclude_not_green: bool = False


class TrainingConfig(Section):
    """Everything that decides a training run's result, but for the data.

    Attributes:
        label: ``horizon`` (with ``k``), ``tb``, or the exact name of a label in the sleeve's labels table.
        k: sessions of the horizon label.
        start, end: first and last decision date; None is as far as the data goes.
        symbols: train on these entities only; empty is all. Targets are made over the whole cross-section first.
        regime: fit on rows of these volatility regimes only; every row is predicted all the same. Empty is all.
        task: ``regression`` on the target; ``top_bottom``: class 1 the top ``tail_fraction`` of each date, class 0
            the bottom one, the middle left out of the fit; ``three_class``: which barrier a triple-barrier label met
            first, 1 the profit, -1 the stop, 0 neither; ``binary``: whether a label of 0 and 1 is 1.
        target: of a regression: the label's value, less its mean over the date's cross-section, or its average-tie rank
            there, centred, in (-0.5, 0.5).
        weight: the column of sample weights.
        features: names or patterns such as ``*_rank``, in order; a pattern takes the table's column order. Columns of
            another feature table than the sleeve's own have its name before theirs: ``equities_alpha158.*``.
        feature_set: instead of ``features``, a set of configs/features/, such as ``alpha158_v1``.
        binning: ``shared`` finds the bin edges of a boosted family once, from the feature values of all rows;
            ``strict`` finds them in each split's train rows alone, and takes longer (docs/adr/0010-shared-bins.md).
        stop_fraction: share of a fit's sessions, the last ones, that early stopping measures on; rows whose label
            reaches into them are left out of that fit.
        validation, data_gate, model: see their own classes.
    """

    label: str = "horizon"
    k: int = Field(default=5, ge=1)
    start: date | None = None
    end: date | None = None
    symbols: tuple[str, ...] = ()
    regime: tuple[Regime, ...] = ()
    task: Task = "regression"
    target: Target = "demeaned"
    tail_fraction: float = Field(default=0.2, gt=0.0, le=0.5)
    weight: Weight = "sample_weight"
    features: tuple[str, ...] = ("*_rank",)
    feature_set: str | None = None
    validation: ValidationConfig = ValidationConfig()
    binning: Binning = "shared"
    stop_fraction: float = Field(default=0.15, gt=0.0, lt=1.0)
    data_gate: DataGateConfig = DataGateConfig()
    model: ModelField

    @model_validator(mode="before")
    @classmethod
    def _one_choice(cls, raw: Any) -> Any:
        # The default of `features` must not stand beside a set.
        if isinstance(raw, dict) and raw.get("feature_set") is not None and "features" not in raw:
            return {**raw, "features": ()}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingConfig":
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        if self.feature_set is not None and self.features:
            raise ValueError(
                f"feature_set={self.feature_set!r} and features={list(self.features)} both choose the columns; "
                "keep one of the two"
            )
        if not self.features and self.feature_set is None:
            raise ValueError("features is empty: name at least one, or a feature_set")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_chosen(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A run that chooses no set has the identity that it had before there were any.
        fields: dict[str, Any] = handler(self)
        if fields.get("feature_set") is None:
            fields.pop("feature_set", None)
        return fields

    def model_for_task(self) -> ModelConfig:
        """Return the model's configuration with the task that the run's task makes it do."""
        return self.model.model_copy(update={"task": MODEL_TASKS[self.task]})

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the result: all but the number of threads."""
        fields = self.model_dump(mode="json")
        fields["model"].pop("threads", None)
        # The task of the model follows from the task of the run.
        fields["model"].pop("task", None)
        return fields

    def hash(self) -> str:
        """Return the sha256 of :meth:`identity` as 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class SleeveTables:
    """Where a sleeve's training data lies, and how its commands and labels are called.

    Attributes:
        name: the sleeve, such as ``equities``.
        training: the training table: entity, date, label, value, label_end_date, weights, regime, features.
        entity: its entity column.
        coverage: the dataset of ``silver.coverage`` that the gate asks about.
        features_model: the dbt model whose compiled SQL makes the features.
        features_table: the table those features lie in: its FLOAT and DOUBLE columns.
        label_name: turns the configuration's ``label`` and ``k`` into a label of the table.
        features_date: the date column of ``features_table``.
        calendar: the sleeve's sessions: date, session_index, decision_at.
        coverage_table: the grades of its sessions: dataset, date, status, coverage_ratio, reasons.
        daily_bars: whether features, labels and returns are made of daily bars: then the audit computes them again from
            the bars as they landed, and ``marts.run_returns`` has the run's portfolios.
        bounds: what no honest feature of the sleeve does.
        ingest: what `trademl ingest` calls its data, where that is not the sleeve's name.
        features_joined: the training table has no feature columns: they are read from ``features_table``, which has one
            row per entity and ``features_date``.
        sessions_of: sessions that a label looks ahead, by its name.
    """

    name: str
    training: str
    entity: str
    coverage: str
    features_model: str
    features_table: str
    label_name: Callable[[TrainingConfig], str]
    features_date: str = "date"
    calendar: str = "silver.calendar"
    coverage_table: str = "silver.coverage"
    daily_bars: bool = True
    bounds: Bounds = field(default_factory=Bounds)
    ingest: str = ""
    features_joined: bool = False
    sessions_of: Callable[[str], int] = field(default_factory=lambda: horizon_of)

    @property
    def landing(self) -> str:
        """The command that lands the sleeve's data."""
        return f"`trademl ingest {self.ingest or self.name} PATHS`"


def horizon_of(label: str) -> int:
    """Return the sessions a label looks ahead: the last number in its name.

    >>> [horizon_of(name) for name in ("ret_1d", "fwd_20d", "tb_2_1_10")]
    [1, 20, 10]
    """
    numbers = re.findall(r"\d+", label)
    return int(numbers[-1]) if numbers else 1


def choose_features(merged: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Let the choice of features in ``over``, a list or a set, replace the one that ``merged`` had before.

    >>> merged = {"features": ("*_rank",), "feature_set": "alpha158_v1"}
    >>> choose_features(merged, {"feature_set": "alpha158_v1"})
    >>> merged
    {'features': (), 'feature_set': 'alpha158_v1'}
    """
    if over.get("feature_set") is not None and not over.get("features"):
        merged["features"] = ()
    elif over.get("features") and over.get("feature_set") is None:
        merged.pop("feature_set", None)
