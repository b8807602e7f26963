"""Trading one account: plan a session, send its orders, follow them, reconcile; safe to kill and run again anywhere.

The order of things never changes: reconcile with the broker; look at every tripwire; write the plan down; for each
order write the intent down, then send it; write down what the broker says; publish. A run that finds a plan carries it
out and makes no new one, whatever prices and positions are by then. Whatever halts does so before the next order.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from time import sleep
from typing import Self

from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.errors import BrokerError, BrokerUnavailable, ConfigError, OrderRejected
from trademl.execution.blotter import PLANNED, SENDING, UNSENT, Blotter, Header, OrderState, Segment
from trademl.execution.broker import Broker, signed
from trademl.execution.config import ExecutionConfig, OrderConfig, read_execution
from trademl.execution.facts import DecidedTargets, Facts
from trademl.execution.halts import Halt, Switch, Tripped
from trademl.execution.orders import AUCTION_CLOSES, Hours, Plan, plan_orders
from trademl.execution.reconcile import Reconciliation, reconcile
from trademl.execution.simulated import SimulatedBroker
from trademl.execution.tripwires import Money, check_data, check_money, check_plan, check_reconciliation
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.portfolio.config import read_portfolio
from trademl.warehouse.read import read_snapshot

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Planned:
    """A plan that is not written down yet, what it was made from, and the tripwires that would stop it."""

    header: Header
    plan: Plan
    weights: dict[str, float]
    fired: tuple[Tripped, ...]


@dataclass(frozen=True)
class Traded:
    """What a run did: the plan's header, its orders now, how many were sent by this run, and what waits for later.

    ``next_at`` is when the next order is due, None when nothing waits for its time.
    """

    header: Header
    orders: tuple[OrderState, ...]
    sent: int
    resumed: bool
    next_at: datetime | None
    reconciliation: Reconciliation

    @property
    def by_status(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for one in self.orders:
            counted[one.status] = counted.get(one.status, 0) + 1
        return dict(sorted(counted.items()))


@dataclass(frozen=True)
class Account:
    """What `trademl trade status` shows: our book, the last plan, and whether trading is halted."""

    account: str
    positions: dict[str, float]
    last: Header | None
    orders: tuple[OrderState, ...]
    fills: int
    halts: tuple[Halt, ...]


def account_name(config: ExecutionConfig) -> str:
    """Return the name of the account that a configuration trades, such as ``alpaca-paper``."""
    return f"{config.broker.name}-{config.broker.mode}"


def switch_of(home: Home, *, now: Clock = utc_now) -> Switch:
    """Return the switch of a home's account; it needs no snapshot and no broker, so that one can always halt."""
    return Switch(layout_of(home), account_name(read_execution(home)), now=now)


