"""Attacks on a pull: hostile releases are refused by name, flipped bits noticed, planted links lead nowhere."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lake.hostile import FIRST, HOSTILE, NEXT, Hostile
from tests.lake.small_release import BARS, NOON_AFTER, Server, at, newest_close, server_in, state
from trademl.errors import ReleaseError
from trademl.lake.files import write_atomic
from trademl.lake.layout import Layout
from trademl.lake.pull import Pulled, pull

FLIPS = 100


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


@pytest.fixture
def device(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "device")


def bring(server: Server, device: Layout, **changed: Any) -> Pulled:
    return pull(device, server.config(), **{"now": at(NOON_AFTER), **changed})


def served(device: Layout) -> dict[str, bytes]:
    """What decides on what a device reads: pointers, documents and manifests."""
    return {name: raw for name, raw in state(device).items() if not name.startswith("objects/")}


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name.replace(" ", "-"))
def test_what_is_hostile_is_refused_by_name(server: Server, device: Layout, hostile: Hostile) -> None:
    """Each attack is refused with its own message; pointer, documents and what is read stay as they were."""
    server.publish(FIRST)
    bring(server, device)
    before = served(device)
    hostile.attack(server, device)
    with pytest.raises(ReleaseError, match=hostile.told) as caught:
        bring(server, device, now=at(hostile.now))
    assert caught.value.remedy
    assert served(device) == before
    assert newest_close(device) == (FIRST, 3.0)
    # No object under a name that is not its sha256, and the device is not stuck: an honest release still comes.
    server.publish(NEXT + 2, shift=0.5)
    assert bring(server, device).seq == NEXT + 2
    assert newest_close(device) == (NEXT + 2, 3.5)


def test_a_replayed_release_is_refused(server: Server, device: Layout) -> None:
    """A source that goes back to an earlier, genuine release is refused, whatever its document says."""
    server.publish(1)
    first = server.layout.release(1).read_bytes(), server.layout.signature(1).read_bytes()
    bring(server, device)
    server.publish(2, shift=0.5)
    bring(server, device)
    before = state(device)
    server.publish_raw(1, *first)
    with pytest.raises(ReleaseError, match="release 1 is offered again, but this device has had release 2"):
        bring(server, device)
    assert state(device) == before


def test_a_bit_flipped_anywhere_is_noticed(server: Server, device: Layout) -> None:
    """100 flips, spread over pointer, document, signature and every object: refused, or the same release results."""
    release = server.publish(1)
    bring(server, device)
    release = server.publish(2, shift=0.5)
    targets = [server.layout.released, server.layout.release(2), server.layout.signature(2)]
    targets += [server.layout.objects / name for name in release.objects() if not (device.objects / name).exists()]
    accepted = 0
    for number in range(FLIPS):
        path = targets[number % len(targets)]
        raw = path.read_bytes()
        bit = number * 7919 % (8 * len(raw))
        altered = bytearray(raw)
        altered[bit // 8] ^= 1 << bit % 8
        write_atomic(path, bytes(altered))
        copy = Layout(device.root.with_name("copy"))
        shutil.copytree(device.root, copy.root)
        try:
            bring(server, copy)
            accepted += 1
            assert copy.release(2).read_bytes() == release.to_bytes()
            assert newest_close(copy) == (2, 3.5)
        except ReleaseError:
            assert served(copy) == served(device)
        write_atomic(path, raw)
        shutil.rmtree(copy.root)
    # Only the blanks of the unsigned pointer may differ and mean the same.
    assert accepted <= 2
    assert bring(server, device).seq == 2


def test_a_link_planted_for_a_new_object_is_replaced(server: Server, device: Layout, tmp_path: Path) -> None:
    """Links under the names of a new object and of its part lead nowhere: what they point to is not touched."""
    release = server.make(1)
    digest = release.tables[BARS].files[0].sha256
    secret = tmp_path / "secret"
    secret.write_bytes(b"precious")
    device.parts.mkdir(parents=True)
    device.object(digest).symlink_to(secret)
    (device.parts / f"{digest}.parquet").symlink_to(secret)
    device.releases.mkdir()
    device.release(1).symlink_to(secret)
    server.publish(1)
    bring(server, device)
    assert secret.read_bytes() == b"precious"
    assert not any(path.is_symlink() for path in device.root.rglob("*"))
    assert newest_close(device) == (1, 3.0)
