"""A stack as a run: from finished runs to a sealed, registered, scoring one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.market import change, small_config, with_second_table, write_market, write_set
from trademl.artifacts.run_folder import RunFolder
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.edge.bundle import open_bundle
from trademl.errors import ArtifactError, ConfigError, LeakageError, ModelError
from trademl.lake.batches import write_batch
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.models.stacking.model import StackModel
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.sleeves.equities import train as train_equities
from trademl.sleeves.stacker import StackerConfig, train
from trademl.training import stack as stack_module
from trademl.training import stack_folds
from trademl.training.run import RunResult
from trademl.training.stack import StackTrainer, stack_config
from trademl.warehouse.read import read_snapshot

pytestmark = pytest.mark.slow

SMALL = {"kind": "lightgbm", "n_rounds": 8, "num_leaves": 7, "min_data_in_leaf": 20, "threads": 1}
BASES: dict[str, dict[str, Any]] = {
    "trees": {"model": SMALL},
    "ridge": {"model": {"kind": "ridge"}, "features": ["noise", "signal"]},
    "few": {"model": {"kind": "ridge", "penalty": 0.1}, "symbols": [f"S{code:02d}" for code in range(18)]},
    "embargo": {"model": {"kind": "ridge"}, "validation": {"folds": 4, "test_folds": 2, "embargo": 2}},
    "short": {"model": {"kind": "ridge"}, "end": "2020-06-01"},
    "next_day": {"model": {"kind": "ridge"}, "label": "ret_1d", "end": "2020-08-04"},
    "forward": {"model": {"kind": "ridge"}, "validation": {"kind": "walk_forward", "folds": 4, "embargo": 3}},
    "single": {"model": {"kind": "ridge"}, "validation": {"folds": 4, "test_folds": 1, "embargo": 3}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, str]]:
    """A small market with the runs of :data:`BASES`; nobody changes it."""
    root = tmp_path_factory.mktemp("stacked") / "home"
    make_home(root, bundle())
    home = Home(root)
    write_market(home)
    runs = {
        name: train_equities(home, load_section(small_config(home, **fields), EquitiesConfig), mlflow=False).run_id
        for name, fields in BASES.items()
    }
    return home, runs


@pytest.fixture
def home(trained: tuple[Home, dict[str, str]], tmp_path: Path) -> Home:
    """A copy of the test's own."""
    root = tmp_path / "home"
    shutil.copytree(trained[0].root, root, copy_function=shutil.copy2)
    return Home(root)


@pytest.fixture
def stack(home: Home, trained: tuple[Home, dict[str, str]]) -> Callable[..., RunResult]:
    """Train a stack of named bases."""

    def run(*names: str, **fields: Any) -> RunResult:
        runs = tuple(trained[1][name] for name in names)
        return train(home, StackerConfig(runs=runs, **fields), mlflow=False, command="trademl train stacker")

    return run


def test_bases_on_different_tables_are_one_matrix(home: Home, trained: tuple[Home, dict[str, str]]) -> None:
    """A base on a feature set of another table stands beside one on core features; each column is its own table's. Two
    bases that call different columns by one name are refused."""
    with_second_table(home)
    write_set(home, "slow_v1", ["slow", "equities_second.noise"])
    ridge: dict[str, Any] = {"model": {"kind": "ridge"}}
    config = load_section(small_config(home, **ridge, features=[], feature_set="slow_v1"), EquitiesConfig)
    wide = train_equities(home, config, mlflow=False).run_id
    plain = train_equities(
        home, load_section(small_config(home, **ridge, features=["signal"]), EquitiesConfig), mlflow=False
    ).run_id
    result = train(home, StackerConfig(runs=(wide, plain)), mlflow=False, command="trademl train stacker")
    facts = json.loads((result.path / "config" / "scoring.json").read_bytes())
    assert facts["feature_tables"] == {"gold.equities_second": ["slow", "noise"]}
    assert open_bundle(result.path).feature_names == ("slow", "noise", "signal")
    manifest = RunFolder.open(result.path).manifest()
    assert manifest.config["features"] == ["equities_second.slow", "equities_second.noise", "signal"]
    assert "feature_set" not in manifest.config
    with pytest.raises(
        ConfigError, match=r"both have a feature 'noise', the one of gold.equities_second, the other of"
    ):
        stack_config(home, EQUITIES, {"bases": [wide, trained[1]["ridge"]]})


