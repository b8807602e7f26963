"""``trademl trade``: plan a session, trade it, follow it, reconcile, and stop."""

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.execution.halts import Switch
    from trademl.execution.reconcile import Reconciliation
    from trademl.execution.trading import Desk, Traded

DAY = click.DateTime(["%Y-%m-%d"])
FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
SLEEVE = click.option("--sleeve", default="equities", show_default=True, help="Whose targets are traded.")
DATE = click.option(
    "--date", "asof", type=DAY, metavar="DATE", help="The decision date.  [default: that of the newest targets]"
)
REASON = click.option("--reason", required=True, help="Why, in a sentence; it stays on record.")
_SHOWN = 20
_POLL_SECONDS = 5.0


@click.group(short_help="Plan, send and follow orders; reconcile; halt and resume.")
def trade() -> None:
    """Trade the targets of `trademl portfolio build` through the broker of configs/execution.yml.

    Every order is written down before it is sent and has a name that a rerun finds again: run the same command after a
    crash, and nothing is doubled or lost. A tripwire that fires halts the account before an order is sent.
    """


@trade.command()
@SLEEVE
@DATE
@FORMAT
def plan(sleeve: str, asof: datetime | None, form: str) -> None:
    """Show the orders that the targets need, and the tripwires that would stop them; nothing is sent."""
    with _desk() as desk:
        made = desk.plan(sleeve, asof.date() if asof else None)
    header = made.header
    if form == "json":
        orders = [
            {
                "client_order_id": one.order.client_order_id,
                "symbol": one.order.symbol,
                "side": one.order.side,
                "quantity": one.order.quantity,
                "expected_price": one.expected_price,
                "weight_after": made.weights.get(one.order.symbol, 0.0),
                "time_in_force": one.order.time_in_force,
                "send_at": one.send_at,
                "after": one.after,
            }
            for one in made.plan.orders
        ]
        fired = [{"tripwire": one.tripwire, "reason": one.reason, "remedy": one.remedy} for one in made.fired]
        _json({"dt": header.dt, "session": header.session, "run_id": header.run_id, "equity_usd": header.equity_usd,
               "orders": orders, "notes": made.plan.notes, "tripwires": fired})  # fmt: skip
        return
    click.echo(
        f"decided     {header.dt}, traded {header.session}: {header.run_id}, equity {header.equity_usd:,.2f} USD"
    )
    click.echo(f"orders      {len(made.plan.orders)}, {made.plan.traded_usd:,.2f} USD")
    if made.plan.orders:
        click.echo(
            f"  {'symbol':<8} {'side':<4} {'shares':>8} {'price':>10} {'USD':>13} {'weight after':>12}  when (UTC)"
        )
    for planned in made.plan.orders:
        order = planned.order
        click.echo(
            f"  {order.symbol:<8} {order.side:<4} {order.quantity:>8} {planned.expected_price:>10.2f} "
            f"{order.quantity * planned.expected_price:>13,.2f} {made.weights.get(order.symbol, 0.0):>+12.4f}  "
            f"{planned.send_at:%Y-%m-%d %H:%M}"
        )
    for note in made.plan.notes:
        click.echo(f"note        {note}")
    for one in made.fired:
        click.echo(f"tripwire    {one.tripwire}: {one.reason}\n            remedy: {one.remedy}")
    click.echo("next        trademl trade paper" if not made.fired else "next        see the remedies above")


@trade.command()
@SLEEVE
@DATE
@click.option("--wait", is_flag=True, help="Stay until every order of the session has been sent.")
@FORMAT
def paper(sleeve: str, asof: datetime | None, wait: bool, form: str) -> None:
    """Send what is due of a session's orders on paper; run it again to go on, also after a crash."""
    _run(sleeve, asof, wait, form, live=False)


@trade.command()
@SLEEVE
@DATE
@click.option("--wait", is_flag=True, help="Stay until every order of the session has been sent.")
@FORMAT
def live(sleeve: str, asof: datetime | None, wait: bool, form: str) -> None:
    """Do the same with money: only where `mode: live` and `live_account` in configs/execution.yml both say so."""
    _run(sleeve, asof, wait, form, live=True)


@trade.command()
@FORMAT
def reconcile(form: str) -> None:
    """Compare our book with the broker's; a difference that nothing explains halts trading."""
    with _desk() as desk:
        found = desk.reconcile()
    if form == "json":
        rows = [{"kind": one.kind, "what": one.what, "ours": one.ours, "brokers": one.brokers,
                 "explanation": one.explanation} for one in found.differences]  # fmt: skip
        _json({"differences": rows, "positions": found.positions, "cash_usd": found.cash_usd,
               "equity_usd": found.equity_usd})  # fmt: skip
        return
    _tell(found)


