"""The steps of a training run up to its seal: prepare data, build the model, train, evaluate, finish.

Every sleeve and family goes through them in this order. Each step can be repeated: what an earlier, killed process
finished is found in the run's folder and not done again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from trademl.artifacts.provenance import git_revision, library_versions
from trademl.artifacts.run_folder import RunFolder, run_id
from trademl.clock import Clock, utc_now
from trademl.config.feature_sets import FeatureSet, read_feature_set
from trademl.config.home import Home
from trademl.errors import LeakageError
from trademl.governance.audit import AuditRow
from trademl.governance.ledger import begin_attempt, record_audit, record_events, record_trial, trial_id
from trademl.lake.layout import layout_of
from trademl.lake.reading import Snapshot
from trademl.lake.snapshot import snapshot_batches
from trademl.models.base import BaseModel
from trademl.models.registry import create_model, model_class
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import CrossValidation, Progress, Silent, cross_validate
from trademl.training.data_audit import audit_training_data
from trademl.training.dataset import TrainingData, load_training, resolve_label, session_range, spans_sql
from trademl.training.evaluate import Evaluation, evaluate, plain, write_metrics
from trademl.training.final import FinalModel, calibrate, feature_places, fit_final, write_features
from trademl.training.fit import Fitter
from trademl.training.gate import GateReport, check_gate
from trademl.training.oof import write_oof
from trademl.training.report import write_card, write_plots
from trademl.training.splits import Splitter, audit, make_splitter


@dataclass(frozen=True, eq=False)
class Prepared:
    """What :meth:`Trainer.prepare_data` found: the rows, what the data gate says of their sessions, the run's name."""

    data: TrainingData
    gate: GateReport
    run_id: str


