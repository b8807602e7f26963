"""Publishing and reading snapshots: what is in them, and that no reader ever sees a half-made one."""

import shutil
import stat
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from tests.lake.small_warehouse import child, first_line, write_warehouse
from trademl.errors import LockedError, SnapshotError
from trademl.lake import snapshot as snapshots
from trademl.lake.batches import write_rows
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest, current_seq, flip_current, read_manifest
from trademl.lake.snapshot import collect_garbage, open_snapshot, snapshot_batches, take_snapshot

PUBLISHED = ("silver.equity_bars", "silver.coverage", "gold.equities_features", "gold.empty_yet", "gold.big_numbers")
FIRST_DAYS = {"2001": "2001-01-01", "2002": "2002-01-06", "2003": "2003-01-01"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


def objects(manifest: Manifest, table: str = "gold.equities_features") -> dict[str, str]:
    return {file.partition: file.sha256 for file in manifest.tables[table].files}


def score(layout: Layout, day: int, yhat: float = 1.0) -> None:
    write_rows(
        layout,
        "preds.equities",
        [
            {
                "ticker": "A",
                "dt": date(2020, 1, day),
                "horizon": 5,
                "model_id": "m",
                "label": "fwd_5d",
                "yhat": yhat,
                "yhat_std": 0.1,
                "prob_up": 0.5,
                "rank_pct": 1.0,
                "scored_at": datetime(2020, 2, 1),
            }
        ],
    )


def test_a_snapshot_holds_the_builders_tables_cell_for_cell(layout: Layout) -> None:
    """Every published table has the same columns, types and rows as in the warehouse; bronze is not published."""
    write_warehouse(layout)
    manifest = take_snapshot(layout, git_revision="abc", now=lambda: datetime(2020, 1, 2, tzinfo=UTC))
    assert manifest.seq == current_seq(layout) == 1
    assert (manifest.as_of, manifest.git_revision, manifest.build_id) == (date(2003, 12, 27), "abc", "b1")
    assert manifest.coverage["equity_bars"]["status"] == "GREEN"
    assert not any(name.startswith("bronze") for name in manifest.tables)
    with open_snapshot(layout) as opened, duckdb.connect(str(layout.warehouse), read_only=True) as built:
        for name in PUBLISHED:
            described = [row[:2] for row in opened.con.execute(f"describe {name}").fetchall()]
            assert described == [row[:2] for row in built.execute(f"describe {name}").fetchall()]
            rows = opened.con.execute(f"from {name} order by all").fetchall()
            assert rows == built.execute(f"from {name} order by all").fetchall()
        assert opened.con.execute("select n from gold.big_numbers").fetchall() == [(2**100,)]


def test_objects_are_read_only_named_by_content_and_split_by_year(layout: Layout) -> None:
    """A table with dates has one 0444 object a year, sorted by date then symbol and named by its sha256."""
    write_warehouse(layout)
    manifest = take_snapshot(layout)
    assert list(objects(manifest)) == ["2001", "2002", "2003"]
    assert list(objects(manifest, "gold.big_numbers")) == ["all"]
    assert objects(manifest, "gold.empty_yet") == {}
    for file in manifest.files():
        path = layout.root / file.path
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert path.stem == file.sha256
    assert stat.S_IMODE(layout.manifest(1).stat().st_mode) == 0o444
    for partition, digest in objects(manifest).items():
        keys = duckdb.sql(f"select date, symbol from '{layout.object(digest)}'").fetchall()
        assert keys == sorted(keys)
        assert keys[0] == (date.fromisoformat(FIRST_DAYS[partition]), "S0")
    open_snapshot(layout, verify=True).close()


@pytest.mark.parametrize("grain", [True, False])
def test_equal_rows_give_equal_bytes(tmp_path: Path, grain: bool) -> None:
    """One thread or two, sorted or shuffled in the warehouse, with or without a declared grain: the same objects."""
    found = []
    for number, (threads, shuffled) in enumerate([(1, False), (2, False), (2, True)]):
        layout = Layout(tmp_path / str(number))
        write_warehouse(layout, shuffled=shuffled, grain=grain)
        manifest = take_snapshot(layout, threads=threads)
        found.append({name: objects(manifest, name) for name in PUBLISHED})
    assert found[0] == found[1] == found[2]


def test_only_years_with_changed_rows_are_written_again(layout: Layout) -> None:
    """A change in 2003 and a new year keep the objects of 2001 and 2002, and equal what a first snapshot would hold."""
    write_warehouse(layout)
    before = objects(take_snapshot(layout))
    write_warehouse(layout, build_id="b2", shift=1.0, shift_from="2003-06-01", last_year=2004, shuffled=True)
    after = objects(take_snapshot(layout))
    assert {year for year in before if before[year] == after[year]} == {"2001", "2002"}
    fresh = Layout(layout.root.parent / "fresh")
    fresh.root.mkdir()
    shutil.copy(layout.warehouse, fresh.warehouse)
    assert objects(take_snapshot(fresh)) == after


def test_a_change_the_build_did_not_declare_is_published(layout: Layout) -> None:
    """The rows decide what is exported: a build that notes no change before 2003 cannot hide one in 2001."""
    write_warehouse(layout)
    take_snapshot(layout)
    with duckdb.connect(str(layout.warehouse)) as con:
        con.execute("update gold.equities_features set beta_60d = 7 where date = '2001-01-01' and symbol = 'S1'")
        con.execute("update meta.builds set build_id = 'b2', affected_from = date '2003-01-01'")
    take_snapshot(layout)
    with open_snapshot(layout) as opened:
        rows = opened.con.execute("select beta_60d from gold.equities_features where date = '2001-01-01'").fetchall()
    assert (7.0,) in rows


def test_views_are_made_in_the_order_they_need(layout: Layout) -> None:
    """dbt's views exist, also one that sorts before the view it reads, and count what the tables hold."""
    write_warehouse(layout)
    take_snapshot(layout)
    with open_snapshot(layout) as opened:
        # 37 days in 2001 (1 January and every tenth after), 36 in 2002, 37 in 2003, four symbols each.
        assert opened.con.execute("from gold.a_summary").fetchall() == [(4 * (37 + 36 + 37),)]
        compiled = 'select count(*) from "warehouse"."gold"."equities_training"'
        assert opened.con.execute(compiled).fetchall() == [(440,)]


def test_batches_are_seen_through_views_and_marts(layout: Layout) -> None:
    """preds and ops exist empty at first; after a score a new manifest shows it, with the same table objects."""
    write_warehouse(layout)
    first = take_snapshot(layout)
    with open_snapshot(layout) as opened:
        assert opened.con.execute("from marts.scored").fetchall() == [(0, None)]
        assert opened.con.execute("from ops.trials").fetchall() == []
        score(layout, 1, yhat=2.5)
        assert opened.con.execute("from preds.equities").fetchall() == []
    second = snapshot_batches(layout)
    assert (second.seq, second.tables, second.build_id) == (2, first.tables, first.build_id)
    with open_snapshot(layout) as opened:
        assert opened.con.execute("from marts.scored").fetchall() == [(1, 2.5)]
    assert snapshot_batches(layout) == second
    assert current_seq(layout) == 2


def test_a_published_batch_that_disappears_is_an_error(layout: Layout) -> None:
    """Predictions cannot be rebuilt: publishing without one that was published is refused."""
    write_warehouse(layout)
    score(layout, 1)
    take_snapshot(layout)
    layout.batch_files("preds.equities")[0].unlink()
    with pytest.raises(SnapshotError, match="1 published batches are gone"):
        snapshot_batches(layout)
    with pytest.raises(SnapshotError, match="cannot be rebuilt"):
        open_snapshot(layout)


@pytest.mark.parametrize("status", ["running", "failed", "partial"])
def test_a_build_that_did_not_finish_is_not_published(layout: Layout, status: str) -> None:
    """What a failed, killed or partial run left behind never becomes a snapshot; CURRENT stays."""
    write_warehouse(layout)
    take_snapshot(layout)
    write_warehouse(layout, build_id="b2", status=status)
    with pytest.raises(SnapshotError, match=f"last build ended as '{status}'"):
        take_snapshot(layout)
    assert current_seq(layout) == 1


def test_a_view_that_needs_what_is_not_published_stops_the_snapshot(layout: Layout) -> None:
    """A gold view over bronze is named before the pointer moves, and no manifest is left behind."""
    write_warehouse(layout)
    take_snapshot(layout)
    with duckdb.connect(str(layout.warehouse)) as con:
        con.execute("create view gold.leaky as select * from bronze.hidden")
    with pytest.raises(SnapshotError, match=r"view gold\.leaky cannot be made"):
        take_snapshot(layout)
    assert current_seq(layout) == 1
    assert not layout.manifest(2).exists()


def test_missing_and_foreign_warehouse_files_are_named(layout: Layout) -> None:
    """No file, a file that is no database, and a database without builds are three clear errors."""
    with pytest.raises(SnapshotError, match="does not exist"):
        take_snapshot(layout)
    layout.warehouse.write_bytes(b"not a database" * 1000)
    with pytest.raises(SnapshotError, match="not a valid DuckDB database"):
        take_snapshot(layout)
    layout.warehouse.unlink()
    duckdb.connect(str(layout.warehouse)).close()
    with pytest.raises(SnapshotError, match="no build is noted"):
        take_snapshot(layout)


def test_a_time_machine_view_shares_objects_and_has_its_own_pointer(layout: Layout) -> None:
    """The view as known at an instant has its own CURRENT; years equal to the present's are the same objects."""
    write_warehouse(layout)
    present = take_snapshot(layout)
    past = layout.as_known("2003-06-30")
    write_warehouse(past, shift=-1.0, shift_from="2003-01-01", as_known_at="2003-06-30")
    manifest = take_snapshot(past)
    assert manifest.as_known_at == "2003-06-30"
    assert (current_seq(layout), current_seq(past)) == (1, 1)
    same = {year for year, digest in objects(manifest).items() if objects(present)[year] == digest}
    assert same == {"2001", "2002"}
    query = "select close from silver.equity_bars where date = '2003-01-01' and symbol = 'S0'"
    with open_snapshot(layout) as now, open_snapshot(past) as then:
        assert now.con.execute(query).fetchall() == [(12053.0,)]
        assert then.con.execute(query).fetchall() == [(12052.0,)]


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


def test_objects_of_a_time_machine_view_are_kept(layout: Layout) -> None:
    """Removing what the present no longer needs leaves what another view refers to."""
    past = layout.as_known("2003-06-30")
    write_warehouse(past, shift=-1.0)
    then = take_snapshot(past)
    write_warehouse(layout)
    take_snapshot(layout)
    collect_garbage(layout, keep=1)
    open_snapshot(past, verify=True).close()
    assert layout.object(objects(then)["2001"]).exists()


def test_an_unreadable_manifest_keeps_every_object(layout: Layout) -> None:
    """While one manifest cannot be read nobody knows what it needs, so no object is removed."""
    write_warehouse(layout)
    first = take_snapshot(layout)
    layout.manifest(1).chmod(0o644)
    layout.manifest(1).write_text("{")
    write_warehouse(layout, build_id="b2", shift=1.0)
    take_snapshot(layout)
    collect_garbage(layout)
    assert all(layout.object(name).exists() for name in first.object_names())


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


@pytest.mark.fault
def test_readers_do_not_need_the_warehouse_file(layout: Layout) -> None:
    """While another process writes the warehouse, the snapshot is read; taking one is refused, naming the process."""
    write_warehouse(layout)
    take_snapshot(layout)
    writer = child(
        "import sys, duckdb\ncon = duckdb.connect(sys.argv[1])\ncon.execute('begin; delete from gold.empty_yet')\n"
        "print('writing', flush=True)\nsys.stdin.read()",
        str(layout.warehouse),
    )
    assert first_line(writer) == "writing"
    with open_snapshot(layout) as opened:
        assert opened.con.execute("select count(*) from gold.equities_features").fetchall() == [(440,)]
    with pytest.raises(LockedError, match=f"process {writer.pid}"):
        take_snapshot(layout)
    writer.kill()
    writer.communicate()
    take_snapshot(layout)


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


@pytest.mark.fault
@pytest.mark.parametrize("moment", ["export_table", "write_manifest", "flip_current", "_collect"])
def test_kill_in_mid_snapshot_leaves_a_whole_one(layout: Layout, moment: str) -> None:
    """kill -9 at any step of publishing leaves CURRENT on a whole snapshot; the next one completes and tidies up."""
    write_warehouse(layout, build_id="b1")
    take_snapshot(layout)
    write_warehouse(layout, build_id="b2", shift=1.0)
    (layout.objects / ".incoming-1-dead").write_bytes(b"half")
    victim = child(
        "import os, signal, sys\nfrom pathlib import Path\nfrom trademl.lake import snapshot\n"
        "from trademl.lake.layout import Layout\n"
        "def die(*arguments, **options):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(snapshot, sys.argv[2], die)\nsnapshot.take_snapshot(Layout(Path(sys.argv[1])))",
        str(layout.root),
        moment,
    )
    victim.communicate(timeout=30)
    assert victim.returncode == -9
    expected = "b2" if moment == "_collect" else "b1"
    with open_snapshot(layout, verify=True) as opened:
        assert opened.manifest.build_id == expected
        lowest = opened.con.execute("select min(close) from silver.equity_bars").fetchall()
        assert lowest == [(11324.0 if expected == "b2" else 11323.0,)]
    take_snapshot(layout)
    with open_snapshot(layout, verify=True) as opened:
        assert opened.manifest.build_id == "b2"
    collect_garbage(layout, keep=1)
    assert {path.stem for path in layout.objects.iterdir()} == read_manifest(layout).object_names()
