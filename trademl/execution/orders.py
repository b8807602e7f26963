"""From target weights to orders: whole shares, slices in time, and a name for each that a rerun finds again.

An order's name is made from the model run, the decision date, the symbol and the slice, and from nothing else. What the
account holds and what prices do between two runs cannot change it; the broker takes a name once, so a plan that is sent
twice trades once.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import inf, isfinite, trunc

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.execution.broker import Order, Side
from trademl.execution.config import OrderConfig
from trademl.execution.schedule import (
    capped_by_participation,
    market_of_day,
    optimal_trajectory,
    twap_slices,
    vwap_slices,
)

AUCTION_CLOSES = timedelta(minutes=2)
"""Orders for the opening auction are taken until so long before the open."""

_SYMBOL = re.compile(r"[A-Z][A-Z0-9.\-]{0,11}")
_NAME_LENGTH = 48


@dataclass(frozen=True)
class Target:
    """What the portfolio wants of one symbol: its weight, and what is known of it at the decision.

    Attributes:
        weight: share of equity.
        price: last close, USD.
        day_volume: shares traded on an average session.
        day_volatility: of a session's return, as a fraction.
    """

    symbol: str
    weight: float
    price: float
    day_volume: float
    day_volatility: float


@dataclass(frozen=True)
class PlannedOrder:
    """An order and when it is to be sent.

    Attributes:
        slice: 0, 1, ...; of a position that changes sign the closing slices come first.
        send_at: not before this instant, naive UTC.
        after: the name of an order that must have been filled first; None: none.
        expected_price: the price that sizes were worked out at, USD.
    """

    order: Order
    slice: int
    send_at: datetime
    after: str | None
    expected_price: float


@dataclass(frozen=True)
class Hours:
    """A session that is traded in: its date, open and close, naive UTC."""

    date: date
    open_at: datetime
    close_at: datetime


@dataclass(frozen=True)
class Plan:
    """Every order of one decision, in the order of sending, and remarks on what was left out."""

    orders: tuple[PlannedOrder, ...]
    notes: tuple[str, ...]

    @property
    def traded_usd(self) -> float:
        return sum(one.order.quantity * one.expected_price for one in self.orders)


def client_order_id(run_id: str, dt: date, symbol: str, piece: int) -> str:
    """Return the name of an order: ``tm-<hash of the run>-<date>-<symbol>-<slice>``, at most 48 characters.

    >>> client_order_id("equities-fwd_5d-0123456789ab", date(2024, 1, 5), "BRK.B", 3)
    'tm-a2c8f1e9f3-20240105-BRK.B-003'

    Raises:
        ConfigError: the symbol has characters that no ticker has.
    """
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"{symbol!r} is not a symbol that can be traded", remedy="use letters, digits, . and -")
    run = hashlib.sha256(run_id.encode()).hexdigest()[:10]
    name = f"tm-{run}-{dt:%Y%m%d}-{symbol}-{piece:03d}"
    assert len(name) <= _NAME_LENGTH
    return name


def decision_date(client_id: str) -> date | None:
    """Return the decision date in a name that :func:`client_order_id` made, None for any other name."""
    found = re.fullmatch(r"tm-[0-9a-f]{10}-(\d{4})(\d{2})(\d{2})-.+-\d{3}", client_id)
    return date(*(int(part) for part in found.groups())) if found else None


def plan_orders(
    targets: Sequence[Target],
    held: Mapping[str, float],
    equity_usd: float,
    *,
    run_id: str,
    dt: date,
    hours: Hours,
    policy: OrderConfig,
    now: datetime,
    spread_bps: float = 5.0,
    prices: Mapping[str, float] | None = None,
    reverses: bool = False,
    auction_takes_orders: timedelta = timedelta(hours=14),
) -> Plan:
    """Turn target weights into orders for one session.

    Shares wanted are weight x equity / price, cut towards zero to whole shares; the difference to what is held is
    traded. What is held and not among the targets is sold. A position that changes sign is closed by one order and
    opened by another that waits for it, unless the broker takes an order that does both.

    Args:
        targets: one per symbol.
        held: shares by symbol.
        equity_usd: what weights are shares of; above 0.
        run_id: the model run that named the weights.
        dt: the decision date.
        hours: the session that is traded in.
        policy: how.
        now: naive UTC; when it is too late for the auction, orders go out as plain market orders.
        spread_bps: half the quoted spread, which calibrates the market of Almgren and Chriss.
        prices: of symbols that are held and have no target.
        reverses: whether one order may turn a long position short, or the other way round.
        auction_takes_orders: how long before the open the broker takes orders for the auction.

    Raises:
        ConfigError: a weight, a price, a volume or the equity is missing or out of range, or a symbol is there twice.
    """
    if not (isfinite(equity_usd) and equity_usd > 0):
        raise ConfigError(f"an equity of {equity_usd} USD", remedy="fund the account, or name its equity")
    if not policy.whole_shares:
        raise ConfigError(
            "whole_shares is false, and brokers take no fraction in an auction, in a short sale or in a slice",
            remedy="write `whole_shares: true` under `orders` in configs/execution.yml",
        )
    known = {one.symbol: one for one in targets}
    if len(known) != len(targets):
        raise ConfigError(f"{len(targets) - len(known)} targets are there twice", remedy="write one per symbol")
    notes: list[str] = []
    orders: list[PlannedOrder] = []
    for symbol in sorted({*known, *(name for name, shares in held.items() if shares)}):
        target = known.get(symbol) or _nothing(symbol, prices or {})
        if target.weight == 0 and not held.get(symbol):
            continue
        whole, wanted = trunc(held.get(symbol, 0.0)), _wanted(target, equity_usd)
        orders += _orders_of(
            target, whole, wanted, run_id, dt, hours, policy, spread_bps, now, reverses, auction_takes_orders, notes
        )
    # Sales first at equal times: they free the money for the purchases.
    orders.sort(key=lambda one: (one.send_at, one.slice, one.order.side == "buy", one.order.symbol))
    return Plan(tuple(orders), tuple(notes))


def _nothing(symbol: str, prices: Mapping[str, float]) -> Target:
    price = prices.get(symbol)
    if price is None:
        raise ConfigError(f"{symbol} is held, has no target and no price", remedy="land its bars, or close it by hand")
    return Target(symbol, 0.0, price, float("inf"), 0.0)


def _wanted(target: Target, equity_usd: float) -> int:
    _check(target)
    return trunc(target.weight * equity_usd / target.price)


def _orders_of(
    target: Target,
    whole: int,
    wanted: int,
    run_id: str,
    dt: date,
    hours: Hours,
    policy: OrderConfig,
    spread_bps: float,
    now: datetime,
    reverses: bool,
    auction_takes_orders: timedelta,
    notes: list[str],
) -> list[PlannedOrder]:
    change = wanted - whole
    if change == 0:
        return []
    # A full close is done however small: what nobody wants is not kept for being cheap.
    if abs(change) * target.price < policy.min_order_usd and wanted != 0:
        notes.append(f"{target.symbol}: a change of {abs(change) * target.price:.2f} USD is too small")
        return []
    turns = whole * wanted < 0 and not reverses
    legs = [-whole, wanted] if turns else [change]
    made: list[PlannedOrder] = []
    waits_for: str | None = None
    not_before = min(now, hours.open_at - auction_takes_orders)
    for leg in legs:
        pieces, left = _slices(leg, target, policy, spread_bps)
        if left:
            notes.append(
                f"{target.symbol}: {abs(left)} of {abs(leg)} shares are above {policy.max_participation:.0%} of the "
                "expected volume and are left out"
            )
        times = _times(len(pieces), hours)
        for at, shares in enumerate(pieces.tolist()):
            if shares == 0:
                continue
            name = client_order_id(run_id, dt, target.symbol, len(made))
            side: Side = "buy" if shares > 0 else "sell"
            in_auction = policy.type == "market_open" and now < hours.open_at - AUCTION_CLOSES and waits_for is None
            order = Order(name, target.symbol, side, abs(shares), time_in_force="opg" if in_auction else "day")
            first = hours.open_at - auction_takes_orders if in_auction else times[at]
            send_at = max(first, not_before)
            made.append(PlannedOrder(order, len(made), send_at, waits_for, target.price))
        if left or not made:
            break
        waits_for, not_before = made[-1].order.client_order_id, made[-1].send_at
    return made


def _times(count: int, hours: Hours) -> list[datetime]:
    step = (hours.close_at - hours.open_at) / count
    return [hours.open_at + step * at for at in range(count)]


def _slices(shares: int, target: Target, policy: OrderConfig, spread_bps: float) -> tuple[NDArray[np.int64], int]:
    """Return the slices of one leg, and what the participation limit keeps out."""
    count = 1 if policy.type == "market_open" else policy.slices
    profile = _profile(count)
    if policy.type == "vwap":
        wanted = vwap_slices(shares, profile)
    elif policy.type == "almgren_chriss" and count > 1 and isfinite(target.day_volume):
        wanted = _trajectory(shares, count, target, policy.risk_aversion, spread_bps)
    else:
        wanted = twap_slices(shares, count)
    if not isfinite(target.day_volume):
        return wanted, 0
    volume = target.day_volume * (profile / profile.sum() if policy.type == "vwap" else np.full(count, 1 / count))
    placed, left = capped_by_participation(wanted, volume, policy.max_participation)
    return placed, left


def _profile(count: int) -> NDArray[np.float64]:
    """Expected volume by interval: highest near open and close, about half of that in the middle of the day."""
    middle = (np.arange(count) + 0.5) / count
    return np.asarray(1 + 4 * (middle - 0.5) ** 2, dtype=np.float64)


def _trajectory(shares: int, count: int, target: Target, risk_aversion: float, spread_bps: float) -> NDArray[np.int64]:
    """Round the trajectory of Almgren and Chriss for one day to whole shares that add up."""
    spread = 2 * spread_bps * 1e-4 * target.price
    if spread <= 0 or not 0 < target.day_volume < inf:
        return twap_slices(shares, count)
    market = market_of_day(target.price, target.day_volatility, target.day_volume, spread)
    path = optimal_trajectory(abs(shares), 1.0, count, market, risk_aversion)
    left = np.floor(path.holdings + 0.5).astype(np.int64)
    return np.asarray(np.sign(shares) * -np.diff(left), dtype=np.int64)


def _check(target: Target) -> None:
    fine = (
        isfinite(target.weight)
        and isfinite(target.price)
        and target.price > 0
        and target.day_volume >= 0
        and target.day_volatility >= 0
    )
    if not fine:
        raise ConfigError(
            f"{target.symbol} has the weight {target.weight}, the price {target.price}, {target.day_volume} shares a "
            f"day and the volatility {target.day_volatility}",
            remedy="build the portfolio again from a date on which each is known",
        )
