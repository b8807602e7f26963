"""The clock, and how instants are read and stored."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from trademl.clock import parse_instant, sql_utc, utc_now


def test_now_is_aware_and_in_utc() -> None:
    """Without TRADEML_NOW the clock is the machine's, in UTC."""
    before = datetime.now(UTC)
    now = utc_now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_the_environment_fixes_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRADEML_NOW replaces the clock: 16:00 five hours west of Greenwich is 21:00 UTC."""
    monkeypatch.setenv("TRADEML_NOW", "2024-01-10T16:00:00-05:00")
    assert utc_now() == datetime(2024, 1, 10, 21, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("2015-06-30", datetime(2015, 6, 30, tzinfo=UTC)),
        ("2015-06-30 20:15:00", datetime(2015, 6, 30, 20, 15, tzinfo=UTC)),
        ("2015-06-30T20:15:00.000001Z", datetime(2015, 6, 30, 20, 15, 0, 1, tzinfo=UTC)),
        ("2015-07-01T01:15:00+05:00", datetime(2015, 6, 30, 20, 15, tzinfo=UTC)),
    ],
)
def test_a_missing_zone_means_utc(text: str, expected: datetime) -> None:
    """Dates and timestamps without a zone are UTC; others are converted."""
    instant = parse_instant(text)
    assert (instant, instant.utcoffset()) == (expected, timedelta(0))


def test_text_that_is_no_instant_is_refused() -> None:
    """A day that does not exist raises ValueError."""
    with pytest.raises(ValueError, match="day"):
        parse_instant("2015-06-31")


def test_tables_store_naive_utc() -> None:
    """An aware instant is converted before its zone is dropped; a naive one is taken for UTC already."""
    eastern = datetime(2024, 1, 10, 16, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert sql_utc(eastern) == datetime(2024, 1, 10, 21, 0)
    assert sql_utc(datetime(2024, 1, 10, 21, 0)) == datetime(2024, 1, 10, 21, 0)
