"""``trademl gate``: judge a run by every bar of configs/promotion.yml."""

import json
from typing import TYPE_CHECKING

import click

from trademl.config import find_home

if TYPE_CHECKING:
    from trademl.governance.gate import Bar, Decision

REFUSED = 3


@click.command(short_help="Judge a run by every bar of configs/promotion.yml.")
@click.argument("run")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def gate(context: click.Context, run: str, form: str) -> None:
    """Judge RUN, a run id of `ops.runs`, and record every bar with its value and limit in `ops.promotions`.

    Nothing is promoted: `trademl promote RUN` judges again and acts. Exit code 3 when a bar fails.
    """
    from trademl.governance.gate_run import decide
    from trademl.governance.promotion import record_gate

    home = find_home()
    decision = decide(home, run, told=lambda text: click.echo(text, err=True))
    record_gate(home, decision)
    click.echo(as_json(decision) if form == "json" else "\n".join(describe(decision)))
    if not decision.passed:
        context.exit(REFUSED)


def describe(decision: "Decision") -> list[str]:
    """Return the decision as lines: a table of the bars, then why each failed one failed."""
    against = f", against champion {decision.champion}" if decision.champion else ", the sleeve has no champion"
    lines = [f"{decision.run_id} ({decision.sleeve}, {decision.label}){against}", ""]
    width = max(len(bar.name) for bar in decision.bars)
    lines += [
        f"  {bar.verdict:4}  {bar.name:{width}}  {_number(bar.value):>12}  {_number(bar.bound):>10}"
        for bar in decision.bars
    ]
    lines.insert(2, f"  {'':4}  {'bar':{width}}  {'value':>12}  {'limit':>10}")
    lines += ["", *(_reason(bar) for bar in decision.failed)] if decision.failed else []
    verdict = "passed" if decision.passed else f"refused by {len(decision.failed)} of {len(decision.bars)} bars"
    return [*lines, "", f"verdict: {verdict}"]


def as_json(decision: "Decision") -> str:
    """Return the decision as a JSON document."""
    return json.dumps(
        {
            "run_id": decision.run_id,
            "sleeve": decision.sleeve,
            "label": decision.label,
            "champion": decision.champion,
            "passed": decision.passed,
            "bars": [{**bar.__dict__, "value": _finite(bar.value)} for bar in decision.bars],
        },
        indent=2,
    )


def _reason(bar: "Bar") -> str:
    return f"  {bar.name}: {bar.reason}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _finite(value: float | None) -> float | str | None:
    return value if value is None or value - value == 0.0 else str(value)
