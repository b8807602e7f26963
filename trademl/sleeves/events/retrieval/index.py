"""The most similar touches of the past, and what happened next: k nearest neighbours among resolved events.

Euclidean distance over standard-scaled features, weights of inverse distance (Dudani 1976, The distance-weighted
k-nearest-neighbor rule). An event can be a neighbour only when its outcome was known strictly before the query's
instant. Search is exact, in DuckDB; above a configured number of events that pass the filters, an approximate index
proposes candidates.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from trademl.clock import sql_utc
from trademl.config.reading import Section
from trademl.errors import ConfigError, ModelError
from trademl.sleeves.events.retrieval.approximate import ApproximateSearch
from trademl.sleeves.events.retrieval.files import IndexFile, read_index_file, write_index_file
from trademl.sleeves.events.retrieval.scaling import Scaling
from trademl.sleeves.events.retrieval.store import EventStore
from trademl.sleeves.events.retrieval.summary import (
    LABELS,
    RetrievalSummary,
    inverse_distance_weights,
    summary_numbers,
)

METADATA = ("level_kind_name", "direction")
"""What can be filtered on by default."""

NEIGHBORS = 20
"""k where a query does not say."""


class SearchSettings(Section):
    """How to search.

    Attributes:
        exact_rows: up to so many events that pass the filters, the search is exact; above, approximate.
        probe_share: share of cells that an approximate search looks into.
        threads: of DuckDB and of faiss; None means all cores.
    """

    exact_rows: int = Field(default=1_000_000, ge=1)
    probe_share: float = Field(default=0.05, gt=0, le=1)
    threads: int | None = Field(default=None, ge=1, le=256)


class RetrievalIndex:
    """Resolved events by their scaled features.

    Args:
        feature_cols: the columns that distances are taken of, in the order of query vectors.
        metadata_cols: the columns that queries may filter on; None means level_kind_name and direction.
        settings: exact or approximate, and how many threads.

    Attributes:
        rows: events held. unresolved: events given without ``resolved_at``, left out.
        store: the events. scaling: means and scales.
        k_neighbors: what the index was made for; a caller passes it as ``k``.

    Example::

        index = RetrievalIndex(["approach_velocity", "atr"])
        index.fit(events)  # gold.events_features joined to gold.events_labels
        index.query(vector, {"level_kind_name": "PDH"}, k=50, before=t1).p_break
    """

    def __init__(
        self,
        feature_cols: Sequence[str],
        metadata_cols: Sequence[str] | None = None,
        *,
        settings: SearchSettings | None = None,
    ) -> None:
        self.feature_cols = list(feature_cols)
        self.metadata_cols = list(METADATA if metadata_cols is None else metadata_cols)
        self.settings = settings or SearchSettings()
        self.k_neighbors = NEIGHBORS
        self.stage = self.ablation = ""
        self.scaling: Scaling | None = None
        self.store = EventStore(self.feature_cols, self.metadata_cols, threads=self.settings.threads)
        self._approximate: ApproximateSearch | None = None
        self._making = Lock()

    @property
    def rows(self) -> int:
        return self.store.rows

    @property
    def unresolved(self) -> int:
        return self.store.unresolved

    def fit(self, df: Any, *, scale_before: int | datetime | None = None) -> None:
        """Take the events of a pandas frame or Arrow table, and measure the scaling on them.

        ``df`` needs event_id, the features, the metadata, the labels of :data:`LABELS` and ``resolved_at``, the instant
        (UTC) when the last label was known. ts_ns, date, symbol, level_price and labels of horizons are kept for
        neighbours. The order of rows does not matter.

        Args:
            df: one row an event.
            scale_before: measure the scaling on events resolved strictly before this instant only.

        Raises:
            ConfigError: a column is missing, an event comes twice, a feature is an outcome, or no event is resolved.
        """
        self.store.land(df)
        self._scale(self.store.measure(None if scale_before is None else as_ns(scale_before)))

    def query(
        self,
        feature_vector: ArrayLike,
        filters: Mapping[str, str] | None = None,
        k: int = NEIGHBORS,
        *,
        before: int | datetime | None = None,
    ) -> RetrievalSummary:
        """Return what the k nearest events came to.

        Args:
            feature_vector: raw values in the order of ``feature_cols``, shape (n,); NaN where one is missing.
            filters: metadata column -> the value that a neighbour must have.
            k: neighbours wanted; fewer are used where fewer pass.
            before: the query's t1 (ns since 1970 or UTC): neighbours were resolved strictly before it. None means that
                every event of the index is past, as for a live bar after the index was made.

        Raises:
            ConfigError: the vector has another length, or a filter is not on a metadata column.
            ModelError: the index is empty.
        """
        if k < 1:
            raise ConfigError(f"k={k}: at least one neighbour is needed", remedy="give k of 1 or more")
        vector = self._fitted().transform(feature_vector)
        if vector.ndim != 1:
            raise ConfigError(f"a query is one vector; got shape {vector.shape}", remedy="use query_many for a table")
        places, distance = self._nearest(vector, dict(filters or {}), k, None if before is None else as_ns(before))
        rows = self.store.rows_at(places)
        numbers = summary_numbers({name: rows[name].to_numpy() for name in LABELS}, distance)
        rows["distance"], rows["weight"] = distance, inverse_distance_weights(distance)
        return RetrievalSummary(**numbers, neighbors=rows)

    def as_of(self, instant: int | datetime) -> "RetrievalIndex":
        """Return the index as it could have been scaled at an instant: from events resolved strictly before it.

        The events are the same; queries still say ``before``. Together nothing later than the query has a say.

        Raises:
            ConfigError: no event was resolved by then.
        """
        scaling = self.store.measure(as_ns(instant))
        index = RetrievalIndex(self.feature_cols, self.metadata_cols, settings=self.settings)
        index.k_neighbors, index.stage, index.ablation = self.k_neighbors, self.stage, self.ablation
        index.store.share(self.store)
        index._scale(scaling)
        return index

    def save(self, folder: Path, *, data_hash: str = "", about: Mapping[str, str] | None = None) -> Path:
        """Write the index as parquet and JSON, and point ``index.json`` at it last; return its path.

        Equal events, features and settings give equal bytes. Earlier versions stay.

        Args:
            folder: of the index.
            data_hash: of the tables that the events came from.
            about: further facts to keep.
        """
        scaling = self._fitted()
        return write_index_file(
            folder,
            self.store.write,
            IndexFile(
                feature_names=tuple(self.feature_cols),
                metadata_cols=tuple(self.metadata_cols),
                stage=self.stage,
                ablation=self.ablation,
                k_neighbors=self.k_neighbors,
                mean=tuple(scaling.mean.tolist()),
                scale=tuple(scaling.scale.tolist()),
                scaled_on=scaling.rows,
                rows=self.rows,
                unresolved=self.unresolved,
                data_hash=data_hash,
                about=dict(about or {}),
            ),
        )

    @classmethod
    def load(cls, path: Path, *, settings: SearchSettings | None = None) -> Self:
        """Read an index: its folder, or its ``index.json``.

        Raises:
            ArtifactError: there is none, or a file is not what ``index.json`` says.
        """
        found, parquet = read_index_file(path)
        index = cls(found.feature_names, found.metadata_cols, settings=settings)
        index.k_neighbors, index.stage, index.ablation = found.k_neighbors, found.stage, found.ablation
        index.store.land_file(str(parquet))
        index.store.unresolved = found.unresolved
        index._scale(Scaling(found.feature_names, np.array(found.mean), np.array(found.scale), found.scaled_on))
        return index

    def check_filters(self, names: Iterable[str]) -> None:
        """Refuse filters on what is no metadata of this index.

        Raises:
            ConfigError: there is one.
        """
        self.store.conditions(dict.fromkeys(names, ""), None)

    def close(self) -> None:
        """Let go of the memory."""
        self.store.close()

    def _scale(self, scaling: Scaling) -> None:
        self.store.scale(scaling)
        self.scaling = scaling
        self._approximate = None

    def _fitted(self) -> Scaling:
        if self.scaling is None:
            raise ModelError("this retrieval index holds no events", remedy="call fit, or load a saved index")
        return self.scaling

    def _nearest(
        self, vector: np.ndarray[Any, Any], filters: dict[str, str], k: int, before: int | None
    ) -> tuple[list[int], np.ndarray[Any, Any]]:
        if self.rows > self.settings.exact_rows:
            self.check_filters(filters)
            search = self._lists()
            passes = search.passing(filters, before)
            if passes.sum() > self.settings.exact_rows:
                near = search.candidates(vector, passes, k)
                if len(near) >= k:
                    places, distance = self.store.nearest_of(vector, near, k)
                    return places, distance
        return self.store.nearest(vector, filters, k, before)

    def _lists(self) -> ApproximateSearch:
        """Make the inverted lists when they are first needed, once, also when several threads ask."""
        with self._making:
            if self._approximate is None:
                self._approximate = ApproximateSearch(
                    self.store, probe_share=self.settings.probe_share, threads=self.settings.threads
                )
            return self._approximate


def as_ns(instant: int | datetime) -> int:
    """Return an instant as nanoseconds since 1970 UTC; a datetime without a zone is UTC."""
    if isinstance(instant, int | np.integer):
        return int(instant)
    return (sql_utc(instant) - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000
