"""The audit of a stack: honest ones pass, and each planted leak is counted by its own check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.training.panels import panel
from trademl.errors import LeakageError
from trademl.governance.assignments import write_assignments
from trademl.governance.audit import AuditRow, raise_if_leaking
from trademl.training import stack_folds
from trademl.training.dataset import TrainingData
from trademl.training.splits import make_splits
from trademl.training.stack_audit import AuditedBase, AuditedStack, audit_stack
from trademl.training.stack_folds import FoldInputs, fold_inputs, meta_splits, write_meta_assignments
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.splits import Split

CV = CombinatorialPurgedCV(5, 2, 3)
RUNS = ("run-a", "run-b")


@dataclass
class Stored:
    """What an honest stack leaves, to be changed before the audit."""

    con: duckdb.DuckDBPyConnection
    data: TrainingData
    scores: list[np.ndarray]
    stack: AuditedStack
    folder: Path

    def inputs(self) -> Iterator[FoldInputs]:
        return (fold_inputs(CV, self.data, self.scores, meta) for meta in meta_splits(CV, self.data))

    def audit(self, change: Callable[[FoldInputs], FoldInputs] = lambda given: given) -> list[AuditRow]:
        return audit_stack(self.con, self.stack, (change(given) for given in self.inputs()))


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    """Two bases over one panel, of which the second does not predict symbol 3."""
    data = panel(sessions=60, symbols=6, horizon=3)
    rng = np.random.default_rng(0)
    scores = [rng.standard_normal((CV.n_paths, len(data))) for _ in RUNS]
    scores[1][:, data.spans.entity == 3] = np.nan
    splits = write_assignments(tmp_path / "splits.parquet", make_splits(CV, data), len(data))
    with duckdb.connect() as con:
        con.execute("create schema preds; create schema silver")
        con.execute(
            "create table silver.calendar as select range::integer as session_index, "
            "date '2020-01-01' + range::integer as date from range(70)"
        )
        con.execute(
            "create table preds.oof (sleeve varchar, entity varchar, dt date, run_id varchar, path_id integer, "
            "split_id integer, yhat double)"
        )
        keys = {
            "row_id": np.arange(len(data)),
            "entity": np.array(data.entities)[data.spans.entity].astype(object),
            "start_ordinal": data.spans.start,
            "end_ordinal": data.spans.end,
        }
        con.register("keys", keys)
        con.execute(
            "create table spans as select *, timestamp '2020-01-01' as known_at, timestamp '2020-01-01' as decision_at "
            "from keys"
        )
        con.unregister("keys")
        serving = CV.paths()[CV.folds(data.spans)]
        for run, base in zip(RUNS, scores, strict=True):
            for path in range(CV.n_paths):
                con.register("shown", {"row_id": np.arange(len(data)), "s": serving[:, path], "y": base[path].copy()})
                con.execute(
                    "insert into preds.oof select 'equities', spans.entity, "
                    "date '2020-01-01' + start_ordinal::integer, ?, ?, s, y "
                    "from shown join spans using (row_id) where not isnan(y)",
                    [run, path],
                )
                con.unregister("shown")
        theirs = "(select * from spans)"
        partial = (
            "(select row_number() over (order by row_id) - 1 as row_id, * exclude (row_id) from spans "
            "where entity <> 'S03')"
        )
        kept = np.flatnonzero(data.spans.entity != 3)
        other = CV.split(data.spans.take(kept))
        second = write_assignments(tmp_path / "second.parquet", other, len(kept))
        stack = AuditedStack(
            run_id="stack",
            sleeve="equities",
            meta=write_meta_assignments(tmp_path / "meta.parquet", CV, data),
            splits=splits,
            spans="(select * from spans)",
            bases=(AuditedBase("run-a", splits, theirs), AuditedBase("run-b", second, partial)),
            n_folds=5,
            embargo=3,
            purge="all",
        )
        yield Stored(con, data, scores, stack, tmp_path)


def violated(rows: list[AuditRow]) -> set[str]:
    return {row.check_name for row in rows if row.violations}


def test_an_honest_stack_has_no_violation_and_all_is_compared(stored: Stored) -> None:
    """Every fold has rows of every check, over every meta train row and base; a row that a base lacks is no fault."""
    rows = stored.audit()
    assert violated(rows) == set()
    raise_if_leaking(rows)
    trained = {meta.split_id: len(meta.train) for meta in meta_splits(CV, stored.data)}
    of_fold = {(row.split_id, row.check_name): row for row in rows}
    for fold, count in trained.items():
        assert of_fold[fold, "stack_input_differs"].compared == 2 * count
        assert of_fold[fold, "stack_input_not_held_out"].compared > count
        assert of_fold[fold, "stack_base_overlap_any_entity"].compared > 0
        assert of_fold[fold, "stack_meta_overlap_any_entity"].compared > 0
    assert len({(row.split_id, row.check_name) for row in rows}) == len(rows)
    assert stored.con.execute("select count(*) from duckdb_tables() where temporary").fetchall() == [(0,)]


def remade(stored: Stored, change: Callable[[Split], Split], monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Write the meta-learners' assignments from changed splits."""
    honest = list(meta_splits(CV, stored.data))
    monkeypatch.setattr(stack_folds, "meta_splits", lambda *_: iter([change(split) for split in honest]))
    stored.stack = replace(stored.stack, meta=write_meta_assignments(stored.folder / "other.parquet", CV, stored.data))
    return stored


