"""The report of a study: its table of trials, whether choosing the best of them is luck, and the best one's YAML."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.artifacts.provenance import library_versions
from trademl.clock import sql_utc
from trademl.governance.gate import Evidence, PromotionPolicy, luck_of
from trademl.governance.ledger import trials_of
from trademl.governance.returns import aligned, predictions_shown, recorded_runs, register_references, series
from trademl.lake.layout import layout_of
from trademl.training.config import TrainingConfig
from trademl.training.cross_validate import CrossValidation
from trademl.training.evaluate import plain
from trademl.training.oof import oof_table
from trademl.training.tune_trial import RETURNS_MART, Outcome, TrialRunner
from trademl.validation.pbo import probability_of_overfitting
from trademl.validation.sharpe import probabilistic_sharpe_ratio, return_moments

if TYPE_CHECKING:
    import optuna

REPORT = "report.json"
BEST = "best.yml"
TABLE = "trials.csv"
PLOT = "history.png"

_WRITABLE = 0o644


@dataclass(frozen=True)
class Tried:
    """One trial of a study: its number, what it chose, what became of it."""

    number: int
    params: dict[str, Any]
    outcome: Outcome


@dataclass(frozen=True)
class Choice:
    """Whether the best trial is better than luck would have it; None where it cannot be measured.

    Attributes:
        with_returns: finished trials whose daily returns cover every session of the best one's.
        sessions: how many sessions these are.
        sharpe: annual Sharpe ratio of the best trial, net of cost.
        pbo: probability of backtest overfitting among the finished trials.
        pbo_with_no_signal: the same with strategies without a signal beside them, as the gate asks.
        probability_of_loss: share of combinations in which the trial chosen in sample loses out of sample.
        trials: distinct configurations of the ledger on this sleeve and label: what the deflated ratio is deflated by.
        effective_trials: the same with clusters of correlated trials counted once.
        dsr: deflated Sharpe ratio of the best trial, by the threshold of the gate.
        dsr_published: the same with the variance seen across the trials (Bailey & Lopez de Prado 2014).
        notes: what could not be measured, and why.
    """

    trials: int
    with_returns: int = 0
    sessions: int = 0
    sharpe: float | None = None
    pbo: float | None = None
    pbo_with_no_signal: float | None = None
    probability_of_loss: float | None = None
    effective_trials: float | None = None
    dsr: float | None = None
    dsr_published: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyReport:
    """A study: its name and folder, its trials best first, the choice, and the best configuration's file."""

    name: str
    folder: Path
    trials: tuple[Tried, ...]
    choice: Choice | None
    importances: dict[str, float]
    best: Path | None

    def count(self, state: str) -> int:
        """Return how many trials ended in ``state``."""
        return sum(trial.outcome.state == state for trial in self.trials)


def write_report(
    folder: Path,
    runner: TrialRunner,
    config: TrainingConfig,
    study: "optuna.Study",
    tried: Sequence[Tried],
    policy: PromotionPolicy,
    facts: Mapping[str, Any],
) -> StudyReport:
    """Judge the choice of the best trial, and write report.json, trials.csv, history.png and best.yml.

    Args:
        folder: of the study.
        runner: what measured the trials.
        config: what they have in common; with the best trial's parameters it is ``best.yml``.
        study: Optuna's, for the importances of parameters.
        tried: all trials, by number.
        policy: the gate's.
        facts: settings, seed and command, for the record.
    """
    ranked = tuple(sorted(tried, key=lambda trial: (_order(trial.outcome), trial.number)))
    best = ranked[0] if ranked and ranked[0].outcome.value is not None else None
    choice = judge_choice(runner, ranked, policy) if best is not None else None
    importances = _importances(study)
    if best is not None:
        _write(folder / BEST, _best_yaml(config, best, folder.name))
    report = StudyReport(folder.name, folder, ranked, choice, importances, folder / BEST if best else None)
    document = {
        **facts,
        "study": folder.name,
        "sleeve": runner.sleeve.name,
        "label": runner.data.label,
        "counts": {state: report.count(state) for state in ("finished", "pruned", "failed")},
        "best": best.number if best else None,
        "choice": asdict(choice) if choice else None,
        "importances": importances,
        "trials": [{"number": trial.number, "params": trial.params, **asdict(trial.outcome)} for trial in ranked],
        "versions": library_versions(("optuna", "numpy")),
    }
    _write(folder / REPORT, json.dumps(plain(document), indent=1, sort_keys=True, allow_nan=False) + "\n")
    _write(folder / TABLE, _table(ranked))
    _draw(folder / PLOT, tried, folder.name)
    return report


