"""Reading: whole states only, whatever is published, removed or damaged meanwhile."""

import time
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.lake.small_warehouse import child, first_line, write_warehouse
from trademl.errors import SnapshotError
from trademl.lake import snapshot as snapshots
from trademl.lake.batches import write_rows
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest, flip_current, read_manifest, write_manifest
from trademl.lake.reading import is_device, show_batches
from trademl.lake.snapshot import collect_garbage, open_snapshot, take_snapshot

PUBLISHED = ("silver.equity_bars", "silver.coverage", "gold.equities_features", "gold.empty_yet", "gold.big_numbers")
SCORE = {
    "ticker": "S0",
    "dt": date(2003, 12, 31),
    "horizon": 5,
    "model_id": "m",
    "label": "fwd_5d",
    "yhat": 0.5,
    "yhat_std": 0.25,
    "prob_up": 0.75,
    "rank_pct": 1.0,
    "scored_at": datetime(2004, 1, 1),
}
FIRST_DAYS = {"2001": "2001-01-01", "2002": "2002-01-06", "2003": "2003-01-01"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


def objects(manifest: Manifest, table: str = "gold.equities_features") -> dict[str, str]:
    return {file.partition: file.sha256 for file in manifest.tables[table].files}


def test_views_are_made_in_the_order_they_need(layout: Layout) -> None:
    """dbt's views exist, also one that sorts before the view it reads, and count what the tables hold."""
    write_warehouse(layout)
    take_snapshot(layout)
    with open_snapshot(layout) as opened:
        # 37 days in 2001 (1 January and every tenth after), 36 in 2002, 37 in 2003, four symbols each.
        assert opened.con.execute("from gold.a_summary").fetchall() == [(4 * (37 + 36 + 37),)]
        compiled = 'select count(*) from "warehouse"."gold"."equities_training"'
        assert opened.con.execute(compiled).fetchall() == [(440,)]


def test_old_manifests_go_and_readers_keep_theirs(layout: Layout) -> None:
    """Only the last manifests and their objects stay, but one that a reader has open stays readable to the end."""
    write_warehouse(layout, shift=0.5)
    first = take_snapshot(layout)
    reader = open_snapshot(layout)
    for number in range(1, 4):
        write_warehouse(layout, build_id=f"b{number}", shift=float(number))
        take_snapshot(layout)
    removed = collect_garbage(layout, keep=2)
    assert layout.manifest(2) in removed
    assert layout.manifest(1).exists()
    assert reader.con.execute("select min(close) from silver.equity_bars").fetchall() == [(11323.5,)]
    reader.close()
    removed = collect_garbage(layout, keep=2)
    assert layout.manifest(1) in removed
    assert layout.object(objects(first)["2001"]) in removed
    needed = {name for seq in (3, 4) for name in read_manifest(layout, seq).object_names()}
    assert {path.stem for path in layout.objects.iterdir()} == needed
    assert collect_garbage(layout, keep=2) == []


def test_a_damaged_object_is_refused_and_mended_by_the_next_snapshot(layout: Layout) -> None:
    """A shortened object is refused on opening, an altered one when verified; deleting it and building mends it."""
    write_warehouse(layout)
    manifest = take_snapshot(layout)
    path = layout.object(objects(manifest)["2002"])
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1])
    with pytest.raises(SnapshotError, match=f"{path.name} has {len(whole) - 1} bytes"):
        open_snapshot(layout)
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(SnapshotError, match="delete lake/objects"):
        open_snapshot(layout, verify=True)
    path.unlink()
    with pytest.raises(SnapshotError, match="is missing"):
        open_snapshot(layout)
    take_snapshot(layout)
    open_snapshot(layout, verify=True).close()


def test_opening_a_manifest_that_is_gone_names_it(layout: Layout) -> None:
    """A number without a manifest, and a pointer to one, are refused."""
    write_warehouse(layout)
    take_snapshot(layout)
    with pytest.raises(SnapshotError, match=r"00000009\.json"):
        open_snapshot(layout, 9)
    flip_current(layout, 9)
    with pytest.raises(SnapshotError, match=r"00000009\.json"):
        open_snapshot(layout)


