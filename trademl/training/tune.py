"""A study: many configurations of one family, each a trial in the ledger, the best one written down for training.

Data are loaded, gated and audited once. The parameters of trial ``n`` follow from the seed and the outcomes before it,
so a study that was killed and resumed is the study that was not. Killed at any moment, it loses the splits at work: the
trial keeps its number, its parameters and its finished splits, and the dead attempt stays in the ledger without an end.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ConfigError, ModelError
from trademl.governance.gate import POLICY_FILE, PromotionPolicy
from trademl.governance.ledger import record_audit
from trademl.lake.files import FileLock
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import Progress, Silent
from trademl.training.data_audit import audit_training_data
from trademl.training.dataset import spans_sql
from trademl.training.search import Params, SearchSpace, check_space, configured, propose
from trademl.training.splits import audit
from trademl.training.trainer import Trainer, engines
from trademl.training.tune_report import StudyReport, Tried, write_report
from trademl.training.tune_study import Pruner, check_name, open_study, study_name
from trademl.training.tune_trial import STUDIES, Outcome, TrialRunner, outcome_document, outcome_of
from trademl.warehouse.read import read_snapshot

if TYPE_CHECKING:
    import optuna

LOCK = ".lock"
_OUTCOME = "outcome"
_RUN = "run_id"


class StudyProgress(Progress, Protocol):
    """Hears what happens in a study."""

    def trial_begins(self, number: int, total: int, params: Mapping[str, Any], *, again: bool) -> None:
        """Say which trial, from 0, of how many begins; ``again`` when it was at work in a process that died."""

    def trial_ends(self, number: int, total: int, outcome: Outcome, best: float | None, seconds_left: float) -> None:
        """Say what became of it, the best value so far and about how long the rest takes."""


class SilentStudy(Silent):
    """A progress that says nothing."""

    def trial_begins(self, number: int, total: int, params: Mapping[str, Any], *, again: bool) -> None:
        """Ignore it."""

    def trial_ends(self, number: int, total: int, outcome: Outcome, best: float | None, seconds_left: float) -> None:
        """Ignore it."""


def tune_sleeve(
    home: Home,
    sleeve: SleeveTables,
    config: TrainingConfig,
    space: SearchSpace,
    *,
    trials: int,
    study: str | None = None,
    pruner: Pruner = "median",
    seed: int = 7,
    progress: StudyProgress | None = None,
    command: str = "",
    now: Clock = utc_now,
) -> StudyReport:
    """Bring a study to ``trials`` trials and report on it; go on with one that was killed or was shorter.

    Args:
        home: where snapshot and artifacts are.
        sleeve: its tables.
        config: what every trial has in common.
        space: what the trials differ in.
        trials: how many there shall be in all; pruned and failed ones count. A small space may hold fewer.
        study: its name; None makes one of the settings and the data, so that the same command finds it again.
        pruner: see :func:`trademl.training.tune_study.open_study`.
        seed: of the proposals.
        progress: told what happens.
        command: the command line, for the record.
        now: the clock.

    Raises:
        ConfigError: the space does not fit the family, or a study of this name has other settings.
        DataGateError: sessions are not GREEN, or no row is left.
        LeakageError: splits or data leak; nothing was fitted.
        LockedError: another process is at work on the study, or trains one of its configurations.
        ModelError: the engine refuses every trial.
    """
    if trials < 1:
        raise ConfigError(f"`trials={trials}` tries nothing", remedy="use at least 1")
    if space.kind != config.model.kind:
        raise ConfigError(
            f"a search space of {space.kind} for a model of kind {config.model.kind}", remedy="give both of one family"
        )
    check_space(space, config.model)
    policy = load_section(home.configs / POLICY_FILE, PromotionPolicy)
    told: StudyProgress = progress or SilentStudy()
    told.stage("reading the snapshot")
    with read_snapshot(home, now=now) as snapshot:
        trainer = Trainer(home, snapshot, sleeve, config, told=told, command=command, now=now)
        data = trainer.prepare_data()
        settings = study_settings(sleeve, config, space, data.label, data.data_hash, pruner, seed)
        name = check_name(study) if study is not None else study_name(settings)
        folder = home.models_artifacts / sleeve.name / STUDIES / name
        with FileLock(folder / LOCK), open_study(folder, settings, pruner) as opened:
            _audit(trainer, folder, name)
            runner = TrialRunner(home, sleeve, data, trainer.splitter, snapshot, told, now)
            _Loop(opened, runner, config, space, trials, seed, told).run()
            snapshot_batches(layout_of(home), now=now)
            told.stage("judging the choice of the best trial")
            tried = [_tried(trial) for trial in opened.trials]
            facts = {"settings": settings, "command": command}
            return write_report(folder, runner, config, opened, tried, policy, facts)


def study_settings(
    sleeve: SleeveTables,
    config: TrainingConfig,
    space: SearchSpace,
    label: str,
    data_hash: str,
    pruner: Pruner,
    seed: int,
) -> dict[str, Any]:
    """Return what decides the trials of a study, as JSON holds it: another of these is another study."""
    common = config.identity()
    common["model"] = {name: value for name, value in common["model"].items() if name not in space.parameters}
    return {
        "sleeve": sleeve.name,
        "label": label,
        "configuration": common,
        "space": space.model_dump(mode="json"),
        "pruner": pruner,
        "seed": seed,
        "data": data_hash,
        "engines": engines(config.model.kind),
    }


def _audit(trainer: Trainer, folder: Path, name: str) -> None:
    """Judge splits and data once for all trials: these differ in nothing that the audit looks at."""
    data, excluded = trainer.data, trainer.prepared.gate.excluded
    trainer.told.stage(f"auditing {trainer.splitter.n_splits} splits of {len(data):,} rows")
    run = f"study-{name}"
    rows = audit(
        trainer.snapshot.con,
        folder / "splits.parquet",
        spans_sql(trainer.sleeve, trainer.config, data.label, excluded, data.columns),
        data,
        trainer.splitter,
        run_id=run,
        now=trainer.now,
    )
    trainer.told.stage("auditing features, labels and weights against the bars as they landed")
    rows += audit_training_data(trainer.snapshot, trainer.sleeve, data, excluded, run_id=run, now=trainer.now)
    rows += trainer.audit_inputs()
    record_audit(layout_of(trainer.home), rows, now=trainer.now)


@dataclass(eq=False)
class _Loop:
    """Asks for parameters, has them measured, and keeps the outcome, until there are enough trials."""

    study: "optuna.Study"
    runner: TrialRunner
    config: TrainingConfig
    space: SearchSpace
    total: int
    seed: int
    told: StudyProgress

    def run(self) -> None:
        began, done = time.monotonic(), 0
        self._sweep()
        while (frozen := self._next()) is not None:
            outcome = self._measure(frozen)
            self._tell(frozen.number, outcome)
            self.runner.sweep([outcome.run_id])
            done += 1
            left = (time.monotonic() - began) / done * max(self.total - frozen.number - 1, 0)
            self.told.trial_ends(frozen.number, self.total, outcome, self._best(), left)
        # Fits that were at work beside a pruned trial's last one may have left theirs.
        self._sweep()

    def _sweep(self) -> None:
        self.runner.sweep([trial.user_attrs[_RUN] for trial in self.study.trials if trial.state.is_finished()])

    def _next(self) -> "optuna.trial.FrozenTrial | None":
        """Return the trial to work on: one that a killed process left, else a new one; None when there are enough."""
        from optuna.trial import TrialState, create_trial

        trials = self.study.trials
        number = len(trials)
        left = [trial for trial in trials if trial.state == TrialState.RUNNING]
        if left:
            self.told.trial_begins(left[0].number, self.total, left[0].params, again=True)
            return left[0]
        if number >= self.total:
            return None
        known = {trial.user_attrs[_RUN] for trial in trials}
        params = propose(
            self.space,
            [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)],
            seed=self.seed,
            number=number,
            taken=lambda params: self._run_of(params) in (None, *known),
        )
        if params is None:
            self.told.stage(f"the search space holds {number} configurations: all have been tried")
            return None
        self.told.trial_begins(number, self.total, params, again=False)
        # One transaction: the trial is there with its parameters, or it is not.
        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions=self.space.distributions(),
                user_attrs={_RUN: self._run_of(params)},
            )
        )
        return self.study.trials[-1]

    def _measure(self, frozen: "optuna.trial.FrozenTrial") -> Outcome:
        from optuna.trial import Trial

        trial = Trial(self.study, frozen._trial_id)
        reported = set(frozen.intermediate_values)

        def judge(number: int, value: float) -> bool:
            # A model that ranks nothing has no coefficient to be judged by.
            if value != value:
                return False
            if number not in reported:
                trial.report(value, number)
                reported.add(number)
            return number == max(reported) and trial.should_prune()

        return self.runner.measure(self._configured(frozen.params), judge)

    def _tell(self, number: int, outcome: Outcome) -> None:
        from optuna.trial import Trial, TrialState

        if outcome.state == "failed" and not self._any_good():
            raise ModelError(
                f"trial {number} failed, and none before it did better: {outcome.detail}",
                remedy="mend the configuration or the search space; the trial is tried again then",
            )
        Trial(self.study, self.study.trials[number]._trial_id).set_user_attr(_OUTCOME, outcome_document(outcome))
        if outcome.state == "failed":
            self.study.tell(number, state=TrialState.FAIL)
        elif outcome.state == "pruned" or outcome.value is None:
            # Without a single coefficient a trial has no value; to the sampler it is worse than all that have one.
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, outcome.value)

    def _any_good(self) -> bool:
        return any(trial.state.is_finished() and trial.state.name != "FAIL" for trial in self.study.trials)

    def _best(self) -> float | None:
        values = [
            trial.value for trial in self.study.trials if trial.state.name == "COMPLETE" and trial.value is not None
        ]
        return max(values, default=None)

    def _configured(self, params: Params) -> TrainingConfig:
        model = configured(self.config.model, params, origin=f"a trial of {self.study.study_name}")
        return self.config.model_copy(update={"model": model})

    def _run_of(self, params: Params) -> str | None:
        """Return the run id of these parameters; None when they contradict each other, so that nobody tries them."""
        try:
            return self.runner.run_id(self._configured(params))
        except ConfigError:
            return None


def _tried(trial: "optuna.trial.FrozenTrial") -> Tried:
    return Tried(trial.number, dict(trial.params), outcome_of(trial.user_attrs[_OUTCOME]))
