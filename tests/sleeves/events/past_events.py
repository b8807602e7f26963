"""Made-up events with every column that retrieval and sequences read, and a home that publishes them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from tests.sleeves.traders.days_and_trades import BUILDS
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

FEATURES = ("approach_velocity", "distance", "sma_200_distance", "atr", "tape_velocity")
TIMES = (
    "time_to_threshold_1",
    "time_to_threshold_2",
    "time_to_break_1",
    "time_to_bounce_1",
    "time_to_break_2",
    "time_to_bounce_2",
)
START = datetime(2025, 9, 15, 14, 30)
RESOLVES = timedelta(minutes=40)


def make_events(
    count: int, seed: int = 1, *, features: Sequence[str] = FEATURES, sessions: int = 10, missing: float = 0.1
) -> pd.DataFrame:
    """Return ``count`` events over sessions of six hours, some features and labels missing, by t1."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, sessions, count))
    t1 = [START + timedelta(days=int(d), minutes=int(m)) for d, m in zip(day, rng.integers(1, 360, count), strict=True)]
    frame = pd.DataFrame({"event_id": [f"e{place:06d}" for place in rng.permutation(count)], "t1": t1})
    frame = frame.sort_values(["t1", "event_id"], ignore_index=True)
    frame["ts_ns"] = frame["t1"].astype("datetime64[ns]").astype("int64")
    frame["date"] = frame["t1"].dt.date
    frame["symbol"] = rng.choice(["AAA", "BBB", "CCC"], count)
    frame["bar_minutes"] = 1
    frame["level_kind_name"] = rng.choice(["PDH", "PDL", "ROUND"], count)
    frame["direction"] = rng.choice(["UP", "DOWN"], count)
    frame["level_price"] = np.round(rng.uniform(50, 150, count), 2)
    for number, name in enumerate(features):
        values = (rng.standard_normal(count) * (1 + number) + number).astype(np.float32)
        values[rng.random(count) < missing] = np.nan
        frame[name] = values
    frame["outcome"] = rng.choice(["BREAK", "BOUNCE", "OTHER", None], count, p=[0.3, 0.3, 0.3, 0.1])
    frame["strength_signed"] = np.where(rng.random(count) < missing, np.nan, rng.standard_normal(count) * 2)
    frame["tradeable_2"] = pd.array(np.where(rng.random(count) < missing, -1, rng.integers(0, 2, count)), dtype="Int32")
    frame.loc[frame["tradeable_2"] == -1, "tradeable_2"] = pd.NA
    for name in TIMES:
        frame[name] = np.where(rng.random(count) < 0.4, np.nan, 60.0 * rng.integers(1, 11, count))
    frame["t1_60"] = pd.array(rng.integers(0, 2, count), dtype="Int32")
    frame["resolved_at"] = frame["t1"] + RESOLVES
    return frame


def make_bars(events: pd.DataFrame, minutes: int = 400) -> pd.DataFrame:
    """Return one bar a minute of each symbol and session of ``events`` from :data:`START`'s time of day."""
    parts = []
    for symbol, day in sorted(set(zip(events["symbol"], events["date"], strict=True))):
        first = datetime.combine(day, START.time())
        ts = [first + timedelta(minutes=place) for place in range(minutes)]
        # Every number tells its bar: the minute, and which of the five it is.
        price = 100.0 + np.arange(minutes) / 1000
        part = pd.DataFrame({"symbol": symbol, "bar_minutes": 1, "ts": ts, "date": day})
        part["ends_at"] = part["ts"] + timedelta(minutes=1)
        part["known_at"] = part["ends_at"]
        for number, name in enumerate(("open", "high", "low", "close")):
            part[name] = price + 0.1 * number
        part["volume"] = 1.0 + np.arange(minutes)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def publish(home: Home, events: pd.DataFrame, bars: pd.DataFrame | None = None, red: Sequence[date] = ()) -> None:
    """Make the warehouse of ``home`` from events and bars, with sessions that are RED, and take a snapshot."""
    bars = make_bars(events.head(1)) if bars is None else bars
    failing = ", ".join(f"date '{day}'" for day in red) or "null"
    features = [name for name in events.columns if name in FEATURES]
    identity = "event_id, ts_ns, date, symbol, bar_minutes, level_kind_name, direction"
    columns = ", ".join(f"cast({name} as float) as {name}" for name in features)
    kinds = ", ".join(
        f"cast(level_kind_name = '{kind}' as float) as level_kind_{kind.lower()}" for kind in ("PDH", "PDL", "ROUND")
    )
    labels = ", ".join(["outcome", "strength_signed", "tradeable_2", *TIMES, "t1_60"])
    tables: dict[str, tuple[str, str]] = {
        "gold.events_features": (
            f"select {identity}, cast(level_price as decimal(18, 6)) as level_price, {columns}, "
            "cast(case direction when 'UP' then 1 else -1 end as float) as direction_sign, "
            f"cast(0.1 as float) as distance_signed, {kinds}, t1::timestamp as known_at from given_events "
            "order by ts_ns",
            "event_id",
        ),
        "gold.events_labels": (
            f"select event_id, ts_ns, date, symbol, {labels}, resolved_at::timestamp as resolved_at from given_events",
            "event_id",
        ),
        "silver.intraday_bars": ("select * from given_bars", "symbol,bar_minutes,ts"),
        "silver.calendar": ("select distinct date from given_events", "date"),
        "silver.event_coverage": (
            "select distinct 'intraday_bars' as dataset, date, 0.5::double as coverage_ratio, 'half' as reasons, "
            f"case when date in ({failing}) then 'RED' else 'GREEN' end as status from given_events",
            "dataset,date",
        ),
    }
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        # Arrow, not pandas: a column of strings and None stays one.
        con.register("given_events", pa.Table.from_pandas(events, preserve_index=False))
        con.register("given_bars", pa.Table.from_pandas(bars, preserve_index=False))
        for schema in ("meta", "gold", "silver"):
            con.execute(f"create schema {schema}")
        con.execute(BUILDS)
        con.execute("create table meta.tables (schema_name varchar, table_name varchar, grain varchar)")
        for name, (query, grain) in tables.items():
            con.execute(f"create table {name} as {query}")
            con.execute("insert into meta.tables values (?, ?, ?)", [*name.split("."), grain])
        con.execute("insert into meta.builds values ('s1', 's1', now(), now(), null, 'd1', '', 'success')")
    take_snapshot(layout_of(home))


def vector_of(events: pd.DataFrame, place: int, features: Sequence[str] = FEATURES) -> Any:
    """Return the raw feature vector of the event at ``place``."""
    return events.loc[place, list(features)].to_numpy(dtype=float)
