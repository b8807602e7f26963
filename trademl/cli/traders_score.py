"""``trademl traders score``, ``convert`` and ``shadow``: the stack of the traders."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

TOP = 10
HOW = {
    "asked": "as asked",
    "latest": "the latest registered run, as traders has no champion",
    "champion": "from the router",
    "legacy": "the frozen model: the kill switch is on",
}
DAY = click.DateTime(["%Y-%m-%d"])


@click.command(short_help="Score the traders of a date with a trained stack.")
@click.option("--as-of", type=DAY, metavar="DATE", help="The date to score.  [default: the latest in gold]")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run to score with.  [default: the router's]")
@click.option("--top", type=click.IntRange(min=1), default=TOP, show_default=True, help="Traders to show in a table.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def score(as_of: datetime | None, run_id: str | None, top: int, form: str) -> None:
    """Score every trader of one date that has enough windows; the date must be GREEN. Writes preds.traders.

    Scoring twice changes nothing. The composite rank stands beside the model's; the model selects nobody.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.traders.scoring import score_traders

    result = score_traders(find_home(), as_of.date() if as_of else None, run_id)
    scores = result.scores
    rows = [
        {"address": address, "yhat": yhat, "yhat_std": spread, "prob_up": likely, "rank_pct": rank,
         "composite_rank": result.composite.get(address)}
        for address, yhat, spread, likely, rank in zip(
            scores.entities, *(one.tolist() for one in (scores.yhat, scores.yhat_std, scores.prob_up, scores.rank_pct)),
            strict=True,
        )
    ]  # fmt: skip
    rows.sort(key=lambda row: -row["yhat"])
    if form == "json":
        click.echo(json.dumps({"as_of": str(scores.as_of), "run_id": scores.model_id, "scores": rows}, indent=1))
        return
    click.echo(f"scored      {len(scores)} traders of {scores.as_of}")
    click.echo(f"model       {scores.model_id} ({scores.label}), {HOW[result.origin]}")
    told = "written" if result.written else "there already, unchanged"
    click.echo(f"rows        {told}: preds.traders in snapshot {result.snapshot}")
    show_table(rows[:top])


@click.command(short_help="Convert a stacked_pipeline.pkl without running it.")
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="New folder.  [default: models_artifacts/traders_stack of the home]",
)
def convert(source: Path, out: Path | None) -> None:
    """Convert the pipeline of the first system in SOURCE: base_model_*.json, stacked_pipeline.pkl, model_v*.meta.json.

    The pickle's numbers are read by a machine that knows Ridge, StandardScaler and numpy arrays and can run nothing.
    The new folder has JSON files and one merged ONNX graph, proved equal.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.traders.convert import convert_pipeline
    from trademl.sleeves.traders.shadow import CONVERTED

    found = convert_pipeline(source, out or find_home().models_artifacts / CONVERTED)
    click.echo(f"converted   {found.base_models} base models, scaler and ridge to {found.path}")
    click.echo(
        f"caps        {', '.join(f'{name} {cap:g}' for name, cap in found.feature_caps.items()) or 'none stated'}"
    )
    click.echo(
        f"rounding    moves a score by at most {found.moved:.3g} of {found.compared.largest_score:.3g}; "
        f"{found.rank_changes} of {found.compared.rows} made-up rows change places"
    )
    click.echo(f"merged ONNX {found.compared}; {found.parity.rows} rows around {found.parity.thresholds} thresholds")
    click.echo(f"next        trademl traders shadow --model {found.path}")


@click.command(short_help="Score in shadow: stacked pipeline, else the frozen v1 model.")
@click.option("--as-of", type=DAY, metavar="DATE", help="The date to score.  [default: the latest in gold]")
@click.option("--model", "model_dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of a pipeline.")
def shadow(as_of: datetime | None, model_dir: Path | None) -> None:
    """Score the traders of a date into preds.shadow, where nothing is selected by it.

    Without --model the pipeline of the run registered last scores, else a converted one, else the frozen v1 model.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.traders.shadow import TOP, shadow_traders

    result = shadow_traders(find_home(), as_of.date() if as_of else None, model_dir)
    click.echo(f"shadow      {result.kind} model {result.model_id}".rstrip())
    click.echo(f"scored      {len(result.predictions)} traders of {result.as_of}, into preds.shadow")
    for address, predicted in result.predictions[:TOP]:
        click.echo(f"  {address}  {predicted:+.4f}")


def show_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print scored traders, the highest first."""
    from trademl.cli.train import aligned

    heading = ["address", "yhat", "yhat_std", "prob_up", "rank_pct", "composite_rank"]
    body = [
        [
            row["address"],
            f"{row['yhat']:+.4g}",
            f"{row['yhat_std']:.4g}",
            f"{row['prob_up']:.3f}",
            f"{row['rank_pct']:.3f}",
            "-" if row["composite_rank"] is None else str(row["composite_rank"]),
        ]
        for row in rows
    ]
    click.echo(aligned([heading, *body]))
