"""How fields of rows with times are read, and which session a row belongs to, run in DuckDB."""

from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from trademl.warehouse.ingest.judging import (
    BY_DATE,
    BY_INSTANT,
    any_of,
    field_texts,
    instant_sql,
    missing_sql,
    naming,
    number_sql,
)
from trademl.warehouse.ingest.mapping import Columns


def value_of(sql: str, *columns: str) -> Any:
    """Return what ``sql`` makes of a row of texts ``c0, c1, ...``, also as ``t_price``."""
    names = ", ".join(f"? as c{place}" for place in range(len(columns)))
    with duckdb.connect() as con:
        (row,) = con.execute(f"select {sql} from (select {names}, ? as t_price)", [*columns, columns[0]]).fetchall()
    return row[0]


@pytest.mark.parametrize("text, read", [(" a ", "a"), ("\t\r\n", None), ("", None), ("0", "0")])
def test_texts_are_trimmed_and_blank_is_null(text: str, read: str | None) -> None:
    """Every kind of blank counts."""
    assert value_of(field_texts(Columns({"price": 0}, {}))["price"], text) == read


def test_a_constant_is_a_text() -> None:
    """A value given for all rows needs no column, and a quote in it is no SQL."""
    assert value_of(field_texts(Columns({}, {"symbol": "O'X"}))["symbol"], "") == "O'X"


@pytest.mark.parametrize(
    "text, number", [("1.5", 1.5), ("-2e3", -2000.0), ("inf", None), ("nan", None), ("1_000", None), ("x", None)]
)
def test_numbers_are_finite_and_plain(text: str, number: float | None) -> None:
    """What DuckDB would read and no vendor means is no number."""
    assert value_of(number_sql("price", {"price": "c0"}), text) == number


def test_a_field_without_a_column_has_no_number() -> None:
    """It is NULL, as a double."""
    assert value_of(number_sql("size", {}), "1") is None


@pytest.mark.parametrize(
    "text, utc",
    [
        ("2025-07-01 09:30:00", datetime(2025, 7, 1, 13, 30)),
        ("2025-12-01 09:30", datetime(2025, 12, 1, 14, 30)),
        ("2025-12-01T09:30:00Z", datetime(2025, 12, 1, 9, 30)),
        ("2025-12-01 09:30:00.000001+01:00", datetime(2025, 12, 1, 8, 30, 0, 1)),
        ("half past nine", None),
    ],
)
def test_a_time_is_in_its_own_zone_or_in_the_one_that_is_given(text: str, utc: datetime | None) -> None:
    """New York is four hours behind in July and five in December."""
    assert value_of(instant_sql(0, "VARCHAR", "America/New_York"), text) == utc


def test_a_timestamp_is_local_and_one_with_a_zone_is_not() -> None:
    """Types of a parquet file say what its texts would."""
    local = (
        f"(select {instant_sql(0, 'TIMESTAMP', 'America/New_York')} from (select timestamp '2025-07-01 09:30' as c0))"
    )
    zoned = instant_sql(0, "TIMESTAMP WITH TIME ZONE", "America/New_York")
    zoned = f"(select {zoned} from (select timestamptz '2025-07-01 09:30+02:00' as c0))"
    assert value_of(local, "") == datetime(2025, 7, 1, 13, 30)
    assert value_of(zoned, "") == datetime(2025, 7, 1, 7, 30)


@pytest.mark.parametrize(
    "instant, session",
    [
        (datetime(2025, 7, 1, 6, 59), None),
        (datetime(2025, 7, 1, 7), date(2025, 7, 1)),
        (datetime(2025, 7, 2, 0, 59), date(2025, 7, 1)),
        (datetime(2025, 7, 2, 1), None),
        (datetime(2025, 7, 2, 7), date(2025, 7, 2)),
        (datetime(2025, 7, 3, 1), None),
    ],
)
def test_an_instant_lies_in_the_session_from_before_its_open_until_after_its_close(
    instant: datetime, session: date | None
) -> None:
    """From 13 hours before the close at 16:00 in New York to 5 hours after it."""
    with duckdb.connect() as con:
        con.execute("create table sessions (date date, close_at timestamp)")
        con.execute(
            "insert into sessions values ('2025-07-01', '2025-07-01 20:00'), ('2025-07-02', '2025-07-02 20:00')"
        )
        con.execute("create table typed as select ?::timestamp as v_ts", [instant])
        assert con.execute(f"select v_date from ({BY_INSTANT.format(last='typed')})").fetchall() == [(session,)]


def test_a_date_that_is_no_session_has_no_close() -> None:
    """The row is kept, to be judged."""
    with duckdb.connect() as con:
        con.execute(
            "create table sessions as select date '2025-07-01' as date, timestamp '2025-07-01 20:00' as close_at"
        )
        con.execute("create table typed as select unnest([date '2025-07-01', date '2025-07-04']) as v_date")
        rows = con.execute(
            f"select v_date, s_close_at from ({BY_DATE.format(last='typed')}) order by v_date"
        ).fetchall()
    assert rows == [(date(2025, 7, 1), datetime(2025, 7, 1, 20)), (date(2025, 7, 4), None)]


@pytest.mark.parametrize("text, absent", [("NaN", True), ("-", True), ("n/a", True), ("", True), ("nano", False)])
def test_words_for_nothing_are_nothing(text: str, absent: bool) -> None:
    """In a number's place; a word that only begins like one is wrong, not absent."""
    assert value_of(missing_sql("price"), text) is absent


def test_the_first_condition_names_its_field() -> None:
    """NULL is no reason; without conditions nothing holds and nothing is said."""
    conditions = {"bid": "cast(null as boolean)", "price": "true", "ask": "true"}
    assert value_of(any_of(conditions), "7") is True
    assert value_of(any_of({"bid": "cast(null as boolean)"}), "7") is False
    assert value_of(any_of({}), "7") is False
    assert value_of(naming(conditions, " is empty"), "7") == "price is empty"
    assert value_of(naming({"price": "true"}, ", no number", shown=True), "7") == 'price is "7", no number'
    assert value_of(naming({}, ""), "7") == ""
