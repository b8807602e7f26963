"""The past must stand still: features of dates that an earlier snapshot knew, compared with what they are now.

Check ``past_changed``: a raw feature of a date up to the earlier snapshot's last session that is another one now, or a
row that has gone. Corrections change later rows only, so a past that moves was revised in hindsight.

Two things may change the past without hindsight, and are reported instead of judged: another definition of the
features, and older data that landed since with the claim of having been known in its time (bars ingested with
``--known-at close``, a first membership file). Columns of sectors are not compared: a first file of sectors gives every
date of the past one that it did not have.
"""

from dataclasses import dataclass, replace
from datetime import date

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.errors import SnapshotError
from trademl.governance.audit import WHOLE_RUN, AuditRow
from trademl.governance.data_audit.scope import PREFIX, Sleeve
from trademl.governance.data_audit.twins import base_of
from trademl.lake.manifest import Manifest, TableEntry, read_manifest, resolve
from trademl.lake.names import identifier, quoted
from trademl.lake.reading import Snapshot

CHECK = "past_changed"
_WINDOW = 130
_SECTORS = "sector_is_"


@dataclass(frozen=True)
class Past:
    """An earlier state as relations that may follow FROM, and the last session that it knew."""

    features: str
    bars: str
    members: str
    as_of: date


def audit_history(snapshot: Snapshot, sleeve: Sleeve, *, run_id: str, now: Clock = utc_now) -> AuditRow:
    """Compare the features with those of the last snapshot of another build that is still kept."""

    def nothing(detail: str, compared: int = 0) -> AuditRow:
        return AuditRow(run_id, WHOLE_RUN, CHECK, 0, compared, detail, sql_utc(now()))

    earlier = earlier_build(snapshot)
    if earlier is None or earlier.as_of is None:
        return nothing("no snapshot of an earlier build is kept")
    if earlier.definition_hash != snapshot.manifest.definition_hash:
        return nothing(f"snapshot {earlier.seq} was built from other definitions")
    if any(name not in tables for name in _tables(sleeve) for tables in (earlier.tables, snapshot.manifest.tables)):
        return nothing(f"snapshot {earlier.seq} or this one lacks one of {', '.join(_tables(sleeve))}")
    changed = _changed_files(earlier, snapshot.manifest, sleeve.features_table)
    if not changed:
        rows = earlier.tables[sleeve.features_table].rows
        return nothing(f"every year of {sleeve.features_table} in snapshot {earlier.seq} is still the same file", rows)
    try:
        row = compare_past(snapshot.con, sleeve, past_of(snapshot, earlier, sleeve, changed), run_id=run_id, now=now)
    except duckdb.IOException:
        # Garbage collection of old snapshots may overtake a reader that holds the current one only.
        return nothing(f"snapshot {earlier.seq} was removed meanwhile")
    return replace(row, detail=f"snapshot {earlier.seq}: {row.detail}")


def earlier_build(snapshot: Snapshot) -> Manifest | None:
    """Return the newest kept manifest of another build in the same view."""
    numbers = sorted((int(path.stem) for path in snapshot.layout.manifests.glob("[0-9]*.json")), reverse=True)
    for number in numbers:
        if number >= snapshot.manifest.seq:
            continue
        try:
            manifest = read_manifest(snapshot.layout, number)
        except SnapshotError:
            # Removed since it was listed.
            continue
        if manifest.build_id != snapshot.manifest.build_id:
            return manifest
    return None


def past_of(snapshot: Snapshot, earlier: Manifest, sleeve: Sleeve, years: set[str] | None = None) -> Past:
    """Return an earlier state as relations; of the features only the partitions in ``years``, None meaning all."""
    features, bars, members = (earlier.tables[name] for name in _tables(sleeve))
    return Past(
        _relation(snapshot, years, features),
        _relation(snapshot, None, bars),
        _relation(snapshot, None, members),
        earlier.as_of or date.min,
    )


