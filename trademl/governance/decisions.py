"""Decisions on runs as rows of ``ops.promotions``: the one place that says who is champion.

A decision is one immutable batch: a row per bar, and a row ``bar = 'decision'`` with the outcome. It is there whole or
not at all, so it is the router and the model registry that follow it, never the other way round. Within a sleeve
decisions are numbered from 1; a number that is missing means that evidence was lost, and nothing is read from the rest.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.errors import PromotionError
from trademl.lake.batches import latest_sql, write_rows
from trademl.lake.layout import Layout
from trademl.schema import BATCHES

if TYPE_CHECKING:
    from trademl.governance.gate import Bar

Action = Literal["gate", "promote", "rollback"]
Outcome = Literal["passed", "failed", "promoted", "overridden", "refused", "rolled_back"]

TABLE = "ops.promotions"
DECISION = "decision"
"""``bar`` of the row that carries the outcome; no bar of a gate may have this name."""

CROWNING: frozenset[Outcome] = frozenset({"promoted", "overridden", "rolled_back"})
"""Outcomes after which the run of the decision is champion."""


@dataclass(frozen=True)
class Recorded:
    """One decision as it was recorded.

    Attributes:
        sequence: its number within the sleeve, from 1.
        action: what was asked. outcome: what came of it.
        run_id: the run decided on; after a rollback, the run that is champion again.
        label: what the run predicts.
        previous_run_id: the champion that the run was compared with, or that it replaced.
        reason: in words; of an override or a rollback, as it was given.
        recorded_at: naive UTC.
        bars: in order of name; none for a rollback.
    """

    decision_id: str
    sequence: int
    action: Action
    outcome: Outcome
    sleeve: str
    run_id: str
    label: str
    previous_run_id: str | None
    reason: str
    recorded_at: datetime
    bars: "tuple[Bar, ...]"

    @property
    def crowns(self) -> bool:
        """Whether its run became champion by it."""
        return self.outcome in CROWNING


def read_decisions(layout: Layout, sleeve: str) -> tuple[Recorded, ...]:
    """Return every decision of ``sleeve``, oldest first.

    The batches themselves are read, not the snapshot: a decision counts from the moment its file has its name.

    Raises:
        PromotionError: a decision is missing, or there twice.
    """
    names = list(BATCHES[TABLE].columns)
    with duckdb.connect() as con:
        source = latest_sql(BATCHES[TABLE], layout.batch_files(TABLE))
        rows = con.execute(
            f"select {', '.join(names)} from ({source}) where sleeve = ? order by sequence, decision_id, bar", [sleeve]
        ).fetchall()
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        record = dict(zip(names, row, strict=True))
        grouped.setdefault(record["decision_id"], []).append(record)
    decisions = tuple(_recorded(group) for group in grouped.values())
    numbers = [decision.sequence for decision in decisions]
    if numbers != list(range(1, len(numbers) + 1)):
        raise PromotionError(
            f"the decisions of {sleeve} in {layout.batches(TABLE)} have the numbers {_listed(numbers)}; "
            f"expected 1 to {max(numbers)}, each once",
            remedy="restore the missing batch from a backup (or move away the one too many): evidence cannot be "
            "made again; `trademl router kill` lets the frozen scorer answer meanwhile",
        )
    return decisions


def write_decision(
    layout: Layout,
    before: Sequence[Recorded],
    *,
    action: Action,
    outcome: Outcome,
    sleeve: str,
    run_id: str,
    label: str,
    previous_run_id: str | None,
    reason: str,
    bars: "Iterable[Bar]" = (),
    now: Clock = utc_now,
) -> Recorded:
    """Record the decision that follows ``before``, in one batch file, and return it. Call it with the lock held."""
    moment = sql_utc(now())
    sequence = len(before) + 1
    digest = hashlib.sha256(json.dumps([sleeve, sequence, action, outcome, run_id, str(moment)]).encode()).hexdigest()
    recorded = Recorded(
        decision_id=f"{sleeve}-{sequence:05d}-{digest[:8]}",
        sequence=sequence,
        action=action,
        outcome=outcome,
        sleeve=sleeve,
        run_id=run_id,
        label=label,
        previous_run_id=previous_run_id,
        reason=reason,
        recorded_at=moment,
        bars=tuple(sorted(bars, key=lambda bar: bar.name)),
    )
    write_rows(layout, TABLE, _rows(recorded), now=now)
    return recorded


def reign(decisions: Iterable[Recorded]) -> tuple[Recorded, ...]:
    """Return the decisions that made each champion still in line, the present one last.

    A promotion adds to the line, a rollback takes the last one off: after A, B, C and a rollback the line is A, B, and
    a second rollback leaves A. The entry of a champion that came back by rollback is the rollback itself.

    Raises:
        PromotionError: a rollback goes to a run that was not next in line.
    """
    line: list[Recorded] = []
    for decision in decisions:
        if not decision.crowns:
            continue
        if decision.action != "rollback":
            line.append(decision)
            continue
        del line[-1:]
        if not line or line[-1].run_id != decision.run_id:
            raise PromotionError(
                f"decision {decision.decision_id} rolls back to {decision.run_id}, but before it came "
                f"{line[-1].run_id if line else 'no champion'}",
                remedy=f"look at `trademl champion {decision.sleeve} --history`, and restore what was changed by hand",
            )
        line[-1] = decision
    return tuple(line)


def batch_names(layout: Layout) -> list[Path]:
    """Return the batch files of decisions, relative to the lake."""
    return [path.relative_to(layout.root) for path in layout.batch_files(TABLE)]


def _rows(recorded: Recorded) -> list[dict[str, Any]]:
    shared = {
        "decision_id": recorded.decision_id,
        "sequence": recorded.sequence,
        "action": recorded.action,
        "run_id": recorded.run_id,
        "sleeve": recorded.sleeve,
        "label": recorded.label,
        "previous_run_id": recorded.previous_run_id,
        "recorded_at": recorded.recorded_at,
    }
    own: dict[str, Any] = {
        "bar": DECISION,
        "value": None,
        "bound": None,
        "verdict": recorded.outcome,
        "reason": recorded.reason,
    }
    judged = [
        {"bar": bar.name, "value": bar.value, "bound": bar.bound, "verdict": bar.verdict, "reason": bar.reason}
        for bar in recorded.bars
    ]
    return [{**shared, **row} for row in (own, *judged)]


def _recorded(rows: list[dict[str, Any]]) -> Recorded:
    # Here, because scoring reads who is champion and needs none of the gate's statistics until there is one.
    from trademl.governance.gate import Bar

    own = [row for row in rows if row["bar"] == DECISION]
    if len(own) != 1:
        raise PromotionError(
            f"decision {rows[0]['decision_id']} has {len(own)} rows `{DECISION}`, expected 1",
            remedy="restore its batch from a backup: nothing but trademl writes ops.promotions",
        )
    bars = tuple(
        Bar(row["bar"], row["value"], row["bound"], row["verdict"], row["reason"])
        for row in rows
        if row["bar"] != DECISION
    )
    fact = own[0]
    return Recorded(
        decision_id=fact["decision_id"],
        sequence=fact["sequence"],
        action=fact["action"],
        outcome=fact["verdict"],
        sleeve=fact["sleeve"],
        run_id=fact["run_id"],
        label=fact["label"],
        previous_run_id=fact["previous_run_id"],
        reason=fact["reason"],
        recorded_at=fact["recorded_at"],
        bars=bars,
    )


def _listed(numbers: Sequence[int], shown: int = 20) -> str:
    return ", ".join(map(str, numbers[:shown])) + (", ..." if len(numbers) > shown else "")
