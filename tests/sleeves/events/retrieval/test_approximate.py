"""The approximate search: only above the limit, only candidates, and never a wrong filter, time or distance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.sleeves.events.past_events import FEATURES, make_events, vector_of
from trademl.errors import ConfigError, MissingExtra
from trademl.sleeves.events.retrieval import approximate
from trademl.sleeves.events.retrieval.approximate import ApproximateSearch
from trademl.sleeves.events.retrieval.index import RetrievalIndex, SearchSettings


@pytest.fixture(scope="module")
def pair() -> tuple[RetrievalIndex, RetrievalIndex]:
    """The same 6,000 events searched exactly, and approximately above 500."""
    pytest.importorskip("faiss")
    events = make_events(6000)
    exact = RetrievalIndex(FEATURES)
    near = RetrievalIndex(FEATURES, settings=SearchSettings(exact_rows=500, probe_share=0.3, threads=1))
    for index in (exact, near):
        index.fit(events)
    return exact, near


def answers(
    pair: tuple[RetrievalIndex, RetrievalIndex], filters: Mapping[str, str], before: int | None = None
) -> tuple[Any, Any]:
    vector = vector_of(make_events(1, 77), 0)
    exact, near = (index.query(vector, filters, 20, before=before).neighbors for index in pair)
    return exact, near


def test_most_neighbours_are_found_at_exact_distances(pair: tuple[RetrievalIndex, RetrievalIndex]) -> None:
    """Recall on random events; whoever is found has the distance of the exact search, bit by bit."""
    hits = 0
    for seed in range(30):
        vector = vector_of(make_events(1, seed), 0)
        exact, near = (index.query(vector, {}, 20).neighbors for index in pair)
        distances = dict(zip(exact["event_id"], exact["distance"], strict=True))
        both = [(row.distance, distances[row.event_id]) for row in near.itertuples() if row.event_id in distances]
        assert all(one == other for one, other in both)
        assert near["distance"].is_monotonic_increasing
        hits += len(both)
    assert hits >= 0.9 * 30 * 20


def test_filters_and_time_hold_for_every_neighbour(pair: tuple[RetrievalIndex, RetrievalIndex]) -> None:
    """A neighbour of an approximate search passes what was asked."""
    before = int(make_events(6000)["ts_ns"].iloc[4000])
    _, near = answers(pair, {"direction": "UP"}, before)
    assert len(near) == 20
    assert set(near["direction"]) == {"UP"}
    assert (near["resolved_at"].astype("datetime64[ns]").astype("int64") < before).all()


def test_few_that_pass_are_searched_exactly(pair: tuple[RetrievalIndex, RetrievalIndex]) -> None:
    """Under the limit after filters, the answer is the exact one."""
    before = int(make_events(6000)["ts_ns"].iloc[1200])
    exact, near = answers(pair, {"level_kind_name": "PDH", "direction": "UP"}, before)
    assert exact.equals(near)


def test_looking_into_every_cell_is_exact(pair: tuple[RetrievalIndex, RetrievalIndex]) -> None:
    """With all cells probed, candidates hold all neighbours."""
    index = RetrievalIndex(FEATURES, settings=SearchSettings(exact_rows=1, probe_share=1.0, threads=1))
    index.fit(make_events(6000))
    vector = vector_of(make_events(1, 5), 0)
    assert index.query(vector, {}, 30).neighbors.equals(pair[0].query(vector, {}, 30).neighbors)


def test_too_few_candidates_fall_back_to_the_exact_search(
    pair: tuple[RetrievalIndex, RetrievalIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer candidates than neighbours wanted are not an answer."""
    monkeypatch.setattr(ApproximateSearch, "candidates", lambda *_: [1, 2])
    exact, near = answers(pair, {})
    assert exact.equals(near)


def test_an_unknown_filter_is_refused(pair: tuple[RetrievalIndex, RetrievalIndex]) -> None:
    """As in the exact search."""
    with pytest.raises(ConfigError, match="cannot filter on symbol"):
        pair[1].query(np.zeros(5), {"symbol": "AAA"})


def test_a_missing_library_names_the_extra(
    pair: tuple[RetrievalIndex, RetrievalIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without faiss the message says what to install, or how to stay exact."""

    def gone(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(approximate.importlib, "import_module", gone)
    with pytest.raises(MissingExtra, match=r"pip install 'trademl\[events\]'"):
        ApproximateSearch(pair[0].store, probe_share=0.5, threads=1)
