"""Trades, quotes and books: local times become UTC, equal ticks stay two, and each reason to refuse a row."""

from datetime import date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.warehouse.ingest.desk import Desk
from trademl.cli.ingest import ingest
from trademl.errors import ConfigError, IngestError
from trademl.warehouse.ingest.ticks import check_session_date

TRADES = "symbol,ts,price,size,exchange,sale_condition,suspicious"
QUOTES = "symbol,ts,bid,bid_size,ask,ask_size,exchange"
BOOK = "time_s,event_type,order_id,size,price,direction,ask_price,ask_size,bid_price,bid_size"
NEW_YORK = "America/New_York"


def test_a_local_time_becomes_utc_and_a_trade_is_known_at_once(desk: Desk) -> None:
    """09:30 in New York in October is 13:30 UTC, of that session; the instant itself is when it was known."""
    path = desk.write("t.csv", "IBM,2013-10-08 09:30:00.123456,180.5,100,N,20,0", header=TRADES)
    desk.ingest(path, dataset="trades", time_zone=NEW_YORK)
    instant = datetime(2013, 10, 8, 13, 30, 0, 123456)
    found = desk.rows("select date, ts, known_at, price, size, exchange, condition, suspicious from landed", "trades")
    assert found == [(date(2013, 10, 8), instant, instant, 180.5, 100.0, "N", "20", 0.0)]


def test_the_evening_belongs_to_its_session(desk: Desk) -> None:
    """04:00 and 19:59 in New York lie in one session, though the latter is the next day in UTC."""
    lines = [f"IBM,2013-10-08 {clock},180,1,N,1,0" for clock in ("04:00:00", "19:59:59")]
    desk.ingest(desk.write("t.csv", *lines, header=TRADES), dataset="trades", time_zone=NEW_YORK)
    assert desk.rows("select distinct date from landed", "trades") == [(date(2013, 10, 8),)]


def test_equal_trades_of_one_instant_are_two_trades(desk: Desk) -> None:
    """They are numbered in the order of the file; the same file again adds nothing."""
    line = "IBM,2013-10-08 09:30:00,180.5,100,N,1,0"
    path = desk.write("t.csv", line, line, line.replace(",N,", ",Q,"), header=TRADES)
    desk.ingest(path, dataset="trades")
    assert desk.rows("select exchange, seq from landed order by line", "trades") == [("N", 1), ("N", 2), ("Q", 1)]
    again = desk.ingest(desk.write("copy.csv", line, line, header=TRADES), dataset="trades")
    assert (again.landed, again.duplicates) == (0, 2)


def test_a_late_file_of_another_exchange_corrects_nothing(desk: Desk) -> None:
    """Two files of one instant, one an exchange: both land, and neither is a correction of the other."""
    desk.ingest(desk.write("n.csv", "IBM,2013-10-08 09:30:00,180.5,100,N,1,0", header=TRADES), dataset="trades")
    report = desk.ingest(
        desk.write("q.csv", "IBM,2013-10-08 09:30:00,180.6,200,Q,1,0", header=TRADES), dataset="trades"
    )
    assert (report.first, report.corrections, report.backfills) == (1, 0, 0)


@pytest.mark.parametrize(
    "line, reason",
    [
        ("symbol,ts,price,size,exchange,sale_condition,suspicious", "repeated_header"),
        ("IBM,,180,1,N,1,0", "missing_value"),
        ("IBM,2013-10-08 15:00:00,NaN,1,N,1,0", "missing_value"),
        ("IBM,2013-10-08 15:00:00,1_80,1,N,1,0", "wrong_type"),
        ("I BM,2013-10-08 15:00:00,180,1,N,1,0", "bad_symbol"),
        ("IBM,yesterday,180,1,N,1,0", "bad_time"),
        ("IBM,2013-10-06 15:00:00,180,1,N,1,0", "not_a_session"),
        ("IBM,2026-11-20 15:00:00,180,1,N,1,0", "future_date"),
        ("IBM,2013-10-08 15:00:00,0,1,N,1,0", "nonpositive_price"),
        ("IBM,2013-10-08 15:00:00,180,0,N,1,0", "bad_size"),
        ("IBM,2013-10-08 15:00:00,inf,1,N,1,0", "wrong_type"),
    ],
)
def test_a_bad_trade_is_quarantined_with_its_reason(desk: Desk, line: str, reason: str) -> None:
    """The good trade beside it lands; the bad one is kept whole, with line and reason."""
    path = desk.write("t.csv", "IBM,2013-10-08 15:00:00,180,1,N,1,0", line, header=TRADES)
    report = desk.ingest(path, dataset="trades")
    assert report.landed == 1
    assert desk.quarantine(dataset="trades") == [(3, reason)]


def test_a_quote_states_one_side_or_both(desk: Desk) -> None:
    """A side of price 0 is not stated; a quote without any side is refused, as is a negative size."""
    lines = [
        "IBM,2013-10-08 15:00:00,180.1,300,0,0,N",
        "IBM,2013-10-08 15:00:01,0,0,180.2,200,Q",
        "IBM,2013-10-08 15:00:02,180.1,300,180.2,200,Q",
        "IBM,2013-10-08 15:00:03,0,0,0,0,Q",
        "IBM,2013-10-08 15:00:04,180.1,-1,0,0,Q",
        "IBM,2013-10-08 15:00:05,-2,5,0,0,Q",
    ]
    desk.ingest(desk.write("q.csv", *lines, header=QUOTES), dataset="quotes")
    found = desk.rows("select bid, bid_size, ask, ask_size from landed order by line", "quotes")
    assert found == [(180.1, 300, None, 0), (None, 0, 180.2, 200), (180.1, 300, 180.2, 200)]
    assert desk.quarantine(dataset="quotes") == [(5, "no_side"), (6, "bad_size"), (7, "nonpositive_price")]


