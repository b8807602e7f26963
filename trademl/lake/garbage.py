"""What no snapshot and no release needs any more is removed, and nothing else. The caller holds the publish lock."""

import re
import time
from datetime import timedelta
from pathlib import Path

from trademl.errors import ReleaseError, SnapshotError
from trademl.lake.layout import Layout
from trademl.lake.manifest import current_seq, read_manifest
from trademl.lake.reading import is_device, remove_unless_open
from trademl.lake.release import parse_release
from trademl.log import get_logger
from trademl.schema import BATCHES

_LOG = get_logger("lake.garbage")
_ABANDONED = timedelta(days=1)
_OBJECT = re.compile(r"[0-9a-f]{64}(\.parquet)?")


def collect(layout: Layout, keep: int) -> list[Path]:
    """Remove old manifests, dead writers' files and unneeded objects; return what was removed.

    The last ``keep`` manifests of each view stay, the current one, those that a reader has open and those of releases;
    so do all objects of what stays and of every release in the lake. Parts of a pull are not touched.
    """
    removed = []
    for view in _views(layout):
        current = current_seq(view)
        numbers = sorted(int(path.stem) for path in view.manifests.glob("[0-9]*.json"))
        # A number above CURRENT was never published: its writer died. Nobody else publishes while the lock is held.
        published = [number for number in numbers if current is not None and number <= current]
        for number in set(numbers) - set(published[-keep:]) - {current}:
            path = view.manifest(number)
            if not _of_release(view, number) and remove_unless_open(path):
                removed.append(path)
    removed += _remove_temporaries(layout)
    needed = _needed(layout)
    if needed is None:
        return removed
    for path in layout.objects.glob("*"):
        if _OBJECT.fullmatch(path.name) and path.name not in needed:
            path.unlink()
            removed.append(path)
    return removed


def release_numbers(layout: Layout) -> list[int]:
    """Return the numbers of the releases whose documents are in the lake, in order."""
    return sorted(int(path.stem) for path in layout.releases.glob("[0-9]*.json"))


def remove_old_parts(layout: Layout) -> list[Path]:
    """Remove what an interrupted pull has fetched of objects and no pull has gone on with for a day."""
    removed = []
    oldest = time.time() - _ABANDONED.total_seconds()
    for path in layout.parts.glob("*"):
        if path.lstat().st_mtime < oldest and not path.is_dir():
            path.unlink()
            removed.append(path)
    return removed


def _needed(layout: Layout) -> set[str] | None:
    """Return the file names of all objects in use, None when it cannot be known."""
    needed: set[str] = set()
    try:
        for view in _views(layout):
            for path in view.manifests.glob("[0-9]*.json"):
                needed |= {f"{digest}.parquet" for digest in read_manifest(view, int(path.stem)).object_names()}
        for number in release_numbers(layout):
            needed |= parse_release(layout.release(number).read_bytes()).objects().keys()
    except (SnapshotError, ReleaseError) as error:
        _LOG.warning("no object is removed, because a manifest or release cannot be read: %s", error)
        return None
    return needed


def _of_release(view: Layout, number: int) -> bool:
    """Tell whether a device made this manifest from a release that it still has: a rollback reads it again."""
    if view.known_as_of is not None or not view.release(number).is_file():
        return False
    try:
        return is_device(read_manifest(view, number))
    except SnapshotError:
        return False


def _views(layout: Layout) -> list[Layout]:
    known = [Layout(layout.root, folder.name) for folder in sorted((layout.root / "as_known").glob("*/"))]
    return [Layout(layout.root), *known]


def _remove_temporaries(layout: Layout) -> list[Path]:
    """Remove what dead writers left: at once where the publish lock covers the folder, after a day elsewhere."""
    removed = []
    views = _views(layout)
    covered = {layout.objects, layout.releases, *(view.manifests for view in views), *(view.base for view in views)}
    oldest = time.time() - _ABANDONED.total_seconds()
    for folder in (*covered, *(layout.batches(table) for table in BATCHES)):
        for path in folder.glob(".incoming-*"):
            if folder in covered or path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                removed.append(path)
    return removed
