"""Pulling: a device's lake goes from one release to the next, or stays as it is.

Nothing is believed before it is checked, in this order: signature, number, times, free space, size and sha256 of every
object, parquet footers, the caller's own checks (golden values). Only then are the documents written, and ``CURRENT``
is flipped last. Dying at any point leaves the old release or the new one; what had arrived is used by the next pull.
"""

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from trademl.clock import Clock, utc_now
from trademl.config.lake import LakeConfig
from trademl.errors import ReleaseError
from trademl.lake.checks import check_footers, digest_of, fault_of, faulty_objects
from trademl.lake.files import FileLock, commit_file, write_atomic
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest, flip_current
from trademl.lake.offer import Held, Offer, held_release, left_behind, read_document, read_offer, require_fresh
from trademl.lake.release import Release
from trademl.lake.retention import collect_releases
from trademl.lake.transport import Transport, transport_of

Check = Callable[[Layout, Manifest, Release], None]
"""Judges a release whose objects are all there and not yet in use; raises when it must not be used."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that are wanted."""

SPARE_BYTES = 16 * 2**20
"""What must remain free on the disk beyond a release's bytes."""

_REPLAY = "do not use this source, or mend its RELEASED: numbers only go up"


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        seq: the release that the lake reads now.
        as_of: its last session.
        run_id: its model.
        changed: whether it is another one than before.
        objects_new: objects that were fetched.
        bytes_new: bytes that came over the wire for them.
        bytes_total: bytes of all objects of the release.
        key: the name of the key that signed it.
        seconds: how long it took.
        note: why nothing was done, or empty.
    """

    seq: int
    as_of: date
    run_id: str
    changed: bool
    objects_new: int
    bytes_new: int
    bytes_total: int
    key: str
    seconds: float
    note: str = ""


def pull(
    layout: Layout,
    config: LakeConfig,
    *,
    now: Clock = utc_now,
    transport: Transport | None = None,
    check: Check | None = None,
    progress: Progress | None = None,
    again: bool = False,
) -> Pulled:
    """Bring this lake to the release that the source offers.

    Args:
        layout: a device's lake.
        config: source, trusted keys and limits.
        now: this machine's clock.
        transport: reads the source; None means the one that ``config.source`` names.
        check: judges the new release before it is used.
        progress: told of bytes as they arrive.
        again: take a release that was rolled back here.

    Raises:
        ConfigError: there is no source.
        LockedError: another process pulls, or reads or removes releases.
        ReleaseError: the release is refused, the source cannot be reached, or the disk is full.
    """
    source = transport or transport_of(config)
    try:
        with FileLock(layout.publish_lock):
            return _pull(layout, config, source, now, check, progress, again)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(layout, str(error)) from error
        raise


def _pull(
    layout: Layout,
    config: LakeConfig,
    source: Transport,
    now: Clock,
    check: Check | None,
    progress: Progress | None,
    again: bool,
) -> Pulled:
    began = time.monotonic()
    held = held_release(layout)
    offer = read_offer(source, config)
    release = offer.release
    require_fresh(release, now(), timedelta(minutes=config.max_clock_skew_minutes))
    left = left_behind(layout)
    _require_newer(layout, held, offer, left)
    if held is not None and release.seq == left != held.seq and not again:
        told = f"release {left} was rolled back here; the next one will be pulled"
        return _result(read_document(layout, held.seq)[0], offer, changed=False, began=began, note=told)

    sizes = release.objects()
    faulty = faulty_objects(layout, sizes)
    missing = {name: sizes[name] for name in faulty}
    fetched = _fetch(layout, source, missing, progress)
    changed = held is None or held.seq != release.seq
    manifest = release.to_manifest()
    if changed or missing:
        check_footers(layout, release)
        if check is not None:
            check(layout, manifest, release)
    _write(layout.release(release.seq), offer.raw)
    _write(layout.signature(release.seq), offer.signature)
    _write(layout.manifest(release.seq), manifest.model_dump_json(indent=1).encode())
    if changed:
        flip_current(layout, release.seq)
    if release.seq >= left:
        layout.rolled_back.unlink(missing_ok=True)
    _tidy_parts(layout, {})
    collect_releases(layout, config.keep_releases)
    note = "" if changed or missing else "nothing to do: this is the release that the source offers"
    return _result(release, offer, changed=changed, began=began, objects=len(missing), received=fetched, note=note)


def _result(
    release: Release,
    offer: Offer,
    *,
    changed: bool,
    began: float,
    objects: int = 0,
    received: int = 0,
    note: str = "",
) -> Pulled:
    return Pulled(
        seq=release.seq,
        as_of=release.as_of,
        run_id=release.model.run_id,
        changed=changed,
        objects_new=objects,
        bytes_new=received,
        bytes_total=sum(release.objects().values()),
        key=offer.key,
        seconds=time.monotonic() - began,
        note=note,
    )


def _require_newer(layout: Layout, held: Held | None, offer: Offer, left: int) -> None:
    """Refuse a release older than one that this device has had, and another one under a number that it knows."""
    seq = offer.release.seq
    newest = max(held.seq if held else 0, left)
    reading = held is not None and seq == held.seq
    if seq < newest and not reading:
        raise ReleaseError(
            f"release {seq} is offered again, but this device has had release {newest} already: a replay",
            remedy=_REPLAY,
        )
    known = held.raw if held is not None and reading and held.release is not None else None
    if seq == left and not reading and layout.release(left).is_file():
        known = layout.release(left).read_bytes()
    if known is not None and known != offer.raw:
        raise ReleaseError(
            f"release {seq} is offered with another content than the release {seq} that is here", remedy=_REPLAY
        )


def _fetch(layout: Layout, source: Transport, missing: Mapping[str, int], progress: Progress | None) -> int:
    """Bring objects to their places, checked; return how many bytes came."""
    layout.objects.mkdir(parents=True, exist_ok=True)
    if not missing:
        return 0
    begun = _tidy_parts(layout, missing)
    wanted = sum(missing.values())
    there, came = sum(begun.values()), 0
    _require_space(layout, wanted - there)

    def received(count: int) -> None:
        nonlocal there, came
        there += count
        came += count
        if progress is not None:
            progress(min(there, wanted), wanted)

    received(0)
    source.fetch(missing, layout.parts, received)
    damaged = {}
    for name, size in missing.items():
        fault = fault_of(layout.parts / name, size, digest_of(name))
        if fault is None:
            _commit(layout, name)
        elif name in begun:
            # What an earlier pull had left of it may be at fault: power cuts do that.
            damaged[name] = size
        else:
            raise _refused(layout, name, fault)
    for name in damaged:
        there -= begun[name]
        (layout.parts / name).unlink(missing_ok=True)
    if damaged:
        source.fetch(damaged, layout.parts, received)
    for name, size in damaged.items():
        fault = fault_of(layout.parts / name, size, digest_of(name))
        if fault is not None:
            raise _refused(layout, name, fault)
        _commit(layout, name)
    return came


def _refused(layout: Layout, name: str, fault: str) -> ReleaseError:
    (layout.parts / name).unlink(missing_ok=True)
    return ReleaseError(
        f"object {name} as the source sends it {fault}", remedy="publish the release again; nothing of it was used"
    )


def _commit(layout: Layout, name: str) -> None:
    path = layout.objects / name
    if path.is_dir() and not path.is_symlink():
        raise ReleaseError(f"{path} is a folder", remedy="look what is in it, move it away, and pull again")
    commit_file(layout.parts / name, path)


def _tidy_parts(layout: Layout, wanted: Mapping[str, int]) -> dict[str, int]:
    """Make the folder of parts and remove what the present pull has no use for; return the bytes of what stays."""
    if layout.parts.is_symlink():
        layout.parts.unlink()
    layout.parts.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for path in layout.parts.iterdir():
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size <= wanted.get(path.name, -1):
            # As some sources' objects are, parts may be read-only.
            path.chmod(0o644)
            sizes[path.name] = status.st_size
        elif stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    return sizes


def _require_space(layout: Layout, needed: int) -> None:
    disk = os.statvfs(layout.objects)
    free = disk.f_bavail * disk.f_frsize
    if free < needed + SPARE_BYTES:
        raise _disk_full(
            layout, f"{needed:,} bytes are to be fetched, {free:,} are free and {SPARE_BYTES:,} of them stay free"
        )


def _disk_full(layout: Layout, told: str) -> ReleaseError:
    return ReleaseError(
        f"the disk of {layout.root} is too full for the release: {told}",
        remedy="free some space, perhaps with `trademl lake gc --keep 1`, and pull again: it goes on where it was",
    )


def _write(path: Path, raw: bytes) -> None:
    """Write a document durably unless it is there already; what a dead pull left under its name is replaced."""
    if path.is_symlink() or not path.is_file() or path.read_bytes() != raw:
        write_atomic(path, raw)
