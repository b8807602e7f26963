"""What a source offers: its release, accepted only when signature, number and times are right.

The signature comes first and covers the exact bytes: nothing of a document that no trusted key signed is ever parsed.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from trademl.config.lake import LakeConfig
from trademl.errors import ReleaseError, SnapshotError
from trademl.lake.keys import MAX_SIGNATURE, verify
from trademl.lake.layout import Layout
from trademl.lake.manifest import current_seq, read_manifest
from trademl.lake.reading import is_device
from trademl.lake.release import MAX_DOCUMENT, Release, parse_release
from trademl.lake.transport import Transport
from trademl.log import get_logger

MAX_POINTER = 32

_LOG = get_logger("lake.offer")
_POINTER = re.compile(rb"[0-9]{1,8}\n?")
_FAR = timedelta(days=366)
_PULL = "run `trademl lake pull`: it brings the current release whole again"
_OWN_HOME = "pull into a home of its own: `trademl init DIR`, then `trademl --home DIR lake pull`"


@dataclass(frozen=True)
class Offer:
    """A release whose signature is that of a trusted key.

    Attributes:
        release: what it documents.
        raw: the document, exactly as it was signed.
        signature: the signature file.
        key: the short name of the key.
    """

    release: Release
    raw: bytes
    signature: bytes
    key: str


@dataclass(frozen=True)
class Held:
    """The release that a device reads: its number, its document and the bytes that were signed.

    Without a document (None) it was damaged: its number is known, and a pull may bring it again.
    """

    seq: int
    release: Release | None
    raw: bytes = b""


def read_offer(source: Transport, config: LakeConfig) -> Offer:
    """Return the release that a source's ``RELEASED`` names; whether it is fresh is for :func:`require_fresh` to say.

    Raises:
        ReleaseError: the source has none, or the signature, the number or the document is not right.
    """
    text = source.read("RELEASED", MAX_POINTER)
    if not _POINTER.fullmatch(text):
        raise ReleaseError(
            f"RELEASED of {source.where} holds {text[:40]!r}, not a number", remedy="publish a release there again"
        )
    seq = int(text)
    # Both numbers come from a pointer that nobody signed: what the document says of itself has to agree.
    raw = source.read(f"releases/{seq:08d}.json", MAX_DOCUMENT)
    signature = source.read(f"releases/{seq:08d}.json.sig", MAX_SIGNATURE)
    key = verify(raw, signature, config.trusted_keys)
    release = parse_release(raw)
    if release.seq != seq:
        raise ReleaseError(
            f"RELEASED of {source.where} says {seq}, the document under that number is release {release.seq}",
            remedy="do not use this source: documents were exchanged",
        )
    return Offer(release, raw, signature, key)


def require_fresh(release: Release, now: datetime, skew: timedelta) -> None:
    """Check the times of a release against this machine's clock.

    Raises:
        ReleaseError: the release expired; or the clock says a time before it was made, or years after.
    """
    if now < release.created - skew:
        raise ReleaseError(
            f"this machine's clock says {_text(now)}, {_span(release.created - now)} before release {release.seq} was "
            f"made ({_text(release.created)}); {_span(skew)} are allowed",
            remedy="set the clock: `timedatectl` shows it, and whether it follows the network",
        )
    if now - release.expires > _FAR:
        raise ReleaseError(
            f"this machine's clock says {_text(now)}, {_span(now - release.expires)} after release {release.seq} "
            f"expired ({_text(release.expires)})",
            remedy="set the clock if it is wrong; else publish a release: this one is years old",
        )
    if now >= release.expires:
        raise ReleaseError(
            f"release {release.seq} expired at {_text(release.expires)}; it is {_text(now)}",
            remedy="publish a new release: `trademl lake publish` on the server",
        )


def held_release(layout: Layout) -> Held | None:
    """Return the release that this lake reads, None in a lake that has pulled nothing yet.

    Raises:
        ReleaseError: the lake is a builder's or publisher's own.
    """
    if layout.released.exists():
        raise ReleaseError(f"{layout.root} publishes releases itself (it has RELEASED)", remedy=_OWN_HOME)
    seq = current_seq(layout)
    if seq is None:
        return None
    if not layout.release(seq).exists() and not _pulled(layout, seq):
        raise ReleaseError(
            f"CURRENT of {layout.root} is {seq}, a snapshot that was built here and not pulled: "
            f"there is no {layout.release(seq)}",
            remedy=_OWN_HOME,
        )
    try:
        return Held(seq, *read_document(layout, seq))
    except ReleaseError as error:
        _LOG.warning("the document of the present release is damaged: %s", error)
        return Held(seq, None)


def read_document(layout: Layout, seq: int) -> tuple[Release, bytes]:
    """Return release ``seq`` of this lake and the bytes of its document.

    Raises:
        ReleaseError: there is no such document, or it is not that release's.
    """
    path = layout.release(seq)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}", remedy=_PULL) from error
    try:
        release = parse_release(raw)
    except ReleaseError as error:
        raise ReleaseError(f"{path}: {error.message}", remedy=_PULL) from error
    if release.seq != seq:
        raise ReleaseError(f"{path} documents release {release.seq}", remedy=_PULL)
    return release, raw


def _pulled(layout: Layout, seq: int) -> bool:
    try:
        return is_device(read_manifest(layout, seq))
    except SnapshotError:
        return False


def left_behind(layout: Layout) -> int:
    """Return the number of the release that a rollback left, 0 when there was none.

    Raises:
        SnapshotError: the file that says so is not a number.
    """
    try:
        text = layout.rolled_back.read_bytes()
    except FileNotFoundError:
        return 0
    if not _POINTER.fullmatch(text):
        raise SnapshotError(
            f"{layout.rolled_back} holds {text[:40]!r}, not a number",
            remedy="write the number of the newest release that this device has had, or delete the file",
        )
    return int(text)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}".strip()


def _span(length: timedelta) -> str:
    if length.days >= 2:
        return f"{length.days:,} days"
    minutes = round(length.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
