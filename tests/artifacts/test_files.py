"""Atomic files."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trademl.artifacts.files import INCOMING, sha256_file, write_atomic


def test_write_is_whole_and_read_only(tmp_path: Path) -> None:
    """A written file has the bytes given, mode 0444, and leaves no temporary file behind."""
    path = tmp_path / "a" / "b.json"
    write_atomic(path, b"one")
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o444
    assert [entry.name for entry in path.parent.iterdir()] == ["b.json"]


def test_write_replaces_a_read_only_file(tmp_path: Path) -> None:
    """A later write replaces the file, though it is read-only, and may choose another mode."""
    path = tmp_path / "x"
    write_atomic(path, b"one")
    write_atomic(path, b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """When the rename cannot happen (a folder has the name), nothing is left but what was there."""
    (tmp_path / "x" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="x"):
        write_atomic(tmp_path / "x", b"data")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_sha256_of_a_file_larger_than_one_piece(tmp_path: Path) -> None:
    """The hash of a file equals hashlib's over its whole content."""
    data = os.urandom((1 << 20) + 17)
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


WRITER = """
import sys
from pathlib import Path
from trademl.artifacts.files import write_atomic
path, turn = Path(sys.argv[1]), 0
print("ready", flush=True)
while True:
    turn = (turn + 1) % 256
    write_atomic(path, bytes([turn]) * 3_000_000)
"""


@pytest.mark.fault
def test_kill_leaves_one_whole_version(tmp_path: Path) -> None:
    """A writer killed with SIGKILL at any moment leaves a file of one version only: no mix, no short file."""
    path = tmp_path / "file"
    for attempt in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while not path.exists():
                time.sleep(0.002)
            time.sleep(0.013 * attempt)
            process.send_signal(signal.SIGKILL)
            process.wait()
        data = path.read_bytes()
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
    assert all(entry.name == "file" or entry.name.startswith(INCOMING) for entry in tmp_path.iterdir())
