"""A broker that is a file: it fills orders at the prices of landed bars, with the cost model, and nothing is random.

An order for the opening auction fills at the next session's open, any other on the straight line from open to close at
the time it was placed; that line is an assumption, daily bars do not say more. A buyer pays the price plus half the
spread and the impact of the cost model, a seller gets as much less; commissions are a fee. An order fills at most
``max_participation`` of the session's volume, and what is left expires with the session. Splits change shares on their
ex-date, with cash for fractions; dividends are paid, or charged to who is short; what is borrowed costs each night.

Everything is in ``<account>.json``, replaced whole when a session has passed, and ``<account>.new``, a line for each
order since: a process that is killed in between has either placed an order or not, as with any broker.
"""

import json
import os
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from math import floor, trunc
from pathlib import Path
from typing import Any

from trademl.clock import Clock, sql_utc, utc_now
from trademl.costs.model import CostModel
from trademl.errors import BrokerError, OrderRejected
from trademl.execution.broker import Activity, BrokerAccount, BrokerOrder, Fill, Order, Status, signed
from trademl.execution.facts import Bar, Facts
from trademl.execution.orders import Hours
from trademl.lake.files import write_atomic

FIRST_CAPITAL_USD = 1_000_000.0


class SimulatedBroker:
    """The broker of one account.

    Args:
        path: the file; made with ``capital_usd`` in cash when it is not there.
        facts: sessions and bars.
        costs: what fills cost.
        max_participation: share of a session's volume that an order may take.
        capital_usd: cash of a new account.
        liquidity: average traded value in USD of a session and volatility of its return, by symbol; both size impact.
        now: the time at the broker.
    """

    def __init__(
        self,
        path: Path,
        facts: Facts,
        costs: CostModel,
        *,
        max_participation: float = 0.1,
        capital_usd: float = FIRST_CAPITAL_USD,
        liquidity: dict[str, tuple[float, float]] | None = None,
        now: Clock = utc_now,
    ) -> None:
        self.path, self.facts, self.costs, self.now = path, facts, costs, now
        self.max_participation = max_participation
        self.liquidity = liquidity or {}
        self._listed: set[str] | None = None
        self._until: datetime | None = None
        if path.is_file():
            self._book: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        else:
            opened = self.facts.last_decided(self._instant())
            self._book = {
                "cash_usd": capital_usd,
                "session": None if opened is None else opened.isoformat(),
                "positions": {},
                "orders": {},
                "fills": [],
                "paid": [],
            }
            # The session that it was opened in says from when on orders can be filled.
            self._save()
        self._read_new()

    @property
    def name(self) -> str:
        return "simulated"

    @property
    def is_live(self) -> bool:
        return False

    @property
    def reverses(self) -> bool:
        return True

    @property
    def auction_takes_orders(self) -> timedelta:
        return timedelta(days=7)

    def submit(self, order: Order) -> BrokerOrder:
        """Place an order.

        Raises:
            OrderRejected: a fraction of a share, a limit order, or a symbol without any bar.
        """
        self._advance()
        known = self._book["orders"].get(order.client_order_id)
        if known is None:
            if order.order_type != "market" or order.quantity < 1:
                raise OrderRejected(
                    f"{order.client_order_id}: {order.order_type} order of {order.quantity} shares",
                    remedy="the simulated broker takes market orders of whole shares",
                )
            at = self._instant()
            if self._listed is None:
                self._listed = self.facts.listed(at.date())
            if order.symbol not in self._listed:
                raise OrderRejected(f"{order.client_order_id}: {order.symbol} has no bar", remedy="land its bars")
            known = {
                "id": f"sim-{len(self._book['orders']) + 1:08d}",
                "symbol": order.symbol,
                "side": order.side,
                "quantity": order.quantity,
                "filled": 0,
                "price": None,
                "status": "accepted",
                "reason": "",
                "in_auction": order.time_in_force == "opg",
                "at": at.isoformat(),
            }
            self._book["orders"][order.client_order_id] = known
            self._append(order.client_order_id, known)
        return _order(order.client_order_id, known)

    def status(self, client_order_id: str) -> BrokerOrder | None:
        """Return an order by our name of it."""
        self._advance()
        known = self._book["orders"].get(client_order_id)
        return None if known is None else _order(client_order_id, known)

    def cancel(self, client_order_id: str) -> None:
        """Cancel an order that is not filled yet."""
        self._advance()
        known = self._book["orders"].get(client_order_id)
        if known is not None and known["status"] in ("accepted", "partially_filled"):
            known["status"], known["reason"] = "canceled", "canceled by the client"
            self._save()

    def orders(self, since: datetime) -> list[BrokerOrder]:
        """Return the orders placed at or after an instant."""
        self._advance()
        every = [_order(name, one) for name, one in self._book["orders"].items()]
        return sorted((one for one in every if one.submitted_at >= since), key=lambda one: one.broker_order_id)

    def fills(self, since: datetime) -> list[Fill]:
        """Return the fills at or after an instant."""
        self._advance()
        every = [Fill(**{**row, "filled_at": datetime.fromisoformat(row["filled_at"])}) for row in self._book["fills"]]
        return [one for one in every if one.filled_at >= since]

    def activities(self, since: date) -> list[Activity]:
        """Return splits, dividends, cash for fractions and borrowing, from a day on."""
        self._advance()
        rows = [
            Activity(f"sim-{at:08d}", what, symbol, date.fromisoformat(day), shares, amount)
            for at, (day, what, symbol, shares, amount) in enumerate(self._book["paid"], start=1)
        ]
        return [one for one in rows if one.date >= since]

    def positions(self) -> dict[str, float]:
        """Return shares by symbol."""
        self._advance()
        return {symbol: float(shares) for symbol, shares in sorted(self._book["positions"].items()) if shares}

    def account(self) -> BrokerAccount:
        """Return cash, and equity at the last closes known."""
        held = self.positions()
        marks = self.facts.marks(date.fromisoformat(self._book["session"]), held) if self._book["session"] else {}
        missing = sorted(set(held) - set(marks))
        if missing:
            raise BrokerError(f"{missing[0]} is held and has no close", remedy="land its bars")
        cash = float(self._book["cash_usd"])
        return BrokerAccount(cash + sum(shares * marks[symbol] for symbol, shares in held.items()), cash)

    def _instant(self) -> datetime:
        return sql_utc(self.now())

    def _advance(self) -> None:
        """Do what happened in each session that closed since the last look and whose bars have become known."""
        instant = self._instant()
        if self._book["session"] is None or (self._until is not None and instant < self._until):
            return
        last = date.fromisoformat(self._book["session"])
        changed = False
        for hours in self.facts.sessions(last, instant):
            if not self.facts.has_bars(hours.date, instant):
                break
            self._session(last, hours, instant)
            last = hours.date
            self._book["session"] = last.isoformat()
            changed = True
        coming = self.facts.session_after(last)
        self._until = None if coming is None else coming.close_at
        if changed:
            self._save()

    def _session(self, last: date, hours: Hours, instant: datetime) -> None:
        book = self._book
        working = {
            name: one
            for name, one in book["orders"].items()
            if one["status"] == "accepted" and datetime.fromisoformat(one["at"]) < hours.close_at
        }
        symbols = {one["symbol"] for one in working.values()} | set(book["positions"])
        bars = self.facts.bars(hours.date, symbols, instant)
        self._borrow(last, hours.date)
        self._actions(bars.values())
        for name, one in working.items():
            self._execute(name, one, bars.get(one["symbol"]), hours)

    def _borrow(self, last: date, day: date) -> None:
        """Charge what short positions cost for the nights since the last session."""
        held = self._book["positions"]
        short = [symbol for symbol, shares in held.items() if shares < 0]
        marks = self.facts.marks(last, short)
        for symbol in short:
            value, _ = self.liquidity.get(symbol, (0.0, 0.0))
            position = held[symbol] * marks.get(symbol, 0.0)
            cost = float(self.costs.borrow_cost_usd(position, value, (day - last).days))
            self._pay(-cost, "borrow", symbol, day)

    def _actions(self, bars: Iterable[Bar]) -> None:
        held = self._book["positions"]
        for bar in bars:
            shares = held.get(bar.symbol, 0)
            if not shares:
                continue
            if bar.split != 1:
                exact = shares * bar.split
                held[bar.symbol] = trunc(exact)
                cash = (exact - trunc(exact)) * bar.open
                self._pay(cash, "split", bar.symbol, bar.date, shares=trunc(exact) - shares)
            if bar.dividend:
                self._pay(held[bar.symbol] * bar.dividend, "dividend", bar.symbol, bar.date)

    def _pay(self, amount: float, what: str, symbol: str, day: date, shares: float = 0.0) -> None:
        if amount or shares:
            self._book["cash_usd"] += amount
            self._book["paid"].append([day.isoformat(), what, symbol, float(shares), amount])

    def _execute(self, name: str, one: dict[str, Any], bar: Bar | None, hours: Hours) -> None:
        room = 0 if bar is None else floor(bar.volume * self.max_participation)
        shares = min(one["quantity"], room)
        if bar is None or shares == 0:
            one["status"] = "expired"
            one["reason"] = f"no bar of {one['symbol']} on {hours.date}" if bar is None else "no volume"
            return
        at = max(datetime.fromisoformat(one["at"]), hours.open_at)
        passed = 0.0 if one["in_auction"] else (at - hours.open_at) / (hours.close_at - hours.open_at)
        price = bar.open + (bar.close - bar.open) * passed
        value, volatility = self.liquidity.get(bar.symbol, (bar.volume * bar.close, 0.0))
        paid = self.costs.trade_costs(
            shares * price, value or bar.volume * bar.close, volatility, shares=shares, in_auction=one["in_auction"]
        )
        fee = float(paid.commission_usd)
        slip = (float(paid.total_usd) - fee) / shares
        change = int(signed(one["side"], shares))
        filled_at = price + slip if change > 0 else price - slip
        held = self._book["positions"]
        held[bar.symbol] = held.get(bar.symbol, 0) + change
        if held[bar.symbol] == 0:
            del held[bar.symbol]
        self._book["cash_usd"] -= change * filled_at + fee
        whole = shares == one["quantity"]
        status: Status = "filled" if whole else "expired"
        one.update(
            filled=shares,
            price=filled_at,
            status=status,
            reason="" if whole else f"{one['quantity'] - shares} shares are above the participation limit",
        )
        self._book["fills"].append(
            {
                "fill_id": f"sim-{self.path.stem}-{name}",
                "broker_order_id": one["id"],
                "symbol": bar.symbol,
                "quantity": float(change),
                "price": filled_at,
                "fee_usd": fee,
                "filled_at": (hours.open_at if one["in_auction"] else at).isoformat(),
            }
        )

    @property
    def _new(self) -> Path:
        return self.path.with_suffix(".new")

    def _append(self, name: str, one: dict[str, Any]) -> None:
        line = json.dumps([name, one], separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._new.open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def _read_new(self) -> None:
        """Add the orders since the book was last written; a line that was cut short is no order."""
        if not self._new.is_file():
            return
        data = self._new.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            os.truncate(self._new, len(whole))
        for line in whole.splitlines():
            name, one = json.loads(line)
            self._book["orders"].setdefault(name, one)

    def _save(self) -> None:
        text = json.dumps(self._book, sort_keys=True, separators=(",", ":"), allow_nan=False)
        write_atomic(self.path, text.encode(), 0o644)
        # Killed before this, the same orders are read twice and count once.
        self._new.unlink(missing_ok=True)


def _order(name: str, one: dict[str, Any]) -> BrokerOrder:
    return BrokerOrder(
        client_order_id=name,
        broker_order_id=one["id"],
        symbol=one["symbol"],
        side=one["side"],
        quantity=float(one["quantity"]),
        filled_quantity=float(one["filled"]),
        average_price=one["price"],
        status=one["status"],
        reason=one["reason"],
        submitted_at=datetime.fromisoformat(one["at"]),
    )
