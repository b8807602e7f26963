"""Where viewports come from: bars, sessions and targets of one snapshot, held in memory.

A moment's bar is the last one that had ended by then, whether or not a level was near: a viewport may be empty, and is
never of an older bar because that one had levels. Everything is read from the snapshot; nothing is computed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from trademl.errors import DataGateError, SnapshotError
from trademl.lake.reading import Snapshot
from trademl.sleeves.events.viewport.document import Moment

if TYPE_CHECKING:
    import pyarrow as pa

TARGETS, BARS, CALENDAR = "gold.events_targets", "silver.intraday_bars", "silver.calendar"
_BUILD = "land bars (`trademl ingest intraday-bars PATH`), then `trademl build`"


class ViewportSource:
    """The bars and targets of a snapshot.

    Args:
        con: a snapshot's connection; not used afterwards.
        seq: the snapshot's number.

    Raises:
        SnapshotError: the snapshot lacks a table.
        DataGateError: there are no targets.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, seq: int = 0) -> None:
        self.seq = seq
        try:
            self._targets = con.sql(f"select * from {TARGETS} order by symbol, ts_ns, level_id").to_arrow_table()
            # Only sessions with targets can be scored, so only their bars are held.
            bars = con.execute(
                "select bars.symbol, bars.ends_at, cast(bars.bar_minutes as integer), bars.date, calendar.open_at, "
                f"calendar.close_at from {BARS} as bars left join {CALENDAR} as calendar using (date) "
                f"where bars.date in (select distinct date from {TARGETS}) order by bars.symbol, bars.ends_at"
            ).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise SnapshotError(
                f"the snapshot cannot give viewports: {str(error).splitlines()[0]}", remedy="run `trademl build`"
            ) from error
        if not bars:
            raise DataGateError(f"{TARGETS} is empty: there is no level to score", remedy=_BUILD)
        self._bars: dict[str, list[_Bar]] = {}
        for symbol, *fields in bars:
            self._bars.setdefault(symbol, []).append(_Bar(*fields))
        self._rows = _pieces(self._targets.column("symbol").to_pylist(), self._targets.column("ts_ns").to_pylist())

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions that can be scored: symbol, date, bars, first and last bar's end."""
        return [
            {
                "symbol": symbol,
                "date": session,
                "bars": len(ends),
                "first_bar_end": ends[0],
                "last_bar_end": ends[-1],
            }
            for symbol, bars in self._bars.items()
            for session, ends in _by_session(bars).items()
        ]

    def moment(self, symbol: str, at: datetime | None = None) -> Moment:
        """Return the last bar of ``symbol`` that had ended by ``at`` (naive UTC); None is the end of the last bar.

        Raises:
            DataGateError: there is no such symbol, or no bar of a session that can be scored had ended.
        """
        bars = self._bars.get(symbol, [])
        place = len(bars) if at is None else bisect_right(bars, at, key=lambda bar: bar.ends_at)
        if not place:
            raise self._unknown(symbol, at)
        bar = bars[place - 1]
        return Moment(symbol, at or bar.ends_at, bar.ends_at, bar.minutes, bar.session, bar.open_at, bar.close_at)

    def targets(self, moment: Moment) -> "pa.Table":
        """Return the candidates of a bar, one row per level, in order of the level."""
        return self._targets.slice(*self._rows.get((moment.symbol, moment.ts_ns), (0, 0)))

    def bar_ends(self, symbol: str, session: date, after: datetime | None = None) -> list[datetime]:
        """Return the ends of the bars of a session, of those after ``after``, in order.

        Raises:
            DataGateError: the session has no bars of that symbol.
        """
        ends = _by_session(self._bars.get(symbol, [])).get(session)
        if ends is None:
            raise self._unknown(symbol, session)
        return [ends_at for ends_at in ends if after is None or ends_at > after]

    def _unknown(self, symbol: str, when: datetime | date | None) -> DataGateError:
        if symbol not in self._bars:
            known = list(self._bars)
            listed = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            return DataGateError(f"no targets of {symbol!r}", remedy=f"the snapshot has those of {listed}")
        days = [bar.session for bar in self._bars[symbol]]
        return DataGateError(
            f"no bar of {symbol} that can be scored had ended by {when}",
            remedy=f"targets are of {days[0]} to {days[-1]}; the variable events_target_sessions of the build says "
            "how many sessions have them",
        )


@dataclass(frozen=True)
class _Bar:
    """A bar's end and length, and its session: date, open and close."""

    ends_at: datetime
    minutes: int
    session: date
    open_at: datetime | None
    close_at: datetime | None


def _by_session(bars: Iterable[_Bar]) -> dict[date, list[datetime]]:
    found: dict[date, list[datetime]] = {}
    for bar in bars:
        found.setdefault(bar.session, []).append(bar.ends_at)
    return found


def _pieces(symbols: Sequence[str], times: Sequence[int]) -> dict[tuple[str, int], tuple[int, int]]:
    """Return where the rows of each symbol and bar lie: first row and number of rows."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for place, key in enumerate(zip(symbols, times, strict=True)):
        first, rows = found.get(key, (place, 0))
        found[key] = (first, rows + 1)
    return found


def source_of(snapshot: Snapshot) -> ViewportSource:
    """Return the source of an open snapshot; the snapshot may be closed afterwards."""
    return ViewportSource(snapshot.con, snapshot.manifest.seq)
