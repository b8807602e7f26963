"""The blotter: every plan, order and fill of an account, written down before it is acted on.

One journal per decision date, ``lake/ops/blotter/<account>/<date>.jsonl``: a line for each event, numbered, with a
checksum, appended and flushed to the disk (fsync) before the next thing happens. The plan is the first line, whole or
absent; an intent stands there before its order is sent, the broker's answer after. What a killed process leaves behind
is therefore always one of: no plan (nothing was sent), an intent without an answer (the broker is asked by the order's
name), or an answer. A line that was cut short by the kill is removed; any other damage is an error.

:meth:`Blotter.publish` turns journals into the immutable batches ``ops.orders`` and ``ops.fills``. Publishing twice
changes nothing, so it too may be killed.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.errors import ArtifactError
from trademl.execution.broker import FINAL, BrokerOrder, Fill, Order, positions_of
from trademl.execution.orders import PlannedOrder, decision_date
from trademl.lake.batches import latest_sql, write_rows
from trademl.lake.files import FileLock, fsync_dir
from trademl.lake.layout import Layout
from trademl.schema import BATCHES

PLANNED, SENDING, UNSENT = "planned", "sending", "unsent"
"""Statuses of the blotter's own: written down; about to be sent, or sent without an answer; never to be sent."""

_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Header:
    """What a plan was made from, and for when.

    Attributes:
        dt, session: the decision date, and the session that is traded in, with its hours in naive UTC.
        equity_usd: what the weights were shares of.
        opening_cash_usd: cash before the first plan of all, and before what the broker listed as paid since its date.
        held: shares by symbol when the plan was made.
        notes: what was left out, and why.
    """

    account: str
    broker: str
    sleeve: str
    run_id: str
    model_id: str
    portfolio_hash: str
    dt: date
    session: date
    open_at: datetime
    close_at: datetime
    equity_usd: float
    opening_cash_usd: float
    held: dict[str, float]
    notes: tuple[str, ...]


@dataclass
class OrderState:
    """An order and what is known of it; ``events`` are the rows of ops.orders so far, oldest first."""

    planned: PlannedOrder
    status: str = PLANNED
    reason: str = ""
    broker_order_id: str | None = None
    filled: float = 0.0
    average_price: float | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def order(self) -> Order:
        return self.planned.order

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True)
class Adjustment:
    """A change of the book that no order made: a split, say; ``quantity`` is the change of shares."""

    symbol: str
    quantity: float
    reason: str
    date: date


