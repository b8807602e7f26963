"""Ingest: files in, one immutable batch out."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from trademl.clock import Clock, parse_instant, sql_utc, utc_now
from trademl.config.home import Home
from trademl.config.venues import VenueMap, load_venue
from trademl.errors import IngestError
from trademl.lake.layout import Layout, layout_of
from trademl.schema import QUARANTINE_COLUMNS, RAW, RawDataset
from trademl.warehouse.ingest.batch import QUARANTINE, ROWS, Batches, batch_name, commit, copy_rows, ingest_lock
from trademl.warehouse.ingest.calendar import ensure_calendar, sessions
from trademl.warehouse.ingest.chains import OPTION_QUOTES, resolve_chain_columns
from trademl.warehouse.ingest.files import FileRefused, Inspected, SourceFile, expand, inspect
from trademl.warehouse.ingest.intraday import INTRADAY_BARS, bar_minutes, check_time_zone
from trademl.warehouse.ingest.mapping import Columns, Reading, check_reading, require_series_name, resolve
from trademl.warehouse.ingest.report import FileReport, IngestReport
from trademl.warehouse.ingest.rules import identifier, literal
from trademl.warehouse.ingest.stage import create_staged, stage_file
from trademl.warehouse.ingest.ticks import TICKS, check_session_date, resolve_tick_columns
from trademl.warehouse.ingest.traders import TRADERS, resolve_trader_columns
from trademl.warehouse.ingest.versions import CLOSE, Landing, check_known_at, create_news, decide, rows_sql

Progress = Callable[[int, int, str], None]
"""Called with files done, files in all, and the file that comes next."""

MEMORY_LIMIT = "1200MB"
DEFAULT_VENUE = "hyperliquid"
INGESTED, UNCHANGED, REFUSED = "ingested", "unchanged", "refused"


@dataclass
class _File:
    """A file on its way: recognised and resolved, or refused. ``seen``: the same bytes were recorded before."""

    source: SourceFile
    index: int
    inspected: Inspected | None = None
    columns: Columns | None = None
    refusal: FileRefused | None = None
    status: str = INGESTED
    seen: bool = False
    rows: int = 0
    has_future_rows: bool = False
    earlier: Mapping[str, Any] = field(default_factory=dict)

    def refuse(self, refusal: FileRefused) -> None:
        """Take nothing of the file; a refusal that is on record already is not recorded again."""
        self.refusal, self.status, self.rows = refusal, REFUSED, 0
        self.seen = self.earlier.get("status") == REFUSED and self.earlier.get("detail") == str(refusal)

    @property
    def sha256(self) -> str | None:
        return self.inspected.sha256 if self.inspected else None


def ingest_files(
    home: Home,
    dataset: str,
    paths: Iterable[str | Path],
    *,
    mapping: Mapping[str, str] | None = None,
    source: str = "file",
    known_at: str | datetime | None = None,
    calendar: str = "XNYS",
    name: str | None = None,
    symbol: str | None = None,
    symbol_from_name: str | None = None,
    date_format: str | None = None,
    venue: str | None = None,
    timeframe: str | None = None,
    time_zone: str | None = None,
    session_date: str | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
) -> IngestReport:
    """Land the good rows of ``paths`` as one batch of ``dataset``; quarantine the others.

    Args:
        home: where lake/ lies.
        dataset: equity_bars, membership, reference, series, trader_fills, trader_days, intraday_bars, trades, quotes,
            book, option_quotes or events.
        paths: files, folders or globs; CSV (also gzipped) and parquet, taken in the order of their resolved paths.
        mapping: field -> source column, for columns of another name.
        source: a name for the vendor, kept on each row.
        known_at: None derives it (see :mod:`trademl.warehouse.ingest.versions`); ``"close"`` calls late backfills
            public at their session's close; an instant holds for every row.
        calendar: an exchange_calendars name; it is landed too, where it is not yet.
        name: the name of a series without a series column.
        symbol: the symbol of files without a symbol column.
        symbol_from_name: a regular expression whose one group finds the symbol in a file's name.
        date_format: a strptime format for dates that are not ISO 8601.
        venue: the venue map of trader_fills and trader_days, see :mod:`trademl.config.venues`.
        timeframe: how long an intraday bar is: ``1min``.
        time_zone: of the times in files of intraday bars that do not say their own; None is UTC.
        session_date: the session of a book whose file names do not tell it.
        now: the ingestion time.
        progress: told about each file.

    Returns:
        The account. Files of which nothing could be read are in ``refused``; the others have landed.

    Raises:
        IngestError: a path names nothing, ``known_at`` is impossible, or the account does not balance; nothing landed.
        ConfigError: the mapping or an option does not fit the dataset.
        LockedError: another ingest is running.
    """
    constants = {**require_series_name(_dataset(dataset), name), **({"symbol": symbol} if symbol else {})}
    constants |= _bar_length(dataset, timeframe) | _session_date(dataset, session_date)
    reading = Reading(
        dict(mapping or {}),
        constants,
        symbol_from_name,
        date_format,
        calendar,
        _venue_map(home, dataset, venue),
        None if time_zone is None else check_time_zone(time_zone),
    )
    return ingest_sources(
        home, dataset, expand(paths), reading, source=source, known_at=known_at, now=now, progress=progress
    )


def ingest_sources(
    home: Home,
    dataset: str,
    sources: list[SourceFile],
    reading: Reading,
    *,
    source: str,
    known_at: str | datetime | None = None,
    now: Clock = utc_now,
    progress: Progress | None = None,
) -> IngestReport:
    """Do the work of :func:`ingest_files` on files that are already found and labelled."""
    started = time.monotonic()
    target = _dataset(dataset)
    check_reading(reading, target)
    layout = layout_of(home)
    instant = sql_utc(now())
    override = _override(known_at, instant)
    with ingest_lock(layout) as incoming:
        ensure_calendar(layout, incoming, reading.calendar, instant)
        batches = Batches(layout, dataset)
        files = [_File(item, index) for index, item in enumerate(sources)]
        _recognise(files, target, reading, batches)
        with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(incoming / "spill")}) as con:
            con.execute("set enable_progress_bar = false; set TimeZone = 'UTC'")
            report = _ingest(con, layout, incoming, target, files, reading, source, override, instant, progress)
    return replace(report, seconds=time.monotonic() - started)


def _ingest(
    con: duckdb.DuckDBPyConnection,
    layout: Layout,
    incoming: Path,
    dataset: RawDataset,
    files: list[_File],
    reading: Reading,
    source: str,
    known_at: datetime | str | None,
    now: datetime,
    progress: Progress | None,
) -> IngestReport:
    batches = Batches(layout, dataset.name)
    sessions(con, layout, reading.calendar)
    con.execute(
        "create temp table instant as select ?::timestamp as now, min(date) as first_date, max(date) as last_date "
        "from sessions",
        [now],
    )
    _stage(con, dataset, files, reading, progress)
    base = batches.next_instant(now)
    content = json.dumps([dataset.name, reading.as_json(), [(file.source.label, file.sha256) for file in files]])
    landing = Landing(batch_name(base, hashlib.sha256(content.encode()).hexdigest()), source, known_at)
    con.execute("create temp table files (file_index integer, label varchar, ingested_at timestamp)")
    con.executemany(
        "insert into files values (?, ?, ?)",
        [[file.index, file.source.label, base + timedelta(microseconds=file.index)] for file in files],
    )
    decide(con, dataset, [str(path) for path in batches.row_files()])
    create_news(con, dataset, landing)
    check_known_at(con, dataset, landing)
    staged = incoming / landing.batch_id
    staged.mkdir()
    landed = copy_rows(con, rows_sql(dataset, landing), staged / ROWS)
    report = _account(con, dataset, files, landing, landed)
    recorded = _write_quarantine(con, dataset, files, landing, staged)
    newly_refused = sum(file.status == REFUSED and not file.seen for file in files)
    if recorded != report.quarantined + newly_refused or not report.balanced:
        raise IngestError(
            f"the account of {dataset.name} does not balance: {report.rows_in} rows in, {report.landed} landed, "
            f"{report.quarantined} quarantined ({recorded} written), {report.duplicates} duplicates; nothing landed",
            remedy="this is a defect of trademl: please report it with the file",
        )
    if landed == 0 and all(file.seen or file.status == UNCHANGED for file in files):
        return replace(report, batch_id=None)
    record = _record(dataset, files, reading, report, source, base, known_at)
    commit(staged, batches, record)
    return report


def _recognise(files: list[_File], dataset: RawDataset, reading: Reading, batches: Batches) -> None:
    """Inspect each file, resolve its columns, and compare it with what the earlier batches recorded."""
    identity = json.dumps(reading.as_json(), sort_keys=True)
    history: dict[tuple[str, str], dict[str, Any]] = {}
    for record in batches.records():
        for entry in record["files"]:
            history[entry["file"], json.dumps(record["reading"], sort_keys=True)] = entry
    for file in files:
        file.earlier = history.get((file.source.label, identity), {})
        try:
            file.inspected = inspect(file.source)
            file.columns = _resolver(dataset.name)(file.inspected, dataset, reading)
        except FileRefused as refusal:
            file.refuse(refusal)
            continue
        same = file.earlier.get("sha256") == file.inspected.sha256
        file.seen = same and file.earlier.get("status") == INGESTED
        if file.seen and not file.earlier.get("has_future_rows"):
            file.status = UNCHANGED


def _stage(
    con: duckdb.DuckDBPyConnection, dataset: RawDataset, files: list[_File], reading: Reading, progress: Progress | None
) -> None:
    create_staged(con, dataset)
    for done, file in enumerate(files):
        if progress:
            progress(done, len(files), file.source.label)
        if file.status != INGESTED or file.inspected is None or file.columns is None:
            continue
        try:
            file.rows = stage_file(con, dataset, file.inspected, file.columns, reading, file.index)
            if file.source.path.stat().st_size != file.inspected.size:
                con.execute("delete from staged where file_index = ?", [file.index])
                raise FileRefused("unreadable_file", "it changed while it was read", "ingest it when it is complete")
        except FileRefused as refusal:
            file.refuse(refusal)
    if progress:
        progress(len(files), len(files), "")


def _account(
    con: duckdb.DuckDBPyConnection, dataset: RawDataset, files: list[_File], landing: Landing, landed: int
) -> IngestReport:
    def counts(column: str, table: str) -> dict[Any, int]:
        return dict(con.execute(f"select {column}, count(*) from {table} group by 1").fetchall())

    kinds = counts("kind", "news")
    reasons = counts("reason", "staged where reason is not null")
    landed_of = counts("file_index", "news")
    bad_of = counts("file_index", "staged where reason is not null")
    same_of = counts("file_index", "decided where kind = 'duplicate'")
    future = counts("file_index", "staged where reason = 'future_date'")
    for file in files:
        file.has_future_rows = file.index in future
    reports = tuple(
        FileReport(
            file.source.label,
            file.status,
            file.rows,
            landed_of.get(file.index, 0),
            bad_of.get(file.index, 0),
            same_of.get(file.index, 0),
            file.refusal.reason if file.refusal else None,
            str(file.refusal) if file.refusal else None,
        )
        for file in files
    )
    notes = []
    if kinds.get("backfill", 0) and landing.known_at is None:
        notes.append(
            f"{kinds['backfill']:,} rows fill dates before the last landed one of their symbol and count as known from "
            "now on; if they were public at the time, ingest such history with --known-at close"
        )
    return IngestReport(
        dataset=dataset.name,
        batch_id=landing.batch_id,
        rows_in=sum(file.rows for file in files),
        landed=landed,
        first=kinds.get("first", 0),
        corrections=kinds.get("correction", 0),
        backfills=kinds.get("backfill", 0),
        quarantined=sum(reasons.values()),
        duplicates=sum(same_of.values()),
        by_reason=reasons,
        files=reports,
        notes=tuple(notes),
    )


def _write_quarantine(
    con: duckdb.DuckDBPyConnection, dataset: RawDataset, files: list[_File], landing: Landing, staged: Path
) -> int:
    """Write the bad rows, and line 0 of each refused file that is not on record yet; return how many."""
    con.execute("create temp table refused (file_index integer, reason varchar, detail varchar)")
    for file in files:
        if file.refusal and not file.seen:
            con.execute("insert into refused values (?, ?, ?)", [file.index, file.refusal.reason, str(file.refusal)])
    parts = {
        "dataset": literal(dataset.name),
        "file": "label",
        "source": literal(landing.source),
        "batch_id": literal(landing.batch_id),
    }
    columns = ", ".join(
        f"cast({parts.get(name, identifier(name))} as {kind}) as {identifier(name)}"
        for name, kind in QUARANTINE_COLUMNS.items()
    )
    query = f"""
        select {columns} from (
            select file_index, line, reason, detail, "row" from staged where reason is not null
            union all
            select file_index, 0, reason, detail, null from refused
        ) join files using (file_index) order by file_index, line
    """
    path = staged / QUARANTINE
    rows = copy_rows(con, query, path)
    if rows == 0:
        path.unlink()
    return rows


def _record(
    dataset: RawDataset,
    files: list[_File],
    reading: Reading,
    report: IngestReport,
    source: str,
    base: datetime,
    known_at: datetime | str | None,
) -> dict[str, Any]:
    entries = []
    for file, told in zip(files, report.files, strict=True):
        entry = {
            "file": told.file,
            "sha256": file.sha256,
            "status": told.status,
            "rows": told.rows,
            "landed": told.landed,
            "quarantined": told.quarantined,
            "duplicates": told.duplicates,
            "reason": told.reason,
            "detail": told.detail,
            "has_future_rows": file.has_future_rows,
        }
        # An unchanged file keeps its earlier entry as the latest word on it.
        if told.status != UNCHANGED:
            entries.append(entry)
    return {
        "dataset": dataset.name,
        "batch_id": report.batch_id,
        "source": source,
        "known_at": known_at.isoformat() if isinstance(known_at, datetime) else known_at,
        "ingested_at": base.isoformat(),
        "ingested_until": (base + timedelta(microseconds=max(len(files) - 1, 0))).isoformat(),
        "reading": reading.as_json(),
        "rows_in": report.rows_in,
        "landed": report.landed,
        "first": report.first,
        "corrections": report.corrections,
        "backfills": report.backfills,
        "quarantined": report.quarantined,
        "duplicates": report.duplicates,
        "by_reason": report.by_reason,
        "files": entries,
        "duckdb": duckdb.__version__,
    }


def _venue_map(home: Home, dataset: str, venue: str | None) -> VenueMap | None:
    if dataset in TRADERS:
        return load_venue(home, venue or DEFAULT_VENUE)
    if venue is not None:
        raise IngestError(f"--venue {venue!r} is for traders, not for {dataset}", remedy="leave out --venue")
    return None


def _bar_length(dataset: str, timeframe: str | None) -> dict[str, str]:
    if dataset != INTRADAY_BARS:
        return {}
    return {"bar_minutes": str(bar_minutes(timeframe or "1min"))}


def _session_date(dataset: str, given: str | None) -> dict[str, str]:
    if given is None:
        return {}
    if dataset != "book":
        raise IngestError(f"--session-date {given!r} is for a book, not for {dataset}", remedy="leave it out")
    return {"date": check_session_date(given)}


def _resolver(dataset: str) -> Callable[[Inspected, RawDataset, Reading], Columns]:
    special = {
        **dict.fromkeys(TRADERS, resolve_trader_columns),
        **dict.fromkeys(TICKS, resolve_tick_columns),
        OPTION_QUOTES: resolve_chain_columns,
    }
    return special.get(dataset, resolve)


def _dataset(name: str) -> RawDataset:
    if name not in RAW or name == "calendar":
        raise IngestError(
            f"{name!r} is not a dataset to ingest",
            remedy=f"ingest one of {', '.join(known for known in RAW if known != 'calendar')}",
        )
    return RAW[name]


def _override(known_at: str | datetime | None, now: datetime) -> datetime | str | None:
    """Return ``known_at`` as None, ``close`` or a naive UTC instant."""
    if known_at is None or known_at == CLOSE:
        return known_at
    if isinstance(known_at, str):
        try:
            known_at = parse_instant(known_at)
        except ValueError as error:
            raise IngestError(
                f"--known-at {known_at!r} is neither an ISO 8601 instant nor the word close",
                remedy="write for example --known-at 2016-03-01T15:00:00Z",
            ) from error
    instant = sql_utc(known_at if known_at.tzinfo else known_at.replace(tzinfo=UTC))
    if instant > now:
        raise IngestError(
            f"--known-at {instant} UTC is after this ingestion at {now} UTC", remedy="a row is known once it is here"
        )
    return instant
