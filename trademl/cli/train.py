"""``trademl train``: train a sleeve, with progress, and show what its predictions are worth."""

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trademl.cli.params import Day, Names
from trademl.cli.stacker import stacker
from trademl.cli.train_events import events

if TYPE_CHECKING:
    from tqdm import tqdm

    from trademl.config.home import Home
    from trademl.sleeves.equities import EquitiesConfig
    from trademl.training.config import TrainingConfig
    from trademl.training.run import RunResult

    ConfigT = TypeVar("ConfigT", bound=TrainingConfig)

CONFIG = Path("training") / "equities.yml"
TRADERS_CONFIG = Path("training") / "traders.yml"

Command = Callable[..., Any]

DATES = (
    click.option("--start", type=Day(), help="First decision date."),
    click.option("--end", type=Day(), help="Last decision date."),
)
VALIDATION = (
    click.option(
        "--validation", type=click.Choice(["cpcv", "walk_forward"]), help="How predictions are made out of fold."
    ),
    click.option("--folds", type=int, help="Blocks of sessions."),
    click.option("--test-folds", type=int, help="Blocks under test in each CPCV split."),
    click.option("--embargo", type=int, help="Sessions kept free after a test block."),
    click.option(
        "--purge", type=click.Choice(["all", "entity"]), help="Against which test labels train labels are purged."
    ),
)
BINNING = click.option(
    "--binning", type=click.Choice(["shared", "strict"]), help="Bin edges of all rows or of each fit's."
)
THREADS = click.option("--threads", type=int, help="Threads of the fit; 0 is all cores. Changes no result.")
RECORD = (
    click.option(
        "--exclude-not-green", is_flag=True, help="Leave sessions that fail the data gate out, instead of refusing."
    ),
    click.option("--no-mlflow", is_flag=True, help="Do not log the run to MLflow."),
)


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command these options, in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(chosen), command)


@click.group(short_help="Train a sleeve under CPCV or walk-forward validation.")
def train() -> None:
    """Train a sleeve: data gate, splits, leakage audit, fits, out-of-fold predictions, final model, registration.

    Stopping it (Ctrl-C, kill -9, a power cut) loses at most one split: the same command goes on from there.
    """


train.add_command(stacker)
train.add_command(events)


@train.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="[default: configs/training/equities.yml]"
)
@click.option("--label", metavar="horizon|tb|NAME", help="Label: horizon (with --k), tb, or a label's exact name.")
@click.option("--k", type=int, help="Sessions of the horizon label: 1, 5 or 20.")
@options(*DATES)
@click.option("--symbols", type=Names(), help="Train on these symbols only.")
@click.option("--regime", type=Names(), help="Fit on these volatility regimes only: low, mid, high.")
@click.option("--task", type=click.Choice(["regression", "top_bottom", "three_class"]), help="What is fitted.")
@click.option("--target", type=click.Choice(["raw", "demeaned", "rank"]), help="Target of a regression.")
@click.option("--features", type=Names(), help="Feature names or patterns, such as '*_rank,beta_60d'.")
@click.option("--feature-set", metavar="NAME", help="Instead of them a set of configs/features, such as alpha158_v1.")
@options(*VALIDATION)
@click.option(
    "--model",
    metavar="KIND",
    help="Model family, as configs/models/KIND.yml sets it: lightgbm, xgboost, catboost, ridge, momentum.",
)
@click.option("--rounds", type=int, help="Trees; with early stopping, at most.")
@click.option("--early-stopping", type=int, help="Rounds without a better loss on a fit's last sessions, then stop.")
@options(BINNING, THREADS)
@click.option("--seed", type=int, help="Seed of row and column samples.")
@options(*RECORD)
def equities(config_path: Path | None, no_mlflow: bool, **given: Any) -> None:
    """Train the equities sleeve on gold.equities_training.

    The options override the configuration file for this run. The result lies in models_artifacts/equities/RUN_ID,
    out-of-fold predictions in preds.oof, the run in ops.runs and MLflow.
    """
    from trademl.config.home import find_home
    from trademl.sleeves import equities as sleeve

    home = find_home()
    config = read_config(home, config_path, given)
    bars = Bars()
    try:
        result = sleeve.train(home, config, progress=bars, mlflow=not no_mlflow, command=command_line())
    finally:
        bars.splits_end()
    show(home, result)