class Segment:
    """The journal of one decision date, in memory and on the disk; made by :class:`Blotter`."""

    def __init__(self, path: Path, now: Clock) -> None:
        self.path = path
        self.now = now
        self.header: Header | None = None
        self.orders: dict[str, OrderState] = {}
        self.fills: dict[str, tuple[str, Fill, datetime]] = {}
        self.adjustments: list[Adjustment] = []
        self.closed = False
        self.changed = False
        self._lines = 0

    def load(self, *, repair: bool) -> None:
        """Read the journal; ``repair`` removes a last line that was cut short.

        Raises:
            ArtifactError: a line is missing, altered, or not what this version writes.
        """
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        good = 0
        for raw in data.splitlines(keepends=True):
            record = _decoded(raw, self._lines + 1)
            if record is None:
                break
            good += len(raw)
            self._lines += 1
            self._apply(record)
        # A run that was killed before it published leaves an open journal: the next one publishes it.
        self.changed = not self.closed
        if good == len(data):
            return
        # A kill leaves a line without its end; a whole line that does not verify was altered afterwards.
        if b"\n" in data[good:]:
            raise ArtifactError(
                f"line {self._lines + 1} of {self.path} is damaged or missing",
                remedy="restore the file from a backup; do not trade before positions are reconciled by hand",
            )
        if repair:
            with self.path.open("r+b") as stream:
                stream.truncate(good)
                os.fsync(stream.fileno())

    def plan(self, header: Header, orders: tuple[PlannedOrder, ...]) -> None:
        """Write the plan down, whole or not at all."""
        document = {"header": _plain(asdict(header)), "orders": [_plain(asdict(one)) for one in orders]}
        self._append("plan", **document)

    def intent(self, name: str) -> None:
        """Write down that an order is about to be sent."""
        self._append("status", order=name, status=SENDING)

    def answer(self, known: BrokerOrder) -> None:
        """Write down what the broker says of an order, unless it says nothing new."""
        state = self.orders[known.client_order_id]
        seen = (state.status, state.broker_order_id, state.filled, state.average_price)
        news = seen != (known.status, known.broker_order_id, known.filled_quantity, known.average_price)
        # An answer that was under way when the order ended says nothing any more.
        if news and not (state.is_final and not known.is_final):
            self._append(
                "status",
                order=known.client_order_id,
                status=known.status,
                reason=known.reason,
                broker_order_id=known.broker_order_id,
                filled=known.filled_quantity,
                price=known.average_price,
            )

    def refuse(self, name: str, status: str, reason: str) -> None:
        """Write down that an order was rejected, or will never be sent."""
        self._append("status", order=name, status=status, reason=reason)

    def fill(self, name: str, fill: Fill) -> bool:
        """Write a fill down; False when it was there already."""
        if fill.fill_id in self.fills:
            return False
        self._append("fill", order=name, fill=_plain(asdict(fill)))
        return True

    def adjust(self, change: Adjustment) -> None:
        """Write down a change of the book that no order made; the same one twice counts once."""
        if change not in self.adjustments:
            self._append("adjust", change=_plain(asdict(change)))

    def close(self) -> None:
        """Write down that nothing more happens here."""
        if not self.closed:
            self._append("closed")

    def _append(self, kind: str, **content: Any) -> None:
        record = {"n": self._lines + 1, "type": kind, "at": sql_utc(self.now()).isoformat(), **content}
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, before)
                raise ArtifactError(
                    f"{self.path} cannot take {len(line)} more bytes",
                    remedy="free space on its disk; nothing was sent that is not written down",
                )
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            fsync_dir(self.path.parent)
        self._lines += 1
        self.changed = True
        self._apply(record)

    def _apply(self, record: dict[str, Any]) -> None:
        kind, at = record["type"], datetime.fromisoformat(record["at"])
        if kind == "plan":
            self.header = _header(record["header"])
            for row in record["orders"]:
                planned = _planned(row)
                state = OrderState(planned)
                self.orders[planned.order.client_order_id] = state
                self._note(state, at)
        elif kind == "status":
            state = self.orders[record["order"]]
            state.status, state.reason = record["status"], record.get("reason", "")
            state.broker_order_id = record.get("broker_order_id", state.broker_order_id)
            state.filled = record.get("filled", state.filled)
            state.average_price = record.get("price", state.average_price)
            self._note(state, at)
        elif kind == "fill":
            row = record["fill"]
            fill = Fill(**{**row, "filled_at": datetime.fromisoformat(row["filled_at"])})
            self.fills[fill.fill_id] = (record["order"], fill, at)
        elif kind == "adjust":
            row = record["change"]
            self.adjustments.append(Adjustment(**{**row, "date": date.fromisoformat(row["date"])}))
        self.closed = kind == "closed"

    def _note(self, state: OrderState, at: datetime) -> None:
        header, order = self.header, state.order
        assert header is not None
        state.events.append(
            {
                "client_order_id": order.client_order_id,
                "event_seq": len(state.events),
                "status": state.status,
                "reason": state.reason,
                "account": header.account,
                "broker": header.broker,
                "broker_order_id": state.broker_order_id,
                "sleeve": header.sleeve,
                "run_id": header.run_id,
                "model_id": header.model_id,
                "portfolio_hash": header.portfolio_hash,
                "symbol": order.symbol,
                "side": order.side,
                "slice": state.planned.slice,
                "order_type": order.order_type,
                "time_in_force": order.time_in_force,
                "quantity": float(order.quantity),
                "filled_quantity": state.filled,
                "average_price": state.average_price,
                "expected_price": state.planned.expected_price,
                "dt": header.dt,
                "session": header.session,
                "send_at": state.planned.send_at,
                "recorded_at": at,
            }
        )

    def fill_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of ops.fills."""
        header = self.header
        for name, fill, at in self.fills.values():
            assert header is not None
            yield {
                "fill_id": fill.fill_id,
                "order_id": name,
                "symbol": fill.symbol,
                "quantity": fill.quantity,
                "price": fill.price,
                "fee_usd": fill.fee_usd,
                "account": header.account,
                "broker": header.broker,
                "broker_order_id": fill.broker_order_id,
                "filled_at": fill.filled_at,
                "recorded_at": at,
            }


class Blotter:
    """The journals of one account. Whoever writes holds :meth:`lock`.

    Raises:
        ArtifactError: (on making one) the account's name cannot be a folder's.
    """

    def __init__(self, layout: Layout, account: str, *, now: Clock = utc_now) -> None:
        if not _ACCOUNT.fullmatch(account):
            raise ArtifactError(f"{account!r} is no account's name", remedy="use lower case letters, digits, - and _")
        self.layout, self.account, self.now = layout, account, now
        self.folder = layout.root / "ops" / "blotter" / account
        self._segments: dict[date, Segment] = {}

    def lock(self, wait: float = 0.0) -> FileLock:
        """Return the lock under which alone this account is traded."""
        return FileLock(self.folder / ".lock", wait=wait)

    def dates(self) -> list[date]:
        """Return the decision dates that have a journal, oldest first."""
        return sorted(date.fromisoformat(path.stem) for path in self.folder.glob("????-??-??.jsonl"))

    def segment(self, dt: date, *, repair: bool = False) -> Segment:
        """Return the journal of a decision date; an empty one where there is none yet.

        ``repair``, for a writer who holds the lock, removes a last line that a kill cut short.
        """
        if dt not in self._segments:
            self.folder.mkdir(parents=True, exist_ok=True)
            segment = Segment(self.folder / f"{dt.isoformat()}.jsonl", self.now)
            segment.load(repair=repair)
            self._segments[dt] = segment
        return self._segments[dt]

    def open_segments(self, *, repair: bool = False) -> list[Segment]:
        """Return the journals that are not closed, oldest first."""
        return [one for dt in self.dates() if not (one := self.segment(dt, repair=repair)).closed]

    def touched(self) -> list[Segment]:
        """Return the journals to which something was appended, or that were open, since this object was made."""
        return [one for _, one in sorted(self._segments.items()) if one.changed]

    def segment_of(self, client_order_id: str) -> Segment | None:
        """Return the journal that has an order of this name, None when none has."""
        dt = decision_date(client_order_id)
        if dt is None or not (dt in self._segments or (self.folder / f"{dt.isoformat()}.jsonl").is_file()):
            return None
        segment = self.segment(dt)
        return segment if client_order_id in segment.orders else None

    def positions(self) -> dict[str, float]:
        """Return shares by symbol from every fill and adjustment that is written down, without zeros."""
        held = positions_of(self.all_fills())
        for change in self.adjustments():
            held[change.symbol] = held.get(change.symbol, 0.0) + change.quantity
        return {symbol: shares for symbol, shares in sorted(held.items()) if abs(shares) > 1e-9}

    def headers(self) -> list[Header]:
        """Return what each plan was made from, oldest first."""
        return [header for dt in self.dates() if (header := self.segment(dt).header) is not None]

    def began(self) -> date | None:
        """Return the first decision date with a plan, None before it."""
        return next((header.dt for header in self.headers()), None)

    def cash_at_start(self) -> float | None:
        """Return the cash before the first plan, None before it."""
        return next((header.opening_cash_usd for header in self.headers()), None)

    def all_fills(self) -> Iterator[Fill]:
        """Yield every fill that is written down, oldest journal first."""
        for dt in self.dates():
            for _, fill, _ in self.segment(dt).fills.values():
                yield fill

    def shares_before(self, symbol: str, day: date) -> float:
        """Return the shares of a symbol that were held when a day began."""
        bought = sum(
            fill.quantity for fill in self.all_fills() if fill.symbol == symbol and fill.filled_at.date() < day
        )
        return bought + sum(one.quantity for one in self.adjustments() if one.symbol == symbol and one.date < day)

    def adjustments(self) -> list[Adjustment]:
        """Return every change of the book that no order made, oldest journal first."""
        return [change for dt in self.dates() for change in self.segment(dt).adjustments]

    def publish(self, *segments: Segment) -> int:
        """Write the rows of journals to ops.orders and ops.fills; return how many rows they have.

        Every row is that of its event: publishing the same journal again, or a longer one, repeats rows of the same
        grain and content.
        """
        orders = [row for one in segments for state in one.orders.values() for row in state.events]
        fills = [row for one in segments for row in one.fill_rows()]
        write_rows(self.layout, "ops.orders", orders, now=self.now)
        write_rows(self.layout, "ops.fills", fills, now=self.now)
        return len(orders) + len(fills)


def recorded_fills(layout: Layout, account: str) -> dict[str, float]:
    """Return the sum of quantities by symbol of an account in ops.fills as published, for comparisons and reports."""
    source = latest_sql(BATCHES["ops.fills"], layout.batch_files("ops.fills"))
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        rows = con.execute(
            f"select symbol, sum(quantity) from ({source}) where account = ? group by symbol order by symbol", [account]
        ).fetchall()
    return {symbol: shares for symbol, shares in rows if abs(shares) > 1e-9}


def _decoded(raw: bytes, number: int) -> dict[str, Any] | None:
    """Return the record of a line; None when it is not whole, or not the one expected."""
    if not raw.endswith(b"\n") or len(raw) < 11 or raw[8:9] != b" ":
        return None
    text = raw[9:-1]
    if raw[:8] != b"%08x" % zlib.crc32(text):
        return None
    record = json.loads(text)
    return record if record["n"] == number else None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _plain(value)
        if isinstance(value, dict)
        else value.isoformat()
        if isinstance(value, date | datetime)
        else list(value)
        if isinstance(value, tuple)
        else value
        for key, value in values.items()
    }


def _header(row: dict[str, Any]) -> Header:
    return Header(
        **{
            **row,
            "dt": date.fromisoformat(row["dt"]),
            "session": date.fromisoformat(row["session"]),
            "open_at": datetime.fromisoformat(row["open_at"]),
            "close_at": datetime.fromisoformat(row["close_at"]),
            "notes": tuple(row["notes"]),
        }
    )


def _planned(row: dict[str, Any]) -> PlannedOrder:
    return PlannedOrder(
        order=Order(**row["order"]),
        slice=row["slice"],
        send_at=datetime.fromisoformat(row["send_at"]),
        after=row["after"],
        expected_price=row["expected_price"],
    )
