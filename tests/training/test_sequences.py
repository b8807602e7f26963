"""Windows of past rows, against loops over the rows, and what they cost."""

import tracemalloc
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.sequences import windows_of
from trademl.errors import ConfigError
from trademl.training.sequence_config import DatasetConfig, WindowConfig
from trademl.training.sequences import TimeSeriesDataset

DAY = date(2020, 1, 1)
FEATURES = ["alpha", "beta", "flag"]


def cut(table: pa.Table, rows: list[int]) -> pa.Table:
    """The same table in chunks that end after these rows."""
    ends = sorted({0, *rows, table.num_rows})
    return pa.concat_tables(table.slice(at, stop - at) for at, stop in pairwise(ends))


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"alpha": pa.float32(), "beta": pa.float64(), "flag": pa.bool_(), "symbol": pa.string()}
    columns = {name: pa.array([row[name] for row in rows], type=kind) for name, kind in kinds.items()}
    columns["session"] = pa.array([row["session"] for row in rows], type=pa.int64())
    columns["date"] = pa.array([row["time"] for row in rows], type=pa.date32())
    columns["label_h5"] = pa.array([row["label"] for row in rows], type=pa.float64())
    columns["label_h20"] = pa.array([0.0] * len(rows))
    columns["split"] = pa.array(["train"] * len(rows))
    return pa.table(columns)


cells = st.one_of(st.none(), st.floats(-4, 4, width=16))