@train.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="[default: configs/training/traders.yml]"
)
@options(*DATES)
@click.option("--addresses", "symbols", type=Names(), help="Train on these addresses only.")
@click.option("--features", type=Names(), help="Feature names or patterns; the pipeline has all 97.")
@options(*VALIDATION)
@click.option(
    "--model", metavar="KIND", help="Model family, as configs/models/KIND.yml sets it: xgboost_ridge, ridge, xgboost."
)
@options(BINNING, THREADS, *RECORD)
def traders(config_path: Path | None, no_mlflow: bool, **given: Any) -> None:
    """Train the traders sleeve on gold.traders_training: eight XGBoost models under a ridge regression.

    The options override the configuration file for this run. The result lies in models_artifacts/traders/RUN_ID, with
    checkpoints/base_model_*.json, scaler.json, ridge.json, pipeline.json and one merged ONNX graph.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.traders import train as sleeve

    home = find_home()
    config = read_over(home, config_path or home.configs / TRADERS_CONFIG, given, sleeve.TradersConfig)
    bars = Bars()
    try:
        result = sleeve.train(home, config, progress=bars, mlflow=not no_mlflow, command=command_line())
    finally:
        bars.splits_end()
    show(home, result, sleeve="traders", following="traders score")
    for line in sleeve.stack_lines(result.path):
        click.echo(line)


def command_line() -> str:
    """Return the command as it was given, for the record."""
    return shlex.join(["trademl", *sys.argv[1:]])


def read_config(home: "Home", path: Path | None, given: dict[str, Any]) -> "EquitiesConfig":
    """Return the equities sleeve's configuration, see :func:`read_over`."""
    from trademl.sleeves.equities import EquitiesConfig

    return read_over(home, path or home.configs / CONFIG, given, EquitiesConfig)


def read_over(home: "Home", path: Path, given: dict[str, Any], config_type: "type[ConfigT]") -> "ConfigT":
    """Return the configuration file with the options of the command line put over it.

    Raises:
        ConfigError: the file is missing, or a field or an option is wrong.
    """
    from trademl.config.reading import load_section, validate_section
    from trademl.training.config import choose_features

    base = load_section(path, config_type)
    merged = base.model_dump()
    if (kind := given.pop("model", None)) is not None and kind != base.model.kind:
        merged["model"] = read_family(home, kind)
    places: dict[str, tuple[str, str]] = {
        "validation": ("validation", "kind"),
        "folds": ("validation", "folds"),
        "test_folds": ("validation", "test_folds"),
        "embargo": ("validation", "embargo"),
        "purge": ("validation", "purge"),
        "rounds": ("model", "n_rounds"),
        "early_stopping": ("model", "early_stopping_rounds"),
        "threads": ("model", "threads"),
        "seed": ("model", "seed"),
    }
    for name, value in given.items():
        if value is None or name == "exclude_not_green":
            continue
        if name in places:
            section, field = places[name]
            merged[section][field] = value
        else:
            merged[name] = value
    choose_features(merged, given)
    if given.get("exclude_not_green"):
        merged["data_gate"]["exclude_not_green"] = True
    return validate_section(merged, config_type, origin="command line")