def test_a_device_shows_the_batches_that_lie_in_its_lake(layout: Layout) -> None:
    """A manifest made from a release lists no batch: the views show what is there on opening, or when told to look."""
    write_warehouse(layout)
    built = take_snapshot(layout)
    assert not is_device(built)
    changes = {"seq": 2, "warehouse_stamp": "release 2", "batches": {}, "views": {}}
    write_manifest(layout, built.model_copy(update=changes))
    flip_current(layout, 2)
    count = "select count(*) from preds.equities"
    with open_snapshot(layout) as before:
        assert is_device(before.manifest)
        path = write_rows(layout, "preds.equities", [SCORE])
        assert before.con.execute(count).fetchall() == [(0,)]
        show_batches(before.con, layout, "preds.equities")
        assert before.con.execute(count).fetchall() == [(1,)]
    with open_snapshot(layout, guarded=True) as after:
        assert after.con.execute(count).fetchall() == [(1,)]
        assert path is not None
        assert after.batches["preds.equities"] == (path.resolve(),)
    with open_snapshot(layout, 1) as server:
        assert server.con.execute(count).fetchall() == [(0,)]


READER = """
import sys
from pathlib import Path
from trademl.lake.layout import Layout
from trademl.lake.snapshot import open_snapshot

layout, stop, wrong, reads, seen = Layout(Path(sys.argv[1])), Path(sys.argv[2]), 0, 0, set()
print("ready", flush=True)
while not stop.exists():
    with open_snapshot(layout) as snapshot:
        expected = snapshot.manifest.build_id
        rows = snapshot.con.execute(
            "select min(close) - 11323, min(momentum_5d) - 11323, count(*) from silver.equity_bars "
            "join gold.equities_features using (symbol, date)"
        ).fetchall()
        wrong += rows != [(float(expected), float(expected), 440)]
        reads += 1
        seen.add(expected)
print(wrong, reads, len(seen), flush=True)
"""


@pytest.mark.fault
def test_no_reader_sees_a_wrong_state_over_300_pointer_flips(layout: Layout, tmp_path: Path) -> None:
    """Two processes that open and read all the while, over 300 flips of CURRENT: 0 wrong reads and 0 errors."""
    for number in (1, 2):
        write_warehouse(layout, build_id=str(number), shift=float(number))
        take_snapshot(layout)
    stop = tmp_path / "stop"
    readers = [child(READER, str(layout.root), str(stop)) for _ in range(2)]
    assert [first_line(reader) for reader in readers] == ["ready", "ready"]
    for flip in range(300):
        flip_current(layout, 1 + flip % 2)
        time.sleep(0.02)  # so that the readers get their turn, also on a busy machine
    stop.touch()
    for reader in readers:
        out, err = reader.communicate(timeout=30)
        wrong, reads, _ = map(int, out.split())
        assert (err, wrong) == ("", 0)
        assert reads > 5


@pytest.mark.fault
def test_readers_survive_publishing_and_removal_of_old_snapshots(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While snapshots are published and all but the last removed at once, readers see whole states only."""
    monkeypatch.setattr(snapshots, "KEEP_MANIFESTS", 1)
    write_warehouse(layout, build_id="0")
    take_snapshot(layout)
    stop = tmp_path / "stop"
    readers = [child(READER, str(layout.root), str(stop)) for _ in range(2)]
    assert [first_line(reader) for reader in readers] == ["ready", "ready"]
    for number in range(1, 5):
        write_warehouse(layout, build_id=str(number), shift=float(number))
        take_snapshot(layout)
    stop.touch()
    for reader in readers:
        out, err = reader.communicate(timeout=30)
        wrong, _, seen = map(int, out.split())
        assert (err, wrong) == ("", 0)
        assert seen > 1
    collect_garbage(layout, keep=1)
    assert [path.name for path in layout.manifests.iterdir()] == ["00000005.json"]
