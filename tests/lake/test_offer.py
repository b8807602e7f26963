"""What a source offers, and what a lake holds; refusals of offers are in test_pull.py, attack by attack."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.lake.small_release import CREATED, Server, server_in
from trademl.errors import ReleaseError, SnapshotError
from trademl.lake.files import write_atomic
from trademl.lake.layout import Layout
from trademl.lake.offer import Held, held_release, left_behind, read_document, read_offer, require_fresh
from trademl.lake.release import Release
from trademl.lake.transports.local import LocalTransport
from trademl.lake.transports.receiving import Received


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


class Recorded(LocalTransport):
    """A transport that notes what is asked of it."""

    asked: list[tuple[str, int]]

    def read(self, name: str, limit: int) -> bytes:
        self.asked = [*getattr(self, "asked", []), (name, limit)]
        return super().read(name, limit)

    def fetch(self, sizes: object, folder: Path, received: Received) -> None:
        raise AssertionError("an offer fetches no object")


def test_an_offer_is_read_in_three_small_pieces(server: Server) -> None:
    """Pointer, document and signature, each with its limit, and nothing else."""
    release = server.publish(12)
    source = Recorded(server.layout.root)
    offer = read_offer(source, server.config())
    assert offer.release == release
    assert (offer.raw, offer.signature) == (release.to_bytes(), server.layout.signature(12).read_bytes())
    assert source.asked == [
        ("RELEASED", 32),
        ("releases/00000012.json", 16 * 2**20),
        ("releases/00000012.json.sig", 1024),
    ]


def test_nothing_unsigned_is_parsed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document with a wrong signature never reaches the parser."""
    raw = server.make(1).to_bytes()
    server.publish_raw(1, raw + b" ", server.layout.root.name.encode())
    monkeypatch.setattr("trademl.lake.offer.parse_release", lambda raw: pytest.fail("it was parsed"))
    with pytest.raises(ReleaseError, match="the signature file is none"):
        read_offer(LocalTransport(server.layout.root), server.config())


@pytest.mark.parametrize(
    "late, told",
    [
        (timedelta(minutes=-10), ""),
        (timedelta(minutes=-10, seconds=-1), "10 minutes are allowed"),
        (timedelta(days=-3), "3 days before release 1 was made"),
        (timedelta(hours=-5), "5 hours before release 1 was made"),
        (timedelta(days=5, seconds=-1), ""),
        (timedelta(days=5), "release 1 expired at 2024-03-06 21:30:00 UTC; it is 2024-03-06 21:30:00 UTC"),
        (timedelta(days=5 + 366), "release 1 expired at"),
        (timedelta(days=5 + 366, seconds=1), "366 days after release 1 expired"),
    ],
)
def test_the_clock_decides_to_the_second(server: Server, late: timedelta, told: str) -> None:
    """From ten minutes before it was made until it expires; a clock that is years off is told apart from age."""
    release: Release = server.make(1)
    if not told:
        require_fresh(release, CREATED + late, timedelta(minutes=10))
        return
    with pytest.raises(ReleaseError, match=told):
        require_fresh(release, CREATED + late, timedelta(minutes=10))


def test_a_lake_holds_what_current_names(server: Server, tmp_path: Path) -> None:
    """Nothing at first; then the document under CURRENT's number, which must be of that number."""
    device = Layout(tmp_path / "device")
    assert held_release(device) is None
    raw = server.make(5).to_bytes()
    write_atomic(device.release(5), raw)
    write_atomic(device.current, b"5\n")
    held = held_release(device)
    assert held is not None
    assert (held.seq, held.release, held.raw) == (5, server.make(5), raw)
    write_atomic(device.release(5), raw[:-1])
    assert held_release(device) == Held(5, None)
    write_atomic(device.release(6), raw)
    with pytest.raises(ReleaseError, match=r"00000006\.json documents release 5"):
        read_document(device, 6)


def test_the_mark_of_a_rollback_is_a_number(tmp_path: Path) -> None:
    """0 without one; anything but a number is told and not guessed at."""
    device = Layout(tmp_path)
    assert left_behind(device) == 0
    write_atomic(device.rolled_back, b"17\n")
    assert left_behind(device) == 17
    for raw in (b"", b"-1", b"seventeen", b"1" * 9):
        write_atomic(device.rolled_back, raw)
        with pytest.raises(SnapshotError, match="not a number"):
            left_behind(device)
