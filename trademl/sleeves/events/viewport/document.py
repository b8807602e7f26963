"""What a viewport is: the moment asked about, and its targets as documents with the fields of seed 001."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from trademl.sleeves.events.viewport.feasibility import Refusal

IN_BAND, OUTSIDE = "IN_MONITOR_BAND", "OUTSIDE_BAND"
REACH = ("t1", "t2", "t1_break", "t1_bounce", "t2_break", "t2_bounce")
"""The families of ``time_to_threshold``, in the seed's order."""

TARGET_FIELDS = (
    "level_id", "level_price", "direction", "distance", "distance_signed",
    "p_tradeable_2", "p_break", "p_bounce", "strength_signed", "strength_abs", "time_to_threshold", "retrieval",
    "utility_score", "viewport_state", "stage", "pinned", "relevance",
)  # fmt: skip
"""The fields of a target, in the seed's order."""

RETRIEVAL_NUMBERS = (
    "p_break", "p_bounce", "p_tradeable_2", "strength_signed_mean", "strength_abs_mean",
    "time_to_threshold_1_mean", "time_to_threshold_2_mean", "time_to_break_1_mean", "time_to_bounce_1_mean",
    "time_to_break_2_mean", "time_to_bounce_2_mean", "similarity", "entropy",
)  # fmt: skip
"""The numbers of ``retrieval``, in the seed's order."""


@dataclass(frozen=True)
class Moment:
    """What is asked about.

    Attributes:
        symbol: of what.
        at: the moment, naive UTC.
        bar_end, bar_minutes: of the last bar that had ended by then; naive UTC.
        date: its session.
        open_at, close_at: of the session, naive UTC; None where no calendar knows it.
    """

    symbol: str
    at: datetime
    bar_end: datetime
    bar_minutes: int
    date: date
    open_at: datetime | None
    close_at: datetime | None

    @property
    def ts_ns(self) -> int:
        """End of the bar in nanoseconds of the epoch."""
        return int(np.datetime64(self.bar_end, "ns").astype(np.int64))


@dataclass(frozen=True)
class Viewport:
    """The targets of one moment.

    Attributes:
        moment: what was asked about.
        model_id: what scored it.
        targets: documents with :data:`TARGET_FIELDS`: pinned ones first, then by utility, then by relevance.
        kinds: kind of level by level_id.
        refusals: of the gate, by level_id; of feasible targets none.
        notes: what somebody should know.
    """

    moment: Moment
    model_id: str
    targets: tuple[dict[str, Any], ...]
    kinds: dict[str, str]
    refusals: dict[str, tuple[Refusal, ...]]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return the viewport as one JSON object; ``viewport.targets`` are the seed's."""
        return {
            "symbol": self.moment.symbol,
            "at": f"{self.moment.at.isoformat()}Z",
            "date": self.moment.date.isoformat(),
            "bar_end": f"{self.moment.bar_end.isoformat()}Z",
            "ts_ns": self.moment.ts_ns,
            "bar_minutes": self.moment.bar_minutes,
            "model_id": self.model_id,
            "viewport": {"targets": list(self.targets)},
            "feasibility": {level: [one.to_dict() for one in found] for level, found in self.refusals.items()},
            "notes": list(self.notes),
        }
