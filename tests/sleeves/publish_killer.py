"""Kill `publish` before its steps, and write down what devices are offered afterwards.

Run as ``python -m tests.sleeves.publish_killer FOLDER KILLS``: makes a server with one release, kills the publishing of
the next one before KILLS steps spread over it, each time from the same state, and writes FOLDER/publish.json.
"""

import json
import os
import shutil
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

# Loaded once, before anything is forked.
import trademl.edge.golden
import trademl.lake.snapshot
import trademl.lake.transport
from tests.edge.release_home import after_close, make_key, make_server
from tests.lake.killing import Act, Killed, in_child, killed_before
from tests.lake.pull_killer import spread
from trademl.config.home import Home
from trademl.config.lake import LakeConfig
from trademl.edge.features import Step
from trademl.lake.checks import faulty_objects
from trademl.lake.layout import layout_of
from trademl.lake.offer import read_offer
from trademl.sleeves import equities_release
from trademl.warehouse.device_sql import device_steps


def make_template(folder: Path) -> dict[str, Any]:
    """Make a server with one release; return what publishing needs to know, as JSON holds it."""
    home, run = make_server(folder / "home")
    key, public = make_key(folder, home.lake)
    moment = after_close(home)
    facts = {"run": run, "key": str(key), "public": public, "moment": moment.isoformat()}
    # dbt compiles the same statements every time: once is enough.
    facts["steps"] = [asdict(step) for step in device_steps(home)]
    release(folder / "home", facts, 0)
    return facts


def release(root: Path, facts: dict[str, Any], minutes: int, act: Act | None = None) -> int:
    """Publish ``minutes`` after the first release, as the command does but for dbt; return the number."""
    steps = tuple(Step(**step) for step in facts["steps"])
    equities_release.device_steps = lambda home, tables: steps
    os.environ["TRADEML_RELEASE_KEY"] = facts["key"]
    moment = datetime.fromisoformat(facts["moment"]) + timedelta(minutes=minutes)
    told = (lambda text: None) if act is None else (lambda text: act(text))
    return equities_release.publish(Home(root), facts["run"], now=lambda: moment, progress=told).seq


def offered(root: Path, facts: dict[str, Any]) -> list[int]:
    """Return the number of the release that devices are offered, and how many of its objects are not what it says."""
    layout = layout_of(Home(root))
    config = LakeConfig(source=str(layout.root), trusted_keys=(facts["public"],))
    offer = read_offer(trademl.lake.transport.transport_of(config), config)
    faults = len(faulty_objects(layout, offer.release.objects()))
    trademl.edge.golden.check_release(layout, offer.release.to_manifest(), offer.release)
    return [offer.release.seq, faults]


def record(root: Path, facts: dict[str, Any], ended: Killed) -> dict[str, Any]:
    """Return what a killed publishing left: what is offered now, and after the next one."""
    found: dict[str, Any] = {"killed": ended.killed, "step": ended.steps[-1:], "error": ended.error}
    for name, look in (
        ("seen", lambda: offered(root, facts)),
        ("again", lambda: release(root, facts, 2)),
        ("after", lambda: offered(root, facts)),
    ):
        try:
            found[name] = in_child(look)
        except RuntimeError as error:
            found[name] = f"error: {error}"
    return found


def killed_publishing(folder: Path, kills: int) -> dict[str, Any]:
    """Kill publishing before ``kills`` of its steps; return the steps and the records."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = in_child(lambda: make_template(folder))
    work = folder / "work"

    def fresh() -> None:
        shutil.rmtree(work, ignore_errors=True)
        # Files of a lake are replaced, never changed: links are copies.
        shutil.copytree(folder / "home", work, copy_function=os.link)
        # An older data set would give the same objects: without them publishing has something to write.
        for path in sorted((work / "lake/objects").iterdir())[::2]:
            if path.stat().st_nlink > 1 and path.name not in kept:
                path.unlink()

    kept = set(in_child(lambda: snapshot_and_release_objects(folder / "home", facts)))
    publishing = partial(release, work, facts, 1)
    fresh()
    undisturbed = killed_before(None, work, publishing)
    records = [{"stop": None, **record(work, facts, undisturbed)}]
    for stop in spread(len(undisturbed.steps), kills):
        fresh()
        records.append({"stop": stop, **record(work, facts, killed_before(stop, work, publishing))})
    return {"steps": undisturbed.steps, "records": records}


def snapshot_and_release_objects(root: Path, facts: dict[str, Any]) -> list[str]:
    """Return the objects that the snapshot and the present release need."""
    from trademl.lake.manifest import read_manifest

    layout = layout_of(Home(root))
    manifest = read_manifest(layout)
    config = LakeConfig(source=str(layout.root), trusted_keys=(facts["public"],))
    offer = read_offer(trademl.lake.transport.transport_of(config), config)
    return [*(f"{name}.parquet" for name in manifest.object_names()), *offer.release.objects()]


def judge(document: dict[str, Any]) -> dict[str, int]:
    """Count kills, and what went wrong after them: anything but the old or the new release, whole."""
    _, *records = document["records"]
    whole = [found["seen"][0] for found in records if isinstance(found["seen"], list) and found["seen"][1] == 0]
    return {
        "kills": sum(found["killed"] for found in records),
        "old release after the kill": sum(seq == min(whole) for seq in whole),
        "new release after the kill": sum(seq > min(whole) for seq in whole),
        "wrong or half states": len(records) - len(whole),
        "next publishings that did not complete": sum(
            not isinstance(found["again"], int) or found["after"] != [found["again"], 0] for found in records
        ),
    }


def main() -> int:
    """Kill, and write what was found."""
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    document = killed_publishing(folder, kills)
    (folder / "publish.json").write_text(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