def judge_choice(runner: TrialRunner, ranked: Sequence[Tried], policy: PromotionPolicy) -> Choice:
    """Compare the best trial with the others, with the ledger, and with strategies without a signal.

    Strategy, blocks and number of references are those of the gate, so its figures for the trained winner are these.
    """
    sleeve, label = runner.sleeve.name, runner.data.label
    layout = layout_of(runner.home)
    tried = len(trials_of(layout, sleeve, label))
    names = [trial.outcome.run_id for trial in ranked if trial.outcome.state == "finished"]
    best = names[0]
    if best not in recorded_runs(layout):
        return Choice(tried, notes=(f"no daily returns: the snapshot has no {RETURNS_MART}; run `trademl build`",))
    notes: list[str] = []
    references = _references(runner, best, max(policy.min_no_signal, tried), notes)
    found = series(layout, [*names, *references], policy.strategy)
    dates = sorted(found.get(best, {}))
    matrix, kept = aligned(found, names, dates)
    whole = np.flatnonzero(np.isfinite(matrix).all(axis=0))
    matrix, kept = matrix[:, whole], [kept[place] for place in whole]
    blank, _ = aligned(found, references, dates, idle=True)
    if len(kept) < len(names):
        notes.append(f"{len(names) - len(kept)} of {len(names)} finished trials lack returns on some session")
    own = matrix[:, 0] if kept[:1] == [best] else np.empty(0)
    enough = len(dates) >= 2 * policy.pbo_blocks
    if not enough:
        notes.append(f"{len(dates)} sessions are fewer than 2 x {policy.pbo_blocks} blocks: no PBO")
    if len(kept) < 2:
        notes.append("a choice among fewer than 2 trials is none: no PBO")
    alone = probability_of_overfitting(matrix, n_blocks=policy.pbo_blocks) if enough and len(kept) > 1 else None
    against = np.hstack([matrix, blank])
    judged = probability_of_overfitting(against, n_blocks=policy.pbo_blocks) if enough and blank.size else None
    ratio, deflated, published, effective = _deflated(best, sleeve, label, own, matrix, tried)
    return Choice(
        trials=tried,
        with_returns=len(kept),
        sessions=len(dates),
        sharpe=None if ratio is None else ratio * math.sqrt(policy.periods_per_year),
        pbo=alone.pbo if alone else None,
        pbo_with_no_signal=judged.pbo if judged else None,
        probability_of_loss=alone.probability_of_loss if alone else None,
        effective_trials=effective,
        dsr=deflated,
        dsr_published=published,
        notes=tuple(notes),
    )


def _references(runner: TrialRunner, best: str, count: int, notes: list[str]) -> list[str]:
    """Register strategies without a signal on the rows of the best trial; the gate finds them again later."""
    data = runner.data
    tested = runner.splitter.folds(data.spans) >= 0
    rows = CrossValidation(
        scores=np.where(tested, 0.0, np.nan)[None, :],
        split_of=np.where(tested, 0, -1).astype(np.int16)[None, :],
        splits=(),
        prepared=None,
        resumed=0,
    )
    con, layout = runner.snapshot.con, layout_of(runner.home)
    try:
        with predictions_shown(con, oof_table(runner.sleeve.name, best, data, rows, sql_utc(runner.now()))):
            return register_references(
                layout, con, run_id=best, sleeve=runner.sleeve.name, label=data.label, count=count, now=runner.now
            )
    except duckdb.BinderException as error:
        notes.append(f"no strategies without a signal: {str(error).splitlines()[0]}")
        return []


