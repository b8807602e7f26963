"""The retrieval index: neighbours equal loops over floats and scikit-learn, and never know what comes later."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import neighbors as oracle
from tests.sleeves.events.past_events import FEATURES, RESOLVES, START, TIMES, make_events, vector_of
from trademl.errors import ConfigError, ModelError
from trademl.sleeves.events.retrieval.index import RetrievalIndex, SearchSettings, as_ns
from trademl.sleeves.events.retrieval.summary import NUMBERS, RetrievalSummary

LABELS = ("outcome", "strength_signed", "tradeable_2", *TIMES)


def fitted(events: pd.DataFrame, **more: Any) -> RetrievalIndex:
    index = RetrievalIndex(FEATURES, **more)
    index.fit(events)
    return index


def plain(events: pd.DataFrame) -> list[dict[str, Any]]:
    """Return labels as plain values, None where missing."""
    rows = events.loc[:, list(LABELS)].to_dict("records")
    return [
        {
            str(name): None if pd.isna(value) else value if isinstance(value, str) else float(value)
            for name, value in row.items()
        }
        for row in rows
    ]


def by_loops(events: pd.DataFrame, vector: Any, k: int, passes: Any) -> tuple[list[str], dict[str, float]]:
    """Return ids and summary of the nearest of the events that pass, scaled by all events."""
    rows, query = oracle.scaled(events.loc[:, list(FEATURES)].to_numpy(dtype=float).tolist(), list(vector))
    places = np.flatnonzero(passes)
    found = oracle.nearest([rows[place] for place in places], query, k)
    chosen = [int(places[place]) for _, place in found]
    labels = plain(events)
    numbers = oracle.summary([labels[place] for place in chosen], [distance for distance, _ in found])
    return events["event_id"].iloc[chosen].tolist(), numbers


def same_numbers(summary: RetrievalSummary, numbers: dict[str, float]) -> bool:
    return all(
        math.isclose(getattr(summary, name), numbers[name], rel_tol=0, abs_tol=1e-9)
        or (math.isnan(getattr(summary, name)) and math.isnan(numbers[name]))
        for name in NUMBERS
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    k=st.integers(1, 70),
    kind=st.sampled_from([None, "PDH", "ROUND"]),
    direction=st.sampled_from([None, "UP"]),
    limited=st.booleans(),
)
def test_neighbours_and_summary_are_those_of_plain_loops(
    seed: int, count: int, k: int, kind: str | None, direction: str | None, limited: bool
) -> None:
    """Scaling, filters, time limit, order, weights and means: all as by loops over floats, whatever is missing."""
    events = make_events(count, seed, missing=0.3)
    vector = vector_of(make_events(1, seed + 1, missing=0.3), 0)
    filters = {"level_kind_name": kind, "direction": direction}
    chosen = {name: value for name, value in filters.items() if value is not None}
    before = int(events["ts_ns"].iloc[count // 2])
    passes = np.ones(count, dtype=bool)
    for name, value in chosen.items():
        passes &= (events[name] == value).to_numpy()
    if limited:
        passes &= (events["resolved_at"].astype("datetime64[ns]").astype("int64") < before).to_numpy()
    summary = fitted(events).query(vector, chosen, k, before=before if limited else None)
    ids, numbers = by_loops(events, vector, k, passes)
    assert summary.neighbors["event_id"].tolist() == ids
    assert same_numbers(summary, numbers)


def test_neighbours_are_those_of_scikit_learn() -> None:
    """StandardScaler and brute-force NearestNeighbors find the same events at the same distances."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    events = make_events(2000, missing=0.0)
    matrix = events.loc[:, list(FEATURES)].to_numpy(dtype=float)
    scaler = StandardScaler().fit(matrix)
    brute = NearestNeighbors(n_neighbors=50, algorithm="brute").fit(scaler.transform(matrix))
    queries = make_events(20, 9, missing=0.0)
    distance, places = brute.kneighbors(scaler.transform(queries.loc[:, list(FEATURES)].to_numpy(dtype=float)))
    index = fitted(events)
    for number in range(len(queries)):
        found = index.query(vector_of(queries, number), k=50).neighbors
        assert found["event_id"].tolist() == events["event_id"].iloc[places[number]].tolist()
        np.testing.assert_allclose(found["distance"], distance[number], rtol=0, atol=1e-9)


