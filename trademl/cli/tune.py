"""``trademl tune``: search the parameters of a model family; every trial counts in the ledger."""

import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trademl.cli.train import Bars, aligned, read_config
from trademl.cli.train import equities as train_equities

if TYPE_CHECKING:
    from trademl.config.home import Home
    from trademl.training.tune_report import Choice, StudyReport
    from trademl.training.tune_trial import Outcome

_SHOWN = 10
_NOT_SHARED = {"seed", "no_mlflow"}


def training_options(command: click.Command) -> click.Command:
    """Give a command the options of `trademl train equities` that say what its trials have in common."""
    own = {option.name for option in command.params}
    command.params += [
        option for option in train_equities.params if option.name not in _NOT_SHARED and option.name not in own
    ]
    return command


@click.group(short_help="Search a family's parameters; every trial counts in the ledger.")
def tune() -> None:
    """Search the parameters of a model family under the sleeve's validation; every trial counts in the ledger.

    Stopping it (Ctrl-C, kill -9, a power cut) loses the splits at work and nothing else: the same command goes on with
    the same trials.
    """


@training_options
@tune.command()
@click.option("--trials", type=click.IntRange(min=1), default=50, show_default=True, help="Trials of the study in all.")
@click.option(
    "--space",
    "space_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What may be chosen.  [default: configs/tuning/KIND.yml]",
)
@click.option("--study", metavar="NAME", help="Name of the study.  [default: made of settings and data]")
@click.option(
    "--pruner",
    type=click.Choice(["median", "none"]),
    default="median",
    show_default=True,
    help="median: stop a trial whose mean rank IC falls below the median of the earlier ones.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the search.")
def equities(
    trials: int,
    space_path: Path | None,
    study: str | None,
    pruner: str,
    seed: int,
    config_path: Path | None,
    **options: Any,
) -> None:
    """Tune a model of the equities sleeve.

    A trial is one configuration: what `trademl train` would train, without its final model. The other options are those
    of `trademl train equities` and hold for all trials. The report lies in models_artifacts/equities/studies/NAME, the
    best configuration in its best.yml.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.equities import EQUITIES
    from trademl.training.search import read_space
    from trademl.training.tune import tune_sleeve

    home = find_home()
    config = read_config(home, config_path, options)
    space = read_space(home, config.model.kind, space_path)
    bars = StudyBars()
    try:
        report = tune_sleeve(
            home,
            EQUITIES,
            config,
            space,
            trials=trials,
            study=study,
            pruner="none" if pruner == "none" else "median",
            seed=seed,
            progress=bars,
            command=shlex.join(["trademl", *sys.argv[1:]]),
        )
    finally:
        bars.splits_end()
    show(home, report)


class StudyBars(Bars):
    """Progress of a study on standard error: a line per trial, and on a terminal a bar of its splits."""

    def splits(self, total: int, done: int) -> None:
        """Start the bar of a trial."""
        if self.live:
            super().splits(total, done)

    def split_done(self, mean_rank_ic: float) -> None:
        """Move the bar on."""
        if self.live:
            super().split_done(mean_rank_ic)

    def trial_begins(self, number: int, total: int, params: Mapping[str, Any], *, again: bool) -> None:
        """Print what is tried."""
        chosen = ", ".join(f"{name}={_short(value)}" for name, value in sorted(params.items()))
        self.stage(f"trial {number + 1}/{total}{' goes on' if again else ''}: {chosen}")

    def trial_ends(self, number: int, total: int, outcome: "Outcome", best: float | None, seconds_left: float) -> None:
        """Print what became of it, and how long the rest takes."""
        told = f"pruned after {len(outcome.passes)} passes"
        if outcome.state == "failed":
            told = f"failed: {outcome.detail}"
        elif outcome.state == "finished":
            told = "no rank IC" if outcome.value is None else f"rank IC {outcome.value:+.4f}"
        so_far = "" if best is None else f", best {best:+.4f}"
        left = f", {duration(seconds_left)} left" if number + 1 < total else ""
        click.echo(f"          {told}{so_far}{left}", err=True)


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> [duration(seconds) for seconds in (0.4, 89, 4000)]
    ['0 s', '89 s', '1 h 07 min']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def show(home: "Home", report: "StudyReport") -> None:
    """Print the best trials, whether choosing among them is luck, what matters, and the next command."""
    from trademl.training.tune_report import PLOT, REPORT, spread_over_paths

    counts = ", ".join(f"{report.count(state)} {state}" for state in ("finished", "pruned", "failed"))
    click.echo(f"study {report.name}: {len(report.trials)} trials: {counts}\n")
    names = sorted({name for trial in report.trials for name in trial.params})
    rows = [["trial", "state", "rank IC", "std", *names]]
    for trial in report.trials[:_SHOWN]:
        value, spread = trial.outcome.value, spread_over_paths(trial.outcome)
        cells = [
            "-" if number is None else format(number, style) for number, style in ((value, "+.4f"), (spread, ".4f"))
        ]
        rows.append(
            [str(trial.number), trial.outcome.state, *cells, *(_short(trial.params.get(name, "-")) for name in names)]
        )
    click.echo(aligned(rows))
    click.echo()
    if report.choice is not None:
        for line in describe(report.choice):
            click.echo(line)
    if report.importances:
        told = ", ".join(f"{name} {share:.0%}" for name, share in report.importances.items())
        click.echo(f"what matters  {told}")
    folder = report.folder.relative_to(home.root) if report.folder.is_relative_to(home.root) else report.folder
    click.echo(f"report        {folder / REPORT}, {PLOT}")
    if report.best is not None:
        click.echo(f"next          trademl train equities --config {folder / report.best.name}")


def describe(choice: "Choice") -> list[str]:
    """Return what is known of the choice of the best trial, a line each."""

    def number(value: float | None, style: str) -> str:
        return "not measured" if value is None else format(value, style)

    lines = []
    if choice.sessions:
        lines = [
            f"best trial    net Sharpe {number(choice.sharpe, '+.2f')} a year over {choice.sessions} sessions; "
            f"deflated by {choice.trials} trials of the ledger: {number(choice.dsr, '.3f')} "
            f"(with the variance seen across them {number(choice.dsr_published, '.3f')})",
            f"PBO           {number(choice.pbo, '.3f')} among {choice.with_returns} trials, "
            f"{number(choice.pbo_with_no_signal, '.3f')} with strategies without a signal beside them",
        ]
    return [*lines, *(f"note          {note}" for note in choice.notes)]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
