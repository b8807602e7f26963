"""Studies: every trial once in the ledger, resumed as if never broken, the best one ready to be trained."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.governance.test_gate_run import with_marts
from tests.training.market import small_config
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ConfigError, LeakageError, ModelError
from trademl.governance.gate_run import decide
from trademl.governance.returns import recorded_runs
from trademl.lake.layout import layout_of
from trademl.sleeves.equities import EQUITIES, EquitiesConfig, train
from trademl.training import tune_trial
from trademl.training.search import SearchSpace
from trademl.training.tune import tune_sleeve
from trademl.training.tune_report import StudyReport
from trademl.training.tune_study import open_study
from trademl.validation.splits import Split
from trademl.warehouse.read import read_snapshot

REPOSITORY = Path(__file__).resolve().parents[2]
SPACE = SearchSpace.model_validate(
    {
        "kind": "lightgbm",
        "parameters": {
            "num_leaves": {"values": [2, 3, 5, 7]},
            "learning_rate": {"low": 0.001, "high": 0.3, "log": True},
            "min_data_in_leaf": {"values": [5, 20, 60]},
        },
    }
)
RIDGE = SearchSpace.model_validate({"kind": "ridge", "parameters": {"penalty": {"values": [0.01, 1.0, 100.0]}}})


@pytest.fixture
def home(market: Home) -> Home:
    """A home of the test's own with the small market and a mart of returns."""
    with_marts(market)
    return market


def configuration(home: Home, **fields: object) -> EquitiesConfig:
    return load_section(small_config(home, **fields), EquitiesConfig)


def tuned(home: Home, trials: int, space: SearchSpace = SPACE, **options: Any) -> StudyReport:
    fields = {"model": {"kind": "ridge"}} if space.kind == "ridge" else {}
    return tune_sleeve(home, EQUITIES, configuration(home, **fields), space, trials=trials, study="s", **options)


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(sql).fetchall()


def stored(home: Home, **settings: Any) -> list[tuple[Any, ...]]:
    """Return what decides a study's worth of every trial, from Optuna's file."""
    import optuna
    from optuna.storages import RDBStorage

    path = home.models_artifacts / "equities" / "studies" / "s" / "study.db"
    storage = RDBStorage(f"sqlite:///{path}")
    try:
        study = optuna.load_study(study_name="s", storage=storage)
        return [
            (
                trial.number,
                trial.state,
                trial.params,
                trial.value,
                trial.intermediate_values,
                trial.user_attrs["run_id"],
            )
            for trial in study.trials
        ]
    finally:
        storage.remove_session()
        storage.engine.dispose()


def other_home(home: Home, folder: Path) -> Home:
    shutil.copytree(home.root, folder, copy_function=shutil.copy2)
    return Home(folder)


@pytest.mark.slow
def test_every_trial_is_one_row_of_the_ledger_with_its_returns(home: Home) -> None:
    """Distinct configurations, their splits and ends as children, daily returns of the finished ones only, and no run,
    no final model and no out-of-fold rows."""
    report = tuned(home, 10)
    assert report.count("finished") + report.count("pruned") == 10
    assert report.count("pruned") > 0
    ledger = dict(rows(home, "select run_id, status from ops.trials"))
    assert ledger == {trial.outcome.run_id: trial.outcome.state for trial in report.trials}
    ends = rows(home, "select run_id, count(*) from ops.trial_events where event in ('finished', 'pruned') group by 1")
    assert dict(ends) == dict.fromkeys(ledger, 1)
    fits = dict(rows(home, "select run_id, count(*) from ops.trial_events where event = 'split' group by 1"))
    assert {fits[name] for name, status in ledger.items() if status == "finished"} == {6}
    assert all(fits[name] in (2, 4) for name, status in ledger.items() if status == "pruned")
    finished = {name for name, status in ledger.items() if status == "finished"}
    kept = {name for (name,) in rows(home, "select distinct run_id from ops.trial_returns where kind = 'trial'")}
    assert kept == finished
    assert rows(home, "select count(*) from ops.runs") == [(0,)]
    assert layout_of(home).batch_files("preds.oof") == []
    assert not list(home.models_artifacts.rglob("split_*"))
    assert rows(home, "select sum(violations), count(*) > 7 from ops.leakage_audit where run_id = 'study-s'") == [
        (0, True)
    ]


