"""A source in an S3-compatible store, through obstore (the extra ``s3``).

Region, endpoint and credentials come from the usual variables: AWS_REGION, AWS_ENDPOINT, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ALLOW_HTTP, ... Objects come in ranges, so a range that failed is asked for again and a pull
that broke off goes on where it was.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trademl.errors import MissingExtra, ReleaseError
from trademl.lake.transports.receiving import Pace, Received, open_part, part_size

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_LOOK = "see whether bucket, prefix, region, endpoint and credentials (AWS_* variables) are right, and try again"
_RANGE = 4 << 20
_MOST_RETRIES = 5


class S3Transport:
    """Reads from an object store whose keys are the names in a server's lake.

    Args:
        store: any obstore store; its prefix is the lake.
        limit_kib: KiB a second at most; None means no limit.
        where: what to call it in messages.
    """

    def __init__(self, store: "ObjectStore", limit_kib: int | None = None, where: str = "the object store") -> None:
        self.store = store
        self.limit_kib = limit_kib
        self.where = where

    @classmethod
    def of(cls, bucket: str, prefix: str, limit_kib: int | None = None) -> "S3Transport":
        """Return the transport of a bucket and prefix.

        Raises:
            MissingExtra: obstore is not installed.
            ReleaseError: the AWS_* variables hold something that obstore does not accept.
        """
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ModuleNotFoundError as error:
            raise MissingExtra("obstore", "s3") from error
        where = f"s3://{bucket}/{prefix}".rstrip("/")
        try:
            store = S3Store(
                bucket,
                prefix=prefix or None,
                # Options given here replace those of the environment, so its AWS_ALLOW_HTTP is read here.
                client_options={"connect_timeout": "20s", "timeout": "120s", "allow_http": _plain_http()},
                retry_config={"max_retries": _MOST_RETRIES},
            )
        except (BaseError, ValueError) as error:
            raise ReleaseError(f"{where} cannot be opened: {_first_line(error)}", remedy=_LOOK) from error
        return cls(store, limit_kib, where)

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file; see :class:`~trademl.lake.transport.Transport`."""
        raw = self._range(name, 0, limit + 1)
        if len(raw) > limit:
            raise ReleaseError(
                f"{name} of {self.where} has more than {limit} bytes", remedy="do not use this source: no release is so"
            )
        return raw

    def fetch(self, sizes: Mapping[str, int], folder: Path, received: Received) -> None:
        """Bring objects; see :class:`~trademl.lake.transport.Transport`."""
        pace = Pace(self.limit_kib, received)
        for name, size in sizes.items():
            part = folder / name
            begun = part_size(part)
            with open_part(part) as out:
                while begun < size:
                    most = _RANGE if self.limit_kib is None else pace.piece
                    raw = self._range(f"objects/{name}", begun, min(most, size - begun))
                    if not raw:
                        break
                    out.write(raw)
                    pace.took(len(raw))
                    begun += len(raw)

    def _range(self, name: str, start: int, length: int) -> bytes:
        import obstore
        from obstore.exceptions import BaseError

        try:
            return bytes(obstore.get_range(self.store, name, start=start, length=length))
        except FileNotFoundError as error:
            raise ReleaseError(f"the source has no {name} in {self.where}", remedy=_LOOK) from error
        except (BaseError, ValueError, OSError) as error:
            raise ReleaseError(
                f"{name} of {self.where} cannot be read from byte {start}: {_first_line(error)}", remedy=_LOOK
            ) from error


def _plain_http() -> bool:
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
