"""``trademl edge``: score on a device from a signed release, and prove on the server that it did so rightly."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trademl.edge.daily import Report
    from trademl.edge.fetch import FetchResult
    from trademl.edge.run import EdgeResult
    from trademl.sleeves.equities_skew import SkewReport

TOP = 10
REFUSED = 3

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group(short_help="Score on a small device from a pulled release; prove that it computes as the server does.")
def edge() -> None:
    """Score on a small device from a pulled release, with the base install alone (docs/pi.md)."""


@edge.command()
@click.option("--as-of", type=_DAY, metavar="DATE", help="The session to score.  [default: the release's]")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--top", type=click.IntRange(min=1), default=TOP, show_default=True, help="Picks to show in a table.")
def score(as_of: datetime | None, form: str, top: int) -> None:
    """Score the release's session, or fetch the server's report where configs/lake.yml says `mode: fetch`.

    Writes preds.equities, lake/reports/equities_DATE.json and .md, and the journal of the scored vectors. When a
    tripwire fires nothing is written and the exit code is 5; a release that cannot be trusted exits 4.
    """
    from trademl.config.home import find_home
    from trademl.config.lake import read_lake_config

    home = find_home()
    day = as_of.date() if as_of else None
    if read_lake_config(home).scoring.mode == "fetch":
        _fetch(day, None, form, top)
        return
    from trademl.edge.run import score_release

    result = score_release(home, day)
    if form == "json":
        _print_json(result.report)
        return
    for line in _scored(result):
        click.echo(line)
    _picks(result.report, top)


@edge.command()
@click.option("--as-of", type=_DAY, metavar="DATE", help="The session to fetch.  [default: today, UTC]")
@click.option("--run", "run_id", metavar="RUN_ID", help="The model that must have scored it.  [default: any]")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--top", type=click.IntRange(min=1), default=TOP, show_default=True, help="Picks to show in a table.")
def fetch(as_of: datetime | None, run_id: str | None, form: str, top: int) -> None:
    """Fetch the server's signed report of one session from the source in configs/lake.yml; compute nothing here."""
    _fetch(as_of.date() if as_of else None, run_id, form, top)


@edge.command()
@click.option(
    "--journal",
    "place",
    type=click.Path(path_type=Path, exists=True),
    help="A device's journal, or a folder of them.  [default: lake/journal/equities]",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def verify(context: click.Context, place: Path | None, form: str) -> None:
    """Compute on the server what a device scored, compare every bit, and write ops.skew; exit 3 where they differ."""
    from trademl.config.home import find_home
    from trademl.sleeves.equities_skew import replay_journals

    reports = replay_journals(find_home(), place)
    if form == "json":
        click.echo(json.dumps([_as_json(report) for report in reports], indent=2))
    else:
        for report in reports:
            click.echo("\n".join(describe(report)))
    if any(report.skewed for report in reports):
        context.exit(REFUSED)


def describe(report: "SkewReport") -> list[str]:
    """Return a replayed journal as lines: what was compared, then a table of what differs."""
    about = f"{report.as_of}  {report.run_id}  release {report.release}: {report.rows} symbols, "
    skewed = report.skewed
    if not skewed:
        return [f"{about}{len(report.features)} columns, all equal bit for bit"]
    width = max(len("feature"), *(len(feature.feature) for feature in skewed))
    return [
        f"{about}{len(skewed)} of {len(report.features)} columns differ from the server's",
        f"  {'feature':{width}}  {'mismatches':>10}  {'missing':>8}  {'extra':>8}  {'sMAPE':>10}",
        *(
            f"  {one.feature:{width}}  {one.mismatches:>10}  {one.missing:>8}  {one.extra:>8}  {one.smape:>10.3g}"
            for one in skewed
        ),
    ]


def _fetch(day: date | None, run_id: str | None, form: str, top: int) -> None:
    from trademl.config.home import find_home
    from trademl.edge.fetch import fetch_report

    result = fetch_report(find_home(), day, run_id)
    if form == "json":
        _print_json(result.report)
        return
    for line in _fetched(result):
        click.echo(line)
    _picks(result.report, top)


def _scored(result: "EdgeResult") -> list[str]:
    report, measured = result.report, result.measured
    told = "written" if result.written else "there already, unchanged"
    drift = max(measured.feature_drift.values(), default=None)
    return [
        f"scored      {result.rows} symbols of {result.as_of}, coverage {report['coverage']['status']}",
        f"model       {result.run_id} ({report['label']}), {report['model']['status']}, from release {result.release}",
        f"regime      {report['regime'] or 'unknown'}",
        f"turnover    {_number(measured.turnover)} since {measured.compared_with or 'no session of late'}",
        f"drift       features at most {_number(drift)}, prediction {_number(measured.prediction_drift)}",
        f"rows        {told}: preds.equities",
        f"report      {result.json_path} and {result.markdown_path.suffix}",
        f"journal     {result.journal}",
        "",
    ]


def _fetched(result: "FetchResult") -> list[str]:
    report = result.report
    told = "written" if result.written else "there already, unchanged"
    return [
        f"fetched     {result.rows} symbols of {result.as_of}, coverage {report['coverage']['status']}",
        f"model       {result.run_id} ({report['label']}), {report['model']['status']}",
        f"signed by   key {result.key}",
        f"report      {told}: {result.json_path} and {result.markdown_path.suffix}",
        "",
    ]


def _picks(report: "Report", top: int) -> None:
    from trademl.cli.score import show_picks

    show_picks(report, top)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _print_json(report: "Report") -> None:
    click.echo(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False))


def _as_json(report: "SkewReport") -> dict[str, object]:
    return {
        "journal": str(report.path),
        "as_of": report.as_of.isoformat(),
        "run_id": report.run_id,
        "release": report.release,
        "rows": report.rows,
        "columns": len(report.features),
        "skewed": [dict(vars(feature)) for feature in report.skewed],
    }
