"""``trademl events features`` and ``curate``: versions of the event features, and which of them is production."""

import json
import sys

import click


@click.group(short_help="Build, list and validate versions of features.")
def features() -> None:
    """Versions of the event features: configs/events/versions/*.yml, built side by side below lake/silver/features."""


@features.command()
@click.argument("version")
def build(version: str) -> None:
    """Build VERSION from the snapshot; a killed build is resumed by the same command.

    A version is never changed: built again from the same data it is only checked, from other data it is refused.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.events.versions.build import build_version

    done = build_version(find_home(), version, progress=_show_progress)
    manifest = done.manifest
    if done.already:
        click.echo(f"{version} is there already and verifies: {manifest.rows} events in {len(manifest.files)} sessions")
        return
    click.echo(
        f"{version}: {manifest.rows} events in {len(manifest.files)} sessions, "
        f"{len(manifest.features)} features, {len(manifest.labels)} labels, in {done.folder}"
    )
    if done.kept:
        click.echo(f"  {done.kept} sessions were there from a build that was cut short")
    click.echo(f"  data hash {manifest.data_hash}")


@features.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_versions(as_json: bool) -> None:
    """List the versions that are described or built, and which is production."""
    from trademl.config.home import find_home
    from trademl.errors import ArtifactError, ConfigError
    from trademl.sleeves.events.versions.build import built_versions
    from trademl.sleeves.events.versions.config import read_version, version_names
    from trademl.sleeves.events.versions.curation import production_version
    from trademl.sleeves.events.versions.files import read_version_manifest

    home = find_home()
    production = production_version(home)
    built = built_versions(home)
    found = []
    for name in sorted({*version_names(home), *built}):
        row: dict[str, object] = {"version": name, "built": name in built}
        try:
            row["description"] = read_version(home, name).description
        except ConfigError as error:
            row["description"] = f"no configuration: {error.message}"
        if name in built:
            try:
                manifest = read_version_manifest(home, name)
                row |= {
                    "events": manifest.rows,
                    "sessions": len(manifest.files),
                    "features": len(manifest.features),
                    "first": str(manifest.files[0].date),
                    "last": str(manifest.files[-1].date),
                    "data_hash": manifest.data_hash,
                }
            except ArtifactError as error:
                row["description"] = error.message
        row["production"] = production is not None and production.run_id == name
        found.append(row)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("no versions: configs/events/versions/ is empty")
    for row in found:
        click.echo(_line(row))


@features.command()
@click.argument("version")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(version: str, as_json: bool) -> None:
    """Check the files of VERSION against its manifest, and its rows against what they must be."""
    from trademl.config.home import find_home
    from trademl.errors import ArtifactError
    from trademl.sleeves.events.versions.checks import validate_version

    checks = validate_version(find_home(), version)
    if as_json:
        listed = [{"name": one.name, "passed": one.passed, "wrong": one.wrong, "detail": one.detail} for one in checks]
        click.echo(json.dumps(listed, indent=2))
    else:
        for one in checks:
            click.echo(f"{'pass' if one.passed else 'FAIL'}  {one.name:<13} {one.detail}")
    failed = [one.name for one in checks if not one.passed]
    if failed:
        raise ArtifactError(
            f"{version} fails {len(failed)} of {len(checks)} checks: {', '.join(failed)}",
            remedy="do not train on it; restore its files, or build a new version",
        )


@click.command(short_help="Make a version of features the production table.")
@click.argument("version", required=False)
@click.option("--override", metavar="REASON", help="Why failed bars do not matter: a sentence that stays on record.")
@click.option("--rollback", is_flag=True, help="Go back to the production version before; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why it is rolled back, for the record.")
@click.option("--from", "expected", metavar="VERSION", help="With --rollback: refuse unless VERSION is production.")
def curate(version: str | None, override: str | None, rollback: bool, reason: str | None, expected: str | None) -> None:
    """Judge VERSION by every bar, and make it what gold.events_production reads when they pass.

    A refusal is recorded too and exits 3. The table follows with the next `trademl build`.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.events.versions import curation

    home = find_home()
    if rollback:
        if version is not None or override is not None:
            raise click.UsageError("--rollback takes neither a version nor --override")
        done = curation.roll_back(home, reason=reason or "", expected=expected)
    else:
        if version is None:
            raise click.UsageError("name a version, or --rollback")
        if reason is not None or expected is not None:
            raise click.UsageError("--reason and --from belong to --rollback")
        done = curation.curate(home, version, override=override)
    made = done.decision
    if done.already:
        click.echo(f"{made.run_id} is the production version already; nothing was changed")
        return
    for bar in made.bars:
        click.echo(f"{bar.verdict}  {bar.name:<16} {bar.reason}")
    after = f", after {made.previous_run_id}" if made.previous_run_id else ""
    click.echo(f"{made.outcome}: {made.run_id} is the production version{after}")
    click.echo(f"decision {made.decision_id} in ops.promotions; `trademl build` brings gold.events_production in line")
    if done.lagging:
        click.echo(f"note: no snapshot shows the decision yet: {done.lagging}", err=True)


def _line(row: dict[str, object]) -> str:
    mark = "*" if row["production"] else " "
    state = "not built"
    if "events" in row:
        span = f"{row['sessions']} sessions {row['first']} to {row['last']}"
        state = f"{row['events']} events, {span}, {row['features']} features"
    return f"{mark} {row['version']:<28} {state}\n      {row['description']}"


def _show_progress(done: int, total: int, session: str) -> None:
    """Redraw one line on standard error when it is a terminal."""
    stream = sys.stderr
    if not stream.isatty():
        return
    stream.write(f"\r\x1b[K{done}/{total} {session}" + ("\n" if done == total else ""))
    stream.flush()
