"""What every broker can be asked, whoever answers: the protocol, and the values that go in and come out.

Quantities are shares, prices USD a share, times naive UTC. An order carries a name of ours, ``client_order_id``, which
a broker takes once and refuses the second time; all that makes a crash and a rerun safe rests on that rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, Protocol

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit"]
TimeInForce = Literal["opg", "day"]
Status = Literal["accepted", "partially_filled", "filled", "canceled", "expired", "rejected"]

FINAL: frozenset[str] = frozenset({"filled", "canceled", "expired", "rejected", "unsent"})
"""Statuses after which nothing happens to an order any more; ``unsent`` is the blotter's own."""


@dataclass(frozen=True)
class Order:
    """An order as it is sent.

    Attributes:
        client_order_id: our name of it.
        quantity: whole shares, above 0.
        time_in_force: ``opg`` fills in the opening auction only, ``day`` until the close.
        limit_price: of a limit order; None for a market order.
    """

    client_order_id: str
    symbol: str
    side: Side
    quantity: int
    order_type: OrderType = "market"
    time_in_force: TimeInForce = "day"
    limit_price: float | None = None


@dataclass(frozen=True)
class BrokerOrder:
    """An order as the broker has it; ``average_price`` is None before the first fill."""

    client_order_id: str
    broker_order_id: str
    symbol: str
    side: Side
    quantity: float
    filled_quantity: float
    average_price: float | None
    status: Status
    reason: str
    submitted_at: datetime

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True)
class Fill:
    """One execution; ``quantity`` is negative for a sale, ``fill_id`` the broker's own and never used twice."""

    fill_id: str
    broker_order_id: str
    symbol: str
    quantity: float
    price: float
    fee_usd: float
    filled_at: datetime


@dataclass(frozen=True)
class Activity:
    """What changed shares or cash and was no trade: a split, a dividend, a fee, a deposit.

    Attributes:
        activity_id: the broker's own.
        kind: ``split``, ``dividend``, ``borrow``, ``transfer`` or the broker's word for it.
        symbol: '' when it concerns cash alone.
        quantity: change of shares. amount_usd: change of cash.
    """

    activity_id: str
    kind: str
    symbol: str
    date: date
    quantity: float
    amount_usd: float


@dataclass(frozen=True)
class BrokerAccount:
    """Cash and equity in USD; ``blocked`` says why nothing may be traded, '' when it may."""

    equity_usd: float
    cash_usd: float
    blocked: str = ""


class Broker(Protocol):
    """A broker; every method may raise BrokerUnavailable (no answer) or BrokerError (a refusal)."""

    @property
    def name(self) -> str: ...

    @property
    def is_live(self) -> bool:
        """Whether real money is traded."""
        ...

    @property
    def reverses(self) -> bool:
        """Whether one order may turn a long position short, or the other way round."""
        ...

    @property
    def auction_takes_orders(self) -> timedelta:
        """How long before the open it takes orders for the opening auction."""
        ...

    def submit(self, order: Order) -> BrokerOrder:
        """Place an order; one whose name is taken is not placed again, and the one that has it is returned.

        Raises:
            OrderRejected: the broker does not take it, and never will.
        """
        ...

    def status(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order of that name, None when the broker has none."""
        ...

    def cancel(self, client_order_id: str) -> None:
        """Ask that nothing more of an order is filled; one that is final or unknown is left as it is."""
        ...

    def orders(self, since: datetime) -> list[BrokerOrder]:
        """Return every order placed at or after an instant, whoever placed it, oldest first."""
        ...

    def fills(self, since: datetime) -> list[Fill]:
        """Return every fill at or after an instant, each once, oldest first."""
        ...

    def activities(self, since: date) -> list[Activity]:
        """Return what was no trade, from a day on, each once, oldest first."""
        ...

    def positions(self) -> dict[str, float]:
        """Return shares by symbol, negative when short, without zeros."""
        ...

    def account(self) -> BrokerAccount:
        """Return cash and equity."""
        ...


def signed(side: Side, quantity: float) -> float:
    """Return the change of a position: negative for a sale."""
    return quantity if side == "buy" else -quantity


def positions_of(fills: Iterable[Fill]) -> dict[str, float]:
    """Add fills up to shares by symbol, without zeros; splits are the caller's business."""
    held: dict[str, float] = {}
    for fill in fills:
        held[fill.symbol] = held.get(fill.symbol, 0.0) + fill.quantity
    return {symbol: shares for symbol, shares in sorted(held.items()) if abs(shares) > 1e-9}
