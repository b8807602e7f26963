"""Windows of past rows, one symbol at a time: what sequence models train on, and boosting with windows of one row.

A window is the last ``sequence_length`` rows of one symbol up to and including the decision row, whose features are
known when it is decided; its label is that row's. No window holds a row of another symbol or a later one. A table of
n rows costs a few integers per row: cells stay in Arrow's memory, and a batch is gathered from there when it is asked
for, so rows x length x features floats never exist at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.training.sequence_config import DatasetConfig, WindowConfig, columns_of, read_split, refuse

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_WINDOWS = 8_192
_BLOCK_ROWS = 262_144


class Batch(NamedTuple):
    """b windows: X float32 (b, length, features) in C-order, NaN where missing; y (b,); their decisions' keys (b,)."""

    X: NDArray[np.float32]
    y: NDArray[np.float64]
    timestamps: NDArray[np.datetime64]
    symbols: NDArray[np.str_]


@dataclass(frozen=True)
class _Column:
    """A column's chunks, as views of Arrow's memory where numpy can read it, as Arrow arrays where it cannot."""

    chunks: "tuple[NDArray[Any] | pa.Array, ...]"
    starts: tuple[int, ...]

    @classmethod
    def of(cls, chunked: "pa.ChunkedArray") -> "_Column":
        import pyarrow as pa

        parts = [chunk for chunk in chunked.chunks if len(chunk)]
        # Bits and missing values have no float of their own in Arrow's memory.
        direct = not pa.types.is_boolean(chunked.type)
        views = [part.to_numpy() if direct and part.null_count == 0 else part for part in parts]
        return cls(tuple(views), tuple(np.cumsum([0, *map(len, parts)])[:-1].tolist()))

    def take(self, chunk: int, rows: NDArray[np.int64]) -> NDArray[Any]:
        held = self.chunks[chunk]
        if isinstance(held, np.ndarray):
            return held[rows]
        import pyarrow as pa

        values: NDArray[Any] = held.take(pa.array(rows)).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values