def test_meta_train_rows_that_overlap_the_fold_are_counted(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a meta-learner trains on every row of the other folds, unpurged."""

    def unpurged(split: Split) -> Split:
        return split._replace(train=np.setdiff1d(np.arange(len(stored.data)), split.test))

    rows = remade(stored, unpurged, monkeypatch).audit()
    assert {"stack_meta_overlap_any_entity", "stack_meta_overlap_same_entity"} <= violated(rows)
    with pytest.raises(LeakageError, match="stack_meta_overlap_any_entity"):
        raise_if_leaking(rows)


def test_meta_train_rows_in_the_embargo_are_counted(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: purged, but without an embargo."""
    purged = {split.split_id: split for split in CombinatorialPurgedCV(5, 1, 0).split(stored.data.spans)}
    rows = remade(stored, lambda split: purged[split.split_id], monkeypatch).audit()
    assert violated(rows) == {"stack_meta_embargo_after_test"}


def test_inputs_of_a_split_that_does_not_hold_out_the_fold_are_counted(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: scores, honestly recorded, of the last split that tests the row, whatever else it tests."""
    last = CV.paths()[:, -1]

    def careless(cv: CombinatorialPurgedCV, fold: int) -> np.ndarray:
        return np.where(np.arange(5) == fold, -1, last)

    monkeypatch.setattr(stack_folds, "input_splits", careless)
    stored.stack = replace(stored.stack, meta=write_meta_assignments(stored.folder / "other.parquet", CV, stored.data))
    rows = stored.audit()
    assert "stack_input_not_held_out" in violated(rows)
    assert "stack_input_differs" not in violated(rows)
    # The models behind such scores were fitted on rows of the fold under test.
    assert "stack_base_overlap_any_entity" in violated(rows)
    with pytest.raises(LeakageError, match="stack_input_not_held_out"):
        raise_if_leaking(rows)


@pytest.mark.parametrize("plant", ["other split", "shuffled", "filled", "emptied"])
def test_scores_that_are_not_the_recorded_ones_are_counted(stored: Stored, plant: str) -> None:
    """Planted: the record is right, and what the meta-learner is given is something else."""

    def change(given: FoldInputs) -> FoldInputs:
        scores = given.scores.copy()
        if plant == "other split":
            scores[:, 0] = stored.scores[0].mean(axis=0)[given.rows]
        elif plant == "shuffled":
            scores[:, 0] = np.random.default_rng(0).permutation(scores[:, 0])
        elif plant == "filled":
            scores[:, 1] = np.where(np.isnan(scores[:, 1]), 0.0, scores[:, 1])
        else:
            scores[0, 0] = np.nan
        return replace(given, scores=scores)

    rows = stored.audit(change)
    assert violated(rows) == {"stack_input_differs"}
    worst = next(row for row in rows if row.violations)
    assert ("run-b" if plant == "filled" else "run-a") in worst.detail
    with pytest.raises(LeakageError, match="stack_input_differs"):
        raise_if_leaking(rows)


def of_base(stored: Stored, splits: Iterator[Split]) -> list[AuditRow]:
    path = write_assignments(stored.folder / "planted.parquet", splits, len(stored.data))
    bases = (replace(stored.stack.bases[0], splits=path), stored.stack.bases[1])
    stored.stack = replace(stored.stack, bases=bases)
    return stored.audit()


def test_a_base_fitted_on_labels_of_the_fold_is_counted(stored: Stored) -> None:
    """Planted: a base whose own purge was left out, in one split."""

    def planted() -> Iterator[Split]:
        for split in make_splits(CV, stored.data):
            everything = np.setdiff1d(np.arange(len(stored.data)), split.test)
            yield split._replace(train=everything) if split.split_id == 4 else split

    rows = of_base(stored, planted())
    assert {"stack_base_overlap_any_entity", "stack_base_overlap_same_entity"} <= violated(rows)
    # Split 4 tests folds 1 and 2: no other fold is touched.
    assert {row.split_id for row in rows if row.violations} == {1, 2}
    assert all("run-a" in row.detail and "run-b" not in row.detail for row in rows if row.violations)
    with pytest.raises(LeakageError, match="stack_base_overlap_any_entity"):
        raise_if_leaking(rows)


def test_a_base_with_a_shorter_embargo_is_counted(stored: Stored) -> None:
    """Planted: a base that kept one session free where the stack keeps three."""
    rows = of_base(stored, make_splits(CombinatorialPurgedCV(5, 2, 1), stored.data))
    assert violated(rows) == {"stack_base_embargo_after_test"}


def test_more_than_64_pairs_of_fold_and_split_are_judged_in_words(stored: Stored) -> None:
    """Eight folds, two under test: 56 pairs fit one word; three under test: 168 need three."""
    data = panel(sessions=60, symbols=2)
    cv = CombinatorialPurgedCV(8, 3, 1)
    splits = write_assignments(stored.folder / "many.parquet", make_splits(cv, data), len(data))
    stored.con.execute("create or replace table spans as select * from spans where entity < 'S02'")
    stored.con.execute(
        "update spans set row_id = (select count(*) from spans as b where (b.start_ordinal, b.entity) < "
        "(spans.start_ordinal, spans.entity))"
    )
    stack = replace(
        stored.stack,
        meta=write_meta_assignments(stored.folder / "many_meta.parquet", cv, data),
        splits=splits,
        bases=(AuditedBase("run-a", splits, "(select * from spans)"),),
        n_folds=8,
        embargo=1,
    )
    rows = audit_stack(stored.con, stack, ())
    assert violated(rows) == set()
    compared = {row.split_id: row.compared for row in rows if row.check_name == "stack_base_overlap_any_entity"}
    trains = {split.split_id: len(split.train) for split in make_splits(cv, data)}
    folds = cv.folds(data.spans)
    for fold in range(8):
        tested = int((folds == fold).sum())
        assert compared[fold] == tested * sum(
            trains[split] for split, choice in enumerate(cv.test_folds) if fold in choice
        )
