"""Copying from a folder."""

import os
import time
from pathlib import Path

import pytest

from trademl.errors import ReleaseError
from trademl.lake.transports.local import LocalTransport


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "objects").mkdir(parents=True)
    (tmp_path / "source" / "RELEASED").write_bytes(b"12\n")
    (tmp_path / "source" / "objects" / "a").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "source" / "objects" / "empty").write_bytes(b"")
    (tmp_path / "parts").mkdir()
    return tmp_path / "source"


def test_objects_arrive_whole_and_are_counted(source: Path, tmp_path: Path) -> None:
    """Two objects, one of them empty, byte for byte; the counts add up to what came."""
    seen: list[int] = []
    LocalTransport(source).fetch({"a": 256_000, "empty": 0}, tmp_path / "parts", seen.append)
    assert (tmp_path / "parts" / "a").read_bytes() == (source / "objects" / "a").read_bytes()
    assert (tmp_path / "parts" / "empty").read_bytes() == b""
    assert sum(seen) == 256_000


def test_a_part_is_gone_on_with(source: Path, tmp_path: Path) -> None:
    """Only what is missing is copied, and what is there is not read again."""
    (tmp_path / "parts" / "a").write_bytes(b"?" * 200_000)
    seen: list[int] = []
    LocalTransport(source).fetch({"a": 256_000}, tmp_path / "parts", seen.append)
    assert (tmp_path / "parts" / "a").read_bytes() == b"?" * 200_000 + (bytes(range(256)) * 1000)[200_000:]
    assert sum(seen) == 56_000


def test_the_bandwidth_limit_is_kept(source: Path, tmp_path: Path) -> None:
    """250 KiB at 500 KiB a second take half a second."""
    began = time.monotonic()
    LocalTransport(source, 500).fetch({"a": 256_000}, tmp_path / "parts", lambda count: None)
    assert 0.49 <= time.monotonic() - began < 5.0


def test_a_small_file_is_read_up_to_its_limit(source: Path) -> None:
    """Exactly the limit is allowed, a byte more is not."""
    transport = LocalTransport(source)
    assert transport.read("RELEASED", 3) == b"12\n"
    with pytest.raises(ReleaseError, match="has more than 2 bytes"):
        transport.read("RELEASED", 2)


def test_what_cannot_be_read_is_named(source: Path, tmp_path: Path) -> None:
    """An absent folder, an absent object, one of another size, a pipe, a folder: each says what it is."""
    parts = tmp_path / "parts"
    with pytest.raises(ReleaseError, match=r"the source has no RELEASED: .*gone/RELEASED does not exist"):
        LocalTransport(tmp_path / "gone").read("RELEASED", 32)
    transport = LocalTransport(source)
    with pytest.raises(ReleaseError, match=r"the source has no objects/b"):
        transport.fetch({"b": 1}, parts, lambda count: None)
    with pytest.raises(ReleaseError, match=r"object a has 256000 bytes in .*, the release says 255999"):
        transport.fetch({"a": 255_999}, parts, lambda count: None)
    os.mkfifo(source / "objects" / "pipe")
    (source / "objects" / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ReleaseError, match=f"{name} is not a plain file"):
            transport.fetch({name: 0}, parts, lambda count: None)
    assert list(parts.iterdir()) == []
