"""Which staged rows are news, and when each could first have been known.

A key (symbol and date, say) has a history of versions. A staged row equal to the latest version is an exact duplicate;
a different one is a correction, known when it is ingested; the first one is known when it was public, unless it comes
after later dates of its symbol had landed in an earlier batch: such a backfill is known when it is ingested.
"""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from trademl.errors import IngestError
from trademl.schema import RawDataset
from trademl.warehouse.ingest.rules import DATED, KNOWN_AFTER_CLOSE, content_text, identifier, literal
from trademl.warehouse.ingest.ticks import TICKS

CLOSE = "close"
ASSUMPTIONS = {
    "equity_bars": "public 15 minutes after the session's close",
    "series": "public 15 minutes after the session's close",
    "membership": "spell bounds public on their effective date",
    "reference": "sector has no publication date: assumed always known, as of the file",
    "trader_fills": "public when filled",
    "trader_days": "public when the venue's day ends",
    "intraday_bars": "public when the bar ends",
    "trades": "public at its own time",
    "quotes": "public at its own time",
    "book": "public at its own time",
    "option_quotes": "public 15 minutes after the session's close",
    "events": "public at t1",
}
PUBLIC = {
    "membership": "least(cast(start_date as timestamp), ingested_at)",
    "reference": "timestamp '1970-01-01'",
    "trader_fills": "filled_at",
    "trader_days": "day_end_at",
    "intraday_bars": "ts + to_minutes(cast(bar_minutes as bigint))",
    "trades": "ts",
    "quotes": "ts",
    "book": "ts",
    "events": "make_timestamp((ts_ns + 999) // 1000)",
}
"""When a first value was public, as SQL; a dated row was when its session had closed."""
TIMED = {"trader_fills": "filled_at", "trader_days": "day_end_at", "intraday_bars": "ts"} | dict.fromkeys(TICKS, "ts")
"""Datasets whose rows carry their own time: one before the latest of its entity that has landed is a backfill."""
ENTITIES = {"intraday_bars": "symbol || ' ' || cast(bar_minutes as integer)"}
"""What has a time line of its own, as SQL, where that is not the first column of the key."""
GIVEN = "known_at given with --known-at"


@dataclass(frozen=True)
class Landing:
    """What every row of a batch carries. ``known_at`` is None (derive it), ``close`` or a naive UTC instant."""

    batch_id: str
    source: str
    known_at: datetime | str | None


def decide(con: duckdb.DuckDBPyConnection, dataset: RawDataset, landed: list[str]) -> None:
    """Create ``decided(file_index, line, kind, version, known_before)`` and ``last_landed(entity, last_date)``.

    ``kind`` is first, correction or duplicate, for the rows whose key occurs more than once in the lake and this
    command; all other good rows are first. ``version`` counts the values of the key that this command adds.
    """
    key = ", ".join(identifier(name) for name in dataset.key)
    entity = ENTITIES.get(dataset.name, identifier(dataset.key[0]))
    text = f"md5({content_text(dataset)})"
    if landed:
        con.execute(
            f"""
            create temp table latest as
            select {key}, max_by({text}, ingested_at) as content, max_by(known_at, ingested_at) as known_at
            from read_parquet($files) as landed
            semi join (select {key} from staged where reason is null) as arrived using ({key})
            group by {key}
            """,
            {"files": landed},
        )
    else:
        con.execute(
            f"create temp table latest as select {key}, '' as content, null::timestamp as known_at from staged limit 0"
        )
    if landed and (dataset.name in DATED or dataset.name in TIMED):
        con.execute(
            f"create temp table last_landed as select {entity} as entity, "
            f"max({TIMED.get(dataset.name, 'date')}) as last_date from read_parquet($files) group by 1",
            {"files": landed},
        )
    else:
        con.execute("create temp table last_landed (entity varchar, last_date timestamp)")
    con.execute(f"""
        create temp table contested as
        select {key} from (
            select {key} from staged where reason is null union all select {key} from latest
        ) group by {key} having count(*) > 1
    """)
    con.execute(f"""
        create temp table decided as
        with chain as (
            select {key}, file_index, line, {text} as content, null::timestamp as known_at
            from staged semi join contested using ({key}) where reason is null
            union all
            select {key}, -1, 0, content, known_at from latest
        ),
        compared as (
            select *, lag(content) over history as previous, max(known_at) over history as known_before
            from chain window history as (partition by {key} order by file_index, line)
        ),
        named as (
            select *,
                case when previous is null then 'first' when previous = content then 'duplicate' else 'correction' end
                    as kind
            from compared where file_index >= 0
        )
        select file_index, line, kind, known_before,
            sum((kind <> 'duplicate')::integer) over (partition by {key} order by file_index, line)::integer as version
        from named
    """)


