"""Stand-ins for the models of a viewport, and targets of a made-up bar: numbers that a test can work out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from tests.sleeves.traders.days_and_trades import BUILDS
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot
from trademl.sleeves.events.bundle import TreePredictions
from trademl.sleeves.events.retrieval.summary import NUMBERS, RetrievalSummary
from trademl.sleeves.events.viewport.document import REACH, Moment
from trademl.sleeves.events.viewport.ensemble import Ensemble, Pool
from trademl.sleeves.events.viewport.score import ViewportModels

DAY = date(2025, 12, 31)
OPEN, CLOSE = datetime(2025, 12, 31, 14, 30), datetime(2025, 12, 31, 21, 0)
BAR_END = datetime(2025, 12, 31, 15, 0)
FEATURES = ("distance_signed", "tape_imbalance")


def moment(at: datetime = BAR_END, bar_end: datetime = BAR_END, symbol: str = "SPY") -> Moment:
    """A moment of a one-minute bar of the session of 31 December."""
    return Moment(symbol, at, bar_end, 1, DAY, OPEN, CLOSE)


def target(level: str = "PDH", price: float = 101.0, close: float = 100.5, atr: float | None = 0.5, **over: Any) -> Any:
    """One row of ``gold.events_targets``: price comes from below unless told, 1 ATR away."""
    sign = over.pop("direction_sign", 1.0)
    away = None if not atr else (close - price) / atr
    row = {
        "level_id": f"SPY {level}",
        "symbol": "SPY",
        "level_kind_name": level,
        "direction": "UP" if sign > 0 else "DOWN",
        "level_price": price,
        "close_price": close,
        "atr_price": atr,
        "distance": None if away is None else abs(away),
        "distance_signed": None if away is None else sign * away,
        "direction_sign": sign,
        "tape_imbalance": 0.25,
        "ts_ns": moment().ts_ns,
        "date": DAY,
    }
    return {**row, **over}


def table(*rows: Mapping[str, Any]) -> pa.Table:
    """The rows as an Arrow table with the types of the warehouse."""
    given = list(rows) or [target()]
    numbers = ("level_price", "close_price", "atr_price", "distance", "distance_signed", "direction_sign")
    kinds = {
        **dict.fromkeys(("level_id", "symbol", "level_kind_name", "direction"), pa.string()),
        **dict.fromkeys((*numbers, "tape_imbalance"), pa.float32()),
        **dict.fromkeys(("level_price", "close_price", "atr_price"), pa.float64()),
        "ts_ns": pa.int64(),
        "date": pa.date32(),
    }
    found = pa.Table.from_pylist(given, schema=pa.schema(list(kinds.items())))
    return found if rows else found.slice(0, 0)


@dataclass
class FixedStage:
    """A stage that predicts the same of every target, and counts how often it was asked."""

    tradeable: float = 0.6
    p_break: float = 0.7
    strength: float = 1.5
    reach: float = 0.4
    horizons: Sequence[int] = (60, 120)
    feature_names: tuple[str, ...] = FEATURES
    asked: int = 0

    def predict(self, df: Any) -> TreePredictions:
        """Return constants of the length of the table; later horizons and the first threshold are likelier."""
        self.asked += 1
        rows = df.num_rows

        def constant(value: float) -> Any:
            return np.full(rows, value)

        parts = {"t1": 1.0, "t2": 0.5, "t1_break": 0.75, "t1_bounce": 0.5, "t2_break": 0.375, "t2_bounce": 0.25}
        reach = {
            f"{family}_probs": {
                horizon: constant(self.reach * parts[family] * (1 + place / 2))
                for place, horizon in enumerate(self.horizons)
            }
            for family in REACH
        }
        return TreePredictions(constant(self.tradeable), constant(self.p_break), constant(self.strength), **reach)


def summary(neighbors: int = 6, **over: float) -> RetrievalSummary:
    """A summary: 50 % breaks, 25 % bounces, the rest neither; two thirds break of those that did either."""
    numbers = dict.fromkeys(NUMBERS, 60.0) | {
        "p_break": 0.5,
        "p_bounce": 0.25,
        "p_tradeable_2": 0.9,
        "strength_signed_mean": 0.6,
        "strength_abs_mean": 1.1,
        "similarity": 0.3,
        "entropy": 1.04,
    }
    rows = pd.DataFrame(
        {"event_id": [f"e{at}" for at in range(neighbors)], "distance": np.arange(1.0, neighbors + 1.0)}
    )
    return RetrievalSummary(**(numbers | over), neighbors=rows)


@dataclass
class FixedRetrieval:
    """An index that answers the same of every target, and notes the k it was asked for."""

    answer: RetrievalSummary = field(default_factory=summary)
    asked: list[int] = field(default_factory=list)

    def summaries(self, table: pa.Table, k: int) -> list[Any]:
        """Return the answer once a row."""
        self.asked.append(k)
        return [self.answer] * table.num_rows


def models(**over: Any) -> ViewportModels:
    """Stage A and B and retrieval, pooled with equal weights unless told."""
    settings: dict[str, Any] = {
        "stages": {"stage_a": FixedStage(), "stage_b": FixedStage(tradeable=0.3, p_break=0.8, strength=0.9, reach=0.2)},
        "retrieval": FixedRetrieval(),
        "ensemble": Ensemble({}, {}),
        "model_id": "viewport-doubles",
    }
    return ViewportModels(**(settings | over))


def warehouse(rows: Sequence[Mapping[str, Any]], bars: Sequence[tuple[str, datetime]]) -> duckdb.DuckDBPyConnection:
    """A connection with the three tables that a viewport is read from; bars are one-minute bars by symbol and end."""
    con = duckdb.connect(":memory:")
    write_tables(con, rows, bars)
    return con


def write_tables(
    con: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]], bars: Sequence[tuple[str, datetime]]
) -> None:
    """Write the three tables into a database."""
    for schema in ("gold", "silver"):
        con.execute(f"create schema if not exists {schema}")
    con.register("given", table(*rows))
    con.execute("create table gold.events_targets as select * from given")
    con.unregister("given")
    con.execute("create table silver.intraday_bars (symbol varchar, date date, bar_minutes double, ends_at timestamp)")
    con.executemany(
        "insert into silver.intraday_bars values (?, ?, 1, ?)", [(symbol, DAY, end) for symbol, end in bars]
    )
    con.execute("create table if not exists silver.calendar (date date, open_at timestamp, close_at timestamp)")
    con.execute("insert into silver.calendar (date, open_at, close_at) values (?, ?, ?)", [DAY, OPEN, CLOSE])


def publish(home: Home, rows: Sequence[Mapping[str, Any]], bars: Sequence[tuple[str, datetime]]) -> None:
    """Write a home's warehouse with these targets and bars, and take its snapshot."""
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        write_tables(con, rows, bars)
        con.execute("create schema meta")
        con.execute(BUILDS)
        con.execute("insert into meta.builds values ('v1', 'v1', now(), now(), null, 'd1', '', 'success')")
    take_snapshot(layout_of(home))


def weights(**by_source: float) -> Pool:
    """A pool with these weights."""
    return Pool(tuple(by_source), tuple(by_source.values()))
