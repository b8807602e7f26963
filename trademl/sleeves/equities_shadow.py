"""Shadow mode of the equities sleeve: a challenger scores beside the champion, and nothing that trades can tell.

Scores go to ``preds.shadow`` alone. A session counts only when no label that the run was fitted on reaches it, so
a past session is as good a test as tomorrow's: its features are those that were known then.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.edge.daily import EQUITIES
from trademl.edge.score import prediction_rows
from trademl.errors import ConfigError, DataGateError, TrademlError
from trademl.governance.router_config import read_router
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.sleeves.routed import of_run, score_run
from trademl.sleeves.shadowing import FAILURES, TABLE, reason_of, shadow_rows
from trademl.warehouse.read import read_snapshot


@dataclass(frozen=True)
class ShadowResult:
    """What a run did in shadow.

    Attributes:
        run_id: the challenger.
        scored: sessions scored by this call.
        known: sessions that had been scored before.
        refused: (session, why) of sessions whose data did not pass.
    """

    run_id: str
    scored: tuple[date, ...]
    known: int
    refused: tuple[tuple[date, str], ...]


def shadow_equities(
    home: Home,
    run_id: str,
    *,
    first: date | None = None,
    last: date | None = None,
    told: Callable[[date, int, int], None] | None = None,
    now: Clock = utc_now,
) -> ShadowResult:
    """Score the sessions from ``first`` to ``last`` with ``run_id`` into ``preds.shadow``; twice is once.

    Args:
        home: where snapshot and run folders are.
        run_id: a registered run.
        first, last: None is the first session that no fitted label reaches, and the latest one with features.
        told: called with a session, its number and how many there are.
        now: the clock.

    Raises:
        ConfigError: ``first`` is a session that a fitted label reaches, or there is no session.
        ArtifactError: there is no such registered run, or its folder does not verify.
        SnapshotError: there is no snapshot.
    """
    layout = layout_of(home)
    rows: list[dict[str, Any]] = []
    scored, refused = [], []
    with read_snapshot(home, now=now) as snapshot:
        con = snapshot.con
        sessions = _sessions(con, run_id, first, last)
        known = {
            day for (day,) in con.execute(f"select distinct dt from {TABLE} where model_id = ?", [run_id]).fetchall()
        }
        left = [day for day in sessions if day not in known]
        for number, day in enumerate(left, start=1):
            try:
                given = of_run(score_run(con, home, EQUITIES, day, run_id), "asked", "shadow")
            except DataGateError as error:
                refused.append((day, error.message))
                continue
            rows += shadow_rows(prediction_rows(given, EQUITIES.entity, now=now), EQUITIES.sleeve, EQUITIES.entity)
            scored.append(day)
            if told is not None:
                told(day, number, len(left))
    if rows:
        write_rows(layout, TABLE, rows, now=now)
        snapshot_batches(layout, now=now)
    return ShadowResult(run_id, tuple(scored), len(sessions) - len(left), tuple(refused))


def shadow_beside(home: Home, session: date, *, now: Clock = utc_now) -> tuple[str, ...]:
    """Let every challenger that the router names score ``session``; return what went wrong, and raise nothing.

    The champion has been published by then: whatever a challenger does, its users have their scores.
    """
    notes = []
    try:
        challengers: Sequence[str] = read_router(home).of(EQUITIES.sleeve).shadow
    except TrademlError as error:
        return (f"no challenger scored in shadow: {error.message}",)
    for run_id in challengers:
        try:
            found = shadow_equities(home, run_id, first=session, last=session, now=now)
            notes += [f"challenger {run_id} did not score {day} in shadow: {why}" for day, why in found.refused]
        except FAILURES as error:
            notes.append(f"challenger {run_id} did not score {session} in shadow: {reason_of(error)}")
    return tuple(notes)


def _sessions(con: duckdb.DuckDBPyConnection, run_id: str, first: date | None, last: date | None) -> list[date]:
    rows = con.execute("select metrics from ops.runs where run_id = ?", [run_id]).fetchall()
    summary = json.loads(rows[0][0]) if rows else {}
    fitted = summary.get("last_date")
    # An unknown run is refused by scoring, in its own words; without a date every session is left to it.
    found = con.execute(
        "select calendar.date from silver.calendar as calendar where calendar.session_index > coalesce((select "
        "max(session_index) from silver.calendar where date <= cast(? as date)), -1) + ? and calendar.date <= "
        "(select max(date) from gold.equities_features) order by 1",
        [fitted, int(summary.get("horizon", 0))],
    ).fetchall()
    free = [day for (day,) in found]
    if first is not None and free and first < free[0]:
        raise ConfigError(
            f"labels that run {run_id} was fitted on reach beyond {first}: such a session shows nothing",
            remedy=f"start at {free[0]} or later, or train a run that ends earlier (`trademl train equities --end`)",
        )
    chosen = [day for day in free if (first is None or day >= first) and (last is None or day <= last)]
    if not chosen:
        raise ConfigError(
            f"no session from {first or 'the start'} to {last or 'the end'} that no label of run {run_id} reaches; its "
            f"last decision was on {fitted}",
            remedy="land later bars and build, or give another range",
        )
    return chosen
