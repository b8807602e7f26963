"""kill -9 at any moment of an ingest: a rerun completes, nothing is lost or doubled."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.warehouse.ingest.desk import HEADER, Desk

PROGRAM = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from trademl.config.home import Home
from trademl.warehouse.ingest import ingest_files
print("ready", flush=True)
ingest_files(Home(Path(sys.argv[1])), "equity_bars", [sys.argv[2]], now=lambda: datetime(2026, 11, 20, 12, tzinfo=UTC))
"""
ROWS = 120_000


@pytest.mark.fault
def test_five_kills_lose_and_double_no_row(desk: Desk) -> None:
    """After each SIGKILL the lake shows no batch or a whole one; the last run leaves every row once."""
    lines = (f"S{row},2026-11-18,10,11,9,10,{row}" for row in range(ROWS))
    path = desk.sources / "bars.csv"
    path.write_text(HEADER + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    took = timed(desk, path, "rehearsal")
    for step in range(1, 6):
        process = start(desk, path)
        time.sleep(took * step / 6)
        process.kill()
        process.wait()
        for batch in desk.batches():
            assert {item.name for item in batch.iterdir()} == {"rows.parquet", "batch.json"}
    process = start(desk, path)
    assert process.wait() == 0
    assert desk.rows("select count(*), count(distinct symbol) from landed") == [(ROWS, ROWS)]
    assert not (desk.raw / ".incoming").exists()


def timed(desk: Desk, path: Path, name: str) -> float:
    """Return how long an undisturbed run takes after it is ready, in a home of its own."""
    other = desk.home.root.with_name(name)
    shutil.copytree(desk.home.root, other)
    process = start(desk, path, root=other)
    began = time.monotonic()
    assert process.wait() == 0
    return time.monotonic() - began


def start(desk: Desk, path: Path, root: Path | None = None) -> subprocess.Popen[str]:
    """Start an ingest in a process of its own and wait until its imports are done."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root or desk.home.root), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert process.stdout is not None
    with process.stdout as stream:
        assert stream.readline() == "ready\n"
    return process