@trade.command()
@FORMAT
def status(form: str) -> None:
    """Show our book, the last plan, and whether trading is halted; the broker is not asked."""
    with _desk() as desk:
        found = desk.status()
    counted: dict[str, int] = {}
    for state in found.orders:
        counted[state.status] = counted.get(state.status, 0) + 1
    if form == "json":
        halts = [{"tripwire": one.tripwire, "reason": one.reason, "remedy": one.remedy, "since": one.recorded_at}
                 for one in found.halts]  # fmt: skip
        _json({"account": found.account, "positions": found.positions, "fills": found.fills, "halts": halts,
               "dt": found.last.dt if found.last else None, "orders": counted})  # fmt: skip
        return
    click.echo(f"account     {found.account}, {'HALTED' if found.halts else 'may trade'}")
    for one in found.halts:
        click.echo(f"halted      {one.recorded_at:%Y-%m-%d %H:%M} by {one.who}: {one.tripwire}: {one.reason}")
    if found.last is None:
        click.echo("plan        none yet")
    else:
        last = found.last
        told = ", ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "no orders"
        click.echo(f"plan        {last.dt}, traded {last.session}: {last.run_id}; {told}")
    click.echo(f"positions   {len(found.positions)}, from {found.fills} fills")
    for symbol, shares in list(found.positions.items())[:_SHOWN]:
        click.echo(f"  {symbol:<8} {shares:>12,.0f}")
    if len(found.positions) > _SHOWN:
        click.echo(f"  and {len(found.positions) - _SHOWN} more")


@trade.command()
@REASON
@click.option("--cancel", is_flag=True, help="Also cancel what works at the broker.")
def halt(reason: str, cancel: bool) -> None:
    """Halt trading at once, also of a command that is sending; neither snapshot nor broker is needed for it."""
    switch = _switch()
    switch.halt_by_hand(reason)
    click.echo(f"halted      {switch.account}: {reason}")
    if cancel:
        with _desk() as desk:
            click.echo(f"cancelled   {desk.cancel()} orders")
    click.echo("next        trademl trade resume --reason TEXT")


@trade.command()
@REASON
def resume(reason: str) -> None:
    """End a halt; a cause that is still there halts again before the next order."""
    switch = _switch()
    ended = switch.resume(reason)
    click.echo(f"{switch.account} may trade again: {reason}" if ended else f"{switch.account} was not halted")


def _switch() -> "Switch":
    from trademl.config.home import find_home
    from trademl.execution.trading import switch_of

    return switch_of(find_home())


def _desk() -> "Desk":
    from trademl.config.home import find_home
    from trademl.execution.trading import Desk

    return Desk(find_home())


def _run(sleeve: str, asof: datetime | None, wait: bool, form: str, *, live: bool) -> None:
    from trademl.errors import ConfigError

    while True:
        with _desk() as desk:
            mode = desk.config.broker.mode
            if (mode == "live") != live:
                raise ConfigError(
                    f"`trade {'live' if live else 'paper'}` with mode {mode} in configs/execution.yml",
                    remedy=f"run `trademl trade {mode}`, or change the mode",
                )
            done = desk.trade(sleeve, asof.date() if asof else None, progress=lambda text: click.echo(text, err=True))
            now = desk.now().replace(tzinfo=None)
        if not wait or done.next_at is None:
            break
        pause = max((done.next_at - now).total_seconds(), _POLL_SECONDS)
        click.echo(f"next orders at {done.next_at:%H:%M:%S} UTC, in {pause:.0f} s", err=True)
        time.sleep(pause)
    _report(done, form)


def _report(done: "Traded", form: str) -> None:
    if form == "json":
        _json({"dt": done.header.dt, "session": done.header.session, "run_id": done.header.run_id, "sent": done.sent,
               "resumed": done.resumed, "orders": done.by_status, "next_at": done.next_at,
               "new_fills": done.reconciliation.new_fills})  # fmt: skip
        return
    told = ", ".join(f"{count} {name}" for name, count in done.by_status.items()) or "none"
    click.echo(f"decided     {done.header.dt}, traded {done.header.session}: {done.header.run_id}")
    click.echo(f"orders      {told}; {done.sent} sent now{', resumed' if done.resumed else ''}")
    for one in done.orders:
        if one.status in ("rejected", "unsent"):
            click.echo(f"{one.status:<11} {one.order.client_order_id}: {one.reason}")
    if done.next_at is not None:
        click.echo(f"waiting     the next orders are due at {done.next_at:%Y-%m-%d %H:%M} UTC")
    _tell(done.reconciliation)


def _tell(found: "Reconciliation") -> None:
    for one in found.differences[:_SHOWN]:
        click.echo(f"difference  {one}")
    if len(found.differences) > _SHOWN:
        click.echo(f"difference  and {len(found.differences) - _SHOWN} more")
    click.echo(
        f"reconciled  {len(found.positions)} positions, {found.new_fills} new fills, "
        f"{len(found.unexplained)} unexplained; equity {found.equity_usd:,.2f} USD, cash {found.cash_usd:,.2f} USD"
    )


def _json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, default=str))
