"""The leakage audit: stored splits judged in SQL from the labels' own dates, knowing nothing of how they were made.

Every (train row, test row) pair of every split is covered, by counting instead of listing them: of the test labels,
those that meet a train label [s, e] are those that start by e less those that end before s. Rows are first collapsed to
distinct intervals, of which a panel has few, so the count is exact and its cost does not grow with the number of pairs.

Checks (``check_name``), one row per split unless said otherwise; docs/validation.md explains each:

    overlap_any_entity     pairs whose label windows overlap; judged when purge='all', else reported only
    overlap_same_entity    such pairs within one entity
    duplicate_rows         pairs of one entity and one decision: the same row on both sides
    train_and_test         rows in both roles
    embargo_after_test     train rows that start within the embargo after a test block's last label end
    gap_before_test        train rows whose label ends within `gap` sessions before a test block (walk-forward)
    known_after_decision   rows used whose features were known after the decision, or at an unknown time
    empty_role             1 when the split trains on nothing or tests nothing
    tested_in_no_path      whole run (split_id -1): rows never tested
    tested_unevenly        whole run: rows not tested once per path
    row_id_repeated        whole run: row ids there twice, in the assignments or the spans
    row_without_span       whole run: assigned rows whose labels are unknown to the spans
    invalid_span           whole run: labels that end before they start, or with a NULL end, start or entity
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.errors import LeakageError, SplitError
from trademl.governance.assignments import WORD, has_bit, source_text

WHOLE_RUN = -1
"""``split_id`` of checks that are about the run and not about one split."""

Purge = Literal["all", "entity"]

_TABLES = ("rows", "cells", "splits", "roles", "timeline", "blocks", "near", "hot")
_SPAN_COLUMNS = ("row_id", "entity", "start_ordinal", "end_ordinal", "known_at", "decision_at")


@dataclass(frozen=True)
class AuditRow:
    """One check of one split: a row of ``ops.leakage_audit``.

    Attributes:
        violations: what was found and is forbidden; the run may be registered only when all are 0.
        compared: what was looked at: pairs for the pair checks, rows (or rows x blocks) for the others.
        detail: a sentence with the numbers; findings that are reported but not judged are there.
    """

    run_id: str
    split_id: int
    check_name: str
    violations: int
    compared: int
    detail: str
    recorded_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return the row as a mapping of column to value, as ``write_rows`` takes it."""
        return asdict(self)


def audit_splits(
    con: duckdb.DuckDBPyConnection,
    assignments: str | Path,
    spans: str | Path,
    *,
    embargo: int,
    purge: Purge = "all",
    run_id: str,
    paths: int | None = None,
    gap: int = 0,
    n_splits: int | None = None,
    now: Clock = utc_now,
) -> list[AuditRow]:
    """Audit stored splits and return one row per check; nothing is raised for a leak, see :func:`raise_if_leaking`.

    Args:
        con: a connection that can read both relations. Temporary tables are made in it and dropped.
        assignments: the table of :mod:`trademl.governance.assignments`: a parquet path, or SQL that may follow FROM.
        spans: one row per training row, likewise: row_id, entity (any type), start_ordinal and end_ordinal (session
            ordinals of decision and label end, both inclusive), known_at (of the features), decision_at. Take it from
            the warehouse, not from what the splitter was given.
        embargo: sessions after a test block's last label end in which no train row may start.
        purge: 'all': no overlap with any test row; 'entity': none with a test row of the same entity.
        run_id: written on every row.
        paths: how often each row must be tested; None (walk-forward): reported, not judged.
        gap: sessions that must lie between a train label's end and the next test block's first decision.
        n_splits: splits to expect; None: as many as the assignments use.
        now: the clock for ``recorded_at``.

    Raises:
        SplitError: a relation lacks a column, or the assignments hold no split.
    """
    stamp = sql_utc(now())

    def found(split_id: int, check: str, violations: int, compared: int, detail: str) -> AuditRow:
        return AuditRow(run_id, split_id, check, int(violations or 0), int(compared or 0), detail, stamp)

    with _private_tables(con) as table:
        words = _load(con, table, source_text(assignments), source_text(spans))
        splits = _splits(con, table, words, n_splits)
        _count_roles(con, table, words)
        results = [
            *_overlaps(con, table, words, splits, purge, found),
            *_distances(con, table, embargo, gap, found),
            *_run_checks(con, table, source_text(assignments), source_text(spans), words, paths, found),
        ]
    return sorted(results, key=lambda row: (row.split_id, row.check_name))