def _deflated(
    best: str, sleeve: str, label: str, own: NDArray[np.float64], matrix: NDArray[np.float64], tried: int
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return the Sharpe ratio per session, deflated by the gate's and the published threshold, and effective trials."""
    if len(own) < 3 or own.max() == own.min():
        return None, None, None, None
    moments = return_moments(own)
    evidence = Evidence(
        run_id=best,
        sleeve=sleeve,
        label=label,
        returns=own,
        turnover=math.nan,
        trials=matrix,
        no_signal=np.empty((len(own), 0)),
        n_trials=tried,
        leakage_violations=None,
        leakage_checks=0,
        artifact_fault=None,
        data_faults=None,
        data_age=None,
        calibration=None,
        shadow=None,
    )
    luck = luck_of(evidence)
    deflated, published = (
        probabilistic_sharpe_ratio(
            moments.sharpe, moments.n, skew=moments.skew, kurtosis=moments.kurtosis, benchmark=benchmark
        )
        for benchmark in (luck.threshold, luck.published)
    )
    return moments.sharpe, deflated, published, luck.effective


def _importances(study: "optuna.Study") -> dict[str, float]:
    """Return how much of the spread of the values each parameter accounts for (PED-ANOVA; Watanabe et al. 2023)."""
    import optuna

    values = {trial.value for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE}
    if len(values) < 4:
        return {}
    try:
        return {name: float(share) for name, share in optuna.importance.get_param_importances(study).items()}
    except (RuntimeError, ValueError):
        return {}


def _order(outcome: Outcome) -> tuple[float, ...]:
    """Sort finished trials by value, then pruned ones by how far they came and how well they did, then failed ones."""
    if outcome.value is not None:
        return (0, -outcome.value)
    if outcome.passes:
        last = outcome.passes[-1]
        return (1, -len(outcome.passes), -last if math.isfinite(last) else math.inf)
    return (2,)


def _best_yaml(config: TrainingConfig, best: Tried, study: str) -> str:
    import yaml

    document = config.model_dump(mode="json")
    document["model"] = {**document["model"], **best.params}
    # What is fitted follows from the run's task.
    document["model"].pop("task", None)
    head = (
        f"# The best configuration of the study {study}: trial {best.number}, mean rank IC {best.outcome.value:+.4f} "
        f"over {len(best.outcome.paths)} path{'s' if len(best.outcome.paths) > 1 else ''}.\n"
        "# `trademl train equities --config` this file trains it; in the ledger it stays the same trial.\n"
    )
    return head + yaml.safe_dump(document, sort_keys=False)


def _table(ranked: Sequence[Tried]) -> str:
    names = sorted({name for trial in ranked for name in trial.params})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["rank", "trial", "state", "rank_ic", "rank_ic_std_over_paths", "passes", "seconds", *names, "run_id"]
    )
    for rank, trial in enumerate(ranked, start=1):
        found = trial.outcome
        value = "" if found.value is None else repr(found.value)
        chosen = [trial.params.get(name, "") for name in names]
        spread = spread_over_paths(found)
        row = [value, "" if spread is None else repr(spread), len(found.passes), found.seconds, *chosen, found.run_id]
        writer.writerow([rank, trial.number, found.state, *row])
    return text.getvalue()


def spread_over_paths(outcome: Outcome) -> float | None:
    """Return the standard deviation (n - 1) of the paths' rank ICs; None with fewer than two."""
    known = [path for path in outcome.paths if math.isfinite(path)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _draw(path: Path, tried: Sequence[Tried], name: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    finished = [trial for trial in tried if trial.outcome.value is not None]
    pruned = [trial for trial in tried if trial.outcome.state == "pruned" and trial.outcome.passes]
    values = np.array([trial.outcome.value for trial in finished], dtype=np.float64)
    numbers = [trial.number for trial in finished]
    axes.scatter(numbers, values, s=18, label="finished")
    axes.scatter(
        [trial.number for trial in pruned],
        [trial.outcome.passes[-1] for trial in pruned],
        s=18,
        marker="x",
        color="grey",
        label="pruned, so far",
    )
    if len(values):
        axes.step(numbers, np.maximum.accumulate(values), where="post", linewidth=1, label="best")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(title=f"Mean rank IC of the trials of {name}", xlabel="trial", ylabel="mean rank IC")
    axes.legend(fontsize=8)
    picture = io.BytesIO()
    # No version or time in the file: the same study gives the same bytes.
    figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    write_atomic(path, picture.getvalue(), _WRITABLE)


def _write(path: Path, text: str) -> None:
    write_atomic(path, text.encode(), _WRITABLE)
