"""Attacks and accidents: what a source may offer, or a device may have, that must be refused, each with its message.

Each is tried against a device that has pulled release 3 and must still read release 3 afterwards. Documents are signed
with the trusted key wherever the attack is not on the signature: what a good signature covers is checked all the same.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.lake.small_release import BARS, CALENDAR, CREATED, MODEL, NOON_AFTER, Server
from trademl.lake.files import write_atomic
from trademl.lake.keys import sign
from trademl.lake.layout import Layout
from trademl.lake.release import MAX_DOCUMENT, MAX_FILES, MAX_OBJECT

Document = dict[str, Any]

FIRST, NEXT = 3, 4
"""The release that a device has, and the one that an attack offers."""


@dataclass(frozen=True)
class Hostile:
    """One attack: what it does to the source and device, the device's clock, and what the refusal says (a pattern)."""

    name: str
    attack: Callable[[Server, Layout], object]
    told: str
    now: datetime = NOON_AFTER


def edited(change: Callable[[Document], object], **made: Any) -> Callable[[Server, Layout], None]:
    """Publish release 4 with its document changed, and signed as changed."""
    return lambda server, _: server.publish_changed(NEXT, change, **made)


def part_of(document: Document, table: str = BARS) -> list[Any]:
    part: list[Any] = document["tables"][table]["files"][-1]
    return part


def replace_object(server: Server, change: Callable[[bytes], bytes], asset: bool = False) -> None:
    """Publish release 4 and change the bytes of its newest object on the source."""
    release = server.publish(NEXT, shift=1.0)
    digest = release.assets[MODEL].sha256
    path = server.layout.asset(digest) if asset else server.layout.object(release.tables[BARS].files[-1].sha256)
    write_atomic(path, change(path.read_bytes()))


def special(server: Server, make: Callable[[str], object]) -> None:
    release = server.publish(NEXT, shift=1.0)
    path = server.layout.object(release.tables[BARS].files[-1].sha256)
    path.unlink()
    make(str(path))


def wrong_key(server: Server, _: Layout) -> None:
    raw = server.make(NEXT).to_bytes()
    server.publish_raw(NEXT, raw, sign(raw, Ed25519PrivateKey.generate()))


def altered_document(server: Server, _: Layout) -> None:
    raw = server.make(NEXT).to_bytes()
    server.publish_raw(NEXT, raw.replace(b'"horizon":5', b'"horizon":6'), sign(raw, server.key))