def test_a_book_has_its_session_from_the_name_and_prices_in_dollars(desk: Desk) -> None:
    """34200.01746 seconds after midnight in New York in June are 13:30:00.017460 UTC; 2239500 is 223.95 dollars."""
    lines = [
        "34200.017460,1,7,21,2238100,1,2239500,100,2238100,21",
        "34200.017460,5,0,10,2239000,-1,9999999999,0,2238100,21",
    ]
    path = desk.write("AMZN_2012-06-21_34200000_57600000_l1.csv", *lines, header=BOOK)
    desk.ingest(path, dataset="book", symbol="AMZN")
    found = desk.rows(
        "select date, ts, seq, price, direction, ask_price, ask_size, bid_price from landed order by line", "book"
    )
    instant = datetime(2012, 6, 21, 13, 30, 0, 17460)
    assert found == [
        (date(2012, 6, 21), instant, 1, 223.81, 1, 223.95, 100.0, 223.81),
        (date(2012, 6, 21), instant, 2, 223.90, -1, None, 0.0, 223.81),
    ]


@pytest.mark.parametrize(
    "line, reason",
    [
        ("34201,8,7,21,2238100,1,2239500,100,2238100,21", "bad_event"),
        ("34201,1,7,21,2238100,0,2239500,100,2238100,21", "bad_side"),
        ("34201,1,7,21,-5,1,2239500,100,2238100,21", "nonpositive_price"),
        ("34201,1,7,21,2238100,1,2238100,100,2238100,21", "crossed_book"),
        ("34201,1,7,-21,2238100,1,2239500,100,2238100,21", "bad_size"),
        ("99999,1,7,21,2238100,1,2239500,100,2238100,21", "bad_time"),
        ("34201,1,x,21,2238100,1,2239500,100,2238100,21", "wrong_type"),
    ],
)
def test_a_bad_message_is_quarantined_with_its_reason(desk: Desk, line: str, reason: str) -> None:
    """The good message beside it lands."""
    good = "34200,1,7,21,2238100,1,2239500,100,2238100,21"
    path = desk.write("book.csv", good, line, header=BOOK)
    desk.ingest(path, dataset="book", symbol="AMZN", session_date="2012-06-21")
    assert desk.quarantine(dataset="book") == [(3, reason)]


def test_a_book_without_a_session_is_refused(desk: Desk) -> None:
    """Seconds after midnight of what day? The message says how to tell."""
    path = desk.write("book.csv", "34200,1,7,21,2238100,1,2239500,100,2238100,21", header=BOOK)
    report = desk.ingest(path, dataset="book", symbol="AMZN")
    assert len(report.refused) == 1
    assert "--session-date" in str(report.refused[0].detail)


def test_a_session_date_is_a_date_and_for_books_only(desk: Desk) -> None:
    """Anything else is an error before a file is read."""
    assert check_session_date("2012-06-21") == "2012-06-21"
    with pytest.raises(ConfigError, match=r"21\.6\.2012"):
        check_session_date("21.6.2012")
    path = desk.write("t.csv", "IBM,2013-10-08 15:00:00,180,1,N,1,0", header=TRADES)
    with pytest.raises(IngestError, match="for a book"):
        desk.ingest(path, dataset="trades", session_date="2012-06-21")


def test_the_commands_land_ticks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trademl ingest trades`, `quotes` and `book` from a shell, with the zone of each."""
    monkeypatch.setenv("TRADEML_HOME", str(desk.home.root))
    monkeypatch.setenv("TRADEML_NOW", "2026-11-20T12:00:00Z")
    trades = desk.write("t.csv", "IBM,2013-10-08 09:30:00,180,1,N,1,0", header=TRADES)
    quotes = desk.write("q.csv", "IBM,2013-10-08 09:30:00,180.1,300,0,0,N", header=QUOTES)
    book = desk.write("b.csv", "34200,1,7,21,2238100,1,2239500,100,2238100,21", header=BOOK)
    for command in (
        ["trades", str(trades), "--time-zone", NEW_YORK],
        ["quotes", str(quotes), "--time-zone", NEW_YORK],
        ["book", str(book), "--symbol", "AMZN", "--session-date", "2013-10-08"],
    ):
        result = CliRunner().invoke(ingest, command)
        assert result.exit_code == 0, result.output
        assert desk.rows("select ts from landed", command[0]) == [(datetime(2013, 10, 8, 13, 30),)]


@pytest.mark.real_data
def test_real_files_lose_no_row(desk: Desk, real_data: Path) -> None:
    """Every row of the real book is landed or quarantined; its 48 repeated executions of hidden orders stay."""
    path = real_data / "intraday" / "book" / "AMZN_20120621_lobster_l1.parquet"
    report = desk.ingest(path, dataset="book", symbol="AMZN")
    assert (report.rows_in, report.landed, report.quarantined) == (57_515, 57_515, 0)
    repeated = desk.rows(
        "select count(*) from (select 1 from landed group by time_s, event_type, order_id, size, price, direction "
        "having count(*) > 1)",
        "book",
    )
    assert repeated == [(41,)]
