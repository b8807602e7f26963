"""The pace of a download, and the files it is appended to."""

from pathlib import Path

import pytest

from trademl.lake.transports.receiving import Pace, open_part, part_size


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("limit, seconds", [(1, 512.0), (64, 8.0), (1024, 0.5), (512 * 1024, 1 / 1024)])
def test_bytes_come_no_faster_than_the_limit(limit: int, seconds: float) -> None:
    """512 KiB at a limit of 64 KiB a second take 8 seconds, in whatever pieces they come."""
    time = Time()
    seen: list[int] = []
    pace = Pace(limit, seen.append, clock=time.clock, sleep=time.sleep)
    left = 512 * 1024
    while left:
        count = min(pace.piece, left)
        pace.took(count)
        left -= count
    assert time.now - 100.0 == pytest.approx(seconds)
    assert sum(seen) == 512 * 1024
    # Progress is seen, and a key press is heard, several times a second.
    assert max(time.slept) <= 0.26


def test_time_lost_is_made_up() -> None:
    """The limit holds on average: after a pause of the network nobody sleeps."""
    time = Time()
    pace = Pace(1, lambda count: None, clock=time.clock, sleep=time.sleep)
    time.now += 10.0
    pace.took(10 * 1024)
    assert time.slept == []
    pace.took(1024)
    assert time.slept == [1.0]


def test_without_a_limit_nobody_sleeps() -> None:
    """None means as fast as it goes."""
    time = Time()
    pace = Pace(None, lambda count: None, clock=time.clock, sleep=time.sleep)
    pace.took(1 << 30)
    assert time.slept == []


def test_a_part_is_appended_to(tmp_path: Path) -> None:
    """What is there stays; what does not exist is empty and is made."""
    part = tmp_path / "part"
    assert part_size(part) == 0
    for raw in (b"one", b"two"):
        with open_part(part) as stream:
            stream.write(raw)
    assert part.read_bytes() == b"onetwo"
    assert part_size(part) == 6


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """A part that is a symbolic link is refused, and its target stays as it was."""
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "part").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link"):
        open_part(tmp_path / "part")
    assert (tmp_path / "target").read_bytes() == b"precious"
