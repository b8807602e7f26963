"""The audit of a stack, in SQL over what is stored: it knows nothing of how the meta-learners were given their rows.

Checks (``check_name``), one row per fold under test (``split_id``), summed over the bases:

    stack_meta_*                the checks of :mod:`trademl.governance.audit` over the meta-learners' own assignments:
                                label windows of train and test rows, embargo, duplicates, known times
    stack_input_not_held_out    meta train rows whose base scores come from a split that does not test the row itself,
                                and rows under test that such a split does not test
    stack_input_differs         meta train rows whose base score is not the one that the base's ``preds.oof`` has for
                                this entity, session and split
    stack_base_*                train rows of the bases' splits (those that give inputs to the fold's meta-learner, and
                                those that predict the fold) against the rows under test: overlaps, embargo, duplicates
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
from numpy.typing import NDArray

from trademl.clock import Clock, sql_utc, utc_now
from trademl.governance.assignments import WORD, has_bit, source_text
from trademl.governance.audit import WHOLE_RUN, AuditRow, Purge, audit_splits
from trademl.training.stack_folds import UNUSED, FoldInputs

_OF_BASES = ("overlap_any_entity", "overlap_same_entity", "duplicate_rows", "embargo_after_test", "row_without_span")
_MATCHED = "stack_audit_matched"
_PREDICTED = "stack_audit_predicted"
_GIVEN = "stack_audit_given"


@dataclass(frozen=True)
class AuditedBase:
    """A base as the audit sees it: its run, its split assignments, and a SELECT of its rows' label spans."""

    run_id: str
    splits: str | Path
    spans: str


@dataclass(frozen=True)
class AuditedStack:
    """A stack as the audit sees it.

    Attributes:
        run_id: written on every row.
        sleeve: of the bases' rows in ``preds.oof``.
        meta: the meta-learners' assignments (:func:`trademl.training.stack_folds.write_meta_assignments`).
        splits: the assignments of the stack's own splits: which of them predict a row.
        spans: a SELECT of the label spans of the stack's rows, from the warehouse.
        bases: in the order of the inputs.
        n_folds, embargo, purge: of the validation.
    """

    run_id: str
    sleeve: str
    meta: str | Path
    splits: str | Path
    spans: str
    bases: tuple[AuditedBase, ...]
    n_folds: int
    embargo: int
    purge: Purge


def audit_stack(
    con: duckdb.DuckDBPyConnection, stack: AuditedStack, inputs: Iterable[FoldInputs], *, now: Clock = utc_now
) -> list[AuditRow]:
    """Return one row per check and fold; nothing is raised for a violation, see ``governance.audit.raise_if_leaking``.

    Args:
        con: a snapshot's connection, with ``preds.oof`` and ``silver.calendar``. Temporary tables are made and dropped.
        stack: what is stored.
        inputs: what each meta-learner is fitted on; taken one at a time.
        now: the clock for ``recorded_at``.

    Raises:
        SplitError: a relation lacks a column.
    """
    found = [
        replace(row, check_name=f"stack_meta_{row.check_name}")
        for row in audit_splits(
            con,
            stack.meta,
            stack.spans,
            embargo=stack.embargo,
            purge=stack.purge,
            run_id=stack.run_id,
            paths=1,
            n_splits=stack.n_folds,
            now=now,
        )
    ]
    tally = _Tally(stack.run_id)
    for base in stack.bases:
        _held_out(con, stack, base, tally)
        for row in _base_overlaps(con, stack, base, now):
            tally.add(row.split_id, f"stack_base_{row.check_name}", row.violations, row.compared, base.run_id)
    _values(con, stack, inputs, tally)
    return sorted([*found, *tally.rows(now)], key=lambda row: (row.split_id, row.check_name))


