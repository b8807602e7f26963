"""The events of an index in a private DuckDB: raw rows in a fixed order, scaled vectors, exact nearest neighbours.

Rows are sorted by metadata, then by the time they were resolved: a filtered search reads one piece of the table, and
equal sets of events give equal tables however they came. A search is one statement: filters and the time limit first,
then ``array_distance`` over ``double[n]``, then the k smallest; equal distances in the order of the table.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.lake.names import identifier, quoted
from trademl.sleeves.events.retrieval.scaling import Scaling
from trademl.sleeves.events.retrieval.summary import LABELS

RESOLVED = "resolved_ns"
IDENTITY = ("event_id", "ts_ns", "date", "symbol", "level_price")
"""Kept of an event where they are given; ``event_id`` is needed."""

_HORIZON_LABEL = re.compile(r"t[12]_(break_|bounce_)?\d+|(tradeable_[12]|outcome|strength_signed)(_\w+)?")
_NUMBERS = ("FLOAT", "DOUBLE")


class EventStore:
    """The events of one index.

    Args:
        features: the columns that distances are taken of.
        metadata: the columns that a search may filter on.
        threads: DuckDB's; None means all cores.
    """

    def __init__(self, features: Sequence[str], metadata: Sequence[str], *, threads: int | None = None) -> None:
        self.features, self.metadata = tuple(features), tuple(metadata)
        self._con = duckdb.connect(":memory:")
        self._con.execute("set enable_progress_bar = false")
        self._con.execute("set TimeZone = 'UTC'")
        if threads:
            self._con.execute(f"set threads = {int(threads)}")
        self.rows = 0
        self.unresolved = 0
        self.kept: tuple[str, ...] = ()
        self._path: str | None = None
        self._held: Any = None

    def land(self, frame: Any) -> None:
        """Take the resolved events of a pandas frame, an Arrow table or anything else that DuckDB can scan.

        Raises:
            ConfigError: a column is missing, an event has no id or comes twice, or a feature is an outcome.
        """
        self._con.register("given", frame)
        try:
            types = {row[0]: row[1] for row in self._con.execute("describe given").fetchall()}
            self._check(types)
            others = [name for name in types if _HORIZON_LABEL.fullmatch(name) and name not in LABELS]
            self.kept = (*(name for name in IDENTITY if name in types), *LABELS, *others)
            kinds = {name: types[name] if types[name] in _NUMBERS else "double" for name in self.features}
            features = [f"cast({identifier(name)} as {kind}) as {identifier(name)}" for name, kind in kinds.items()]
            order = ", ".join([*map(identifier, self.metadata), RESOLVED, "event_id"])
            self._con.execute(
                f"create or replace table raw as select {', '.join(map(identifier, self.kept_columns()))}, "
                f"epoch_ns(resolved_at) as {RESOLVED}, {', '.join(features)} from given "
                f"where resolved_at is not null order by {order}"
            )
            given = self._number("select count(*) from given")
        finally:
            self._con.unregister("given")
        self._check_ids()
        self._hold()
        self.unresolved = given - self.rows

    def land_file(self, path: str) -> None:
        """Take the events of a file that :meth:`write` wrote; raw features stay in the file.

        Raises:
            ConfigError: the file lacks a column.
        """
        # A view: what is only needed when scaling again is not held in memory.
        self._con.execute(f"create or replace view raw as select * from read_parquet({quoted(path)})")
        have = [row[0] for row in self._con.execute("describe raw").fetchall()]
        absent = [name for name in ("event_id", RESOLVED, *LABELS, *self.metadata, *self.features) if name not in have]
        if absent:
            raise ConfigError(f"{path} lacks the columns {', '.join(absent)}", remedy="run `trademl events index`")
        ours = {*self.metadata, *self.features, RESOLVED}
        self.kept = tuple(name for name in have if name not in ours)
        self._path = path
        self._hold()

    def share(self, other: "EventStore") -> None:
        """Take the events of another store with the same features and metadata."""
        if other._path is not None:
            self.land_file(other._path)
        else:
            self._con.register("given", other.arrow("select * from raw"))
            self._con.execute("create or replace table raw as select * from given")
            self._con.unregister("given")
            self.kept = other.kept
            self._hold()
        self.unresolved = other.unresolved

    def write(self, path: str) -> None:
        """Write the raw rows as parquet, in order: equal events give equal bytes."""
        self._con.execute(
            f"copy (select * from raw) to {quoted(path)} (format parquet, compression zstd, row_group_size 122880)"
        )

    def kept_columns(self) -> tuple[str, ...]:
        """Return what is kept of an event besides its features: identity, labels, metadata."""
        return (*self.kept, *self.metadata)

    def span(self) -> tuple[date, date]:
        """Return the sessions of the first and the last event."""
        first, last = self._con.execute("select min(date), max(date) from raw").fetchall()[0]
        return first, last

    def count(self, where: str) -> int:
        """Return how many events pass a SQL test."""
        return self._number(f"select count(*) from raw where {where}")

    def measure(self, before: int | None = None) -> Scaling:
        """Measure means and scales on the events that were resolved before an instant (ns); None means on all.

        Raises:
            ConfigError: no event was resolved by then.
        """
        where = "" if before is None else f"where {RESOLVED} < {int(before)}"
        rows = self._number(f"select count(*) from raw {where}")
        if not rows:
            raise ConfigError(
                "no event was resolved " + ("at all" if before is None else f"before {before} ns"),
                remedy="give events with resolved_at, or a later instant",
            )
        return Scaling.measure(self.features, self.columns(where), rows)

    def scale(self, scaling: Scaling) -> None:
        """Make the vectors that searches read."""
        tested = ", ".join(map(identifier, (*self.metadata, RESOLVED)))
        self._con.execute(
            f"create or replace table events as select row_number() over () - 1 as n, {tested}, "
            f"{scaling.sql()} as vector from raw"
        )

    def nearest(
        self, vector: NDArray[np.float64], filters: Mapping[str, str], k: int, before: int | None
    ) -> tuple[list[int], NDArray[np.float64]]:
        """Return places and distances of the k nearest events that pass, nearest first; fewer where fewer pass.

        Args:
            vector: scaled, shape (n,).
            filters: metadata column -> the value that it must have.
            k: how many.
            before: only events resolved before this instant (ns); None means any.
        """
        tests, values = self.conditions(filters, before)
        return self._top(vector, f"where {' and '.join(tests)}" if tests else "", values, k)

    def nearest_of(self, vector: NDArray[np.float64], places: Sequence[int], k: int) -> Any:
        """Return the k nearest of given places, as :meth:`nearest` does."""
        return self._top(vector, "where n in (select unnest($places::bigint[]))", {"places": list(places)}, k)

    def conditions(self, filters: Mapping[str, str], before: int | None) -> tuple[list[str], dict[str, Any]]:
        """Return SQL tests and their values for filters and a time limit.

        Raises:
            ConfigError: a filter is not on a metadata column.
        """
        unknown = sorted(set(filters) - set(self.metadata))
        if unknown:
            raise ConfigError(
                f"cannot filter on {', '.join(unknown)}: this index filters on {', '.join(self.metadata) or 'nothing'}",
                remedy="name these columns in metadata_cols when the index is made",
            )
        names = [name for name in self.metadata if name in filters]
        tests = [f"{identifier(name)} = $filter_{place}" for place, name in enumerate(names)]
        values: dict[str, Any] = {f"filter_{place}": str(filters[name]) for place, name in enumerate(names)}
        if before is not None:
            tests.append(f"{RESOLVED} < $before")
            values["before"] = before
        return tests, values

    def rows_at(self, places: Sequence[int] | NDArray[np.int64]) -> Any:
        """Return identity, metadata, labels and ``resolved_at`` of the events at ``places``, in that order."""
        return self._held.take(np.asarray(places, dtype=np.int64)).to_pandas()

    def labels_at(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the labels and ``resolved_ns`` of the events at ``places``, in that order, as numpy arrays."""
        import pyarrow.compute as pc

        found = self._held.select([*LABELS, "resolved_at"]).take(places)
        resolved = pc.cast(found.column("resolved_at"), "int64").to_numpy()
        return {RESOLVED: resolved} | {name: found.column(name).to_numpy() for name in LABELS}

    def arrow(self, query: str, values: Mapping[str, Any] | None = None, **frames: Any) -> Any:
        """Run a statement over ``events``, ``raw`` and the given frames; return an Arrow table."""
        cursor = self._con.cursor()
        for name, frame in frames.items():
            cursor.register(name, frame)
        try:
            return cursor.sql(query, params=dict(values) if values else None).to_arrow_table()
        finally:
            for name in frames:
                cursor.unregister(name)
            cursor.close()

    def numbers(self, query: str) -> dict[str, Any]:
        """Return the columns of a statement over ``events`` as numpy arrays."""
        found: dict[str, Any] = self._con.cursor().execute(query).fetchnumpy()
        return found

    def close(self) -> None:
        """Let go of the memory."""
        self._con.close()

    def _hold(self) -> None:
        """Keep identity, labels and metadata at hand as one Arrow table: rows are taken from it by place."""
        columns = ", ".join(map(identifier, self.kept_columns()))
        query = f"select {columns}, make_timestamp_ns({RESOLVED}) as resolved_at from raw"
        self._held = self.arrow(query).combine_chunks()
        self.rows = self._held.num_rows

    def _top(
        self, vector: NDArray[np.float64], where: str, values: Mapping[str, Any], k: int
    ) -> tuple[list[int], NDArray[np.float64]]:
        query = (
            f"select n, array_distance(vector, $vector::double[{len(self.features)}]) as distance from events {where} "
            f"order by distance, n limit {int(k)}"
        )
        cursor = self._con.cursor()
        found = cursor.execute(query, {**values, "vector": vector.tolist()}).fetchall()
        cursor.close()
        return [row[0] for row in found], np.array([row[1] for row in found], dtype=np.float64)

    def _check(self, types: Mapping[str, str]) -> None:
        absent = [
            name for name in ("event_id", "resolved_at", *LABELS, *self.metadata, *self.features) if name not in types
        ]
        if absent:
            raise ConfigError(
                f"events lack the columns {', '.join(absent)}",
                remedy="give rows of gold.events_features joined to gold.events_labels",
            )
        known = {*IDENTITY, *LABELS, *self.metadata, "resolved_at", RESOLVED}
        leaks = [name for name in self.features if name in known or _HORIZON_LABEL.fullmatch(name)]
        if leaks or len(set(self.features)) < len(self.features) or not self.features:
            raise ConfigError(
                f"feature_cols must be distinct features, not {', '.join(leaks) or f'{list(self.features)!r}'}",
                remedy="leave out identity, filters and outcomes",
            )

    def _check_ids(self) -> None:
        twice = self._con.execute(
            "select event_id, count(*) from raw group by event_id having event_id is null or count(*) > 1 "
            "order by 2 desc, 1 limit 1"
        ).fetchall()
        if twice:
            raise ConfigError(
                f"event_id {twice[0][0]!r} stands in {twice[0][1]} rows",
                remedy="give one row an event, each with an id",
            )

    def columns(self, where: str = "") -> Iterator[NDArray[np.float64]]:
        """Yield the raw features as float64, shape (events,), NaN where missing, in their order."""
        for name in self.features:
            query = f"select cast({identifier(name)} as double) as x from raw {where}"
            column = self._con.execute(query).fetchnumpy()["x"]
            yield np.ma.filled(column, np.nan)

    def _number(self, query: str) -> int:
        return int(self._con.execute(query).fetchall()[0][0])
