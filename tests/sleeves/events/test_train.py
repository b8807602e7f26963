"""Training the heads on planted events."""

import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.sleeves.events.conftest import small_events
from tests.sleeves.events.event_market import FEATURES
from tests.training.market import change
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError, LeakageError
from trademl.governance.tracking import DATABASE
from trademl.models.runtime import open_graph
from trademl.sleeves.events.names import head_names
from trademl.sleeves.events.train import EventsResult, feature_columns, head_config, train
from trademl.training.export import export_run
from trademl.warehouse.read import read_snapshot

HEADS = head_names([60])


def test_every_head_is_a_run_of_the_one_training_path(heads_once: tuple[Home, EventsResult]) -> None:
    """Nine heads: nine runs with splits, audit, parity and a row in ops.trials each, counted by label."""
    home, result = heads_once
    assert tuple(result.runs) == HEADS
    for head, run in result.runs.items():
        manifest = RunFolder.open(run.path).verify()
        assert (manifest.summary["label"], manifest.summary["horizon"], run.horizon) == (head, 1, 1)
        assert manifest.summary["features"] == len(FEATURES) == result.features
        assert json.loads((run.path / "metrics/parity.json").read_text())["mismatches"] == 0
    with read_snapshot(home) as snapshot:
        con = snapshot.con
        trials = con.execute("select label, status from ops.trials where sleeve = 'events' order by 1").fetchall()
        audits = con.execute("select count(distinct run_id), sum(violations) from ops.leakage_audit").fetchall()
        compared = con.execute(
            "select min(compared) from ops.leakage_audit where check_name = 'feature_differs_from_source'"
        ).fetchall()
    assert trials == [(head, "finished") for head in sorted(HEADS)]
    assert audits == [(9, 0)]
    # Features are read from their own table: every row of the smallest head was found there, once.
    assert compared[0][0] > 400


def test_what_was_planted_is_found_by_every_head(heads_once: tuple[Home, EventsResult]) -> None:
    """Direction follows speed and reach follows the ATR: every probability parts events, strength ranks them."""
    _, result = heads_once
    for head in result.heads:
        if head.head == "strength":
            assert head.metrics["rank_ic"] > 0.5
            continue
        assert head.metrics["auc"] > 0.65, head.head
        assert head.metrics["brier"] < head.metrics["brier_of_base_rate"], head.head


def test_each_block_is_predicted_by_models_of_earlier_dates(heads_once: tuple[Home, EventsResult]) -> None:
    """In the stored splits the last train date of a split lies two sessions or more before its first test date."""
    home, result = heads_once
    run = result.runs["tradeable_2"]
    with read_snapshot(home) as snapshot:
        rows = snapshot.con.execute(
            "select split_id, min(dt), max(dt) from preds.oof where run_id = ? group by 1 order by 1", [run.run_id]
        ).fetchall()
        sessions = [row[0] for row in snapshot.con.execute("select date from silver.calendar order by 1").fetchall()]
    assert [row[0] for row in rows] == [0, 1, 2]
    # 30 sessions in 4 parts: the first 8 are never tested, the other 22 are 8, 7 and 7.
    assert [sessions.index(row[1]) for row in rows] == [8, 16, 23]
    assert rows[-1][2] == sessions[-1]
    metrics = (run.path / "metrics/splits.csv").read_text().splitlines()
    names = metrics[0].split(",")
    trained = [int(line.split(",")[names.index("train_rows")]) for line in metrics[1:]]
    # An embargo of one session: seven, fifteen and twenty-two sessions of 40 events.
    assert trained == [280, 600, 880]


def test_direction_is_fitted_on_tradeable_events_alone(heads_once: tuple[Home, EventsResult]) -> None:
    """Its rows are those with tradeable_2 = 1."""
    home, result = heads_once
    with read_snapshot(home) as snapshot:
        count = snapshot.con.execute(
            "select count(*) from gold.events_training where label = 'tradeable_2' and value = 1"
        ).fetchall()[0][0]
    rows = {head.head: head.metrics["rows"] for head in result.heads}
    assert rows["direction"] == count
    assert rows["tradeable_2"] == 1200


def test_the_same_command_again_trains_nothing(heads: tuple[Home, EventsResult]) -> None:
    """Everything is found: runs keep their names, the bundle its bytes."""
    home, result = heads
    folder = home.models_artifacts / "boosted_trees"
    name = "direction_stage_b_full.json"
    before = (folder / name).read_bytes()
    again = train(home, small_events(heads=["direction"]), mlflow=False)
    assert again.runs["direction"].already_trained
    assert again.runs["direction"].run_id == result.runs["direction"].run_id
    assert (folder / name).read_bytes() == before
    assert set(json.loads((folder / "metadata_stage_b_full.json").read_text())["heads"]) == set(HEADS)


