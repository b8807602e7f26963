"""Decisions as rows of ops.promotions."""

import math
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.governance.promotable import LABEL, NOW, PASSING, A, B, C
from trademl.errors import PromotionError
from trademl.governance.decisions import Action, Outcome, Recorded, read_decisions, reign, write_decision
from trademl.governance.gate import Bar
from trademl.lake.layout import Layout

STAMP = NOW.replace(tzinfo=None)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


def write(
    layout: Layout, run_id: str = A, sleeve: str = "equities", outcome: Outcome = "promoted", bars: tuple[Bar, ...] = ()
) -> Recorded:
    return write_decision(
        layout,
        read_decisions(layout, sleeve),
        action="promote",
        outcome=outcome,
        sleeve=sleeve,
        run_id=run_id,
        label=LABEL,
        previous_run_id=None,
        reason="because",
        bars=bars,
        now=lambda: NOW,
    )


def made(sequence: int, action: Action, outcome: Outcome, run_id: str) -> Recorded:
    return Recorded(
        f"d-{sequence}", sequence, action, outcome, "equities", run_id, LABEL, None, "", datetime(2026, 1, 1), ()
    )


def test_a_decision_is_one_file_with_a_row_per_bar(layout: Layout) -> None:
    """Every bar has its row, the outcome has one more, and all lie in a single immutable batch."""
    write(layout, bars=PASSING)
    (batch,) = layout.batch_files("ops.promotions")
    rows = duckdb.execute(
        "select sequence, action, run_id, label, bar, value, bound, verdict from read_parquet($1) order by bar",
        [str(batch)],
    ).fetchall()
    assert rows == [
        (1, "promote", A, LABEL, "beats_champion", None, None, "pass"),
        (1, "promote", A, LABEL, "decision", None, None, "promoted"),
        (1, "promote", A, LABEL, "leakage", 0.0, 0.0, "pass"),
        (1, "promote", A, LABEL, "sharpe", 1.31, 1.0, "pass"),
    ]
    assert batch.stat().st_mode & 0o222 == 0


def test_what_was_recorded_is_read_back(layout: Layout) -> None:
    """Reading gives the decisions as written, oldest first, an infinite value included; sleeves count separately."""
    endless = Bar("track_record", math.inf, 900.0, "fail", "never long enough")
    first = write(layout, outcome="refused", bars=(endless, *PASSING))
    other = write(layout, "traders-x-1", sleeve="traders")
    second = write(layout, B)
    assert read_decisions(layout, "equities") == (first, second)
    assert read_decisions(layout, "traders") == (other,)
    assert (first.sequence, second.sequence, other.sequence) == (1, 2, 1)
    assert first.recorded_at == STAMP


def test_lost_evidence_is_noticed(layout: Layout) -> None:
    """When a batch is gone, nothing is read from the rest: a champion must not follow from half of the record."""
    for run in (A, B, C):
        write(layout, run)
    for batch in layout.batch_files("ops.promotions"):
        if duckdb.execute("select run_id from read_parquet($1)", [str(batch)]).fetchall()[0][0] == B:
            batch.unlink()
    with pytest.raises(PromotionError, match=r"numbers 1, 3; expected 1 to 3"):
        read_decisions(layout, "equities")


def test_a_number_given_twice_is_noticed(layout: Layout) -> None:
    """Two decisions with one number, as two unlocked writers would leave, are refused."""
    write(layout, A)
    write_decision(
        layout, (), action="promote", outcome="promoted", sleeve="equities", run_id=B, label=LABEL,
        previous_run_id=None, reason="", now=lambda: NOW,
    )  # fmt: skip
    with pytest.raises(PromotionError, match="numbers 1, 1"):
        read_decisions(layout, "equities")


def test_only_what_crowns_counts() -> None:
    """Gate runs and refusals leave the line of champions as it is."""
    line = reign(
        [
            made(1, "gate", "passed", A),
            made(2, "promote", "promoted", A),
            made(3, "promote", "refused", B),
            made(4, "promote", "overridden", C),
            made(5, "gate", "failed", B),
        ]
    )
    assert [item.run_id for item in line] == [A, C]


def test_rollbacks_go_back_one_champion_each() -> None:
    """After A, B, C two rollbacks lead to B and A, and never forward again to C."""
    history = [made(n, "promote", "promoted", run) for n, run in enumerate((A, B, C), start=1)]
    history.append(made(4, "rollback", "rolled_back", B))
    assert [item.run_id for item in reign(history)] == [A, B]
    assert reign(history)[-1].sequence == 4
    history.append(made(5, "rollback", "rolled_back", A))
    assert [item.run_id for item in reign(history)] == [A]


def test_a_rollback_to_nowhere_does_not_add_up() -> None:
    """A recorded rollback to a run that was not next in line is an error, not a champion."""
    history = [made(1, "promote", "promoted", A), made(2, "promote", "promoted", B)]
    with pytest.raises(PromotionError, match=f"rolls back to {C}, but before it came {A}"):
        reign([*history, made(3, "rollback", "rolled_back", C)])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from("ABCDE")), max_size=30))
def test_the_line_is_a_stack(steps: list[str | None]) -> None:
    """For any sequence of promotions and possible rollbacks, the line is what a plain stack holds."""
    stack: list[str] = []
    history: list[Recorded] = []
    for step in steps:
        if step is not None:
            stack.append(step)
            history.append(made(len(history) + 1, "promote", "promoted", step))
        elif len(stack) > 1:
            stack.pop()
            history.append(made(len(history) + 1, "rollback", "rolled_back", stack[-1]))
    assert [item.run_id for item in reign(history)] == stack
