"""Retrieval on a home: what is indexed, and what is like one event."""

from pathlib import Path

import pytest

from tests.sleeves.events.past_events import FEATURES, make_events, publish, vector_of
from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError, DataGateError
from trademl.sleeves.events.retrieval.index import RetrievalIndex, SearchSettings
from trademl.sleeves.events.retrieval.run import build_index, index_folder, search_settings, similar_events


@pytest.fixture
def events_home(home: Home) -> Home:
    """A home with 200 events."""
    publish(home, make_events(200))
    return home


def test_an_index_holds_the_measures_of_its_stage(events_home: Home) -> None:
    """Stage A has no tape; kinds of level are filters, not measures; the same snapshot gives the same bytes."""
    built = build_index(events_home, "stage_b", "full", k_neighbors=11)
    assert built.path == events_home.models_artifacts / "retrieval_index_stage_b_full" / "index.json"
    assert (built.rows, built.unresolved) == (200, 0)
    index = RetrievalIndex.load(built.path)
    assert set(index.feature_cols) == {*FEATURES, "direction_sign", "distance_signed"}
    assert (index.stage, index.ablation, index.k_neighbors) == ("stage_b", "full", 11)
    first = {path.name: path.read_bytes() for path in built.path.parent.iterdir()}
    build_index(events_home, "stage_b", "full", k_neighbors=11)
    assert {path.name: path.read_bytes() for path in built.path.parent.iterdir()} == first
    early = RetrievalIndex.load(build_index(events_home, "stage_a", "full", k_neighbors=5).path)
    assert set(early.feature_cols) == set(index.feature_cols) - {"tape_velocity"}


def test_until_leaves_sessions_out(events_home: Home) -> None:
    """An index for testing on later sessions knows only earlier ones."""
    events = make_events(200)
    until = events["date"].iloc[120]
    built = build_index(events_home, "stage_b", "ta", k_neighbors=5, until=until)
    assert built.rows == (events["date"] < until).sum()
    assert built.last < until


def test_sessions_that_lack_bars_refuse_the_index_or_stay_out(home: Home) -> None:
    """Retrieval knows the past that training knows: a RED session refuses, or its events are left out on purpose."""
    events = make_events(200)
    red = events["date"].iloc[100]
    publish(home, events, red=[red])
    with pytest.raises(DataGateError, match=r"refuses to index events: of 10 sessions .* 1 RED") as refused:
        build_index(home, "stage_b", "full", k_neighbors=5)
    assert "--until" in str(refused.value.remedy)
    assert not index_folder(home, "stage_b", "full").exists()
    built = build_index(home, "stage_b", "full", k_neighbors=5, exclude_not_green=True)
    assert (built.rows, built.not_green) == ((events["date"] != red).sum(), 1)
    index = RetrievalIndex.load(built.path)
    assert index.store.count(f"date = date '{red}'") == 0


def test_similar_events_are_those_of_the_moment(events_home: Home) -> None:
    """Neighbours, numbers and scaling are those of events resolved before t1, with the same kind and direction."""
    build_index(events_home, "stage_b", "full", k_neighbors=8)
    events = make_events(200)
    asked = events.loc[150]
    found = similar_events(events_home, asked["event_id"], "stage_b", "full")
    t1 = int(asked["ts_ns"])
    resolved = events["resolved_at"].astype("datetime64[ns]").astype("int64")
    assert found.rows_before == (resolved < t1).sum()
    assert found.filters == {"level_kind_name": asked["level_kind_name"], "direction": asked["direction"]}
    assert set(found.summary.neighbors["level_kind_name"]) == {asked["level_kind_name"]}
    known = events[(resolved < t1).to_numpy()]
    index = RetrievalIndex(FEATURES)
    index.fit(known)
    # direction_sign and distance_signed are the same for all that pass: they change no distance.
    alone = index.query(vector_of(events, 150), found.filters, 8)
    assert found.summary.neighbors["event_id"].tolist() == alone.neighbors["event_id"].tolist()
    assert found.summary.p_break == pytest.approx(alone.p_break, abs=1e-12)
    assert found.event["outcome"] == asked["outcome"]
    anything = similar_events(events_home, asked["event_id"], "stage_b", "full", k=30, filter_on=())
    assert len(anything.summary.neighbors) == 30


def test_the_configuration_says_how_to_search(events_home: Home) -> None:
    """The shipped file has the defaults; a wrong value names its field; without the file the defaults hold."""
    path = events_home.configs / "events" / "retrieval.yml"
    assert search_settings(events_home) == SearchSettings()
    path.write_text("exact_rows: 7\n")
    assert search_settings(events_home).exact_rows == 7
    assert search_settings(events_home, threads=3) == SearchSettings(exact_rows=7, threads=3)
    path.write_text("exact_rows: none\n")
    with pytest.raises(ConfigError, match="exact_rows"):
        search_settings(events_home)
    path.unlink()
    assert search_settings(events_home) == SearchSettings()


def test_what_cannot_be_asked_is_said(events_home: Home, tmp_path: Path) -> None:
    """No index, no such event, nothing before it, no such stage: each has its message."""
    events = make_events(200)
    with pytest.raises(ArtifactError, match="no retrieval index"):
        similar_events(events_home, "e000001", "stage_b", "full")
    build_index(events_home, "stage_b", "full", k_neighbors=8)
    with pytest.raises(ConfigError, match="no event 'nobody'"):
        similar_events(events_home, "nobody", "stage_b", "full")
    with pytest.raises(ConfigError, match="no event of the index was resolved before"):
        similar_events(events_home, events["event_id"].iloc[0], "stage_b", "full")
    with pytest.raises(ConfigError, match="stage"):
        index_folder(events_home, "stage_c", "full")
    with pytest.raises(ConfigError, match="at least 1"):
        build_index(events_home, "stage_b", "full", k_neighbors=0)
    with pytest.raises(DataGateError, match="none of 0 events"):
        build_index(events_home, "stage_b", "full", k_neighbors=5, until=events["date"].iloc[0])
