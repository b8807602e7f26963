"""The ledger: every configuration ever tried and every finished run, as append-only rows that statistics count from.

Deflated Sharpe ratios and the probability of backtest overfitting need the number of trials. It comes from here, never
from a user's memory: a trial is noted before its first fit, whether or not anybody likes the result.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.governance.audit import AuditRow
from trademl.lake.batches import latest_sql, write_rows
from trademl.lake.layout import Layout
from trademl.schema import BATCHES

TrialStatus = Literal["started", "finished", "pruned", "refused"]
TrialEvent = Literal["started", "resumed", "split", "failed", "refused", "pruned", "finished"]
RunStatus = Literal["registered"]


def trial_id(sleeve: str, label: str, config_hash: str) -> str:
    """Return the id of a configuration on a sleeve and label: trying it again, or on newer data, is the same trial.

    >>> trial_id("equities", "fwd_5d", "ab" * 32)
    'trial-87f8ae0cd4ac6e7c'
    """
    return f"trial-{hashlib.sha256(f'{sleeve} {label} {config_hash}'.encode()).hexdigest()[:16]}"


def record_trial(
    layout: Layout,
    *,
    sleeve: str,
    label: str,
    run_id: str,
    config: Mapping[str, Any],
    config_hash: str,
    data_hash: str,
    status: TrialStatus,
    returns_ref: str | None = None,
    now: Clock = utc_now,
) -> str:
    """Note the state of a trial and return its id; saying again what is noted already writes nothing.

    Args:
        layout: the lake.
        sleeve, label, config_hash: what makes the trial.
        run_id: the attempt.
        config: the configuration itself, kept as JSON.
        data_hash: of the training data.
        status: ``started`` before the first fit; at the end ``finished``, ``refused`` by the leakage audit, or
            ``pruned`` by a study that saw it fall behind: it was tried, and counts.
        returns_ref: where the attempt's return series is, such as ``preds.oof?run_id=...``.
        now: the clock.
    """
    name = trial_id(sleeve, label, config_hash)
    before = _latest(layout, "ops.trials", {"trial_id": name})
    if before and (before["run_id"], before["status"]) == (run_id, status):
        return name
    # A resumed or repeated attempt began when it first did.
    same_attempt = before is not None and before["run_id"] == run_id
    moment = sql_utc(now())
    started = before["started_at"] if before and same_attempt else moment
    row = {
        "trial_id": name,
        "run_id": run_id,
        "sleeve": sleeve,
        "label": label,
        "config_hash": config_hash,
        "data_hash": data_hash,
        "config": json.dumps(config, sort_keys=True),
        "returns_ref": returns_ref,
        "status": status,
        "started_at": started,
        "recorded_at": moment,
    }
    write_rows(layout, "ops.trials", [row], now=now)
    return name


def record_run(
    layout: Layout,
    *,
    run_id: str,
    sleeve: str,
    label: str,
    status: RunStatus,
    git_revision: str,
    data_hash: str,
    config_hash: str,
    path: str,
    metrics: Mapping[str, Any],
    started_at: datetime,
    now: Clock = utc_now,
) -> bool:
    """Note a finished run; return whether it was new. ``path`` is relative to the home, ``metrics`` kept as JSON."""
    before = _latest(layout, "ops.runs", {"run_id": run_id})
    if before and before["status"] == status:
        return False
    row = {
        "run_id": run_id,
        "sleeve": sleeve,
        "label": label,
        "status": status,
        "git_revision": git_revision,
        "data_hash": data_hash,
        "config_hash": config_hash,
        "path": path,
        "metrics": json.dumps(metrics, sort_keys=True, allow_nan=False),
        "started_at": sql_utc(started_at),
        "recorded_at": sql_utc(now()),
    }
    write_rows(layout, "ops.runs", [row], now=now)
    return True


def record_audit(layout: Layout, rows: Iterable[AuditRow], *, now: Clock = utc_now) -> Path | None:
    """Write the rows of a leakage audit; the same findings a second time write nothing."""
    return write_rows(layout, "ops.leakage_audit", (row.as_dict() for row in rows), now=now)


def begin_attempt(layout: Layout, *, trial: str, run_id: str, now: Clock = utc_now) -> int:
    """Note that work on a run begins, or begins again after a process died; return the number of the attempt."""
    table = BATCHES["ops.trial_events"]
    with duckdb.connect() as con:
        source = latest_sql(table, layout.batch_files(table.name))
        last = con.execute(f"select max(attempt) from ({source}) where run_id = ?", [run_id]).fetchall()[0][0]
    attempt = int(last or 0) + 1
    record_events(layout, trial=trial, run_id=run_id, attempt=attempt, event="resumed" if last else "started", now=now)
    return attempt


def record_events(
    layout: Layout,
    *,
    trial: str,
    run_id: str,
    attempt: int,
    event: TrialEvent,
    splits: Iterable[tuple[int, float]] = ((-1, 0.0),),
    detail: str = "",
    now: Clock = utc_now,
) -> None:
    """Note what happened in an attempt; ``splits`` holds (number, seconds) of finished splits, for event ``split``."""
    moment = sql_utc(now())
    rows = [
        {
            "trial_id": trial,
            "run_id": run_id,
            "attempt": attempt,
            "event": event,
            "split_id": split_id,
            "seconds": seconds,
            "detail": detail,
            "recorded_at": moment,
        }
        for split_id, seconds in splits
    ]
    write_rows(layout, "ops.trial_events", rows, now=now)


def trials_of(layout: Layout, sleeve: str, label: str) -> list[tuple[str, str, str]]:
    """Return (trial, its latest run, status) of every configuration tried on a sleeve and label, oldest first."""
    table = BATCHES["ops.trials"]
    with duckdb.connect() as con:
        source = latest_sql(table, layout.batch_files(table.name))
        return con.execute(
            f"select trial_id, run_id, status from ({source}) where sleeve = ? and label = ? "
            "order by started_at, trial_id",
            [sleeve, label],
        ).fetchall()


def latest_attempt(layout: Layout, trial: str) -> tuple[str, str] | None:
    """Return the latest run of a trial and its status; None when the ledger does not know the trial."""
    found = _latest(layout, "ops.trials", {"trial_id": trial})
    return (found["run_id"], found["status"]) if found else None


def count_trials(layout: Layout, sleeve: str, label: str) -> int:
    """Return how many distinct configurations have been tried on a sleeve and label."""
    table = BATCHES["ops.trials"]
    with duckdb.connect() as con:
        source = latest_sql(table, layout.batch_files(table.name))
        return int(
            con.execute(f"select count(*) from ({source}) where sleeve = ? and label = ?", [sleeve, label]).fetchall()[
                0
            ][0]
        )


def _latest(layout: Layout, table_name: str, key: Mapping[str, str]) -> dict[str, Any] | None:
    table = BATCHES[table_name]
    where = " and ".join(f"{name} = ?" for name in key)
    with duckdb.connect() as con:
        source = latest_sql(table, layout.batch_files(table_name))
        found = con.execute(f"select * from ({source}) where {where}", list(key.values())).fetchall()
    return dict(zip(table.columns, found[0], strict=True)) if found else None
