"""The ``trademl`` command: one group that loads a command only when it is used and turns errors into messages.

``trademl --help`` imports nothing but click: the table below holds the help line of every command, so that neither
duckdb nor pandas, LightGBM or dbt is read before a command needs it.
"""

import importlib
import os
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from trademl import __version__
from trademl.errors import MissingExtra, TrademlError

DEBUG_VARIABLE = "TRADEML_DEBUG"
HOME_VARIABLE = "TRADEML_HOME"

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "the command could not do its work: no home, no snapshot, a failed build, a file that cannot be read",
    2: "the command line, a configuration file or a SQL statement is wrong",
    3: "refused: data quality is not GREEN where it must be, stored splits leak, the gate has a failed bar, or a "
    "device computed other features than the server",
    4: "refused: a release is not signed, whole, new or fresh as it must be, or its source cannot be reached",
    5: "refused: a tripwire fired. On a device nothing was written: the release is stale, the session is not GREEN, "
    "this machine computes differently, or scores or features are not plausible; `trademl trade`: trading is halted "
    "and no order was sent",
    70: "an internal error, which is a bug: run again with TRADEML_DEBUG=1 and report the traceback",
    130: "interrupted; the same command resumes",
    141: "the reader of the output went away, as in `trademl sql ... | head`",
}
"""What a shell sees, documented in docs/cli.md."""

INTERNAL_ERROR = 70
INTERRUPTED = 130
BROKEN_PIPE = 141


@dataclass(frozen=True)
class LazyCommand:
    """Where a command lives (``module:object``) and its line in ``trademl --help``."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


COMMANDS: dict[str, LazyCommand] = {
    "init": LazyCommand("trademl.cli.init:init", "Make a home: configs/, dbt_project/, lake/ and models_artifacts/."),
    "demo": LazyCommand("trademl.cli.demo:demo", "Simulate a market and run everything on it, up to ranked picks."),
    "simulate": LazyCommand("trademl.cli.simulate:simulate", "Write a seeded, simulated market as source files."),
    "ingest": LazyCommand("trademl.cli.ingest:ingest", "Land source files in the lake; bad rows go to quarantine."),
    "build": LazyCommand("trademl.cli.build:build", "Build the warehouse with dbt and take a snapshot."),
    "features": LazyCommand("trademl.cli.features:features", "List, show, diff and trace features; check definitions."),
    "train": LazyCommand("trademl.cli.train:train", "Train a sleeve under CPCV or walk-forward validation."),
    "tune": LazyCommand("trademl.cli.tune:tune", "Search a family's parameters; every trial counts in the ledger."),
    "experiment": LazyCommand("trademl.cli.experiment:experiment", "Train models x labels x horizons; one table."),
    "runs": LazyCommand("trademl.cli.runs:runs", "List, show and compare finished runs."),
    "export": LazyCommand("trademl.cli.export:export", "Write a run's model in another format, with its proof."),
    "validate": LazyCommand("trademl.cli.validate:validate", "Judge what a finished run states: its probabilities."),
    "card": LazyCommand("trademl.cli.card:card", "Write the one-page model card of a run, with its verdicts."),
    "backtest": LazyCommand("trademl.cli.backtest:backtest", "Trade a run's predictions in the past; show, compare."),
    "gate": LazyCommand("trademl.cli.gate:gate", "Judge a run by every bar of configs/promotion.yml."),
    "promote": LazyCommand("trademl.cli.promotion:promote", "Make a run that passes the gate its sleeve's champion."),
    "rollback": LazyCommand("trademl.cli.promotion:rollback", "Make the previous champion champion again."),
    "champion": LazyCommand("trademl.cli.promotion:champion", "Show the champion of each sleeve."),
    "router": LazyCommand("trademl.cli.promotion:router", "Show who answers for a sleeve; turn the kill switch."),
    "shadow": LazyCommand("trademl.cli.shadow:shadow", "Score sessions with a challenger, beside the champion."),
    "score": LazyCommand("trademl.cli.score:score", "Score a date with a trained model: predictions and a report."),
    "traders": LazyCommand("trademl.cli.traders:traders", "Rank wallets by skill; score them with a trained stack."),
    "events": LazyCommand("trademl.cli.events:events", "Touches of price levels: features, heads, neighbours, scores."),
    "universe": LazyCommand("trademl.cli.universe:universe", "Choose the symbols that may be traded on a date."),
    "portfolio": LazyCommand("trademl.cli.portfolio:portfolio", "Turn predictions into target weights, with costs."),
    "trade": LazyCommand("trademl.cli.trade:trade", "Plan, send and follow orders; reconcile; halt and resume."),
    "lake": LazyCommand("trademl.cli.lake:lake", "Publish signed releases; pull, check and undo them on a device."),
    "edge": LazyCommand("trademl.cli.edge:edge", "Score on a device from a pulled release; prove it on the server."),
    "sql": LazyCommand("trademl.cli.sql:sql", "Run one SELECT statement on the snapshot."),
    "status": LazyCommand("trademl.cli.status:status", "Show the home, the snapshot, recent coverage and runs."),
}
"""Every command, in the order of ``trademl --help``."""

EXTRA_OF: dict[str, str] = {
    "aiohttp": "events",
    "alpaca": "sources",
    "catboost": "train",
    "clarabel": "portfolio",
    "cvxpy": "portfolio",
    "dbt": "train",
    "exchange_calendars": "train",
    "faiss": "events",
    "jinja2": "train",
    "joblib": "train",
    "lightgbm": "train",
    "matplotlib": "train",
    "mlflow": "train",
    "obstore": "s3",
    "onnx": "train",
    "optuna": "train",
    "pandas": "train",
    "pyarrow": "train",
    "requests": "sources",
    "sqlalchemy": "train",
    "tqdm": "train",
    "xgboost": "train",
    "yfinance": "sources",
}
"""Which extra brings an importable package, so that a missing one is reported with its remedy."""


class ReaderGone(Exception):
    """Standard output was closed by its reader; click would report a broken pipe as a plain failure."""


class TrademlGroup(click.Group):
    """A click group that reads its commands from a table and is the only place where errors become messages."""

    def __init__(self, *args: Any, table: dict[str, LazyCommand] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = COMMANDS if table is None else table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in table order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or return None when there is none of that name."""
        entry = self.table.get(cmd_name)
        return entry.load() if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines from the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            ReaderGone: nobody reads its output any more.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = "trademl",
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; with ``standalone_mode`` exit with one of :data:`EXIT_CODES`."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BaseException as error:
            sys.exit(report(error))
        sys.exit(result if isinstance(result, int) else 0)


