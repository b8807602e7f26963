"""``trademl shadow``: let a challenger score sessions beside the champion, where nothing trades on it."""

from datetime import datetime

import click

from trademl.config import find_home

DAY = click.DateTime(["%Y-%m-%d"])


@click.group(short_help="Score sessions with a challenger, beside the champion.")
def shadow() -> None:
    """Score sessions with a challenger into preds.shadow; the gate asks for a number of them before a promotion."""


@shadow.command()
@click.argument("run")
@click.option("--from", "first", type=DAY, metavar="DATE", help="[default: the first that no fitted label reaches]")
@click.option("--to", "last", type=DAY, metavar="DATE", help="[default: the latest in gold]")
def equities(run: str, first: datetime | None, last: datetime | None) -> None:
    """Score the sessions that RUN has not scored yet and that none of its fitted labels reaches.

    To score daily beside the champion, name the run in configs/router.yml under `shadow`; `trademl score equities`
    then does it, and a challenger's failure is a note, never an error.
    """
    from trademl.sleeves.equities_shadow import shadow_equities

    result = shadow_equities(
        find_home(),
        run,
        first=first.date() if first else None,
        last=last.date() if last else None,
        told=lambda day, number, total: click.echo(f"  {day}  {number} of {total}", err=True),
    )
    click.echo(f"scored      {len(result.scored)} sessions in shadow with {result.run_id}, {result.known} before")
    for day, why in result.refused:
        click.echo(f"refused     {day}: {why}")
    click.echo(f"next        trademl gate {result.run_id}")
