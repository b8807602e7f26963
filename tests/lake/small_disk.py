"""A disk of a few megabytes that really is full: a tmpfs, where it may be mounted."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tests.lake.small_release import NOON_AFTER, at, newest_close, server_in
from trademl.errors import ReleaseError
from trademl.lake import pull as pulling
from trademl.lake.layout import Layout

MODEL_BYTES = 3_000_000
DISK_BYTES = 8 * 2**20


@contextmanager
def small_disk(folder: Path, size: int = DISK_BYTES) -> Iterator[Path | None]:
    """Mount a tmpfs of ``size`` bytes on ``folder``; gives None where this process may not."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        mounted = (
            os.geteuid() == 0
            and not subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
            ).returncode
        )
    except FileNotFoundError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@dataclass(frozen=True)
class FullDisk:
    """One pull onto a disk that fills up: with ``room`` bytes left when the first byte arrived."""

    room: int
    refused: str
    old_release_read: bool
    next_pull_completed: bool


def fill_during_pulls(disk: Path, folder: Path, rooms: list[int]) -> list[FullDisk]:
    """Pull onto ``disk`` while another writer leaves only ``room`` bytes of it, after the check of free space."""
    server = server_in(folder)
    server.publish(1, shift=0.125)
    documents = server.layout.release(1).read_bytes(), server.layout.signature(1).read_bytes()
    server.publish(2, shift=0.25, model=os.urandom(MODEL_BYTES))
    newer = server.layout.release(2).read_bytes(), server.layout.signature(2).read_bytes()
    found = []
    for number, room in enumerate(rooms):
        device, filler = Layout(disk / f"lake-{number}"), disk / "filler"
        server.publish_raw(1, *documents)
        # The disk is smaller than what is kept free otherwise.
        with mock.patch.object(pulling, "SPARE_BYTES", 0):
            pulling.pull(device, server.config(), now=at(NOON_AFTER))
        server.publish_raw(2, *newer)

        def fill(done: int, total: int, room: int = room, filler: Path = filler) -> None:
            if not filler.exists():
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                filler.write_bytes(bytes(max(free - room, 0)))

        refused = ""
        with mock.patch.object(pulling, "SPARE_BYTES", 0):
            try:
                pulling.pull(device, server.config(), now=at(NOON_AFTER), progress=fill)
            except ReleaseError as error:
                refused = error.message
            seen = newest_close(device)
            filler.unlink(missing_ok=True)
            pulling.pull(device, server.config(), now=at(NOON_AFTER))
        found.append(
            FullDisk(
                room,
                refused,
                old_release_read=seen == ((1, 3.125) if refused else (2, 3.25)),
                next_pull_completed=newest_close(device) == (2, 3.25),
            )
        )
        shutil.rmtree(device.root)
    return found
