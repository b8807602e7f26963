"""MLflow, the window on a finished run."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.governance.tracking import DATABASE, Registry, TrackedRun, point_aliases, read_registry, track


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


def test_aliases_follow_the_champion(tmp_path: Path) -> None:
    """The champion's version has the alias and is no challenger; a champion without a version leaves no alias."""
    home = Home(tmp_path)
    for run in ("run-1", "run-2"):
        track(home, tracked(home, run))
    runs = frozenset({"run-1", "run-2"})
    assert read_registry(home, "equities") == Registry({"challenger": "run-2"}, runs)
    point_aliases(home, "equities", "run-2")
    assert read_registry(home, "equities") == Registry({"champion": "run-2"}, runs)
    point_aliases(home, "equities", "run-1")
    assert read_registry(home, "equities") == Registry({"champion": "run-1"}, runs)
    point_aliases(home, "equities", "never-logged")
    assert read_registry(home, "equities") == Registry({}, runs)
    # A sleeve that MLflow has never seen has nothing to follow with.
    point_aliases(home, "traders", "run-1")
    assert read_registry(home, "traders") == Registry({}, frozenset())


@pytest.mark.parametrize(
    "aliases, champion, follows",
    [
        ({}, None, True),
        ({"champion": "a"}, "a", True),
        ({"champion": "a", "challenger": "b"}, "a", True),
        ({"champion": "a", "challenger": "a"}, "a", False),
        ({"champion": "b"}, "a", False),
        ({"champion": "b"}, None, False),
        ({"challenger": "b"}, "a", False),
        ({}, "unlogged", True),
        ({"champion": "a"}, "unlogged", False),
        ({"champion": ""}, None, False),
    ],
)
def test_what_following_means(aliases: dict[str, str], champion: str | None, follows: bool) -> None:
    """The registry follows when the champion, if it has a version, and nobody else has the alias champion only."""
    assert Registry(aliases, frozenset({"a", "b"})).follows(champion) is follows


def test_a_registry_that_is_not_there_or_unreadable(tmp_path: Path) -> None:
    """No file is an empty registry, and none is made; a file that is no database cannot be told about."""
    home = Home(tmp_path)
    assert read_registry(home, "equities") == Registry({}, frozenset())
    assert list(tmp_path.iterdir()) == []
    home.models_artifacts.mkdir()
    (home.models_artifacts / DATABASE).write_text("this is no database")
    assert read_registry(home, "equities") is None
