"""``trademl lake``: publish signed releases on a server; pull, check, go back and tidy up on a device."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.config.home import Home
    from trademl.config.lake import LakeConfig
    from trademl.lake.layout import Layout
    from trademl.lake.retention import LakeStatus

_SHOW_EVERY = 0.5

FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group(short_help="Publish signed releases; pull, check and undo them on a device.")
def lake() -> None:
    """Signed releases: how a small device gets what it needs for scoring.

    A server publishes an extract of its snapshot, signed; a device pulls what is new of it and believes nothing that it
    has not checked. configs/lake.yml says where from, signed by whom and for how long. Every command can be killed at
    any moment and is simply run again.
    """


@lake.command(short_help="Make a key pair for signing releases.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write the key.")
def keygen(out: Path) -> None:
    """Make an Ed25519 key pair: write the private key to --out (mode 0600) and print the public key.

    The private key stays on the server, outside the lake: TRADEML_RELEASE_KEY names it for `trademl lake publish`. The
    public key goes on the devices, into trusted_keys of configs/lake.yml.
    """
    from trademl.config.home import find_home
    from trademl.lake import keys

    public = keys.keygen(out, find_home().lake)
    click.echo(f"wrote the private key {out}: keep it on this machine; export {keys.KEY_VARIABLE}={out}", err=True)
    click.echo("the public key, for trusted_keys in configs/lake.yml of each device:", err=True)
    click.echo(public)


@lake.command(short_help="Sign the snapshot's last session with one model, for devices.")
@click.option("--run", "run_id", metavar="RUN_ID", help="The run to release.  [default: the router's champion]")
def publish(run_id: str | None) -> None:
    """Sign the current snapshot's last session with one model, and release it to devices.

    Only after a build whose last session is GREEN and fresh. The session is computed from the extract alone first and
    must equal the warehouse's bit for bit. RELEASED is flipped last.
    """
    from trademl.config.home import find_home
    from trademl.sleeves import equities_release

    done = equities_release.publish(find_home(), run_id, progress=lambda text: click.echo(text, err=True))
    click.echo(f"released {done.seq}: {done.as_of}, model {done.run_id}")
    click.echo(f"bytes    {done.bytes_total:,}, of which {done.bytes_new:,} are new since the release before")
    click.echo(f"document {done.path}")


@lake.command(short_help="Bring this home to the release that the source offers.")
@click.option("--again", is_flag=True, help="Take the release even if it was rolled back here.")
@FORMAT
def pull(again: bool, form: str) -> None:
    """Bring this home's lake to the release that the source offers, and check every byte of it before it is used.

    Only what is missing is fetched, and an interrupted pull goes on where it was. Signature, number, times, free space,
    sizes, hashes, parquet footers and golden values are checked in this order; what is refused exits 4 and leaves the
    present release in place. Older releases are removed beyond keep_releases.
    """
    from trademl.edge.golden import check_release
    from trademl.lake.pull import pull as bring

    layout, config = _opened()
    shown = _Shown()
    try:
        done = bring(layout, config, check=check_release, progress=shown.tell, again=again)
    finally:
        shown.end()
    if form == "json":
        click.echo(json.dumps(asdict(done), default=str))
        return
    if done.note:
        click.echo(f"note: {done.note}", err=True)
    click.echo(f"release  {done.seq}{'' if done.changed else ', as before'}: {done.as_of}, model {done.run_id}")
    click.echo(
        f"fetched  {_objects(done.objects_new)}, {done.bytes_new:,} bytes, in {done.seconds:.1f} s; "
        f"the release has {done.bytes_total:,}"
    )
    click.echo(f"checked  signed by key {done.key}; hashes, footers{' and golden values' if done.objects_new else ''}")


@lake.command()
def rollback() -> None:
    """Read the release before the present one again: the newest earlier one that is whole.

    The next pull does not bring back the release that is left; it waits for a newer one (or `trademl lake pull
    --again`).
    """
    from trademl.lake import retention

    layout, config = _opened()
    done = retention.rollback(layout, config)
    for seq, why in done.skipped.items():
        click.echo(f"warning: release {seq} was passed over: {why}", err=True)
    click.echo(f"rolled back from release {done.left} to {done.release.seq}: {_about(done.release)}")
    if done.expired:
        click.echo(
            f"warning: release {done.release.seq} expired at {done.release.expires:%Y-%m-%d %H:%M} UTC: it can be "
            "read, and is not scored with",
            err=True,
        )


@lake.command(short_help="Check a release in this lake again, byte for byte.")
@click.option("--all", "every", is_flag=True, help="Check every release that is kept, not only the current one.")
def verify(every: bool) -> None:
    """Check a release in this lake again: signature, sha256 of every object, parquet footers, manifest.

    Changes nothing. On a device, `trademl lake pull` mends what is damaged.
    """
    from trademl.lake import retention

    layout, config = _opened()
    for found in retention.verify_releases(layout, config, every=every):
        click.echo(
            f"release {found.seq} is whole: {_objects(found.objects)}, {found.bytes_total:,} bytes, key {found.key}"
        )


@lake.command()
@click.option("--offline", is_flag=True, help="Do not ask the source what it offers.")
@FORMAT
def status(offline: bool, form: str) -> None:
    """Show the release in this lake, its age and expiry, and what a pull would bring."""
    from trademl.lake import retention

    layout, config = _opened()
    found = retention.lake_status(layout, config, ask=not offline)
    if form == "json":
        click.echo(json.dumps(_plain(found), default=str))
        return
    click.echo("\n".join(describe(found, config)))


@lake.command()
@click.option("--keep", type=click.IntRange(min=1), help="Releases to keep.  [default: keep_releases]")
def gc(keep: int | None) -> None:
    """Remove old releases and what no release or snapshot needs any more.

    The current release and manifests that a reader has open stay. A pull does the same when it ends.
    """
    from trademl.lake import retention

    layout, config = _opened()
    done = retention.gc(layout, keep or config.keep_releases)
    which = f" (releases {', '.join(map(str, done.releases))})" if done.releases else ""
    click.echo(f"removed {done.files} files{which}, {done.bytes:,} bytes")


def describe(found: "LakeStatus", config: "LakeConfig") -> list[str]:
    """Return a status as lines of text."""
    names = {"publisher": "publishes releases", "device": "pulls releases", "builder": "has no release yet"}
    lines = [f"lake      {names[found.role]}"]
    if found.release is not None and found.age is not None:
        release = found.release
        ends = "expired at" if found.expired else "until"
        lines += [
            f"release   {release.seq}: {_about(release)}",
            f"age       {_span(found.age)}, {ends} {release.expires:%Y-%m-%d %H:%M} UTC",
            f"holds     {found.sessions} sessions, {len(release.tables)} tables, {found.bytes_total:,} bytes",
            f"kept      {', '.join(map(str, found.kept))}",
        ]
    if found.rolled_back:
        lines.append(f"rollback  release {found.rolled_back} was left and is not pulled again")
    if found.parts_bytes:
        lines.append(f"parts     {found.parts_bytes:,} bytes of an interrupted pull")
    if config.source is not None and found.role != "publisher":
        lines.append(f"source    {config.source}")
    if found.problem:
        lines.append(f"problem   {found.problem}")
    if found.offered is not None:
        offered = found.offered
        same = found.release is not None and offered.seq == found.release.seq and not offered.objects
        lines.append(
            f"offers    release {offered.seq}, {offered.as_of}: "
            + ("the one that is here" if same else f"{_objects(offered.objects)}, {offered.bytes:,} bytes to fetch")
        )
    return lines


class _Shown:
    """Bytes and time left on one line of standard error; on no terminal only the first and the last line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: float | None = None
        self._first = 0
        self._last = 0.0
        self._line = ""
        self._live = sys.stderr.isatty()

    def tell(self, done: int, total: int) -> None:
        """Show progress, at most twice a second."""
        now = self._clock()
        if self._began is None:
            self._began, self._first = now, done
            begun = f", {done:,} of them are here already" if done else ""
            click.echo(f"fetching {total:,} bytes{begun}", err=True)
        gone, came = now - self._began, done - self._first
        self._line = f"fetched {done:,} of {total:,} bytes"
        if came and gone > 0 and done < total:
            self._line += (
                f", {came / gone / 1024:,.0f} KiB/s, {_span(timedelta(seconds=(total - done) * gone / came))} left"
            )
        if self._live and (now - self._last >= _SHOW_EVERY or done == total):
            self._last = now
            click.echo(f"\r{self._line:<100}", err=True, nl=False)

    def end(self) -> None:
        """Leave the last state on a line of its own."""
        if self._line:
            click.echo(f"\r{self._line:<100}" if self._live else self._line, err=True)


