"""One trial of a study: its fits, its row in the ledger, its returns; what an earlier process did is not done again.

A trial is the configuration that ``trademl train`` would train, under the same run id: it is one row of ``ops.trials``
whoever tries it. It leaves no final model and no rows in ``preds.oof``; its daily returns are computed from its
predictions by the SQL of the mart, and kept.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trademl.artifacts.files import write_atomic
from trademl.artifacts.run_folder import RunFolder, run_id
from trademl.clock import Clock, sql_utc
from trademl.config.home import Home
from trademl.errors import ArtifactError, LockedError, ModelError
from trademl.governance.ledger import begin_attempt, latest_attempt, record_events, record_trial, trial_id
from trademl.governance.returns import predictions_shown, record_run_returns, recorded_runs
from trademl.lake.files import FileLock
from trademl.lake.layout import layout_of
from trademl.lake.reading import Snapshot
from trademl.log import get_logger
from trademl.models.base import ModelConfig, Prepared
from trademl.models.registry import model_class
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import CrossValidation, Progress, SplitResult, cross_validate
from trademl.training.dataset import TrainingData
from trademl.training.evaluate import plain
from trademl.training.oof import oof_table
from trademl.training.splits import Splitter
from trademl.training.trainer import engines
from trademl.training.tune_passes import passes_of
from trademl.validation.metrics import information_coefficient

_LOG = get_logger("training.tune")

STUDIES = "studies"
"""Folder of a sleeve's studies, beside its runs."""

TRIALS = "_trials"
"""Folder, among the studies, of the trials of all of them: one that has finished answers every study."""

RETURNS_MART = "marts.run_returns"

Judge = Callable[[int, float], bool]
"""Told (passes done, mean rank IC so far); answers whether to stop the trial."""

State = Literal["finished", "pruned", "failed"]

