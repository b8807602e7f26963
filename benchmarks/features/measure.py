"""One command in processes of its own: how long, how much memory at most, and whether it came to an end.

Memory is the sum of the proportional set sizes of the command's processes (Linux), looked at four times a second or,
where looking itself takes long, so seldom that it takes 2 % of a core; or the largest resident size of one of them that
the command says the kernel counted, whichever is more. A command that passes the limit is killed.
"""

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.features.bars import ROOT

EVERY = 0.25
SHARE = 0.02


@dataclass(frozen=True)
class Run:
    """``said`` is the JSON of the command's last line; ``stopped`` says why there is none."""

    wall: float
    peak_mib: float
    said: dict[str, Any]
    stopped: str = ""


def run(command: list[str], *, environment: dict[str, str], limit_mib: float, limit_seconds: float) -> Run:
    """Run a command whose last line of output is JSON."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watch = _Watch(process.pid, limit_mib, began + limit_seconds)
    watch.start()
    try:
        output, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        watch.over.set()
    wall = time.perf_counter() - began
    watch.join()
    if watch.stopped:
        return Run(wall, watch.peak_mib, {}, watch.stopped)
    if process.returncode:
        last = (errors.strip() or output.strip() or "nothing").splitlines()[-1]
        return Run(wall, watch.peak_mib, {}, f"exit code {process.returncode}: {last[:200]}")
    said = json.loads(output.strip().splitlines()[-1])
    return Run(wall, max(watch.peak_mib, float(said.get("peak_mib", 0))), said)


class _Watch(threading.Thread):
    """Adds up the memory of a session of processes until told to stop."""

    def __init__(self, session: int, limit_mib: float, deadline: float) -> None:
        super().__init__(daemon=True)
        self.session, self.limit_mib, self.deadline = session, limit_mib, deadline
        self.peak_mib, self.stopped = 0.0, ""
        self.over = threading.Event()

    def run(self) -> None:
        pause = EVERY
        while not self.over.wait(pause):
            looked = time.thread_time()
            total = sum(_proportional(pid) for pid in _members(self.session))
            pause = max(EVERY, (time.thread_time() - looked) / SHARE)
            self.peak_mib = max(self.peak_mib, total)
            if total > self.limit_mib:
                self.stopped = f"out of memory: more than {self.limit_mib / 1024:.0f} GiB"
            elif time.perf_counter() > self.deadline:
                self.stopped = "out of time"
            if self.stopped:
                os.killpg(self.session, signal.SIGKILL)
                return


def _members(session: int) -> list[int]:
    """The processes whose session is ``session``: children stay in it, wherever their parents went."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(int(path.parent.name))
    return found


def _proportional(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