def test_a_head_is_logged_to_mlflow(touches: Home) -> None:
    """One finished run under the head's run id, with the measures of a probability."""
    head = train(touches, small_events(ablation="ta", heads=["direction"])).heads[0]
    with closing(sqlite3.connect(touches.models_artifacts / DATABASE)) as con:
        runs = con.execute("select run_uuid, name, status from runs").fetchall()
        metrics = dict(con.execute("select key, value from metrics where run_uuid = ?", [runs[0][0]]).fetchall())
    assert [(name, status) for _, name, status in runs] == [(head.run_id, "FINISHED")]
    assert metrics["auc"] == pytest.approx(head.metrics["auc"], abs=1e-12)
    assert metrics["brier"] == pytest.approx(head.metrics["brier"], abs=1e-12)


def test_technical_analysis_is_one_trial_at_both_stages(touches: Home) -> None:
    """Stage A leaves nothing of it out, so the same columns are one run, counted once, with the names of both."""
    first = train(touches, small_events(stage="stage_a", ablation="ta", heads=["direction"]), mlflow=False)
    second = train(touches, small_events(ablation="ta", heads=["direction"]), mlflow=False)
    assert second.runs["direction"].already_trained
    assert first.runs["direction"].run_id == second.runs["direction"].run_id
    names = {path.name for path in first.folder.glob("direction_*.json")}
    assert names == {"direction_stage_a_ta.json", "direction_stage_b_ta.json"}
    with read_snapshot(touches) as snapshot:
        assert snapshot.con.execute("select count(*) from ops.trials").fetchall() == [(1,)]


def test_the_order_of_rows_changes_nothing(touches: Home) -> None:
    """Training reads events in the order of dates and ids, whatever the order of the tables."""
    config = small_events(heads=["direction"])
    straight = train(touches, config, mlflow=False).runs["direction"]
    change(
        touches,
        "create or replace table gold.events_features as select * from gold.events_features order by hash(event_id)",
        "create or replace table gold.events_training as select * from gold.events_training order by hash(event_id)",
    )
    mixed = train(touches, config, mlflow=False).runs["direction"]
    assert (mixed.run_id, mixed.already_trained) == (straight.run_id, True)


def test_labels_that_are_missing_are_named_before_a_fit(touches: Home) -> None:
    """Horizons without labels stop the command, with what there is; nothing was tried."""
    with pytest.raises(ConfigError, match=r"no label t1_300s(.|\n)*t1_60s(.|\n)*--horizons"):
        train(touches, small_events(horizons=[60, 300]), mlflow=False)
    with pytest.raises(ConfigError, match="no label tradeable_2_8min"):
        train(touches, small_events(timeframe="8min"), mlflow=False)
    with read_snapshot(touches) as snapshot:
        assert snapshot.con.execute("select count(*) from ops.trials").fetchall() == [(0,)]


def test_labels_of_one_class_are_refused(touches: Home) -> None:
    """A head whose event never happens teaches nothing."""
    change(touches, "update gold.events_training set value = 0 where label = 't2_break_60s'")
    with pytest.raises(ConfigError, match=r"t2_break_60s \(1200 of 0\)"):
        train(touches, small_events(), mlflow=False)


def test_a_label_that_is_no_event_is_refused(touches: Home) -> None:
    """A probability needs labels of 0 and 1."""
    change(touches, "update gold.events_training set value = 0.5 where label = 'direction' and date = '2025-01-02'")
    with pytest.raises(ConfigError, match="neither 0 nor 1"):
        train(touches, small_events(heads=["direction"]), mlflow=False)


def test_a_home_without_events_says_what_to_land(touches: Home) -> None:
    """An empty table names the command that lands bars."""
    change(touches, "delete from gold.events_training")
    with pytest.raises(DataGateError, match="trademl ingest intraday-bars"):
        train(touches, small_events(), mlflow=False)


def test_a_session_that_is_not_green_stops_the_run(touches: Home) -> None:
    """The grades of the sleeve's own bars decide; leaving the session out is a choice."""
    change(touches, "update silver.event_coverage set status = 'RED' where date = date '2025-01-15'")
    with pytest.raises(DataGateError, match=r"1 RED in silver\.event_coverage(.|\n)*2025-01-15 RED"):
        train(touches, small_events(heads=["direction"]), mlflow=False)
    config = small_events(heads=["direction"], data_gate={"exclude_not_green": True})
    found = train(touches, config, mlflow=False).heads[0]
    assert "2025-01-15" not in found.train_dates
    assert len(found.train_dates) == 29