def create_news(con: duckdb.DuckDBPyConnection, dataset: RawDataset, landing: Landing) -> None:
    """Create the view ``news``: the rows to land, with ``kind``, ``known_at`` and what they were when it was decided.

    It reads ``files(file_index, label, ingested_at)``, ``staged``, ``decided``, ``last_landed`` and ``sessions``.
    """
    dated = dataset.name in DATED
    default = f"close_at + {KNOWN_AFTER_CLOSE}" if dated else PUBLIC[dataset.name]
    if isinstance(landing.known_at, datetime):
        # A second new version of a key in one command must be known after the first.
        known = f"timestamp '{landing.known_at}' + (version - 1) * interval 1 microsecond"
        assumption = literal(GIVEN)
    else:
        public_kinds = "('first', 'backfill')" if landing.known_at == CLOSE else "('first')"
        known = f"case when kind in {public_kinds} then {default} else ingested_at end"
        assumption = f"case when kind in {public_kinds} then {literal(ASSUMPTIONS[dataset.name])} end"
    entity = ENTITIES.get(dataset.name, f"staged.{identifier(dataset.key[0])}")
    joined = "left join sessions using (date) " if dated else ""
    late = "date <= last_date" if dated else "false"
    if dated or dataset.name in TIMED:
        joined += f"left join last_landed on last_landed.entity = {entity}"
    if dataset.name in TIMED:
        # Fills and ticks of one instant may come in two files; a day of an address comes once.
        late = f"{TIMED[dataset.name]} {'<' if dataset.name in ('trader_fills', *TICKS) else '<='} last_date"
    con.execute(f"""
        create temp view news as
        with judged as (
            select staged.* exclude (reason, detail, "row"), label, ingested_at, known_before,
                coalesce(version, 1) as version, {"close_at," if dated else ""}
                case
                    when coalesce(kind, 'first') <> 'first' then kind
                    when {late} then 'backfill'
                    else 'first'
                end as kind
            from staged
            join files using (file_index)
            left join decided using (file_index, line)
            {joined}
            where reason is null
        )
        select *, {known} as known_at, {assumption} as assumption
        from judged where kind <> 'duplicate'
    """)


def check_known_at(con: duckdb.DuckDBPyConnection, dataset: RawDataset, landing: Landing) -> None:
    """Refuse a ``--known-at`` instant that no row may have.

    Raises:
        IngestError: it is before a row could have been public, or not after the version that the row corrects.
    """
    if not isinstance(landing.known_at, datetime):
        return
    shown = " || ' ' || ".join(identifier(name) for name in dataset.key)
    if dataset.name in DATED or dataset.name in TIMED:
        public = PUBLIC.get(dataset.name, f"close_at + {KNOWN_AFTER_CLOSE}")
        early = con.execute(
            f"select {shown}, {public}, label, line, count(*) over () from news "
            f"where known_at < {public} order by {public} desc, 1 limit 1"
        ).fetchall()
        if early:
            row, public, label, line, count = early[0]
            raise IngestError(
                f"--known-at {landing.known_at} UTC is before {count} rows were public; {row} (line {line} of {label}) "
                f"was public at {public} UTC",
                remedy="give a later --known-at, or `--known-at close`, or split the file by date",
            )
    late = con.execute(
        f"select {shown}, known_before, label, line, count(*) over () from news "
        "where kind = 'correction' and known_at <= known_before order by known_before desc, 1 limit 1"
    ).fetchall()
    if late:
        row, before, label, line, count = late[0]
        raise IngestError(
            f"--known-at {landing.known_at} UTC is not after the versions that {count} rows correct; {row} (line "
            f"{line} of {label}) corrects a value known at {before} UTC",
            remedy="give a later --known-at, or leave it out: a correction is then known when it is ingested",
        )


def rows_sql(dataset: RawDataset, landing: Landing) -> str:
    """Return the SELECT that becomes rows.parquet: the dataset's and the landing columns, sorted by date, then key."""
    fields = ", ".join(identifier(name) for name in dataset.columns)
    order = sorted(dataset.key, key=lambda name: name != "date")
    return f"""
        select {fields}, known_at, ingested_at, {literal(landing.source)} as source,
            {literal(landing.batch_id)} as batch_id, label as file, line,
            md5({content_text(dataset)}) as content_hash, cast(assumption as varchar) as assumption
        from news order by {", ".join(identifier(name) for name in order)}, file_index
    """
