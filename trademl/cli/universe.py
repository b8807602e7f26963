"""``trademl universe``: which symbols may be traded on a date, and why the others may not."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trademl.execution.universe import Universe


@click.group(short_help="Choose the symbols that may be traded on a date.")
def universe() -> None:
    """Choose the symbols that may be traded on a date, by the rules of configs/portfolio.yml."""


@universe.command(short_help="Judge every symbol of a date, and record the verdicts.")
@click.option(
    "--asof",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="DATE",
    help="The session.  [default: the last one with bars]",
)
@click.option(
    "--max-names", type=click.IntRange(min=1), help="At most so many, the most liquid.  [default: the file's]"
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write all verdicts as JSON.")
@click.option("--dry-run", is_flag=True, help="Judge only; record nothing.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Symbols to show in a table.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def build(
    asof: datetime | None, max_names: int | None, output: Path | None, dry_run: bool, top: int, form: str
) -> None:
    """Judge every member and every traded symbol on what was known at the close of the session.

    Rules: membership, price, traded value, history, bars in the window; then the most liquid ones, by median traded
    value. Writes one immutable file of `ops.universe`, with the reasons for each exclusion.
    """
    from trademl.artifacts.files import write_atomic
    from trademl.config.home import find_home
    from trademl.execution.universe import as_document, build_universe
    from trademl.portfolio.config import read_portfolio

    home = find_home()
    settings = read_portfolio(home).universe
    if max_names is not None:
        settings = settings.model_copy(update={"max_names": max_names})
    found = build_universe(home, asof.date() if asof else None, settings, write=not dry_run)
    document = json.dumps(as_document(found), indent=2, ensure_ascii=False)
    if output is not None:
        write_atomic(output, f"{document}\n".encode(), 0o644)
    click.echo(document if form == "json" else "\n".join(describe(found, top, dry_run)))


def describe(found: "Universe", top: int, dry_run: bool) -> list[str]:
    """Return a universe as lines: the most liquid symbols, and how many each rule left out."""
    from trademl.cli.train import aligned

    included = [one for one in found.judged if one.is_included]
    told = "nothing written (--dry-run)" if dry_run else "written" if found.written else "there already, unchanged"
    lines = [
        f"{found.dt}: {len(included)} of {len(found.judged)} symbols may be traded; ops.universe: {told}",
        "",
    ]
    heading = ["rank", "symbol", "price usd", "usd m a session", "history", "sector"]
    table = [
        [
            str(one.liquidity_rank),
            one.symbol,
            f"{one.price_usd:,.2f}",
            f"{one.day_value_usd / 1e6:,.1f}",
            str(one.history_sessions),
            one.sector or "-",
        ]
        for one in included[:top]
    ]
    lines += aligned([heading, *table]).splitlines() if table else ["no symbol passes every rule"]
    left_out: dict[str, int] = {}
    for one in found.judged:
        for rule in one.broken:
            left_out[rule] = left_out.get(rule, 0) + 1
    lines += ["", "left out (a symbol may break several rules):"] if left_out else []
    lines += [f"  {count:5}  {rule}" for rule, count in sorted(left_out.items(), key=lambda item: -item[1])]
    return lines
