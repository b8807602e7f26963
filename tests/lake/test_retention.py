"""Going back, checking again, tidying up and telling how things stand."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lake.small_release import BARS, CREATED, NOON_AFTER, Server, at, newest_close, server_in, state
from tests.lake.small_warehouse import write_warehouse
from trademl.errors import LockedError, ReleaseError, SnapshotError
from trademl.lake.files import FileLock, write_atomic
from trademl.lake.layout import Layout
from trademl.lake.manifest import current_seq
from trademl.lake.offer import read_document
from trademl.lake.pull import Pulled, pull
from trademl.lake.reading import open_snapshot
from trademl.lake.release import Release
from trademl.lake.retention import LakeStatus, gc, lake_status, role_of, rollback, verify_releases
from trademl.lake.snapshot import take_snapshot


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


@pytest.fixture
def device(server: Server, tmp_path: Path) -> Layout:
    """A device that has pulled releases 1, 2 and 3; the newest close of each is 3 and its number in eighths."""
    layout = Layout(tmp_path / "device")
    for seq in (1, 2, 3):
        server.publish(seq, shift=seq / 8)
        bring(server, layout)
    return layout


def bring(server: Server, device: Layout, **changed: Any) -> Pulled:
    return pull(device, server.config(), **{"now": at(NOON_AFTER), **changed})


def back(server: Server, device: Layout) -> int:
    return rollback(device, server.config(), now=at(NOON_AFTER)).release.seq


def status(server: Server, layout: Layout, **changed: Any) -> LakeStatus:
    return lake_status(layout, server.config(), now=at(NOON_AFTER), **changed)


def test_a_rollback_reads_the_release_before(server: Server, device: Layout) -> None:
    """One step back each time; before the first there is none, and that refusal changes nothing."""
    done = rollback(device, server.config(), now=at(NOON_AFTER))
    assert (done.left, done.release.seq, done.expired, done.skipped) == (3, 2, False, {})
    assert newest_close(device) == (2, 3.25)
    assert back(server, device) == 1
    assert newest_close(device) == (1, 3.125)
    before = state(device)
    with pytest.raises(ReleaseError, match="no whole release before 1: none is kept"):
        back(server, device)
    assert state(device) == before


def test_a_pull_does_not_undo_a_rollback(server: Server, device: Layout) -> None:
    """The release that was left stays left, until a newer one comes or it is asked for."""
    assert back(server, device) == 2
    before = state(device)
    done = bring(server, device)
    assert (done.seq, done.changed) == (2, False)
    assert "release 3 was rolled back here" in done.note
    assert state(device) == before
    assert bring(server, device, again=True).changed
    assert newest_close(device) == (3, 3.375)
    assert not device.rolled_back.exists()
    assert back(server, device) == 2
    server.publish(4, shift=0.5)
    assert bring(server, device).seq == 4
    assert newest_close(device) == (4, 3.5)
    assert not device.rolled_back.exists()


def test_two_rollbacks_remember_the_newest(server: Server, device: Layout) -> None:
    """After 3 -> 2 -> 1 neither 2 nor another 3 is taken; the release that is read may be offered again."""
    documents = {
        seq: (server.layout.release(seq).read_bytes(), server.layout.signature(seq).read_bytes()) for seq in (1, 2)
    }
    back(server, device)
    back(server, device)
    assert device.rolled_back.read_bytes() == b"3\n"
    server.publish_raw(2, *documents[2])
    with pytest.raises(ReleaseError, match="release 2 is offered again, but this device has had release 3"):
        bring(server, device)
    server.publish_raw(1, *documents[1])
    assert "nothing to do" in bring(server, device).note
    assert device.rolled_back.read_bytes() == b"3\n"
    server.publish(3, shift=0.75)
    with pytest.raises(ReleaseError, match="release 3 is offered with another content"):
        bring(server, device)


def test_a_release_that_is_not_whole_is_passed_over(server: Server, device: Layout) -> None:
    """With an object of release 2 damaged, 1 is taken; why 2 was not is told."""
    release = read_release(device, 2)
    write_atomic(device.object(release.tables[BARS].files[-1].sha256), b"damaged")
    done = rollback(device, server.config(), now=at(NOON_AFTER))
    assert done.release.seq == 1
    assert list(done.skipped) == [2]
    assert "1 of 6 objects are not whole" in done.skipped[2]
    assert newest_close(device) == (1, 3.125)


def test_a_release_of_a_key_that_is_no_longer_trusted_is_passed_over(server: Server, device: Layout) -> None:
    """Going back does not lower the bar: signatures are checked again, with the keys of today."""
    other = Server(device)
    before = state(device)
    with pytest.raises(ReleaseError, match="no whole release before 3: 2: the release is signed with key"):
        rollback(device, other.config(), now=at(NOON_AFTER))
    assert state(device) == before


def test_going_back_to_an_expired_release_is_told(server: Server, device: Layout) -> None:
    """It can be read; whoever scores refuses it."""
    done = rollback(device, server.config(), now=at(CREATED + timedelta(days=5)))
    assert done.expired


def test_a_missing_manifest_is_made_again(server: Server, device: Layout) -> None:
    """It follows from the release."""
    device.manifest(2).unlink()
    assert back(server, device) == 2
    assert newest_close(device) == (2, 3.25)


def test_only_devices_go_back(server: Server, device: Layout, tmp_path: Path) -> None:
    """A publisher cannot, a builder has nothing to go back to, and a pull in progress is not disturbed."""
    with pytest.raises(ReleaseError, match="publishes releases, and no device goes back to a lower number"):
        back(server, server.layout)
    builder = Layout(tmp_path / "builder")
    with pytest.raises(ReleaseError, match="has pulled no release"):
        back(server, builder)
    write_warehouse(builder)
    take_snapshot(builder)
    with pytest.raises(ReleaseError, match="a snapshot that was built here"):
        back(server, builder)
    with FileLock(device.publish_lock), pytest.raises(LockedError):
        back(server, device)


def test_who_uses_a_lake_is_seen_from_it(server: Server, device: Layout, tmp_path: Path) -> None:
    """RELEASED makes a publisher, a pulled release a device, all else a builder."""
    builder = Layout(tmp_path / "builder")
    assert (role_of(server.layout), role_of(device), role_of(builder)) == ("publisher", "device", "builder")
    write_warehouse(builder)
    take_snapshot(builder)
    # Its own snapshot of a number that a release document has, too.
    write_atomic(builder.release(1), server.layout.release(1).read_bytes())
    assert role_of(builder) == "builder"


def test_what_was_pulled_verifies(server: Server, device: Layout) -> None:
    """The current release, or every one that is kept; on the server too."""
    (found,) = verify_releases(device, server.config())
    sizes = read_release(device, 3).objects()
    assert (found.seq, found.objects, found.bytes_total) == (3, len(sizes), sum(sizes.values()))
    assert [one.seq for one in verify_releases(device, server.config(), every=True)] == [1, 2, 3]
    assert [one.seq for one in verify_releases(server.layout, server.config())] == [3]


def test_what_was_altered_does_not_verify(server: Server, device: Layout) -> None:
    """An object, the document, the signature, the manifest: each alteration is told; pulling again mends it."""
    release = read_release(device, 3)
    victim = device.object(release.tables[BARS].files[0].sha256)
    other = device.manifest(2).read_bytes()
    for path, raw, told in (
        (victim, b"x" * victim.stat().st_size, "1 of 6 objects are not whole: .* has sha256"),
        (victim, b"x", "1 of 6 objects are not whole: .* has 1 bytes"),
        (device.signature(3), device.signature(2).read_bytes(), "does not fit the document"),
        (device.manifest(3), other.replace(b'"seq": 2', b'"seq": 3'), "is not the manifest of release 3"),
        (device.release(3), b"{}", "does not fit the document"),
        (device.release(3), device.release(2).read_bytes(), "does not fit the document"),
    ):
        whole = path.read_bytes()
        write_atomic(path, raw)
        with pytest.raises(ReleaseError, match=told):
            verify_releases(device, server.config())
        assert not bring(server, device).changed
        assert path.read_bytes() == whole
    for path in (device.signature(3), device.release(3)):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises((ReleaseError, SnapshotError), match=r"(cannot be read|has no release)"):
            verify_releases(device, server.config())
        bring(server, device)
        assert path.read_bytes() == whole
    assert verify_releases(device, server.config())[0].seq == 3


def test_there_must_be_a_release_to_verify(server: Server, tmp_path: Path) -> None:
    """An empty lake has none, and a pointer that is no number is told."""
    with pytest.raises(ReleaseError, match="has no release"):
        verify_releases(Layout(tmp_path / "empty"), server.config())
    server.publish(1)
    write_atomic(server.layout.released, b"first\n")
    with pytest.raises(SnapshotError, match="holds 'first', not a number"):
        verify_releases(server.layout, server.config())


def test_gc_keeps_the_newest_releases(server: Server, device: Layout) -> None:
    """With one to keep, the current release alone remains, with its objects; bytes are counted."""
    before = sum(len(raw) for name, raw in state(device).items())
    done = gc(device, 1)
    after = sum(len(raw) for name, raw in state(device).items())
    assert done.releases == (1, 2)
    # Of each release: document, signature, manifest, its own newest session and its own model.
    assert (done.files, done.bytes) == (2 * 5, before - after)
    assert newest_close(device) == (3, 3.375)
    assert set(read_release(device, 3).objects()) == {p.name for p in device.objects.iterdir() if p.is_file()}
    assert gc(device, 1).files == 0


def test_gc_spares_what_is_read(server: Server, device: Layout) -> None:
    """A release that a reader has open stays until it is closed; the current one stays after a rollback."""
    with open_snapshot(device, 2) as opened:
        assert gc(device, 1).releases == (1,)
        assert opened.con.execute(f"select count(*) from {BARS}").fetchall() == [(15,)]
    assert back(server, device) == 2
    assert gc(device, 1).releases == ()
    assert newest_close(device) == (2, 3.25)


def test_gc_of_a_publisher_keeps_what_devices_pull(server: Server) -> None:
    """Older releases go from the server too; what RELEASED names stays, and what was never released goes."""
    for seq in (1, 2, 3):
        server.publish(seq, shift=seq / 8)
    write_atomic(server.layout.release(4), server.make(4).to_bytes())
    assert gc(server.layout, 2).releases == (1, 4)
    assert [one.seq for one in verify_releases(server.layout, server.config(), every=True)] == [2, 3]


def test_gc_of_a_builder_removes_no_release(server: Server, tmp_path: Path) -> None:
    """Without a pointer nobody knows which release is in use."""
    server.publish(1)
    server.layout.released.unlink()
    assert gc(server.layout, 1).releases == ()
    assert server.layout.release(1).exists()


def test_status_of_a_device(server: Server, device: Layout) -> None:
    """Release, age, expiry, sessions, bytes, what is kept; and what a pull would bring."""
    found = status(server, device)
    assert found.release == read_release(device, 3)
    assert (found.role, found.age, found.expired) == ("device", NOON_AFTER - CREATED, False)
    assert (found.sessions, found.kept, found.rolled_back, found.parts_bytes) == (3, (1, 2, 3), 0, 0)
    assert found.bytes_total == sum(found.release.objects().values())
    assert found.offered is not None
    assert (found.offered.seq, found.offered.objects, found.offered.bytes) == (3, 0, 0)
    new = server.publish(4, sessions=4, shift=0.5)
    offered = status(server, device).offered
    assert offered is not None
    lacking = {name: size for name, size in new.objects().items() if not (device.objects / name).exists()}
    # The fourth session, the third without its shift, the calendar and the model.
    assert (offered.seq, offered.objects, offered.bytes) == (4, 4, sum(lacking.values()))
    assert bring(server, device).bytes_new == offered.bytes
    assert status(server, device, ask=False).offered is None


def test_status_counts_parts_and_rollbacks(server: Server, device: Layout) -> None:
    """What an interrupted pull left, and the release that was left."""
    back(server, device)
    (device.parts / "x").write_bytes(bytes(77))
    found = status(server, device)
    assert (found.rolled_back, found.parts_bytes) == (3, 77)
    assert found.release is not None
    assert found.release.seq == 2 == current_seq(device)


def test_status_tells_of_a_source_that_cannot_be_used(server: Server, device: Layout) -> None:
    """A refused offer or an unreachable source is a problem to tell and no failure of the command."""
    write_atomic(server.layout.signature(3), b"{}")
    found = status(server, device)
    assert found.offered is None
    assert "the signature file is none" in found.problem
    assert found.release is not None


def test_status_of_others(server: Server, tmp_path: Path) -> None:
    """A publisher shows what it offers and asks nobody; an empty lake shows nothing, and what it could pull."""
    server.publish(1)
    found = status(server, server.layout)
    assert (found.role, found.kept, found.offered) == ("publisher", (1,), None)
    empty = status(server, Layout(tmp_path / "empty"))
    assert (empty.role, empty.release, empty.kept, empty.bytes_total) == ("builder", None, (), 0)
    assert empty.offered is not None
    assert empty.offered.objects == 6


def read_release(layout: Layout, seq: int) -> Release:
    return read_document(layout, seq)[0]
