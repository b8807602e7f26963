"""How bytes of a server's lake reach a device: one protocol, three ways, none of them trusted.

A transport only moves bytes. What they are worth is decided by :mod:`trademl.lake.pull`, from a signature and from
sha256, whatever the transport did.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from trademl.config.lake import LakeConfig, parse_source
from trademl.errors import ConfigError
from trademl.lake.transports.receiving import Received

__all__ = ["Received", "Transport", "transport_of"]


class Transport(Protocol):
    """Reads a server's lake; names are relative to it, with forward slashes.

    ``where`` is what messages call the source.
    """

    where: str

    def read(self, name: str, limit: int) -> bytes:
        """Return the file ``name``, of at most ``limit`` bytes.

        Raises:
            ReleaseError: there is none, it is larger, or the source cannot be reached.
        """
        ...

    def fetch(self, sizes: Mapping[str, int], folder: Path, received: Received) -> None:
        """Bring objects into ``folder``, under their own names; go on with what is there of them.

        What it leaves may still be short or wrong: the caller checks sizes and hashes. Killed or cut off, it leaves
        the beginnings of objects, from which the next call goes on.

        Args:
            sizes: bytes of each object, by its name in ``objects/``; what is there of one is no longer than that.
            folder: where to; it exists.
            received: told of bytes as they arrive.

        Raises:
            ReleaseError: an object is absent or larger, or the source cannot be reached.
        """
        ...


def transport_of(config: LakeConfig) -> Transport:
    """Return the transport of a configuration's source.

    Raises:
        ConfigError: there is no source.
        MissingExtra: the source needs an extra that is not installed.
    """
    if config.source is None:
        raise ConfigError(
            "configs/lake.yml names no source to pull from",
            remedy="write `source:` there: /path, ssh://user@host/path or s3://bucket/prefix",
        )
    source = parse_source(config.source)
    if source.kind == "ssh":
        from trademl.lake.transports.rsync import RsyncTransport

        return RsyncTransport(source, config.bandwidth_limit_kib)
    if source.kind == "s3":
        from trademl.lake.transports.s3 import S3Transport

        return S3Transport.of(source.host, source.path, config.bandwidth_limit_kib)
    from trademl.lake.transports.local import LocalTransport

    return LocalTransport(Path(source.path), config.bandwidth_limit_kib)
