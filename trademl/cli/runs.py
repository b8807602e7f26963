"""``trademl runs``: list finished runs, show one, put several side by side."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.reports.runs import Comparison, RunSummary

SORTS = ("started", "rank_ic", "t", "sharpe", "drawdown", "seconds")
FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
WIDEST = 60
_WRITABLE = 0o644


@click.group(short_help="List finished runs, show one, put several side by side.")
def runs() -> None:
    """Finished runs: what each is worth, in what they differ, and whether the difference is luck.

    Read from the snapshot (`ops.runs`, `ops.trial_returns`) and the sealed run folders.
    """


@runs.command("list", short_help="List finished runs with what they are worth.")
@click.option("--sleeve", help="Runs of this sleeve only.")
@click.option("--label", metavar="NAME", help="Runs on this label only, such as fwd_5d.")
@click.option(
    "--sort", type=click.Choice(SORTS), default="started", show_default=True, help="Newest first, or best first."
)
@FORMAT
def list_command(sleeve: str | None, label: str | None, sort: Any, form: str) -> None:
    """List the registered runs: rank IC over paths, and the long-short portfolio net of cost."""
    from trademl.cli.train import aligned
    from trademl.config.home import find_home
    from trademl.reports.runs import list_runs
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    with read_snapshot(home) as snapshot:
        found, lost = list_runs(snapshot.con, home, sleeve=sleeve, label=label, sort=sort)
    if form == "json":
        click.echo(json.dumps([_document(one) for one in found], indent=2))
    elif found:
        click.echo(aligned(run_table(found)))
    else:
        click.echo("no registered run" + (" of this choice" if sleeve or label else "") + "; `trademl train` makes one")
    for line in lost:
        click.echo(f"warning: {line}", err=True)


@runs.command(short_help="Show one run: what it is, what it is worth, where it lies.")
@click.argument("run")
@FORMAT
def show(run: str, form: str) -> None:
    """Show RUN: its data and configuration, its paths, its returns; every file of its folder is checked first."""
    from trademl.config.home import find_home
    from trademl.reports.predictions import find_run
    from trademl.reports.runs import flat, summarise
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    with read_snapshot(home) as snapshot:
        found = find_run(snapshot.con, home, run, verify=True)
    (one,) = summarise(home, [found])
    if form == "json":
        click.echo(json.dumps({**_document(one), "config": flat(found.manifest.config)}, indent=2))
    else:
        click.echo("\n".join(describe(one)))


@runs.command(short_help="Put runs side by side, against the first one.")
@click.argument("run_ids", nargs=-1, required=True, metavar="RUN RUN...")
@click.option(
    "--plot", "picture", type=click.Path(path_type=Path, dir_okay=False), help="Also draw them, to this PNG file."
)
@FORMAT
def compare(run_ids: tuple[str, ...], picture: Path | None, form: str) -> None:
    """Put runs side by side: the fields in which they differ, their measures, and daily rank IC against the first.

    The t-statistic of the paired daily difference is Newey-West with at least horizon - 1 lags, because labels overlap.
    """
    from trademl.artifacts.files import write_atomic
    from trademl.config.home import find_home
    from trademl.reports import runs as reports
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    with read_snapshot(home) as snapshot:
        found = reports.compare(snapshot.con, home, run_ids)
    if form == "json":
        click.echo(json.dumps(comparison_document(found), indent=2))
    else:
        click.echo("\n".join(describe_comparison(found)))
    if picture is not None:
        write_atomic(picture, reports.plot(found), _WRITABLE)
        click.echo(f"wrote {picture}", err=True)


def run_table(found: "Sequence[RunSummary]") -> list[list[str]]:
    """Return heading and one row per run, as text."""
    from trademl.reports.runs import number

    heading = ["run", "label", "model", "task", "rank IC", "std", "t", "Sharpe", "drawdown", "seconds", "started"]
    return [
        heading,
        *(
            [
                one.run.run_id,
                one.run.label,
                one.model,
                one.task,
                number(one.metrics["rank_ic"], "+.4f"),
                number(one.spread, ".4f"),
                number(one.metrics["rank_ic_t"], "+.2f"),
                number(one.returns.annualised_sharpe if one.returns else None, "+.2f"),
                number(one.returns.max_drawdown if one.returns else None, ".1%"),
                number(one.fit_seconds, ".0f"),
                f"{one.started:%Y-%m-%d %H:%M}",
            ]
            for one in found
        ),
    ]


def describe(one: "RunSummary") -> list[str]:
    """Return a run as lines of text."""
    from trademl.cli.train import aligned
    from trademl.reports.runs import flat, number
    from trademl.training.report import path_table
    from trademl.training.run import read_metrics

    run, manifest = one.run, one.run.manifest
    facts = manifest.summary
    document = read_metrics(run.folder)
    lines = [
        f"run        {run.run_id}",
        f"sleeve     {run.sleeve}, label {run.label}, {facts.get('horizon', '?')} sessions ahead",
        f"model      {one.model}, {one.task}, {facts.get('features', '?')} features",
        f"rows       {facts.get('rows', 0):,} ({facts.get('fitted_rows', 0):,} fitted), "
        f"{facts.get('first_date')} to {facts.get('last_date')}",
        f"trained    {one.started:%Y-%m-%d %H:%M} UTC, {number(one.fit_seconds, '.0f')} s of fits, "
        f"{facts.get('splits', '?')} splits",
        f"data       {manifest.data_hash[:16]}, code {manifest.git_revision[:12]}",
        f"folder     {run.folder.path}: {len(manifest.files)} files, all as sealed",
        f"command    {facts.get('command') or 'none recorded'}",
        "",
        aligned(path_table(document["paths"], document["summary"])),
        "",
    ]
    money = one.returns
    if money is None:
        lines.append(f"returns    none recorded (`trademl gate {run.run_id}` says why)")
    else:
        lines.append(
            f"returns    long-short, net of cost: Sharpe {money.annualised_sharpe:+.2f}, "
            f"{money.annualised_return:+.2%} a year, drawdown {money.max_drawdown:.1%}, {money.periods} sessions"
        )
    lines += ["", "configuration"]
    return [*lines, *(f"  {name} = {value}" for name, value in flat(manifest.config).items())]


def describe_comparison(found: "Comparison") -> list[str]:
    """Return a comparison as lines of text."""
    from trademl.cli.train import aligned
    from trademl.reports.runs import number

    names = [f"[{place}]" for place in range(1, len(found.runs) + 1)]
    lines = [
        f"{name} {one.run.run_id}  {one.run.label}  {one.model}  {one.task}" for name, one in _zipped(names, found)
    ]
    lines += ["", "fields that differ" if found.differences else "no field differs"]
    if found.differences:
        rows = [["field", *names], *([name, *map(_short, row)] for name, row in found.differences.items())]
        lines.append(aligned(rows))
    measures = [["measure", *names]]
    measures += [[name, *(number(value, ".5g") for value in row)] for name, row in found.numbers.items()]
    lines += ["", "mean over paths; long-short portfolio net of cost", aligned(measures), ""]
    by_path = [["rank IC of path", *names]]
    by_path += [[str(at), *(number(value, "+.4f") for value in row)] for at, row in enumerate(found.paths)]
    lines += [aligned(by_path), ""]
    if found.paired:
        place = {one.run.run_id: name for name, one in _zipped(names, found)}
        rows = [["daily rank IC", "dates", "difference", "t", "better on", "correlation"]]
        rows += [
            [
                f"{place[pair.run_id]} less {place[pair.against]}",
                str(pair.dates),
                number(pair.mean, "+.5f"),
                number(pair.t_stat, "+.2f"),
                number(pair.share_better, ".1%"),
                number(pair.correlation, "+.3f"),
            ]
            for pair in found.paired
        ]
        lines.append(aligned(rows))
    told = {pair.run_id for pair in found.paired}
    first = found.runs[0]
    lines += [
        f"{name} has the label {one.run.label}, {names[0]} {first.run.label}: daily rank IC of two labels is not paired"
        for name, one in _zipped(names[1:], found, 1)
        if one.run.run_id not in told
    ]
    return lines


def comparison_document(found: "Comparison") -> dict[str, Any]:
    """Return a comparison as JSON can hold it; a number that there is none of is null."""
    return {
        "runs": [one.run.run_id for one in found.runs],
        "differences": {name: list(row) for name, row in found.differences.items()},
        "numbers": {name: [_finite(value) for value in row] for name, row in found.numbers.items()},
        "paths": [[_finite(value) for value in row] for row in found.paths],
        "paired": [{name: _finite(value) for name, value in pair.__dict__.items()} for pair in found.paired],
    }


def _zipped(names: Sequence[str], found: "Comparison", start: int = 0) -> "list[tuple[str, RunSummary]]":
    return list(zip(names, found.runs[start:], strict=True))


def _document(one: "RunSummary") -> dict[str, Any]:
    return {
        "run_id": one.run.run_id,
        "sleeve": one.run.sleeve,
        "label": one.run.label,
        "model": one.model,
        "task": one.task,
        "started": one.started.isoformat(),
        **{name: _finite(value) for name, value in one.numbers().items()},
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
