"""One training run, from snapshot to registered model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.market import change, small_config
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ArtifactError, DataGateError, LeakageError
from trademl.lake.layout import layout_of
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.training import run as run_module
from trademl.training import splits as splits_module
from trademl.training.dataset import TrainingData
from trademl.training.run import RunResult
from trademl.validation.splits import Split
from trademl.warehouse.read import read_snapshot

REPOSITORY = Path(__file__).resolve().parents[2]


def trained(home: Home, **fields: object) -> RunResult:
    config = load_section(small_config(home, **fields), EquitiesConfig)
    return train(home, config, mlflow=False, command="trademl train equities")


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(sql).fetchall()


RESULTS = (
    "checkpoints/model.txt",
    "checkpoints/model.onnx",
    "checkpoints/calibrator.json",
    "checkpoints/yhat_std.json",
    "predictions/splits.parquet",
    "metrics/metrics.json",
)
OTHERS = (
    "card.md",
    "features/feature_list.json",
    "features/features.sql",
    "config/config.yml",
    "config/scoring.json",
    "metrics/parity.json",
    "metrics/data_gate.json",
    "plots/rank_ic.png",
)


def hashes(result: RunResult) -> dict[str, str]:
    files = RunFolder.open(result.path).verify().files
    return {name: files[name].sha256 for name in files if name in RESULTS or name.endswith(".npy")}


def test_a_run_is_sealed_registered_and_visible_in_sql(market: Home) -> None:
    """The run folder verifies; out-of-fold rows of every path, audit, trial and run are in the snapshot."""
    result = trained(market)
    manifest = RunFolder.open(result.path).verify()
    for name in (*RESULTS, *OTHERS):
        assert name in manifest.files, name
    assert rows(market, "select run_id, label, status, path from ops.runs") == [
        (result.run_id, "fwd_5d", "registered", f"models_artifacts/equities/{result.run_id}")
    ]
    assert rows(market, "select run_id, sleeve, label, status from ops.trials") == [
        (result.run_id, "equities", "fwd_5d", "finished")
    ]
    assert rows(market, "select sum(violations), count(distinct split_id) from ops.leakage_audit") == [(0, 7)]
    assert rows(
        market, "select path_id, count(*), count(distinct (entity, dt)) from preds.oof group by 1 order by 1"
    ) == [(path, 155 * 24, 155 * 24) for path in range(3)]
    # The feature's correlation with the label is 0.4: no model's rank IC is far above that, and this one finds it.
    assert 0.25 < result.metrics["summary"]["rank_ic"]["mean"] < 0.45


def test_metrics_agree_with_sql_over_the_stored_predictions(market: Home) -> None:
    """The mean daily rank IC of each path is what SQL computes from preds.oof."""
    result = trained(market)
    found = rows(
        market,
        """
        with ranked as (
            select path_id, dt,
                rank() over (partition by path_id, dt order by yhat)
                    + (count(*) over (partition by path_id, dt, yhat) - 1) / 2 as a,
                rank() over (partition by path_id, dt order by y) as b
            from preds.oof
        )
        select path_id, avg(ic) from (select path_id, dt, corr(a, b) as ic from ranked group by all)
        group by 1 order by 1
        """,
    )
    expected = [path["rank_ic"] for path in result.metrics["paths"]]
    np.testing.assert_allclose([row[1] for row in found], expected, rtol=1e-9)


def test_the_same_command_twice_trains_once(market: Home) -> None:
    """A finished run is found again: nothing is fitted, no file and no row is added."""

    def files() -> dict[Path, int]:
        kept = (market.models_artifacts, market.lake)
        return {
            path: path.stat().st_mtime_ns for folder in kept for path in folder.rglob("*") if path.suffix != ".lock"
        }

    first = trained(market)
    before = files()
    second = trained(market)
    assert (first.already_trained, second.already_trained) == (False, True)
    assert second.run_id == first.run_id
    assert second.metrics == first.metrics
    assert files() == before


def test_threads_and_places_change_nothing(published: Home, market: Home, tmp_path: Path) -> None:
    """Another home and another number of threads give the same run id, splits, predictions, model and metrics."""
    other = Home(tmp_path / "other")
    shutil.copytree(published.root, other.root, copy_function=shutil.copy2)
    model = {"kind": "lightgbm", "n_rounds": 8, "num_leaves": 7, "min_data_in_leaf": 20, "seed": 7}
    one, two = trained(market, model={**model, "threads": 1}), trained(other, model={**model, "threads": 2})
    assert one.run_id == two.run_id
    first, second = hashes(one), hashes(two)
    assert first == second
    assert len(first) == 6 + 6


def test_new_data_is_a_new_run_of_the_same_trial(market: Home) -> None:
    """When a label changes, the same configuration makes a second run, and still counts as one trial."""
    first = trained(market)
    change(
        market,
        "update gold.equities_samples set value = value + 0.01 where date = date '2020-03-02' and symbol = 'S07'",
    )
    second = trained(market)
    assert second.run_id != first.run_id
    assert rows(market, "select count(*) from ops.runs") == [(2,)]
    assert rows(market, "select count(*) from ops.trials") == [(1,)]


def test_a_red_week_stops_training_until_it_is_backfilled(market: Home) -> None:
    """RED sessions refuse the run before anything is written; left out by choice, or GREEN again, it trains."""
    week = "date between date '2020-03-02' and date '2020-03-06'"
    change(market, f"update silver.coverage set status = 'RED', reasons = 'absent 9: S01 S02' where {week}")
    with pytest.raises(DataGateError, match=r"5 RED(.|\n)*2020-03-02 RED(.|\n)*S01 S02"):
        trained(market)
    assert not (market.models_artifacts / "equities").exists()
    assert layout_of(market).batch_files("ops.trials") == []
    without = trained(market, data_gate={"exclude_not_green": True})
    assert without.excluded == 5
    assert rows(market, f"select count(*) from preds.oof where {week.replace('date between', 'dt between')}") == [(0,)]
    change(market, f"update silver.coverage set status = 'GREEN' where {week}", build_id="b3")
    assert trained(market).excluded == 0


def test_leaking_splits_are_refused_and_the_attempt_is_counted(market: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a splitter forgets to purge, the audit stops the run before the first fit; the trial is in the ledger."""

    def leaky(splitter: splits_module.Splitter, data: TrainingData) -> list[Split]:
        everything = np.arange(len(data))
        return [
            Split(split.split_id, np.setdiff1d(everything, split.test), split.test, split.test_groups)
            for split in splitter.split(data.spans)
        ]

    monkeypatch.setattr(splits_module, "make_splits", leaky)
    with pytest.raises(LeakageError, match="overlap_any_entity"):
        trained(market)
    assert rows(market, "select status from ops.trials") == [("refused",)]
    assert rows(market, "select count(*) from ops.runs") == [(0,)]
    assert not list(market.models_artifacts.rglob("split_*.npy"))
    assert not list(market.models_artifacts.rglob("manifest.json"))


