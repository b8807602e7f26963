"""Batches on disk: written aside, shown whole, never changed."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from trademl.errors import IngestError, LockedError
from trademl.lake.layout import Layout
from trademl.warehouse.ingest.batch import Batches, batch_name, commit, copy_rows, ingest_lock

INSTANT = datetime(2024, 1, 10, 21, 5, 0, 1, tzinfo=UTC)


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    """The batches of bars in an empty lake."""
    layout = Layout(tmp_path)
    (tmp_path / "raw").mkdir()
    return Batches(layout, "equity_bars")


def land(batches: Batches, name: str, until: str = "2024-01-10T21:05:00+00:00") -> Path:
    with ingest_lock(batches.layout) as incoming:
        staged = incoming / name
        staged.mkdir()
        (staged / "rows.parquet").write_bytes(b"rows")
        return commit(staged, batches, {"ingested_until": until})


def test_names_sort_as_their_instants() -> None:
    """A name is the UTC instant to the microsecond and the first 8 digits of its content."""
    assert batch_name(INSTANT, "0123456789abcdef") == "20240110T210500000001Z-01234567"


def test_a_committed_batch_is_whole_and_read_only(batches: Batches) -> None:
    """The folder has moved to its dataset with rows and record, and neither can be written."""
    target = land(batches, "20240110T210500000001Z-01234567")
    assert target == batches.folder / "20240110T210500000001Z-01234567"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {
        "rows.parquet": 0o444,
        "batch.json": 0o444,
    }
    assert batches.row_files() == [target / "rows.parquet"]
    assert batches.records() == [{"ingested_until": "2024-01-10T21:05:00+00:00"}]


def test_batches_come_oldest_first(batches: Batches) -> None:
    """Files and records follow the names, not the order of landing."""
    land(batches, "20240111T000000000000Z-b", "2024-01-11T00:00:00+00:00")
    land(batches, "20240110T000000000000Z-a", "2024-01-10T00:00:00+00:00")
    assert [record["ingested_until"][:10] for record in batches.records()] == ["2024-01-10", "2024-01-11"]
    assert [path.parent.name[-1] for path in batches.row_files()] == ["a", "b"]


def test_time_never_runs_back(batches: Batches) -> None:
    """With the clock before the last batch, the next instant is a microsecond after that batch."""
    land(batches, "20240110T210500000000Z-a")
    assert batches.next_instant(datetime(2024, 1, 9, tzinfo=UTC)) == INSTANT
    assert batches.next_instant(datetime(2024, 2, 1, tzinfo=UTC)) == datetime(2024, 2, 1, tzinfo=UTC)


def test_a_batch_without_its_record_is_an_error(batches: Batches) -> None:
    """A record that was removed is named, and not passed over."""
    (land(batches, "20240110T210500000000Z-a") / "batch.json").unlink()
    with pytest.raises(IngestError, match=r"20240110T210500000000Z-a has no readable batch\.json"):
        batches.records()


def test_one_ingest_at_a_time(batches: Batches) -> None:
    """While one holds the lock a second is refused, and what the first leaves behind is gone afterwards."""
    with ingest_lock(batches.layout) as incoming:
        (incoming / "half").mkdir()
        with pytest.raises(LockedError), ingest_lock(batches.layout):
            pass
        assert (incoming / "half").is_dir()
    assert not incoming.exists()


def test_what_a_killed_ingest_left_is_cleared(batches: Batches) -> None:
    """The next ingest starts with an empty incoming folder."""
    (batches.layout.root / "raw" / ".incoming" / "half").mkdir(parents=True)
    with ingest_lock(batches.layout) as incoming:
        assert list(incoming.iterdir()) == []


def test_rows_keep_the_order_of_the_query(tmp_path: Path) -> None:
    """The file has the rows as ordered, and their number is read from the file; quotes in a path do no harm."""
    path = tmp_path / "it's.parquet"
    with duckdb.connect() as con:
        assert copy_rows(con, "select range as n from range(1000) order by n desc", path) == 1000
        assert con.read_parquet(str(path)).limit(2).fetchall() == [(999,), (998,)]
        assert copy_rows(con, "select 1 as n where false", tmp_path / "empty.parquet") == 0
