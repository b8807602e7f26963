"""Candidates for a search among very many events: faiss' inverted lists (docs/adr/0016).

Events are put into cells around k-means centres; a query looks into the nearest cells only. What is found are
candidates: their distances are computed again, exactly and in double precision, by the same statement as in an exact
search. So an approximate answer can miss a neighbour, but never gets a distance, a filter or the time limit wrong:
filters and limit are a bitmap over the rows, not a property of the cells.
"""

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import MissingExtra
from trademl.lake.names import identifier

if TYPE_CHECKING:
    from trademl.sleeves.events.retrieval.store import EventStore

OVERSAMPLE = 4
"""Candidates a wanted neighbour: float32 distances of faiss and double ones may order near ties differently."""

CELLS_PER_ROOT = 2
"""Cells are this many times the square root of the events."""

_TRAINED_ON = 64
_BLOCK = 65_536
_SEED = 7
_NO_CODE = -1


class ApproximateSearch:
    """Inverted lists over the vectors of a store.

    Args:
        store: its events, scaled.
        probe_share: the share of cells that a query looks into.
        threads: faiss' threads; None means all cores.
    """

    def __init__(self, store: "EventStore", *, probe_share: float, threads: int | None) -> None:
        # Not an import statement: the stubs that faiss brings do not describe the Python it has.
        try:
            faiss = self._faiss = importlib.import_module("faiss")
        except ModuleNotFoundError as error:
            raise MissingExtra("faiss", "events") from error
        if threads:
            faiss.omp_set_num_threads(threads)
        cells = max(1, min(int(CELLS_PER_ROOT * np.sqrt(store.rows)), store.rows // _TRAINED_ON))
        self.probes = max(1, round(cells * probe_share))
        width = len(store.features)
        self._index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, cells)
        self._index.cp.seed = _SEED
        self._index.cp.max_points_per_centroid = _TRAINED_ON
        self._train(store, cells * _TRAINED_ON)
        for start in range(0, store.rows, _BLOCK):
            self._index.add(_vectors(store, f"n >= {start} and n < {start + _BLOCK}"))
        self._resolved = np.asarray(store.numbers("select resolved_ns as x from events order by n")["x"])
        self._metadata = {name: _coded(store, name) for name in store.metadata}

    def passing(self, filters: dict[str, str], before: int | None) -> NDArray[np.bool_]:
        """Return which events pass, shape (events,): a bit for each place."""
        passes = np.ones(len(self._resolved), dtype=bool)
        if before is not None:
            passes &= self._resolved < before
        for name, value in filters.items():
            codes, column = self._metadata[name]
            passes &= column == codes.get(value, _NO_CODE)
        return passes

    def candidates(self, vector: NDArray[np.float64], passes: NDArray[np.bool_], k: int) -> list[int]:
        """Return the places of up to ``OVERSAMPLE * k`` near events that pass."""
        bits = np.packbits(passes, bitorder="little")
        chosen = self._faiss.IDSelectorBitmap(bits)
        parameters = self._faiss.SearchParametersIVF(sel=chosen, nprobe=self.probes)
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        _, places = self._index.search(query, OVERSAMPLE * k, params=parameters)
        return [int(place) for place in places[0] if place >= 0]

    def _train(self, store: "EventStore", wanted: int) -> None:
        # Every so many rows: rows are sorted by metadata and time, so this is a sample across both.
        step = max(1, store.rows // wanted)
        self._index.train(_vectors(store, f"n % {step} = 0"))


def _vectors(store: "EventStore", where: str) -> NDArray[np.float32]:
    """Return scaled vectors as float32, shape (rows, n)."""
    table: Any = store.arrow(f"select vector::float[{len(store.features)}] as v from events where {where} order by n")
    flat = table.column("v").combine_chunks().flatten().to_numpy()
    return np.ascontiguousarray(flat.reshape(-1, len(store.features)), dtype=np.float32)


def _coded(store: "EventStore", name: str) -> tuple[dict[str, int], NDArray[np.int32]]:
    """Return a code for each value of a metadata column, and the codes of the events in their order."""
    column = identifier(name)
    values = store.numbers(f"select distinct {column} as x from events where {column} is not null order by x")["x"]
    ranks = f"select n, cast(dense_rank() over (order by {column} nulls last) - 1 as integer) as x from events"
    codes = {str(value): code for code, value in enumerate(values)}
    return codes, np.asarray(store.numbers(f"select x from ({ranks}) order by n")["x"], dtype=np.int32)
