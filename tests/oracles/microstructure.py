"""Barrier and tape of one event by loops over ticks, written from docs/events_microstructure.md and not from the SQL.

Prices and sizes are fractions: a mean is exact, and a middle is equal or it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction as F

WINDOW = timedelta(seconds=60)
LONG = 10
SWEEP_GAP = timedelta(milliseconds=100)
SWEEP_PRICES = 3


@dataclass(frozen=True)
class Quote:
    """A row of a consolidated feed: a side is price and shares, or None where the row does not state it."""

    ts: datetime
    bid: tuple[F, F] | None
    ask: tuple[F, F] | None


@dataclass(frozen=True)
class Trade:
    """A trade of the tape that tells a price."""

    ts: datetime
    price: F
    size: F


@dataclass(frozen=True)
class State:
    """Both sides in force after a row, and what the row added to or took from each."""

    ts: datetime
    bid: tuple[F, F] | None
    ask: tuple[F, F] | None
    bid_change: F
    ask_change: F


def states(quotes: Sequence[Quote]) -> list[State]:
    """Return what is in force after each row."""
    found: list[State] = []
    bid: tuple[F, F] | None = None
    ask: tuple[F, F] | None = None
    for row in quotes:
        new_bid, new_ask = row.bid or bid, row.ask or ask
        found.append(State(row.ts, new_bid, new_ask, _change(bid, new_bid, 1), _change(ask, new_ask, -1)))
        bid, ask = new_bid, new_ask
    return found


def _change(before: tuple[F, F] | None, after: tuple[F, F] | None, better: int) -> F:
    if before is None or after is None:
        return F(0)
    if before[0] == after[0]:
        return after[1] - before[1]
    return after[1] if (after[0] - before[0]) * better > 0 else -before[1]


def sides(trades: Sequence[Trade], quotes: Sequence[State]) -> list[int]:
    """Return who began each trade: 1 the buyer, -1 the seller, 0 nobody knows."""
    found = []
    last_move = 0
    for number, trade in enumerate(trades):
        if number and trade.price != trades[number - 1].price:
            last_move = 1 if trade.price > trades[number - 1].price else -1
        earlier = [state for state in quotes if state.ts < trade.ts]
        side = last_move
        if earlier and earlier[-1].bid and earlier[-1].ask and earlier[-1].bid[0] <= earlier[-1].ask[0]:
            middle = (earlier[-1].bid[0] + earlier[-1].ask[0]) / 2
            if trade.price != middle:
                side = 1 if trade.price > middle else -1
        found.append(side)
    return found


def barrier(quotes: Sequence[State], t1: datetime, direction: int) -> dict[str, F | None]:
    """Return the six features of the barrier."""
    near = [state for state in quotes if t1 - LONG * WINDOW <= state.ts < t1]
    defending, attacking = ("ask", "bid") if direction == 1 else ("bid", "ask")
    shown = [side[1] for state in near if (side := getattr(state, defending)) is not None]
    mean = sum(shown, F(0)) / len(shown) if shown else None

    def flows(window: int) -> tuple[F, F]:
        changes = [
            getattr(state, f"{defending}_change")
            for state in near
            if t1 - window * WINDOW <= state.ts < t1 - (window - 1) * WINDOW
        ]
        return sum((c for c in changes if c > 0), F(0)), sum((-c for c in changes if c < 0), F(0))

    (added, taken), (added_before, taken_before) = flows(1), flows(2)
    delta = (added - taken) / mean if mean else None
    delta_before = (added_before - taken_before) / mean if mean else None
    ratio = added / taken if taken else None
    ratio_before = added_before / taken_before if taken_before else None
    now = _shares(near, defending)
    against = _shares(near, attacking)
    return {
        "barrier_delta_liq": delta,
        "barrier_replenishment_ratio": ratio,
        "barrier_delta_liq_trend": None if delta is None or delta_before is None else delta - delta_before,
        "barrier_replenishment_trend": None if ratio is None or ratio_before is None else ratio - ratio_before,
        "wall_ratio": now / mean if now is not None and mean else None,
        "liquidity_pressure": (against - now) / (against + now)
        if now is not None and against is not None and against + now
        else None,
        "net": (taken - added) / (taken + added) if taken + added else F(0),
    }


def _shares(near: Sequence[State], side: str) -> F | None:
    if not near:
        return None
    found = getattr(near[-1], side)
    return F(0) if found is None else F(found[1])


def tape(trades: Sequence[Trade], begun: Sequence[int], t1: datetime, direction: int) -> dict[str, F | None]:
    """Return the six features of the tape; all of them None before the first trade."""
    if not [trade for trade in trades if trade.ts < t1]:
        return dict.fromkeys(
            (
                "tape_imbalance",
                "tape_velocity",
                "tape_imbalance_trend",
                "tape_velocity_trend",
                "sweep_detected",
                "tape_pressure",
            )
        )

    def window(first: int, last: int) -> list[tuple[Trade, int]]:
        return [
            (trade, side)
            for trade, side in zip(trades, begun, strict=True)
            if t1 - last * WINDOW <= trade.ts < t1 - first * WINDOW
        ]

    now, before, long = window(0, 1), window(1, 2), window(0, LONG)
    imbalance, imbalance_before = _imbalance(now, direction), _imbalance(before, direction)
    seconds = F(int(WINDOW.total_seconds()))
    usual = F(len(long), LONG)
    return {
        "tape_imbalance": imbalance,
        "tape_velocity": len(now) / seconds,
        "tape_imbalance_trend": None if imbalance is None or imbalance_before is None else imbalance - imbalance_before,
        "tape_velocity_trend": (len(now) - len(before)) / seconds,
        "sweep_detected": F(int(_swept(now, direction))),
        "tape_pressure": None if imbalance is None else imbalance * len(now) / (len(now) + usual),
    }


def _imbalance(near: Sequence[tuple[Trade, int]], direction: int) -> F | None:
    shares = sum((trade.size for trade, _ in near), F(0))
    return direction * sum((trade.size * side for trade, side in near), F(0)) / shares if shares else None


def _swept(near: Sequence[tuple[Trade, int]], direction: int) -> bool:
    run: list[Trade] = []
    run_side = 0
    for trade, side in near:
        if side == 0:
            continue
        if not run or side != run_side or trade.ts - run[-1].ts > SWEEP_GAP:
            run, run_side = [], side
        run.append(trade)
        if run_side == direction and len({one.price for one in run}) >= SWEEP_PRICES:
            return True
    return False


def features(quotes: Sequence[Quote], trades: Sequence[Trade], t1: datetime, direction: int) -> dict[str, F | None]:
    """Return barrier, tape and their mean for one event."""
    in_force = states(quotes)
    found = barrier(in_force, t1, direction)
    net = found.pop("net")
    found |= tape(trades, sides(trades, in_force), t1, direction)
    parts = (found["tape_pressure"], found["liquidity_pressure"], net)
    known = [part for part in parts if part is not None]
    return found | {"net_break_pressure": sum(known, F(0)) / 3 if len(known) == 3 else None}