def read_family(home: "Home", kind: str) -> dict[str, Any]:
    """Return the settings of a model family: those of configs/models/KIND.yml, or its defaults without such a file.

    Raises:
        ConfigError: there is no such family, or the file is wrong or of another family.
    """
    from trademl.config.reading import load_section
    from trademl.errors import ConfigError
    from trademl.models.registry import model_class

    config_type = model_class(kind).config_type
    path = home.configs / "models" / f"{kind}.yml"
    if not path.is_file():
        return {"kind": kind}
    found = load_section(path, config_type)
    if found.kind != kind:
        raise ConfigError(f"{path} has `kind: {found.kind}`", remedy=f"write `kind: {kind}`")
    return found.model_dump()


class Bars:
    """Progress on standard error: a bar on a terminal, a line per event elsewhere."""

    def __init__(self) -> None:
        self.bar: tqdm[Any] | None = None
        self.live = sys.stderr.isatty()
        self.total = 0
        self.done = 0
        self.fitted = 0
        self.began = 0.0

    def stage(self, text: str) -> None:
        """Print what begins."""
        click.echo(f"{datetime.now():%H:%M:%S}  {text}", err=True)

    def splits(self, total: int, done: int) -> None:
        """Start the bar."""
        self.total, self.done, self.fitted, self.began = total, done, 0, time.monotonic()
        if done:
            click.echo(f"          {done} of {total} splits are there from an earlier run", err=True)
        if self.live and done < total:
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, unit="split", desc="splits", file=sys.stderr)

    def split_done(self, mean_rank_ic: float) -> None:
        """Move the bar on."""
        self.done += 1
        self.fitted += 1
        if self.bar is not None:
            self.bar.set_postfix_str(f"mean rank IC {mean_rank_ic:+.4f}", refresh=False)
            self.bar.update()
            return
        left = (time.monotonic() - self.began) / self.fitted * (self.total - self.done)
        click.echo(
            f"          split {self.done}/{self.total}, {left:.0f} s left, mean rank IC {mean_rank_ic:+.4f}", err=True
        )

    def splits_end(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def show(home: "Home", result: "RunResult", *, sleeve: str = "equities", following: str | None = None) -> None:
    """Print the table of paths, where the run lies, and what to do next."""
    from trademl.training.report import class_table, path_table

    if result.already_trained:
        click.echo(f"already trained: {result.run_id} (same data, same configuration)")
    else:
        click.echo(f"trained {result.run_id}")
    if result.excluded:
        click.echo(f"left out, as asked: {result.excluded} sessions that are not GREEN (metrics/data_gate.json)")
    click.echo()
    click.echo(aligned(path_table(result.metrics["paths"], result.metrics["summary"])))
    click.echo()
    rank = result.metrics["summary"]["rank_ic"]
    paths = len(result.metrics["paths"])
    click.echo(f"rank IC {rank['mean']:+.4f} over {paths} path{'s' if paths > 1 else ''}", nl=False)
    click.echo(f", std {rank['std']:.4f}, {rank['min']:+.4f} to {rank['max']:+.4f}" if paths > 1 else "")
    if result.metrics.get("classes"):
        accuracy, majority = (result.metrics["summary"][name]["mean"] for name in ("accuracy", "majority"))
        click.echo(f"accuracy {accuracy:.4f}, of the most frequent class alone {majority:.4f}")
        click.echo(aligned(class_table(result.metrics["classes"])))
    for strategy, worth in result.economics.items():
        click.echo(
            f"{strategy.replace('_', '-'):<12}net Sharpe {worth.annualised_sharpe:+.2f}, "
            f"win rate {worth.win_rate:.1%}, max drawdown {worth.max_drawdown:.1%}, "
            f"profit factor {worth.profit_factor:.3f}, turnover {worth.turnover:.2f} a session"
        )
    click.echo(f"run folder  {_relative(home, result.path)}")
    if result.model_version:
        click.echo(f"mlflow      trademl-{sleeve} version {result.model_version}, alias challenger")
    click.echo(f"next        trademl {following or f'score {sleeve} --as-of {result.as_of}'}")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as right-aligned columns under their headings."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _relative(home: "Home", path: Path) -> Path:
    return path.relative_to(home.root) if path.is_relative_to(home.root) else path
