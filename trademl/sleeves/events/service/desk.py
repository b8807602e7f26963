"""What the scoring service asks: viewports from the newest snapshot, one at a time, with the last answers kept.

A viewport is a function of snapshot, models, configuration and request, so an answer that was given may be given again.
A desk is used by one thread at a time.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import TrademlError
from trademl.lake.layout import layout_of
from trademl.lake.manifest import current_seq
from trademl.lake.reading import open_snapshot
from trademl.log import get_logger
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.sleeves.events.viewport.document import Viewport
from trademl.sleeves.events.viewport.rows import write_viewport
from trademl.sleeves.events.viewport.score import ViewportModels, score_viewport
from trademl.sleeves.events.viewport.source import ViewportSource, source_of
from trademl.warehouse.read import read_snapshot

_LOG = get_logger("events.service")

KEPT_ANSWERS = 512
"""Viewports that are kept, the ones asked for last."""


@dataclass
class Desk:
    """Everything that answers.

    Attributes:
        home: whose snapshots are read.
        config, models: how viewports are made.
        source: bars and targets of the newest snapshot that could be read.
        kept_answers: how many viewports are kept; 0 keeps none.
        record: write the viewports of followed bars to ``preds.events``.
        scored: viewports that were computed, not repeated.
        refused_seq: a newer snapshot that could not be read, and why; empty when the newest is in use.
    """

    home: Home
    config: ViewportConfig
    models: ViewportModels
    source: ViewportSource
    kept_answers: int = KEPT_ANSWERS
    record: bool = False
    now: Clock = utc_now
    scored: int = 0
    refused: str = ""
    _answers: "OrderedDict[tuple[Any, ...], Viewport]" = field(default_factory=OrderedDict, repr=False)
    _recorded: set[tuple[str, int]] = field(default_factory=set, repr=False)

    def viewport(
        self, symbol: str, at: datetime | None = None, pinned: Sequence[str] = (), neighbors: int = 0
    ) -> Viewport:
        """Return the viewport of a moment; None is the end of the symbol's last bar.

        Raises:
            DataGateError: no bar of the symbol can be scored then.
            ModelError: the models do not fit the targets.
        """
        key = (self.source.seq, symbol, at, tuple(sorted(set(pinned))), neighbors)
        found = self._answers.get(key)
        if found is None:
            moment = self.source.moment(symbol, at)
            table = self.source.targets(moment)
            found = score_viewport(table, moment, self.models, self.config, pinned=pinned, neighbors=neighbors)
            self.scored += 1
            self._answers[key] = found
        self._answers.move_to_end(key)
        while len(self._answers) > self.kept_answers:
            self._answers.popitem(last=False)
        return found

    def document(
        self, symbol: str, at: datetime | None = None, pinned: Sequence[str] = (), neighbors: int = 0
    ) -> dict[str, Any]:
        """Return :meth:`viewport` as one JSON object, with the snapshot that it came from."""
        return {**self.viewport(symbol, at, pinned, neighbors).document(), "snapshot": self.source.seq}

    def followed(self, symbol: str, at: datetime, pinned: Sequence[str] = (), neighbors: int = 0) -> dict[str, Any]:
        """Return :meth:`document` of a bar that is new, and record it where the desk records."""
        found = self.viewport(symbol, at, pinned, neighbors)
        key = (symbol, found.moment.ts_ns)
        if self.record and key not in self._recorded:
            write_viewport(layout_of(self.home), found, now=self.now)
            self._recorded.add(key)
        return {**found.document(), "snapshot": self.source.seq}

    def bar_ends(self, symbol: str, session: date) -> list[datetime]:
        """Return the ends of a session's bars.

        Raises:
            DataGateError: there are none.
        """
        return self.source.bar_ends(symbol, session)

    def new_bars(self, symbol: str, after: datetime | None) -> list[datetime]:
        """Return the ends of the bars of the symbol's last session that ended after ``after``; None: of the last bar.

        Raises:
            DataGateError: there is no such symbol.
        """
        last = self.source.moment(symbol)
        if after is None:
            return [last.bar_end]
        return [] if last.bar_end <= after else self.source.bar_ends(symbol, last.date, after)

    def refresh(self) -> bool:
        """Read the newest snapshot if there is a newer one; tell whether it is in use now.

        A snapshot that cannot be read is noted, and the one before stays in use.
        """
        layout = layout_of(self.home)
        try:
            seq = current_seq(layout)
            if seq is None or seq == self.source.seq:
                return False
            with open_snapshot(layout, seq) as snapshot:
                newer = source_of(snapshot)
        except TrademlError as error:
            if self.refused != error.message:
                _LOG.warning("snapshot %d stays in use: %s", self.source.seq, error.message)
            self.refused = error.message
            return False
        self.source, self.refused = newer, ""
        self._answers.clear()
        return True

    def health(self) -> dict[str, Any]:
        """Return what is in use, as a JSON object."""
        return {
            "status": "ok" if not self.refused else "stale",
            "snapshot": self.source.seq,
            "model_id": self.models.model_id,
            "stages": list(self.models.stages),
            "horizons": list(self.config.horizons),
            "scored": self.scored,
            "notes": [*self.models.notes, *([self.refused] if self.refused else [])],
        }

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions that can be scored, as JSON objects."""
        return [
            {name: value.isoformat() if isinstance(value, date) else value for name, value in one.items()}
            for one in self.source.sessions()
        ]


def open_desk(
    home: Home, config: ViewportConfig, models: ViewportModels, *, record: bool = False, now: Clock = utc_now
) -> Desk:
    """Return a desk over the home's current snapshot.

    Raises:
        SnapshotError: there is none, or it has no targets.
    """
    with read_snapshot(home, now=now) as snapshot:
        return Desk(home, config, models, source_of(snapshot), record=record, now=now)
