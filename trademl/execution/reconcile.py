"""Our book against the broker's: orders, fills, positions and cash, each difference explained or reported.

What explains a difference is itself written down: a fill that was reported since the last look joins the blotter, a
split or another event that the broker lists changes our shares by as much as it says. Whatever is left over halts
trading (tripwire ``reconciliation``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from math import inf
from time import sleep

from trademl.errors import BrokerUnavailable
from trademl.execution.blotter import PLANNED, SENDING, UNSENT, Adjustment, Blotter, Segment
from trademl.execution.broker import Activity, Broker, BrokerOrder, Fill
from trademl.execution.facts import Facts

_LOOKS = 5
_SHARES = 1e-6
_MARGIN = timedelta(days=5)
_CENT = 0.005
_MOMENT = 0.5


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same on both sides.

    Attributes:
        kind: ``order``, ``fill``, ``position`` or ``cash``.
        what: the order, fill or symbol.
        ours, brokers: shares, or USD of cash.
        value_usd: how much money it is about; infinite when it cannot be said.
        explanation: '' when nothing explains it.
    """

    kind: str
    what: str
    ours: float
    brokers: float
    value_usd: float
    explanation: str

    def __str__(self) -> str:
        told = self.explanation or "unexplained"
        return f"{self.kind} {self.what}: ours {self.ours:g}, the broker's {self.brokers:g}: {told}"


@dataclass(frozen=True)
class Reconciliation:
    """What a comparison found; ``positions`` and ``cash_usd`` are the broker's."""

    differences: tuple[Difference, ...]
    positions: dict[str, float]
    cash_usd: float
    equity_usd: float
    blocked: str

    @property
    def new_fills(self) -> int:
        return sum(one.kind == "fill" and bool(one.explanation) for one in self.differences)

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(one for one in self.differences if not one.explanation)

    @property
    def unexplained_usd(self) -> float:
        return sum(one.value_usd for one in self.unexplained)


@dataclass(frozen=True)
class _Seen:
    orders: dict[str, BrokerOrder]
    fills: list[Fill]
    activities: list[Activity]
    positions: dict[str, float]
    cash_usd: float
    equity_usd: float
    blocked: str


def reconcile(
    broker: Broker,
    blotter: Blotter,
    facts: Facts,
    now: datetime,
    *,
    pause: Callable[[float], None] = sleep,
) -> Reconciliation:
    """Bring the blotter up to what the broker reports, and compare the two. The caller holds the blotter's lock.

    Args:
        broker: whose book is the other side.
        blotter: ours; fills, statuses and explained changes of shares are appended to it.
        facts: sessions and bars.
        now: naive UTC.
        pause: waits a moment before a difference is looked at again.

    Raises:
        BrokerUnavailable: the broker does not answer, or its book keeps changing.
    """
    found = _compare(broker, blotter, facts, now)
    fills = [one for one in found.differences if one.kind == "fill" and one.explanation]
    for _ in range(_LOOKS - 1):
        if not found.unexplained:
            break
        # A broker's lists may lag behind each other by a moment.
        pause(_MOMENT)
        found = _compare(broker, blotter, facts, now)
        fills += [one for one in found.differences if one.kind == "fill" and one.explanation]
    others = [one for one in found.differences if one.kind != "fill" or not one.explanation]
    return replace(found, differences=(*fills, *others))


def _compare(broker: Broker, blotter: Blotter, facts: Facts, now: datetime) -> Reconciliation:
    dates = blotter.dates()
    segments = [blotter.segment(dt, repair=True) for dt in dates]
    live = [one for one in segments if not one.closed]
    since = _since(live, dates, now)
    listed = {one.client_order_id: one for one in broker.orders(since)} if live else {}
    for segment in live:
        settle(broker, segment, now, listed)
    seen = _look(broker, since, blotter.began() or now.date())
    names = {
        state.broker_order_id: name for one in segments for name, state in one.orders.items() if state.broker_order_id
    }
    differences = [
        *_orders(seen.orders, blotter, live),
        *_fills(seen, names, blotter, since),
        *_sums(live),
        *_positions(seen, blotter, facts, now),
        *_cash(seen, blotter),
    ]
    return Reconciliation(tuple(differences), seen.positions, seen.cash_usd, seen.equity_usd, seen.blocked)


def settle(broker: Broker, segment: Segment, now: datetime, listed: Mapping[str, BrokerOrder]) -> None:
    """Write down what the broker says of every order of a journal that is not final.

    Args:
        broker: asked by name for an order that was about to be sent and is not listed.
        segment: the journal.
        now: naive UTC.
        listed: the broker's orders by our names, read after the last intent was written down.
    """
    header = segment.header
    over = header is not None and now >= header.close_at
    for name, state in segment.orders.items():
        if state.is_final:
            continue
        known = listed.get(name)
        if known is None and state.status == SENDING:
            # A list may lag; only the broker's word on this very name says that it never arrived.
            known = broker.status(name)
        if known is not None:
            segment.answer(known)
        elif over and state.status in (PLANNED, SENDING):
            segment.refuse(name, UNSENT, "the session is over and the broker has no such order")


def _since(live: list[Segment], dates: list[date], now: datetime) -> datetime:
    """Return from when on the broker is asked: before the oldest journal in which anything can still happen."""
    started = [one.header.dt for one in live if one.header is not None]
    first = min(started, default=dates[-1] if dates else now.date())
    return datetime.combine(first, time()) - _MARGIN


