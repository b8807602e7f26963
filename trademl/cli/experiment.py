"""``trademl experiment``: train models by labels by horizons, and compare them in one table."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trademl.cli.train import Bars, aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trademl.config.home import Home
    from trademl.training.experiment import Cell, CellResult

FAILED = 1


@click.group(short_help="Train models by labels by horizons, and compare them in one table.")
def experiment() -> None:
    """Experiments: every model on every label, each cell one run as `trademl train` makes it."""


@experiment.command(short_help="Train the cells that are not trained yet, and compare all.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="List the cells and what the ledger knows of them; train nothing.")
@click.option("--no-mlflow", is_flag=True, help="Do not log the runs to MLflow.")
@click.pass_context
def run(context: click.Context, file: Path, dry_run: bool, no_mlflow: bool) -> None:
    """Train every cell of the experiment FILE, such as configs/experiments/baseline.yml.

    A cell that is trained already is not trained again; a killed experiment goes on when the same command is run again.
    A cell that fails is reported and the others go on: exit code 1 at the end. The comparison lies in
    models_artifacts/experiments/NAME as Markdown, CSV and PNG.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.equities import EQUITIES, EquitiesConfig
    from trademl.training.experiment import expand, read_experiment, run_cells

    home = find_home()
    found = read_experiment(_find(home, file))
    cells = expand(home, EQUITIES, EquitiesConfig, found)
    if dry_run:
        click.echo(aligned(cell_table(home, cells)))
        return
    bars = ExperimentBars()
    command = shlex.join(["trademl", *sys.argv[1:]])
    try:
        results = run_cells(home, EQUITIES, cells, bars, mlflow=not no_mlflow, command=command)
    finally:
        bars.splits_end()
    _compare(home, found.name, results)
    failed = [result for result in results if result.run is None]
    for result in failed:
        click.echo(f"failed: {result.cell.name}: {result.error}", err=True)
    if failed:
        click.echo(f"{len(failed)} of {len(results)} cells failed; the same command tries them again", err=True)
        context.exit(FAILED)


def cell_table(home: "Home", cells: "Sequence[Cell]") -> list[list[str]]:
    """Return heading and one row per cell: what it trains, how many fits, and its trial in the ledger."""
    from trademl.governance.ledger import trials_of
    from trademl.lake.layout import layout_of
    from trademl.sleeves.equities import EQUITIES
    from trademl.training.experiment import cell_trial
    from trademl.training.splits import make_splitter

    layout = layout_of(home)
    labels = dict.fromkeys(cell.label for cell in cells)
    known = {
        trial: (run_id, status) for label in labels for trial, run_id, status in trials_of(layout, EQUITIES.name, label)
    }
    rows = [["label", "task", "model", "kind", "fits", "trial", "status", "run"]]
    for cell in cells:
        trial = cell_trial(EQUITIES, cell)
        run_id, status = known.get(trial, ("-", "new"))
        # One fit per split, and the final one.
        fits = make_splitter(cell.config.validation).n_splits + 1
        rows.append([cell.label, cell.task, cell.model, cell.config.model.kind, str(fits), trial, status, run_id])
    return rows


class ExperimentBars(Bars):
    """Progress on standard error: which cell is at work and the time left, and inside it that of its run."""

    def cell(self, number: int, total: int, cell: "Cell", seconds_left: float | None) -> None:
        """Print which cell begins."""
        left = "" if seconds_left is None else f", at most about {seconds_left:.0f} s left"
        self.stage(f"cell {number}/{total}: {cell.name}{left}")

    def cell_done(self, result: "CellResult") -> None:
        """Print what became of it."""
        if result.run is None:
            self.stage(f"failed: {result.error.splitlines()[0]}")
        elif result.run.already_trained:
            self.stage(f"already trained: {result.run.run_id}")
        else:
            self.stage(f"trained {result.run.run_id} in {result.seconds:.0f} s")


def _find(home: "Home", file: Path) -> Path:
    """Return the experiment's file: as given from here, or from the home."""
    from trademl.errors import ConfigError

    for path in (file, home.root / file):
        if path.is_file():
            return path
    known = sorted(path.relative_to(home.root).as_posix() for path in (home.configs / "experiments").glob("*.yml"))
    raise ConfigError(
        f"no experiment {file}, neither from here nor in {home.root}",
        remedy=f"give one of {', '.join(known)}" if known else "write one below configs/experiments",
    )


def _compare(home: "Home", name: str, results: "Sequence[CellResult]") -> None:
    from trademl.reports.experiment import collect, experiment_folder, table, write_comparison

    rows = collect(home, results)
    click.echo(aligned(table(rows)))
    click.echo()
    for path in write_comparison(experiment_folder(home, name), name, rows):
        click.echo(path.relative_to(home.root) if path.is_relative_to(home.root) else path)
