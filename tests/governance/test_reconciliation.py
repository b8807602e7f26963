"""What follows from ops.promotions is brought in line with it."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from tests.edge.scoring_home import write_warehouse
from tests.governance.promotable import NOW, A, B, clock, decision, files_of, register, write_run
from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.governance import reconciliation
from trademl.governance.promotion import promote
from trademl.governance.reconciliation import promotion_lock, reconcile
from trademl.governance.router_config import read_router, set_champion
from trademl.governance.tracking import DATABASE, read_registry
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot


@pytest.fixture
def crowned(home: Home) -> Home:
    """A published home whose champion is A."""
    write_run(home, A)
    write_run(home, B)
    write_warehouse(home)
    promote(home, decision(A), mlflow=False, now=clock())
    return home


def shown(home: Home) -> list[tuple[object, ...]]:
    with open_snapshot(layout_of(home)) as snapshot:
        return snapshot.con.execute("select run_id, verdict from ops.promotions where bar = 'decision'").fetchall()


def test_nothing_is_done_where_all_agree(crowned: Home) -> None:
    """In line already, reconciling changes no file and needs no lock."""
    before = files_of(crowned.root)
    with promotion_lock(crowned):
        state = reconcile(crowned, "equities", now=clock())
    assert (state.changed, state.lagging) == ((), ())
    assert state.champion is not None
    assert state.champion.run_id == A
    after = files_of(crowned.root)
    assert {name for name in after if after[name] != before.get(name)} <= {"lake/.promotion.lock"}


def test_a_champion_written_by_hand_is_undone(crowned: Home) -> None:
    """The router follows the decisions: an edit that no decision made lasts until the next command."""
    set_champion(crowned, "equities", B)
    state = reconcile(crowned, "equities", now=clock())
    assert state.changed == (f"configs/router.yml names {A} for equities",)
    assert read_router(crowned).of("equities").champion == A


def test_a_sleeve_without_a_decision_has_no_champion(home: Home) -> None:
    """A name in the router alone makes no champion."""
    set_champion(home, "equities", A)
    assert reconcile(home, "equities").champion is None
    assert read_router(home).of("equities").champion is None


def test_the_snapshot_shows_the_decisions(crowned: Home) -> None:
    """SQL users see a decision as soon as it was made."""
    assert shown(crowned) == [(A, "promoted")]


def test_without_a_snapshot_there_is_none_to_bring_forward(home: Home) -> None:
    """A home that never built a warehouse can still reconcile."""
    write_run(home, A)
    promote(home, decision(A), mlflow=False, now=clock())
    assert reconcile(home, "equities").changed == ()


def test_leftovers_of_dead_writers_are_swept(crowned: Home) -> None:
    """Unfinished files in configs/ and ops.promotions go with the next change; nothing else does."""
    leftovers = [crowned.configs / ".incoming-1-a", layout_of(crowned).batches("ops.promotions") / ".incoming-1-b"]
    for path in leftovers:
        path.write_text("half")
    set_champion(crowned, "equities", None)
    reconcile(crowned, "equities", now=clock())
    assert [path for path in leftovers if path.exists()] == []
    assert len(layout_of(crowned).batch_files("ops.promotions")) == 1


def test_a_held_lock_delays_followers_and_hides_no_champion(crowned: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process promotes, the champion is told from the decisions, and what waits is named."""
    set_champion(crowned, "equities", None)
    monkeypatch.setattr(reconciliation, "LOCK_SECONDS", 0.0)
    with promotion_lock(crowned):
        state = reconcile(crowned, "equities")
    assert state.champion is not None
    assert state.champion.run_id == A
    assert "wait" in state.lagging[0]


def test_a_broken_registry_lags_and_stops_nothing(crowned: Home) -> None:
    """A champion stands although MLflow's file is no database; the reason is told."""
    (crowned.models_artifacts / DATABASE).write_text("this is no database, and long enough to be told from one" * 20)
    state = reconcile(crowned, "equities", now=clock())
    assert state.champion is not None
    assert len(state.lagging) == 1
    assert "MLflow could not set the aliases of trademl-equities" in state.lagging[0]


def test_mlflow_follows_promotion_after_promotion(crowned: Home) -> None:
    """The aliases follow the decisions; an alias that somebody moved is moved back; no champion is a challenger."""
    for run in (A, B):
        register(crowned, run)
    state = reconcile(crowned, "equities", now=clock())
    assert state.changed == (f"MLflow's aliases of trademl-equities follow {A}",)
    registry = read_registry(crowned, "equities")
    assert registry is not None
    assert registry.aliases == {"champion": A, "challenger": B}
    done = promote(crowned, decision(B, champion=A), now=clock(NOW + timedelta(days=1)))
    assert done.followers.lagging == ()
    registry = read_registry(crowned, "equities")
    assert registry is not None
    assert registry.aliases == {"champion": B}
    with closing(sqlite3.connect(crowned.models_artifacts / DATABASE)) as con:
        con.execute("update registered_model_aliases set version = 1 where alias = 'champion'")
        con.commit()
    assert reconcile(crowned, "equities", mlflow=False).changed == ()
    reconcile(crowned, "equities")
    registry = read_registry(crowned, "equities")
    assert registry is not None
    assert registry.aliases == {"champion": B}


def test_a_registry_that_cannot_be_set_is_an_error_of_ours(crowned: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever MLflow refuses, the promotion that is recorded stays, and the command says what lags."""
    monkeypatch.setattr(reconciliation, "_registry_behind", lambda *_: True)

    def refuse(*_: object) -> None:
        raise ArtifactError("disk full")

    monkeypatch.setattr(reconciliation, "point_aliases", refuse)
    done = promote(crowned, decision(B, champion=A), now=clock())
    assert done.decision.outcome == "promoted"
    assert done.followers.lagging == ("MLflow's aliases do not follow: disk full",)
