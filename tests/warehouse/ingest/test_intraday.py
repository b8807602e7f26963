"""Bars of minutes: local times, sessions, reasons to quarantine, corrections and backfills."""

from datetime import date, datetime

import pytest

from tests.warehouse.ingest.desk import Desk
from trademl.errors import ConfigError
from trademl.warehouse.ingest.intraday import bar_minutes, check_time_zone

HEADER = "symbol,ts,open,high,low,close,volume"
NEW_YORK = {"timeframe": "1min", "time_zone": "America/New_York"}
DATASET = "intraday_bars"


def line(ts: str, close: str = "10", symbol: str = "SPY", **given: str) -> str:
    """Return a good line whose high and low lie 1 around the close."""
    values = {"open": close, "high": str(float(close) + 1), "low": str(float(close) - 1), "volume": "100"} | given
    return ",".join([symbol, ts, values["open"], values["high"], values["low"], close, values["volume"]])


def test_a_local_start_becomes_utc_and_the_bar_is_known_when_it_ends(desk: Desk) -> None:
    """Half past nine in New York is 13:30 UTC in summer and 14:30 in winter."""
    file = desk.write("bars.csv", line("2025-09-15 09:30:00"), line("2025-12-01T15:59"), header=HEADER)
    desk.ingest(file, dataset=DATASET, **NEW_YORK)
    assert desk.rows("select ts, date, known_at, bar_minutes from landed order by ts", DATASET) == [
        (datetime(2025, 9, 15, 13, 30), date(2025, 9, 15), datetime(2025, 9, 15, 13, 31), 1.0),
        (datetime(2025, 12, 1, 20, 59), date(2025, 12, 1), datetime(2025, 12, 1, 21, 0), 1.0),
    ]


def test_a_time_with_its_own_zone_keeps_it(desk: Desk) -> None:
    """An offset in the text wins over the zone of the command."""
    file = desk.write("bars.csv", line("2025-09-15T13:35:00Z"), line("2025-09-15 09:40:00-04:00"), header=HEADER)
    desk.ingest(file, dataset=DATASET, timeframe="5min", time_zone="Asia/Tokyo")
    assert desk.rows("select ts from landed order by ts", DATASET) == [
        (datetime(2025, 9, 15, 13, 35),),
        (datetime(2025, 9, 15, 13, 40),),
    ]


def test_bars_before_the_open_and_after_the_close_belong_to_the_session(desk: Desk) -> None:
    """Four in the morning and eight in the evening land; on an early close too."""
    times = ["2025-11-28 04:00:00", "2025-11-28 12:55:00", "2025-11-28 16:55:00"]
    file = desk.write("bars.csv", *(line(at) for at in times), header=HEADER)
    desk.ingest(file, dataset=DATASET, timeframe="5min", time_zone="America/New_York")
    assert desk.rows("select distinct date from landed", DATASET) == [(date(2025, 11, 28),)]


BAD = {
    "missing_value": line("2025-09-15 09:30:00", volume=""),
    "bad_symbol": line("2025-09-15 09:31:00", symbol="A B"),
    "bad_time": line("yesterday"),
    "wrong_type": line("2025-09-15 09:32:00", volume="many"),
    "off_grid": line("2025-09-15 09:32:30"),
    "not_a_session": line("2025-09-13 09:32:00"),
    "future_date": line("2026-11-20 09:30:00"),
    "nonpositive_price": line("2025-09-15 09:33:00", low="0"),
    "high_below_low": line("2025-09-15 09:34:00", high="8"),
    "outside_range": line("2025-09-15 09:35:00", open="15"),
    "negative_volume": line("2025-09-15 09:36:00", volume="-1"),
}


def test_every_reason_to_quarantine_keeps_its_row(desk: Desk) -> None:
    """One bad row for each reason, in order, and a good one that lands."""
    file = desk.write("bars.csv", line("2025-09-15 09:50:00"), *BAD.values(), header=HEADER)
    report = desk.ingest(file, dataset=DATASET, **NEW_YORK)
    assert report.landed == 1
    assert [reason for _, reason in desk.quarantine(dataset=DATASET)] == list(BAD)
    details = desk.quarantine('detail, "row"', dataset=DATASET)
    assert all(detail and row for detail, row in details)


def test_the_header_that_is_repeated_is_no_bar(desk: Desk) -> None:
    """A line that says the header again is quarantined as that."""
    file = desk.write("bars.csv", line("2025-09-15 09:50:00"), HEADER, header=HEADER)
    report = desk.ingest(file, dataset=DATASET, **NEW_YORK)
    assert report.by_reason == {"repeated_header": 1}


def test_a_correction_is_a_new_row_known_when_it_came(desk: Desk) -> None:
    """The first value stays as it was; the same file again changes nothing."""
    first = desk.write("a.csv", line("2025-09-15 09:30:00"), header=HEADER)
    desk.ingest(first, dataset=DATASET, **NEW_YORK)
    assert desk.ingest(first, dataset=DATASET, **NEW_YORK).landed == 0
    came = desk.now
    second = desk.write("b.csv", line("2025-09-15 09:30:00", close="11"), header=HEADER)
    report = desk.ingest(second, dataset=DATASET, **NEW_YORK)
    assert report.corrections == 1
    known = desk.rows("select close, known_at from landed order by known_at", DATASET)
    assert known[0] == (10.0, datetime(2025, 9, 15, 13, 31))
    assert known[1] == (11.0, came.replace(tzinfo=None))


def test_bars_of_another_length_are_no_backfill(desk: Desk) -> None:
    """Minutes that land after five-minute bars of later days are news all the same; minutes before minutes are not."""
    later = desk.write("five.csv", line("2025-09-16 09:30:00"), header=HEADER)
    desk.ingest(later, dataset=DATASET, timeframe="5min", time_zone="America/New_York")
    earlier = desk.write("one.csv", line("2025-09-15 09:31:00"), header=HEADER)
    assert desk.ingest(earlier, dataset=DATASET, **NEW_YORK).first == 1
    before = desk.write("before.csv", line("2025-09-15 09:30:00"), header=HEADER)
    came = desk.now
    report = desk.ingest(before, dataset=DATASET, **NEW_YORK)
    assert report.backfills == 1
    late = desk.rows("select max(known_at) from landed", DATASET)
    assert late == [(came.replace(tzinfo=None),)]


@pytest.mark.parametrize("timeframe", ["7min", "0min", "90min", "daily", "2h", ""])
def test_a_bar_that_divides_no_hour_is_refused(timeframe: str) -> None:
    """The grid of bars must begin anew with every hour."""
    with pytest.raises(ConfigError, match="--timeframe"):
        bar_minutes(timeframe)


def test_an_unknown_zone_is_refused(desk: Desk) -> None:
    """A wrong zone would shift every session."""
    with pytest.raises(ConfigError, match="Mars"):
        check_time_zone("Mars/Olympus")
    file = desk.write("bars.csv", line("2025-09-15 09:30:00"), header=HEADER)
    with pytest.raises(ConfigError, match="--time-zone"):
        desk.ingest(file, dataset=DATASET, timeframe="1min", time_zone="New York")
