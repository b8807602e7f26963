"""Which transport a source is read with."""

from pathlib import Path

import pytest

from trademl.config.lake import LakeConfig
from trademl.errors import ConfigError
from trademl.lake.transport import transport_of
from trademl.lake.transports.local import LocalTransport
from trademl.lake.transports.rsync import RsyncTransport


def test_a_folder_is_copied_from() -> None:
    """A path means this machine, with the configured pace."""
    found = transport_of(LakeConfig(source="/srv/lake", bandwidth_limit_kib=7))
    assert isinstance(found, LocalTransport)
    assert (found.root, found.limit_kib, found.where) == (Path("/srv/lake"), 7, "/srv/lake")


def test_a_host_is_read_with_rsync() -> None:
    """ssh:// means rsync, with user, port and pace on its command line, each a word of its own."""
    found = transport_of(LakeConfig(source="ssh://me@host:2222/srv/lake", bandwidth_limit_kib=7))
    assert isinstance(found, RsyncTransport)
    assert (found.where, found.limit_kib) == ("me@host:/srv/lake", 7)
    assert " -p 2222" in found._command()[-1]


def test_a_bucket_is_read_with_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    """s3:// means obstore, with the bucket and prefix of the source."""
    pytest.importorskip("obstore", reason="the extra s3 is not installed")
    from trademl.lake.transports.s3 import S3Transport

    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = transport_of(LakeConfig(source="s3://bucket/deep/lake", bandwidth_limit_kib=7))
    assert isinstance(found, S3Transport)
    assert (found.where, found.limit_kib) == ("s3://bucket/deep/lake", 7)
    assert "bucket" in repr(found.store)


def test_without_a_source_nothing_is_guessed() -> None:
    """The message says what to write."""
    with pytest.raises(ConfigError, match="names no source"):
        transport_of(LakeConfig())
