"""The landed exchange calendar."""

from datetime import UTC, date, datetime

import duckdb
import pytest

from tests.warehouse.ingest.desk import NOW, Desk
from trademl.errors import IngestError
from trademl.warehouse.ingest import calendar, land_calendar


def test_the_calendar_runs_from_1962_to_the_end_of_next_year(desk: Desk) -> None:
    """New York traded 9:30 to 16:00; on 27 November 2015 to 13:00; not on 4 July."""
    assert desk.rows("select min(date), max(date) from landed", "calendar") == [(date(1962, 1, 2), date(2027, 12, 31))]
    assert desk.rows("select open_at, close_at from landed where date in ('2015-11-27', '2016-07-04')", "calendar") == [
        (datetime(2015, 11, 27, 14, 30), datetime(2015, 11, 27, 18))
    ]


def test_landing_it_again_changes_nothing_until_the_year_ends(desk: Desk) -> None:
    """A later year adds its sessions only."""
    assert land_calendar(desk.home, now=lambda: NOW) is None
    assert land_calendar(desk.home, now=lambda: datetime(2027, 1, 4, tzinfo=UTC)) is not None
    count = "select count(*), min(date) from landed where batch_id = (select max(batch_id) from landed)"
    ((rows, first),) = desk.rows(count, "calendar")
    assert 250 <= rows <= 253
    assert first == date(2028, 1, 3)


def test_a_session_that_is_cancelled_lands_as_a_correction_without_times(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a newer release of the library drops a date, the drop is known from then on."""

    def shorter(con: duckdb.DuckDBPyConnection, name: str, until: date) -> str:
        files = [str(path) for path in (desk.raw / "calendar").glob("[0-9]*/rows.parquet")]
        con.execute(
            "create temp table given as select calendar, date, open_at, close_at from read_parquet($files) "
            "where date <> '2025-01-10'",
            {"files": files},
        )
        return "test"

    monkeypatch.setattr(calendar, "_load_sessions", shorter)
    land_calendar(desk.home, now=lambda: datetime(2027, 1, 4, tzinfo=UTC))
    rows = desk.rows("select date, close_at, known_at from landed where ingested_at >= '2027-01-01'", "calendar")
    assert rows == [(date(2025, 1, 10), None, datetime(2027, 1, 4))]


def test_an_unknown_calendar_is_refused(desk: Desk) -> None:
    """The message names the option and good values."""
    with pytest.raises(IngestError, match="no usable calendar 'XXXX'"):
        land_calendar(desk.home, "XXXX", now=lambda: NOW)
