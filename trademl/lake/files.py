"""Files that are either whole or absent, whatever dies in between; and a lock that dies with its holder."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from trademl.artifacts.files import (
    READ_ONLY,
    commit_file,
    fsync_dir,
    sha256_file,
    temporary_beside,
    write_atomic,
)
from trademl.errors import LockedError

__all__ = [
    "READ_ONLY",
    "FileLock",
    "commit_file",
    "fsync_dir",
    "sha256_file",
    "temporary_beside",
    "write_atomic",
]


class FileLock:
    """An exclusive lock on ``path`` (flock); the kernel frees it when the holder ends, however it ends.

    The file holds the holder's process id and stays behind: deleting it would let two processes lock two files of the
    same name. ``wait`` is how many seconds to keep trying; 0 tries once.

    Raises:
        LockedError: (on entering) another holder has it; the message names its process id.
    """

    def __init__(self, path: Path, *, wait: float = 0.0) -> None:
        self.path = path
        self.wait = wait
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + self.wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(descriptor)
                raise LockedError(
                    f"{self.path} is held by process {holder}",
                    remedy="wait for that process to end, or stop it, and try again",
                ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