def test_every_neighbour_was_resolved_before_the_query() -> None:
    """`before` is strict: an outcome known exactly at t1, and every later one, is left out."""
    events = make_events(400)
    index = fitted(events)
    for place in range(0, 400, 7):
        t1 = int(events["ts_ns"].iloc[place])
        found = index.query(vector_of(events, place), {}, 30, before=t1).neighbors
        assert (found["resolved_at"].astype("datetime64[ns]").astype("int64") < t1).all()
        assert events["event_id"].iloc[place] not in set(found["event_id"])
    exact = int(events["ts_ns"].iloc[0]) + RESOLVES // timedelta(microseconds=1) * 1000
    assert index.query(vector_of(events, 0), {}, 400, before=exact).neighbors.empty
    assert len(index.query(vector_of(events, 0), {}, 400, before=exact + 1).neighbors) == 1


def test_what_comes_later_changes_nothing() -> None:
    """Garbage in every event not resolved before t1 leaves neighbours, summary and scaling bit-equal."""
    events = make_events(300)
    t1 = int(events["ts_ns"].iloc[200])
    later = (events["resolved_at"].astype("datetime64[ns]").astype("int64") >= t1).to_numpy()
    poisoned = events.copy()
    poisoned.loc[later, list(FEATURES)] = np.float32(1e6)
    poisoned.loc[later, "outcome"] = "BREAK"
    poisoned.loc[later, "strength_signed"] = 999.0
    assert 0 < later.sum() < 300
    answers = [
        fitted(frame).as_of(t1).query(vector_of(events, 200), {}, 25, before=t1).as_dict()
        for frame in (events, poisoned, events[~later])
    ]
    assert answers[0] == answers[1] == answers[2]
    # Scaled by all events, the time limit alone would not do.
    leaky = [fitted(frame).query(vector_of(events, 200), {}, 25, before=t1).as_dict() for frame in (events, poisoned)]
    assert leaky[0] != leaky[1]


def test_the_order_of_events_changes_nothing() -> None:
    """The same events in another order give the same bits, ties at one distance included."""
    events = pd.concat([make_events(100), make_events(100).assign(event_id=lambda x: "twin" + x["event_id"])])
    shuffled = events.sample(frac=1, random_state=3)
    vector = vector_of(make_events(1, 5), 0)
    one, other = (fitted(frame).query(vector, {}, 31).as_dict() for frame in (events, shuffled))
    assert one == other


def test_an_equal_event_counts_alone() -> None:
    """A query that equals stored events lies at distance 0 from them: as in scikit-learn, only they have weight."""
    events = make_events(50, missing=0.0)
    summary = fitted(events).query(vector_of(events, 10), {}, 5)
    assert summary.neighbors["distance"].iloc[0] == 0.0
    assert summary.neighbors["weight"].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert summary.similarity < 1.0


def test_nothing_passes() -> None:
    """Without a neighbour every number is missing, and JSON has null."""
    summary = fitted(make_events(20)).query([0.0] * 5, {"direction": "SIDEWAYS"}, 5)
    assert summary.neighbors.empty
    assert all(math.isnan(getattr(summary, name)) for name in NUMBERS)
    assert summary.as_dict() == {**dict.fromkeys(NUMBERS), "neighbors": []}


def test_an_event_without_an_outcome_yet_is_left_out() -> None:
    """No resolved_at, no neighbour: it is counted."""
    events = make_events(30)
    events.loc[:9, "resolved_at"] = pd.NaT
    index = fitted(events)
    assert (index.rows, index.unresolved) == (20, 10)
    assert not set(index.query([0.0] * 5, {}, 30).neighbors["event_id"]) & set(events["event_id"][:10])