class Trainer:
    """One run of a sleeve. Call :meth:`prepare_data`, then :meth:`run`; or the steps that ``run`` is made of.

    Args:
        home: where artifacts and ledger are.
        snapshot: the snapshot to train on, open.
        sleeve: its tables.
        config: what to train.
        told: hears what happens.
        command: the command line, for the record.
        now: the clock.
    """

    def __init__(
        self,
        home: Home,
        snapshot: Snapshot,
        sleeve: SleeveTables,
        config: TrainingConfig,
        *,
        told: Progress | None = None,
        command: str = "",
        now: Clock = utc_now,
    ) -> None:
        self.home, self.snapshot, self.sleeve, self.config = home, snapshot, sleeve, config
        self.told: Progress = told or Silent()
        self.command, self.now = command, now
        self.began: datetime = now()
        self.model = config.model_for_task()

    @cached_property
    def feature_set(self) -> FeatureSet | None:
        """The feature set of the configuration, None where it lists features.

        Raises:
            ConfigError: there is no such set, or its file is wrong.
        """
        named = self.config.feature_set
        return None if named is None else read_feature_set(self.home, named)

    @cached_property
    def prepared(self) -> Prepared:
        """Load the rows and check the data gate, once.

        Raises:
            ConfigError: the label, a feature or a symbol does not exist.
            DataGateError: sessions are not GREEN, or no row is left.
        """
        con, sleeve, config = self.snapshot.con, self.sleeve, self.config
        label = resolve_label(con, sleeve, config)
        gate = check_gate(con, sleeve, config.data_gate, *session_range(con, sleeve, config, label))
        self.told.stage(f"loading {label} from {sleeve.training}")
        data = load_training(con, sleeve, config, label, gate.excluded, self.feature_set)
        identity = {**config.identity(), "engines": engines(config.model.kind)}
        return Prepared(data, gate, run_id(sleeve.name, label, identity, data.data_hash))

    @property
    def data(self) -> TrainingData:
        """The rows of the run."""
        return self.prepared.data

    @cached_property
    def splitter(self) -> Splitter:
        """What makes the splits."""
        return make_splitter(self.config.validation)

    @cached_property
    def folder(self) -> RunFolder:
        """The run's folder; making it sweeps away what a dead writer left, so take the run's lock first."""
        return RunFolder.create(self.home.models_artifacts, self.sleeve.name, self.prepared.run_id)

    def prepare_data(self) -> TrainingData:
        """Load the rows of the label, after the data gate; see :attr:`prepared`."""
        return self.prepared.data

    def run(self) -> int:
        """Do everything up to the manifest; return how many splits an earlier command had finished.

        The attempt is noted before its first fit, and how it ended; one that was killed has a beginning and no end.
        """
        self._note("started")
        attempt = begin_attempt(layout_of(self.home), trial=self._trial(), run_id=self.folder.run_id, now=self.now)
        try:
            audited = self.audit()
            validated = self.train()
            self._event(attempt, "split", [(result.split_id, result.seconds) for result in validated.splits])
            evaluation = self.evaluate(validated)
            self.finish(validated, evaluation, audited)
        except BaseException as error:
            said = "refused" if isinstance(error, LeakageError) else "failed"
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            self._event(attempt, said, detail=first_line)
            raise
        self._event(attempt, "finished")
        return validated.resumed

    def audit(self) -> list[AuditRow]:
        """Store the splits and judge them and the data, before anything is fitted.

        Raises:
            LeakageError: a check counted a violation; the trial is noted as refused.
        """
        data, folder = self.data, self.folder
        layout = layout_of(self.home)
        excluded = self.prepared.gate.excluded
        self.told.stage(f"auditing {self.splitter.n_splits} splits of {len(data):,} rows")
        try:
            rows = audit(
                self.snapshot.con,
                folder.place("predictions/splits.parquet"),
                spans_sql(self.sleeve, self.config, data.label, excluded, data.columns),
                data,
                self.splitter,
                run_id=folder.run_id,
                now=self.now,
            )
            self.told.stage("auditing features, labels and weights against the bars as they landed")
            rows += audit_training_data(self.snapshot, self.sleeve, data, excluded, run_id=folder.run_id, now=self.now)
            rows += self.audit_inputs()
        except LeakageError:
            self._note("refused")
            snapshot_batches(layout, now=self.now)
            raise
        record_audit(layout, rows, now=self.now)
        return rows

    def audit_inputs(self) -> list[AuditRow]:
        """Judge what else the model learns from, for models that learn from more than gold; nothing here."""
        return []

    def build_model(self) -> BaseModel:
        """Return the model of the configuration, unfitted."""
        return create_model(self.model, self.data.feature_names)

    def train(self) -> CrossValidation:
        """Fit every split that has no checkpoint yet, and return the out-of-fold predictions.

        Raises:
            ModelError: a fit failed.
            SplitError: a split has no train row.
        """
        self.told.stage(f"fitting {self.model.kind} on {self.splitter.n_splits} splits")
        return cross_validate(
            self.data,
            self.splitter,
            self.model,
            self.folder.path / "checkpoints",
            self.told,
            binning=self.config.binning,
            stop_fraction=self.config.stop_fraction,
        )

    def evaluate(self, validated: CrossValidation) -> Evaluation:
        """Measure the predictions, write metrics/ and the rows of ``preds.oof``."""
        self.told.stage("measuring and storing out-of-fold predictions")
        evaluation = evaluate(self.data, validated, self.config.task)
        write_metrics(self.folder, evaluation)
        write_oof(layout_of(self.home), self.sleeve.name, self.folder.run_id, self.data, validated, now=self.now)
        return evaluation

    def final_model(self, validated: CrossValidation) -> BaseModel:
        """Return the model fitted on all rows; after early stopping, of as many rounds as the median split kept."""
        fitter = Fitter(
            self.data, self.model, self.config.binning, self.config.stop_fraction, prepared=validated.prepared
        )
        rows = np.flatnonzero(self.data.fitted)
        kept = [result.rounds for result in validated.splits if result.rounds is not None]
        if getattr(self.model, "early_stopping_rounds", None) is None or not kept:
            return fitter.fit(rows)
        return fitter.fit_rounds(rows, max(1, round(float(np.median(kept)))))

    def finish(self, validated: CrossValidation, evaluation: Evaluation, audited: Sequence[AuditRow]) -> None:
        """Calibrate, fit the final model, prove its ONNX form, write card and plots, and seal the folder.

        Raises:
            ModelError: the fit or the export failed.
            ParityError: native and ONNX scores differ on some row.
        """
        data, folder, config, gate = self.data, self.folder, self.config, self.prepared.gate
        folder.add_json("metrics/data_gate.json", gate.to_dict())
        folder.add_json("metrics/leakage_audit.json", [{**row.as_dict(), "recorded_at": None} for row in audited])
        calibration = calibrate(folder, data, validated, self.splitter.folds(data.spans), config.task)
        self.told.stage("fitting the final model and proving its ONNX form")
        final = fit_final(folder, data, self.final_model(validated))
        write_features(folder, self.home, self.sleeve, data, self._scoring())
        revision = git_revision(self.home.root)
        facts = {"git_revision": revision, "command": self.command, **self._set_facts()}
        folder.add_text("config/config.yml", _yaml(config.model_dump(mode="json")))
        write_card(folder, config, data, evaluation, final, calibration, gate, facts)
        write_plots(folder, evaluation, calibration)
        folder.finish(
            created=self.began,
            data_hash=data.data_hash,
            config=config.model_dump(mode="json"),
            summary=plain({**evaluation.headline(), **self._facts(final), "command": self.command}),
            revision=revision,
            versions=library_versions() | engines(config.model.kind),
        )

    def _facts(self, final: FinalModel) -> dict[str, Any]:
        data, manifest = self.data, self.snapshot.manifest
        return {
            "label": data.label,
            "horizon": data.horizon,
            "rows": len(data),
            "fitted_rows": int(data.fitted.sum()),
            "features": len(data.feature_names),
            "first_date": str(data.dates[0]),
            "last_date": str(data.dates[-1]),
            "splits": self.splitter.n_splits,
            "rounds": final.model.rounds,
            "parity_rows": final.parity.rows,
            "snapshot": manifest.seq,
            "build_id": manifest.build_id,
            "excluded_sessions": len(self.prepared.gate.excluded),
            **self._set_facts(),
        }

    def _set_facts(self) -> dict[str, Any]:
        chosen = self.feature_set
        return {} if chosen is None else {"feature_set": chosen.id, "feature_set_sha256": chosen.digest()}

    def _scoring(self) -> dict[str, Any]:
        return {
            "sleeve": self.sleeve.name,
            "run_id": self.folder.run_id,
            "label": self.data.label,
            "horizon": self.data.horizon,
            **feature_places(self.data.columns, self.sleeve),
            "entity": self.sleeve.entity,
            "task": self.config.task,
            "target": self.config.target,
            **self._set_facts(),
        }

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


def engines(kind: str) -> dict[str, str]:
    """Return the versions of what decides the numbers of ``kind``: another engine is another run."""
    names = (*model_class(kind).distributions, "numpy")
    found = library_versions(names)
    return {name: found[name] for name in (*names, "machine") if name in found}


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(config), sort_keys=False)
