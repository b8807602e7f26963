"""Files that are whole or absent, and a lock that dies with its holder."""

import hashlib
import stat
from pathlib import Path

import pytest

from tests.lake.small_warehouse import child, first_line
from trademl.errors import LockedError
from trademl.lake.files import FileLock, sha256_file, write_atomic


def test_written_file_is_whole_read_only_and_alone(tmp_path: Path) -> None:
    """write_atomic makes the folder, leaves the bytes with mode 0444, and no temporary file."""
    path = tmp_path / "new" / "file.json"
    write_atomic(path, b"abc")
    assert path.read_bytes() == b"abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_replacing_a_file_keeps_an_open_reader_on_the_old_bytes(tmp_path: Path) -> None:
    """A reader that has the old file open goes on reading it after a replacement."""
    path = tmp_path / "pointer"
    write_atomic(path, b"old", mode=0o644)
    with path.open("rb") as reader:
        write_atomic(path, b"new", mode=0o644)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    """sha256_file reads in pieces and gives the digest of the whole: the published one for "abc", and a long file's."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"x" * 3_000_001)
    assert sha256_file(path) == hashlib.sha256(b"x" * 3_000_001).hexdigest()


@pytest.mark.fault
def test_lock_names_its_holder_and_is_freed_by_kill(tmp_path: Path) -> None:
    """A second process is refused with the holder's process id, and gets the lock as soon as the holder is killed."""
    path = tmp_path / "locks" / "one.lock"
    holder = child(
        "import sys\nfrom pathlib import Path\nfrom trademl.lake.files import FileLock\n"
        "with FileLock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()",
        str(path),
    )
    assert first_line(holder) == "held"
    with pytest.raises(LockedError, match=f"held by process {holder.pid}"), FileLock(path):
        pass
    holder.kill()
    holder.communicate()
    with FileLock(path):
        pass


def test_lock_waits_when_asked_to(tmp_path: Path) -> None:
    """With ``wait`` the lock is taken when it becomes free; without, it is refused at once."""
    path = tmp_path / "one.lock"
    first = FileLock(path)
    first.__enter__()
    with pytest.raises(LockedError), FileLock(path, wait=0.1):
        pass
    first.__exit__(None, None, None)
    with FileLock(path, wait=0.1):
        pass
