"""One training run, from snapshot to registered model; every step can be repeated, and a rerun resumes.

The run's folder is named by what decides its result (sleeve, label, configuration, data, engine), so the same command
finds the work of a killed one. The manifest is the seal: before it, anything may be made again; after it, nothing
changes and only the registration (ledger, snapshot, MLflow) is completed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from trademl.artifacts.provenance import git_revision, library_versions
from trademl.artifacts.run_folder import RunFolder, RunManifest, run_id
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ArtifactError, LeakageError
from trademl.governance.ledger import begin_attempt, record_audit, record_events, record_run, record_trial, trial_id
from trademl.governance.returns import record_run_returns, recorded_runs
from trademl.governance.tracking import TrackedRun, track
from trademl.lake.files import FileLock
from trademl.lake.layout import layout_of
from trademl.lake.reading import Snapshot
from trademl.lake.snapshot import snapshot_batches
from trademl.models.base import ModelConfig
from trademl.models.registry import model_class
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import Progress, Silent, cross_validate
from trademl.training.data_audit import audit_training_data
from trademl.training.dataset import TrainingData, load_training, resolve_label, session_range, spans_sql
from trademl.training.evaluate import evaluate, plain, write_metrics
from trademl.training.final import calibrate, fit_final, write_features
from trademl.training.gate import GateReport, check_gate
from trademl.training.oof import write_oof
from trademl.training.report import write_card, write_plots
from trademl.training.splits import audit, make_splitter
from trademl.warehouse.read import read_snapshot

_METRICS = "metrics/metrics.json"


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_id, path: its name and folder.
        label, horizon: what it predicts.
        metrics: the document of metrics/metrics.json: summary, headline, paths, regimes.
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

    Raises:
        ConfigError: the label, a feature or a symbol does not exist.
        DataGateError: sessions are not GREEN, or no row is left.
        LeakageError: the splits leak; nothing was fitted or registered.
        LockedError: another process is training the same run.
        ArtifactError: MLflow refused, and the run itself is complete; or a finished run does not verify.
    """
    told = progress or Silent()
    began = now()
    told.stage("reading the snapshot")
    with read_snapshot(home, now=now) as snapshot:
        label = resolve_label(snapshot.con, sleeve, config)
        gate = check_gate(snapshot.con, sleeve, config.data_gate, *session_range(snapshot.con, sleeve, config, label))
        told.stage(f"loading {label} from {sleeve.training}")
        data = load_training(snapshot.con, sleeve, config, label, gate.excluded)
        model = config.model.model_copy(update={"task": "binary" if config.task == "top_bottom" else "regression"})
        name = run_id(sleeve.name, label, {**config.identity(), "engines": _engines(config.model.kind)}, data.data_hash)
        # Locked first: making the folder sweeps away what a dead writer left, and a living one must not be swept.
        with FileLock(home.models_artifacts / sleeve.name / f".{name}.lock"):
            folder = RunFolder.create(home.models_artifacts, sleeve.name, name)
            already = folder.finished
            resumed = 0
            if already:
                folder.verify()
            else:
                run = _Run(home, sleeve, config, model, data, gate, folder, snapshot, told, command, began, now)
                resumed = run.train()
            version = _register(home, sleeve, config, folder, mlflow, told, now)
    return RunResult(
        run_id=name,
        path=folder.path,
        label=label,
        horizon=data.horizon,
        metrics=read_metrics(folder),
        resumed_splits=resumed,
        already_trained=already,
        model_version=version,
        as_of=str(snapshot.manifest.as_of or data.dates[-1]),
        excluded=len(gate.excluded),
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


@dataclass(frozen=True, eq=False)
class _Run:
    """The part of a run before its seal, with everything its steps need."""

    home: Home
    sleeve: SleeveTables
    config: TrainingConfig
    model: ModelConfig
    data: TrainingData
    gate: GateReport
    folder: RunFolder
    snapshot: Snapshot
    told: Progress
    command: str
    began: datetime
    now: Clock

    def train(self) -> int:
        """Do everything up to the manifest; return how many splits an earlier command had finished.

        The attempt is noted before its first fit, and how it ended; one that was killed has a beginning and no end.
        """
        self._note("started")
        attempt = begin_attempt(layout_of(self.home), trial=self._trial(), run_id=self.folder.run_id, now=self.now)
        try:
            resumed = self._train(attempt)
        except BaseException as error:
            said = "refused" if isinstance(error, LeakageError) else "failed"
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            self._event(attempt, said, detail=first_line)
            raise
        self._event(attempt, "finished")
        return resumed

    def _train(self, attempt: int) -> int:
        data, folder = self.data, self.folder
        layout = layout_of(self.home)
        splitter = make_splitter(self.config.validation)
        self.told.stage(f"auditing {splitter.n_splits} splits of {len(data):,} rows")
        try:
            rows = audit(
                self.snapshot.con,
                folder.place("predictions/splits.parquet"),
                spans_sql(self.sleeve, self.config, data.label, self.gate.excluded),
                data,
                splitter,
                run_id=folder.run_id,
                now=self.now,
            )
            self.told.stage("auditing features, labels and weights against the bars as they landed")
            rows += audit_training_data(
                self.snapshot, self.sleeve, data, self.gate.excluded, run_id=folder.run_id, now=self.now
            )
        except LeakageError:
            self._note("refused")
            snapshot_batches(layout, now=self.now)
            raise
        record_audit(layout, rows, now=self.now)
        checkpoints = folder.path / "checkpoints"
        self.told.stage(f"fitting {self.config.model.kind} on {splitter.n_splits} splits")
        validated = cross_validate(data, splitter, self.model, checkpoints, self.told)
        self._event(attempt, "split", [(result.split_id, result.seconds) for result in validated.splits])
        self.told.stage("measuring and storing out-of-fold predictions")
        evaluation = evaluate(data, validated, self.config.task)
        write_metrics(folder, evaluation)
        folder.add_json("metrics/data_gate.json", self.gate.to_dict())
        folder.add_json("metrics/leakage_audit.json", [{**row.as_dict(), "recorded_at": None} for row in rows])
        write_oof(layout, self.sleeve.name, folder.run_id, data, validated, now=self.now)
        calibration = calibrate(folder, data, validated, splitter.folds(data.spans), self.config.task)
        self.told.stage("fitting the final model and proving its ONNX form")
        final = fit_final(folder, data, self.model, validated.prepared)
        write_features(folder, self.home, self.sleeve, data, self._scoring())
        revision = git_revision(self.home.root)
        facts = {"git_revision": revision, "command": self.command}
        folder.add_text("config/config.yml", _yaml(self.config.model_dump(mode="json")))
        write_card(folder, self.config, data, evaluation, final, calibration, self.gate, facts)
        write_plots(folder, evaluation, calibration)
        folder.finish(
            created=self.began,
            data_hash=data.data_hash,
            config=self.config.model_dump(mode="json"),
            summary=plain(
                {
                    **evaluation.headline(),
                    "label": data.label,
                    "horizon": data.horizon,
                    "rows": len(data),
                    "fitted_rows": int(data.fitted.sum()),
                    "features": len(data.feature_names),
                    "first_date": str(data.dates[0]),
                    "last_date": str(data.dates[-1]),
                    "splits": splitter.n_splits,
                    "parity_rows": final.parity.rows,
                    "snapshot": self.snapshot.manifest.seq,
                    "build_id": self.snapshot.manifest.build_id,
                    "excluded_sessions": len(self.gate.excluded),
                    "command": self.command,
                }
            ),
            revision=revision,
            versions=library_versions() | _engines(self.config.model.kind),
        )
        return validated.resumed

    def _trial(self) -> str:
        return trial_id(self.sleeve.name, self.data.label, self.config.hash())

    def _event(self, attempt: int, event: Any, splits: Any = ((-1, 0.0),), detail: str = "") -> None:
        record_events(
            layout_of(self.home),
            trial=self._trial(),
            run_id=self.folder.run_id,
            attempt=attempt,
            event=event,
            splits=splits,
            detail=detail,
            now=self.now,
        )

    def _note(self, status: Any) -> None:
        record_trial(
            layout_of(self.home),
            sleeve=self.sleeve.name,
            label=self.data.label,
            run_id=self.folder.run_id,
            config=self.config.identity(),
            config_hash=self.config.hash(),
            data_hash=self.data.data_hash,
            status=status,
            now=self.now,
        )

    def _scoring(self) -> dict[str, Any]:
        return {
            "sleeve": self.sleeve.name,
            "run_id": self.folder.run_id,
            "label": self.data.label,
            "horizon": self.data.horizon,
            "features_table": self.sleeve.features_table,
            "entity": self.sleeve.entity,
            "task": self.config.task,
            "target": self.config.target,
        }


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
        returns_ref=f"ops.trial_returns run_id={folder.run_id}",
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


def _engines(kind: str) -> dict[str, str]:
    """Return the versions of what decides the numbers of ``kind``: another engine is another run."""
    names = (*model_class(kind).distributions, "numpy")
    found = library_versions(names)
    return {name: found[name] for name in (*names, "machine") if name in found}


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


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(config), sort_keys=False)
