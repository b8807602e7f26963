"""SIGKILL while publishing: devices are offered the old release or the new one, whole and signed, and never a part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sleeves.publish_killer import judge

KILLS = 4


@pytest.mark.fault
@pytest.mark.slow
def test_a_killed_publishing_leaves_a_whole_release(repository: Path, tmp_path: Path) -> None:
    """Killed at steps spread over it, the first and the last among them; `benchmarks.lake_faults` has many more."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sleeves.publish_killer", str(tmp_path), str(KILLS)],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads((tmp_path / "publish.json").read_text())
    assert len(document["steps"]) > 100
    assert document["records"][0]["error"] == ""
    found = judge(document)
    assert found["kills"] == KILLS
    assert found["old release after the kill"] >= KILLS - 1
    assert found["wrong or half states"] == 0
    assert found["next publishings that did not complete"] == 0
