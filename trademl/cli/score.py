"""``trademl score``: today's ranked picks, as rows, as a report and on the screen."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.edge.daily import Report
    from trademl.sleeves.equities_scoring import ScoringResult

TOP = 10

HOW = {
    "asked": "as asked",
    "latest": "the latest registered run, as equities has no champion",
    "champion": "from the router",
    "fallback": "from the router",
    "legacy": "from the router",
}
"""How a model was chosen, in words."""


@click.group(short_help="Score a date with a trained model: predictions and a report.")
def score() -> None:
    """Score a session with a trained model: prediction rows, a snapshot that shows them, and a daily report.

    Scoring twice changes nothing, and a killed command is simply run again.
    """


@score.command()
@click.option(
    "--as-of",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="DATE",
    help="The session to score.  [default: the latest in gold]",
)
@click.option("--run", "run_id", metavar="RUN_ID", help="The run to score with.  [default: the router's]")
@click.option("--top", type=click.IntRange(min=1), default=TOP, show_default=True, help="Picks to show in a table.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def equities(as_of: datetime | None, run_id: str | None, top: int, form: str) -> None:
    """Score the universe of one session; its coverage must be GREEN, and only its own features are used.

    Without --run the router answers: the champion, the latest registered run while there is none, or the frozen scorer
    when the kill switch is on (`trademl router show`).

    Writes preds.equities and lake/reports/equities_DATE.json and .md; `--format json` prints that report, every pick in
    it.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.equities_scoring import score_equities

    result = score_equities(find_home(), as_of.date() if as_of else None, run_id)
    if form == "json":
        click.echo(json.dumps(result.report, indent=2, ensure_ascii=False, allow_nan=False))
        return
    _show(result, top)


def show_picks(report: "Report", top: int) -> None:
    """Print the ``top`` highest picks of a report as a table."""
    import io

    from trademl.warehouse.rendering import write_table

    names = ("rank", "symbol", "yhat", "yhat_std", "prob_up", "rank_pct", "rank_change")
    kinds = ("BIGINT", "VARCHAR", "FLOAT", "FLOAT", "FLOAT", "FLOAT", "BIGINT")
    rows: list[list[Any]] = [
        [round(pick[name], 6) if isinstance(pick[name], float) else pick[name] for name in names]
        for pick in report["picks"][:top]
    ]
    table = io.StringIO()
    write_table(table, names, kinds, rows)
    # The table's own last line counts rows; here it would count what was chosen to be shown.
    click.echo("\n".join(table.getvalue().splitlines()[:-1]))


def _show(result: "ScoringResult", top: int) -> None:
    report = result.report
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"scored      {result.rows} symbols of {result.as_of}, coverage {report['coverage']['status']}")
    click.echo(f"model       {result.run_id} ({report['label']}), {HOW[result.origin]}: {result.model_status}")
    click.echo(f"regime      {report['regime'] or 'unknown'}")
    told = "written" if result.written else "there already, unchanged"
    click.echo(f"rows        {told}: preds.equities in snapshot {result.snapshot}")
    click.echo(f"report      {result.json_path} and {result.markdown_path.suffix}")
    click.echo("")
    show_picks(report, top)