class _Tally:
    """Sums counts of one check and fold over the bases; the detail names each base that has violations."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.counts: dict[tuple[int, str], list[tuple[int, int, str]]] = {}

    def add(self, fold: int, check: str, violations: Any, compared: Any, base: str) -> None:
        self.counts.setdefault((fold, check), []).append((int(violations or 0), int(compared or 0), base))

    def rows(self, now: Clock) -> Iterator[AuditRow]:
        stamp = sql_utc(now())
        for (fold, check), parts in self.counts.items():
            compared = sum(part[1] for part in parts)
            by_base: dict[str, int] = {}
            for violations, _, base in parts:
                by_base[base] = by_base.get(base, 0) + violations
            told = ", ".join(f"{count} of base {base}" for base, count in by_base.items() if count)
            detail = told or f"none of {compared} over {len(by_base)} bases"
            yield AuditRow(self.run_id, fold, check, sum(by_base.values()), compared, detail, stamp)


def _held_out(con: duckdb.DuckDBPyConnection, stack: AuditedStack, base: AuditedBase, tally: _Tally) -> None:
    words = _words(con, base.splits)
    with _temporary(con, _MATCHED):
        con.execute(f"""
            create temp table {_MATCHED} as
            select meta.*, {", ".join(f"given.test_{word} as base_test_{word}" for word in range(words))}
            from {stack.spans} as own
            inner join {source_text(stack.meta)} as meta on own.row_id = meta.row_id
            inner join {base.spans} as theirs
                on own.entity = theirs.entity and own.start_ordinal = theirs.start_ordinal
            inner join {source_text(base.splits)} as given on theirs.row_id = given.row_id
        """)
        for fold in range(stack.n_folds):
            trains, tests = has_bit("train_0", str(fold)), has_bit("test_0", str(fold))
            compared, wrong = _one(
                con,
                f"select count(*), count(*) filter (where input_{fold} < 0 or not {_tested(f'input_{fold}', words)}) "
                f"from {_MATCHED} where {trains}",
            )
            pairs, unseen = _one(
                con,
                f"with used as (select distinct input_{fold} as split from {_MATCHED} where {trains}) "
                f"select count(*), count(*) filter (where not {_tested('split', words)}) "
                f"from {_MATCHED} cross join used where {tests} and split <> {UNUSED}",
            )
            tally.add(fold, "stack_input_not_held_out", wrong + unseen, compared + pairs, base.run_id)


def _base_overlaps(
    con: duckdb.DuckDBPyConnection, stack: AuditedStack, base: AuditedBase, now: Clock
) -> Iterator[AuditRow]:
    """Audit the base's train rows against the stack's rows under test, as if each (fold, split) were a split."""
    pairs = [(fold, split) for fold in range(stack.n_folds) for split in _splits_of(con, stack, fold)]
    words = range(-(-len(pairs) // WORD))
    base_side, own_side = (
        ", ".join(
            f"{_mask(role, pairs, word) if role == 'train' else none} as train_{word}, "
            f"{_mask(role, pairs, word) if role == 'test' else none} as test_{word}"
            for word in words
        )
        for role, none in (("train", "0::ubigint"), ("test", "0::ubigint"))
    )
    columns = "entity, start_ordinal, end_ordinal, known_at, decision_at"
    assignments = (
        f"(select 2 * row_id as row_id, {base_side} from {source_text(base.splits)} as source "
        f"union all select 2 * row_id + 1, {own_side} from {source_text(stack.meta)} as source)"
    )
    spans = (
        f"(select 2 * row_id as row_id, {columns} from {base.spans} "
        f"union all select 2 * row_id + 1, {columns} from {stack.spans})"
    )
    rows = audit_splits(
        con,
        assignments,
        spans,
        embargo=stack.embargo,
        purge=stack.purge,
        run_id=stack.run_id,
        n_splits=len(pairs),
        now=now,
    )
    for row in rows:
        if row.check_name in _OF_BASES:
            fold = row.split_id if row.split_id == WHOLE_RUN else pairs[row.split_id][0]
            yield replace(row, split_id=fold)


def _splits_of(con: duckdb.DuckDBPyConnection, stack: AuditedStack, fold: int) -> list[int]:
    """Return the splits whose base models give inputs to the fold's meta-learner, or predict the fold."""
    used = con.execute(
        f"select distinct input_{fold} from {source_text(stack.meta)} where input_{fold} <> {UNUSED}"
    ).fetchall()
    words = _words(con, stack.splits)
    tested = ", ".join(f"bit_or(own.test_{word})" for word in range(words))
    masks = _one(
        con,
        f"select {tested} from {source_text(stack.splits)} as own "
        f"inner join {source_text(stack.meta)} as meta using (row_id) where {has_bit('meta.test_0', str(fold))}",
    )
    predicting = [
        WORD * word + bit for word, mask in enumerate(masks) for bit in range(WORD) if int(mask or 0) >> bit & 1
    ]
    return sorted({int(split) for (split,) in used} | set(predicting))


