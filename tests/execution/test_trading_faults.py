"""Sessions with failing requests and a process that is killed: nothing doubled, nothing lost, equal records."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.execution.killed_sessions import FAULTLESS, REPOSITORY


@pytest.mark.fault
@pytest.mark.slow
def test_killed_and_run_again_the_blotter_equals_the_brokers_record(tmp_path: Path) -> None:
    """Five sessions, eight kills by SIGKILL, every twentieth request going wrong.

    ``python -m benchmarks.paper_trading`` does the same for 60 sessions and 50 kills.
    """
    pytest.importorskip("alpaca.trading", reason="alpaca-py is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.execution.killed_sessions", str(tmp_path), "5", "8", "0.05", "11"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert {name: result[name] for name in FAULTLESS} == FAULTLESS
    assert (result["sessions"], result["kills"]) == (5, 8)
    assert result["orders"] == 40
    assert sum(result["faults"].values()) > 5
