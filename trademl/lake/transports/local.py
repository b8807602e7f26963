"""A source on this machine: a folder, a mounted disk, a network share."""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from trademl.errors import ReleaseError
from trademl.lake.transports.receiving import Pace, Received, open_part, part_size

_LOOK = "see whether the folder is there and readable, and whether the release was published whole"


class LocalTransport:
    """Copies from the folder ``root``, a server's lake, at ``limit_kib`` KiB a second at most."""

    def __init__(self, root: Path, limit_kib: int | None = None) -> None:
        self.root = root
        self.limit_kib = limit_kib
        self.where = str(root)

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file; see :class:`~trademl.lake.transport.Transport`."""
        with self._open(name) as stream:
            raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise ReleaseError(
                f"{self.root / name} has more than {limit} bytes", remedy="do not use this source: no release is so"
            )
        return raw

    def fetch(self, sizes: Mapping[str, int], folder: Path, received: Received) -> None:
        """Bring objects; see :class:`~trademl.lake.transport.Transport`."""
        pace = Pace(self.limit_kib, received)
        for name, size in sizes.items():
            with self._open(f"objects/{name}") as stream:
                found = os.fstat(stream.fileno()).st_size
                if found != size:
                    raise ReleaseError(
                        f"object {name} has {found} bytes in {self.root}, the release says {size}", remedy=_LOOK
                    )
                part = folder / name
                begun = part_size(part)
                stream.seek(begun)
                with open_part(part) as out:
                    # One byte more than there should be, so that a file that grows meanwhile is found out.
                    shutil.copyfileobj(_Measured(stream, pace, size + 1 - begun), out, pace.piece)

    def _open(self, name: str) -> BinaryIO:
        path = self.root / name
        try:
            # Without waiting: a pipe in a file's place would block for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ReleaseError(f"the source has no {name}: {path} does not exist", remedy=_LOOK) from error
        except OSError as error:
            raise ReleaseError(f"{path} cannot be read: {error.strerror}", remedy=_LOOK) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ReleaseError(f"{path} is not a plain file", remedy=_LOOK)
        return os.fdopen(descriptor, "rb")


class _Measured:
    """A stream that ends after ``left`` bytes and tells a pace of what it gives."""

    def __init__(self, stream: BinaryIO, pace: Pace, left: int) -> None:
        self._stream = stream
        self._pace = pace
        self._left = left

    def read(self, count: int = -1) -> bytes:
        raw = self._stream.read(self._left if count < 0 else min(count, self._left))
        self._left -= len(raw)
        self._pace.took(len(raw))
        return raw