def _look(broker: Broker, since: datetime, began: date) -> _Seen:
    """Read the broker's book at one moment: again when a fill came in between two of its answers."""
    fills = broker.fills(since)
    for _ in range(_LOOKS):
        positions, account = broker.positions(), broker.account()
        orders = {one.client_order_id: one for one in broker.orders(since)}
        activities = broker.activities(began)
        again = broker.fills(since)
        if [one.fill_id for one in again] == [one.fill_id for one in fills]:
            return _Seen(orders, fills, activities, positions, account.cash_usd, account.equity_usd, account.blocked)
        fills = again
    raise BrokerUnavailable(
        f"fills kept coming in during {_LOOKS} looks at the broker's book", remedy="reconcile when fewer orders work"
    )


def _orders(known: dict[str, BrokerOrder], blotter: Blotter, live: list[Segment]) -> list[Difference]:
    """Report orders that we did not place, and those that the broker took and does not have any more."""
    foreign = [
        Difference(
            "order",
            one.client_order_id,
            0.0,
            one.quantity,
            one.filled_quantity * one.average_price if one.average_price else inf,
            "",
        )
        for one in known.values()
        if blotter.segment_of(one.client_order_id) is None
    ]
    lost = [
        Difference("order", name, float(state.order.quantity), 0.0, inf, "")
        for segment in live
        for name, state in segment.orders.items()
        if state.broker_order_id is not None and name not in known
    ]
    return foreign + lost


def _fills(seen: _Seen, names: dict[str, str], blotter: Blotter, since: datetime) -> list[Difference]:
    found: list[Difference] = []
    named = {**names, **{one.broker_order_id: name for name, one in seen.orders.items()}}
    for fill in seen.fills:
        name = named.get(fill.broker_order_id, "")
        segment = blotter.segment_of(name)
        value = abs(fill.quantity * fill.price)
        if segment is None:
            found.append(Difference("fill", fill.fill_id, 0.0, fill.quantity, value, ""))
        elif segment.fill(name, fill):
            told = "reported since the last look"
            found.append(Difference("fill", fill.fill_id, 0.0, fill.quantity, value, told))
    listed = {fill.fill_id for fill in seen.fills}
    found += [
        Difference("fill", fill.fill_id, fill.quantity, 0.0, abs(fill.quantity * fill.price), "")
        for fill in blotter.all_fills()
        if fill.filled_at >= since and fill.fill_id not in listed
    ]
    return found


def _sums(live: list[Segment]) -> list[Difference]:
    """Compare what the broker says of each order as a whole with the sum of its fills."""
    found = []
    for segment in live:
        sums: dict[str, float] = {}
        for name, fill, _ in segment.fills.values():
            sums[name] = sums.get(name, 0.0) + abs(fill.quantity)
        for name, state in segment.orders.items():
            ours = sums.get(name, 0.0)
            if ours < state.filled - _SHARES or ours > state.order.quantity + _SHARES:
                value = abs(state.filled - ours) * state.planned.expected_price
                found.append(Difference("order", name, ours, state.filled, value, ""))
    return found


def _positions(seen: _Seen, blotter: Blotter, facts: Facts, now: datetime) -> list[Difference]:
    ours = blotter.positions()
    found = []
    for symbol in sorted({*ours, *seen.positions}):
        mine, theirs = ours.get(symbol, 0.0), seen.positions.get(symbol, 0.0)
        if abs(mine - theirs) <= _SHARES:
            continue
        explained = _explained(symbol, theirs - mine, seen.activities, blotter, facts, now)
        if explained:
            segment = blotter.segment(blotter.dates()[-1], repair=True)
            for change in explained:
                segment.adjust(change)
        price = facts.marks(now.date(), [symbol]).get(symbol, inf)
        told = "; ".join(change.reason for change in explained)
        found.append(Difference("position", symbol, mine, theirs, abs(mine - theirs) * price, told))
    return found


def _explained(
    symbol: str, wanted: float, activities: list[Activity], blotter: Blotter, facts: Facts, now: datetime
) -> list[Adjustment]:
    """Return the events that are not in our book yet and change the shares by exactly what is wanted, or nothing."""
    began = blotter.began()
    if began is None:
        return []
    known = {(one.symbol, one.reason) for one in blotter.adjustments()}
    listed = [
        Adjustment(symbol, one.quantity, f"{one.kind} of {one.date} ({one.activity_id})", one.date)
        for one in activities
        if one.symbol == symbol and one.quantity
    ]
    new = [change for change in listed if (change.symbol, change.reason) not in known]
    if new and abs(sum(change.quantity for change in new) - wanted) <= _SHARES:
        return new
    # A broker that lists nothing: the landed bars may know of a split. What they say must fit to the share.
    for bar in facts.actions(began, now.date(), [symbol]):
        before = blotter.shares_before(symbol, bar.date)
        reason = f"split {bar.split:g} for 1 on {bar.date} (landed bars)"
        change = before * bar.split - before
        if bar.split != 1 and before and (symbol, reason) not in known and abs(change - wanted) < 1:
            return [Adjustment(symbol, wanted, reason, bar.date)]
    return []


def _cash(seen: _Seen, blotter: Blotter) -> list[Difference]:
    """Compare cash with the first one seen, less what was bought since, plus what the broker lists as paid."""
    start = blotter.cash_at_start()
    if start is None:
        return []
    paid = sum(one.amount_usd for one in seen.activities)
    ours = start + paid - sum(fill.quantity * fill.price + fill.fee_usd for fill in blotter.all_fills())
    if abs(ours - seen.cash_usd) <= _CENT:
        return []
    return [Difference("cash", "USD", ours, seen.cash_usd, abs(ours - seen.cash_usd), "")]
