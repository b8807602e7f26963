"""Neighbours of many past events at once, each as it could have been asked at its own t1: for evidence out of fold.

Events are taken session by session. The scaling of a session is measured on events resolved before the session's first
event; a neighbour of an event was resolved strictly before that event's own t1, also one of the same session. So a
later event has no say in the answer, neither as a neighbour nor through means and scales.

A matrix product finds what can be among the k nearest, with room for its rounding; the distances of these few are then
those of DuckDB's ``array_distance``. The answers are bit-equal to one query each, at a tenth of the time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.lake.names import identifier
from trademl.sleeves.events.retrieval.scaling import Scaling
from trademl.sleeves.events.retrieval.store import RESOLVED, EventStore
from trademl.sleeves.events.retrieval.summary import LABELS, NUMBERS, summary_numbers

if TYPE_CHECKING:
    import pyarrow as pa

    from trademl.sleeves.events.retrieval.index import RetrievalIndex

KEYS = ("event_id", "ts_ns", "date")
"""What a table of queries needs besides the features and the columns of its filters."""

_BLOCK = 4_000_000
_ROUNDING = 1e-12


def query_many(
    index: "RetrievalIndex",
    queries: Any,
    *,
    k: int,
    filter_on: Sequence[str] = ("level_kind_name", "direction"),
    progress: Callable[[date, int], None] | None = None,
) -> "pa.Table":
    """Return what the k nearest earlier events of each row of ``queries`` came to, a row each, by ts_ns and event_id.

    Args:
        index: with the events that may be neighbours.
        queries: pandas frame or Arrow table with event_id, ts_ns (= t1), date, the index's features and ``filter_on``.
        k: neighbours wanted.
        filter_on: metadata that a neighbour must have in common with its query.
        progress: told each session and its number of events when it is done.

    Returns:
        event_id, ts_ns, n_neighbors, latest_resolved_ns (of the neighbours; NULL without any), and the thirteen numbers
        of :class:`~trademl.sleeves.events.retrieval.summary.RetrievalSummary`.

    Raises:
        ConfigError: a column is missing, or ``filter_on`` names no metadata.
    """
    import pyarrow as pa

    index.check_filters(filter_on)
    store = index.store
    columns = ", ".join(map(identifier, (*KEYS, *filter_on, *index.feature_cols)))
    try:
        landed = store.arrow(f"select {columns} from asked order by date, ts_ns, event_id", asked=queries)
    except duckdb.Error as error:
        raise ConfigError(
            f"the queries cannot be read: {str(error).splitlines()[0]}",
            remedy=f"give {', '.join(KEYS)}, the features and {', '.join(filter_on) or 'no filters'}",
        ) from error
    sessions = landed.column("date").to_pylist()
    starts = [place for place in range(len(sessions)) if not place or sessions[place] != sessions[place - 1]]
    past = _Past.of(index, filter_on)
    found: list[dict[str, Any]] = []
    for start, end in zip(starts, [*starts[1:], len(sessions)], strict=True):
        part = landed.slice(start, end - start)
        found.extend(_session(index, past, part, k))
        if progress is not None:
            progress(sessions[start], end - start)
    kinds = {"event_id": pa.string(), "ts_ns": pa.int64(), "n_neighbors": pa.int32(), "latest_resolved_ns": pa.int64()}
    schema = pa.schema([*kinds.items(), *((name, pa.float64()) for name in NUMBERS)])
    return pa.Table.from_pylist(found, schema=schema).sort_by([("ts_ns", "ascending"), ("event_id", "ascending")])


@dataclass(frozen=True, eq=False)
class _Past:
    """The events of an index as arrays: raw features column by column, times, and rows by what filters compare."""

    filter_on: tuple[str, ...]
    raw: NDArray[np.float64]
    resolved: NDArray[np.int64]
    cells: dict[tuple[Any, ...], NDArray[np.int64]]

    @classmethod
    def of(cls, index: "RetrievalIndex", filter_on: Sequence[str]) -> "_Past":
        store = index.store
        raw = np.empty((store.rows, len(index.feature_cols)), order="F")
        for place, column in enumerate(store.columns()):
            raw[:, place] = column
        everything = np.arange(store.rows)
        resolved = store.labels_at(everything)[RESOLVED]
        if not filter_on:
            return cls((), raw, resolved, {(): everything})
        grouped = store.rows_at(everything)[list(filter_on)].groupby(list(filter_on)).indices
        cells = {key if isinstance(key, tuple) else (key,): np.sort(rows) for key, rows in grouped.items()}
        return cls(tuple(filter_on), raw, resolved, cells)


def _session(index: "RetrievalIndex", past: _Past, part: "pa.Table", k: int) -> Iterator[dict[str, Any]]:
    times = part.column("ts_ns").to_numpy()
    question, place, distance = _nearest(index, past, part, times, k)
    near = index.store.labels_at(place)
    edges = np.searchsorted(question, np.arange(len(times) + 1))
    for q, name in enumerate(part.column("event_id").to_pylist()):
        chosen = slice(edges[q], edges[q + 1])
        numbers = summary_numbers({label: near[label][chosen] for label in LABELS}, distance[chosen])
        resolved = near[RESOLVED][chosen]
        yield {
            "event_id": name,
            "ts_ns": int(times[q]),
            "n_neighbors": len(resolved),
            "latest_resolved_ns": int(resolved.max()) if len(resolved) else None,
            **{label: None if value != value else value for label, value in numbers.items()},
        }


def _nearest(
    index: "RetrievalIndex", past: _Past, part: "pa.Table", times: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return question, place and distance of the k nearest of every row of a session, by question, nearest first."""
    measured = np.flatnonzero(past.resolved < times[0])
    empty = np.zeros(0, dtype=np.int64)
    if not len(measured):
        return empty, empty, np.zeros(0)
    names = index.feature_cols
    scaling = Scaling.measure(names, (past.raw[measured, place] for place in range(len(names))), len(measured))
    asked = scaling.transform(np.column_stack([_floats(part.column(name)) for name in names]))
    keys = [part.column(name).to_pylist() for name in past.filter_on]
    rows: dict[tuple[Any, ...], list[int]] = {}
    for q in range(len(times)):
        rows.setdefault(tuple(str(key[q]) for key in keys), []).append(q)
    pairs = []
    for key, mine in rows.items():
        cell = past.cells.get(key, empty)
        cell = cell[past.resolved[cell] < times[-1]]
        vectors = scaling.transform(past.raw[cell])
        block = max(1, _BLOCK // max(1, len(cell)))
        for start in range(0, len(mine), block):
            some = np.array(mine[start : start + block])
            allowed = past.resolved[cell][None, :] < times[some][:, None]
            which, near = _possible(asked[some], vectors, allowed, k)
            pairs.append((some[which], cell[near], _distances(index.store, asked[some][which], vectors[near])))
    question, place, distance = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.lexsort((place, distance, question))
    question, place, distance = question[order], place[order], distance[order]
    first = np.searchsorted(question, question)
    kept = np.arange(len(question)) - first < k
    return question[kept], place[kept], distance[kept]


def _possible(
    asked: NDArray[np.float64], vectors: NDArray[np.float64], allowed: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs (row of ``asked``, row of ``vectors``) with the k nearest allowed ones of each row, and few more.

    Squared distances, less a constant of each row, come from a matrix product. Its rounding is below ``_ROUNDING``
    times the largest square involved, so whoever lies further beyond the k-th is not among the k nearest.
    """
    squares = np.einsum("ij,ij->i", vectors, vectors)
    gap = squares[None, :] - 2.0 * (asked @ vectors.T)
    gap[~allowed] = np.inf
    if vectors.shape[0] > k:
        last = np.partition(gap, k - 1, axis=1)[:, k - 1]
        room = _ROUNDING * (np.einsum("ij,ij->i", asked, asked) + squares.max())
        allowed = allowed & (gap <= (last + room)[:, None])
    q, n = np.nonzero(allowed)
    return q, n


def _distances(store: "EventStore", one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances of pairs of vectors, by the function that a search in DuckDB uses."""
    import pyarrow as pa

    width = one.shape[1]
    pairs = pa.table(
        {
            name: pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), width)
            for name, vectors in (("a", one), ("b", other))
        }
    )
    found = store.arrow(f"select array_distance(a::double[{width}], b::double[{width}]) as d from pairs", pairs=pairs)
    distances: NDArray[np.float64] = found.column("d").to_numpy()
    return distances


def _floats(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.cast("float64").to_numpy()
    return values