@st.composite
def panels(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of up to three symbols on up to ten sessions, with holes and missing cells, in any order."""
    keys = draw(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 9)), unique=True, min_size=1, max_size=24))
    return [
        {
            "symbol": symbol,
            "session": session,
            "time": DAY + timedelta(days=session + session // 5 * 2),
            "label": draw(cells),
            "alpha": draw(cells),
            "beta": draw(cells),
            "flag": draw(st.one_of(st.none(), st.booleans())),
        }
        for symbol, session in keys
    ]


def numbers(values: list[Any]) -> list[float]:
    return [np.nan if value is None else float(value) for value in values]


@settings(max_examples=150, deadline=None)
@given(
    panels(),
    st.integers(1, 5),
    st.lists(st.integers(0, 24), max_size=3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 12) | st.none(),
    st.integers(0, 12) | st.none(),
    st.integers(1, 7),
)
def test_windows_are_those_of_the_loops(
    rows: list[dict[str, Any]],
    length: int,
    cuts: list[int],
    sessions: bool,
    labels: bool,
    first: int | None,
    last: int | None,
    size: int,
) -> None:
    """Any order of rows, chunks, holes, missing cells and dates: the same windows, labels and keys, in any batches."""
    bounds = [None if day is None else DAY + timedelta(days=day) for day in (first, last)]
    if first is not None and last is not None and first > last:
        bounds.reverse()
    config = WindowConfig(
        horizon=5,
        sequence_length=length,
        features=tuple(FEATURES),
        session="session" if sessions else None,
        require_label=labels,
        start=bounds[0],
        end=bounds[1],
    )
    expected = windows_of(rows, FEATURES, length, first=bounds[0], last=bounds[1], sessions=sessions, labels=labels)
    table = cut(table_of(rows), [at for at in cuts if at < len(rows)])
    if not expected:
        with pytest.raises(ConfigError, match=f"none of {len(rows)} rows ends a window of sequence_length={length}"):
            TimeSeriesDataset.from_arrow(table, config)
        return
    dataset = TimeSeriesDataset.from_arrow(table, config)
    assert len(dataset) == len(expected)
    batches = list(dataset.batches(size))
    assert [len(batch.y) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert sum(len(batch.y) for batch in batches) == len(expected)
    X = np.concatenate([batch.X for batch in batches])
    assert X.dtype == np.float32
    assert np.array_equal(X, np.array([[numbers(row) for row in one.rows] for one in expected], "f4"), equal_nan=True)
    assert np.array_equal(
        np.concatenate([batch.y for batch in batches]), numbers([one.label for one in expected]), equal_nan=True
    )
    assert [day for batch in batches for day in batch.timestamps.tolist()] == [one.time for one in expected]
    assert [name for batch in batches for name in batch.symbols.tolist()] == [one.symbol for one in expected]
    flat = dataset.flat()
    assert np.array_equal(flat.X, X.reshape(len(X), -1), equal_nan=True)
    assert flat.X.flags.c_contiguous
    assert np.array_equal(flat.timestamps, np.concatenate([batch.timestamps for batch in batches]))
    assert np.array_equal(flat.symbols, np.concatenate([batch.symbols for batch in batches]))


def panel(symbols: int, sessions: int, features: int, order: str = "date") -> pa.Table:
    """A full panel; feature f of symbol s on session t is s + t / 1000 + f / 10."""
    s, t = np.repeat(np.arange(symbols), sessions), np.tile(np.arange(sessions), symbols)
    place = np.lexsort((s, t)) if order == "date" else np.arange(len(s))
    s, t = s[place], t[place]
    columns: dict[str, Any] = {
        "datetime": (np.datetime64("2020-01-01", "s") + t * np.timedelta64(86_400, "s")),
        "symbol": pa.array([f"S{one:03d}" for one in s]),
        "session": t,
    }
    columns |= {f"f{number}": (s + t / 1000 + number / 10).astype(np.float32) for number in range(features)}
    return pa.table({**columns, "label_h5": t.astype(np.float64)})


def put(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(
        table.column_names.index(name), name, values if isinstance(values, pa.Array) else pa.array(values)
    )


def test_a_window_ends_with_its_decision_and_holds_no_later_row() -> None:
    """Features of the decision row are the window's last; the label is that row's; columns say how old they are."""
    config = WindowConfig(horizon=5, sequence_length=3, session="session")
    dataset = TimeSeriesDataset.from_arrow(panel(2, 5, 2), config)
    assert dataset.feature_names == ("f0", "f1")
    assert dataset.symbols == ("S000", "S001")
    assert dataset.flat_names == ("f0_lag2", "f1_lag2", "f0_lag1", "f1_lag1", "f0", "f1")
    assert len(dataset) == 2 * 3
    X, y, timestamps, symbols = dataset.take([1])
    assert X.tolist() == np.array([[[1.0, 1.1], [1.001, 1.101], [1.002, 1.102]]], dtype=np.float32).tolist()
    assert (y.tolist(), timestamps.astype("M8[D]").astype(str).tolist(), symbols.tolist()) == (
        [2.0],
        ["2020-01-03"],
        ["S001"],
    )


def test_one_row_windows_are_the_table() -> None:
    """With sequence_length 1 the flat matrix is the features in order of time, then symbol, under their own names."""
    table = panel(3, 4, 2, order="symbol")
    dataset = TimeSeriesDataset.from_arrow(table, WindowConfig(horizon=5, session="session"))
    ordered = table.sort_by([("datetime", "ascending"), ("symbol", "ascending")])
    assert dataset.flat_names == ("f0", "f1")
    assert np.array_equal(dataset.flat().X, np.column_stack([ordered["f0"].to_numpy(), ordered["f1"].to_numpy()]))
    assert np.array_equal(dataset.flat().y, ordered["label_h5"].to_numpy())


def test_columns_are_views_of_arrows_memory() -> None:
    """A whole column, and each chunk of one in chunks, is read where Arrow holds it."""
    table = cut(panel(4, 50, 2), [70, 120])
    dataset = TimeSeriesDataset.from_arrow(table, WindowConfig(horizon=5, session="session"))
    for name, column in zip(dataset.feature_names, dataset._columns, strict=True):
        assert len(column.chunks) == 3
        for view, chunk in zip(column.chunks, table.column(name).chunks, strict=True):
            assert isinstance(view, np.ndarray)
            assert view.__array_interface__["data"][0] == chunk.buffers()[1].address + chunk.offset * 4


@pytest.mark.parametrize("nulls", [False, True])
def test_memory_is_a_few_integers_per_row(nulls: bool) -> None:
    """60 rows x 24 features: the dataset holds less than 48 bytes a row, and a batch costs the batch."""
    rows, length, features, size = 100 * 400, 60, 24, 64
    table = panel(100, 400, features)
    if nulls:
        holed = pa.array(table["f0"].to_numpy(), mask=np.arange(rows) % 7 == 0)
        table = table.set_column(table.column_names.index("f0"), "f0", holed)
    config = WindowConfig(horizon=5, sequence_length=length)
    TimeSeriesDataset.from_arrow(table, config)
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        dataset = TimeSeriesDataset.from_arrow(table, config)
        held, built = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in dataset.batches(size):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole = len(dataset) * length * features * 4
    assert held < 48 * rows
    assert built < 160 * rows
    assert peak - held < 12 * size * length * features * 4
    assert peak < whole / 40
    assert pa.total_allocated_bytes() - arrow < 16 * rows


def write(folder: Path, name: str, table: pa.Table) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(table, path, row_group_size=50)
    return path


def test_files_are_read_by_split(tmp_path: Path) -> None:
    """Three files of one form: each split has its own windows, which never reach into another file."""
    table = (
        panel(3, 60, 2).append_column("split", pa.array(["x"] * 180)).append_column("label_h20", pa.array([1.0] * 180))
    )
    parts = {"train": table.slice(0, 90), "val": table.slice(90, 45), "test": table.slice(135, 45)}
    paths: dict[str, Any] = {f"{name}_path": write(tmp_path, name, part) for name, part in parts.items()}
    config = DatasetConfig(**paths, horizon=5, sequence_length=10, session="session")
    for split, sessions in (("train", 30), ("val", 15), ("test", 15)):
        dataset = TimeSeriesDataset(config, split)  # type: ignore[arg-type]
        assert dataset.feature_names == ("f0", "f1")
        assert len(dataset) == 3 * (sessions - 9)
        in_memory = TimeSeriesDataset.from_arrow(parts[split], config)
        assert np.array_equal(dataset.flat().X, in_memory.flat().X)
    assert len(TimeSeriesDataset(DatasetConfig(train_path=paths["train_path"], horizon=20))) == 90


def test_dates_bound_decisions_and_not_their_past() -> None:
    """From session 5 on, windows of three rows begin with session 3; times of day belong to their date."""
    table = panel(1, 9, 1)
    afternoon = table["datetime"].to_numpy() + np.timedelta64(15 * 3600, "s")
    table = put(table, "datetime", afternoon)
    config = WindowConfig(horizon=5, sequence_length=3, start=date(2020, 1, 6), end=date(2020, 1, 7), features=("f0",))
    assert TimeSeriesDataset.from_arrow(table, config).take([0, 1]).X[:, :, 0].tolist() == (
        np.array([[0.003, 0.004, 0.005], [0.004, 0.005, 0.006]], dtype=np.float32).tolist()
    )


def test_what_does_not_exist_is_not_taken() -> None:
    """Windows by position and batch sizes are checked."""
    dataset = TimeSeriesDataset.from_arrow(panel(1, 9, 1), WindowConfig(horizon=5, session="session"))
    with pytest.raises(ConfigError, match="windows 3 to 9 are asked for") as caught:
        dataset.take([3, 9])
    assert caught.value.remedy == "there are 0 to 8"
    with pytest.raises(ConfigError, match="size=0"):
        dataset.batches(0)
    assert dataset.take([]).X.shape == (0, 1, 1)


BASE = panel(2, 3, 1, order="symbol")


@pytest.mark.parametrize(
    "table, told",
    [
        (put(BASE, "symbol", ["A", "A", "A", "A", "B", "B"]), "1 rows repeat a symbol and time, first A 2020-01-01"),
        (put(BASE, "symbol", ["A", None, "A", "B", None, "B"]), "2 rows have no symbol, first row 1"),
        (put(BASE, "datetime", [*BASE["datetime"].to_pylist()[:5], None]), "1 rows have no time, first row 5"),
        (put(BASE, "session", [0, 1, 1, 0, 2, 1]), "session does not grow with time in 2 rows, first S000 2020-01-03"),
        (put(BASE, "session", [0, 1, None, 0, 1, 2]), "1 rows have no session, first row 2"),
        (BASE.slice(0, 0), "none of 0 rows ends a window of sequence_length=2"),
        (put(BASE, "label_h5", pa.nulls(6)), "the column 'label_h5' is null, not a number"),
        (put(BASE, "label_h5", [None] * 3 + [np.nan] * 3), "none of 6 rows ends a window"),
    ],
)
def test_wrong_rows_are_refused(table: pa.Table, told: str) -> None:
    """Missing and repeated keys, sessions that turn back, and nothing to train on: how many rows, and the first."""
    with pytest.raises(ConfigError, match=told):
        TimeSeriesDataset.from_arrow(table, WindowConfig(horizon=5, sequence_length=2, session="session"))
