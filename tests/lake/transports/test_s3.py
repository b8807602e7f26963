"""Reading from an object store."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from trademl.errors import MissingExtra, ReleaseError
from trademl.lake.transports.s3 import S3Transport

obstore = pytest.importorskip("obstore", reason="the extra s3 is not installed")

from obstore.store import LocalStore, MemoryStore  # noqa: E402

BIG = bytes(range(256)) * 40_000


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store", mkdir=True)
    obstore.put(made, "RELEASED", b"12\n")
    obstore.put(made, "objects/a", BIG)
    obstore.put(made, "objects/empty", b"")
    (tmp_path / "parts").mkdir()
    return made


def test_objects_arrive_whole_and_are_counted(store: Any, tmp_path: Path) -> None:
    """An object of several ranges and an empty one, byte for byte."""
    seen: list[int] = []
    S3Transport(store).fetch({"a": len(BIG), "empty": 0}, tmp_path / "parts", seen.append)
    assert (tmp_path / "parts" / "a").read_bytes() == BIG
    assert (tmp_path / "parts" / "empty").read_bytes() == b""
    assert sum(seen) == len(BIG)
    assert len(seen) > 1


def test_a_part_is_gone_on_with(store: Any, tmp_path: Path) -> None:
    """Only the missing end is asked for."""
    (tmp_path / "parts" / "a").write_bytes(b"?" * 10_000_000)
    seen: list[int] = []
    S3Transport(store).fetch({"a": len(BIG)}, tmp_path / "parts", seen.append)
    assert (tmp_path / "parts" / "a").read_bytes() == b"?" * 10_000_000 + BIG[10_000_000:]
    assert sum(seen) == len(BIG) - 10_000_000


def test_never_more_than_the_release_says_is_fetched(store: Any, tmp_path: Path) -> None:
    """An object that is larger at the source gives the bytes asked for and no more; a shorter one what there is."""
    S3Transport(store).fetch({"a": 1000}, tmp_path / "parts", lambda count: None)
    assert (tmp_path / "parts" / "a").read_bytes() == BIG[:1000]
    obstore.put(store, "objects/short", b"abc")
    with pytest.raises(ReleaseError, match="objects/short of the object store cannot be read from byte 3"):
        S3Transport(store).fetch({"short": 5}, tmp_path / "parts", lambda count: None)
    assert (tmp_path / "parts" / "short").read_bytes() == b"abc"


def test_the_bandwidth_limit_is_kept(store: Any, tmp_path: Path) -> None:
    """With a limit no range is longer than a quarter of a second's bytes."""
    seen: list[int] = []
    S3Transport(store, 400).fetch({"a": 150_000}, tmp_path / "parts", seen.append)
    assert max(seen) <= 100 * 1024
    assert (tmp_path / "parts" / "a").read_bytes() == BIG[:150_000]


def test_a_small_file_is_read_up_to_its_limit(store: Any) -> None:
    """Exactly the limit is allowed, a byte more is not; an absent one is named."""
    transport = S3Transport(store, where="s3://bucket/lake")
    assert transport.read("RELEASED", 3) == b"12\n"
    with pytest.raises(ReleaseError, match="RELEASED of s3://bucket/lake has more than 2 bytes"):
        transport.read("RELEASED", 2)
    with pytest.raises(ReleaseError, match="the source has no ABSENT in s3://bucket/lake"):
        transport.read("ABSENT", 2)


def test_a_store_that_does_not_answer_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port nobody listens on: after a few attempts a message that names bucket and file."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    transport = S3Transport.of("bucket", "deep/lake")
    with pytest.raises(ReleaseError, match="RELEASED of s3://bucket/deep/lake cannot be read from byte 0") as caught:
        transport.read("RELEASED", 32)
    assert "error sending request" in caught.value.message
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ReleaseError, match="builder error"):
        S3Transport.of("bucket", "deep/lake").read("RELEASED", 32)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base install that is pointed at a bucket says what to install."""
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(MissingExtra, match=r"trademl\[s3\]"):
        S3Transport.of("bucket", "lake")
