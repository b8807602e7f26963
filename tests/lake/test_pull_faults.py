"""Pulls that are killed, disks that fill up, pointers that move under readers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lake.pointer_flips import flip_under_readers
from tests.lake.pull_killer import AFTER, BEFORE, judge
from tests.lake.small_disk import MODEL_BYTES, fill_during_pulls, small_disk
from tests.lake.small_release import NOON_AFTER, at, server_in
from trademl.errors import ReleaseError
from trademl.lake.layout import Layout
from trademl.lake.manifest import current_seq
from trademl.lake.pull import SPARE_BYTES, pull

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS, MOMENTS = 20, 6


@pytest.mark.fault
@pytest.mark.slow
def test_a_killed_pull_leaves_the_old_release_or_the_new_one(tmp_path: Path) -> None:
    """SIGKILL before 20 steps and at 6 random moments: readers see one of the two; the next pull ends in one state."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lake.pull_killer", str(tmp_path), str(STEPS), str(MOMENTS)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "pull.json").read_text())
    undisturbed, *records = document["records"]
    assert (undisturbed["seen"], undisturbed["error"]) == (list(AFTER), "")
    found = judge(document)
    assert found["kills"] >= STEPS
    assert (found["wrong or half states"], found["next pulls that did not complete"]) == (0, 0), records
    # Byte for byte what an undisturbed pull leaves, and so nothing left over.
    assert found["lakes that differ in the end"] == 0, records
    # The old release up to one step, the new one after it: the rename of the pointer.
    seen = [record["seen"] for record in records if "stop" in record]
    turn = seen.index(list(AFTER))
    assert seen == [list(BEFORE)] * turn + [list(AFTER)] * (len(seen) - turn)
    deciding = 1 + document["steps"].index("os.rename CURRENT")
    stops = [record["stop"] for record in records if "stop" in record]
    assert stops[turn - 1] <= deciding < stops[turn]


@pytest.mark.fault
@pytest.mark.slow
def test_no_reader_sees_a_wrong_state_over_1000_pointer_flips(tmp_path: Path) -> None:
    """Two processes that open and read all the while: 0 wrong reads, 0 errors, and both releases were seen."""
    found = flip_under_readers(tmp_path, 1000)
    assert (found.errors, found.wrong, found.seen) == ((), 0, (1, 2))
    assert found.reads > 20


@pytest.mark.fault
def test_a_disk_that_fills_up_stops_a_pull_and_breaks_nothing(tmp_path: Path) -> None:
    """Wherever a real ENOSPC strikes, the old release is read, and with room again the pull completes."""
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("a tmpfs cannot be mounted here")
        found = fill_during_pulls(disk, tmp_path, [0, 4096, MODEL_BYTES // 2, MODEL_BYTES, MODEL_BYTES + 8192])
    assert all(one.old_release_read and one.next_pull_completed for one in found)
    assert all("is too full for the release" in one.refused for one in found[:3])
    assert "No space left on device" in found[0].refused


@pytest.mark.fault
def test_a_disk_that_is_too_small_is_told_before_a_byte_is_fetched(tmp_path: Path) -> None:
    """The present content of the disk counts: nothing is written to a disk that cannot hold the release."""
    server = server_in(tmp_path)
    server.publish(1)
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("a tmpfs cannot be mounted here")
        device = Layout(disk / "lake")
        with pytest.raises(ReleaseError, match=f"{SPARE_BYTES:,} of them stay free"):
            pull(device, server.config(), now=at(NOON_AFTER))
        assert current_seq(device) is None
        assert list(device.parts.iterdir()) == []
