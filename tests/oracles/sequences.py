"""Windows of past rows by plain loops over rows that are dictionaries."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Window:
    """One window: the key of its decision, its label, and the features of its rows, the oldest first."""

    time: Any
    symbol: str
    label: float | None
    rows: list[list[float | None]]


def windows_of(
    rows: list[dict[str, Any]],
    features: list[str],
    length: int,
    *,
    first: Any = None,
    last: Any = None,
    sessions: bool = False,
    labels: bool = True,
) -> list[Window]:
    """Return every window, in order of time, then symbol.

    A row has ``symbol``, ``time``, ``label``, ``session`` and the features. ``first`` and ``last`` bound the decision's
    time; with ``sessions`` each row of a window must be of the session after the row before it; with ``labels`` windows
    without one are left out.
    """
    found = []
    for decision in rows:
        if (first is not None and decision["time"] < first) or (last is not None and decision["time"] > last):
            continue
        if labels and decision["label"] is None:
            continue
        past = [row for row in rows if row["symbol"] == decision["symbol"] and row["time"] <= decision["time"]]
        past.sort(key=lambda row: row["time"])
        if len(past) < length:
            continue
        window = past[len(past) - length :]
        steps = [later["session"] - earlier["session"] for earlier, later in pairwise(window)]
        if sessions and any(step != 1 for step in steps):
            continue
        cells = [[row[name] for name in features] for row in window]
        found.append(Window(decision["time"], decision["symbol"], decision["label"], cells))
    return sorted(found, key=lambda window: (window.time, window.symbol))
