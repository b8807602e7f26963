"""A home whose snapshot has made-up events, features and labels, to build versions from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from tests.lake.small_warehouse import BUILDS
from trademl.clock import utc_now
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

VERSIONS = Path("configs") / "events" / "versions"
FULL, MECHANICS = "v2.0_full_ensemble", "v1.0_mechanics_only"


@dataclass(frozen=True)
class Events:
    """What the warehouse holds: ``sessions`` weekdays from 2025-09-15 of ``per_session`` events each.

    ``shift`` is added to one feature; ``amber`` of the sessions are not GREEN.
    """

    sessions: int = 25
    per_session: int = 44
    shift: float = 0.0
    amber: int = 0
    build_id: str = "b1"

    @property
    def rows(self) -> int:
        """How many events there are."""
        return self.sessions * self.per_session


def publish(home: Home, events: Events) -> None:
    """Write the warehouse anew and take its snapshot."""
    layout = layout_of(home)
    layout.warehouse.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(layout.warehouse)) as con:
        for schema in ("meta", "bronze", "silver", "gold", "marts", "preds", "ops"):
            con.execute(f"create schema if not exists {schema}")
        con.execute(BUILDS)
        con.execute("create table if not exists meta.tables (schema_name varchar, table_name varchar, grain varchar)")
        con.execute(
            f"""
            create or replace table gold.events_features as
            select
                'e' || lpad((s * 1000 + n)::varchar, 7, '0') as event_id,
                'S' || n % 3 as symbol,
                if(n % 11 = 10, 'vendor', 'computed') as source,
                if(n % 2 = 0, 'PDH', 'ROUND') as level_kind_name,
                if(n % 4 < 2, 'UP', 'DOWN') as direction,
                (100 + n)::decimal(18, 6) as level_price,
                1::integer as bar_minutes,
                (n % 7 + {events.shift})::float as approach_velocity,
                if(n % 5 = 0, null, s * 0.5)::float as dist_pdc,
                (n % 10 / 20)::float as distance,
                (n % 2 = 0)::integer::float as level_kind_pdh,
                (n % 2 = 1)::integer::float as level_kind_round,
                if(n % 11 = 10, n * 1.5, null)::float as barrier_delta_liq,
                if(n % 11 = 10, 0.5, null)::float as tape_imbalance_trend,
                if(n % 11 = 10, 2.0, null)::float as gamma_exposure,
                n % 11 = 10 as has_book,
                epoch_ns(t1) as ts_ns,
                t1::date as date,
                t1 as known_at
            from (
                select s, n, timestamp '2025-09-15 14:00' + to_days((s + 2 * (s // 5))::integer)
                    + to_minutes(n::integer) as t1
                from range({events.sessions}) a(s), range({events.per_session}) b(n)
            ) order by date, symbol, ts_ns, event_id
            """
        )
        con.execute(
            """
            create or replace table gold.events_labels as
            select event_id, symbol,
                if(ts_ns % 3 = 0, 'BREAK', if(ts_ns % 3 = 1, 'BOUNCE', 'OTHER')) as outcome,
                (ts_ns % 7 - 3)::double as strength_signed,
                (ts_ns % 2)::integer as tradeable_2,
                (ts_ns % 5 = 0)::integer as t1_60,
                ts_ns, date, known_at + interval 40 minute as resolved_at
            from gold.events_features order by event_id
            """
        )
        con.execute(
            "create or replace table silver.event_coverage as select 'intraday_bars' as dataset, date, "
            f"if(row_number() over (order by date) <= {events.amber}, 'AMBER', 'GREEN') as status, "
            "1.0::double as coverage_ratio, ['none'] as reasons from (select distinct date from gold.events_features)"
        )
        con.execute(
            "insert into meta.builds values (?, ?, now()::timestamp, now()::timestamp, null, 'd1', '', 'success')",
            [events.build_id, events.build_id],
        )
    take_snapshot(layout, now=utc_now)


def more(events: Events, **changes: Any) -> Events:
    """Return other events, of a build of their own."""
    return replace(events, build_id=f"{events.build_id}x", **changes)
