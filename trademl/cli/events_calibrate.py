"""``trademl events calibrate``: what the heads' probabilities are worth on test dates, before and after calibration."""

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trademl.cli.params import Names

if TYPE_CHECKING:
    from trademl.sleeves.events.calibration import HeadCalibration


@click.command(short_help="Judge the probabilities of trained heads.")
@click.option("--stage", type=click.Choice(["stage_a", "stage_b"]), default="stage_b", show_default=True)
@click.option("--ablation", type=click.Choice(["ta", "mechanics", "full"]), default="full", show_default=True)
@click.option("--test-dates", metavar="DATE...", required=True, help="Sessions, YYYY-MM-DD, by blanks or commas.")
@click.option("--heads", type=Names(), help="Judge these heads only.")
@click.option("--model-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of the bundle.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the report.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.argument("more_dates", metavar="", nargs=-1)
def calibrate(
    stage: str,
    ablation: str,
    test_dates: str,
    heads: list[str] | None,
    model_dir: Path | None,
    output: Path | None,
    as_json: bool,
    more_dates: tuple[str, ...],
) -> None:
    """Judge out-of-fold probabilities of the test dates, with calibrators fitted on the dates before them.

    Writes reliability_{head}_{stage}_{ablation}.png and calibration.json to models_artifacts/events_calibration.
    ECE and MCE are over ten bins of about equal counts.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.events.calibration import calibrate as judge

    days = [_day(text) for part in (test_dates, *more_dates) for text in part.replace(",", " ").split()]
    found = judge(find_home(), stage, ablation, days, heads=heads or (), models=model_dir, output=output)
    if as_json:
        click.echo(json.dumps([head.to_dict() for head in found.heads], indent=1))
        return
    for line in table(found.heads):
        click.echo(line)
    click.echo(f"\n{len(found.files) - 1} reliability curves and calibration.json: {found.folder}")


def table(heads: "tuple[HeadCalibration, ...]") -> list[str]:
    """Return a heading and one line per head."""
    lines = [
        f"{'head':<22}{'rows':>7}{'rate':>8}{'known':>8}{'AUC':>8}{'Brier':>9}{'before':>9}{'after':>9}"
        f"{'ECE':>9}{'after':>9}{'MCE':>9}{'after':>9}"
    ]
    for head in heads:
        rates = f"{head.base_rate:>8.4f}{head.known_rate:>8.4f}{head.auc:>8.4f}"
        scores = f"{head.base[0]:>9.5f}{head.before.brier:>9.5f}{head.after.brier:>9.5f}"
        gaps = f"{head.before.ece:>9.4f}{head.after.ece:>9.4f}{head.before.mce:>9.4f}{head.after.mce:>9.4f}"
        lines.append(f"{head.head:<22}{head.rows:>7,}{rates}{scores}{gaps}")
    return lines


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no date; write YYYY-MM-DD", param_hint="--test-dates") from error
