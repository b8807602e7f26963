"""A small warehouse with the tables that heads are trained on, written with DuckDB directly and published."""

from dataclasses import dataclass

import duckdb
import numpy as np

from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

NUMERIC = ("approach_velocity", "distance_signed", "atr", "fuel_effect", "tape_velocity", "tape_velocity_trend")
KINDS = ("pmh", "round")
FEATURES = (*NUMERIC, *(f"level_kind_{kind}" for kind in KINDS))


@dataclass(frozen=True)
class Touches:
    """What to plant: ``strength`` is how much log-odds a standard deviation of ``approach_velocity`` adds to every
    label of a break (and half as much to the strength), and of ``atr`` to every label of reaching a threshold.
    """

    sessions: int = 30
    per_session: int = 40
    strength: float = 1.5
    seed: int = 11


def write_touches(home: Home, touches: Touches = Touches()) -> None:
    """Write the warehouse of ``home`` anew and take its snapshot.

    Sessions are the weekdays from 2025-01-01, events a minute apart from 10:00. Labels: tradeable_2, direction (of
    tradeable events), strength, and the six of 60 seconds. ``tape_velocity_trend`` is always missing.
    """
    rng = np.random.default_rng(touches.seed)
    n, m = touches.sessions, touches.per_session
    rows = n * m
    session = np.repeat(np.arange(n), m)
    days = np.busday_offset("2025-01-01", np.arange(n), roll="forward").astype("datetime64[s]")
    columns = {name: rng.normal(size=rows).astype(np.float32) for name in NUMERIC}
    columns["fuel_effect"][rng.random(rows) < 0.1] = np.nan
    columns["tape_velocity_trend"][:] = np.nan
    kind = rng.integers(0, 2, size=rows)

    def happened(score: np.ndarray, rate: float) -> np.ndarray:
        odds = touches.strength * score + np.log(rate / (1 - rate))
        return (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)

    speed, size = columns["approach_velocity"].astype(float), columns["atr"].astype(float)
    breaks = happened(speed, 0.5)
    first, second = happened(size, 0.5), happened(size, 0.2)
    second *= first
    labels = {
        "tradeable_2": happened(size, 0.5),
        "direction": breaks,
        "strength": 0.5 * touches.strength * speed + rng.normal(size=rows),
        "t1_60s": first,
        "t2_60s": second,
        "t1_break_60s": first * breaks,
        "t1_bounce_60s": first * (1 - breaks),
        "t2_break_60s": second * breaks,
        "t2_bounce_60s": second * (1 - breaks),
    }
    drawn = {
        "number": np.arange(rows),
        "session": session.astype(np.int32),
        "date": days[session],
        "kind": kind.astype(np.int32),
        **columns,
        **{f"y_{name}": values for name, values in labels.items()},
    }
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    measured = ", ".join(f"case when isnan({name}) then null else {name} end as {name}" for name in NUMERIC)
    one_hot = ", ".join(f"(kind = {code})::integer::float as level_kind_{name}" for code, name in enumerate(KINDS))
    with duckdb.connect(str(home.warehouse)) as con:
        con.register("drawn", drawn)
        for schema in ("meta", "silver", "gold"):
            con.execute(f"create schema {schema}")
        con.execute(
            "create table silver.calendar as select distinct date::date as date, session as session_index, "
            "date::timestamp + interval 14 hour as open_at, date::timestamp + interval 20 hour as close_at, "
            "date::timestamp + interval 20 hour + interval 15 minute as decision_at from drawn order by 1"
        )
        con.execute(
            "create table silver.event_coverage as select 'intraday_bars' as dataset, date, 1.0::double as "
            "coverage_ratio, 'GREEN' as status, '' as reasons from silver.calendar"
        )
        con.execute(
            "create table gold.events_features as select printf('e%06d', number) as event_id, 'ES' as symbol, "
            "date::date as date, date::timestamp + interval 15 hour + to_minutes((number % 240)::bigint) as known_at, "
            f"'ROUND' as level_kind_name, 'UP' as direction, true as has_trades, {measured}, {one_hot} "
            "from drawn order by 3, 1"
        )
        parts = " union all ".join(
            f"select number, '{name}' as label, y_{name} as value from drawn"
            + (" where y_tradeable_2 = 1" if name == "direction" else "")
            for name in labels
        )
        con.execute(
            "create table gold.events_training as select features.event_id, features.date, parts.label, parts.value, "
            "features.date as label_end_date, 1.0::double as time_decay_weight, 1.0::double as uniqueness_weight, "
            "1.0::double as sample_weight, null::varchar as regime, 'GREEN' as coverage_status, features.known_at "
            f"from gold.events_features as features inner join ({parts}) as parts "
            "on features.event_id = printf('e%06d', parts.number) order by 3, 2, 1"
        )
        con.execute(
            "create table meta.builds (build_id varchar, invocation_id varchar, started_at timestamp, "
            "finished_at timestamp, affected_from date, definition_hash varchar, as_known_at varchar, status varchar)"
        )
        con.execute("insert into meta.builds values ('b1', 'b1', now(), now(), null, 'd', '', 'success')")
    take_snapshot(layout_of(home))