def _mask(role: str, pairs: Sequence[tuple[int, int]], word: int) -> str:
    """Return the SQL of one word of masks over ``pairs``: of base train rows, or of the meta-learners' test rows."""
    bits = []
    for position, (fold, split) in enumerate(pairs[WORD * word : WORD * (word + 1)]):
        at = (f"train_{split // WORD}", split % WORD) if role == "train" else ("test_0", fold)
        bits.append(f"(((source.{at[0]} >> {at[1]}::ubigint) & 1::ubigint) << {position}::ubigint)")
    return " | ".join(bits)


def _values(con: duckdb.DuckDBPyConnection, stack: AuditedStack, inputs: Iterable[FoldInputs], tally: _Tally) -> None:
    for given in inputs:
        columns: dict[str, NDArray[Any]] = {"row_id": given.rows, "split_id": given.split}
        columns |= {f"score_{number}": given.scores[:, number].copy() for number in range(len(stack.bases))}
        con.register(_GIVEN, columns)
        try:
            for number, base in enumerate(stack.bases):
                _compare(con, stack, base, given.fold, number, tally)
        finally:
            con.unregister(_GIVEN)


def _compare(
    con: duckdb.DuckDBPyConnection, stack: AuditedStack, base: AuditedBase, fold: int, number: int, tally: _Tally
) -> None:
    with _temporary(con, _PREDICTED):
        con.execute(
            f"""
            create temp table {_PREDICTED} as
            select oof.entity, calendar.session_index as ordinal, oof.split_id, oof.yhat
            from preds.oof as oof
            inner join silver.calendar as calendar on oof.dt = calendar.date
            where oof.run_id = ? and oof.sleeve = ? and isfinite(oof.yhat)
                and oof.split_id in (select distinct split_id from {_GIVEN})
            """,
            [base.run_id, stack.sleeve],
        )
        compared, wrong = _one(
            con,
            f"""
            select
                count(*),
                count(*) filter (where case
                    when stored.yhat is null then not isnan(given.score_{number})
                    else stored.yhat is distinct from given.score_{number}
                end)
            from {_GIVEN} as given
            inner join {stack.spans} as own on given.row_id = own.row_id
            left join {_PREDICTED} as stored
                on own.entity = stored.entity and own.start_ordinal = stored.ordinal
                and given.split_id = stored.split_id
            """,
        )
    tally.add(fold, "stack_input_differs", wrong, compared, base.run_id)


def _tested(split: str, words: int) -> str:
    """Return the condition that the base's split numbered by the expression ``split`` tests the row."""
    whens = " ".join(f"when {word} then base_test_{word}" for word in range(words))
    mask = f"(case greatest({split}, 0) // {WORD} {whens} end)"
    return has_bit(mask, f"(greatest({split}, 0) % {WORD})")


def _words(con: duckdb.DuckDBPyConnection, assignments: str | Path) -> int:
    columns = con.execute(f"describe select * from {source_text(assignments)}").fetchall()
    return sum(str(name).startswith("test_") for name, *_ in columns)


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = con.execute(sql).fetchall()[0]
    return row


@contextmanager
def _temporary(con: duckdb.DuckDBPyConnection, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        con.execute(f"drop table if exists {name}")
