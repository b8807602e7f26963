"""``trademl train events``: train the heads of the events sleeve and show what each is worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trademl.cli.params import Names

if TYPE_CHECKING:
    from trademl.config.home import Home
    from trademl.sleeves.events.heads import Head
    from trademl.sleeves.events.train import EventsConfig

CONFIG = Path("training") / "events.yml"


class Seconds(Names):
    """Numbers of seconds divided by commas."""

    name = "S,S,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = super().convert(value, param, ctx)
        try:
            return [int(name) for name in names]
        except ValueError:
            self.fail(f"{value!r} are no whole numbers of seconds; write 60,120", param, ctx)


@click.command(short_help="Train the heads of price-level events.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="[default: configs/training/events.yml]")
@click.option("--stage", type=click.Choice(["stage_a", "stage_b"]), help="Columns: stage A has no barrier, no tape.")
@click.option("--ablation", type=click.Choice(["ta", "mechanics", "full"]), help="Columns: which families.")
@click.option("--horizons", type=Seconds(), help="Seconds of the heads t1, t2 and their sides, such as 60,120.")
@click.option("--timeframe", metavar="MINUTES", help="Window of tradeable_2, direction and strength, such as 2min.")
@click.option("--heads", type=Names(), help="Train these heads only, such as tradeable_2,direction.")
@click.option("--start", metavar="DATE", help="First session, YYYY-MM-DD.")
@click.option("--end", metavar="DATE", help="Last session, YYYY-MM-DD.")
@click.option("--folds", type=int, help="Blocks of sessions, each predicted by a model of those before it.")
@click.option("--embargo", type=int, help="Sessions kept free before a block.")
@click.option("--model", metavar="KIND", help="Model family, as configs/models/KIND.yml sets it.")
@click.option("--rounds", type=int, help="Trees; with early stopping, at most.")
@click.option("--threads", type=int, help="Threads of the fit; 0 is all cores. Changes no result.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the bundle.")
@click.option("--exclude-not-green", is_flag=True, help="Leave sessions that fail the data gate out.")
@click.option("--no-mlflow", is_flag=True, help="Do not log the runs to MLflow.")
def events(config_path: Path | None, output: Path | None, no_mlflow: bool, **given: Any) -> None:
    """Train the events sleeve on gold.events_training: one model for each head, walk-forward by date.

    The options override the configuration file. Every head is a run in models_artifacts/events/RUN_ID and a trial of
    the ledger. The bundle lies in models_artifacts/boosted_trees as {head}_{stage}_{ablation}.txt, .onnx and .json.
    """
    from trademl.cli.train import Bars, command_line
    from trademl.config.home import find_home
    from trademl.sleeves.events.train import train

    home = find_home()
    config = read_config(home, config_path, given)
    bars = Bars()
    try:
        result = train(home, config, folder=output, progress=bars, mlflow=not no_mlflow, command=command_line())
    finally:
        bars.splits_end()
    for line in head_table(result.heads):
        click.echo(line)
    click.echo(f"\n{len(result.heads)} heads of {result.features} features: {result.folder}")
    first, last = result.heads[0].val_dates[0], result.heads[0].val_dates[-1]
    click.echo(f"predicted out of fold: {first} to {last}")
    click.echo(
        f"next: trademl events calibrate --stage {config.stage} --ablation {config.ablation} --test-dates {last}"
    )


def read_config(home: "Home", path: Path | None, given: dict[str, Any]) -> "EventsConfig":
    """Return the configuration file with the options of the command line put over it.

    Raises:
        ConfigError: the file is missing, or a field or an option is wrong.
    """
    from trademl.cli.train import read_family
    from trademl.config.reading import load_section, validate_section
    from trademl.sleeves.events.train import EventsConfig

    merged = load_section(path or home.configs / CONFIG, EventsConfig).model_dump()
    if (kind := given.pop("model", None)) is not None and kind != merged["model"]["kind"]:
        merged["model"] = read_family(home, kind)
    if given.pop("exclude_not_green", False):
        merged["data_gate"]["exclude_not_green"] = True
    places = {
        "folds": ("validation", "folds"),
        "embargo": ("validation", "embargo"),
        "rounds": ("model", "n_rounds"),
        "threads": ("model", "threads"),
    }
    for name, value in given.items():
        if value is None:
            continue
        if name in places:
            section, field = places[name]
            merged[section][field] = value
        else:
            merged[name] = value
    return validate_section(merged, EventsConfig, origin="command line")


def head_table(heads: "tuple[Head, ...]") -> list[str]:
    """Return one line per head: what its out-of-fold predictions are worth, beside the base rate."""
    lines = [f"{'head':<22}{'rows':>9}{'base rate':>11}{'AUC':>8}{'Brier':>9}{'of base':>9}{'ECE':>8}"]
    for head in heads:
        found = head.metrics
        if "auc" not in found:
            lines.append(
                f"{head.head:<22}{found['rows']:>9,}   rank IC {_number(found['rank_ic'])}, R2 {_number(found['r2'])}"
            )
            continue
        lines.append(
            f"{head.head:<22}{found['rows']:>9,}{_number(found['base_rate']):>11}{_number(found['auc']):>8}"
            f"{_number(found['brier']):>9}{_number(found['brier_of_base_rate']):>9}{_number(found['ece']):>8}"
        )
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
