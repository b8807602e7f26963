"""Each reason to quarantine a row, and the spellings that are none."""

from datetime import date

import pytest

from tests.warehouse.ingest.desk import HEADER, Desk, bar

GOOD = bar("AAA", "2026-11-18")


@pytest.mark.parametrize(
    "line, reason, said",
    [
        ("AAA,2026-11-19,,11,9,10,100", "missing_value", "open is empty"),
        ("AAA,2026-11-19,10,11,9,NaN,100", "missing_value", "close is empty"),
        (",2026-11-19,10,11,9,10,100", "missing_value", "symbol is empty"),
        ("AAA,2026-11-19,10,eleven,9,10,100", "wrong_type", 'high is "eleven", not a finite number'),
        ("AAA,2026-11-19,10,inf,9,10,100", "wrong_type", 'high is "inf", not a finite number'),
        ("AAA,2026-11-19,10,1_1,9,10,100", "wrong_type", 'high is "1_1", not a finite number'),
        ("A A,2026-11-19,10,11,9,10,100", "bad_symbol", 'symbol is "A A"'),
        ("AAA,19.11.2026,10,11,9,10,100", "bad_date", 'date is "19.11.2026"'),
        ("AAA,2026-02-30,10,11,9,10,100", "bad_date", 'date is "2026-02-30"'),
        ("AAA,2026-11-19 09:30:00,10,11,9,10,100", "bad_date", "without time of day"),
        ("AAA,2025-12-25,10,11,9,10,100", "not_a_session", "2025-12-25, a Thursday, is not a session of XNYS"),
        ("AAA,2026-11-15,10,11,9,10,100", "not_a_session", "a Sunday"),
        ("AAA,1905-01-03,10,11,9,10,100", "outside_calendar", "1905-01-03 is outside the XNYS calendar, 1962-01-02 to"),
        ("AAA,2026-11-20,10,11,9,10,100", "future_date", "2026-11-20 is known at 2026-11-20 21:15:00 UTC"),
        ("AAA,2026-11-19,10,11,-9,10,100", "nonpositive_price", "low -9.0"),
        ("AAA,2026-11-19,10,11,0,10,100", "nonpositive_price", "not all above 0"),
        ("AAA,2026-11-19,10,9,11,10,100", "high_below_low", "high 9.0, low 11.0"),
        ("AAA,2026-11-19,12,11,9,10,100", "outside_range", "open 12.0"),
        ("AAA,2026-11-19,10,11,9,8,100", "outside_range", "close 8.0"),
        ("AAA,2026-11-19,10,11,9,10,-1", "negative_volume", "volume is -1.0"),
        ("AAA,2026-11-19,10,11,9,10", "ragged_row", "6 fields, the header 7"),
        ("AAA,2026-11-19,10,11,9,10,100,7", "ragged_row", "8 fields, the header 7"),
        (HEADER.upper(), "repeated_header", "the header line is repeated"),
    ],
)
def test_a_bad_line_is_quarantined_with_its_line_reason_and_sentence(
    desk: Desk, line: str, reason: str, said: str
) -> None:
    """One bad line between two good ones goes to the quarantine; the good ones land."""
    report = desk.ingest(desk.write("bars.csv", GOOD, line, bar("BBB", "2026-11-18")))
    assert (report.rows_in, report.landed, report.by_reason) == (3, 2, {reason: 1})
    ((number, code, detail, row),) = desk.quarantine('line, reason, detail, "row"')
    assert (number, code) == (3, reason)
    assert said in detail
    assert row


def test_the_quarantined_row_keeps_every_original_value(desk: Desk) -> None:
    """The row is kept as JSON under the names of the header, columns that are not fields included."""
    desk.ingest(desk.write("bars.csv", "AAA,2026-11-19,10,11,-9,10,100,x y", header=HEADER + ",Note"))
    assert desk.quarantine("\"row\" ->> 'low', \"row\" ->> 'Note'") == [("-9", "x y")]


@pytest.mark.parametrize("text", ["2026-11-18", " 2026-11-18 ", "20261118", "2026/11/18", "2026-11-18 00:00:00-05:00"])
def test_a_date_may_be_spelled_in_a_few_unmistakable_ways(desk: Desk, text: str) -> None:
    """ISO dates, with midnight in any zone, and dates without or with slashes give the date that is written."""
    desk.ingest(desk.write("bars.csv", f"AAA,{text},10,11,9,10,100"))
    assert desk.rows("select date from landed") == [(date(2026, 11, 18),)]


def test_a_date_format_reads_what_is_ambiguous_otherwise(desk: Desk) -> None:
    """03/04/2026 is the fourth of March only when --date-format says so."""
    path = desk.write("bars.csv", "AAA,03/04/2026,10,11,9,10,100")
    assert desk.ingest(path).by_reason == {"bad_date": 1}
    desk.ingest(path, date_format="%m/%d/%Y")
    assert desk.rows("select date from landed") == [(date(2026, 3, 4),)]


@pytest.mark.parametrize("symbol", ["NA", "NAN", "NULL", "TRUE", "BRK.B", "BF-B"])
def test_a_symbol_that_looks_like_a_missing_value_is_a_symbol(desk: Desk, symbol: str) -> None:
    """NA and TRUE have been tickers: only an empty symbol is missing."""
    desk.ingest(desk.write("bars.csv", bar(symbol, "2026-11-18")))
    assert desk.rows("select symbol from landed") == [(symbol,)]


def test_dividends_and_splits_have_defaults_and_a_split_of_zero_is_none(desk: Desk) -> None:
    """An empty dividend is 0, an empty or zero split is 1; a negative one of either is refused."""
    header = HEADER + ",Dividends,Stock Splits"
    good = [bar("A", "2026-11-16") + ",,", bar("B", "2026-11-16") + ",0.5,0", bar("C", "2026-11-16") + ",0,2"]
    bad = [bar("D", "2026-11-16") + ",-1,1", bar("E", "2026-11-16") + ",0,-2", bar("F", "2026-11-16") + ",x,1"]
    report = desk.ingest(desk.write("bars.csv", *good, *bad, header=header))
    assert report.by_reason == {"negative_dividend": 1, "bad_split": 1, "wrong_type": 1}
    assert desk.rows("select symbol, dividend_amount, split_coefficient from landed order by 1") == [
        ("A", 0.0, 1.0),
        ("B", 0.5, 1.0),
        ("C", 0.0, 2.0),
    ]


def test_rows_that_contradict_each_other_in_one_file_are_all_quarantined(desk: Desk) -> None:
    """Two values for one symbol and date cannot both be right, and nothing says which is: neither lands."""
    lines = [bar("AAA", "2026-11-18", "10"), bar("BBB", "2026-11-18"), bar("AAA", "2026-11-18", "20")]
    report = desk.ingest(desk.write("bars.csv", *lines))
    assert (report.landed, report.by_reason) == (1, {"conflicting_rows": 2})
    assert desk.quarantine("line, detail, \"row\" ->> 'close'") == [
        (2, "2 rows of this file give 2 different values for AAA 2026-11-18", "10"),
        (4, "2 rows of this file give 2 different values for AAA 2026-11-18", "20"),
    ]


def test_equal_rows_of_one_file_are_exact_duplicates(desk: Desk) -> None:
    """The first of equal rows lands, the others are counted, however they spell the numbers."""
    report = desk.ingest(desk.write("bars.csv", "A,2026-11-18,10,11,9,10,100", "A,2026-11-18,10.0,11,9.00,1e1,100"))
    assert (report.rows_in, report.landed, report.duplicates) == (2, 1, 1)
