"""``trademl simulate traders``: write wallets with planted skill and luck as source files."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.warehouse.simulate.traders_files import TradersReport


@click.command(short_help="Write simulated wallets as source files.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("traders"),
    show_default=True,
    help="Folder for the files; an earlier simulation in it is replaced.",
)
@click.option("--wallets", type=int, default=2000, show_default=True, help="Wallets ever active.")
@click.option("--days", type=int, default=180, show_default=True, help="Calendar days.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2024-09-01", show_default=True, help="First date.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same bytes.")
@click.option("--skilled", type=float, default=0.05, show_default=True, help="Share with planted skill.")
@click.option("--weakest-skill", type=float, default=0.15, show_default=True, help="Least planted Sharpe ratio a day.")
@click.option("--strongest-skill", type=float, default=0.45, show_default=True, help="Largest one.")
@click.option("--martingales", type=float, default=0.06, show_default=True, help="Share that doubles after losses.")
@click.option("--lotteries", type=float, default=0.03, show_default=True, help="Share made by one lucky trade.")
@click.option("--washers", type=float, default=0.02, show_default=True, help="Share that trades with itself.")
@click.option("--fills", type=int, default=200, show_default=True, help="Wallets with raw fills beside their days.")
def traders(folder: Path, start: datetime, **parameters: Any) -> None:
    """Write wallets of known skill and luck, as files that `trademl ingest trader-days` and `trader-fills` take.

    account_days.csv, fills.csv, and the truth in truth.json and truth.csv. See docs/skill.md.
    """
    from trademl.config.reading import validate_section
    from trademl.warehouse.simulate.traders import TraderSimulation
    from trademl.warehouse.simulate.traders_files import simulate_traders

    given = {"start": start.date(), **parameters}
    config = validate_section(given, TraderSimulation, origin="trademl simulate traders")
    done = simulate_traders(config, folder)
    click.echo("\n".join(described(done)))
    click.echo("next, in a home:")
    for line in ingest_lines(folder):
        click.echo(f"  trademl {line}")
    click.echo("  trademl build")
    click.echo(f"  trademl traders rank --as-of {done.last}")


def described(done: "TradersReport") -> list[str]:
    """Say in a few lines what was written."""
    kinds = ", ".join(f"{count} {kind} ({done.gone[kind]} gone)" for kind, count in done.wallets.items() if count)
    return [
        f"{done.account_days} account-days and {done.fills} fills of {sum(done.wallets.values())} wallets, "
        f"{done.first} to {done.last}, in {done.folder}",
        f"  {kinds}",
    ]


def ingest_lines(folder: Path) -> list[str]:
    """Return the ingest commands, quoted for a shell and without ``trademl``, that land the wallets."""
    files = [("trader-days", "account_days.csv"), ("trader-fills", "fills.csv")]
    return [f"ingest {kind} {shlex.quote(str(folder / name))} --source simulated" for kind, name in files]
