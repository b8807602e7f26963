"""The account of an ingest."""

import json

from trademl.warehouse.ingest.report import FileReport, IngestReport

FILES = (
    FileReport("a.csv", "ingested", rows=1200, landed=1190, quarantined=7, duplicates=3),
    FileReport("b.csv", "unchanged"),
    FileReport("c.csv", "refused", reason="empty_file", detail="it is empty"),
)
REPORT = IngestReport(
    dataset="equity_bars",
    batch_id="20240110T210500000001Z-01234567",
    rows_in=1200,
    landed=1190,
    first=1180,
    corrections=8,
    backfills=2,
    quarantined=7,
    duplicates=3,
    by_reason={"bad_date": 2, "high_below_low": 4, "bad_number": 1},
    files=FILES,
    notes=("no bar of ZZZ",),
    seconds=1.25,
)


def test_the_account_balances_only_when_every_row_is_accounted_for() -> None:
    """1,200 = 1,190 + 7 + 3; with one row more in, a row would be lost."""
    assert REPORT.balanced
    lost = IngestReport("series", None, 11, 5, 5, 0, 0, 3, 2)
    assert not lost.balanced


def test_refused_files_are_picked_out() -> None:
    """Only files of which nothing was read are refused."""
    assert [file.file for file in REPORT.refused] == ["c.csv"]


def test_the_text_is_a_table_with_the_commonest_reason_first() -> None:
    """Counts stand right-aligned below each other; reasons come by count, then by name."""
    assert REPORT.as_text().splitlines() == [
        "equity_bars: 1 files ingested, 1 unchanged, 1 refused in 1.2 s",
        "  rows in                              1,200",
        "  = landed                             1,190",
        "    first values                       1,180",
        "    corrections                            8",
        "    backfills                              2",
        "  + quarantined                            7",
        "    high_below_low                         4",
        "    bad_date                               2",
        "    bad_number                             1",
        "  + exact duplicates                       3",
        "  batch 20240110T210500000001Z-01234567",
        "  refused c.csv: it is empty",
        "  note: no bar of ZZZ",
    ]


def test_without_a_batch_the_text_says_that_nothing_changed() -> None:
    """An ingest of files that were there already writes no batch."""
    report = IngestReport("series", None, 0, 0, 0, 0, 0, 0, 0)
    assert report.as_text().splitlines()[-1] == "  batch none: nothing changed"


def test_json_holds_the_same_and_survives_a_round_trip() -> None:
    """The values are plain: what json writes, json reads."""
    found = json.loads(json.dumps(REPORT.as_json()))
    assert (found["rows_in"], found["by_reason"]["bad_date"], found["balanced"]) == (1200, 2, True)
    assert [file["status"] for file in found["files"]] == ["ingested", "unchanged", "refused"]