@pytest.mark.slow
def test_a_study_that_grows_is_the_study_that_was_long(home: Home, tmp_path: Path) -> None:
    """Three trials and then eight are the eight trials of one command, of another number of threads; a third command
    changes nothing."""
    other = other_home(home, tmp_path / "other")
    tuned(home, 3)
    long = tuned(home, 8)
    model = {"kind": "lightgbm", "n_rounds": 8, "num_leaves": 7, "min_data_in_leaf": 20, "seed": 7, "threads": 2}
    unbroken = tune_sleeve(other, EQUITIES, configuration(other, model=model), SPACE, trials=8, study="s")
    assert stored(home) == stored(other)
    assert [trial.params for trial in long.trials] == [trial.params for trial in unbroken.trials]
    before = [path.name for table in ("ops.trials", "ops.trial_events") for path in layout_of(home).batch_files(table)]
    assert tuned(home, 8).trials == long.trials
    after = [path.name for table in ("ops.trials", "ops.trial_events") for path in layout_of(home).batch_files(table)]
    assert after == before


def test_the_winner_is_trained_as_the_same_trial(home: Home) -> None:
    """best.yml trains to the rank IC that the study found; no new trial is counted; the gate finds its returns."""
    report = tuned(home, 3)
    assert report.best is not None
    best = report.trials[0].outcome
    before = rows(home, "select count(*) from ops.trials")
    result = train(home, load_section(report.best, EquitiesConfig), mlflow=False)
    assert result.run_id == best.run_id
    assert result.metrics["summary"]["rank_ic"]["mean"] == best.value
    assert [path["rank_ic"] for path in result.metrics["paths"]] == list(best.paths)
    assert rows(home, "select count(*) from ops.trials") == before
    bars = {bar.name: bar for bar in decide(home, result.run_id).bars}
    assert report.choice is not None
    assert bars["dsr"].value == pytest.approx(report.choice.dsr)
    assert bars["pbo"].value == report.choice.pbo_with_no_signal
    # Another study of the same configurations asks nobody again.
    again = tune_sleeve(home, EQUITIES, configuration(home), SPACE, trials=3, study="t")
    assert [trial.params for trial in again.trials] == [trial.params for trial in report.trials]
    assert rows(home, "select count(*) from ops.trials") == before


def test_a_study_of_a_small_space_ends_when_all_is_tried(home: Home) -> None:
    """Three penalties are three trials, however many are asked for."""
    report = tuned(home, 50, RIDGE, pruner="none")
    assert sorted(trial.params["penalty"] for trial in report.trials) == [0.01, 1.0, 100.0]
    assert rows(home, "select count(*) from ops.trials") == [(3,)]


@pytest.mark.slow
def test_a_trained_configuration_is_not_fitted_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `trademl train` has finished is a trial's answer; its row in the ledger stays as it is."""
    for penalty in (0.01, 1.0, 100.0):
        train(home, configuration(home, model={"kind": "ridge", "penalty": penalty}), mlflow=False)
    ledger = rows(home, "select * from ops.trials order by all")
    events = rows(home, "select count(*) from ops.trial_events")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("trademl.training.fit.Fitter.fit", refuse)
    report = tuned(home, 3, RIDGE)
    assert report.count("finished") == 3
    assert rows(home, "select * from ops.trials order by all") == ledger
    assert rows(home, "select count(*) from ops.trial_events") == events


