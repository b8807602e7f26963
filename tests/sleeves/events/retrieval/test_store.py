"""The events of an index: what is taken, what is refused, and in which order they lie."""

from pathlib import Path

import numpy as np
import pytest

from tests.sleeves.events.past_events import FEATURES, make_events
from trademl.errors import ConfigError
from trademl.sleeves.events.retrieval.store import EventStore

METADATA = ("level_kind_name", "direction")


def landed(count: int = 60, **more: object) -> EventStore:
    store = EventStore(FEATURES, METADATA, **more)  # type: ignore[arg-type]
    store.land(make_events(count))
    return store


def test_rows_are_sorted_by_metadata_then_time() -> None:
    """A filtered search reads one piece of the table, also under a time limit."""
    table = landed().arrow("select level_kind_name, direction, resolved_ns, event_id from raw")
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert rows == sorted(rows)


def test_the_same_events_make_the_same_file(tmp_path: Path) -> None:
    """Bytes do not depend on the order of rows or the number of threads."""
    events = make_events(500)
    written = []
    for number, (frame, threads) in enumerate([(events, 1), (events.sample(frac=1, random_state=1), 2)]):
        store = EventStore(FEATURES, METADATA, threads=threads)
        store.land(frame)
        store.write(str(tmp_path / f"{number}.parquet"))
        written.append((tmp_path / f"{number}.parquet").read_bytes())
    assert written[0] == written[1]


def test_labels_of_horizons_are_kept_and_features_are_not_labels() -> None:
    """What neighbours show: identity, the labels of a summary, and those of horizons."""
    assert set(landed().kept) >= {"event_id", "ts_ns", "date", "symbol", "level_price", "outcome", "t1_60"}


@pytest.mark.parametrize("name", ["outcome", "tradeable_2", "t1_break_60", "strength_signed_8min", "time_to_break_1"])
def test_an_outcome_is_no_feature(name: str) -> None:
    """An index whose distances know the future is refused."""
    events = make_events(20)
    events[name] = 1.0
    with pytest.raises(ConfigError, match=f"distinct features, not {name}"):
        EventStore([*FEATURES, name], METADATA).land(events)


def test_missing_columns_are_all_named() -> None:
    """One message lists them."""
    events = make_events(5).drop(columns=["atr", "resolved_at"])
    with pytest.raises(ConfigError, match="lack the columns resolved_at, atr"):
        EventStore(FEATURES, METADATA).land(events)


def test_an_event_comes_once() -> None:
    """Twice the same id would be two neighbours of one touch."""
    events = make_events(5)
    events.loc[1, "event_id"] = events.loc[0, "event_id"]
    with pytest.raises(ConfigError, match="stands in 2 rows"):
        EventStore(FEATURES, METADATA).land(events)


def test_features_of_a_file_are_those_of_memory(tmp_path: Path) -> None:
    """Measured from the file or in memory, means and scales have the same bits."""
    path = str(tmp_path / "events.parquet")
    landed().write(path)
    store = EventStore(FEATURES, METADATA)
    store.land_file(path)
    from_file = store.measure()
    held = landed().measure()
    assert np.array_equal(from_file.mean, held.mean)
    assert np.array_equal(from_file.scale, held.scale)
    assert store.count("true") == store.rows == 60


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """The columns that are not there are named."""
    path = str(tmp_path / "events.parquet")
    landed().write(path)
    with pytest.raises(ConfigError, match="lacks the columns no_such_feature"):
        EventStore([*FEATURES, "no_such_feature"], METADATA).land_file(path)
