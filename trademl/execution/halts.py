"""Whether an account may trade: halts and resumes as rows of ``ops.halts``, numbered and never changed.

A fired tripwire and ``trademl trade halt`` write a halt; only ``trademl trade resume``, with a reason, ends it. The
batches themselves are read, not the snapshot: a halt counts from the moment its file has its name, also for a process
that is in the middle of sending orders.
"""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.errors import ConfigError, TradingHalted
from trademl.lake.batches import latest_sql, write_rows
from trademl.lake.files import FileLock
from trademl.lake.layout import Layout
from trademl.schema import BATCHES

TABLE = "ops.halts"
MANUAL = "manual"
REASON_LENGTH = 10
"""Characters that the reason of a halt or a resume by hand has at least."""

_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Tripped:
    """A tripwire that fired: its name, what was measured, the limit, and both in words."""

    tripwire: str
    value: float | None
    bound: float | None
    reason: str
    remedy: str


@dataclass(frozen=True)
class Halt:
    """One recorded event; ``event`` is ``halted`` or ``resumed``."""

    sequence: int
    event: str
    tripwire: str
    value: float | None
    bound: float | None
    reason: str
    remedy: str
    who: str
    dt: date | None
    recorded_at: datetime


class Switch:
    """The switch of one account."""

    def __init__(self, layout: Layout, account: str, *, now: Clock = utc_now) -> None:
        self.layout, self.account, self.now = layout, account, now
        self._seen: tuple[Path, ...] | None = None
        self._state: tuple[Halt, ...] = ()

    def history(self) -> tuple[Halt, ...]:
        """Return every halt and resume, oldest first.

        Raises:
            TradingHalted: a number is missing: evidence was lost, so whether trading is halted is not known.
        """
        files = tuple(self.layout.batch_files(TABLE))
        if files != self._seen:
            with duckdb.connect() as con:
                con.execute("set enable_progress_bar = false")
                rows = con.execute(
                    "select sequence, event, tripwire, value, bound, reason, remedy, who, dt, recorded_at "
                    f"from ({latest_sql(BATCHES[TABLE], files)}) where account = ? order by sequence, tripwire",
                    [self.account],
                ).fetchall()
            self._state = tuple(Halt(*row) for row in rows)
            numbers = [one.sequence for one in self._state]
            if numbers != list(range(1, len(numbers) + 1)):
                raise TradingHalted(
                    f"the halts of {self.account} in {self.layout.batches(TABLE)} have the numbers {numbers}",
                    remedy="restore the missing batches from a backup",
                )
            self._seen = files
        return self._state

    def halted(self) -> tuple[Halt, ...]:
        """Return the halts since the last resume; none when the account may trade."""
        events = self.history()
        last = max((at for at, one in enumerate(events) if one.event == "resumed"), default=-1)
        return events[last + 1 :]

    def check(self) -> None:
        """Do nothing while the account may trade.

        Raises:
            TradingHalted: it may not; the message names every tripwire since the last resume.
        """
        halts = self.halted()
        if halts:
            raise TradingHalted(
                f"trading of {self.account} is halted since {halts[0].recorded_at:%Y-%m-%d %H:%M} UTC: "
                + "; ".join(f"{one.tripwire}: {one.reason}" for one in halts),
                remedy=f"{halts[0].remedy}; then `trademl trade resume --reason TEXT`",
            )

    def halt(self, fired: Sequence[Tripped], *, dt: date | None = None, who: str | None = None) -> None:
        """Record tripwires that fired, one row each in one batch: the account does not trade from here on."""
        self._write([("halted", one) for one in fired], dt, who)

    def halt_by_hand(self, reason: str) -> None:
        """Halt for a reason given by a person.

        Raises:
            ConfigError: the reason is too short to be one.
        """
        remedy = "whoever halted it decides when it goes on"
        self.halt([Tripped(MANUAL, None, None, _reason(reason), remedy)])

    def resume(self, reason: str) -> bool:
        """End every halt, for a reason given by a person; False when there was none.

        Raises:
            ConfigError: the reason is too short to be one.
        """
        given = _reason(reason)
        if not self.halted():
            return False
        self._write([("resumed", Tripped(MANUAL, None, None, given, ""))], None, None)
        return True

    def _write(self, events: Sequence[tuple[str, Tripped]], dt: date | None, who: str | None) -> None:
        # Not the lock of trading: a person halts while a process sends.
        with FileLock(self.layout.root / "ops" / "blotter" / self.account / ".halts.lock", wait=_WAIT_SECONDS):
            self._record(len(self.history()) + 1, events, dt, who)

    def _record(self, first: int, events: Sequence[tuple[str, Tripped]], dt: date | None, who: str | None) -> None:
        rows = [
            {
                "account": self.account,
                "sequence": first + at,
                "event": event,
                "tripwire": one.tripwire,
                "value": one.value,
                "bound": one.bound,
                "reason": one.reason,
                "remedy": one.remedy,
                "who": who or getpass.getuser(),
                "dt": dt,
                "recorded_at": sql_utc(self.now()),
            }
            for at, (event, one) in enumerate(events)
        ]
        write_rows(self.layout, TABLE, rows, now=self.now)


def _reason(text: str) -> str:
    given = " ".join(text.split())
    if len(given) < REASON_LENGTH:
        raise ConfigError(
            f"the reason {given!r} has {len(given)} characters, limit: at least {REASON_LENGTH}",
            remedy="say in a sentence why",
        )
    return given