class Desk:
    """One account of a home; use it in a ``with`` block.

    Args:
        home: the home.
        now: the time; every line of the blotter bears it.
        broker: another broker than configs/execution.yml names, for tests.
        pause: waits before a difference between the books is looked at again.

    Raises:
        ConfigError: a configuration file is wrong, or a key is missing.
        SnapshotError: there is no snapshot.
    """

    def __init__(
        self,
        home: Home,
        *,
        now: Clock = utc_now,
        broker: Broker | None = None,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self.home, self.now, self._pause = home, now, pause
        self.layout = layout_of(home)
        self.config: ExecutionConfig = read_execution(home)
        self.account = account_name(self.config)
        self.blotter = Blotter(self.layout, self.account, now=now)
        self.switch = Switch(self.layout, self.account, now=now)
        self._resources = ExitStack()
        self.facts = Facts(self._resources.enter_context(read_snapshot(home, now=now)).con)
        self._broker = broker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def broker(self) -> Broker:
        """The broker; the first use of it reads the keys."""
        if self._broker is None:
            self._broker = self._open_broker()
        return self._broker

    def _open_broker(self) -> Broker:
        if self.config.broker.name == "alpaca":
            from trademl.execution.alpaca import AlpacaBroker

            return AlpacaBroker(self.config.broker)
        return SimulatedBroker(
            self.layout.root / "ops" / "simulated" / f"{self.account}.json",
            self.facts,
            self.config.costs(),
            max_participation=self.config.orders.max_participation,
            capital_usd=read_portfolio(self.home).equity_usd,
            liquidity=self.facts.liquidity(),
            now=self.now,
        )

    def plan(self, sleeve: str, dt: date | None = None) -> Planned:
        """Make the plan of a session and judge it; nothing is sent, and nothing is written but what the broker reports.

        Raises:
            ConfigError: there are no targets, or no session to trade them in.
            BrokerUnavailable: the broker does not answer.
        """
        with self.blotter.lock(), self._published():
            found = self._compare()
            return self._make(self.facts.targets(sleeve, dt), self.config.orders, found)

    def trade(self, sleeve: str, dt: date | None = None, *, progress: Progress | None = None) -> Traded:
        """Trade the targets of a sleeve: those of ``dt``, or the newest."""
        targets = self.facts.targets(sleeve, dt)
        return self.submit_orders(targets.dt, targets, self.config.orders, progress=progress)

    def submit_orders(
        self, asof: date, target_weights: DecidedTargets, policy: OrderConfig, *, progress: Progress | None = None
    ) -> Traded:
        """Send what is due of a session's orders, and write down what becomes of them; the same call resumes.

        Raises:
            TradingHalted: trading is halted, or a tripwire fires; nothing more is sent.
            ConfigError: the date was planned from other targets, or its session is over.
            BrokerUnavailable: the broker stopped answering; the same call goes on from there.
            LockedError: another process trades this account.
        """
        told = progress or (lambda _: None)
        with self.blotter.lock(), self._published():
            self.switch.check()
            told(f"reconciling with {self.broker.name}")
            found = self._compare()
            segment = self.blotter.segment(asof, repair=True)
            resumed = segment.header is not None
            self._stop_if(self._unreconciled(found), asof)
            if segment.header is None:
                self._begin(segment, target_weights, policy, found)
            else:
                self._same_targets(segment.header, target_weights)
                self._stop_if(check_money(self._money(found, segment.header.dt), self.config.tripwires), asof)
            header = segment.header
            assert header is not None
            sent = self._send_due(segment, told)
            told(f"sent {sent} orders")
            found = self._compare()
            self._stop_if(self._unreconciled(found), asof)
            orders = tuple(segment.orders.values())
            waiting = [one.planned.send_at for one in orders if one.status == PLANNED]
            return Traded(header, orders, sent, resumed, min(waiting, default=None), found)

    def reconcile(self) -> Reconciliation:
        """Compare the account with the broker, and close what is over.

        Raises:
            TradingHalted: a difference has no explanation. The halt is recorded.
        """
        with self.blotter.lock(), self._published():
            found = self._compare()
            for segment in self.blotter.open_segments():
                header = segment.header
                if header is None or (self._instant() >= header.close_at and _is_over(segment)):
                    # Published first: a closed journal is not looked at again.
                    self.blotter.publish(segment)
                    segment.close()
            self._stop_if(self._unreconciled(found), None)
            return found

    def status(self) -> Account:
        """Return what is written down, without asking the broker."""
        headers = self.blotter.headers()
        last = headers[-1] if headers else None
        orders = tuple(self.blotter.segment(last.dt).orders.values()) if last else ()
        fills = sum(1 for _ in self.blotter.all_fills())
        return Account(self.account, self.blotter.positions(), last, orders, fills, self.switch.halted())

    def cancel(self) -> int:
        """Ask the broker to cancel what works, and give up what was not sent; return how many were asked about."""
        asked = 0
        with self.blotter.lock(wait=self.config.broker.timeout_seconds), self._published():
            for segment in self.blotter.open_segments(repair=True):
                for name, state in segment.orders.items():
                    if state.status == PLANNED:
                        segment.refuse(name, UNSENT, "it was cancelled before it was sent")
                    elif not state.is_final:
                        self.broker.cancel(name)
                        asked += 1
            self._compare()
        return asked

    def _instant(self) -> datetime:
        return sql_utc(self.now())

    def _compare(self) -> Reconciliation:
        return reconcile(self.broker, self.blotter, self.facts, self._instant(), pause=self._pause)

    def _published(self) -> ExitStack:
        """Publish the journals when the block ends, however it ends short of a kill."""
        stack = ExitStack()
        stack.callback(self._publish)
        return stack

    def _publish(self) -> None:
        self.blotter.publish(*self.blotter.touched())
        snapshot_batches(self.layout, now=self.now)

    def _unreconciled(self, found: Reconciliation) -> list[Tripped]:
        breaks = [str(one) for one in found.unexplained]
        return check_reconciliation(found.unexplained_usd, breaks, self.config.tripwires)

    def _stop_if(self, fired: Sequence[Tripped], dt: date | None) -> None:
        if fired:
            self.switch.halt(fired, dt=dt)
            self.switch.check()

    def _begin(self, segment: Segment, targets: DecidedTargets, policy: OrderConfig, found: Reconciliation) -> None:
        working = [one for other in self.blotter.open_segments() for one in other.orders.values() if not one.is_final]
        if working:
            raise BrokerError(
                f"{len(working)} orders of an earlier plan still work, {working[0].order.client_order_id} among them",
                remedy="wait for their session to end, or `trademl trade halt --cancel`",
            )
        made = self._make(targets, policy, found)
        self._stop_if(made.fired, targets.dt)
        segment.plan(made.header, made.plan.orders)

    def _make(self, targets: DecidedTargets, policy: OrderConfig, found: Reconciliation) -> Planned:
        now, limits = self._instant(), self.config.tripwires
        hours = self.facts.next_session(targets.dt)
        fired = check_data(self.facts.data(targets, now), limits)
        fired += check_money(self._money(found, targets.dt), limits)
        fired += self._unreconciled(found)
        if now >= hours.close_at and not fired:
            raise ConfigError(
                f"the session {hours.date} that follows {targets.dt} ended at {hours.close_at} UTC",
                remedy="build the portfolio of a later session",
            )
        held, equity = self.blotter.positions(), found.equity_usd
        marks = {one.symbol: one.price for one in targets.rows} | self.facts.marks(targets.dt, held)
        plan = plan_orders(
            targets.rows,
            held,
            equity,
            run_id=targets.run_id,
            dt=targets.dt,
            hours=hours,
            policy=policy,
            now=now,
            spread_bps=self.config.rates.spread_bps,
            prices=marks,
            reverses=self.broker.reverses,
            auction_takes_orders=self.broker.auction_takes_orders,
        )
        weights = _weights_after(plan, held, marks, equity)
        fired += check_plan(plan, weights, equity, limits)
        return Planned(self._header(targets, hours, held, equity, plan), plan, weights, tuple(fired))

    def _header(
        self, targets: DecidedTargets, hours: Hours, held: dict[str, float], equity: float, plan: Plan
    ) -> Header:
        opening = self.blotter.cash_at_start()
        if opening is None:
            paid = sum(one.amount_usd for one in self.broker.activities(targets.dt))
            opening = self.broker.account().cash_usd - paid
        return Header(
            account=self.account,
            broker=self.broker.name,
            sleeve=targets.sleeve,
            run_id=targets.run_id,
            model_id=targets.model_id,
            portfolio_hash=targets.portfolio_hash,
            dt=targets.dt,
            session=hours.date,
            open_at=hours.open_at,
            close_at=hours.close_at,
            equity_usd=equity,
            opening_cash_usd=opening,
            held=held,
            notes=plan.notes,
        )

    def _money(self, found: Reconciliation, dt: date) -> Money:
        before = [header.equity_usd for header in self.blotter.headers() if header.dt < dt]
        return Money(found.equity_usd, before[-1] if before else None, max(before, default=None), found.blocked)

    def _same_targets(self, header: Header, targets: DecidedTargets) -> None:
        planned = (header.sleeve, header.run_id, header.portfolio_hash)
        if planned != (targets.sleeve, targets.run_id, targets.portfolio_hash):
            raise ConfigError(
                f"{header.dt} was planned from {header.run_id} and portfolio {header.portfolio_hash[:12]}, and its "
                f"targets now come from {targets.run_id} and portfolio {targets.portfolio_hash[:12]}",
                remedy="a session is planned once; trade the next one with the new targets",
            )

    def _send_due(self, segment: Segment, told: Progress) -> int:
        """Send, in the order of the plan, what is due and was not sent; return how many orders were."""
        header = segment.header
        assert header is not None
        sent = 0
        for name, state in segment.orders.items():
            if state.status not in (PLANNED, SENDING):
                continue
            now = self._instant()
            missed = _missed(state, header, now)
            if missed:
                segment.refuse(name, UNSENT, missed)
                continue
            if state.planned.send_at > now or not self._may_follow(segment, state):
                continue
            # A person may halt while orders go out, and the last answer may have changed everything.
            self.switch.check()
            segment.intent(name)
            try:
                segment.answer(self.broker.submit(state.order))
                sent += 1
            except OrderRejected as error:
                segment.refuse(name, "rejected", error.message)
                told(error.message)
            except BrokerUnavailable:
                told(f"no answer about {name}: the next run asks for it")
                raise
        return sent

    def _may_follow(self, segment: Segment, state: OrderState) -> bool:
        """Tell whether the order that this one waits for has been filled; one that cannot be any more ends it."""
        if state.planned.after is None:
            return True
        first = segment.orders[state.planned.after]
        if first.status == "filled":
            return True
        if first.is_final:
            segment.refuse(state.order.client_order_id, UNSENT, f"{first.order.client_order_id} is {first.status}")
        elif first.status not in (PLANNED, SENDING):
            known = self.broker.status(first.order.client_order_id)
            if known is not None:
                segment.answer(known)
                return known.status == "filled"
        return False


def _missed(state: OrderState, header: Header, now: datetime) -> str:
    """Say why an order can no longer be sent, '' when it can."""
    if now >= header.close_at:
        return "its session is over"
    if state.order.time_in_force == "opg" and now >= header.open_at - AUCTION_CLOSES:
        return "the opening auction takes no more orders"
    return ""


def _is_over(segment: Segment) -> bool:
    """Tell whether every order is final and every share that the broker says was filled has its fill."""
    filled: dict[str, float] = {}
    for name, fill, _ in segment.fills.values():
        filled[name] = filled.get(name, 0.0) + abs(fill.quantity)
    return all(one.is_final and filled.get(name, 0.0) == one.filled for name, one in segment.orders.items())


def _weights_after(plan: Plan, held: dict[str, float], marks: dict[str, float], equity: float) -> dict[str, float]:
    """Return positions as shares of equity when every order is filled."""
    shares, prices = dict(held), dict(marks)
    for one in plan.orders:
        symbol = one.order.symbol
        shares[symbol] = shares.get(symbol, 0.0) + signed(one.order.side, one.order.quantity)
        prices[symbol] = one.expected_price
    return {symbol: count * prices[symbol] / equity for symbol, count in shares.items() if count}
