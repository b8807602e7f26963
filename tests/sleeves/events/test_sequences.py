"""Sequence datasets: the seed's arrays, no pickle, and no bar that ends after t1."""

import zipfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.sleeves.events.past_events import START, make_bars, make_events, publish
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError
from trademl.sleeves.events.sequences import BAR_FEATURES, build_sequences, static_columns, write_sequences
from trademl.warehouse.read import read_snapshot

SESSION = START.date()
LENGTH = 30


@pytest.fixture(scope="module")
def market() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events of three sessions and their bars; every bar's volume is 1 + its minute."""
    events = make_events(90, sessions=3)
    return events, make_bars(events)


def written(home: Home, market: tuple[pd.DataFrame, pd.DataFrame], path: Path) -> dict[str, np.ndarray]:
    publish(home, *market)
    write_sequences(home, SESSION, LENGTH, path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_the_file_has_the_seeds_arrays(home: Home, market: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path) -> None:
    """Names, shapes and kinds; nothing in it needs pickle; the same snapshot gives the same bytes."""
    path = tmp_path / "out" / "sequences.npz"
    found = written(home, market, path)
    events = market[0][market[0]["date"] == SESSION]
    count = len(events)
    assert list(found) == [
        "X",
        "mask",
        "static",
        "y_break",
        "y_strength",
        "event_id",
        "ts_ns",
        "seq_feature_names",
        "static_feature_names",
    ]
    assert found["X"].shape == (count, LENGTH, 5)
    assert found["mask"].shape == (count, LENGTH)
    assert found["static"].shape == (count, len(found["static_feature_names"]))
    assert found["seq_feature_names"].tolist() == ["open", "high", "low", "close", "volume"]
    assert {found[name].dtype.kind for name in ("event_id", "seq_feature_names", "static_feature_names")} == {"U"}
    assert found["ts_ns"].tolist() == sorted(events["ts_ns"])
    with zipfile.ZipFile(path) as archive:
        assert all(b"|O" not in archive.read(name)[:128] for name in archive.namelist())
    before = path.read_bytes()
    write_sequences(home, SESSION, LENGTH, path)
    assert path.read_bytes() == before


def test_bars_are_the_last_that_had_ended_by_t1(
    home: Home, market: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """Each sequence against a loop: the newest bar is last and ends at t1 at the latest; earlier places are padding."""
    found = written(home, market, tmp_path / "s.npz")
    events = market[0].set_index("event_id")
    bars = market[1]
    padded = 0
    for number, name in enumerate(found["event_id"]):
        event = events.loc[str(name)]
        past = [
            [getattr(bar, column) for column in BAR_FEATURES]
            for bar in bars.itertuples()
            if bar.symbol == event["symbol"] and bar.date == SESSION and bar.ends_at <= event["t1"]
        ][-LENGTH:]
        mask = [False] * (LENGTH - len(past)) + [True] * len(past)
        assert found["mask"][number].tolist() == mask
        np.testing.assert_array_equal(found["X"][number][LENGTH - len(past) :], np.array(past, dtype=np.float32))
        assert not found["X"][number][: LENGTH - len(past)].any()
        padded += len(past) < LENGTH
    assert 0 < padded < len(found["event_id"])


def test_labels_and_context_are_those_of_the_event(
    home: Home, market: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """1 BREAK, 0 BOUNCE, -1 otherwise; a missing strength or context is NaN, not 0."""
    found = written(home, market, tmp_path / "s.npz")
    events = market[0].set_index("event_id").loc[[str(name) for name in found["event_id"]]]
    meaning = {"BREAK": 1, "BOUNCE": 0}
    assert found["y_break"].tolist() == [meaning.get(str(outcome), -1) for outcome in events["outcome"]]
    assert set(found["y_break"].tolist()) == {-1, 0, 1}
    np.testing.assert_array_equal(found["y_strength"], events["strength_signed"].to_numpy(dtype=np.float32))
    names = found["static_feature_names"].tolist()
    np.testing.assert_array_equal(found["static"][:, names.index("atr")], events["atr"].to_numpy(dtype=np.float32))
    assert np.isnan(found["static"][:, names.index("atr")]).any()
    kinds = found["static"][:, [names.index(f"level_kind_{kind}") for kind in ("pdh", "pdl", "round")]]
    assert (kinds.sum(axis=1) == 1).all()


def test_what_comes_after_t1_changes_nothing(home: Home, market: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Garbage in every bar that ends after an event's t1 leaves its sample bit-equal."""
    events, bars = market
    moment = events.loc[events["date"] == SESSION, "t1"].sort_values().iloc[10]
    poisoned = bars.copy()
    late = poisoned["ends_at"] > moment
    poisoned.loc[late, ["open", "high", "low", "close", "volume"]] = -1e9
    assert late.any()
    samples = []
    for frame in (bars, poisoned):
        publish(home, events, frame)
        with read_snapshot(home) as snapshot:
            arrays, _ = build_sequences(snapshot, SESSION, LENGTH)
        early = arrays["ts_ns"] <= int(moment.value)
        samples.append({name: arrays[name][early] for name in ("X", "mask", "static", "event_id")})
    assert len(samples[0]["event_id"]) >= 10
    for name, values in samples[0].items():
        assert values.tobytes() == samples[1][name].tobytes()


def test_a_bar_that_became_known_late_was_not_seen(home: Home, market: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A correction after t1 is not part of what could be seen at t1."""
    events, bars = market
    moment = events.loc[events["date"] == SESSION, "t1"].max()
    late = bars.assign(known_at=bars["known_at"].where(bars["ends_at"] != moment, moment + timedelta(days=1)))
    publish(home, events, late)
    with read_snapshot(home) as snapshot:
        arrays, _ = build_sequences(snapshot, SESSION, 5)
    last = arrays["X"][arrays["ts_ns"] == int(moment.value)][0]
    minute = (moment - START) // timedelta(minutes=1)
    # The bar that ends at t1 started a minute before and has volume = minute; the one before it has one less.
    assert last[-1, 4] == minute - 1


def test_a_bar_counts_when_it_has_ended(home: Home, market: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A feed that stamps bars with their start does not move the end of a sequence."""
    events, bars = market
    samples = []
    for frame in (bars, bars.assign(known_at=bars["ts"])):
        publish(home, events, frame)
        with read_snapshot(home) as snapshot:
            samples.append(build_sequences(snapshot, SESSION, 5)[0]["X"].tobytes())
    assert samples[0] == samples[1]


def test_events_without_bars_are_left_out_and_counted(
    home: Home, market: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """A symbol whose bars never landed has no samples."""
    events, bars = market
    publish(home, events, bars[bars["symbol"] != "AAA"])
    result = write_sequences(home, SESSION, LENGTH, tmp_path / "s.npz")
    here = events[events["date"] == SESSION]
    assert result.without_bars == (here["symbol"] == "AAA").sum() > 0
    assert result.samples == (here["symbol"] != "AAA").sum()


def test_what_cannot_be_written_is_said(home: Home, market: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path) -> None:
    """A wrong ending, no bars at all and a session without events have messages."""
    publish(home, *market)
    with pytest.raises(ConfigError, match=r"does not end in \.npz"):
        write_sequences(home, SESSION, LENGTH, tmp_path / "s.pkl")
    with pytest.raises(ConfigError, match="seq_len=0"):
        write_sequences(home, SESSION, 0, tmp_path / "s.npz")
    with pytest.raises(DataGateError, match="no event of 2020-01-01"):
        write_sequences(home, date(2020, 1, 1), LENGTH, tmp_path / "s.npz")
    assert not (tmp_path / "s.npz").exists()


def test_context_comes_before_kinds() -> None:
    """Only columns that the table has; the name of the kind is text and no context."""
    columns = ["event_id", "level_kind_name", "level_kind_pdh", "atr", "level_price"]
    assert static_columns(columns) == ["level_price", "atr", "level_kind_pdh"]
