"""The batch that an ingest leaves, and the account it gives."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.warehouse.ingest.desk import Desk, bar
from trademl.errors import IngestError, LockedError
from trademl.lake.files import FileLock
from trademl.schema import QUARANTINE_COLUMNS, RAW
from trademl.warehouse.ingest import run


def described(path: Path) -> dict[str, str]:
    with duckdb.connect() as con:
        return {row[0]: row[1] for row in con.execute(f"describe select * from '{path}'").fetchall()}


def test_a_batch_has_the_declared_columns_in_order_and_cannot_be_written(desk: Desk) -> None:
    """rows.parquet and quarantine.parquet have exactly the columns of trademl.schema; all files are 0444."""
    desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18"), "bad,row,1,1,1,1,1"))
    (batch,) = desk.batches()
    assert described(batch / "rows.parquet") == RAW["equity_bars"].all_columns
    assert list(described(batch / "rows.parquet")) == list(RAW["equity_bars"].all_columns)
    assert list(described(batch / "quarantine.parquet").items()) == list(QUARANTINE_COLUMNS.items())
    assert {stat.S_IMODE(item.stat().st_mode) for item in batch.iterdir()} == {0o444}
    assert not (desk.raw / ".incoming").exists()


def test_rows_are_sorted_by_date_then_symbol(desk: Desk) -> None:
    """So that a filter on dates reads few row groups."""
    lines = [bar(symbol, day) for symbol in "CAB" for day in ("2026-11-18", "2026-11-16", "2026-11-17")]
    desk.ingest(desk.write("a.csv", *lines))
    assert [day[-2:] + symbol for day, symbol in desk.rows("select date::varchar, symbol from landed")] == [
        f"{day}{symbol}" for day in (16, 17, 18) for symbol in "ABC"
    ]


def test_batch_json_records_files_counts_mapping_and_versions(desk: Desk) -> None:
    """The record alone says what a batch was made from."""
    path = desk.write("a.csv", bar("AAA", "2026-11-18"), "bad,row,1,1,1,1,1")
    desk.ingest(path, source="vendor", mapping={"open": "open"})
    record = json.loads((desk.batches()[0] / "batch.json").read_text(encoding="utf-8"))
    assert record["batch_id"] == desk.batches()[0].name
    assert (record["source"], record["reading"]["mapping"]) == ("vendor", {"open": "open"})
    assert (record["rows_in"], record["landed"], record["quarantined"], record["duplicates"]) == (2, 1, 1, 0)
    (entry,) = record["files"]
    assert (entry["file"], entry["rows"], len(entry["sha256"])) == (str(path), 2, 64)
    assert record["duckdb"] == duckdb.__version__


def test_csv_and_parquet_of_the_same_table_are_the_same_rows(desk: Desk) -> None:
    """A FLOAT of 0.12 is the number 0.12, a DECIMAL price its decimal: the parquet is all duplicates."""
    csv = desk.write(
        "a.csv", bar("AAA", "2026-11-18", "10.37") + ",0.12", header="symbol,date,open,high,low,close,volume,dividend"
    )
    columns = ", ".join(f"{name}::decimal(9,4) as {name}" for name in ("open", "high", "low", "close"))
    duckdb.sql(
        f"copy (select symbol, date::timestamp as date, {columns}, volume, dividend::float as dividend from '{csv}') "
        f"to '{desk.sources}/b.parquet' (format parquet)"
    )
    desk.ingest(csv)
    report = desk.ingest(desk.sources / "b.parquet")
    assert (report.rows_in, report.duplicates) == (1, 1)


def test_bad_values_in_parquet_are_quarantined_by_row_number(desk: Desk) -> None:
    """NULL, NaN and infinity have their reasons, and the line is the row's position in the file."""
    duckdb.sql(
        "copy (select 'S' || i as symbol, date '2026-11-18' as date, v as open, 99.0 as high, 1.0 as low, "
        "9.0 as close, 5 as volume "
        "from (values (1, 10.0::double), (2, null), (3, 'nan'), (4, 'inf'), (5, 20)) as t (i, v)) "
        f"to '{desk.sources}/a.parquet' (format parquet)"
    )
    report = desk.ingest(desk.sources / "a.parquet")
    assert (report.rows_in, report.landed) == (5, 2)
    assert desk.quarantine() == [(2, "missing_value"), (3, "missing_value"), (4, "wrong_type")]


def test_a_second_ingest_at_the_same_time_is_refused(desk: Desk) -> None:
    """One lock per lake: the second names the holder and lands nothing."""
    path = desk.write("a.csv", bar("AAA", "2026-11-18"))
    with FileLock(desk.raw / ".ingest.lock"), pytest.raises(LockedError, match=str(os.getpid())):
        desk.ingest(path)
    assert not desk.batches()


def test_an_account_that_does_not_balance_lands_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a row ever got lost on the way, the batch is not shown."""
    account = run._account
    monkeypatch.setattr(run, "_account", lambda *args: replace(account(*args), landed=0))
    with pytest.raises(IngestError, match=r"does not balance: 1 rows in, 0 landed"):
        desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18")))
    assert not desk.batches()


def test_many_files_report_progress_in_order(desk: Desk) -> None:
    """The callback hears every file before it is read, and the end."""
    for index in range(3):
        desk.write(f"{index}.csv", bar(f"S{index}", "2026-11-18"))
    heard: list[tuple[int, int, str]] = []
    desk.ingest(desk.sources, progress=lambda done, total, file: heard.append((done, total, Path(file).name)))
    assert heard == [(0, 3, "0.csv"), (1, 3, "1.csv"), (2, 3, "2.csv"), (3, 3, "")]


def test_the_line_of_a_row_is_its_line_in_a_large_file(desk: Desk) -> None:
    """Line numbers are right beyond one vector and one buffer of the reader: 60,000 lines, each naming itself."""
    lines = [f"S{line},2026-11-18,10,11,9,10,{line}" for line in range(2, 60_002)]
    report = desk.ingest(desk.write("a.csv", *lines))
    assert report.landed == 60_000
    assert desk.rows("select count(*) from landed where volume <> line or symbol <> 'S' || line") == [(0,)]


@pytest.mark.real_data
def test_the_deliberately_bad_files_are_read_or_refused_with_nothing_lost(desk: Desk, real_data: Path) -> None:
    """An error page is refused; nine symbols land; a file with each line twice is half duplicates or conflicts."""
    symbols = real_data / "quality" / "alphavantage_raw_symbols"
    report = desk.ingest(symbols / "*.csv", symbol_from_name="DA-(.+)-T-")
    assert [Path(file.file).name for file in report.refused] == ["DA-BF.B-T-2021-04-21.csv"]
    lines = sum(len(path.read_bytes().splitlines()) - 1 for path in symbols.glob("*.csv") if "BF.B" not in path.name)
    assert (report.rows_in, report.landed) == (lines, lines)
    minutes = desk.ingest(real_data / "quality" / "intraday_raw" / "*.csv", symbol="X")
    assert (minutes.landed, set(minutes.by_reason)) == (0, {"conflicting_rows", "bad_date"})
    archives = desk.ingest(*(real_data / "quality" / "yahoo_archives").glob("*.tar.gz"))
    assert len(archives.refused) == 3