class TimeSeriesDataset:
    """The windows of one file or table, in order of time, then symbol.

    Args:
        config: the files and what a window is.
        split: which of the files: train, val or test.

    Attributes:
        config: as given.
        feature_names: the features in order.

    Raises:
        ConfigError: a file or column is missing or of another type, keys are missing or repeated, features differ
            between the files, or there is no window. All faults of the files, then of the rows, are listed at once.

    Example::

        config = DatasetConfig(train_path="train.parquet", val_path="val.parquet", horizon=5, sequence_length=60)
        for X, y, timestamps, symbols in TimeSeriesDataset(config).batches(256):
            ...
    """

    def __init__(self, config: DatasetConfig, split: Literal["train", "val", "test"] = "train") -> None:
        self._read(read_split(config, split), config, str(config.path_of(split)))

    @classmethod
    def from_arrow(cls, table: "pa.Table", config: WindowConfig) -> Self:
        """Return the windows of a table in memory, which is not copied.

        Raises:
            ConfigError: as for the class.
        """
        made = cls.__new__(cls)
        made._read(table, config, "the table")
        return made

    def _read(self, table: "pa.Table", config: WindowConfig, origin: str) -> None:
        features, time, faults = columns_of(table.schema, config)
        refuse(origin, faults)
        self.config = config
        self.feature_names = features
        self._columns = [_Column.of(table.column(name)) for name in features]
        self._label = _Column.of(table.column(config.label_column))
        self._times = table.column(time).to_numpy()
        self._names, self._codes = _codes(table.column(config.symbol))
        sessions = None if config.session is None else table.column(config.session).to_numpy()
        self._order = np.lexsort((self._times, self._codes))
        refuse(origin, self._faults_of_rows(sessions))
        self._ends = self._windows(sessions)
        if not len(self._ends):
            raise ConfigError(
                f"{origin}: none of {table.num_rows} rows ends a window of sequence_length={config.sequence_length} "
                f"from {config.start or 'the first'} to {config.end or 'the last'} date",
                remedy="shorten sequence_length, widen start and end, or give rows with labels",
            )

    def _faults_of_rows(self, sessions: NDArray[Any] | None) -> list[str]:
        faults = []
        absent = [("time", np.isnat(self._times)), (self.config.symbol, self._codes < 0)]
        if sessions is not None:
            absent.append((str(self.config.session), np.isnan(sessions)))
        for told, missing in absent:
            if missing.any():
                faults.append(f"{missing.sum()} rows have no {told}, first row {np.argmax(missing)}")
        if faults:
            return faults
        ordered, times = self._codes[self._order], self._times[self._order]
        same = ordered[1:] == ordered[:-1]
        again = same & (times[1:] == times[:-1])
        if again.any():
            at = int(np.argmax(again))
            faults.append(f"{again.sum()} rows repeat a symbol and time, first {self._names[ordered[at]]} {times[at]}")
        elif sessions is not None:
            back = same & (np.diff(sessions[self._order]) <= 0)
            if back.any():
                at = int(np.argmax(back))
                told = f"{self._names[ordered[at]]} {times[at + 1]}"
                faults.append(f"{self.config.session} does not grow with time in {back.sum()} rows, first {told}")
        return faults

    def _windows(self, sessions: NDArray[Any] | None) -> NDArray[np.int64]:
        """Return where in ``_order`` each window ends, in order of time, then symbol."""
        config, back = self.config, self.config.sequence_length - 1
        days = self._times.astype("datetime64[D]")
        wanted = np.ones(len(days), dtype=bool)
        if config.start:
            wanted &= days >= np.datetime64(config.start)
        if config.end:
            wanted &= days <= np.datetime64(config.end)
        if config.require_label:
            wanted &= self._labelled()
        ends = np.flatnonzero(wanted[self._order])
        ends = ends[ends >= back]
        first, last = self._order[ends - back], self._order[ends]
        whole = self._codes[first] == self._codes[last]
        if sessions is not None:
            whole &= sessions[last] - sessions[first] == back
        ends, last = ends[whole], last[whole]
        ordered: NDArray[np.int64] = ends[np.lexsort((self._codes[last], self._times[last]))]
        return ordered

    def _labelled(self) -> NDArray[np.bool_]:
        known = np.empty(len(self._times), dtype=bool)
        for start in range(0, len(known), _BLOCK_ROWS):
            rows = np.arange(start, min(start + _BLOCK_ROWS, len(known)))
            known[rows] = ~np.isnan(self._gather([self._label], rows, np.float64)[:, 0])
        return known

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols of the table, sorted."""
        return tuple(self._names.tolist())

    @property
    def flat_names(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`flat`, oldest row first: ``NAME_lag59``, ..., ``NAME_lag1``, ``NAME``."""
        lags = range(self.config.sequence_length - 1, -1, -1)
        return tuple(f"{name}_lag{lag}" if lag else name for lag in lags for name in self.feature_names)

    def take(self, windows: Sequence[int] | NDArray[np.integer]) -> Batch:
        """Return these windows, by their positions, as arrays of their own.

        Raises:
            ConfigError: there is no such window.
        """
        chosen = np.asarray(windows, dtype=np.int64)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise ConfigError(
                f"windows {chosen.min()} to {chosen.max()} are asked for", remedy=f"there are 0 to {len(self) - 1}"
            )
        length = self.config.sequence_length
        rows = self._order[self._ends[chosen][:, None] + np.arange(1 - length, 1)]
        X = self._gather(self._columns, rows.ravel(), np.float32).reshape(len(chosen), length, len(self._columns))
        decided = rows[:, -1]
        y = self._gather([self._label], decided, np.float64)[:, 0]
        return Batch(X, y, self._times[decided], self._names[self._codes[decided]])

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all windows in order, ``size`` at a time, the last batch with what is left.

        Raises:
            ConfigError: ``size`` is not at least 1.
        """
        if size < 1:
            raise ConfigError(f"batches of size={size}", remedy="give a size of at least 1")
        return (self.take(np.arange(at, min(at + size, len(self)))) for at in range(0, len(self), size))

    def flat(self) -> Batch:
        """Return all windows with X as one matrix (n, length x features), its columns called :attr:`flat_names`."""
        width = self.config.sequence_length * len(self.feature_names)
        X, y = np.empty((len(self), width), dtype=np.float32), np.empty(len(self))
        for at, batch in enumerate(self.batches(_BLOCK_WINDOWS)):
            place = slice(at * _BLOCK_WINDOWS, at * _BLOCK_WINDOWS + len(batch.y))
            X[place], y[place] = batch.X.reshape(len(batch.y), width), batch.y
        decided = self._order[self._ends]
        return Batch(X, y, self._times[decided], self._names[self._codes[decided]])

    def _gather(self, columns: Sequence[_Column], rows: NDArray[np.int64], dtype: Any) -> NDArray[Any]:
        """Return the cells of ``columns`` in ``rows`` as a matrix; beyond ``dtype``'s range they are infinite."""
        found = np.empty((len(rows), len(columns)), dtype=dtype)
        # Columns are cut into chunks alike, as a rule, so places are looked up once.
        places: dict[tuple[int, ...], list[tuple[int, Any, NDArray[np.int64]]]] = {}
        with np.errstate(over="ignore"):
            for number, column in enumerate(columns):
                if column.starts not in places:
                    places[column.starts] = list(_places(column.starts, rows))
                for chunk, where, inside in places[column.starts]:
                    found[where, number] = column.take(chunk, inside)
        return found


def _places(starts: tuple[int, ...], rows: NDArray[np.int64]) -> Iterator[tuple[int, Any, NDArray[np.int64]]]:
    """Yield each chunk that has some of ``rows``, which of them, and where in the chunk they are."""
    if len(starts) == 1:
        yield 0, slice(None), rows
        return
    chunk_of = np.searchsorted(starts, rows, side="right") - 1
    for chunk in np.unique(chunk_of).tolist():
        where = np.flatnonzero(chunk_of == chunk)
        yield chunk, where, rows[where] - starts[chunk]


def _codes(column: "pa.ChunkedArray") -> tuple[NDArray[np.str_], NDArray[np.int32]]:
    """Return the names, sorted, and each row's position among them, -1 where it has none."""
    import pyarrow as pa

    encoded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    names = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
    rank = np.empty(len(names), dtype=np.int32)
    rank[np.argsort(names)] = np.arange(len(names), dtype=np.int32)
    codes = encoded.indices.fill_null(-1).to_numpy()
    return np.sort(names), np.where(codes < 0, -1, rank[codes]).astype(np.int32)
