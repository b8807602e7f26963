"""The leakage audit against a loop oracle, and on planted leaks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracles import leakage as oracle
from trademl.errors import LeakageError, SplitError
from trademl.governance.assignments import as_pairs, encode_splits, from_pairs, write_assignments
from trademl.governance.audit import WHOLE_RUN, AuditRow, audit_splits, raise_if_leaking
from trademl.schema import BATCHES
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.spans import LabelSpans
from trademl.validation.splits import Split
from trademl.validation.walk_forward import WalkForward

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST_CLOSE = datetime(2015, 1, 1, 21)
HORIZON, EMBARGO = 5, 10


@dataclass
class Panel:
    """120 sessions of four symbols with labels of five sessions, and what the warehouse says about them."""

    start: np.ndarray = field(default_factory=lambda: np.repeat(np.arange(120), 4))
    entity: np.ndarray = field(default_factory=lambda: np.tile(np.array(list("ABCD")), 120))

    def __post_init__(self) -> None:
        self.end = self.start + HORIZON
        self.known_after = np.zeros(len(self.start))

    @property
    def spans(self) -> LabelSpans:
        return LabelSpans(self.start, self.end, np.unique(self.entity, return_inverse=True)[1])

    def table(self) -> str:
        """The spans relation as SQL."""
        rows = []
        for i, (start, end, entity, late) in enumerate(
            zip(self.start, self.end, self.entity, self.known_after, strict=True)
        ):
            close = FIRST_CLOSE + timedelta(days=int(start))
            known = "null" if np.isnan(late) else f"timestamp '{close + timedelta(hours=float(late))}'"
            decided = close + timedelta(minutes=15)
            rows.append(f"({i}, '{entity}', {int(start)}, {int(end)}, {known}, timestamp '{decided}')")
        names = "row_id, entity, start_ordinal, end_ordinal, known_at, decision_at"
        return f"(select * from (values {', '.join(rows)}) as spans({names}))"


def run_audit(
    splits: Iterable[Split],
    panel: Panel,
    *,
    purge: str = "all",
    paths: int | None = 3,
    embargo: int = EMBARGO,
    gap: int = 0,
    spans: str | None = None,
) -> list[AuditRow]:
    with duckdb.connect(config={"threads": 2}) as con:
        con.register("assignments", encode_splits(splits, len(panel.start)))
        con.execute(f"create table spans as from {spans or panel.table()}")
        return audit_splits(
            con,
            "assignments",
            "spans",
            embargo=embargo,
            purge=purge,
            run_id="run-1",
            paths=paths,
            gap=gap,
            now=lambda: NOW,
        )


def failed(rows: list[AuditRow]) -> set[str]:
    return {row.check_name for row in rows if row.violations}


def honest_splits(panel: Panel, **changes: object) -> list[Split]:
    return list(
        CombinatorialPurgedCV(**{"n_folds": 4, "n_test_folds": 2, "embargo": EMBARGO, **changes}).split(panel.spans)
    )


def with_train(split: Split, rows: Iterable[int]) -> Split:
    return split._replace(train=np.union1d(split.train, np.array(list(rows), np.int64)))


@pytest.mark.parametrize("purge", ["all", "entity"])
def test_honest_splits_pass_every_check(purge: str) -> None:
    """Purged and embargoed splits have no violation, and each check says how much it looked at."""
    panel = Panel()
    splits = honest_splits(panel, purge=purge)
    rows = run_audit(splits, panel, purge=purge)
    raise_if_leaking(rows)
    assert {row.split_id for row in rows} == {WHOLE_RUN, 0, 1, 2, 3, 4, 5}
    pairs = {row.split_id: row.compared for row in rows if row.check_name == "overlap_any_entity"}
    assert pairs == {split.split_id: len(split.train) * len(split.test) for split in splits}
    assert all(row.recorded_at == datetime(2026, 1, 2) for row in rows)


def test_rows_fit_the_table_they_are_kept_in() -> None:
    """Each row has exactly the columns of ops.leakage_audit, one row per its grain."""
    panel = Panel()
    rows = run_audit(honest_splits(panel), panel)
    table = BATCHES["ops.leakage_audit"]
    assert all(list(row.as_dict()) == list(table.columns) for row in rows)
    assert len({tuple(row.as_dict()[name] for name in table.grain) for row in rows}) == len(rows)


@st.composite
def assigned_panels(draw: st.DrawFn) -> tuple[list[oracle.Row], list[tuple[list[int], list[int]]]]:
    """Any rows with any assignment, honest or not; a row may be in both roles."""
    n = draw(st.integers(2, 16))
    rows = []
    for _ in range(n):
        start = draw(st.integers(0, 15))
        rows.append(oracle.Row(start, start + draw(st.integers(0, 5)), draw(st.sampled_from("ABC"))))
    splits = []
    for _ in range(draw(st.integers(1, 2))):
        roles = [draw(st.integers(0, 3)) for _ in range(n)]
        splits.append(([i for i in range(n) if roles[i] & 1], [i for i in range(n) if roles[i] & 2]))
    return rows, splits


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(assigned_panels(), st.integers(0, 5))
def test_counts_equal_the_loop_over_all_pairs(
    case: tuple[list[oracle.Row], list[tuple[list[int], list[int]]]], embargo: int
) -> None:
    """Whatever the assignment, every check counts exactly what a loop over all pairs of rows counts."""
    rows, assigned = case
    if not any(train or test for train, test in assigned):
        return
    panel = Panel(np.array([row.start for row in rows]), np.array([row.entity for row in rows]))
    panel.end = np.array([row.end for row in rows])
    splits = [Split(i, np.array(a, np.int64), np.array(b, np.int64), ()) for i, (a, b) in enumerate(assigned)]
    found = {
        (row.split_id, row.check_name): row.violations for row in run_audit(splits, panel, embargo=embargo, paths=None)
    }
    for split_id, (train, test) in enumerate(assigned):
        if not train and not test and (split_id, "empty_role") not in found:
            continue  # a trailing empty split leaves no trace in the assignments
        expected = oracle.audit(rows, train, test, embargo)
        assert {check: found[split_id, check] for check in expected} == expected


def leak_missing_purge(panel: Panel) -> list[Split]:
    splits = honest_splits(panel)
    before = np.flatnonzero(panel.start == splits[5].test.min() // 4 - 1)
    return [*splits[:5], with_train(splits[5], before)]


def leak_missing_embargo(panel: Panel) -> list[Split]:
    return honest_splits(panel, embargo=0)


def leak_embargo_short_by_one(panel: Panel) -> list[Split]:
    return honest_splits(panel, embargo=EMBARGO - 1)


def leak_label_end_shifted(panel: Panel) -> list[Split]:
    shifted = LabelSpans(panel.start, panel.end - 1, panel.spans.entity)
    return list(CombinatorialPurgedCV(4, 2, EMBARGO + 1).split(shifted))


def leak_no_purge_at_all(panel: Panel) -> list[Split]:
    return list(CombinatorialPurgedCV(4, 2, 0).split(LabelSpans(panel.start, panel.start, panel.spans.entity)))


def leak_shuffled_folds(panel: Panel) -> list[Split]:
    fold = np.random.default_rng(0).integers(0, 4, len(panel.start))
    return [Split(k, np.flatnonzero(fold != k), np.flatnonzero(fold == k), (k,)) for k in range(4)]


def leak_row_in_both_roles(panel: Panel) -> list[Split]:
    splits = honest_splits(panel)
    return [with_train(splits[0], splits[0].test[:1]), *splits[1:]]


def leak_duplicated_rows(panel: Panel) -> list[Split]:
    splits = honest_splits(panel)
    # The last row is a copy of the first under its own id, and is left to train where the first is tested.
    panel.start[-1], panel.end[-1], panel.entity[-1] = panel.start[0], panel.end[0], panel.entity[0]
    return splits


def leak_known_after_decision(panel: Panel) -> list[Split]:
    panel.known_after[7] = 1.0
    return honest_splits(panel)


def leak_known_at_unknown(panel: Panel) -> list[Split]:
    panel.known_after[7] = np.nan
    return honest_splits(panel)


def leak_rows_never_tested(panel: Panel) -> list[Split]:
    return [split._replace(test=split.test[split.test != 3]) for split in honest_splits(panel)]


def leak_tested_too_often(panel: Panel) -> list[Split]:
    splits = honest_splits(panel)
    return [*splits, splits[0]._replace(split_id=6)]


def leak_empty_train(panel: Panel) -> list[Split]:
    splits = honest_splits(panel)
    return [splits[0]._replace(train=np.empty(0, np.int64)), *splits[1:]]


LEAKS: list[tuple[Callable[[Panel], list[Split]], set[str]]] = [
    (leak_missing_purge, {"overlap_any_entity", "overlap_same_entity"}),
    (leak_missing_embargo, {"embargo_after_test"}),
    (leak_embargo_short_by_one, {"embargo_after_test"}),
    (leak_label_end_shifted, {"overlap_any_entity", "overlap_same_entity"}),
    (leak_no_purge_at_all, {"overlap_any_entity", "overlap_same_entity", "embargo_after_test"}),
    (leak_shuffled_folds, {"overlap_any_entity", "overlap_same_entity"}),
    (leak_row_in_both_roles, {"overlap_any_entity", "overlap_same_entity", "train_and_test", "duplicate_rows"}),
    (leak_duplicated_rows, {"overlap_any_entity", "overlap_same_entity", "duplicate_rows"}),
    (leak_known_after_decision, {"known_after_decision"}),
    (leak_known_at_unknown, {"known_after_decision"}),
    (leak_rows_never_tested, {"tested_in_no_path", "tested_unevenly"}),
    (leak_tested_too_often, {"tested_unevenly"}),
    (leak_empty_train, {"empty_role"}),
]


@pytest.mark.parametrize("plant, named", LEAKS, ids=[plant.__name__ for plant, _ in LEAKS])
def test_a_planted_leak_is_refused_by_name(plant: Callable[[Panel], list[Split]], named: set[str]) -> None:
    """Each kind of leak is found by the checks that are about it, and the run is refused."""
    panel = Panel()
    rows = run_audit(plant(panel), panel)
    assert named <= failed(rows)
    with pytest.raises(LeakageError) as refusal:
        raise_if_leaking(rows)
    assert all(check in str(refusal.value) for check in named)


@pytest.mark.parametrize(
    "plant", [leak_missing_embargo, leak_embargo_short_by_one, leak_known_after_decision, leak_tested_too_often]
)
def test_a_leak_of_one_kind_fails_no_other_check(plant: Callable[[Panel], list[Split]]) -> None:
    """Where only one thing is wrong, only the check about it fails."""
    panel = Panel()
    assert failed(run_audit(plant(panel), panel)) == dict(LEAKS)[plant]


def test_other_entities_may_overlap_only_when_purging_by_entity() -> None:
    """Splits purged per symbol fail the audit of 'all'; that of 'entity' reports the overlap and passes."""
    panel = Panel()
    # Symbol B is listed for six sessions only, just after the first fold: when that is tested, B has no row in it.
    keep = (panel.entity != "B") | ((panel.start > 30) & (panel.start < 37))
    panel = Panel(panel.start[keep], panel.entity[keep])
    splits = honest_splits(panel, purge="entity")
    assert failed(run_audit(splits, panel, purge="all")) == {"overlap_any_entity"}
    rows = run_audit(splits, panel, purge="entity")
    assert failed(rows) == set()
    reported = [row for row in rows if row.check_name == "overlap_any_entity" and "reported, not judged" in row.detail]
    assert len(reported) == 6
    assert any(", 0 pairs" not in row.detail for row in reported)


def test_mixed_up_entities_are_caught() -> None:
    """Splits purged per symbol on codes that belong to other rows leak within the true symbols."""
    panel = Panel()
    panel.end = panel.start + np.where(panel.entity == "A", 9, 1)
    mixed = LabelSpans(panel.start, panel.end, np.arange(len(panel.start)) // 100)
    splits = list(CombinatorialPurgedCV(4, 2, EMBARGO, "entity").split(mixed))
    assert "overlap_same_entity" in failed(run_audit(splits, panel, purge="entity"))


def test_walk_forward_keeps_its_gap_and_is_not_asked_for_paths() -> None:
    """Rows of the first window are never tested: reported, not judged. A gap one session short is a violation."""
    panel = Panel()
    splits = list(WalkForward(3, embargo=4).split(panel.spans))
    rows = run_audit(splits, panel, paths=None, gap=4)
    raise_if_leaking(rows)
    (never,) = (row for row in rows if row.check_name == "tested_in_no_path")
    assert never.detail.startswith("120 of 480 rows are never tested; reported, not judged")
    assert failed(run_audit(splits, panel, paths=None, gap=5)) == {"gap_before_test"}


def test_the_message_says_what_where_and_how_much() -> None:
    """The refusal names the check, the count, the worst split, an interval and the remedy."""
    panel = Panel()
    rows = run_audit(leak_missing_purge(panel), panel)
    with pytest.raises(LeakageError) as refusal:
        raise_if_leaking(rows)
    text = str(refusal.value)
    # Fold 2 opens at session 60: the four rows of session 59 meet the tested labels that start at 60 to 64.
    assert "overlap_any_entity: 80 violations in 1 splits, worst in split 5" in text
    assert "a train label over sessions 59 to 64" in text
    assert "remedy: " in text


def test_rows_that_the_two_relations_do_not_share_are_violations() -> None:
    """An assigned row without a span, a repeated row id and an impossible span are each counted."""
    panel = Panel()
    splits = honest_splits(panel)
    spans = panel.table()
    without = run_audit(splits, panel, spans=f"(select * from {spans} where row_id <> 5)")
    assert failed(without) == {"row_without_span"}
    twice = run_audit(splits, panel, spans=f"(select * from {spans} union all select * from {spans} where row_id = 5)")
    assert "row_id_repeated" in failed(twice)
    reversed_label = f"(select * replace (if(row_id = 5, -1, end_ordinal) as end_ordinal) from {spans})"
    assert failed(run_audit(splits, panel, spans=reversed_label)) == {"invalid_span"}
    unknown_end = f"(select * replace (if(row_id = 5, null, end_ordinal) as end_ordinal) from {spans})"
    assert "invalid_span" in failed(run_audit(splits, panel, spans=unknown_end))
    extra = f"(select * from {spans} union all select 999, 'A', 3, 8, timestamp '2000-01-01', timestamp '2015-01-04')"
    assert failed(run_audit(splits, panel, spans=extra)) == {"tested_in_no_path", "tested_unevenly"}


def test_more_than_64_splits_are_audited_alike() -> None:
    """CPCV(12, 2) has 66 splits in two words; a leak in the last one is found there."""
    panel = Panel()
    splits = honest_splits(panel, n_folds=12, embargo=2)
    assert failed(run_audit(splits, panel, embargo=2, paths=11)) == set()
    splits[65] = with_train(splits[65], [splits[65].test[0] - 1])
    rows = run_audit(splits, panel, embargo=2, paths=11)
    assert {(row.split_id, row.check_name) for row in rows if row.violations} == {
        (65, "overlap_any_entity"),
        (65, "overlap_same_entity"),
    }


def test_a_stored_file_and_the_long_form_are_audited_alike(tmp_path: Path) -> None:
    """A parquet path and a relation (split_id, row_id, role) give the same rows; no table is left behind."""
    panel = Panel()
    splits = honest_splits(panel, embargo=3)
    path = write_assignments(tmp_path / "assignments.parquet", splits, len(panel.start))
    with duckdb.connect() as con:
        con.execute(f"create table spans as from {panel.table()}")
        con.execute(f"create table pairs as from {as_pairs(path, 6)}")
        results = [
            audit_splits(con, source, "spans", embargo=EMBARGO, run_id="r", paths=3, now=lambda: NOW)
            for source in (path, from_pairs("pairs", 6))
        ]
        assert con.execute("select table_name from duckdb_tables() order by all").fetchall() == [("pairs",), ("spans",)]
    assert results[0] == results[1]
    assert failed(results[0]) == {"embargo_after_test"}


def test_relations_without_their_columns_are_refused() -> None:
    """The message lists what is missing, what is there and where the shape is written down."""
    panel = Panel()
    with pytest.raises(SplitError, match="the spans lack the columns known_at"):
        run_audit(honest_splits(panel), panel, spans=f"(select * exclude (known_at) from {panel.table()})")
    with duckdb.connect() as con, pytest.raises(SplitError, match="the assignments lack the columns train_0, test_0"):
        audit_splits(con, "(select 0 as row_id)", panel.table(), embargo=0, run_id="r")
