"""One training run, from snapshot to registered model; every step can be repeated, and a rerun resumes.

The run's folder is named by what decides its result (sleeve, label, configuration, data, engine), so the same command
finds the work of a killed one. The manifest is the seal: before it, anything may be made again; after it, nothing
changes and only the registration (ledger, snapshot, MLflow) is completed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trademl.artifacts.run_folder import RunFolder, RunManifest
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.governance.ledger import record_run, record_trial
from trademl.governance.returns import record_run_returns, recorded_runs, series
from trademl.governance.tracking import TrackedRun, track
from trademl.lake.files import FileLock
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import Progress, Silent
from trademl.training.trainer import Trainer
from trademl.validation.performance import PerformanceSummary, summarise_performance
from trademl.warehouse.read import read_snapshot

_METRICS = "metrics/metrics.json"
_STRATEGIES = ("long_short", "long_only")


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_id, path: its name and folder.
        label, horizon: what it predicts.
        metrics: the document of metrics/metrics.json: summary, headline, paths, regimes.
        economics: by strategy (``long_short``, ``long_only``) what its daily net returns are worth; empty when the
            warehouse has no marts to read them from.
        resumed_splits: splits that an earlier, interrupted command had finished.
        already_trained: an earlier command had finished all of it.
        model_version: of the MLflow model, None without MLflow.
        as_of: the last session in the snapshot, the first thing to score.
        excluded: sessions left out by choice.
    """

    run_id: str
    path: Path
    label: str
    horizon: int
    metrics: dict[str, Any]
    economics: dict[str, PerformanceSummary]
    resumed_splits: int
    already_trained: bool
    model_version: str | None
    as_of: str
    excluded: int


def train_sleeve(
    home: Home,
    sleeve: SleeveTables,
    config: TrainingConfig,
    *,
    progress: Progress | None = None,
    mlflow: bool = True,
    command: str = "",
    now: Clock = utc_now,
    trainer: type[Trainer] = Trainer,
) -> RunResult:
    """Train ``sleeve`` as ``config`` says, or finish what an earlier, killed command began.

    Args:
        home: where snapshot and artifacts are.
        sleeve: its tables.
        config: what to train.
        progress: told what happens.
        mlflow: log the run to MLflow at the end.
        command: the command line, for the record.
        now: the clock.
        trainer: whose steps the run takes.

    Raises:
        ConfigError: the label, a feature or a symbol does not exist.
        DataGateError: sessions are not GREEN, or no row is left.
        LeakageError: the splits leak; nothing was fitted or registered.
        LockedError: another process is training the same run.
        ArtifactError: MLflow refused, and the run itself is complete; or a finished run does not verify.
    """
    told = progress or Silent()
    told.stage("reading the snapshot")
    with read_snapshot(home, now=now) as snapshot:
        run = trainer(home, snapshot, sleeve, config, told=told, command=command, now=now)
        data = run.prepare_data()
        name = run.prepared.run_id
        # Locked first: making the folder sweeps away what a dead writer left, and a living one must not be swept.
        with FileLock(home.models_artifacts / sleeve.name / f".{name}.lock"):
            folder = run.folder
            already = folder.finished
            resumed = 0
            if already:
                folder.verify()
            else:
                resumed = run.run()
            version = _register(home, sleeve, config, folder, mlflow, told, now)
    return RunResult(
        run_id=name,
        path=folder.path,
        label=data.label,
        horizon=data.horizon,
        metrics=read_metrics(folder),
        economics=_economics(home, name),
        resumed_splits=resumed,
        already_trained=already,
        model_version=version,
        as_of=str(snapshot.manifest.as_of or data.dates[-1]),
        excluded=len(run.prepared.gate.excluded),
    )


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """Return the metrics document of a run.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    path = folder.place(_METRICS)
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}", remedy="restore the run folder, or train again") from error
    # A number that could not be computed is null in JSON and NaN in memory.
    revived: dict[str, Any] = _revive(found)
    return revived


def _register(
    home: Home,
    sleeve: SleeveTables,
    config: TrainingConfig,
    folder: RunFolder,
    mlflow: bool,
    told: Progress,
    now: Clock,
) -> str | None:
    """Enter a sealed run into the ledger, the snapshot and MLflow; what is there already is left as it is."""
    told.stage("registering the run")
    layout = layout_of(home)
    manifest = folder.manifest()
    label = str(manifest.summary["label"])
    record_trial(
        layout,
        sleeve=sleeve.name,
        label=label,
        run_id=folder.run_id,
        config=config.identity(),
        config_hash=config.hash(),
        data_hash=manifest.data_hash,
        status="finished",
        **({"returns_ref": f"ops.trial_returns run_id={folder.run_id}"} if sleeve.daily_bars else {}),
        now=now,
    )
    record_run(
        layout,
        run_id=folder.run_id,
        sleeve=sleeve.name,
        label=label,
        status="registered",
        git_revision=manifest.git_revision,
        data_hash=manifest.data_hash,
        config_hash=config.hash(),
        path=folder.path.relative_to(home.root).as_posix(),
        metrics=manifest.summary,
        started_at=manifest.created,
        now=now,
    )
    snapshot_batches(layout, now=now)
    if sleeve.daily_bars:
        _keep_returns(home, folder.run_id, sleeve.name, label, now)
    if not mlflow:
        return None
    told.stage("logging to MLflow")
    return track(home, _tracked(manifest, folder, label))


def _keep_returns(home: Home, run: str, sleeve: str, label: str, now: Clock) -> None:
    """Keep the daily returns of the run's predictions, once; a warehouse built before the mart existed has none yet."""
    layout = layout_of(home)
    if run in recorded_runs(layout):
        return
    with read_snapshot(home, now=now) as snapshot:
        if "marts.run_returns" not in snapshot.manifest.views:
            return
        kept = record_run_returns(layout, snapshot.con, run_id=run, sleeve=sleeve, label=label, now=now)
    if kept:
        snapshot_batches(layout, now=now)


def _economics(home: Home, run: str) -> dict[str, PerformanceSummary]:
    found = {}
    for strategy in _STRATEGIES:
        daily = series(layout_of(home), [run], strategy).get(run, {})
        if daily:
            net, turnover = np.array([daily[day] for day in sorted(daily)]).T
            found[strategy] = summarise_performance(net, turnover=turnover)
    return found


def _tracked(manifest: RunManifest, folder: RunFolder, label: str) -> TrackedRun:
    numbers = {
        name: float(value)
        for name, value in manifest.summary.items()
        if isinstance(value, int | float) and np.isfinite(value)
    }
    return TrackedRun(
        run_id=folder.run_id,
        sleeve=folder.sleeve,
        label=label,
        folder=folder.path,
        params=_flat(manifest.config),
        metrics=numbers,
        tags={
            "trademl.data_hash": manifest.data_hash,
            "trademl.git_revision": manifest.git_revision,
            "trademl.command": str(manifest.summary.get("command", "")),
        },
    )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dots in the names."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        found.update(_flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item})
    return found


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revive(item) for item in value]
    return float("nan") if value is None else value