def test_a_saved_index_answers_the_same(tmp_path: Path) -> None:
    """Parquet and JSON keep every bit, also of as_of, and who the index is."""
    events = make_events(200)
    index = fitted(events)
    index.stage, index.ablation, index.k_neighbors = "stage_b", "full", 17
    path = index.save(tmp_path / "index", data_hash="ab")
    loaded = RetrievalIndex.load(path)
    assert (loaded.stage, loaded.ablation, loaded.k_neighbors) == ("stage_b", "full", 17)
    assert (loaded.feature_cols, loaded.rows) == (list(FEATURES), 200)
    t1 = int(events["ts_ns"].iloc[150])
    for one, other in ((index, loaded), (index.as_of(t1), loaded.as_of(t1))):
        vector = vector_of(events, 150)
        assert (
            one.query(vector, {"direction": "UP"}, 20, before=t1).as_dict()
            == other.query(vector, {"direction": "UP"}, 20, before=t1).as_dict()
        )


def test_an_arrow_table_is_as_good_as_pandas() -> None:
    """The same events as an Arrow table give the same answer."""
    import pyarrow as pa

    events = make_events(50)
    index = RetrievalIndex(FEATURES)
    index.fit(pa.Table.from_pandas(events, preserve_index=False))
    vector = vector_of(make_events(1, 2), 0)
    one, other = index.query(vector, {}, 9), fitted(events).query(vector, {}, 9)
    assert [getattr(one, name) for name in NUMBERS] == pytest.approx(
        [getattr(other, name) for name in NUMBERS], abs=0, nan_ok=True
    )


def test_scaling_can_end_before_an_instant() -> None:
    """`scale_before` measures on earlier events only; the events are all there."""
    events = make_events(100)
    t1 = int(events["ts_ns"].iloc[60])
    index = RetrievalIndex(FEATURES)
    index.fit(events, scale_before=t1)
    whole = fitted(events)
    assert index.rows == whole.rows == 100
    assert index.scaling is not None
    assert whole.scaling is not None
    assert index.scaling.rows < whole.scaling.rows == 100
    vector = vector_of(events, 60)
    assert index.query(vector, {}, 9, before=t1).as_dict() == whole.as_of(t1).query(vector, {}, 9, before=t1).as_dict()


@pytest.mark.parametrize(
    "ask, words",
    [
        (lambda index: index.query([1.0, 2.0]), "has 5 features"),
        (lambda index: index.query(np.zeros((2, 5))), "one vector"),
        (lambda index: index.query([0.0] * 5, {"symbol": "AAA"}), "cannot filter on symbol"),
        (lambda index: index.query([0.0] * 5, k=0), "k=0"),
        (lambda index: index.as_of(0), "no event was resolved before"),
    ],
)
def test_a_wrong_question_is_refused(ask: Any, words: str) -> None:
    """The message says what was asked and what there is."""
    with pytest.raises(ConfigError, match=words):
        ask(fitted(make_events(20)))


def test_an_empty_index_says_so() -> None:
    """Asking before fitting is an error, not an empty answer."""
    with pytest.raises(ModelError, match="holds no events"):
        RetrievalIndex(FEATURES).query([0.0] * 5)


@pytest.mark.parametrize(
    "instant, expected",
    [
        (5, 5),
        (datetime(1970, 1, 1, 0, 0, 1), 10**9),
        (datetime(2025, 9, 15, 14, 30, 0, 123457, tzinfo=UTC), 1757946600123457000),
    ],
)
def test_instants_are_nanoseconds(instant: Any, expected: int) -> None:
    """Microseconds survive; a missing zone means UTC."""
    assert as_ns(instant) == expected
    assert as_ns(START) == int(START.replace(tzinfo=UTC).timestamp()) * 10**9


def test_settings_have_bounds() -> None:
    """There is no search of no events, and no negative share."""
    with pytest.raises(ValueError, match="exact_rows"):
        SearchSettings(exact_rows=0)
