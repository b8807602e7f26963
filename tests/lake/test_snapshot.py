"""Publishing and reading snapshots: what is in them, and that no reader ever sees a half-made one."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from tests.lake.small_warehouse import child, first_line, write_warehouse
from trademl.errors import LockedError, SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest, current_seq, read_manifest
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


@pytest.mark.fault
@pytest.mark.parametrize("moment", ["export_table", "write_manifest", "flip_current", "collect"])
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
    expected = "b2" if moment == "collect" else "b1"
    with open_snapshot(layout, verify=True) as opened:
        assert opened.manifest.build_id == expected
        lowest = opened.con.execute("select min(close) from silver.equity_bars").fetchall()
        assert lowest == [(11324.0 if expected == "b2" else 11323.0,)]
    take_snapshot(layout)
    with open_snapshot(layout, verify=True) as opened:
        assert opened.manifest.build_id == "b2"
    collect_garbage(layout, keep=1)
    assert {path.stem for path in layout.objects.iterdir()} == read_manifest(layout).object_names()
