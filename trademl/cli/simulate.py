"""``trademl simulate``: write a seeded market as source files."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trademl.cli.main import LazyCommand, TrademlGroup

if TYPE_CHECKING:
    from trademl.warehouse.simulate import SimulationReport


COMMANDS: dict[str, LazyCommand] = {
    "traders": LazyCommand("trademl.cli.simulate_traders:traders", "Write simulated wallets as source files."),
    "intraday": LazyCommand("trademl.cli.simulate_intraday:intraday", "Write simulated bars of minutes as files."),
}
"""What else can be simulated; without a command it is the market."""


@click.group(
    cls=TrademlGroup,
    table=COMMANDS,
    invoke_without_command=True,
    short_help="Write a seeded, simulated market as source files.",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("market"),
    show_default=True,
    help="Folder for the files; an earlier simulation in it is replaced.",
)
@click.option("--symbols", type=int, default=200, show_default=True, help="Symbols ever listed.")
@click.option("--sessions", type=int, default=1260, show_default=True, help="Trading sessions.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2015-01-02", show_default=True, help="First date.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same bytes.")
@click.option("--planted-ic", type=float, default=0.05, show_default=True, help="Rank IC of the signal; 0 for none.")
@click.option("--label-horizon", type=int, default=5, show_default=True, help="Sessions of the label it is sized for.")
@click.option("--missing-rate", type=float, default=0.0005, show_default=True, help="Chance that a bar is absent.")
@click.option("--corrections", type=int, default=20, show_default=True, help="Bars misreported at first.")
@click.option("--delisting-rate", type=float, default=0.02, show_default=True, help="Delistings a year and symbol.")
@click.option("--calendar", default="XNYS", show_default=True, metavar="NAME", help="Exchange calendar.")
@click.pass_context
def simulate(context: click.Context, /, folder: Path, start: datetime, **parameters: Any) -> None:
    """Write a market with a planted signal, as files that `trademl ingest` takes unchanged.

    bars.parquet, corrections.parquet (to ingest later), membership.csv, sectors.csv, vix.csv, and the truth in
    truth.json and truth.parquet. See docs/simulate.md.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from trademl.config.reading import validate_section
    from trademl.warehouse.simulate import SimulationConfig, simulate_market

    config = validate_section({"start": start.date(), **parameters}, SimulationConfig, origin="trademl simulate")
    done = simulate_market(config, folder)
    click.echo("\n".join(described(done)))
    if done.last >= _today():
        click.echo("  note: it runs into the future; `trademl ingest` quarantines those bars", err=True)
    click.echo("next, in a home:")
    for line in ingest_lines(folder):
        click.echo(f"  trademl {line}")


def _refuse_options(context: click.Context) -> None:
    """Refuse the market's options in front of another simulation: they would be lost without a word."""
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        option = next(one.opts[0] for one in context.command.params if one.name == given[0])
        raise click.UsageError(f"{option} belongs to the market: put options after `{context.invoked_subcommand}`")


def described(done: "SimulationReport") -> list[str]:
    """Say in three lines what was written."""
    return [
        f"{done.rows} bars of {done.symbols} symbols, {done.first} to {done.last}, in {done.folder}",
        f"  {done.splits} splits, {done.dividends} dividends, {done.delistings} delistings, "
        f"{done.missing} absent sessions, {done.corrections} late corrections",
        f"  planted rank IC {done.planted_ic:g}; the signal's own in this history "
        f"{done.oracle_ic:.4f} (standard error {done.oracle_error:.4f})",
    ]


def ingest_lines(folder: Path) -> list[str]:
    """Return the ingest commands, quoted for a shell and without ``trademl``, that land a market, corrections last."""
    files = [
        ("equities", "bars.parquet", ""),
        ("membership", "membership.csv", ""),
        ("reference", "sectors.csv", ""),
        ("series", "vix.csv", " --name VIX"),
        ("equities", "corrections.parquet", ""),
    ]
    return [f"ingest {kind} {shlex.quote(str(folder / name))}{more} --source simulated" for kind, name, more in files]


def _today() -> Any:
    from trademl.clock import utc_now

    return utc_now().date()
