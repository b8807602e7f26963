"""The rows of a panel in order of decision, cut into folds: what CPCV and walk-forward share.

Everything a split changes lies next to a test block, so with the rows sorted once each split costs a few slices.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trademl.errors import SplitError
from trademl.validation.spans import IntArray, LabelSpans

Purge = Literal["all", "entity"]
PURGES: tuple[Purge, ...] = ("all", "entity")
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows sorted by decision session and cut at ``first`` into folds of whole sessions.

    Attributes:
        order: row index of each sorted position; None when the rows came sorted.
        start, end: session ordinals in sorted order, shape (n,).
        longest: the longest label in sessions, ``max(end - start)``.
        bounds: sorted position where each fold begins, then n; shape (n_folds + 1,).
        last_end: last label end in each fold, shape (n_folds,).
        code: dense entity code in sorted order, shape (n,); None when entities do not matter.
        entity_start, entity_end: first decision and last label end of each entity in each fold, shape
            (n_folds, n_entities); an absent entity starts never and ends before everything.
    """

    order: IntArray | None
    start: IntArray
    end: IntArray
    longest: int
    bounds: IntArray
    last_end: IntArray
    code: IntArray | None
    entity_start: IntArray
    entity_end: IntArray

    @property
    def n_folds(self) -> int:
        return len(self.last_end)

    def block(self, first: int, last: int) -> tuple[int, int, int, int]:
        """Return (lo, hi, first decision, last label end) of the test block of folds ``first`` to ``last``."""
        lo, hi = int(self.bounds[first]), int(self.bounds[last + 1])
        return lo, hi, int(self.start[lo]), int(self.last_end[first : last + 1].max())

    def purge_before(self, keep: NDArray[np.bool_], first: int, last: int, gap: int = 0) -> None:
        """Drop rows before the block whose label, lengthened by ``gap`` sessions, reaches its first decision.

        Only rows that start at most ``longest + gap`` sessions before the block can.
        """
        lo, _, decision, _ = self.block(first, last)
        near = int(np.searchsorted(self.start, decision - self.longest - gap))
        reach = self.end[near:lo] + gap
        if self.code is None:
            keep[near:lo] &= reach < decision
        else:
            keep[near:lo] &= reach < self.entity_start[first : last + 1].min(axis=0)[self.code[near:lo]]

    def purge_after(self, keep: NDArray[np.bool_], first: int, last: int, embargo: int) -> None:
        """Drop rows after the block that start inside its labels, or within ``embargo`` sessions of the last one."""
        _, hi, _, label_end = self.block(first, last)
        inside = int(np.searchsorted(self.start, label_end, side="right"))
        free = int(np.searchsorted(self.start, label_end + embargo, side="right"))
        if self.code is None:
            keep[hi:inside] = False
        else:
            own_end = self.entity_end[first : last + 1].max(axis=0)[self.code[hi:inside]]
            keep[hi:inside] &= self.start[hi:inside] > own_end
        keep[max(hi, inside) : free] = False

    def rows(self, chosen: NDArray[np.bool_]) -> IntArray:
        """Return the ascending row indices of the chosen sorted positions."""
        if self.order is None:
            return np.flatnonzero(chosen).astype(np.int64, copy=False)
        scattered = np.empty_like(chosen)
        scattered[self.order] = chosen
        return np.flatnonzero(scattered).astype(np.int64, copy=False)

    def span(self, lo: int, hi: int) -> IntArray:
        """Return the ascending row indices of sorted positions ``lo`` to ``hi - 1``."""
        if self.order is None:
            return np.arange(lo, hi, dtype=np.int64)
        return np.sort(self.order[lo:hi])


def make_panel(spans: LabelSpans, first: IntArray, purge: Purge) -> Panel:
    """Sort ``spans`` by decision and cut them before each session in ``first`` (ascending).

    Rows that start before ``first[0]`` stay in the panel, in no fold.
    """
    order = None if bool((spans.start[1:] >= spans.start[:-1]).all()) else _stable_order(spans.start)
    start, end, entity = (
        values if order is None else values[order] for values in (spans.start, spans.end, spans.entity)
    )
    bounds = np.append(np.searchsorted(start, first), len(start)).astype(np.int64)
    last_end = np.maximum.reduceat(end, bounds[:-1])
    code, entity_start, entity_end = None, np.empty((0, 0), np.int64), np.empty((0, 0), np.int64)
    if purge == "entity":
        code, n_entities = _dense(entity)
        entity_start = np.full((len(first), n_entities), _NEVER)
        entity_end = np.full((len(first), n_entities), -_NEVER)
        for fold, (lo, hi) in enumerate(pairwise(bounds.tolist())):
            np.minimum.at(entity_start[fold], code[lo:hi], start[lo:hi])
            np.maximum.at(entity_end[fold], code[lo:hi], end[lo:hi])
    return Panel(order, start, end, int((end - start).max()), bounds, last_end, code, entity_start, entity_end)


def check_purge(purge: str) -> None:
    """Refuse anything but 'all' and 'entity'.

    Raises:
        SplitError: another value.
    """
    if purge not in PURGES:
        raise SplitError(
            f"`purge={purge!r}` is not a rule",
            remedy="use 'all' (no train label overlaps any test label) or 'entity' (none of the same entity)",
        )


def _stable_order(start: IntArray) -> IntArray:
    low, high = int(start.min()), int(start.max())
    # numpy sorts 16-bit integers by radix, an order of magnitude faster than 64-bit ones.
    keys = (start - low).astype(np.uint16) if high - low < 2**16 else start
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)


def _dense(entity: IntArray) -> tuple[IntArray, int]:
    low, high = int(entity.min()), int(entity.max())
    if high - low < len(entity) + 1024:
        return entity - low, high - low + 1
    values, code = np.unique(entity, return_inverse=True)
    return code.astype(np.int64, copy=False), len(values)
