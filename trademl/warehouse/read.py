"""The one door for readers: the current snapshot, brought up to date with the last finished build."""

import subprocess
from collections.abc import Callable
from datetime import datetime

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import LockedError, SnapshotError
from trademl.lake.export import last_build, open_warehouse
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import Manifest, current_seq, read_manifest
from trademl.lake.snapshot import Snapshot, open_snapshot, take_snapshot, warehouse_stamp
from trademl.log import get_logger

_LOG = get_logger("warehouse.read")
_GIT_SECONDS = 10


def read_snapshot(
    home: Home, as_known_at: datetime | str | None = None, *, verify: bool = False, now: Clock = utc_now
) -> Snapshot:
    """Open the current snapshot; first take one if a build finished after it (a plain ``dbt build``, say).

    While a build runs, and after one that failed, was cut short or covered a selection only, the previous snapshot is
    what there is to read.

    Args:
        home: the home.
        as_known_at: read the warehouse as built for this instant; None means the present.
        verify: check the sha256 of every file.
        now: gives the time of a snapshot taken here.

    Raises:
        SnapshotError: no build has finished yet, or the snapshot does not verify.
    """
    layout = _layout(home, as_known_at)
    try:
        if _is_stale(layout):
            take_snapshot(layout, git_revision=git_revision(home), now=now, again=False)
    except LockedError:
        if current_seq(layout) is None:
            raise
        _LOG.info("a build or another reader is at work: reading the previous snapshot")
    if current_seq(layout) is None:
        raise SnapshotError(_nothing(layout), remedy=_build_command(layout, as_known_at))
    return open_snapshot(layout, verify=verify)


def publish_after_build(
    home: Home,
    as_known_at: datetime | str | None = None,
    *,
    now: Clock = utc_now,
    progress: Callable[[str], None] | None = None,
) -> Manifest:
    """Take the snapshot of a build that has just ended; the warehouse file must be closed.

    Raises:
        LockedError: something still holds the warehouse file.
        SnapshotError: the build did not finish well, or what it left cannot be published.
    """
    layout = _layout(home, as_known_at)
    return take_snapshot(layout, git_revision=git_revision(home), now=now, progress=progress)


def git_revision(home: Home) -> str:
    """Return the commit of the home's repository, ``unknown`` where there is none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=home.root,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else "unknown"


def _layout(home: Home, as_known_at: datetime | str | None) -> Layout:
    layout = layout_of(home)
    return layout if as_known_at is None else layout.as_known(as_known_at)


def _is_stale(layout: Layout) -> bool:
    """Tell whether the warehouse holds a finished build that CURRENT does not show.

    The file is opened only when its times and sizes differ from the manifest's. (dbt's target/run_results.json would be
    another sign, but it lies wherever DBT_TARGET_PATH says.)

    Raises:
        LockedError: a build holds the file.
    """
    if not layout.warehouse.is_file():
        return False
    manifest = read_manifest(layout) if current_seq(layout) is not None else None
    if manifest is not None and manifest.warehouse_stamp == warehouse_stamp(layout.warehouse):
        return False
    con = open_warehouse(layout.warehouse)
    try:
        build = last_build(con)
    finally:
        con.close()
    if build is None or build.status != "success":
        _LOG.info("the last build in %s did not finish: reading the previous snapshot", layout.warehouse)
        return False
    return manifest is None or build.build_id != manifest.build_id


def _nothing(layout: Layout) -> str:
    if layout.known_as_of is not None:
        return f"no snapshot of the warehouse as known at {layout.known_as_of}"
    told = "and no finished build" if layout.warehouse.is_file() else "and no warehouse"
    return f"no snapshot in {layout.base} {told}"


def _build_command(layout: Layout, as_known_at: datetime | str | None) -> str:
    return "run `trademl build`" + (f" with `--as-known-at {as_known_at}`" if layout.known_as_of is not None else "")
