"""Files that are either whole or absent: temporary file, fsync, rename, fsync of the folder.

A reader of the final name therefore never sees a half-written file, also after ``kill -9`` or a power cut.
"""

import hashlib
import os
import secrets
from pathlib import Path

READ_ONLY = 0o444
INCOMING = ".incoming-"
"""How the names of unfinished files begin; no glob for data files matches them."""

_CHUNK = 1 << 20


def write_atomic(path: Path, data: bytes, mode: int = READ_ONLY) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, also after a crash.

    Parent folders are made; a file already there is replaced, also a read-only one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        temporary.write_bytes(data)
        commit_file(temporary, path, mode)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return an unused hidden name in the folder of ``path`` (a rename is atomic within one file system only)."""
    return path.parent / f"{INCOMING}{os.getpid()}-{secrets.token_hex(6)}"


def commit_file(temporary: Path, path: Path, mode: int = READ_ONLY) -> None:
    """Make a finished file durable and visible as ``path`` in one rename.

    The order matters: bytes reach the disk before the name does, and the name before this returns.
    """
    temporary.chmod(mode)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Make the names in folder ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