def test_features_known_after_the_session_are_a_leak(touches: Home) -> None:
    """A feature row that was known too late stops every head before its first fit."""
    change(touches, "update gold.events_features set known_at = known_at + interval 1 day where date = '2025-01-15'")
    with pytest.raises(LeakageError, match=r"known_after_decision|feature_differs_from_source"):
        train(touches, small_events(heads=["direction"]), mlflow=False)


def test_an_event_without_features_is_an_error(touches: Home) -> None:
    """Training rows whose event the feature table lacks are not passed over in silence."""
    change(touches, "delete from gold.events_features where date = date '2025-01-15'")
    with pytest.raises(DataGateError, match=r"gold\.events_features lacks 40 of the training rows.*2025-01-15"):
        train(touches, small_events(heads=["tradeable_2"]), mlflow=False)


def test_a_planted_answer_is_found_out(touches: Home) -> None:
    """A feature that is the label in disguise stops the run: the audit reads features where they lie."""
    change(
        touches,
        "update gold.events_features as f set fuel_effect = t.value from gold.events_training as t "
        "where t.event_id = f.event_id and t.label = 'tradeable_2'",
    )
    with pytest.raises(LeakageError, match=r"feature_is_target(.|\n)*fuel_effect"):
        train(touches, small_events(heads=["tradeable_2"]), mlflow=False)


def test_measures_are_the_float_columns_of_the_table() -> None:
    """Names, flags and prices in DECIMAL are no features."""
    with duckdb.connect() as con:
        con.execute("create schema gold")
        con.execute(
            "create table gold.events_features (event_id varchar, ts_ns bigint, level_price decimal(18, 6), "
            "approach_velocity float, has_trades boolean, atr double, date date)"
        )
        assert feature_columns(con) == ["approach_velocity", "atr"]


def test_a_head_is_a_task_of_its_own() -> None:
    """Strength is a regression on the raw label, everything else the probability of an event."""
    config = small_events()
    made = {head: head_config(config, head, ["atr"]) for head in HEADS}
    assert {head: one.task for head, one in made.items() if one.task != "binary"} == {"strength": "regression"}
    assert {one.target for one in made.values()} == {"raw"}
    assert len({one.hash() for one in made.values()}) == 9


@pytest.mark.parametrize(
    "fields, match",
    [
        ({"validation": {"kind": "cpcv"}}, "walk_forward"),
        ({"heads": ["t1_120s"]}, "none of tradeable_2"),
        ({"stage": "stage_c"}, "stage"),
        ({"horizons": [0]}, "seconds"),
        ({"timeframe": "two minutes"}, "timeframe"),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(fields: dict[str, object], match: str) -> None:
    """The message names the field."""
    with pytest.raises(ConfigError, match=match):
        small_events(**fields)


def test_dates_of_the_bundle_are_those_of_the_run(heads_once: tuple[Home, EventsResult]) -> None:
    """All sessions are fitted in the end; those after the first window were predicted."""
    _, result = heads_once
    head = result.heads[0]
    days = np.busday_offset("2025-01-01", np.arange(30), roll="forward").astype(object).tolist()
    assert [date.fromisoformat(day) for day in head.train_dates] == days
    assert [date.fromisoformat(day) for day in head.val_dates] == days[8:]


def test_a_heads_run_exports_with_its_calibrator(heads_once: tuple[Home, EventsResult], tmp_path: Path) -> None:
    """`trademl export` of a head gives a graph whose probability is the sigmoid of the score, in its range."""
    _, result = heads_once
    done = export_run(RunFolder.open(result.runs["t2_60s"].path), tmp_path / "head.onnx", calibrated=True)
    assert done.outputs == ("score", "probability")
    rows = np.random.default_rng(3).normal(size=(500, len(FEATURES))).astype(np.float32) * 3
    score, likely = open_graph(done.path).run(["score", "probability"], {"features": rows})
    stored = json.loads((result.runs["t2_60s"].path / "checkpoints/calibrator.json").read_text())
    odds = stored["a"] * score.reshape(-1).astype(np.float64) + stored["b"]
    np.testing.assert_allclose(likely.reshape(-1), np.clip(1 / (1 + np.exp(odds)), 0.001, 0.999), rtol=1e-12)
