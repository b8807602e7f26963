"""The one door for readers: the snapshot follows the last finished build, without disturbing a running one."""

from pathlib import Path

import duckdb
import pytest

from tests.lake.small_warehouse import child, first_line, write_warehouse
from trademl.config import Home
from trademl.errors import LockedError, SnapshotError
from trademl.lake.layout import layout_of
from trademl.lake.manifest import current_seq
from trademl.warehouse import read
from trademl.warehouse.read import git_revision, publish_after_build, read_snapshot


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def build_id(home: Home) -> str:
    with read_snapshot(home) as snapshot:
        return snapshot.manifest.build_id


def test_without_a_build_the_error_names_the_command(home: Home) -> None:
    """Nothing built: SnapshotError with `trademl build`; for another instant, with its --as-known-at."""
    with pytest.raises(SnapshotError, match="run `trademl build`"):
        read_snapshot(home)
    with pytest.raises(SnapshotError, match="--as-known-at 2015-06-30"):
        read_snapshot(home, "2015-06-30")


def test_a_plain_dbt_build_is_published_by_the_next_reader(home: Home) -> None:
    """After a build outside trademl the first reader takes the snapshot, later ones open it."""
    layout = layout_of(home)
    write_warehouse(layout, build_id="b1")
    assert build_id(home) == "b1"
    assert build_id(home) == "b1"
    assert current_seq(layout) == 1
    write_warehouse(layout, build_id="b2", shift=1.0)
    assert build_id(home) == "b2"
    assert current_seq(layout) == 2


def test_an_unchanged_warehouse_is_not_opened(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader compares the file's times and sizes before it opens the builder's file."""
    layout = layout_of(home)
    write_warehouse(layout, build_id="b1")
    publish_after_build(home)

    def refuse(*arguments: object) -> None:
        raise AssertionError("the warehouse was opened")

    monkeypatch.setattr(read, "open_warehouse", refuse)
    assert build_id(home) == "b1"
    layout.warehouse.touch()
    with pytest.raises(AssertionError):
        build_id(home)


@pytest.mark.parametrize("status", ["running", "failed", "partial"])
def test_a_build_that_did_not_finish_is_not_read(home: Home, status: str) -> None:
    """After a failed, killed or partial run readers stay on the last snapshot, and without one there is an error."""
    layout = layout_of(home)
    write_warehouse(layout, build_id="b0", status=status)
    with pytest.raises(SnapshotError, match="no finished build"):
        read_snapshot(home)
    write_warehouse(layout, build_id="b1")
    assert build_id(home) == "b1"
    write_warehouse(layout, build_id="b2", status=status)
    assert build_id(home) == "b1"
    with pytest.raises(SnapshotError, match=status):
        publish_after_build(home)


@pytest.mark.fault
def test_readers_do_not_wait_for_a_build(home: Home) -> None:
    """While another process holds the warehouse, readers get the last snapshot; its build is read once it lets go."""
    layout = layout_of(home)
    write_warehouse(layout, build_id="b1")
    assert build_id(home) == "b1"
    builder = child(
        "import sys, duckdb\ncon = duckdb.connect(sys.argv[1])\n"
        "con.execute(\"insert into meta.builds select 'b2', 'b2', now()::timestamp, null, null, 'd', '', 'running'\")\n"
        "print('building', flush=True)\nsys.stdin.readline()\n"
        "con.execute(\"update meta.builds set status = 'success' where build_id = 'b2'\")\ncon.close()",
        str(layout.warehouse),
    )
    assert first_line(builder) == "building"
    assert build_id(home) == "b1"
    with pytest.raises(LockedError, match=str(builder.pid)):
        publish_after_build(home)
    builder.communicate("finish\n")
    assert build_id(home) == "b2"


@pytest.mark.fault
def test_readers_that_start_together_publish_a_build_once(home: Home) -> None:
    """Three processes that all find the build unpublished leave one manifest, and all of them read it."""
    write_warehouse(layout_of(home), build_id="b1")
    code = (
        "import sys\nfrom pathlib import Path\nfrom trademl.config import Home\n"
        "from trademl.warehouse.read import read_snapshot\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "with read_snapshot(Home(Path(sys.argv[1]))) as snapshot:\n    print(snapshot.manifest.build_id, flush=True)"
    )
    readers = [child(code, str(home.root)) for _ in range(3)]
    assert [first_line(reader) for reader in readers] == ["ready"] * 3
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write("go\n")
        reader.stdin.flush()
    assert [reader.communicate(timeout=60)[0] for reader in readers] == ["b1\n"] * 3
    assert [path.name for path in layout_of(home).manifests.iterdir()] == ["00000001.json"]


@pytest.mark.fault
def test_without_a_snapshot_a_running_build_is_named(home: Home) -> None:
    """The first build still runs: the error says which process holds the warehouse."""
    layout = layout_of(home)
    write_warehouse(layout)
    builder = child(
        "import sys, duckdb\ncon = duckdb.connect(sys.argv[1])\nprint('building', flush=True)\nsys.stdin.read()",
        str(layout.warehouse),
    )
    assert first_line(builder) == "building"
    with pytest.raises(LockedError, match=f"process {builder.pid}"):
        read_snapshot(home)
    builder.kill()
    builder.communicate()


def test_a_time_machine_build_is_read_beside_the_present(home: Home) -> None:
    """Each instant has its own snapshot, addressed by any spelling of the instant."""
    layout = layout_of(home)
    write_warehouse(layout)
    write_warehouse(layout.as_known("2003-06-30"), build_id="past", shift=-1.0, as_known_at="2003-06-30")
    with read_snapshot(home) as now, read_snapshot(home, "2003-06-30T00:00:00Z") as then:
        query = "select min(close) from silver.equity_bars"
        assert now.con.execute(query).fetchall() == [(11323.0,)]
        assert then.con.execute(query).fetchall() == [(11322.0,)]
        assert then.manifest.as_known_at == "2003-06-30"


def test_verifying_readers_notice_altered_objects(home: Home) -> None:
    """With ``verify`` a reader refuses an object whose bytes changed."""
    layout = layout_of(home)
    write_warehouse(layout)
    file = publish_after_build(home).tables["silver.equity_bars"].files[0]
    path = layout.root / file.path
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(SnapshotError, match="sha256"):
        read_snapshot(home, verify=True)


def test_losing_the_warehouse_file_loses_nothing(home: Home) -> None:
    """The builder's file is disposable: without it the snapshot is still there."""
    layout = layout_of(home)
    write_warehouse(layout)
    publish_after_build(home)
    layout.warehouse.unlink()
    with read_snapshot(home) as snapshot:
        assert snapshot.con.execute("select count(*) from gold.equities_features").fetchall() == [(440,)]


def test_the_revision_is_the_commit_of_the_home_or_unknown(home: Home) -> None:
    """Outside a repository, and in one without commits, the revision is "unknown"."""
    home.root.mkdir(parents=True)
    assert git_revision(home) == "unknown"
    assert git_revision(Home(home.root / "missing")) == "unknown"


def test_reading_a_plain_duckdb_file_is_refused_politely(home: Home) -> None:
    """A database that no build made is not taken for a warehouse."""
    home.lake.mkdir(parents=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("create table x as select 1")
    with pytest.raises(SnapshotError, match="no finished build"):
        read_snapshot(home)