def report(error: BaseException) -> int:
    """Say on standard error what went wrong, and return the exit code."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        click.echo("\ninterrupted; run the same command again to resume", err=True)
        return INTERRUPTED
    if isinstance(error, ReaderGone | BrokenPipeError):
        # Python would complain again when it closes a standard output that nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in EXTRA_OF:
            error = MissingExtra(package, EXTRA_OF[package])
    if isinstance(error, TrademlError):
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    first_line = (str(error).splitlines() or ["no message"])[0]
    click.echo(f"error: internal error: {type(error).__name__}: {first_line}", err=True)
    if not os.environ.get(DEBUG_VARIABLE):
        click.echo(f"  remedy: set {DEBUG_VARIABLE}=1 for the traceback, and report it", err=True)
    return INTERNAL_ERROR


def point_at(home: Path, environment: MutableMapping[str, str], ctx: click.Context) -> None:
    """Make ``home`` the home of this command and of the processes it starts; undone when the command ends."""
    before = environment.get(HOME_VARIABLE)
    environment[HOME_VARIABLE] = str(home.expanduser().resolve())

    def restore() -> None:
        if before is None:
            environment.pop(HOME_VARIABLE, None)
        else:
            environment[HOME_VARIABLE] = before

    ctx.call_on_close(restore)


@click.group(cls=TrademlGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, "--version", prog_name="trademl", message="%(prog)s %(version)s")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The home to work in.  [default: TRADEML_HOME, else the nearest folder upward with configs/trademl.yml]",
)
@click.option("-v", "--verbose", count=True, help="Say more on standard error; twice for debugging.")
@click.pass_context
def main(ctx: click.Context, home: Path | None, verbose: int) -> None:
    """Features in SQL, models under purged cross-validation, picks you can query.

    Start with `trademl demo`, or `trademl init DIR` and the tutorial in docs/tutorial.md.
    """
    from trademl import log

    log.configure(verbose)
    # OpenMP threads that spin while they wait starve each other as soon as the machine has other work: at load 8 on two
    # cores spinning made LightGBM fits more than ten times slower. Read when the library is first loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if home is not None:
        point_at(home, os.environ, ctx)
