"""When each row's label is decided and when it is known: all that a splitter needs to see of a panel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import SplitError

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelSpans:
    """Label spans of a panel, one element per row, in session ordinals (position of the session in its calendar).

    Row ``i`` is decided after the close of session ``start[i]`` and its label uses information up to and including
    session ``end[i]``. Features use data up to ``start[i]`` and the label uses ``(start[i], end[i]]``, so the row's
    information interval is ``[start[i], end[i]]``, both ends included: rows ``i`` and ``j`` overlap when
    ``start[i] <= end[j] and start[j] <= end[i]``.

    Attributes:
        start: session ordinal of the decision, shape (n,), converted to int64.
        end: last session that the label uses, shape (n,), ``end >= start``.
        entity: integer code of the symbol (address, option, ...), shape (n,).

    Raises:
        SplitError: the arrays are empty, not one-dimensional integers of one length, or a label ends before it starts.
    """

    start: IntArray
    end: IntArray
    entity: IntArray

    def __post_init__(self) -> None:
        for name in ("start", "end", "entity"):
            object.__setattr__(self, name, _integers(name, getattr(self, name)))
        if not len(self.start) == len(self.end) == len(self.entity):
            raise SplitError(
                f"`start`, `end`, `entity` have {len(self.start)}, {len(self.end)}, {len(self.entity)} elements",
                remedy="give one element per row in each",
            )
        if len(self.start) == 0:
            raise SplitError("the label spans hold 0 rows", remedy="widen the date range or the symbols")
        early = self.end < self.start
        if early.any():
            row = int(np.argmax(early))
            raise SplitError(
                f"{int(early.sum())} of {len(self)} labels end before they start; the first is row {row}: "
                f"start={int(self.start[row])}, end={int(self.end[row])}",
                remedy="a label's last session is the decision session or later; drop rows whose label is pending",
            )

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: IntArray) -> "LabelSpans":
        """Return the spans of ``rows`` (row indices), in that order."""
        return LabelSpans(self.start[rows], self.end[rows], self.entity[rows])


def _integers(name: str, values: Any) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise SplitError(f"`{name}` has {array.ndim} dimensions, not 1", remedy="give one element per row")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise SplitError(
            f"`{name}` holds {array.dtype} values, not integers",
            remedy="give session ordinals and entity codes, such as the session_index of silver.calendar",
        )
    return np.ascontiguousarray(array, dtype=np.int64)
