"""Kill pulls before their steps and at random moments, and write down what is in the lake afterwards.

Run as ``python -m tests.lake.pull_killer FOLDER STEPS MOMENTS``: kills before STEPS steps spread over a pull (0: none)
and at MOMENTS random moments of it. Writes FOLDER/pull.json: the steps, and a record for each kill.
"""

import hashlib
import json
import random
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

# Loaded once, before anything is forked.
import trademl.lake.retention  # noqa: F401
from tests.lake.killing import Act, Killed, in_child, killed_after, killed_before
from tests.lake.small_release import NOON_AFTER, at, newest_close, server_in, state
from trademl.config.lake import LakeConfig
from trademl.lake.layout import Layout
from trademl.lake.pull import pull

SEED = 20240301
MODEL_BYTES = 3_000_000
BEFORE, AFTER = (1, 3.125), (2, 4.25)
"""Number and newest close of the release that the device has, and of the one that it pulls."""


def make_template(folder: Path) -> str:
    """Make a server with two releases and a device that has the first; return the key that it trusts."""
    server = server_in(folder)
    device = Layout(folder / "device")
    server.publish(1, sessions=3, shift=0.125)
    pull(device, server.config(), now=at(NOON_AFTER))
    server.publish(2, sessions=4, shift=0.25, model=random.Random(SEED).randbytes(MODEL_BYTES))
    return server.public


def bring(folder: Path, public: str, act: Act | None = None) -> None:
    """Pull into the device in ``folder/work``, as the command does; arriving bytes are steps too."""
    config = LakeConfig(source=str(folder / "server"), trusted_keys=(public,))
    told = None if act is None else lambda done, total: act("received")
    pull(Layout(folder / "work"), config, now=at(NOON_AFTER), progress=told)


def digest(layout: Layout) -> str:
    """Return one hash over the names and bytes of every file of a lake."""
    whole = hashlib.sha256()
    for name, raw in state(layout).items():
        whole.update(f"{name} {len(raw)} ".encode() + raw)
    return whole.hexdigest()


def fresh(folder: Path) -> None:
    shutil.rmtree(folder / "work", ignore_errors=True)
    shutil.copytree(folder / "device", folder / "work")


def record(folder: Path, public: str, ended: Killed) -> dict[str, Any]:
    """Return what a killed pull left: what readers see, and what the next pull makes of it."""
    work = Layout(folder / "work")
    found: dict[str, Any] = {
        "killed": ended.killed,
        "step": ended.steps[-1] if ended.steps else "",
        "error": ended.error,
    }
    for name, look in (
        ("seen", lambda: newest_close(work)),
        ("again", lambda: bring(folder, public)),
        ("after", lambda: newest_close(work)),
        ("digest", lambda: digest(work)),
    ):
        try:
            found[name] = in_child(look)
        except RuntimeError as error:
            found[name] = f"error: {error}"
    return found


def spread(count: int, most: int) -> list[int]:
    """Return up to ``most`` numbers from 1 to ``count``, evenly spread, both ends among them."""
    if most >= count:
        return list(range(1, count + 1))
    return sorted({1 + round(number * (count - 1) / max(most - 1, 1)) for number in range(most)})


def killed_pulls(folder: Path, steps: int, moments: int) -> dict[str, Any]:
    """Kill pulls before ``steps`` steps and at ``moments`` moments; return the steps and the records."""
    folder.mkdir(parents=True, exist_ok=True)
    public = in_child(lambda: make_template(folder))
    work, bringing = folder / "work", partial(bring, folder, public)
    fresh(folder)
    began = time.monotonic()
    undisturbed = killed_before(None, work, bringing)
    seconds = time.monotonic() - began
    records = [{"stop": None, **record(folder, public, undisturbed)}]
    for stop in spread(len(undisturbed.steps), steps) if steps else []:
        fresh(folder)
        records.append({"stop": stop, **record(folder, public, killed_before(stop, work, bringing))})
    chance = random.Random(SEED)
    for _ in range(moments):
        fresh(folder)
        moment = chance.uniform(0.0, seconds)
        records.append({"moment": moment, **record(folder, public, killed_after(moment, work, bringing))})
    return {"steps": undisturbed.steps, "seconds": seconds, "records": records}


def judge(document: dict[str, Any]) -> dict[str, int]:
    """Count kills, and what went wrong after them: reads of neither release, and pulls that did not complete."""
    undisturbed, *records = document["records"]
    return {
        "kills": sum(found["killed"] for found in records),
        "ended before the kill": sum(not found["killed"] for found in records),
        "old release after the kill": sum(found["seen"] == list(BEFORE) for found in records),
        "new release after the kill": sum(found["seen"] == list(AFTER) for found in records),
        "wrong or half states": sum(found["seen"] not in (list(BEFORE), list(AFTER)) for found in records),
        "next pulls that did not complete": sum(found["after"] != list(AFTER) for found in records),
        "lakes that differ in the end": sum(found["digest"] != undisturbed["digest"] for found in records),
    }


if __name__ == "__main__":
    made = killed_pulls(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    (Path(sys.argv[1]) / "pull.json").write_text(json.dumps(made, indent=1))
    print(json.dumps(judge(made)))  # noqa: T201
