"""``trademl simulate intraday``: write bars of minutes with planted behaviour at price levels as source files."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.warehouse.simulate.intraday_files import IntradayReport


@click.command(short_help="Write simulated bars of minutes as source files.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("intraday"),
    show_default=True,
    help="Folder for the files; an earlier simulation in it is replaced.",
)
@click.option("--symbols", type=int, default=20, show_default=True, help="Symbols.")
@click.option("--sessions", type=int, default=40, show_default=True, help="Trading sessions.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2025-01-02", show_default=True, help="First date.")
@click.option("--bar-minutes", type=int, default=1, show_default=True, help="Length of a bar: 1 or 5 minutes.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same bytes.")
@click.option("--strength", type=float, default=1.0, show_default=True, help="Planted tilt after a touch; 0 for none.")
@click.option("--calendar", default="XNYS", show_default=True, metavar="NAME", help="Exchange calendar.")
def intraday(folder: Path, start: datetime, **parameters: Any) -> None:
    """Write bars whose behaviour at price levels is known, as a file that `trademl ingest intraday-bars` takes.

    bars.parquet, and the truth in truth.json and truth.csv. See docs/events_data.md.
    """
    from trademl.config.reading import validate_section
    from trademl.warehouse.simulate.intraday import IntradaySimulation
    from trademl.warehouse.simulate.intraday_files import simulate_intraday

    given = {"start": start.date(), **parameters}
    config = validate_section(given, IntradaySimulation, origin="trademl simulate intraday")
    done = simulate_intraday(config, folder)
    click.echo("\n".join(described(done)))
    click.echo("next, in a home:")
    for line in ingest_lines(folder, config.bar_minutes):
        click.echo(f"  trademl {line}")
    click.echo("  trademl build")


def described(done: "IntradayReport") -> list[str]:
    """Say in two lines what was written."""
    return [
        f"{done.rows} bars of {done.symbols} symbols, {done.first} to {done.last}, in {done.folder}",
        f"  {done.touches} touches with a planted strength of {done.strength:g}; in this history the tilt tells break "
        f"from bounce with AUC {done.oracle_direction:.3f}, tilt and size what is tradeable with "
        f"{done.oracle_tradeable:.3f}",
    ]


def ingest_lines(folder: Path, bar_minutes: int) -> list[str]:
    """Return the ingest command, quoted for a shell and without ``trademl``, that lands the bars."""
    path = shlex.quote(str(folder / "bars.parquet"))
    zone = "--time-zone America/New_York"
    return [f"ingest intraday-bars {path} --timeframe {bar_minutes}min {zone} --source simulated"]
