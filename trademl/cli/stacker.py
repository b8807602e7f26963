"""``trademl train stacker``: blend finished runs into one, validated and audited like any run."""

import shlex
import sys
from pathlib import Path

import click

CONFIG = Path("training") / "stacker.yml"


@click.command(short_help="Blend finished runs into one.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="[default: configs/training/stacker.yml]"
)
@click.option("--runs", metavar="A,B,...", help="Run ids to blend, in order.")
@click.option(
    "--blender", type=click.Choice(["ridge", "non_negative", "lightgbm", "average"]), help="What blends their scores."
)
@click.option("--penalty", type=float, help="Of ridge and non_negative, per row and standardised score.")
@click.option("--no-mlflow", is_flag=True, help="Do not log the run to MLflow.")
def stacker(
    config_path: Path | None, runs: str | None, blender: str | None, penalty: float | None, no_mlflow: bool
) -> None:
    """Blend finished runs of a sleeve by a meta-learner on their out-of-fold predictions.

    The result is a run of that sleeve: audit, metrics, one ONNX graph, gate. configs/router.yml stays as it is:
    promotion alone changes who answers.
    """
    from trademl.cli.train import Bars, show
    from trademl.config.home import find_home
    from trademl.config.reading import load_section
    from trademl.sleeves import stacker as sleeve

    home = find_home()
    given = None if runs is None else [name.strip() for name in runs.split(",")]
    overrides = {"runs": given, "blender": blender, "penalty": penalty}
    config = load_section(config_path or home.configs / CONFIG, sleeve.StackerConfig, overrides)
    bars = Bars()
    command = shlex.join(["trademl", *sys.argv[1:]])
    try:
        result = sleeve.train(home, config, progress=bars, mlflow=not no_mlflow, command=command)
    finally:
        bars.splits_end()
    show(home, result)
    click.echo("router.yml   unchanged: a stack answers only once it is promoted")
    click.echo(f"             trademl gate {result.run_id}")
    click.echo(f"             trademl promote {result.run_id}")