_RECORD = "trial.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        run_id: of its configuration on these data.
        state: ``finished``, ``pruned``, or ``failed``: the engine refused the configuration.
        value: mean over the paths of the mean daily rank IC; None unless finished, and where no date has one.
        paths: that mean of each path.
        passes: mean rank IC after each complete pass.
        seconds: of the fits, over all attempts.
        detail: why it failed.
    """

    run_id: str
    state: State
    value: float | None = None
    paths: tuple[float, ...] = ()
    passes: tuple[float, ...] = ()
    seconds: float = 0.0
    detail: str = ""


class _Behind(Exception):
    """A trial fell behind: thrown through the cross-validation, caught here."""


@dataclass(eq=False)
class TrialRunner:
    """Measures configurations that differ in the model's parameters only, on rows that are loaded once."""

    home: Home
    sleeve: SleeveTables
    data: TrainingData
    splitter: Splitter
    snapshot: Snapshot
    told: Progress
    now: Clock
    _passes: list[list[int]] = field(init=False, repr=False)
    _bins: tuple[tuple[str, Any], Prepared] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._passes = passes_of(self.splitter)

    def run_id(self, config: TrainingConfig) -> str:
        """Return the run id of a configuration: that of ``trademl train``."""
        identity = {**config.identity(), "engines": engines(config.model.kind)}
        return run_id(self.sleeve.name, self.data.label, identity, self.data.data_hash)

    def measure(self, config: TrainingConfig, judge: Judge) -> Outcome:
        """Fit a configuration on the splits, pass by pass, and enter it in the ledger.

        Args:
            config: what to try.
            judge: asked after every pass; after the last its answer changes nothing.

        Raises:
            LockedError: another process is training or trying this very configuration.
        """
        name = self.run_id(config)
        with self._lock(name):
            known = self._read(name)
            if known is not None:
                for number, value in enumerate(known.passes):
                    judge(number, value)
                return known
            trained = RunFolder(self.home.models_artifacts / self.sleeve.name / name)
            if trained.finished:
                trained.verify()
                outcome, _ = self._fit(config, name, trained.path / "checkpoints", judge=lambda *_: False)
                return self._keep(outcome)
            return self._attempt(config, name, judge)

    def sweep(self, names: Sequence[str]) -> None:
        """Remove the predictions of trials that are over; outcomes stay, and what another study fits is left alone."""
        for name in names:
            folder = self._folder(name)
            if not any(path.name != _RECORD for path in folder.glob("*")):
                continue
            with suppress(LockedError), self._lock(name):
                if not (folder / _RECORD).is_file():
                    shutil.rmtree(folder, ignore_errors=True)
                for path in folder.glob("split_*"):
                    path.unlink(missing_ok=True)

    def _attempt(self, config: TrainingConfig, name: str, judge: Judge) -> Outcome:
        """Work on a trial, with a beginning and an end in the ledger; a killed attempt has no end."""
        layout = layout_of(self.home)
        trial = trial_id(self.sleeve.name, self.data.label, config.hash())
        # A process may have died between the ledger and the study: what is finished there stays so.
        if latest_attempt(layout, trial) != (name, "finished"):
            self._note(config, name, "started")
        attempt = begin_attempt(layout, trial=trial, run_id=name, now=self.now)

        def event(kind: Any, detail: str = "", splits: Any = ((-1, 0.0),)) -> None:
            record_events(
                layout,
                trial=trial,
                run_id=name,
                attempt=attempt,
                event=kind,
                splits=splits,
                detail=detail,
                now=self.now,
            )

        try:
            outcome, results = self._fit(config, name, self._folder(name), judge)
        except BaseException as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            event("failed", first_line)
            if isinstance(error, ModelError):
                return Outcome(name, "failed", detail=first_line)
            raise
        event("split", splits=[(result.split_id, result.seconds) for result in results])
        if outcome.state == "pruned":
            event("pruned", f"behind the median after {len(outcome.passes)} of {len(self._passes)} passes")
            self._note(config, name, "pruned")
            return outcome
        event("finished")
        self._note(config, name, "finished")
        return self._keep(outcome)

    def _fit(
        self, config: TrainingConfig, name: str, folder: Path, judge: Judge
    ) -> tuple[Outcome, Sequence[SplitResult]]:
        results: list[SplitResult] = []
        means: list[float] = []
        ends = np.cumsum([len(numbers) for numbers in self._passes]).tolist()

        def watch(result: SplitResult) -> None:
            results.append(result)
            if len(results) not in ends:
                return
            known = [split.rank_ic for split in results if split.rank_ic is not None]
            means.append(float(np.mean(known)) if known else math.nan)
            if judge(len(means) - 1, means[-1]) and len(means) < len(ends):
                raise _Behind

        began = time.monotonic()
        model = config.model_for_task()
        try:
            validated = cross_validate(
                self.data,
                self.splitter,
                model,
                folder,
                self.told,
                binning=config.binning,
                stop_fraction=config.stop_fraction,
                prepared=self._shared(model) if config.binning == "shared" else None,
                order=[number for numbers in self._passes for number in numbers],
                watch=watch,
            )
        except _Behind:
            return Outcome(name, "pruned", passes=tuple(means), seconds=_seconds(results, began)), results
        paths = path_rank_ics(self.data, validated)
        known = [path for path in paths if math.isfinite(path)]
        self._keep_returns(name, validated)
        outcome = Outcome(
            run_id=name,
            state="finished",
            value=float(np.mean(known)) if known else None,
            paths=tuple(paths),
            passes=tuple(means),
            seconds=_seconds(results, began),
        )
        return outcome, results

    def _shared(self, model: ModelConfig) -> Prepared:
        """Return what fits of this family and number of bins share: made once for all trials."""
        key = (model.kind, getattr(model, "max_bin", None))
        if self._bins is None or self._bins[0] != key:
            made = model_class(model.kind).prepare(self.data.X, self.data.feature_names, model)
            self._bins = (key, made)
        return self._bins[1]

    def _keep_returns(self, name: str, validated: CrossValidation) -> None:
        layout, con = layout_of(self.home), self.snapshot.con
        # A warehouse built before the mart existed has no returns.
        if RETURNS_MART not in self.snapshot.manifest.views or name in recorded_runs(layout):
            return
        sleeve, label = self.sleeve.name, self.data.label
        with predictions_shown(con, oof_table(sleeve, name, self.data, validated, sql_utc(self.now()))):
            try:
                record_run_returns(layout, con, run_id=name, sleeve=sleeve, label=label, now=self.now)
            except ArtifactError:
                # Scores that do not tell names apart hold nothing, so they return nothing.
                _LOG.info("the predictions of %s have no row in %s", name, RETURNS_MART)

    def _note(self, config: TrainingConfig, name: str, status: Any) -> None:
        layout = layout_of(self.home)
        has_returns = status == "finished" and name in recorded_runs(layout)
        kept = f"ops.trial_returns run_id={name}" if has_returns else None
        record_trial(
            layout,
            sleeve=self.sleeve.name,
            label=self.data.label,
            run_id=name,
            config=config.identity(),
            config_hash=config.hash(),
            data_hash=self.data.data_hash,
            status=status,
            returns_ref=kept,
            now=self.now,
        )

    def _lock(self, name: str) -> FileLock:
        """Return the lock that `trademl train` takes for the same run."""
        return FileLock(self.home.models_artifacts / self.sleeve.name / f".{name}.lock")

    def _folder(self, name: str) -> Path:
        return self.home.models_artifacts / self.sleeve.name / STUDIES / TRIALS / name

    def _keep(self, outcome: Outcome) -> Outcome:
        content = json.dumps(outcome_document(outcome), indent=1, sort_keys=True, allow_nan=False)
        write_atomic(self._folder(outcome.run_id) / _RECORD, content.encode())
        return outcome

    def _read(self, name: str) -> Outcome | None:
        try:
            return outcome_of(json.loads((self._folder(name) / _RECORD).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


def outcome_of(document: dict[str, Any]) -> Outcome:
    """Return the outcome that :func:`outcome_document` wrote; a TypeError says that it wrote no such thing."""
    numbers = {
        key: tuple(math.nan if value is None else float(value) for value in document.get(key, ()))
        for key in ("paths", "passes")
    }
    return Outcome(**{**document, **numbers})


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON can hold it; a number that there is none of is null."""
    document: dict[str, Any] = plain(asdict(outcome))
    return document


def path_rank_ics(data: TrainingData, validated: CrossValidation) -> list[float]:
    """Return the mean daily rank IC of each path, NaN where no date has one: the figures of metrics/paths.csv."""
    found = []
    for scores in validated.scores:
        tested = np.isfinite(scores)
        daily = information_coefficient(scores[tested], data.value[tested], data.dates[tested]).spearman
        defined = daily[np.isfinite(daily)]
        found.append(float(defined.mean()) if len(defined) else math.nan)
    return found


def _seconds(results: Sequence[SplitResult], began: float) -> float:
    # Fits side by side overlap: no sum of theirs is longer than the wall clock, unless some were there already.
    return round(max(sum(result.seconds for result in results), time.monotonic() - began), 3)
