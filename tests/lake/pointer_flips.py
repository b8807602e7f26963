"""CURRENT goes back and forth between two releases while processes read: what do they see?"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lake.small_release import BARS, NOON_AFTER, SYMBOLS, at, server_in
from tests.lake.small_warehouse import child, first_line
from trademl.lake.layout import Layout
from trademl.lake.manifest import flip_current
from trademl.lake.pull import pull

READER = f"""
import json, sys
from pathlib import Path
from trademl.lake.layout import Layout
from trademl.lake.reading import open_snapshot

layout, stop = Layout(Path(sys.argv[1])), Path(sys.argv[2])
expected = {{1: 3.125, 2: 4.25}}
reads, wrong, seen = 0, 0, set()
open_snapshot(layout).close()
print("ready", flush=True)
while not stop.exists():
    with open_snapshot(layout) as opened:
        seq = opened.manifest.seq
        sessions = len(opened.manifest.tables["{BARS}"].files)
        rows = opened.con.execute("select max_by(close, date), count(*), count(distinct date) from {BARS}").fetchall()
        days = opened.con.execute("select count(*) from silver.calendar").fetchall()
        wrong += rows != [(expected[seq], {SYMBOLS} * sessions, sessions)] or days != [(sessions,)]
        reads += 1
        seen.add(seq)
print(json.dumps([reads, wrong, sorted(seen)]), flush=True)
"""


@dataclass(frozen=True)
class Flips:
    """What readers saw over a number of flips."""

    flips: int
    reads: int
    wrong: int
    errors: tuple[str, ...]
    seen: tuple[int, ...]


def flip_under_readers(folder: Path, flips: int, readers: int = 2, pause: float = 0.01) -> Flips:
    """Pull two releases into ``folder/device`` and flip its pointer between them under reading processes."""
    server, device = server_in(folder), Layout(folder / "device")
    for seq, sessions, shift in ((1, 3, 0.125), (2, 4, 0.25)):
        server.publish(seq, sessions=sessions, shift=shift)
        pull(device, server.config(), now=at(NOON_AFTER))
    stop = folder / "stop"
    processes = [child(READER, str(device.root), str(stop)) for _ in range(readers)]
    for process in processes:
        assert first_line(process) == "ready"
    for number in range(flips):
        flip_current(device, 1 + number % 2)
        time.sleep(pause)  # so that the readers get their turn, also on a busy machine
    stop.touch()
    reads, wrong = 0, 0
    errors: list[str] = []
    seen: set[int] = set()
    for process in processes:
        out, err = process.communicate(timeout=60)
        if err or process.returncode:
            errors.append(err.strip().splitlines()[-1] if err else f"ended with {process.returncode}")
            continue
        made, false, numbers = json.loads(out)
        reads, wrong, seen = reads + made, wrong + false, seen | set(numbers)
    return Flips(flips, reads, wrong, tuple(errors), tuple(sorted(seen)))
