"""MLflow, the window on a finished run."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.governance.tracking import DATABASE, TrackedRun, track


def tracked(home: Home, run_id: str) -> TrackedRun:
    folder = home.models_artifacts / "equities" / run_id
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return TrackedRun(
        run_id=run_id,
        sleeve="equities",
        label="fwd_5d",
        folder=folder,
        params={"validation.folds": 8, "features": "x" * 7000},
        metrics={"rank_ic": 0.021},
        tags={"trademl.data_hash": "d1"},
    )


def asked(home: Home, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(home.models_artifacts / DATABASE) as con:
        found = con.execute(sql).fetchall()
    con.close()
    return found


def test_a_run_is_logged_and_registered_once_as_challenger(tmp_path: Path) -> None:
    """Params, metrics and the folder are in the sqlite file; again is the same version; a new run gets the alias."""
    home = Home(tmp_path)
    assert track(home, tracked(home, "run-1")) == "1"
    assert track(home, tracked(home, "run-1")) == "1"
    assert track(home, tracked(home, "run-2")) == "2"
    assert asked(home, "select name, status from runs order by name") == [("run-1", "FINISHED"), ("run-2", "FINISHED")]
    assert asked(home, "select distinct key, value from metrics") == [("rank_ic", 0.021)]
    assert asked(home, "select distinct value from params where key = 'validation.folds'") == [("8",)]
    assert asked(home, "select name, alias, version from registered_model_aliases") == [
        ("trademl-equities", "challenger", 2)
    ]
    assert asked(home, "select distinct value from tags where key = 'trademl.folder' order by 1")[0] == (
        str(home.models_artifacts / "equities" / "run-1"),
    )
    # A run that a killed process left half logged is filled up, not doubled.
    with sqlite3.connect(home.models_artifacts / DATABASE) as con:
        con.execute("update runs set status = 'RUNNING' where name = 'run-1'")
    con.close()
    assert track(home, tracked(home, "run-1")) == "1"
    assert asked(home, "select name, status from runs order by name") == [("run-1", "FINISHED"), ("run-2", "FINISHED")]


def test_a_broken_database_says_how_to_go_on(tmp_path: Path) -> None:
    """When MLflow cannot write, the error names the file and --no-mlflow."""
    home = Home(tmp_path)
    run = replace(tracked(home, "run-1"), sleeve="broken")
    (home.models_artifacts / DATABASE).write_text(
        "this is no database, and long enough to be told from an empty one" * 20
    )
    with pytest.raises(ArtifactError, match=r"mlflow\.db(.|\n)*--no-mlflow"):
        track(home, run)
