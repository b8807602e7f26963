"""From the warehouse to objects: the right rows, the same bytes, and only what changed."""

import shutil
import stat
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.lake.small_warehouse import write_warehouse
from trademl.errors import SnapshotError
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest
from trademl.lake.snapshot import open_snapshot, take_snapshot

PUBLISHED = ("silver.equity_bars", "silver.coverage", "gold.equities_features", "gold.empty_yet", "gold.big_numbers")
FIRST_DAYS = {"2001": "2001-01-01", "2002": "2002-01-06", "2003": "2003-01-01"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


def objects(manifest: Manifest, table: str = "gold.equities_features") -> dict[str, str]:
    return {file.partition: file.sha256 for file in manifest.tables[table].files}


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


def test_the_last_session_is_that_of_the_minutes_where_there_are_no_daily_bars(layout: Layout) -> None:
    """Grades of both are told; daily bars, where a home has some, say how far the snapshot goes."""
    write_warehouse(layout)
    with duckdb.connect(str(layout.warehouse)) as con:
        con.execute(
            "create table silver.event_coverage as select 'intraday_bars' as dataset, date '2003-12-30' as date, "
            "2 as present, 0.9::double as coverage_ratio, 'AMBER' as status, 'one is missing' as reasons"
        )
    both = take_snapshot(layout, again=True)
    assert both.as_of == date(2003, 12, 27)
    assert {name: grade["status"] for name, grade in both.coverage.items()} == {
        "equity_bars": "GREEN",
        "intraday_bars": "AMBER",
    }
    with duckdb.connect(str(layout.warehouse)) as con:
        con.execute("delete from silver.coverage")
    assert take_snapshot(layout, again=True).as_of == date(2003, 12, 30)