def raise_if_leaking(rows: Sequence[AuditRow]) -> None:
    """Refuse a run whose audit found a violation.

    Raises:
        LeakageError: names each failed check with its count, the worst split and its detail.
    """
    failed = [row for row in rows if row.violations]
    if not failed:
        return
    lines = []
    for check in dict.fromkeys(row.check_name for row in failed):
        of_check = [row for row in failed if row.check_name == check]
        worst = max(of_check, key=lambda row: row.violations)
        where = "the run" if worst.split_id == WHOLE_RUN else f"{len(of_check)} splits, worst in split {worst.split_id}"
        lines.append(f"{check}: {sum(row.violations for row in of_check)} violations in {where} ({worst.detail})")
    raise LeakageError(
        f"the splits of run {failed[0].run_id} leak: " + "; ".join(lines),
        remedy="make the splits from the labels' real ends with purge and embargo, or mend the features named; "
        "nothing can be registered until every check counts 0",
    )


_Found = Callable[[int, str, int, int, str], AuditRow]
_Names = dict[str, str]


@contextmanager
def _private_tables(con: duckdb.DuckDBPyConnection) -> Iterator[_Names]:
    names = {name: f"leakage_audit_{name}" for name in _TABLES}
    try:
        yield names
    finally:
        for name in names.values():
            con.execute(f"drop table if exists {name}")


