"""``trademl validate``: judge what a finished run states, on rows it has not learned from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

if TYPE_CHECKING:
    from trademl.reports.calibration import CalibrationReport

OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.  [default: lake/reports/RUN]",
)


@click.group(short_help="Judge what a finished run states.")
def validate() -> None:
    """Judge what a finished run states, on rows that it has not learned from."""


@validate.command()
@click.argument("run")
@click.option(
    "--method", type=click.Choice(["isotonic", "platt", "both"]), default="both", show_default=True, help="Calibrator."
)
@click.option(
    "--bins", type=click.IntRange(2, 1000), default=20, show_default=True, help="Bins, of about equally many rows."
)
@OUT
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def calibration(run: str, method: str, bins: int, out: Path | None, form: str) -> None:
    """Show how honest the probabilities of RUN are, before and after calibration, and draw reliability diagrams.

    The probability is that of a label above 0. Each fold is judged by a calibrator fitted on the out-of-fold scores of
    the others. The calibrator that scoring uses (checkpoints/calibrator.json) is not changed.
    """
    from trademl.config.home import find_home
    from trademl.lake.layout import layout_of
    from trademl.reports import calibration as report
    from trademl.reports.predictions import find_run, read_out_of_fold
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    methods = [name for name in get_args(report.Method) if method in (name, "both")]
    with read_snapshot(home) as snapshot:
        finished = find_run(snapshot.con, home, run)
        predictions = read_out_of_fold(snapshot.con, run)
    found = report.calibration_report(finished, predictions, methods=methods, n_bins=bins)
    plots = report.write_plots(found, out or layout_of(home).root / "reports" / run)
    if form == "json":
        click.echo(json.dumps({**report.as_document(found), "plots": [str(path) for path in plots]}, indent=2))
        return
    click.echo("\n".join([*describe(found), "", *(f"plot  {path}" for path in plots)]))


def describe(found: "CalibrationReport") -> list[str]:
    """Return the report as lines: the measures side by side, then a reliability table for each."""
    from trademl.cli.train import aligned
    from trademl.reports.calibration import reliability_table, summary_table

    lines = [
        f"{found.run_id}: P({found.label} > 0) on {found.rows:,} rows in {found.folds} folds, "
        f"{found.first} to {found.last}",
        f"base rate {found.base_rate:.4f}, in single folds {min(found.fold_rates):.4f} to {max(found.fold_rates):.4f}",
        "",
        aligned(summary_table(found)),
        "",
        "Brier = reliability - resolution + uncertainty + within bins. Base rate and calibrator of a fold come from",
        "the others and cannot know how it differs from them. ECE wide has 10 bins of equal width, as the gate has.",
    ]
    for judged in found.judged:
        lines += ["", f"{judged.name}: {judged.note}", aligned(reliability_table(judged))]
    return lines
