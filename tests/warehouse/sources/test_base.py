"""What happens to bars between any vendor and the lake."""

from dataclasses import dataclass
from datetime import date

import pytest

from tests.warehouse.ingest.desk import NOW, Desk
from trademl.errors import IngestError
from trademl.warehouse.sources.base import Bar, Fetched, ingest_bars, number, parse_symbols

START, END = date(2026, 11, 16), date(2026, 11, 18)


@dataclass
class Vendor:
    """A source that has these bars."""

    bars: tuple[Bar, ...]
    notes: tuple[str, ...] = ()
    name: str = "vendor"

    def fetch(self, symbols: tuple[str, ...], start: date, end: date) -> Fetched:
        return Fetched(self.bars, self.notes)


def bar(symbol: str, day: int, close: float | None = 10.0) -> Bar:
    return Bar(symbol, date(2026, 11, day), 10.0, 11.0, 9.0, close, 100.0)


def test_symbols_are_read_once_each_in_order() -> None:
    """Blanks around a symbol and repetitions go."""
    assert parse_symbols("MSFT, AAPL,MSFT") == ("MSFT", "AAPL")


@pytest.mark.parametrize("text", ["", "AAPL,,MSFT", "AAPL, "])
def test_an_empty_symbol_is_refused(text: str) -> None:
    """A list with a hole in it is a typing error, not a shorter list."""
    with pytest.raises(IngestError, match="empty symbol"):
        parse_symbols(text)


def test_bars_land_sorted_under_the_vendors_name(desk: Desk) -> None:
    """Rows carry the source, the request in place of a file, and no dividend and no split unless the vendor says so."""
    source = Vendor((bar("BBB", 16), bar("AAA", 17), bar("AAA", 16)))
    report = ingest_bars(desk.home, source, ["AAA", "BBB"], START, END, now=lambda: NOW)
    assert (report.rows_in, report.landed, report.notes) == (3, 3, ())
    columns = "symbol, day(date), dividend_amount, split_coefficient, source, file"
    origin = "vendor://AAA,BBB/2026-11-16/2026-11-18"
    assert desk.rows(f"select {columns} from landed order by line") == [
        ("AAA", 16, 0.0, 1.0, "vendor", origin),
        ("AAA", 17, 0.0, 1.0, "vendor", origin),
        ("BBB", 16, 0.0, 1.0, "vendor", origin),
    ]


def test_a_value_the_vendor_left_out_is_quarantined(desk: Desk) -> None:
    """A bar without a close is judged as a file's row would be."""
    report = ingest_bars(
        desk.home, Vendor((bar("AAA", 16), bar("AAA", 17, None))), ["AAA"], START, END, now=lambda: NOW
    )
    assert (report.landed, report.quarantined) == (1, 1)


def test_what_the_vendor_lacks_is_noted_after_its_own_notes(desk: Desk) -> None:
    """A symbol without a bar is a note, not an error, as long as another has one."""
    source = Vendor((bar("AAA", 16),), ("slow today",))
    report = ingest_bars(desk.home, source, ["AAA", "ZZZ"], START, END, now=lambda: NOW)
    assert report.notes == ("slow today", "no bar of ZZZ from 2026-11-16 to 2026-11-18")


def test_no_bar_at_all_is_an_error(desk: Desk) -> None:
    """Nothing found is said as such, and nothing lands."""
    with pytest.raises(IngestError, match="vendor has no bar of AAA from 2026-11-16 to 2026-11-18"):
        ingest_bars(desk.home, Vendor(()), ["AAA"], START, END, now=lambda: NOW)
    assert not desk.batches()


def test_wrong_requests_never_reach_the_vendor(desk: Desk) -> None:
    """Dates the wrong way round, and no symbol, are refused first."""
    source = Vendor((bar("AAA", 16),))
    with pytest.raises(IngestError, match="--start 2026-11-18 is after --end 2026-11-16"):
        ingest_bars(desk.home, source, ["AAA"], END, START, now=lambda: NOW)
    with pytest.raises(IngestError, match="hold an empty one, or none"):
        ingest_bars(desk.home, source, [], START, END, now=lambda: NOW)


def test_a_long_list_of_symbols_is_shortened_in_the_label(desk: Desk) -> None:
    """Of more than five symbols the rows' file says how many, and 8 digits that tell one list from another."""
    symbols = [f"S{at}" for at in range(6)]
    ingest_bars(desk.home, Vendor((bar("S0", 16),)), symbols, START, END, now=lambda: NOW)
    ((label,),) = desk.rows("select file from landed")
    assert label.startswith("vendor://6-symbols-")
    assert len(label) == len("vendor://6-symbols-01234567/2026-11-16/2026-11-18")


def test_a_vendors_number() -> None:
    """Integers and floats are numbers; text, truth values and nothing are missing."""
    assert [number(value) for value in (1, 2.5, "3", True, None)] == [1.0, 2.5, None, None, None]
