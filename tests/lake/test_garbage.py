"""What is removed, and what never is."""

import os
import time
from pathlib import Path

import pytest

from tests.lake.small_release import NOON_AFTER, Server, at, newest_close, server_in
from tests.lake.small_warehouse import write_warehouse
from trademl.lake.files import write_atomic
from trademl.lake.garbage import collect, release_numbers, remove_old_parts
from trademl.lake.layout import Layout
from trademl.lake.manifest import read_manifest
from trademl.lake.pull import pull
from trademl.lake.snapshot import collect_garbage, open_snapshot, take_snapshot


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


def names(layout: Layout) -> set[str]:
    return {path.name for path in layout.objects.iterdir() if path.is_file()}


def test_objects_of_releases_survive_snapshots(server: Server) -> None:
    """A server that goes on building keeps every object, tables and others, of every release document it has."""
    releases = [server.publish(seq, shift=seq / 8) for seq in (101, 102)]
    for number in range(7):
        write_warehouse(server.layout, build_id=str(number), shift=float(number))
        take_snapshot(server.layout)
    needed = set().union(*(release.objects() for release in releases))
    assert needed <= names(server.layout)
    tables = set().union(
        *(read_manifest(server.layout, int(p.stem)).object_names() for p in server.layout.manifests.iterdir())
    )
    assert names(server.layout) == needed | {f"{digest}.parquet" for digest in tables}
    # A document that goes takes its own objects with it, and only those.
    server.layout.release(101).unlink()
    collect_garbage(server.layout)
    assert names(server.layout) == set(releases[1].objects()) | {f"{digest}.parquet" for digest in tables}
    open_snapshot(server.layout, verify=True).close()


def test_manifests_of_a_devices_releases_survive(server: Server, tmp_path: Path) -> None:
    """Whatever number of manifests is kept otherwise: those of releases go only with their release."""
    device = Layout(tmp_path / "device")
    for seq in (1, 2, 3):
        server.publish(seq, shift=seq / 8)
        pull(device, server.config(), now=at(NOON_AFTER))
    assert collect(device, keep=1) == []
    assert release_numbers(device) == [1, 2, 3]
    write_atomic(device.current, b"1\n", mode=0o644)
    assert collect(device, keep=1) == []
    assert newest_close(device) == (1, 3.125)


def test_an_unreadable_release_keeps_every_object(server: Server) -> None:
    """Nobody knows what it needs."""
    release = server.publish(1)
    write_atomic(server.layout.release(2), b"{")
    write_atomic(server.layout.asset("0" * 64), b"unneeded")
    assert collect(server.layout, 5) == []
    server.layout.release(2).unlink()
    assert collect(server.layout, 5) == [server.layout.asset("0" * 64)]
    assert names(server.layout) == set(release.objects())


def test_parts_and_strangers_are_not_objects(server: Server) -> None:
    """Parts of a pull, and files that no release could name, are left alone."""
    server.publish(1)
    server.layout.parts.mkdir()
    (server.layout.parts / ("1" * 64)).write_bytes(b"half")
    (server.layout.objects / "README").write_bytes(b"hello")
    assert collect(server.layout, 5) == []


def test_what_dead_writers_left_is_removed_everywhere(server: Server) -> None:
    """Unfinished files beside objects, releases, manifests and pointers."""
    server.publish(1)
    server.layout.manifests.mkdir()
    folders = (server.layout.objects, server.layout.releases, server.layout.manifests, server.layout.root)
    left = [folder / ".incoming-1-dead" for folder in folders]
    for path in left:
        path.write_bytes(b"half")
    assert sorted(collect(server.layout, 5)) == sorted(left)


def test_parts_are_removed_after_a_day(server: Server) -> None:
    """A pull that was interrupted yesterday evening can still go on this morning."""
    server.layout.parts.mkdir(parents=True)
    now = time.time()
    for name, age in (("young", 3_600.0), ("old", 90_000.0)):
        path = server.layout.parts / name
        path.write_bytes(b"half")
        os.utime(path, (now - age, now - age))
    assert remove_old_parts(server.layout) == [server.layout.parts / "old"]
    assert (server.layout.parts / "young").exists()