def _opened() -> "tuple[Layout, LakeConfig]":
    from trademl.config.home import find_home
    from trademl.config.lake import read_lake_config
    from trademl.lake.layout import layout_of

    home: Home = find_home()
    return layout_of(home), read_lake_config(home)


def _about(release: Any) -> str:
    return f"{release.as_of}, model {release.model.run_id} ({release.model.label})"


def _objects(count: int) -> str:
    return f"{count} object" if count == 1 else f"{count} objects"


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds >= 2 * 86400:
        return f"{seconds // 86400} days"
    if seconds >= 2 * 3600:
        return f"{seconds // 3600} hours"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{max(seconds, 0)} s"


def _plain(found: "LakeStatus") -> dict[str, Any]:
    release = found.release
    return {
        "role": found.role,
        "release": None
        if release is None
        else {
            "seq": release.seq,
            "as_of": release.as_of,
            "created": release.created,
            "expires": release.expires,
            "run_id": release.model.run_id,
            "label": release.model.label,
            "tables": len(release.tables),
        },
        "age_seconds": None if found.age is None else found.age.total_seconds(),
        "expired": found.expired,
        "sessions": found.sessions,
        "bytes_total": found.bytes_total,
        "kept": found.kept,
        "rolled_back": found.rolled_back or None,
        "parts_bytes": found.parts_bytes,
        "offered": None if found.offered is None else asdict(found.offered),
        "problem": found.problem or None,
    }
