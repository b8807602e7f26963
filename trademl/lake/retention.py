"""Releases that are in a lake: which stay, whether they are whole, and how to go back to an earlier one."""

import os
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from trademl.clock import Clock, utc_now
from trademl.config.lake import LakeConfig
from trademl.errors import ReleaseError, SnapshotError, TrademlError
from trademl.lake.checks import check_footers, faulty_objects
from trademl.lake.files import FileLock, write_atomic
from trademl.lake.garbage import collect, release_numbers, remove_old_parts
from trademl.lake.keys import verify
from trademl.lake.layout import Layout
from trademl.lake.manifest import current_seq, flip_current, read_manifest
from trademl.lake.offer import held_release, left_behind, read_document, read_offer
from trademl.lake.reading import is_device, remove_unless_open
from trademl.lake.release import Release
from trademl.lake.transport import Transport, transport_of

KEEP_MANIFESTS = 5
SESSIONS_TABLE = "silver.equity_bar_window"
"""A table with one object a session."""

_WAIT_SECONDS = 120.0
_PULL = "run `trademl lake pull`: it fetches what is missing or damaged"

Role = Literal["publisher", "device", "builder"]
"""Who uses a lake: it has RELEASED, or reads a release that it pulled, or neither."""


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did; ``skipped`` says of releases in between why they were passed over."""

    left: int
    release: Release
    expired: bool
    skipped: dict[int, str]


@dataclass(frozen=True)
class Verified:
    """A release that is whole: signed by a trusted key, every object and footer as documented."""

    seq: int
    key: str
    objects: int
    bytes_total: int


@dataclass(frozen=True)
class Collected:
    """What was removed, and by how many bytes the objects shrank."""

    files: int
    bytes: int
    releases: tuple[int, ...]


@dataclass(frozen=True)
class Offered:
    """What a pull would bring: the release, and objects and bytes that are not here."""

    seq: int
    as_of: date
    objects: int
    bytes: int


@dataclass(frozen=True)
class LakeStatus:
    """How a lake stands. ``release`` is what a device reads, or what a publisher offers."""

    role: Role
    release: Release | None
    age: timedelta | None
    expired: bool
    sessions: int
    bytes_total: int
    kept: tuple[int, ...]
    rolled_back: int
    parts_bytes: int
    offered: Offered | None = None
    problem: str = ""


def role_of(layout: Layout) -> Role:
    """Return who uses a lake.

    Raises:
        SnapshotError: CURRENT names a manifest that cannot be read.
    """
    if layout.released.exists():
        return "publisher"
    seq = current_seq(layout)
    if seq is None or not layout.release(seq).is_file():
        return "builder"
    return "device" if is_device(read_manifest(layout, seq)) else "builder"


def current_release(layout: Layout) -> int | None:
    """Return the number of the release that a device reads or a publisher offers.

    Raises:
        SnapshotError: a pointer is not a number.
    """
    role = role_of(layout)
    if role == "device":
        return current_seq(layout)
    if role == "builder":
        return None
    text = layout.released.read_text(encoding="ascii", errors="replace").strip()
    if not (text.isascii() and text.isdigit()):
        raise SnapshotError(f"{layout.released} holds {text[:40]!r}, not a number", remedy="publish a release again")
    return int(text)


def rollback(layout: Layout, config: LakeConfig, *, now: Clock = utc_now) -> RolledBack:
    """Let a device read the newest earlier release that is whole; pulls do not bring back the one it leaves.

    Whether a release that has expired may be scored with is not decided here.

    Raises:
        LockedError: a pull runs.
        ReleaseError: this is no device, or no earlier release is whole.
    """
    with FileLock(layout.publish_lock):
        if role_of(layout) == "publisher":
            raise ReleaseError(
                f"{layout.root} publishes releases, and no device goes back to a lower number",
                remedy="roll back on the devices, or publish a new release of the earlier model",
            )
        held = held_release(layout)
        if held is None:
            raise ReleaseError(f"{layout.root} has pulled no release", remedy="run `trademl lake pull`")
        leaving = held.seq
        skipped: dict[int, str] = {}
        for seq in reversed([number for number in release_numbers(layout) if number < leaving]):
            try:
                _verified(layout, config, seq, manifest=False)
            except TrademlError as error:
                skipped[seq] = error.message
                continue
            release, _ = read_document(layout, seq)
            newest = max(left_behind(layout), leaving)
            # The mark comes first: dying between the two leaves the present release, and the next pull removes it.
            write_atomic(layout.rolled_back, f"{newest}\n".encode(), mode=0o644)
            write_atomic(layout.manifest(seq), release.to_manifest().model_dump_json(indent=1).encode())
            flip_current(layout, seq)
            return RolledBack(leaving, release, now() >= release.expires, skipped)
    told = "; ".join(f"{seq}: {why}" for seq, why in skipped.items()) or "none is kept"
    raise ReleaseError(
        f"there is no whole release before {leaving}: {told}", remedy="publish a new release of the earlier model"
    )


def verify_releases(layout: Layout, config: LakeConfig, *, every: bool = False) -> list[Verified]:
    """Check signature, hashes, footers and, on a device, the manifest: of the current release or of ``every`` one.

    Raises:
        ReleaseError: naming the first thing that is wrong; or there is no release.
    """
    with FileLock(layout.publish_lock, wait=_WAIT_SECONDS):
        current = current_release(layout)
        if current is None:
            raise ReleaseError(f"{layout.root} has no release", remedy="run `trademl lake pull`, or `lake publish`")
        device = role_of(layout) == "device"
        return [
            _verified(layout, config, seq, manifest=device) for seq in (release_numbers(layout) if every else [current])
        ]


def _verified(layout: Layout, config: LakeConfig, seq: int, *, manifest: bool) -> Verified:
    try:
        raw, signature = layout.release(seq).read_bytes(), layout.signature(seq).read_bytes()
    except OSError as error:
        raise ReleaseError(f"release {seq}: {error.filename} cannot be read: {error.strerror}", remedy=_PULL) from error
    key = verify(raw, signature, config.trusted_keys)
    release, _ = read_document(layout, seq)
    sizes = release.objects()
    faulty = faulty_objects(layout, sizes)
    if faulty:
        name, fault = next(iter(faulty.items()))
        raise ReleaseError(
            f"release {seq}: {len(faulty)} of {len(sizes)} objects are not whole: {name} {fault}", remedy=_PULL
        )
    check_footers(layout, release)
    if manifest and read_manifest(layout, seq) != release.to_manifest():
        raise ReleaseError(f"{layout.manifest(seq)} is not the manifest of release {seq}", remedy=_PULL)
    return Verified(seq, key, len(sizes), sum(sizes.values()))


def collect_releases(layout: Layout, keep: int) -> tuple[int, ...]:
    """Remove all but the newest ``keep`` releases and the current one, then what nobody needs; return the numbers.

    The caller holds the publish lock. A release whose manifest a reader has open stays until the next time.
    """
    current = current_release(layout)
    removed = []
    if current is not None:
        numbers = release_numbers(layout)
        # What lies above was never in use: its writer died before the pointer moved.
        top = max(current, left_behind(layout))
        stays = {current, *[number for number in numbers if number <= top][-keep:]}
        device = role_of(layout) == "device"
        for seq in (number for number in numbers if number not in stays):
            path = layout.manifest(seq)
            if device and path.exists() and not remove_unless_open(path):
                continue
            layout.signature(seq).unlink(missing_ok=True)
            layout.release(seq).unlink()
            removed.append(seq)
    collect(layout, KEEP_MANIFESTS)
    return tuple(removed)


def gc(layout: Layout, keep: int) -> Collected:
    """Remove old releases, old manifests, unneeded objects and parts that no pull has gone on with for a day.

    Raises:
        LockedError: a pull or a build holds the lake.
    """
    with FileLock(layout.publish_lock, wait=_WAIT_SECONDS):
        before = _stored(layout)
        releases = collect_releases(layout, keep)
        remove_old_parts(layout)
        after = _stored(layout)
    return Collected(len(before) - len(after), sum(before.values()) - sum(after.values()), releases)


def lake_status(
    layout: Layout, config: LakeConfig, *, now: Clock = utc_now, transport: Transport | None = None, ask: bool = True
) -> LakeStatus:
    """Return how a lake stands and, unless it publishes or ``ask`` is False, what its source offers.

    A source that cannot be reached, or offers what would be refused, is told of in ``problem``.

    Raises:
        ReleaseError, SnapshotError: a pointer or document of this lake is damaged.
    """
    role, seq = role_of(layout), current_release(layout)
    release = read_document(layout, seq)[0] if seq is not None else None
    offered, problem = None, ""
    if ask and role != "publisher" and (transport is not None or config.source is not None):
        try:
            offered = _offered(layout, transport or transport_of(config), config)
        except TrademlError as error:
            problem = error.message
    table = release.tables.get(SESSIONS_TABLE) if release else None
    return LakeStatus(
        role=role,
        release=release,
        age=now() - release.created if release else None,
        expired=release is not None and now() >= release.expires,
        sessions=len(table.files) if table else 0,
        bytes_total=sum(release.objects().values()) if release else 0,
        kept=tuple(release_numbers(layout)) if seq is not None else (),
        rolled_back=left_behind(layout),
        parts_bytes=sum(path.lstat().st_size for path in layout.parts.glob("*")),
        offered=offered,
        problem=problem,
    )


def _offered(layout: Layout, source: Transport, config: LakeConfig) -> Offered:
    release = read_offer(source, config).release
    lacking = {}
    for name, size in release.objects().items():
        path = layout.objects / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size != size:
            lacking[name] = size
    return Offered(release.seq, release.as_of, len(lacking), sum(lacking.values()))


def _stored(layout: Layout) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in (layout.objects, layout.parts, layout.releases, layout.manifests):
        if folder.is_dir():
            with os.scandir(folder) as entries:
                found |= {
                    entry.path: entry.stat(follow_symlinks=False).st_size
                    for entry in entries
                    if entry.is_file(follow_symlinks=False)
                }
    return found
