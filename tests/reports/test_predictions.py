"""A finished run and its out-of-fold predictions, read back."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.reports.conftest import Trained
from trademl.errors import ArtifactError
from trademl.reports.predictions import find_run, read_out_of_fold
from trademl.warehouse.read import read_snapshot

FIRST = date(2020, 1, 1)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A calendar of ten days, and no prediction yet."""
    with duckdb.connect() as connection:
        connection.execute("create schema silver; create schema preds; create schema ops")
        connection.execute(
            "create table silver.calendar as select date '2020-01-01' + n::integer as date, 40 + n as session_index "
            "from range(10) t(n)"
        )
        connection.execute(
            "create table preds.oof (sleeve varchar default 'equities', run_id varchar, path_id integer, "
            "split_id integer, entity varchar, dt date, yhat double, y double)"
        )
        yield connection


def put(con: duckdb.DuckDBPyConnection, *rows: tuple[int, int, str, int, float, float]) -> None:
    """Add rows (path, split, entity, day, score, label) of the run r."""
    con.executemany(
        "insert into preds.oof (run_id, path_id, split_id, entity, dt, yhat, y) values ('r', ?, ?, ?, ?, ?, ?)",
        [(path, split, name, FIRST + timedelta(days=day), yhat, y) for path, split, name, day, yhat, y in rows],
    )


def test_paths_are_averaged_in_order_of_session_and_name(con: duckdb.DuckDBPyConnection) -> None:
    """Two paths of two sessions: the score is their mean, sessions are the calendar's, names are numbered."""
    put(con, (0, 1, "B", 3, 0.2, 7.0), (0, 1, "A", 3, 0.1, 6.0), (0, 0, "A", 1, 0.5, 5.0))
    put(con, (1, 2, "A", 3, 0.3, 6.0), (1, 2, "B", 3, 0.4, 7.0), (1, 1, "A", 1, 0.7, 5.0))
    found = read_out_of_fold(con, "r")
    assert found.paths == 2
    assert found.dates.tolist() == [date(2020, 1, 2), date(2020, 1, 4), date(2020, 1, 4)]
    assert found.session.tolist() == [41, 43, 43]
    assert found.entity.tolist() == [0, 0, 1]
    assert found.score.tolist() == pytest.approx([0.6, 0.2, 0.3])
    assert found.value.tolist() == [5.0, 6.0, 7.0]
    assert found.fold.tolist() == [0, 1, 1]


def test_a_row_that_one_path_misses_has_the_score_of_the_other(con: duckdb.DuckDBPyConnection) -> None:
    """Rows are those that any path tests; a score that is no number is one not given."""
    put(con, (0, 0, "A", 1, 0.5, 1.0), (0, 1, "A", 2, 0.4, 2.0), (1, 1, "A", 1, 0.7, 1.0))
    put(con, (0, 2, "A", 3, float("nan"), 3.0))
    found = read_out_of_fold(con, "r")
    assert found.score[:2].tolist() == pytest.approx([0.6, 0.4])
    assert np.isnan(found.score[2])
    assert found.fold.tolist() == [0, 1, 2]


def test_folds_are_numbered_in_time(con: duckdb.DuckDBPyConnection) -> None:
    """Whatever the numbers of the splits, the first block is fold 0, and one set of splits is one fold."""
    put(con, *((0, split, "A", day, 0.1, 1.0) for day, split in enumerate([9, 9, 2, 2, 5])))
    assert read_out_of_fold(con, "r").fold.tolist() == [0, 0, 1, 1, 2]


def test_predictions_that_make_no_sense_are_refused(con: duckdb.DuckDBPyConnection) -> None:
    """None at all, a date that is no session, and a session in two splits are errors that say so."""
    with pytest.raises(ArtifactError, match="no prediction of run r"):
        read_out_of_fold(con, "r")
    put(con, (0, 0, "A", 1, 0.5, 1.0), (0, 1, "B", 1, 0.5, 1.0))
    with pytest.raises(ArtifactError, match="no folds of sessions"):
        read_out_of_fold(con, "r")
    put(con, (0, 0, "A", 30, 0.5, 1.0))
    with pytest.raises(ArtifactError, match="1 predictions of run r lie on no session"):
        read_out_of_fold(con, "r")


def test_training_and_report_agree_on_scores_and_folds(trained_once: Trained) -> None:
    """Read back, a run has the four folds of its configuration, three paths, and every symbol of every session once."""
    with read_snapshot(trained_once.home) as snapshot:
        found = read_out_of_fold(snapshot.con, trained_once.run_id)
    assert found.paths == 3
    assert np.unique(found.fold).tolist() == [0, 1, 2, 3]
    assert (np.diff(found.fold) >= 0).all()
    # 160 sessions of 24 symbols, less the last five, whose labels are pending.
    assert len(found) == 155 * 24
    assert np.isfinite(found.score).all()


def test_a_run_is_found_by_its_name(trained_once: Trained) -> None:
    """The run has the folder and the label of ops.runs; an unknown name lists those there are."""
    home = trained_once.home
    with read_snapshot(home) as snapshot:
        found = find_run(snapshot.con, home, trained_once.run_id, verify=True)
        assert (found.sleeve, found.label, found.folder.path) == ("equities", "fwd_5d", trained_once.folder)
        with pytest.raises(ArtifactError, match=f"no registered run 'nothing'; ops.runs has {trained_once.run_id}"):
            find_run(snapshot.con, home, "nothing")


def test_an_altered_run_is_refused_when_asked(trained: Trained) -> None:
    """With `verify` a changed file is an error; a folder that is gone always is."""
    path: Path = trained.folder / "card.md"
    path.chmod(0o644)
    path.write_text("# better\n")
    with read_snapshot(trained.home) as snapshot:
        find_run(snapshot.con, trained.home, trained.run_id)
        with pytest.raises(ArtifactError, match=r"card\.md was altered"):
            find_run(snapshot.con, trained.home, trained.run_id, verify=True)
        trained.folder.rename(trained.folder.with_name("elsewhere"))
        with pytest.raises(ArtifactError, match="no run folder"):
            find_run(snapshot.con, trained.home, trained.run_id)


def test_no_run_at_all_says_so() -> None:
    """In an empty ops.runs the message is that there is none yet."""
    from trademl.config.home import Home

    with duckdb.connect() as con:
        con.execute("create schema ops")
        con.execute(
            "create table ops.runs as select 'r' as run_id, 's' as sleeve, 'l' as label, 'p' as path, "
            "'registered' as status, $now::timestamp as recorded_at where false",
            {"now": datetime(2020, 1, 1)},
        )
        with pytest.raises(ArtifactError, match="none yet"):
            find_run(con, Home(Path("/nowhere")), "r")