def test_a_trial_that_the_engine_refuses_is_counted_and_passed_over(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed trial stays in the ledger as begun, and the study goes on; if nothing ever works it says so."""
    whole = tune_trial.cross_validate
    calls = 0

    def sometimes(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (1, 4):
            raise ModelError("the engine refuses", remedy="none")
        return whole(*arguments, **options)

    monkeypatch.setattr(tune_trial, "cross_validate", sometimes)
    with pytest.raises(ModelError, match="trial 0 failed, and none before it did better: the engine refuses"):
        tuned(home, 3, RIDGE)
    report = tuned(home, 3, RIDGE)
    assert (report.count("finished"), report.count("failed")) == (2, 1)
    assert report.trials[-1].outcome.detail == "the engine refuses"
    assert sorted(rows(home, "select status from ops.trials")) == [("finished",), ("finished",), ("started",)]
    assert rows(home, "select count(*) from ops.trial_events where event = 'failed'") == [(2,)]


def test_leaks_stop_a_study_before_its_first_trial(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit of a study's splits is that of a run: nothing is fitted or counted."""
    from trademl.training import splits as splits_module

    def leaky(splitter: Any, data: Any) -> list[Split]:
        return [split._replace(train=split.test) for split in splitter.split(data.spans)]

    monkeypatch.setattr(splits_module, "make_splits", leaky)
    with pytest.raises(LeakageError):
        tuned(home, 3, RIDGE)
    assert rows(home, "select count(*) from ops.trials") == [(0,)]


def test_wrong_requests_are_messages(home: Home) -> None:
    """No trial at all, another family's space, or another study under the same name."""
    with pytest.raises(ConfigError, match="trials=0"):
        tuned(home, 0)
    with pytest.raises(ConfigError, match="search space of ridge for a model of kind lightgbm"):
        tune_sleeve(home, EQUITIES, configuration(home), RIDGE, trials=1)
    tuned(home, 1, RIDGE)
    with pytest.raises(ConfigError, match="begun with other settings: seed"):
        tuned(home, 1, RIDGE, seed=8)


def test_nothing_to_rank_is_no_value(home: Home) -> None:
    """A model that gives every name the same score has no rank IC: it is finished, counted, and never the best."""
    space = SearchSpace.model_validate({"kind": "lightgbm", "parameters": {"lambda_l1": {"values": [0.0, 1e6]}}})
    report = tuned(home, 2, space)
    assert [(trial.params["lambda_l1"], trial.outcome.value is None) for trial in report.trials] == [
        (0.0, False),
        (1e6, True),
    ]
    assert report.count("finished") == 2
    states = {params["lambda_l1"]: state for _, state, params, *_ in stored(home)}
    assert states == {0.0: TrialState.COMPLETE, 1e6: TrialState.PRUNED}
    assert json.loads((report.folder / "report.json").read_text())["trials"][1]["value"] is None


KILLER = """
import os, signal, sys
from pathlib import Path
import optuna, lightgbm, pyarrow, matplotlib.figure, joblib  # once, before the forks
from tests.training.test_tune import SPACE, configuration, tune_sleeve, EQUITIES
from trademl.config.home import Home
from trademl.training import tune, tune_trial

home = Home(Path(sys.argv[1]))

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def kill_at(place, name, call, before):
    whole, calls = getattr(place, name), []
    def wrapped(*arguments, **options):
        calls.append(name)
        if before and len(calls) == call:
            die()
        result = whole(*arguments, **options)
        if not before and len(calls) == call:
            die()
        return result
    setattr(place, name, wrapped)

class Fits(tune.SilentStudy):
    def __init__(self, stop):
        self.left = stop
    def split_done(self, mean_rank_ic):
        self.left -= 1
        if not self.left:
            die()

MOMENTS = [
    (optuna.Study, "add_trial", 1, True), (optuna.Study, "add_trial", 1, False),
    (tune_trial, "begin_attempt", 1, False), 3, 2,
    (tune_trial, "record_run_returns", 1, False), (tune_trial, "record_trial", 1, False),
    (tune_trial, "write_atomic", 1, True), (tune_trial, "write_atomic", 1, False),
    (optuna.Study, "tell", 1, True), (optuna.Study, "tell", 2, False),
    (optuna.trial.Trial, "report", 1, False), (tune_trial, "record_trial", 6, False), 9, None,
]
for moment in MOMENTS:
    child = os.fork()
    if child == 0:
        told = Fits(moment if isinstance(moment, int) else 0)
        if isinstance(moment, tuple):
            kill_at(*moment)
        tune_sleeve(home, EQUITIES, configuration(home), SPACE, trials=9, study="s", progress=told)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(moment if isinstance(moment, int) else moment and moment[1], os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.mark.fault
@pytest.mark.slow
def test_kill_9_anywhere_leaves_the_study_that_was_never_killed(home: Home, tmp_path: Path) -> None:
    """Killed fourteen times, before and after every step that writes, the study has the trials, values and returns of
    an undisturbed one: none lost, none twice, the dead attempts children without an end."""
    other = other_home(home, tmp_path / "other")
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(home.root)],
        capture_output=True, text=True, cwd=REPOSITORY, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ended = [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines()]
    assert ended == ["-9"] * 14 + ["0"], done.stdout
    unbroken = tuned(other, 9)
    assert stored(home) == stored(other)
    assert len(unbroken.trials) == 9
    ledger = "select trial_id, run_id, status, returns_ref from ops.trials order by all"
    assert rows(home, ledger) == rows(other, ledger)
    assert len(rows(home, ledger)) == 9
    # The mart of this small market adds in no fixed order.
    series = "select run_id, kind, date, round(net_return, 12) from ops.trial_returns order by all"
    assert rows(home, series) == rows(other, series)
    assert recorded_runs(layout_of(home)) == recorded_runs(layout_of(other))
    ends = "select run_id, event, count(*) from ops.trial_events where event in ('finished', 'pruned') group by all"
    dead = rows(
        home,
        "select count(*) from (select run_id, attempt from ops.trial_events group by all "
        "having count(*) filter (where event in ('finished', 'pruned', 'failed')) = 0)",
    )[0][0]
    assert dead >= 6
    assert {(name, event) for name, event, _ in rows(home, ends)} == {
        (name, event) for name, event, _ in rows(other, ends)
    }
    assert not list(home.models_artifacts.rglob("split_*"))
    settings = json.loads((unbroken.folder / "report.json").read_text())["settings"]
    with open_study(unbroken.folder, settings, "median") as study:
        assert all(trial.state.is_finished() for trial in study.trials)
