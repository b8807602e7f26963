"""Many queries at once: each as if it had been asked alone at its own t1."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

from tests.sleeves.events.past_events import FEATURES, make_events, vector_of
from trademl.errors import ConfigError
from trademl.sleeves.events.retrieval.batch import query_many
from trademl.sleeves.events.retrieval.index import RetrievalIndex
from trademl.sleeves.events.retrieval.summary import NUMBERS


def fitted(events: pd.DataFrame) -> RetrievalIndex:
    index = RetrievalIndex(FEATURES)
    index.fit(events)
    return index


@pytest.mark.parametrize("filter_on", [("level_kind_name", "direction"), ("direction",), ()])
def test_every_row_is_the_answer_of_a_query_of_its_own(filter_on: tuple[str, ...]) -> None:
    """Bit-equal to `as_of` the session's first event and `query` before the row's own t1."""
    events = make_events(240, sessions=4)
    # Twins tie, and outliers make the squares of the matrix product large.
    events.loc[events.index[1::9], list(FEATURES)] = events.loc[events.index[:-1:9], list(FEATURES)].to_numpy()[
        : len(events.index[1::9])
    ]
    events.loc[events.index[5::40], "atr"] = np.float32(1e7)
    index = fitted(events)
    told: list[tuple[date, int]] = []
    found = query_many(index, events, k=7, filter_on=filter_on, progress=lambda *one: told.append(one)).to_pylist()
    assert [row["ts_ns"] for row in found] == sorted(events["ts_ns"])
    assert sum(count for _, count in told) == 240
    by_id = {row["event_id"]: row for row in found}
    firsts = events.groupby("date")["ts_ns"].min()
    for place in range(0, 240, 5):
        event = events.loc[place]
        row = by_id[event["event_id"]]
        first, t1 = int(firsts[event["date"]]), int(event["ts_ns"])
        if event["date"] == events["date"].iloc[0]:
            # Nothing was resolved before the first session: there is no scaling.
            assert row["n_neighbors"] == 0
            continue
        filters = {name: event[name] for name in filter_on}
        alone = index.as_of(first).query(vector_of(events, place), filters, 7, before=t1)
        assert row["n_neighbors"] == len(alone.neighbors)
        expected = [None if math.isnan(value) else value for value in (getattr(alone, name) for name in NUMBERS)]
        assert [row[name] for name in NUMBERS] == expected


def test_no_neighbour_is_later_than_its_query() -> None:
    """Counted over all rows: every latest neighbour was resolved strictly before t1."""
    events = make_events(500)
    found = query_many(fitted(events), events, k=20).to_pandas()
    with_any = found[found["n_neighbors"] > 0]
    assert len(with_any) > 300
    assert (with_any["latest_resolved_ns"] < with_any["ts_ns"]).all()
    assert found.loc[found["n_neighbors"] == 0, list(NUMBERS)].isna().all().all()


def test_what_comes_later_and_the_order_change_nothing() -> None:
    """Poison after a session, and shuffled rows, leave the answers up to it bit-equal."""
    events = make_events(300)
    end = events["date"].iloc[200]
    early = events[events["date"] <= end]
    poisoned = events.copy()
    later = (events["date"] > end).to_numpy()
    poisoned.loc[later, list(FEATURES)] = np.float32(-1e5)
    poisoned.loc[later, "outcome"] = "BOUNCE"
    whole = query_many(fitted(events), early, k=9)
    assert whole.equals(query_many(fitted(poisoned.sample(frac=1, random_state=1)), early, k=9))
    assert whole.equals(query_many(fitted(early), early.sample(frac=1, random_state=2), k=9))


def test_queries_without_a_column_are_refused() -> None:
    """The message names it; a filter must be metadata."""
    index = fitted(make_events(20))
    with pytest.raises(ConfigError, match="ts_ns"):
        query_many(index, make_events(5).drop(columns="ts_ns"), k=3)
    with pytest.raises(ConfigError, match="cannot filter on symbol"):
        query_many(index, make_events(5), k=3, filter_on=["symbol"])