def _fetch(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


def _load(con: duckdb.DuckDBPyConnection, table: _Names, assignments: str, spans: str) -> int:
    """Join assignments to spans and collapse them to distinct (interval, masks) cells; return the number of words."""
    columns = _columns(con, assignments)
    words = sum(name.startswith("train_") for name in columns)
    needed = ["row_id", *(f"{role}_{word}" for word in range(words or 1) for role in ("train", "test"))]
    for label, names, wanted in (
        ("assignments", columns, needed), ("spans", _columns(con, spans), _SPAN_COLUMNS)
    ):  # fmt: skip
        missing = [name for name in wanted if name not in names]
        if missing:
            raise SplitError(
                f"the {label} lack the columns {', '.join(missing)}; they have {', '.join(names)}",
                remedy="write assignments with write_assignments and select spans as docs/validation.md shows",
            )
    masks = _masks(words)
    filled = ", ".join(f"coalesce(a.{mask}, 0::ubigint) as {mask}" for mask in masks)
    con.execute(f"""
        create temp table {table["rows"]} as
        select
            hash(s.entity) as entity,
            s.start_ordinal::integer as start_ordinal,
            greatest(s.end_ordinal, s.start_ordinal)::integer as end_ordinal,
            (s.known_at <= s.decision_at) is not true as late,
            (s.start_ordinal <= s.end_ordinal and s.entity is not null) is not true as invalid,
            a.row_id is not null as assigned,
            {filled}
        from {spans} as s
        left join {assignments} as a using (row_id)
    """)
    con.execute(f"""
        create temp table {table["cells"]} as
        select start_ordinal, end_ordinal, late, invalid, assigned, {", ".join(masks)}, count(*) as n
        from {table["rows"]}
        group by all
    """)
    return words


def _columns(con: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    return [row[0] for row in _fetch(con, f"describe select * from {relation}")]


def _masks(words: int) -> list[str]:
    return [f"{role}_{word}" for word in range(words) for role in ("train", "test")]


def _in_split(role: str, words: int) -> str:
    """Return the SQL condition that a row plays ``role`` in the split of table alias ``p``."""
    column = f"{role}_0"
    if words > 1:
        whens = " ".join(f"when {word} then {role}_{word}" for word in range(words))
        column = f"(case p.word {whens} end)"
    return has_bit(column, "p.bit")


def _splits(con: duckdb.DuckDBPyConnection, table: _Names, words: int, n_splits: int | None) -> list[int]:
    used = [
        WORD * word + int(value or 0).bit_length()
        for mask in _masks(words)
        for word in [int(mask.split("_")[1])]
        for value in [_fetch(con, f"select bit_or({mask}) from {table['cells']}")[0][0]]
        if value
    ]
    total = max(used, default=0)
    if n_splits is not None and n_splits < total:
        raise SplitError(
            f"`n_splits={n_splits}`, but the assignments use split {total - 1}",
            remedy=f"audit all {total} splits",
        )
    total = n_splits or total
    if total == 0:
        raise SplitError(
            "the assignments put no row of the spans in any split", remedy="store splits with train and test rows"
        )
    if total > words * WORD:
        raise SplitError(
            f"`n_splits={total}` needs {-(-total // WORD)} words; the assignments have {words}",
            remedy="audit the assignments of this run",
        )
    con.execute(f"""
        create temp table {table["splits"]} as
        select range::integer as split_id, (range // {WORD})::integer as word, (range % {WORD})::integer as bit
        from range({total})
    """)
    return list(range(total))


def _count_roles(con: duckdb.DuckDBPyConnection, table: _Names, words: int) -> None:
    """Count train and test rows per split and interval, along the sessions, and per contiguous test block."""
    train, test = _in_split("train", words), _in_split("test", words)
    con.execute(f"""
        create temp table {table["roles"]} as
        select
            p.split_id,
            c.start_ordinal,
            c.end_ordinal,
            coalesce(sum(c.n) filter (where {train}), 0)::hugeint as train,
            coalesce(sum(c.n) filter (where {test}), 0)::hugeint as test,
            coalesce(sum(c.n) filter (where {train} and {test}), 0)::hugeint as in_both,
            coalesce(sum(c.n) filter (where c.late), 0)::hugeint as late
        from {table["cells"]} as c
        cross join {table["splits"]} as p
        where ({train} or {test}) and c.start_ordinal is not null and c.end_ordinal is not null
        group by all
    """)
    # test_opened: test labels that start by this session; test_closed: those that ended before it. Likewise for train.
    con.execute(f"""
        create temp table {table["timeline"]} as
        with events as (
            select
                split_id, start_ordinal as moment,
                train as train_starts, test as test_starts, 0 as train_ends, 0 as test_ends
            from {table["roles"]}
            union all
            select split_id, end_ordinal, 0, 0, train, test from {table["roles"]}
        ),
        counted as (
            select
                split_id, moment,
                sum(train_starts) as train_starts, sum(test_starts) as test_starts,
                sum(train_ends) as train_ends, sum(test_ends) as test_ends
            from events
            group by split_id, moment
        )
        select
            split_id, moment,
            sum(train_starts) over so_far as train_opened,
            sum(test_starts) over so_far as test_opened,
            coalesce(sum(train_ends) over before, 0) as train_closed,
            coalesce(sum(test_ends) over before, 0) as test_closed
        from counted
        window
            so_far as (partition by split_id order by moment rows unbounded preceding),
            before as (partition by split_id order by moment rows between unbounded preceding and 1 preceding)
    """)
    con.execute(f"""
        create temp table {table["blocks"]} as
        with sessions as (
            select start_ordinal, row_number() over (order by start_ordinal) as position
            from {table["cells"]}
            where start_ordinal is not null
            group by start_ordinal
        ),
        tested as (
            select r.split_id, r.start_ordinal, max(r.end_ordinal) as end_ordinal, any_value(s.position) as position
            from {table["roles"]} as r
            inner join sessions as s using (start_ordinal)
            where r.test > 0
            group by r.split_id, r.start_ordinal
        ),
        islands as (
            select *, position - row_number() over (partition by split_id order by position) as island from tested
        )
        select split_id, min(start_ordinal) as first_start, max(end_ordinal) as last_end
        from islands
        group by split_id, island
    """)


def _overlaps(
    con: duckdb.DuckDBPyConnection, table: _Names, words: int, splits: list[int], purge: Purge, found: _Found
) -> list[AuditRow]:
    totals = {
        split: (int(train), int(test), int(both), int(late))
        for split, train, test, both, late in _fetch(
            con,
            f"select split_id, sum(train), sum(test), sum(in_both), sum(late) from {table['roles']} group by split_id",
        )
    }
    meeting = {
        row[0]: row[1:]
        for row in _fetch(
            con,
            f"""
            select
                r.split_id,
                sum(r.train * (e.test_opened - s.test_closed))::hugeint,
                min((r.start_ordinal, r.end_ordinal)) filter (where r.train > 0 and e.test_opened > s.test_closed)
            from {table["roles"]} as r
            inner join {table["timeline"]} as e on r.split_id = e.split_id and r.end_ordinal = e.moment
            inner join {table["timeline"]} as s on r.split_id = s.split_id and r.start_ordinal = s.moment
            group by r.split_id
            """,
        )
    }
    own_pairs = _pairs_within_entities(con, table, words)
    overlapping = [split for split in splits if split in meeting and meeting[split][0]]
    if overlapping:
        _hot_rows(con, table)
    rows = []
    for split in splits:
        train, test, both, late = totals.get(split, (0, 0, 0, 0))
        pairs, example = meeting.get(split, (0, None))
        pairs, pairs_covered = int(pairs or 0), train * test
        text = f"{train} train rows x {test} test rows, {pairs} pairs overlap"
        if example is not None:
            text += f", the first by a train label over sessions {example[0]} to {example[1]}"
        judged = pairs if purge == "all" else 0
        if purge != "all":
            text += "; reported, not judged: purge='entity'"
        same, copies = _within_entities(con, table, words, split) if split in overlapping else (0, 0)
        own = own_pairs.get(split, 0)
        rows += [
            found(split, "overlap_any_entity", judged, pairs_covered, text),
            found(split, "overlap_same_entity", same, own, f"{own} pairs of one entity, {same} overlap"),
            found(split, "duplicate_rows", copies, own, f"{copies} pairs share entity and decision session"),
            found(split, "train_and_test", both, train + test - both, f"{both} rows are in both roles"),
            found(
                split, "known_after_decision", late, train + test - both,
                f"{late} rows use features known after the decision, or at an unknown time",
            ),
            found(
                split, "empty_role", int(train == 0 or test == 0), train + test - both,
                f"{train} train rows, {test} test rows",
            ),
        ]  # fmt: skip
    return rows


def _pairs_within_entities(con: duckdb.DuckDBPyConnection, table: _Names, words: int) -> dict[int, int]:
    """Return, per split, how many (train row, test row) pairs share an entity."""
    masks = ", ".join(_masks(words))
    return {
        split: int(pairs)
        for split, pairs in _fetch(
            con,
            f"""
            with patterns as (
                select entity, {masks}, count(*) as n
                from {table["rows"]}
                group by entity, {masks}
            ),
            sides as (
                select
                    p.split_id, c.entity,
                    coalesce(sum(c.n) filter (where {_in_split("train", words)}), 0)::hugeint as train,
                    coalesce(sum(c.n) filter (where {_in_split("test", words)}), 0)::hugeint as test
                from patterns as c
                cross join {table["splits"]} as p
                group by p.split_id, c.entity
            )
            select split_id, sum(train * test)::hugeint from sides group by split_id
            """,
        )
    }


def _hot_rows(con: duckdb.DuckDBPyConnection, table: _Names) -> None:
    """Keep the rows whose interval overlaps the other role's in some split: only they can overlap within an entity."""
    con.execute(f"""
        create temp table {table["near"]} as
        select r.split_id, r.start_ordinal, r.end_ordinal
        from {table["roles"]} as r
        inner join {table["timeline"]} as e on r.split_id = e.split_id and r.end_ordinal = e.moment
        inner join {table["timeline"]} as s on r.split_id = s.split_id and r.start_ordinal = s.moment
        where
            (r.train > 0 and e.test_opened > s.test_closed)
            or (r.test > 0 and e.train_opened > s.train_closed)
    """)
    con.execute(f"""
        create temp table {table["hot"]} as
        select r.*
        from {table["rows"]} as r
        semi join {table["near"]} as n
            on r.start_ordinal = n.start_ordinal and r.end_ordinal = n.end_ordinal
    """)


def _within_entities(con: duckdb.DuckDBPyConnection, table: _Names, words: int, split: int) -> tuple[int, int]:
    """Count the pairs of one split that overlap within an entity, and those of one entity and decision session."""
    word, bit = divmod(split, WORD)
    train, test = has_bit(f"train_{word}", str(bit)), has_bit(f"test_{word}", str(bit))
    # Phases order what happens in one session: labels open, closed ones are read, opened ones are read, labels close.
    overlapping, copies = _fetch(
        con,
        f"""
        with rows as (
            select h.entity, h.start_ordinal, h.end_ordinal, ({train})::integer as train, ({test})::integer as test
            from {table["hot"]} as h
            semi join (select * from {table["near"]} where split_id = {split}) as n
                on h.start_ordinal = n.start_ordinal and h.end_ordinal = n.end_ordinal
            where {train} or {test}
        ),
        events as (
            select entity, start_ordinal as moment, 0 as phase, sum(train) as train, sum(test) as opens, 0 as closes
            from rows group by all
            union all
            select entity, end_ordinal, 1, sum(train), 0, 0 from rows where train = 1 group by all
            union all
            select entity, end_ordinal, 2, 0, 0, sum(test) from rows where test = 1 group by all
        ),
        running as (
            select
                phase, train, opens,
                sum(opens) over so_far as opened,
                sum(closes) over so_far as closed
            from events
            window so_far as (partition by entity order by moment, phase rows unbounded preceding)
        )
        select
            coalesce(sum(train * opened) filter (where phase = 1), 0)
                - coalesce(sum(train * closed) filter (where phase = 0), 0),
            coalesce(sum(train * opens) filter (where phase = 0), 0)
        from running
        """,
    )[0]
    return int(overlapping), int(copies)


def _distances(con: duckdb.DuckDBPyConnection, table: _Names, embargo: int, gap: int, found: _Found) -> list[AuditRow]:
    """Check the sessions that must lie empty after (embargo) and before (gap) each test block."""
    checks = [
        (
            "embargo_after_test",
            f"r.start_ordinal > b.last_end and r.start_ordinal <= b.last_end + {int(embargo)}",
            f"start within {embargo} sessions after a test block's last label end",
        )
    ]
    if gap:
        checks.append(
            (
                "gap_before_test",
                f"r.start_ordinal < b.first_start and r.end_ordinal + {int(gap)} >= b.first_start",
                f"end within {gap} sessions before a test block's first decision, or after it",
            )
        )
    rows = []
    for check, condition, meaning in checks:
        for split, violations, train, blocks, first in _fetch(
            con,
            f"""
            with broken as (
                select r.split_id, r.start_ordinal, r.end_ordinal, r.train
                from {table["roles"]} as r
                semi join {table["blocks"]} as b on r.split_id = b.split_id and {condition}
                where r.train > 0
            ),
            counted as (
                select split_id, sum(train) as rows, min((start_ordinal, end_ordinal)) as example
                from broken group by split_id
            ),
            sizes as (select split_id, sum(train) as train from {table["roles"]} group by split_id),
            islands as (select split_id, count(*) as blocks from {table["blocks"]} group by split_id)
            select
                p.split_id, coalesce(c.rows, 0)::hugeint, coalesce(z.train, 0)::hugeint,
                coalesce(i.blocks, 0), c.example
            from {table["splits"]} as p
            left join counted as c using (split_id)
            left join sizes as z using (split_id)
            left join islands as i using (split_id)
            """,
        ):
            text = f"{violations} of {train} train rows {meaning} ({blocks} blocks)"
            if first is not None:
                text += f"; the first over sessions {first[0]} to {first[1]}"
            rows.append(found(split, check, violations, train * blocks, text))
    return rows


def _run_checks(
    con: duckdb.DuckDBPyConnection,
    table: _Names,
    assignments: str,
    spans: str,
    words: int,
    paths: int | None,
    found: _Found,
) -> list[AuditRow]:
    """Check what concerns the run as a whole: every row tested, and the two relations about the same rows."""
    tested = " + ".join(f"bit_count(test_{word})::integer" for word in range(words))
    expected = "null" if paths is None else str(int(paths))
    total, never, uneven, least, most, invalid = _fetch(
        con,
        f"""
        with counted as (select n, invalid, {tested} as times from {table["cells"]})
        select
            coalesce(sum(n), 0), coalesce(sum(n) filter (where times = 0), 0),
            coalesce(sum(n) filter (where times <> {expected}), 0),
            min(times), max(times), coalesce(sum(n) filter (where invalid), 0)
        from counted
        """,
    )[0]
    joined = _fetch(con, f"select count(*) filter (where assigned) from {table['rows']}")[0][0]
    sizes = [
        _fetch(con, f"select count(*), count(distinct row_id) from {relation}")[0] for relation in (assignments, spans)
    ]
    repeated = sum(rows - distinct for rows, distinct in sizes)
    stray = 0
    if joined < sizes[0][0] or repeated:
        stray = _fetch(con, f"select count(*) from {assignments} as a anti join {spans} as s using (row_id)")[0][0]
    unjudged = "" if paths is not None else "; reported, not judged: no number of paths is expected"
    return [
        found(
            WHOLE_RUN, "tested_in_no_path", 0 if paths is None else never, total,
            f"{never} of {total} rows are never tested{unjudged}",
        ),
        found(
            WHOLE_RUN, "tested_unevenly", 0 if paths is None else uneven, total,
            f"rows are tested {least} to {most} times, expected {'any number' if paths is None else paths}{unjudged}",
        ),
        found(
            WHOLE_RUN, "row_id_repeated", repeated, sizes[0][0] + sizes[1][0],
            f"{sizes[0][0] - sizes[0][1]} repeated or NULL row ids in the assignments, "
            f"{sizes[1][0] - sizes[1][1]} in the spans",
        ),
        found(
            WHOLE_RUN, "row_without_span", stray, sizes[0][0],
            f"{stray} of {sizes[0][0]} assigned rows have no label span, so nothing about them could be judged",
        ),
        found(
            WHOLE_RUN, "invalid_span", invalid, total,
            f"{invalid} labels end before they start or lack start, end or entity",
        ),
    ]  # fmt: skip
