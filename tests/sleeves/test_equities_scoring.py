"""Scoring the equities sleeve from snapshot to published rows."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.edge.scoring_home import (
    AMBER,
    LATEST,
    NOW,
    RUN,
    WEDNESDAY,
    write_run,
    write_warehouse,
)
from trademl.config.home import Home
from trademl.errors import ArtifactError, DataGateError
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot, snapshot_batches
from trademl.sleeves.equities_scoring import ScoringResult, score_equities

REPOSITORY = Path(__file__).resolve().parents[2]
OTHER = "equities-fwd_5d-ba9876543210"


@pytest.fixture
def ready(home: Home) -> Home:
    """A published warehouse and one registered run."""
    write_run(home)
    write_warehouse(home)
    return home


def scored(home: Home) -> list[tuple[object, ...]]:
    with open_snapshot(layout_of(home)) as snapshot:
        return snapshot.con.execute(
            "select ticker, dt, horizon, model_id, label, yhat, yhat_std, prob_up, rank_pct from preds.equities "
            "order by all"
        ).fetchall()


def stored_rows(home: Home) -> int:
    """Rows in the batch files themselves, earlier versions included."""
    files = [str(path) for path in layout_of(home).batch_files("preds.equities")]
    return int(duckdb.execute("select count(*) from read_parquet($1)", [files]).fetchall()[0][0]) if files else 0


EXPECTED = [
    ("A", WEDNESDAY, 5, RUN, "fwd_5d", 0.5, 0.4, 0.99, 1.0),
    ("B", WEDNESDAY, 5, RUN, "fwd_5d", 0.25, 0.4, 0.75, 0.625),
    ("C", WEDNESDAY, 5, RUN, "fwd_5d", 0.25, 0.4, 0.75, 0.625),
    ("D", WEDNESDAY, 5, RUN, "fwd_5d", -0.5, 0.3, 0.01, 0.25),
]


def test_scores_are_published_and_reported(ready: Home) -> None:
    """The snapshot shows the four rows, worked out by hand, and both forms of the report lie in lake/reports."""
    result = score_equities(ready, WEDNESDAY, now=lambda: NOW)
    assert scored(ready) == EXPECTED
    assert (result.run_id, result.rows, result.written, result.origin) == (RUN, 4, True, "latest")
    assert result.model_status == "challenger, not promoted"
    assert result.report["snapshot"]["seq"] == result.snapshot == 2
    assert result.json_path.is_file()
    assert result.markdown_path.is_file()


def test_scoring_twice_writes_nothing_new(ready: Home) -> None:
    """The second run an hour later finds its rows there: same file, same snapshot, same bytes of the report."""
    first = score_equities(ready, WEDNESDAY, now=lambda: NOW)
    before = first.json_path.read_bytes()
    second = score_equities(ready, WEDNESDAY, now=lambda: NOW + timedelta(hours=1))
    assert (second.written, second.snapshot) == (False, first.snapshot)
    assert stored_rows(ready) == 4
    assert second.json_path.read_bytes() == before


def test_without_a_date_the_latest_session_is_scored(ready: Home) -> None:
    """The default date is the last session in gold, not today."""
    assert score_equities(ready, now=lambda: NOW).as_of == LATEST


def test_without_a_run_the_one_registered_last_is_used(ready: Home) -> None:
    """A later registration takes over; the earlier run can still be named."""
    write_run(ready, OTHER, recorded=datetime(2024, 1, 2, tzinfo=UTC))
    snapshot_batches(layout_of(ready))
    assert score_equities(ready, WEDNESDAY, now=lambda: NOW).run_id == OTHER
    named = score_equities(ready, WEDNESDAY, RUN, now=lambda: NOW)
    assert (named.run_id, named.origin) == (RUN, "asked")
    assert len(scored(ready)) == 8


def test_a_run_that_was_never_registered_cannot_score(ready: Home) -> None:
    """A finished folder is not enough: the run must be in the ledger. The message names the runs that are."""
    write_run(ready, OTHER, registered=False)
    with pytest.raises(ArtifactError, match=rf"(?s){OTHER}` is not a registered run.*{RUN}"):
        score_equities(ready, WEDNESDAY, OTHER)


def test_without_any_run_the_message_says_to_train(home: Home) -> None:
    """Scoring before training fails with the command to run."""
    write_warehouse(home)
    with pytest.raises(ArtifactError, match=r"(?s)no registered run of equities.*trademl train equities"):
        score_equities(home, WEDNESDAY)


def test_a_refused_session_leaves_nothing_behind(ready: Home) -> None:
    """The gate acts before anything is written: no rows, no report, the same snapshot."""
    with pytest.raises(DataGateError):
        score_equities(ready, AMBER)
    assert stored_rows(ready) == 0
    assert not (ready.lake / "reports").exists()
    with open_snapshot(layout_of(ready)) as snapshot:
        assert snapshot.manifest.seq == 1


def test_a_folder_that_holds_another_run_is_refused(ready: Home) -> None:
    """A run folder swapped for another one does not verify under its name."""
    other = write_run(ready, OTHER, registered=False)
    own = other.with_name(RUN)
    own.rename(other.with_name("away"))
    other.rename(own)
    with pytest.raises(ArtifactError, match=rf"the manifest is of equities/{OTHER}"):
        score_equities(ready, WEDNESDAY)


# Where scoring is stopped: module and function before which the process is killed.
STAGES = {
    "before the rows are written": ("trademl.sleeves.equities_scoring", "write_rows"),
    "before the batch gets its name": ("trademl.lake.batches", "commit_file"),
    "before the batch is published": ("trademl.sleeves.equities_scoring", "snapshot_batches"),
    "before the pointer moves": ("trademl.lake.snapshot", "flip_current"),
    "before the report is written": ("trademl.sleeves.equities_scoring", "write_report"),
}

CHILD = """
import importlib, sys, time
from datetime import date
from pathlib import Path
from trademl.config.home import Home
from trademl.sleeves.equities_scoring import score_equities

def stop(*arguments, **options):
    print("stopped", flush=True)
    time.sleep(60)

setattr(importlib.import_module(sys.argv[2]), sys.argv[3], stop)
score_equities(Home(Path(sys.argv[1])), date(2024, 1, 3))
"""


@pytest.mark.fault
@pytest.mark.parametrize("stage", STAGES)
def test_after_a_kill_the_same_command_completes(ready: Home, stage: str) -> None:
    """kill -9 at any stage of scoring, then again: every row is there once, and every file is whole."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(ready.root), *STAGES[stage]],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert child.stdout is not None
    with child.stdout as output:
        assert output.readline().strip() == "stopped"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    result: ScoringResult = score_equities(ready, WEDNESDAY)
    assert scored(ready) == EXPECTED
    assert stored_rows(ready) == 4
    assert len(result.report["picks"]) == 4