def rows(home: Home, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(sql, list(parameters)).fetchall()


def test_a_stack_is_a_run_like_any_other(home: Home, stack: Callable[..., RunResult]) -> None:
    """Folder, ledger, audit, predictions of every path, graph and bundle; the planted signal is found; the same command
    again finds the finished run."""
    result = stack("trees", "ridge")
    manifest = RunFolder.open(result.path).verify()
    for name in ("checkpoints/model.json", "checkpoints/model.onnx", "predictions/meta_splits.parquet", "card.md"):
        assert name in manifest.files, name
    assert json.loads((result.path / "metrics" / "parity.json").read_bytes())["mismatches"] == 0
    assert rows(home, "select status from ops.runs where run_id = ?", result.run_id) == [("registered",)]
    assert rows(home, "select status from ops.trials where run_id = ?", result.run_id) == [("finished",)]
    audited = rows(
        home,
        "select check_name, sum(violations), sum(compared) from ops.leakage_audit where run_id = ? group by 1",
        result.run_id,
    )
    assert {name for name, *_ in audited} >= {
        "overlap_any_entity",
        "stack_meta_overlap_any_entity",
        "stack_meta_embargo_after_test",
        "stack_input_not_held_out",
        "stack_input_differs",
        "stack_base_overlap_any_entity",
    }
    assert all(violations == 0 for _, violations, _ in audited)
    assert rows(
        home,
        "select path_id, count(*), count(distinct (entity, dt)), count(distinct split_id) from preds.oof "
        "where run_id = ? group by 1 order by 1",
        result.run_id,
    ) == [(path, 155 * 24, 155 * 24, 3) for path in range(3)]
    assert result.metrics["summary"]["rank_ic"]["mean"] > 0.3
    opened = open_bundle(result.path)
    assert opened.feature_names == ("signal_rank", "noise_rank", "noise", "signal")
    model = StackModel.load(result.path / "checkpoints" / "model.json")
    X = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    np.testing.assert_array_equal(opened.session.predict(X), model.predict(X))
    assert stack("trees", "ridge").already_trained


def test_each_path_is_blended_of_that_paths_base_scores(home: Home, stack: Callable[..., RunResult]) -> None:
    """An average in SQL over the bases' stored predictions is the stack's, entity by entity and path by path; where one
    base has no row, it is the other's score."""
    result = stack("ridge", "few", blender="average")
    wrong = rows(
        home,
        """
        with bases as (
            select entity, dt, path_id, split_id, avg(yhat) as yhat, count(*) as known from preds.oof
            where run_id in (select unnest(?)) group by all
        )
        select
            count(*), count(*) filter (where not abs(bases.yhat - own.yhat) <= 1e-15),
            count(*) filter (where known = 1), count(*) filter (where known = 1 and entity < 'S18')
        from bases full join (select * from preds.oof where run_id = ?) as own using (entity, dt, path_id, split_id)
        """,
        json.loads((result.path / "checkpoints" / "model.json").read_bytes())["config"]["bases"],
        result.run_id,
    )
    assert wrong == [(3 * 155 * 24, 0, 3 * 155 * 6, 0)]
    told = json.loads((result.path / "metrics" / "stack.json").read_bytes())
    assert [base["missing"] for base in told["bases"]] == [0, 155 * 6]
    assert told["not_predicted"] == 0
    assert {round(weight, 12) for fold in told["folds"] for weight in fold["weights"].values()} == {0.5}


def test_the_final_meta_learner_reads_mean_scores_of_every_row(home: Home, stack: Callable[..., RunResult]) -> None:
    """Its scaler has the weighted mean of each base's score averaged over its splits."""
    result = stack("trees", "ridge")
    blend = StackModel.load(result.path / "checkpoints" / "model.json").blend
    for run, mean in zip(blend.inputs, blend.means, strict=True):
        found = rows(
            home,
            "select sum(yhat * sample_weight) / sum(sample_weight) from (select entity, dt, avg(yhat) as yhat "
            "from preds.oof where run_id = ? group by all) as oof inner join gold.equities_training as t "
            "on oof.entity = t.symbol and oof.dt = t.date where t.label = 'fwd_5d'",
            run,
        )
        assert mean == pytest.approx(found[0][0], rel=1e-6)


@pytest.mark.parametrize(
    "other, told",
    [
        ("embargo", r"validation.embargo: run .* has 2, the stack 3"),
        ("forward", r"validation.kind: run .* has 'walk_forward', the stack 'cpcv'"),
        ("single", r"validation.test_folds: run .* has 1, the stack 2"),
        ("short", r"validation.folds: run .* has other folds than the stack: .* rows, the first on 2020-"),
        ("next_day", r"label: the labels of run .* \(ret_1d\) end on other sessions than the stack's \(fwd_5d\)"),
    ],
)
def test_a_base_that_was_validated_otherwise_is_refused(stack: Callable[..., RunResult], other: str, told: str) -> None:
    """The message names the field, the values and the remedy; nothing is registered."""
    with pytest.raises(ConfigError, match=told) as refused:
        stack("ridge", other)
    assert "train" in refused.value.remedy


@pytest.mark.parametrize("first, told", [("forward", "walk_forward"), ("single", "test_folds=1")])
def test_a_stack_needs_two_folds_held_out_together(stack: Callable[..., RunResult], first: str, told: str) -> None:
    """Bases that agree with each other, under a validation that cannot be stacked."""
    with pytest.raises(ConfigError, match=f"validation.*{told}"):
        stack(first, "ridge")


def test_runs_that_cannot_be_stacked_are_refused(
    home: Home, trained: tuple[Home, dict[str, str]], stack: Callable[..., RunResult]
) -> None:
    """One run, an unknown run, a stack, and blenders that do not do the task."""
    with pytest.raises(ConfigError, match="runs names 1 runs; a stack blends at least two"):
        stack("ridge")
    with pytest.raises(ConfigError, match=r"bases has .* twice"):
        stack("ridge", "ridge")
    with pytest.raises(ConfigError, match="there is no run 'absent' of equities"):
        stack_config(home, EQUITIES, {"bases": (trained[1]["ridge"], "absent")})
    with pytest.raises(ModelError, match="blender 'ridge' makes no score of the task 'binary'"):
        stack("ridge", "trees", task="top_bottom")
    first = stack("ridge", "trees", blender="average")
    with pytest.raises(ConfigError, match="is itself a stack"):
        train(home, StackerConfig(runs=(first.run_id, trained[1]["few"])), mlflow=False)


def test_an_altered_base_is_refused(
    home: Home, trained: tuple[Home, dict[str, str]], stack: Callable[..., RunResult]
) -> None:
    """Its folder no longer verifies."""
    model = home.models_artifacts / "equities" / trained[1]["ridge"] / "checkpoints" / "model.json"
    model.chmod(0o644)
    model.write_text(model.read_text().replace("bias", "bias "))
    with pytest.raises(ArtifactError, match=r"model\.json was altered"):
        stack("trees", "ridge")


def test_predictions_that_are_not_the_sealed_ones_are_refused(
    home: Home, trained: tuple[Home, dict[str, str]], stack: Callable[..., RunResult]
) -> None:
    """A batch of preds.oof with one other number, under a later time stamp: the checkpoints say otherwise."""
    layout, run = layout_of(home), trained[1]["ridge"]
    with read_snapshot(home) as snapshot:
        snapshot.con.execute(
            "create temp table changed as select * replace "
            "(yhat + 1e-9 as yhat, scored_at + interval 1 day as scored_at) "
            "from preds.oof where run_id = ? and path_id = 1 order by dt, entity limit 1",
            [run],
        )
        write_batch(layout, "preds.oof", snapshot.con.table("changed"), snapshot.con)
    snapshot_batches(layout)
    with pytest.raises(ArtifactError, match=r"is not what its checkpoint of split \d holds"):
        stack("trees", "ridge")


def test_leaking_inputs_are_refused_before_anything_is_fitted(
    home: Home, stack: Callable[..., RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the meta-learner takes each row's scores from the last split that tests it. The run is refused by name,
    its trial stays on record, and no meta-learner was fitted."""

    def careless(splitter: Any, fold: int) -> np.ndarray:
        return np.where(np.arange(splitter.n_folds) == fold, -1, splitter.paths()[:, -1])

    monkeypatch.setattr(stack_folds, "input_splits", careless)
    monkeypatch.setattr(stack_module, "blend_folds", lambda *_: pytest.fail("fitted"))
    with pytest.raises(LeakageError, match="stack_input_not_held_out"):
        stack("trees", "ridge")
    assert rows(home, "select status, count(*) from ops.trials where status = 'refused' group by 1") == [("refused", 1)]


def test_data_that_changed_since_is_refused(
    home: Home, trained: tuple[Home, dict[str, str]], stack: Callable[..., RunResult]
) -> None:
    """A session that is gone from gold: the base's rows are no longer those it was trained on."""
    change(home, "delete from gold.equities_samples where date = date '2020-01-01'")
    with pytest.raises(ConfigError, match="was trained on 3,720 rows of fwd_5d; the snapshot has 3,696"):
        stack("trees", "ridge")


def test_only_a_stack_is_trained_as_one(home: Home) -> None:
    """A configuration of another family says so."""
    config = load_section(small_config(home), EquitiesConfig)
    with read_snapshot(home) as snapshot:
        trainer = StackTrainer(home, snapshot, EQUITIES, config)
        with pytest.raises(ConfigError, match=r"model\.kind='lightgbm' is no stack"):
            trainer.prepare_data()
