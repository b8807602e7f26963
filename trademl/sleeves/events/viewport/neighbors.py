"""The retrieval index as a viewport asks it: the neighbours of all targets of a bar in one statement."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.lake.names import identifier
from trademl.sleeves.events.bundle import read_columns
from trademl.sleeves.events.retrieval.index import RetrievalIndex
from trademl.sleeves.events.retrieval.store import RESOLVED
from trademl.sleeves.events.retrieval.summary import (
    LABELS,
    RetrievalSummary,
    inverse_distance_weights,
    summary_numbers,
)

if TYPE_CHECKING:
    import pyarrow as pa

FILTERS = ("level_kind_name", "direction")
"""What a similar touch has in common with the target."""


class IndexedRetrieval:
    """An index, asked for the neighbours of each target that were resolved before its bar ended.

    Answers are those of :meth:`~trademl.sleeves.events.retrieval.index.RetrievalIndex.query`, one after the other.

    Args:
        index: the index.
    """

    def __init__(self, index: RetrievalIndex) -> None:
        self.index = index
        self.filters = tuple(name for name in FILTERS if name in index.metadata_cols)

    def summaries(self, table: "pa.Table", k: int) -> list[RetrievalSummary]:
        """Return one summary a row of ``table``, which has the index's features, the filters and ts_ns.

        Raises:
            ModelError: a feature of the index is no column of the table, or the index is empty.
        """
        index = self.index
        if index.scaling is None:
            raise ModelError("this retrieval index holds no events", remedy="build it: `trademl events index`")
        columns = read_columns(table, index.feature_cols)
        raw = np.stack([columns[name] for name in index.feature_cols], axis=1).astype(np.float64)
        if index.rows > index.settings.exact_rows:
            # Few may pass the filters, or very many: the index itself knows when to approximate.
            asked = table.select([*self.filters, "ts_ns"]).to_pylist()
            return [
                index.query(vector, {name: row[name] for name in self.filters}, k, before=row["ts_ns"])
                for vector, row in zip(raw, asked, strict=True)
            ]
        return list(self._together(table, index.scaling.transform(raw), k))

    def _together(self, table: "pa.Table", vectors: NDArray[np.float64], k: int) -> Iterator[RetrievalSummary]:
        import pyarrow as pa

        width = vectors.shape[1]
        asked = table.select([*self.filters, "ts_ns"])
        asked = asked.append_column("q", pa.array(np.arange(len(vectors))))
        asked = asked.append_column("wanted", pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width))
        same = "".join(f" and events.{identifier(name)} = asked.{identifier(name)}" for name in self.filters)
        # The k smallest by an aggregate: a window function would sort every pair, at four times the cost.
        query = f"""
            with pairs as (
                select
                    asked.q,
                    {{
                        'distance': array_distance(events.vector, asked.wanted::double[{width}]), 'n': events.n
                    }} as pair
                from events
                join asked on events.{RESOLVED} < asked.ts_ns{same}
            ),

            nearest as (
                select q, unnest(min(pair, {int(k)})) as pair from pairs group by q
            )

            select q, pair.n as n, pair.distance as distance from nearest order by q, distance, n
        """
        found = self.index.store.arrow(query, asked=asked)
        of, places, distances = (found.column(name).to_numpy() for name in ("q", "n", "distance"))
        labels = self.index.store.labels_at(places)
        edges = np.searchsorted(of, np.arange(len(vectors) + 1))
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            distance = distances[start:end]
            numbers = summary_numbers({name: labels[name][start:end] for name in LABELS}, distance)
            rows: Any = _Neighbors(self.index, places[start:end], distance)
            yield RetrievalSummary(**numbers, neighbors=rows)


class _Neighbors:
    """The neighbours of one target; a frame is made of them when somebody reads it."""

    def __init__(self, index: RetrievalIndex, places: NDArray[np.int64], distance: NDArray[np.float64]) -> None:
        self._index, self._places, self._distance = index, places, distance

    def __len__(self) -> int:
        return len(self._places)

    def to_dict(self, orient: str) -> Any:
        """Return the rows as pandas would."""
        weight = inverse_distance_weights(self._distance)
        rows = self._index.store.rows_at(self._places.tolist()).assign(distance=self._distance, weight=weight)
        return rows.to_dict(orient)