def compare_past(
    con: duckdb.DuckDBPyConnection, sleeve: Sleeve, past: Past, *, run_id: str, now: Clock = utc_now
) -> AuditRow:
    """Compare the raw features of every row of ``past`` with those of the connection."""
    entity, table = identifier(sleeve.entity), sleeve.features_table
    before = {name: kind for name, kind, *_ in con.execute(f"describe select * from {past.features}").fetchall()}
    after = {name for name, *_ in con.execute(f"describe select * from {table}").fetchall()}
    raw = [
        name
        for name, kind in before.items()
        if kind in ("FLOAT", "DOUBLE") and name in after and base_of(name) == name and not name.startswith(_SECTORS)
    ]
    cells = ", ".join(identifier(name) for name in [*raw, "known_at"])
    con.execute(
        f"""
        create or replace temp table {PREFIX}past as
        with old as (select {entity} as entity, date, hash({cells}) as cells from {past.features}),
        new as (
            select {entity} as entity, date, hash({cells}) as cells from {table}
            where date between (select min(date) from {past.features}) and date '{past.as_of}'
        )
        select
            coalesce(old.entity, new.entity) as entity, coalesce(old.date, new.date) as date,
            old.cells is distinct from new.cells as is_changed
        from old full join new on old.entity = new.entity and old.date = new.date
        where coalesce(old.date, new.date) <= date '{past.as_of}'
        """
    )
    try:
        compared, changed, excused, examples = con.execute(
            f"""
            with landed_since as (
                select bars.symbol, sessions.session_index as t
                from silver.equity_bars as bars
                inner join silver.calendar as sessions using (date)
                where bars.ingested_at > (select max(ingested_at) from {past.bars})
                    and bars.known_at <= sessions.decision_at and bars.date <= date '{past.as_of}'
            ),
            -- Membership enters through the market's return, so through every beta of the sixty sessions that follow.
            members_since as (
                select distinct date from (
                    (from {past.members} except from silver.universe_members)
                    union all
                    (select * from silver.universe_members where date <= date '{past.as_of}' except from {past.members})
                )
            ),
            excused as (
                select distinct later.date from silver.calendar as later inner join (
                    select t from landed_since
                    union select session_index from members_since inner join silver.calendar using (date)
                ) as moved on later.session_index between moved.t and moved.t + {_WINDOW}
            ),
            changed as (select * from {PREFIX}past where is_changed)
            select
                (select count(*) from {PREFIX}past), count(*) filter (where excused.date is null),
                count(*) filter (where excused.date is not null),
                list(changed.entity || ' ' || changed.date order by changed.date, changed.entity)
                    filter (where excused.date is null)[1:3]
            from changed left join excused on changed.date = excused.date
            """
        ).fetchall()[0]
    finally:
        con.execute(f"drop table if exists {PREFIX}past")
    text = f"{changed} of {compared} rows up to {past.as_of} have changed since"
    if examples:
        text += f": {', '.join(examples)}"
    if excused:
        text += f"; {excused} more on dates for which older data landed since, with the claim of having been known then"
    return AuditRow(run_id, WHOLE_RUN, CHECK, int(changed), int(compared), text, sql_utc(now()))


def _tables(sleeve: Sleeve) -> tuple[str, str, str]:
    return sleeve.features_table, "silver.equity_bars", "silver.universe_members"


def _changed_files(earlier: Manifest, current: Manifest, table: str) -> set[str]:
    """Return the partitions of a table whose rows of then are not those of now."""
    now = {file.partition: file.sha256 for file in current.tables[table].files}
    return {file.partition for file in earlier.tables[table].files if now.get(file.partition) != file.sha256}


def _relation(snapshot: Snapshot, partitions: set[str] | None, table: TableEntry) -> str:
    files = [file for file in table.files if partitions is None or file.partition in partitions]
    paths = ", ".join(quoted(str(resolve(snapshot.layout, file))) for file in files)
    if not paths:
        empty = ", ".join(f"cast(null as {kind}) as {identifier(name)}" for name, kind in table.columns.items())
        return f"(select {empty} where false)"
    return f"(select {', '.join(map(identifier, table.columns))} from read_parquet([{paths}]))"
