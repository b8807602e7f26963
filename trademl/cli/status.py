"""``trademl status``: where the home is, and what its snapshot holds."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from trademl.config import Home, find_home
from trademl.lake.layout import layout_of
from trademl.lake.manifest import Manifest, current_seq
from trademl.lake.reading import Snapshot, open_snapshot

SESSIONS = 5
RUNS = 5


@dataclass(frozen=True)
class Status:
    """What ``trademl status`` tells; every field but ``home`` is empty before the first snapshot.

    ``coverage`` rows have dataset, date, status, present, expected and reasons, newest session first; ``runs`` rows
    have run_id, sleeve, label, status and started_at (UTC), newest first.
    """

    home: str
    snapshot: int | None = None
    created: str = ""
    as_of: str = ""
    build_id: str = ""
    git_revision: str = ""
    tables: int = 0
    rows: int = 0
    coverage: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)


@click.command(short_help="Show the home, the snapshot, recent coverage and runs.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(form: str) -> None:
    """Show the home, the snapshot in use, the coverage of the last sessions and the last training runs.

    Reads the published snapshot only, so it also answers while a build runs.
    """
    found = read_status(find_home())
    if form == "json":
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        click.echo("\n".join(describe(found)))


def read_status(home: Home) -> Status:
    """Return the status of ``home`` from its current snapshot.

    Raises:
        SnapshotError: there is a pointer, but what it names cannot be read.
    """
    layout = layout_of(home)
    if current_seq(layout) is None:
        return Status(str(home.root))
    with open_snapshot(layout) as snapshot:
        manifest = snapshot.manifest
        return Status(
            home=str(home.root),
            snapshot=manifest.seq,
            created=f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC",
            as_of=str(manifest.as_of or ""),
            build_id=manifest.build_id,
            git_revision=manifest.git_revision,
            tables=len(manifest.tables),
            rows=sum(table.rows for table in manifest.tables.values()),
            coverage=_coverage(snapshot, manifest),
            runs=_rows(
                snapshot,
                "select run_id, sleeve, label, status, strftime(started_at, '%Y-%m-%d %H:%M') as started_at "
                f"from ops.runs order by ops.runs.started_at desc, run_id limit {RUNS}",
            ),
        )


def describe(status: Status) -> list[str]:
    """Return the status as lines of text."""
    lines = [f"home      {status.home}"]
    if status.snapshot is None:
        return [*lines, "snapshot  none yet: run `trademl ingest` and `trademl build`, or `trademl demo`"]
    lines += [
        f"snapshot  {status.snapshot}, taken {status.created}: {status.tables} tables, {status.rows:,} rows",
        f"as of     {status.as_of or 'no session yet: nothing has landed'}",
        f"build     {status.build_id} (code {status.git_revision})",
    ]
    lines += _section("coverage", status.coverage, "{date}  {dataset}  {status:5}  {present}/{expected}  {reasons}")
    lines += _section("runs", status.runs, "{started_at}  {run_id}  {sleeve} {label}  {status}")
    return lines


def _section(title: str, rows: list[dict[str, Any]], line: str) -> list[str]:
    if not rows:
        return [f"{title:<9} none"]
    shown = [line.format(**row).rstrip() for row in rows]
    return [f"{title if number == 0 else '':<9} {text}" for number, text in enumerate(shown)]


def _coverage(snapshot: Snapshot, manifest: Manifest) -> list[dict[str, Any]]:
    if "silver.coverage" not in {*manifest.tables, *manifest.views}:
        return []
    return _rows(
        snapshot,
        "select dataset, cast(date as varchar) as date, status, present, expected, "
        "coalesce(cast(reasons as varchar), '') as reasons from silver.coverage "
        "where date >= (select min(date) from (select distinct date from silver.coverage order by date desc "
        f"limit {SESSIONS})) order by silver.coverage.date desc, dataset",
    )


def _rows(snapshot: Snapshot, sql: str) -> list[dict[str, Any]]:
    cursor = snapshot.con.execute(sql)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
