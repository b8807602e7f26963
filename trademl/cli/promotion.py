"""``trademl promote``, ``rollback``, ``champion`` and ``router``: who answers for a sleeve, and since when."""

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.config.home import Home
    from trademl.governance.decisions import Recorded
    from trademl.governance.promotion import Champion
    from trademl.governance.reconciliation import Reconciliation

NO_MLFLOW = click.option(
    "--no-mlflow", is_flag=True, help="Leave MLflow's aliases to the next command that reads the champion."
)


@click.command(short_help="Make a run that passes the gate its sleeve's champion.")
@click.argument("run")
@click.option(
    "--override", metavar="REASON", help="Why failed bars do not matter: a sentence that stays on the record."
)
@NO_MLFLOW
def promote(run: str, override: str | None, no_mlflow: bool) -> None:
    """Judge RUN as `trademl gate` does, and make it the champion of its sleeve when every bar passes.

    A refusal is recorded too and exits 3. Bars on leakage, artifacts and data quality cannot be overridden. Promoting
    the champion changes nothing, so a killed command is simply run again.
    """
    from trademl.cli.gate import describe
    from trademl.config.home import find_home
    from trademl.governance import promotion
    from trademl.governance.gate_run import decide

    home = find_home()
    decision = decide(home, run, told=lambda text: click.echo(text, err=True))
    if decision.passed or override is not None:
        click.echo("\n".join([*describe(decision), ""]))
    done = promotion.promote(home, decision, override=override, mlflow=not no_mlflow)
    _tell(done.followers)
    if done.already:
        click.echo(f"{run} is the champion of {decision.sleeve} already; nothing was changed")
        return
    click.echo(f"{done.decision.outcome}: {run} is the champion of {decision.sleeve}, {_after(done.decision)}")
    click.echo(f"decision {done.decision.decision_id} in ops.promotions")


@click.command(short_help="Make the previous champion champion again.")
@click.argument("sleeve")
@click.option("--reason", required=True, help="Why, for the record.")
@click.option("--from", "expected", metavar="RUN", help="Refuse unless RUN is the champion: safe to repeat.")
@NO_MLFLOW
def rollback(sleeve: str, reason: str, expected: str | None, no_mlflow: bool) -> None:
    """Make the champion before the present one of SLEEVE champion again.

    Each rollback goes one champion back; with --from a repeated command goes back once. Its folder must still verify.
    """
    from trademl.config.home import find_home
    from trademl.governance import promotion

    done = promotion.rollback(
        find_home(),
        sleeve,
        reason=reason,
        expected_champion=... if expected is None else expected,
        mlflow=not no_mlflow,
    )
    _tell(done.followers)
    click.echo(f"rolled back: {done.decision.run_id} is the champion of {sleeve}, {_after(done.decision)}")
    click.echo(f"decision {done.decision.decision_id} in ops.promotions")


@click.command(short_help="Show the champion of each sleeve.")
@click.argument("sleeve", required=False)
@click.option("--history", "whole", is_flag=True, help="Show every decision, gate runs and refusals among them.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def champion(sleeve: str | None, whole: bool, form: str) -> None:
    """Show the champion of SLEEVE, or of each sleeve, after bringing router, snapshot and MLflow in line with it."""
    from trademl.config.home import find_home
    from trademl.governance import promotion
    from trademl.governance.router_config import SLEEVES

    home = find_home()
    found: dict[str, Champion | None] = {}
    decisions: dict[str, tuple[Recorded, ...]] = {}
    for name in [sleeve] if sleeve else SLEEVES:
        state = promotion.reconcile(home, name)
        _tell(state)
        found[name] = promotion.described(state)
        decisions[name] = promotion.history(home, name) if whole else ()
    if form == "json":
        document = {
            name: {
                "champion": None if crowned is None else asdict(crowned),
                **({"history": [_plain(asdict(made)) for made in decisions[name]]} if whole else {}),
            }
            for name, crowned in found.items()
        }
        click.echo(json.dumps(document, indent=2, default=str))
        return
    for name, crowned in found.items():
        click.echo(f"{name:<9} {_crowned(crowned)}")
        for made in decisions[name]:
            click.echo(f"  {made.sequence:>4}  {made.recorded_at:%Y-%m-%d %H:%M}  {_line(made)}")


@click.group(short_help="Show who answers for a sleeve; turn the kill switch.")
def router() -> None:
    """Who answers for a sleeve when `trademl score` is given no run: configs/router.yml."""


@router.command()
@click.argument("sleeve", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(sleeve: str | None, form: str) -> None:
    """Show who answers for SLEEVE, or for each sleeve, and why."""
    from trademl.config.home import find_home
    from trademl.governance.router import resolve
    from trademl.governance.router_config import SLEEVES

    home = find_home()
    routes = [resolve(home, name) for name in ([sleeve] if sleeve else SLEEVES)]
    for route in routes:
        for note in route.notes:
            click.echo(f"note: {note}", err=True)
    if form == "json":
        click.echo(json.dumps([asdict(route) for route in routes], indent=2))
        return
    for route in routes:
        who = {"legacy": "the frozen scorer", "latest": "the latest registered run"}.get(route.answers, route.run_id)
        click.echo(f"{route.sleeve:<9} {who}: {route.reason}")
        if route.fallback:
            told = ", ".join(f"{run} ({weight:g})" for run, weight in route.fallback)
            click.echo(f"{'':<9} fallback: {told}")


@router.command()
@click.argument("sleeve")
def kill(sleeve: str) -> None:
    """Let the frozen scorer answer for SLEEVE from now on, whoever is champion.

    The same as `kill_switch: on` in configs/router.yml.
    """
    _turn(sleeve, "on", f"the frozen scorer answers for {sleeve}; `trademl router restore {sleeve}` ends it")


@router.command()
@click.argument("sleeve")
def restore(sleeve: str) -> None:
    """Let the champion of SLEEVE answer again."""
    _turn(sleeve, "off", f"the frozen scorer no longer answers for {sleeve}")


def _turn(sleeve: str, switch: Any, told: str) -> None:
    from trademl.config.home import find_home
    from trademl.governance.router import turn_kill_switch

    home: Home = find_home()
    changed = turn_kill_switch(home, sleeve, switch)
    click.echo(f"kill switch of {sleeve}: {switch}{'' if changed else ' already'}; {told}")


def _tell(followers: "Reconciliation") -> None:
    for text in followers.changed:
        click.echo(f"note: {text}", err=True)
    for text in followers.lagging:
        click.echo(f"warning: {text}", err=True)


def _plain(value: Any) -> Any:
    """Return ``value`` with what JSON has no number for as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _after(made: "Recorded") -> str:
    return f"after {made.previous_run_id}" if made.previous_run_id else "its first"


def _crowned(found: "Champion | None") -> str:
    if found is None:
        return "no champion"
    before = f", after {found.previous_run_id}" if found.previous_run_id else ""
    return f"{found.run_id} ({found.label}), {found.outcome} {found.since:%Y-%m-%d %H:%M} UTC{before}: {found.reason}"


def _line(made: "Recorded") -> str:
    bars = sum(bar.verdict == "pass" for bar in made.bars)
    judged = f", {bars} of {len(made.bars)} bars" if made.bars else ""
    return f"{made.action} {made.run_id}: {made.outcome}{judged}: {made.reason}"