def test_a_failing_mlflow_leaves_a_complete_run(market: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow comes last: when it refuses, the run is sealed and registered, and the message says how to go on."""

    def refuse(*_: object) -> str:
        raise ArtifactError("MLflow could not log run", remedy="--no-mlflow")

    monkeypatch.setattr(run_module, "track", refuse)
    config = load_section(small_config(market), EquitiesConfig)
    with pytest.raises(ArtifactError, match="no-mlflow"):
        train(market, config)
    assert rows(market, "select status from ops.runs") == [("registered",)]
    assert trained(market).already_trained


def test_an_altered_run_is_not_taken_for_trained(market: Home) -> None:
    """A finished folder whose model was edited is an error, not a result."""
    result = trained(market)
    model = result.path / "checkpoints" / "model.txt"
    model.chmod(0o644)
    model.write_text("edited")
    with pytest.raises(ArtifactError, match=r"model\.txt was altered"):
        trained(market)


KILLER = """
import os, signal, sys
from pathlib import Path
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.sleeves.equities import EquitiesConfig, train
import lightgbm, onnx, onnxruntime, matplotlib.figure, pyarrow  # once, before the forks

class Killer:
    def __init__(self, moment):
        self.moment, self.fitted = moment, 0
    def event(self, name):
        if name == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)
    def stage(self, text):
        self.event(text.split()[0])
    def splits(self, total, done):
        pass
    def split_done(self, mean_rank_ic):
        self.fitted += 1
        self.event(self.fitted)
    def splits_end(self):
        pass

home = Home(Path(sys.argv[1]))
config = load_section(Path(sys.argv[2]), EquitiesConfig)
for moment in [2, 3, "measuring", "fitting-final", "registering", "never"]:
    child = os.fork()
    if child == 0:
        killer = Killer(moment)
        if moment == "fitting-final":
            killer.stage = lambda text: killer.event("fitting-final" if "final" in text else "")
        result = train(home, config, progress=killer, mlflow=False)
        os._exit(result.resumed_splits)
    _, status = os.waitpid(child, 0)
    print(moment, os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.mark.fault
def test_kill_9_loses_at_most_one_split_and_no_row(published: Home, market: Home, tmp_path: Path) -> None:
    """Killed in the splits, after them, before the final fit and before registration, the same command ends with
    the very files and rows of an undisturbed run."""
    config = small_config(market)
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(market.root), str(config)],
        capture_output=True, text=True, cwd=REPOSITORY, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # 2 splits, then 3 more, then the sixth: five fits were kept, and the run killed at registration was sealed.
    assert [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines()] == ["-9", "-9", "-9", "-9", "-9", "0"]
    again = trained(market)
    assert again.already_trained
    other = Home(tmp_path / "other")
    shutil.copytree(published.root, other.root, copy_function=shutil.copy2)
    undisturbed = trained(other)
    assert hashes(again) == hashes(undisturbed)
    everything = "select * exclude (scored_at) from preds.oof order by all"
    assert rows(market, everything) == rows(other, everything)
    assert len(layout_of(market).batch_files("preds.oof")) == 3
    assert rows(market, "select run_id, status from ops.runs") == [(again.run_id, "registered")]
    assert rows(market, "select run_id, status from ops.trials") == [(again.run_id, "finished")]


def test_a_single_symbol_trains_without_a_cross_section(market: Home) -> None:
    """One symbol has no daily correlation: the run finishes, and its rank IC is undefined, not invented."""
    result = trained(market, symbols=["S05"], target="raw")
    assert np.isnan(result.metrics["summary"]["rank_ic"]["mean"])
    assert result.metrics["summary"]["rmse"]["mean"] > 0
    assert json.loads((result.path / "metrics" / "metrics.json").read_text())["summary"]["rank_ic"]["mean"] is None
