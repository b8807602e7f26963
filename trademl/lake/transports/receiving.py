"""What the transports that write files themselves share: at which pace bytes come, and where they are appended."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Received = Callable[[int], None]
"""Called with a number of bytes that have just arrived."""

KIB = 1024
_PIECE = 1 << 18
_PIECES_A_SECOND = 4


class Pace:
    """Reports bytes as they come and sleeps so that they come no faster than a limit on average.

    Args:
        limit_kib: KiB a second; None means no limit.
        received: told of every piece.
        clock: seconds, monotonic.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        limit_kib: int | None,
        received: Received,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limit = None if limit_kib is None else limit_kib * KIB
        self.received = received
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._bytes = 0

    @property
    def piece(self) -> int:
        """How many bytes to ask for at a time: few enough that no pause lasts long."""
        return _PIECE if self.limit is None else max(min(_PIECE, self.limit // _PIECES_A_SECOND), 1)

    def took(self, count: int) -> None:
        """Report ``count`` bytes, and wait until they were due."""
        self.received(count)
        self._bytes += count
        if self.limit is not None:
            early = self._bytes / self.limit - (self._clock() - self._began)
            if early > 0:
                self._sleep(early)


def open_part(path: Path) -> BinaryIO:
    """Open a part to go on with it at its end; a symbolic link in its place is refused (OSError)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o644), "wb")


def part_size(path: Path) -> int:
    """Return how many bytes of a part are there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
