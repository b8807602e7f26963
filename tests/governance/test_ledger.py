"""The ledger of trials and runs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from trademl.clock import Clock
from trademl.governance.audit import AuditRow
from trademl.governance.ledger import (
    begin_attempt,
    count_trials,
    latest_attempt,
    record_audit,
    record_events,
    record_run,
    record_trial,
    trial_id,
    trials_of,
)
from trademl.lake.batches import latest_sql
from trademl.lake.layout import Layout
from trademl.schema import BATCHES

BEGAN = datetime(2020, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty lake."""
    return Layout(tmp_path)


def at(minutes: int) -> Clock:
    return lambda: BEGAN + timedelta(minutes=minutes)


def trial(layout: Layout, **fields: Any) -> str:
    given: dict[str, Any] = {
        "sleeve": "equities",
        "label": "fwd_5d",
        "run_id": "run-1",
        "config": {"folds": 8},
        "config_hash": "c1",
        "data_hash": "d1",
        "status": "started",
        **fields,
    }
    return record_trial(layout, **given)


def shown(layout: Layout, table: str, columns: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        source = latest_sql(BATCHES[table], layout.batch_files(table))
        return con.execute(f"select {columns} from ({source}) order by all").fetchall()


def test_a_trial_is_its_configuration_on_a_sleeve_and_label() -> None:
    """Sleeve, label and configuration name a trial; each of them makes another."""
    name = trial_id("equities", "fwd_5d", "c1")
    assert name == trial_id("equities", "fwd_5d", "c1")
    assert len({name, trial_id("traders", "fwd_5d", "c1"), trial_id("equities", "fwd_1d", "c1"),
                trial_id("equities", "fwd_5d", "c2")}) == 4  # fmt: skip


def test_an_attempt_keeps_the_time_it_started(layout: Layout) -> None:
    """Resuming and finishing an attempt changes its status, not when it began."""
    trial(layout, now=at(0))
    trial(layout, now=at(5))
    trial(layout, status="finished", now=at(9))
    found = shown(layout, "ops.trials", "run_id, status, started_at, recorded_at")
    assert found == [("run-1", "finished", datetime(2020, 1, 1, 12, 0), datetime(2020, 1, 1, 12, 9))]
    assert len(layout.batch_files("ops.trials")) == 2


def test_new_data_is_an_attempt_and_not_a_trial(layout: Layout) -> None:
    """The same configuration on other data shows its latest attempt and counts once; another one counts too."""
    trial(layout, now=at(0))
    trial(layout, run_id="run-2", data_hash="d2", now=at(1))
    assert count_trials(layout, "equities", "fwd_5d") == 1
    trial(layout, run_id="run-3", config_hash="c2", now=at(2))
    assert count_trials(layout, "equities", "fwd_5d") == 2
    assert count_trials(layout, "equities", "fwd_1d") == 0
    assert [row[0] for row in shown(layout, "ops.trials", "run_id")] == ["run-2", "run-3"]


def test_a_refused_trial_counts(layout: Layout) -> None:
    """What the audit refused was tried all the same."""
    trial(layout, now=at(0))
    trial(layout, status="refused", now=at(1))
    assert count_trials(layout, "equities", "fwd_5d") == 1


def test_a_pruned_trial_counts_and_may_be_tried_again(layout: Layout) -> None:
    """A study stops a trial early: it was tried; fitted to the end later it is the same trial."""
    assert latest_attempt(layout, trial_id("equities", "fwd_5d", "c1")) is None
    name = trial(layout, now=at(0))
    assert latest_attempt(layout, name) == ("run-1", "started")
    trial(layout, status="pruned", now=at(1))
    record_events(layout, trial=name, run_id="run-1", attempt=1, event="pruned", detail="behind", now=at(1))
    assert latest_attempt(layout, name) == ("run-1", "pruned")
    assert trials_of(layout, "equities", "fwd_5d") == [(name, "run-1", "pruned")]
    trial(layout, now=at(2))
    trial(layout, status="finished", now=at(3))
    assert latest_attempt(layout, name) == ("run-1", "finished")
    assert count_trials(layout, "equities", "fwd_5d") == 1


def test_a_run_is_registered_once(layout: Layout) -> None:
    """Registering a run again writes nothing; its metrics are JSON."""
    given: dict[str, Any] = {
        "run_id": "run-1",
        "sleeve": "equities",
        "label": "fwd_5d",
        "status": "registered",
        "git_revision": "abc",
        "data_hash": "d1",
        "config_hash": "c1",
        "path": "models_artifacts/equities/run-1",
        "metrics": {"rank_ic": 0.02},
        "started_at": BEGAN,
    }
    assert record_run(layout, **given, now=at(1))
    assert not record_run(layout, **given, now=at(2))
    (row,) = shown(layout, "ops.runs", "run_id, status, metrics, started_at, recorded_at")
    assert json.loads(row[2]) == {"rank_ic": 0.02}
    assert (row[3], row[4]) == (datetime(2020, 1, 1, 12, 0), datetime(2020, 1, 1, 12, 1))


def test_findings_are_recorded_once(layout: Layout) -> None:
    """The same audit at another time writes no second file."""
    for minute in (0, 1):
        row = AuditRow("run-1", 0, "train_and_test", 0, 10, "0 rows", at(minute)().replace(tzinfo=None))
        record_audit(layout, [row], now=at(minute))
    assert len(layout.batch_files("ops.leakage_audit")) == 1


def test_attempts_splits_and_failures_are_children_of_a_trial(layout: Layout) -> None:
    """A killed attempt has a beginning and no end; the next one is resumed and numbered on."""
    name = trial(layout)
    assert begin_attempt(layout, trial=name, run_id="run-1", now=at(0)) == 1
    assert begin_attempt(layout, trial=name, run_id="run-1", now=at(5)) == 2
    record_events(layout, trial=name, run_id="run-1", attempt=2, event="split", splits=[(0, 1.5), (1, 2.5)], now=at(6))
    record_events(layout, trial=name, run_id="run-1", attempt=2, event="failed", detail="no memory", now=at(7))
    assert begin_attempt(layout, trial=name, run_id="run-2", now=at(8)) == 1
    assert shown(layout, "ops.trial_events", "run_id, attempt, event, split_id, seconds, detail") == [
        ("run-1", 1, "started", -1, 0.0, ""),
        ("run-1", 2, "failed", -1, 0.0, "no memory"),
        ("run-1", 2, "resumed", -1, 0.0, ""),
        ("run-1", 2, "split", 0, 1.5, ""),
        ("run-1", 2, "split", 1, 2.5, ""),
        ("run-2", 1, "started", -1, 0.0, ""),
    ]


def test_trials_of_a_label_come_oldest_first(layout: Layout) -> None:
    """Every configuration is listed with its latest run, whatever became of it."""
    first = trial(layout, now=at(0))
    second = trial(layout, run_id="run-2", config_hash="c2", now=at(1))
    trial(layout, run_id="run-2", config_hash="c2", status="refused", now=at(2))
    trial(layout, run_id="run-3", label="fwd_1d", now=at(3))
    assert trials_of(layout, "equities", "fwd_5d") == [(first, "run-1", "started"), (second, "run-2", "refused")]