def truncated_document(server: Server, _: Layout) -> None:
    raw = server.make(NEXT).to_bytes()
    server.publish_raw(NEXT, raw[: len(raw) // 2], sign(raw, server.key))


def signature_of_another(server: Server, _: Layout) -> None:
    server.publish(NEXT, shift=1.0)
    shutil.copy(server.layout.signature(FIRST), server.layout.releases / "copy")
    os.replace(server.layout.releases / "copy", server.layout.signature(NEXT))


def document_under_another_number(server: Server, _: Layout) -> None:
    raw = server.make(NEXT).to_bytes()
    server.publish_raw(NEXT + 1, raw)


def pointer(raw: bytes) -> Callable[[Server, Layout], None]:
    return lambda server, _: write_atomic(server.layout.released, raw, mode=0o644)


def replay(server: Server, _: Layout) -> None:
    server.publish(FIRST - 1)


def number_zero(server: Server, _: Layout) -> None:
    document = json.loads(server.make(NEXT).to_bytes())
    server.publish_raw(0, json.dumps({**document, "seq": 0}).encode())


def same_number_other_bytes(server: Server, _: Layout) -> None:
    server.publish(FIRST, shift=9.0)


def expire_first(document: Document) -> None:
    document["expires"] = document["created"]


def repeat_with_another_size(document: Document) -> None:
    files = document["tables"][BARS]["files"]
    files.append([*files[0][:2], files[0][2] + 1, files[0][3]])


def many_files(document: Document) -> None:
    document["tables"][BARS]["files"] = [["x", f"{number:064x}", 1, 1] for number in range(MAX_FILES + 1)]


def more_than_the_disk(document: Document) -> None:
    document["tables"][BARS]["files"] = [["x", f"{number:064x}", MAX_OBJECT, 1] for number in range(10_000)]


def rename(document: Document, kind: str, old: str, new: str) -> None:
    document[kind][new] = document[kind].pop(old)


def retype(column: str, kind: str) -> Callable[[Server, Layout], None]:
    return edited(lambda document: document["tables"][BARS]["columns"].update({column: kind}), shift=1.0)


HOSTILE = (
    Hostile("signed with a key that is not trusted", wrong_key, r"signed with key [0-9a-f]{16}; trusted are"),
    Hostile("one digit of the document altered", altered_document, "does not fit the document"),
    Hostile("document cut in half", truncated_document, "does not fit the document"),
    Hostile("signature of another release", signature_of_another, "does not fit the document"),
    Hostile(
        "signature file empty",
        lambda s, _: s.publish_raw(NEXT, s.make(NEXT).to_bytes(), b""),
        "the signature file is none",
    ),
    Hostile(
        "signature file too large",
        lambda s, _: s.publish_raw(NEXT, s.make(NEXT).to_bytes(), b" " * 2000),
        "has more than 1024 bytes",
    ),
    Hostile(
        "document too large",
        lambda s, _: s.publish_raw(NEXT, b" " * (MAX_DOCUMENT + 1)),
        "has more than 16777216 bytes",
    ),
    Hostile("pointer that is a path", pointer(b"../../secret\n"), "not a number"),
    Hostile("pointer too large", pointer(b"1" * 33), "has more than 32 bytes"),
    Hostile("pointer without its document", pointer(b"7\n"), "the source has no releases/00000007.json"),
    Hostile("document under another number", document_under_another_number, "under that number is release 4"),
    Hostile("replay of an older release", replay, "release 2 is offered again, but this device has had release 3"),
    Hostile("number zero", number_zero, "seq: .* greater than or equal to 1"),
    Hostile("the same number with other bytes", same_number_other_bytes, "offered with another content"),
    Hostile(
        "expired",
        lambda s, _: s.publish(NEXT),
        "release 4 expired at 2024-03-06 21:30",
        now=CREATED + timedelta(days=5),
    ),
    Hostile(
        "clock years behind",
        lambda s, _: s.publish(NEXT),
        r"clock says 1970-01-01 .* before release 4 was made",
        now=datetime(1970, 1, 1, tzinfo=CREATED.tzinfo),
    ),
    Hostile(
        "clock an hour behind",
        lambda s, _: s.publish(NEXT),
        "60 minutes before release 4 was made .*; 10 minutes are allowed",
        now=CREATED - timedelta(hours=1),
    ),
    Hostile(
        "clock years ahead",
        lambda s, _: s.publish(NEXT),
        r"clock says 2031-01-01 .* days after release 4 expired",
        now=datetime(2031, 1, 1, tzinfo=CREATED.tzinfo),
    ),
    Hostile("expires when it was created", edited(expire_first), "are not two UTC times in order"),
    Hostile("time without a zone", edited(lambda d: d.update(created="2024-03-01T21:30:00")), "are not two UTC times"),
    Hostile("unknown field", edited(lambda d: d.update(run_this="rm")), "run_this: Extra inputs are not permitted"),
    Hostile("another format", edited(lambda d: d.update(format=2)), "has format 2, expected 1"),
    Hostile("number beyond all numbers", edited(lambda d: d.update(seq=10**8)), "seq: .* less than or equal"),
    Hostile("no JSON", lambda s, _: s.publish_raw(NEXT, b"\xff" * 50), "this is no release document"),
    Hostile("JSON nested without end", lambda s, _: s.publish_raw(NEXT, b"[" * 10**6), "this is no release document"),
    Hostile(
        "path as an object's name",
        edited(lambda d: part_of(d).__setitem__(1, "../../../etc/passwd")),
        "String should match pattern",
    ),
    Hostile(
        "path as an asset's name",
        edited(lambda d: rename(d, "assets", MODEL, "model/../../x.json")),
        "String should match pattern",
    ),
    Hostile(
        "table of another schema",
        edited(lambda d: rename(d, "tables", BARS, "pg_catalog.pg_class")),
        "String should match pattern",
    ),
    Hostile("one object with two sizes", edited(repeat_with_another_size), r"is listed with \d+ and \d+ bytes"),
    Hostile("negative size", edited(lambda d: part_of(d).__setitem__(2, -1)), "greater than or equal to 0"),
    Hostile(
        "object beyond the limit", edited(lambda d: part_of(d).__setitem__(2, MAX_OBJECT + 1)), "less than or equal"
    ),
    Hostile("negative rows", edited(lambda d: part_of(d).__setitem__(3, -1)), "greater than or equal to 0"),
    Hostile("too many files", edited(many_files), "lists 20004 files, the limit is 20000"),
    Hostile("more than the disk holds", edited(more_than_the_disk), "is too full for the release: 21,474"),
    Hostile(
        "SQL as a column's type", retype("close", "DOUBLE) from x; drop table y; --"), "is not a plain column type"
    ),
    Hostile("SQL as a column's name", retype('close" from secrets --', "DOUBLE"), "String should match pattern"),
    Hostile("footer with another type", retype("close", "BIGINT"), "has column close of type DOUBLE, .* says BIGINT"),
    Hostile("footer with another nested type", retype("reasons", "INTEGER[]"), r"of type VARCHAR\[\], .* INTEGER\[\]"),
    Hostile("footer without a column", retype("volume", "BIGINT"), "has no column volume"),
    Hostile(
        "footer with one column more",
        edited(lambda d: d["tables"][BARS]["columns"].pop("close")),
        "a column 'close', which the release does not list",
    ),
    Hostile(
        "footer with other rows",
        edited(lambda d: part_of(d).__setitem__(3, 6), shift=1.0),
        "has 5 rows, the release says 6",
    ),
    Hostile(
        "grain that is no column",
        edited(lambda d: d["tables"][CALENDAR].update(grain=["symbol"])),
        "grain of silver.calendar is not among its columns",
    ),
    Hostile(
        "object that is no parquet",
        lambda s, _: publish_garbage(s),
        "no parquet file that can be read",
    ),
    Hostile("object missing", lambda s, _: special(s, lambda path: None), "the source has no objects/"),
    Hostile("object cut in half", lambda s, _: replace_object(s, lambda raw: raw[: len(raw) // 2]), "the release says"),
    Hostile("object too large", lambda s, _: replace_object(s, lambda raw: raw + b"x"), "the release says"),
    Hostile(
        "object of the right size with another byte",
        lambda s, _: replace_object(s, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        "as the source sends it has sha256",
    ),
    Hostile(
        "model of the right size with another byte",
        lambda s, _: replace_object(s, lambda raw: b"X" + raw[1:], asset=True),
        "as the source sends it has sha256",
    ),
    Hostile(
        "object that is an endless device",
        lambda s, _: special(s, lambda path: os.symlink("/dev/zero", path)),
        "is not a plain file",
    ),
    Hostile("object that is a pipe", lambda s, _: special(s, os.mkfifo), "is not a plain file"),
    Hostile("object that is a folder", lambda s, _: special(s, os.mkdir), "is not a plain file"),
)


def publish_garbage(server: Server) -> None:
    """Publish release 4 with an object whose size and hash are right and whose content is no parquet."""
    asset = server.asset_object(b"PAR1 no parquet at all PAR1")
    write_atomic(server.layout.object(asset.sha256), server.layout.asset(asset.sha256).read_bytes())

    def change(document: Document) -> None:
        part_of(document)[1:3] = [asset.sha256, asset.bytes]

    server.publish_changed(NEXT, change)
