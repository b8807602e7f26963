"""The exchange calendar as landed rows, so that the warehouse and the edge need no calendar library."""

import hashlib
import warnings
from datetime import date, datetime
from pathlib import Path

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.errors import IngestError, MissingExtra
from trademl.lake.layout import Layout, layout_of
from trademl.schema import RAW
from trademl.warehouse.ingest.batch import ROWS, Batches, batch_name, commit, copy_rows, ingest_lock
from trademl.warehouse.ingest.rules import content_text

FIRST_DATE = date(1962, 1, 2)
ASSUMPTION = "exchanges publish their sessions in advance: assumed always known"


def land_calendar(home: Home, calendar: str = "XNYS", *, now: Clock = utc_now) -> Path | None:
    """Land the sessions of ``calendar`` from 1962-01-02 to the end of next year, unless they are there.

    Columns: calendar, date, open_at and close_at (naive UTC, early closes as they were). A date that a newer release of
    exchange_calendars no longer calls a session lands as a correction whose open_at and close_at are NULL.

    Returns:
        The new batch, or None when nothing had to land.

    Raises:
        IngestError: there is no such calendar.
        MissingExtra: exchange_calendars is not installed.
        LockedError: another ingest is running.
    """
    layout = layout_of(home)
    with ingest_lock(layout) as incoming:
        return ensure_calendar(layout, incoming, calendar, sql_utc(now()))


def ensure_calendar(layout: Layout, incoming: Path, calendar: str, now: datetime) -> Path | None:
    """Do the work of :func:`land_calendar` under a lock that is already held; ``now`` is naive UTC."""
    batches = Batches(layout, "calendar")
    until = date(now.year + 1, 12, 31)
    covered = [record["until"] for record in batches.records() if record["calendar"] == calendar]
    if covered and max(covered) >= until.isoformat():
        return None
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false; set TimeZone = 'UTC'")
        version = _load_sessions(con, calendar, until)
        _known_sessions(con, batches, calendar)
        instant = batches.next_instant(now)
        origin = f"exchange_calendars {version}"
        name = batch_name(instant, hashlib.sha256(f"{calendar} {until} {origin}".encode()).hexdigest())
        staged = incoming / name
        staged.mkdir()
        rows = copy_rows(con, _changed_sql(instant, origin, name), staged / ROWS)
    record = {
        "dataset": "calendar",
        "batch_id": name,
        "calendar": calendar,
        "until": until.isoformat(),
        "rows": rows,
        "source": origin,
        "ingested_at": instant.isoformat(),
        "ingested_until": instant.isoformat(),
    }
    return commit(staged, batches, record)


def sessions(con: duckdb.DuckDBPyConnection, layout: Layout, calendar: str) -> None:
    """Create the temporary table ``sessions(date, close_at)`` of the landed calendar."""
    _known_sessions(con, Batches(layout, "calendar"), calendar)
    con.execute(
        "create or replace temp table sessions as "
        "select date, close_at from known_sessions where close_at is not null order by date"
    )


def _load_sessions(con: duckdb.DuckDBPyConnection, calendar: str, until: date) -> str:
    try:
        import exchange_calendars
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("exchange_calendars", "train") from error
    from exchange_calendars.errors import CalendarError

    try:
        with warnings.catch_warnings():
            # exchange_calendars 4.13 calls pandas in a way that pandas 3.1 deprecates; that is for them to mend.
            warnings.simplefilter("ignore", DeprecationWarning)
            known = exchange_calendars.get_calendar(calendar)
            first, last = known.bound_min(), known.bound_max()
            start = pd.Timestamp(FIRST_DATE) if first is None else max(pd.Timestamp(FIRST_DATE), first)
            end = pd.Timestamp(until) if last is None else min(pd.Timestamp(until), last)
            schedule = exchange_calendars.get_calendar(calendar, start=start, end=end).schedule
    except CalendarError as error:
        raise IngestError(
            f"no usable calendar {calendar!r}: {error}",
            remedy="give an exchange_calendars name with --calendar, such as XNYS, XLON or 24/7",
        ) from error
    frame = pd.DataFrame(
        {
            "calendar": calendar,
            "date": schedule.index.to_numpy(),
            "open_at": schedule["open"].dt.tz_convert(None).to_numpy(),
            "close_at": schedule["close"].dt.tz_convert(None).to_numpy(),
        }
    )
    con.register("frame", frame)
    con.execute(
        "create temp table given as select calendar, date::date as date, open_at::timestamp as open_at, "
        "close_at::timestamp as close_at from frame"
    )
    con.unregister("frame")
    return str(exchange_calendars.__version__)


def _known_sessions(con: duckdb.DuckDBPyConnection, batches: Batches, calendar: str) -> None:
    """Create ``known_sessions``: the latest landed version of each date of ``calendar``."""
    columns = ", ".join(f"null::{kind} as {name}" for name, kind in RAW["calendar"].columns.items())
    files = [str(path) for path in batches.row_files()]
    source = "read_parquet($files)" if files else f"(select {columns}, null::timestamp as ingested_at where false)"
    con.execute(
        f"create or replace temp table known_sessions as select calendar, date, open_at, close_at from {source} "
        "where calendar = $calendar qualify row_number() over (partition by date order by ingested_at desc) = 1",
        {"files": files, "calendar": calendar} if files else {"calendar": calendar},
    )


def _changed_sql(instant: datetime, origin: str, batch_id: str) -> str:
    return f"""
with merged as (
    select
        coalesce(given.calendar, known.calendar) as calendar,
        coalesce(given.date, known.date) as date,
        given.open_at,
        given.close_at,
        known.date is null as is_first
    from given full join known_sessions as known on known.date = given.date
    where known.date is null
        or given.open_at is distinct from known.open_at
        or given.close_at is distinct from known.close_at
)
select
    *exclude (is_first),
    case when is_first then timestamp '1970-01-01' else timestamp '{instant}' end as known_at,
    timestamp '{instant}' as ingested_at,
    '{origin}' as source,
    '{batch_id}' as batch_id,
    '{origin}' as file,
    row_number() over (order by date) as line,
    md5({content_text(RAW["calendar"])}) as content_hash,
    case when is_first then '{ASSUMPTION}' end as assumption
from merged
order by calendar, date
"""
