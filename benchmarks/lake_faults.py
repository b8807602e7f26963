"""Does a device ever serve anything but a whole, genuine release? Faults and attacks, counted.

    python -m benchmarks.lake_faults                       # a quarter of an hour on two cores
    python -m benchmarks.lake_faults --kills 300 --flips 5000

Pulls are killed with SIGKILL before every one of their steps and at random moments, publishings (of a small simulated
market, built and trained for it) before steps spread over them; single bits are flipped in what the source offers;
every hostile release of tests/lake/hostile.py is offered; a real disk fills up (where a tmpfs may be mounted); the
pointer moves under two reading processes. All but the publishings use small releases made by hand. Exit code 1 when a
wrong state was read, an attack was accepted, or what came next did not complete.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lake.hostile import FIRST, HOSTILE
from tests.lake.killing import in_child
from tests.lake.pointer_flips import flip_under_readers
from tests.lake.pull_killer import judge, killed_pulls
from tests.lake.small_disk import MODEL_BYTES, fill_during_pulls, small_disk
from tests.lake.small_release import NOON_AFTER, at, newest_close, server_in, state
from tests.sleeves import publish_killer
from trademl.errors import ReleaseError
from trademl.lake.files import write_atomic
from trademl.lake.layout import Layout
from trademl.lake.pull import pull

SEED = 7
STEPS = 10_000
"""More than a pull has: it is killed before each."""


@dataclass
class Row:
    """One line of the table: what was tried how often, what came of it, and how often something was wrong."""

    what: str
    tried: int
    wrong: int
    details: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in self.details.items())
        return f"{self.what:<34}{self.tried:>7}{self.wrong:>7}{self.seconds:>8.0f} s  {told}"


def kills(folder: Path, count: int) -> Row:
    """Kill at least ``count`` pulls: before every step, then at random moments."""
    document = killed_pulls(folder, STEPS, 0)
    found = judge(document)
    more = count - found["kills"]
    if more > 0:
        # Some end before their moment comes.
        random_ones = judge(killed_pulls(folder / "moments", 0, more + more // 4 + 5))
        found = {name: number + random_ones[name] for name, number in found.items()}
    bad = ("wrong or half states", "next pulls that did not complete", "lakes that differ in the end")
    wrong = sum(found[name] for name in bad) + max(count - found["kills"], 0)
    details = {"steps of a pull": len(document["steps"]), **{k: v for k, v in found.items() if k != "kills"}}
    return Row("SIGKILL during pull", found["kills"], wrong, details)


def publish_kills(folder: Path, count: int) -> Row:
    """Kill ``count`` publishings of a real, small warehouse before steps spread over them."""
    document = publish_killer.killed_publishing(folder, count)
    found = publish_killer.judge(document)
    wrong = found["wrong or half states"] + found["next publishings that did not complete"]
    details = {"steps of publishing": len(document["steps"]), **{k: v for k, v in found.items() if k != "kills"}}
    return Row("SIGKILL during publish", found["kills"], wrong + count - found["kills"], details)


def bit_flips(folder: Path, count: int) -> Row:
    """Flip one bit of what a source offers, ``count`` times; each is refused, or changes nothing that counts."""
    server, device = server_in(folder), Layout(folder / "device")
    server.publish(1)
    pull(device, server.config(), now=at(NOON_AFTER))
    release = server.publish(2, shift=0.5)
    targets = [server.layout.released, server.layout.release(2), server.layout.signature(2)]
    targets += [server.layout.objects / name for name in release.objects() if not (device.objects / name).exists()]
    chance = random.Random(SEED)
    found = {"refused": 0, "without effect": 0}
    wrong = 0
    for number in range(count):
        path = targets[number % len(targets)]
        raw = path.read_bytes()
        bit = chance.randrange(8 * len(raw))
        write_atomic(path, raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :])
        copy = Layout(folder / "copy")
        shutil.copytree(device.root, copy.root)
        try:
            pull(copy, server.config(), now=at(NOON_AFTER))
            found["without effect"] += 1
            wrong += copy.release(2).read_bytes() != release.to_bytes() or newest_close(copy) != (2, 3.5)
        except ReleaseError:
            found["refused"] += 1
            wrong += newest_close(copy) != (1, 3.0)
        write_atomic(path, raw)
        shutil.rmtree(copy.root)
    return Row("one bit flipped at the source", count, wrong, found)


def attacks(folder: Path) -> Row:
    """Offer every hostile release to a device that has a good one."""
    wrong = []
    for number, hostile in enumerate(HOSTILE):
        server, device = server_in(folder / str(number)), Layout(folder / str(number) / "device")
        server.publish(FIRST)
        pull(device, server.config(), now=at(NOON_AFTER))
        before = _documents(device)
        hostile.attack(server, device)
        try:
            pull(device, server.config(), now=at(hostile.now))
            wrong.append(f"{hostile.name}: accepted")
        except ReleaseError:
            if _documents(device) != before or newest_close(device) != (FIRST, 3.0):
                wrong.append(f"{hostile.name}: refused, but changed what is read")
    for line in wrong:
        print(f"  {line}")
    return Row("kinds of hostile releases", len(HOSTILE), len(wrong), {"accepted or effective": len(wrong)})


def _documents(device: Layout) -> dict[str, bytes]:
    return {name: raw for name, raw in state(device).items() if not name.startswith("objects/")}


def full_disks(folder: Path) -> Row | None:
    """Let a real disk fill up while a pull writes to it; None where none can be mounted."""
    rooms = [0, 4096, 65_536, *range(500_000, MODEL_BYTES + 1, 500_000), MODEL_BYTES + 8192, MODEL_BYTES + 65_536]
    with small_disk(folder / "disk") as disk:
        if disk is None:
            return None
        found = fill_during_pulls(disk, folder, rooms)
    wrong = sum(not (one.old_release_read and one.next_pull_completed) for one in found)
    return Row("disk full during pull (tmpfs)", len(found), wrong, {"refused": sum(bool(one.refused) for one in found)})


def pointer_flips(folder: Path, count: int) -> Row:
    """Flip CURRENT under two reading processes."""
    found = flip_under_readers(folder, count)
    for line in found.errors:
        print(f"  {line}")
    wrong = found.wrong + len(found.errors)
    return Row("pointer flips under 2 readers", count, wrong, {"reads": found.reads, "releases seen": len(found.seen)})


def timed(work: Callable[[], Row | None]) -> Row | None:
    """Run one kind of faults, print its line, and return it."""
    began = time.monotonic()
    row = work()
    if row is not None:
        row.seconds = time.monotonic() - began
        print(row, flush=True)
    return row


def main() -> int:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=120, help="kills of pulls, at least")
    parser.add_argument("--publish-kills", type=int, default=80, help="kills of publishings")
    parser.add_argument("--bits", type=int, default=100, help="bits to flip")
    parser.add_argument("--flips", type=int, default=1000, help="pointer flips")
    options = parser.parse_args()
    print(f"{'what':<34}{'tried':>7}{'wrong':>7}{'time':>10}  details", flush=True)
    with tempfile.TemporaryDirectory(prefix="trademl-faults-") as name:
        folder = Path(name)
        # First, while this process has opened no database: it forks.
        rows = [
            timed(lambda: kills(folder / "kills", options.kills)),
            timed(lambda: publish_kills(folder / "publish", options.publish_kills)),
            timed(lambda: _row(in_child(lambda: vars(bit_flips(folder / "bits", options.bits))))),
            timed(lambda: _row(in_child(lambda: vars(attacks(folder / "attacks"))))),
            timed(lambda: full_disks(folder / "full")),
            timed(lambda: pointer_flips(folder / "flips", options.flips)),
        ]
    if rows[4] is None:
        print("disk full during pull: not tried, because a tmpfs cannot be mounted here")
    wrong = sum(row.wrong for row in rows if row is not None)
    print(f"{sum(row.tried for row in rows if row is not None)} faults and attacks, {wrong} with a wrong result")
    return 1 if wrong else 0


def _row(fields: dict[str, object]) -> Row:
    return Row(**fields)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
