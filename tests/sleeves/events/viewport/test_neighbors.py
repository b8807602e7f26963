"""The neighbours of all targets of a bar at once: the same as one query after the other."""

import numpy as np
import pyarrow as pa
import pytest

from tests.sleeves.events.past_events import FEATURES, make_events
from trademl.errors import ModelError
from trademl.sleeves.events.retrieval.index import RetrievalIndex, SearchSettings
from trademl.sleeves.events.retrieval.summary import NUMBERS
from trademl.sleeves.events.viewport.neighbors import IndexedRetrieval


def questions(count: int = 25) -> pa.Table:
    """Rows that look like targets, at instants all over the history."""
    frame = make_events(count, seed=9)
    return pa.Table.from_pandas(frame[[*FEATURES, "level_kind_name", "direction", "ts_ns"]], preserve_index=False)


@pytest.mark.parametrize("exact_rows", [1_000_000, 500])
def test_all_at_once_is_one_after_the_other(exact_rows: int) -> None:
    """Numbers and neighbours are those of RetrievalIndex.query with the same filters and time limit."""
    index = RetrievalIndex(FEATURES, settings=SearchSettings(exact_rows=exact_rows, threads=1))
    index.fit(make_events(600))
    asked = questions()
    found = IndexedRetrieval(index).summaries(asked, 7)
    assert len(found) == asked.num_rows
    counts = set()
    for row, one in zip(asked.to_pylist(), found, strict=True):
        vector = [np.nan if row[name] is None else row[name] for name in FEATURES]
        filters = {name: row[name] for name in ("level_kind_name", "direction")}
        alone = index.query(np.float32(vector).astype(np.float64), filters, 7, before=row["ts_ns"])
        counts.add(len(one.neighbors))
        assert len(one.neighbors) == len(alone.neighbors)
        for name in NUMBERS:
            assert getattr(one, name) == pytest.approx(getattr(alone, name), rel=1e-12, nan_ok=True), name
        mine, theirs = one.as_dict()["neighbors"], alone.as_dict()["neighbors"]
        assert [item["event_id"] for item in mine] == [item["event_id"] for item in theirs]
        assert [item["weight"] for item in mine] == pytest.approx([item["weight"] for item in theirs])
    assert 7 in counts
    index.close()


def test_no_neighbour_was_resolved_later() -> None:
    """Every neighbour of every target was resolved strictly before the target's bar ended."""
    index = RetrievalIndex(FEATURES, settings=SearchSettings(threads=1))
    index.fit(make_events(600))
    asked = questions()
    for row, one in zip(asked.to_pylist(), IndexedRetrieval(index).summaries(asked, 50), strict=True):
        rows = one.as_dict()["neighbors"]
        resolved = [np.datetime64(item["resolved_at"], "ns").astype(np.int64) for item in rows]
        assert all(at < row["ts_ns"] for at in resolved)
    index.close()


def test_what_does_not_fit_the_index_is_refused() -> None:
    """An index without events, and a table without one of its features."""
    index = RetrievalIndex(FEATURES)
    with pytest.raises(ModelError, match="holds no events"):
        IndexedRetrieval(index).summaries(questions(), 5)
    index.fit(make_events(50))
    with pytest.raises(ModelError, match="lacks 1 of"):
        IndexedRetrieval(index).summaries(questions().drop_columns(["atr"]), 5)
    index.close()
