"""What is news, and when it was known."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.warehouse.ingest.desk import NOW, Desk, bar
from trademl.clock import sql_utc
from trademl.errors import IngestError

HISTORY = "select close, known_at from landed order by ingested_at, line"


def test_a_first_value_is_known_fifteen_minutes_after_its_session_closed(desk: Desk) -> None:
    """16:00 New York is 21:00 UTC in winter, 20:00 in summer; the day after Thanksgiving closed at 13:00."""
    days = ("2015-07-01", "2015-11-25", "2015-11-27")
    desk.ingest(desk.write("bars.csv", *(bar("AAA", day) for day in days)))
    assert [row[0] for row in desk.rows("select known_at from landed order by date")] == [
        datetime(2015, 7, 1, 20, 15),
        datetime(2015, 11, 25, 21, 15),
        datetime(2015, 11, 27, 18, 15),
    ]


def test_a_different_value_is_a_correction_known_when_it_is_ingested(desk: Desk) -> None:
    """The old value stays, with its own known time."""
    desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18", "10")))
    report = desk.ingest(desk.write("b.csv", bar("AAA", "2026-11-18", "11")))
    assert (report.corrections, report.first) == (1, 0)
    assert desk.rows(HISTORY) == [(10.0, datetime(2026, 11, 18, 21, 15)), (11.0, sql_utc(NOW + timedelta(days=1)))]


def test_a_then_b_then_a_again_is_two_corrections(desk: Desk) -> None:
    """Going back to an earlier value is news as well, when it comes in a new file."""
    for name, close in (("a.csv", "10"), ("b.csv", "11"), ("c.csv", "10")):
        desk.ingest(desk.write(name, bar("AAA", "2026-11-18", close)))
    assert [row[0] for row in desk.rows(HISTORY)] == [10.0, 11.0, 10.0]


def test_files_of_one_command_correct_each_other_in_the_order_of_their_names(desk: Desk) -> None:
    """A, A, B, B, A in five files of one command: one first value, two corrections, two duplicates, times growing."""
    for index, close in enumerate(("10", "10", "11", "11", "10")):
        desk.write(f"{index}.csv", bar("AAA", "2026-11-18", close))
    report = desk.ingest(desk.sources)
    assert (report.rows_in, report.first, report.corrections, report.duplicates) == (5, 1, 2, 2)
    history = desk.rows(HISTORY)
    assert [row[0] for row in history] == [10.0, 11.0, 10.0]
    assert history[0][1] < history[1][1] < history[2][1]


def test_the_same_file_twice_changes_nothing(desk: Desk) -> None:
    """No batch, no row, no quarantine row."""
    path = desk.write("a.csv", bar("AAA", "2026-11-18"), "bad,line,1,1,1,1,1")
    desk.ingest(path)
    before = sorted((item, item.stat().st_mtime_ns) for item in desk.raw.glob("*/*/*") if item.is_file())
    report = desk.ingest(path)
    assert (report.batch_id, report.rows_in, report.files[0].status) == (None, 0, "unchanged")
    assert before == sorted((item, item.stat().st_mtime_ns) for item in desk.raw.glob("*/*/*") if item.is_file())


def test_a_file_that_goes_back_to_its_old_bytes_is_read_again(desk: Desk) -> None:
    """Overwritten with B and then with A again, the same path gives two corrections."""
    for close in ("10", "11", "10"):
        desk.ingest(desk.write("daily.csv", bar("AAA", "2026-11-18", close)))
    assert [row[0] for row in desk.rows(HISTORY)] == [10.0, 11.0, 10.0]


def test_one_file_read_in_two_ways_is_read_twice(desk: Desk) -> None:
    """A file of factors gives one series per --name and --map."""
    path = desk.write("factors.csv", "2026-11-18,1.5,2.5", header="date,smb,hml")
    for name in ("smb", "hml"):
        desk.ingest(path, dataset="series", name=name, mapping={"value": name})
    assert desk.rows("select series, value from landed order by 1", "series") == [("hml", 2.5), ("smb", 1.5)]


def test_a_missing_row_that_comes_later_is_known_when_it_is_ingested(desk: Desk) -> None:
    """The 17th arrives after the 18th had landed: nobody could have used it before; the 19th is simply new."""
    desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-16"), bar("AAA", "2026-11-18")))
    report = desk.ingest(
        desk.write("b.csv", bar("AAA", "2026-11-17"), bar("AAA", "2026-11-19"), bar("B", "2026-11-17"))
    )
    assert (report.backfills, report.first, len(report.notes)) == (1, 2, 1)
    assert desk.rows("select symbol, known_at from landed where date >= '2026-11-17' order by date, symbol") == [
        ("AAA", sql_utc(NOW + timedelta(days=1))),
        ("B", datetime(2026, 11, 17, 21, 15)),
        ("AAA", datetime(2026, 11, 18, 21, 15)),
        ("AAA", datetime(2026, 11, 19, 21, 15)),
    ]


def test_known_at_close_calls_a_backfill_public_at_its_close_but_not_a_correction(desk: Desk) -> None:
    """History bought later was public at the time; a changed value was not."""
    desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18", "10")))
    desk.ingest(desk.write("b.csv", bar("AAA", "2026-11-17"), bar("AAA", "2026-11-18", "11")), known_at="close")
    assert desk.rows("select date::varchar, known_at from landed where file like '%b.csv' order by 1") == [
        ("2026-11-17", datetime(2026, 11, 17, 21, 15)),
        ("2026-11-18", sql_utc(NOW + timedelta(days=1))),
    ]


def test_a_given_instant_is_when_every_row_was_known(desk: Desk) -> None:
    """A 2014 bar corrected in 2016 says so, whenever it is ingested."""
    desk.ingest(desk.write("a.csv", bar("AAA", "2014-03-03", "10")))
    desk.ingest(desk.write("b.csv", bar("AAA", "2014-03-03", "11")), known_at="2016-05-02T12:00:00+02:00")
    assert desk.rows(HISTORY)[1] == (11.0, datetime(2016, 5, 2, 10))


def test_an_instant_before_a_row_was_public_is_refused(desk: Desk) -> None:
    """The message names the row, its line and the earliest time; nothing lands."""
    path = desk.write("a.csv", bar("AAA", "2026-11-16"), bar("AAA", "2026-11-18"))
    with pytest.raises(IngestError, match=r"before 1 rows .* AAA 2026-11-18 \(line 3 of .*2026-11-18 21:15:00"):
        desk.ingest(path, known_at="2026-11-17T12:00:00")
    assert not desk.batches()


def test_a_correction_must_be_known_after_what_it_corrects(desk: Desk) -> None:
    """Two versions of a row with one known time would have no order."""
    desk.ingest(desk.write("a.csv", bar("AAA", "2014-03-03", "10")), known_at="2016-01-01")
    with pytest.raises(IngestError, match="corrects a value known at 2016-01-01 00:00:00"):
        desk.ingest(desk.write("b.csv", bar("AAA", "2014-03-03", "11")), known_at="2015-01-01")


@pytest.mark.parametrize("known_at, said", [("2099-01-01", "after this ingestion"), ("soon", "nor the word close")])
def test_an_impossible_known_at_is_refused(desk: Desk, known_at: str, said: str) -> None:
    """The future, and words other than close."""
    with pytest.raises(IngestError, match=said):
        desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18")), known_at=known_at)


def test_versions_keep_their_order_when_the_clock_stands_still_or_runs_back(desk: Desk) -> None:
    """Ingestion times grow even under a fixed TRADEML_NOW or a clock set back by an hour."""
    for name, close, hours in (("a.csv", "10", 0), ("b.csv", "11", 0), ("c.csv", "12", -1)):
        desk.now = NOW + timedelta(hours=hours)
        desk.ingest(desk.write(name, bar("AAA", "2026-11-18", close)))
    history = desk.rows("select close, ingested_at from landed order by ingested_at")
    assert [row[0] for row in history] == [10.0, 11.0, 12.0]
    assert len({row[1] for row in history}) == 3


def test_a_row_from_the_future_lands_when_its_session_has_closed(desk: Desk) -> None:
    """The same file, unchanged, is read again as long as it held rows that were too early."""
    path = desk.write("a.csv", bar("AAA", "2026-11-19"), bar("AAA", "2026-11-20"))
    assert desk.ingest(path).by_reason == {"future_date": 1}
    desk.now = NOW + timedelta(hours=1)
    assert desk.ingest(path).batch_id is None
    desk.now = datetime(2026, 11, 20, 21, 15, tzinfo=UTC)
    report = desk.ingest(path)
    assert (report.first, report.duplicates, report.quarantined) == (1, 1, 0)
    assert desk.ingest(path).files[0].status == "unchanged"


def test_a_membership_spell_is_known_on_its_first_day_and_its_end_is_a_correction(desk: Desk) -> None:
    """A spell without end lands with an empty end_date; the end, learned later, is known when it is ingested."""
    header = "ticker,start_date,end_date"
    desk.ingest(
        desk.write("m.csv", "AAA,2000-06-05,", "BBB,2001-01-01,2000-01-01", header=header), dataset="membership"
    )
    assert desk.quarantine(dataset="membership") == [(3, "start_after_end")]
    desk.ingest(desk.write("m.csv", "AAA,2000-06-05,2026-11-20", header=header), dataset="membership")
    assert desk.rows("select end_date::varchar, known_at, assumption from landed order by known_at", "membership") == [
        (None, datetime(2000, 6, 5), "spell bounds public on their effective date"),
        ("2026-11-20", sql_utc(NOW + timedelta(days=1)), None),
    ]


def test_an_announced_spell_is_known_when_it_is_ingested(desk: Desk) -> None:
    """A spell that starts next month cannot be known on its first day: it is known already."""
    desk.ingest(desk.write("m.csv", "AAA,2026-12-21,", header="ticker,start,end"), dataset="membership")
    assert desk.rows("select known_at from landed", "membership") == [(sql_utc(NOW),)]


def test_a_sector_counts_as_always_known_and_the_row_says_so(desk: Desk) -> None:
    """There is no publication date; a changed sector is known when it is ingested."""
    header = "Symbol,Name,Sector"
    desk.ingest(desk.write("s.csv", '"AAA","A, Inc.",Tech', header=header), dataset="reference")
    desk.ingest(desk.write("s.csv", '"AAA","A, Inc.",Energy', header=header), dataset="reference")
    assert desk.rows("select sector, known_at, assumption from landed order by known_at", "reference") == [
        ("Tech", datetime(1970, 1, 1), "sector has no publication date: assumed always known, as of the file"),
        ("Energy", sql_utc(NOW + timedelta(days=1)), None),
    ]


def test_a_series_value_off_its_calendar_is_quarantined_unless_the_calendar_has_every_day(desk: Desk) -> None:
    """VIX closes are printed on some holidays: XNYS refuses them, the calendar 24/7 takes them."""
    path = desk.write("vix.csv", "2025-12-24,14.1", "2025-12-25,14.2", header="DATE,CLOSE")
    assert desk.ingest(path, dataset="series", name="VIX").by_reason == {"not_a_session": 1}
    report = desk.ingest(path, dataset="series", name="VIX daily", calendar="24/7")
    assert report.landed == 2
    assert desk.rows("select known_at from landed where series = 'VIX daily' and date = '2025-12-25'", "series") == [
        (datetime(2025, 12, 26, 0, 15),)
    ]
