"""A small market as the tables that an audit reads, made by loops over single bars (tests/oracles/equities.py).

Twelve symbols over 150 weekdays: one is delisted, one splits and pays dividends, one misses three sessions, one has a
bar that was corrected two sessions later, one arrives late for a day, and one is no member in the second half.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from tests.oracles import equities as oracle
from tests.oracles.equities import Version
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit import Bounds, PriceTables, Rules
from trademl.governance.data_audit.record import lay_out
from trademl.governance.data_audit.scope import Scope, close_scope, open_scope
from trademl.training.config import SleeveTables

SESSIONS, FUTURE = 150, 40
SYMBOLS = tuple(f"S{code:02d}" for code in range(12))
DELISTED, SPLITTING, GAPPED, CORRECTED, LATE, LEAVING = SYMBOLS[:6]
LABEL = "fwd_5d"
TWINNED = ("momentum_5d", "realised_volatility_20d", "adv_20d")
RULES = Rules(universe_min_history=5)
PRICES = PriceTables(landed_bars="landed_bars", rules=RULES)
SILVER_ONLY = PriceTables(rules=RULES)
BOUNDS = Bounds(min_dates=10)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SLEEVE = SleeveTables(
    name="equities",
    training="gold.equities_training",
    entity="symbol",
    coverage="equity_bars",
    features_model="gld_equities_features",
    features_table="gold.equities_features",
    label_name=lambda config: LABEL,
)


def day(session: int) -> date:
    """The date of a session."""
    return np.busday_offset("2020-01-01", session, roll="forward").astype(object)  # type: ignore[no-any-return]


def decision(session: int) -> datetime:
    """The moment of a session's decision."""
    return datetime.combine(day(session), datetime.min.time()) + timedelta(hours=20, minutes=15)


@dataclass(frozen=True)
class Frames:
    """The tables, as pandas frames."""

    calendar: pd.DataFrame
    landed: pd.DataFrame
    bars: pd.DataFrame
    members: pd.DataFrame
    market: pd.DataFrame
    regime: pd.DataFrame
    features: pd.DataFrame
    labels: pd.DataFrame


def versions() -> dict[str, list[Version]]:
    """Every landed version of every bar, by symbol."""
    rng = np.random.default_rng(4)
    found: dict[str, list[Version]] = {}
    for symbol in SYMBOLS:
        close = float(rng.uniform(20, 120))
        rows = []
        for session in range(100 if symbol == DELISTED else SESSIONS):
            split = 2.0 if (symbol, session) == (SPLITTING, 70) else 1.0
            dividend = 0.5 if symbol == SPLITTING and session % 40 == 20 else 0.0
            opened = close / split * float(np.exp(rng.normal(0, 0.006)))
            closed = opened * float(np.exp(rng.normal(0, 0.015)))
            high, low = max(opened, closed) * 1.004, min(opened, closed) * 0.996
            volume = float(rng.integers(200_000, 900_000))
            prices = [round(price, 4) for price in (opened, high, low, closed)]
            rows.append(Version(symbol, session, session, 0, *prices, volume, dividend, split))
            close = prices[3]
        found[symbol] = rows
    found[GAPPED] = [row for row in found[GAPPED] if row.session not in (60, 61, 90)]
    wrong = found[CORRECTED][110]
    mended = Version(CORRECTED, 110, 113, 1, wrong.open, wrong.high * 1.2, wrong.low, wrong.close * 1.1, wrong.volume)
    found[CORRECTED].append(mended)
    late = found[LATE][80]
    found[LATE][80] = Version(LATE, 80, 82, 0, late.open, late.high, late.low, late.close, late.volume)
    return found


def is_member(symbol: str, session: int) -> bool:
    """Whether the index holds the symbol."""
    return symbol != LEAVING or session < 75


def first_known(landed: list[Version], t: int, k: int) -> tuple[str, float | None, int | None]:
    """(outcome, value, end) of a return label as it was first known."""
    for end in range(t + 1, SESSIONS):
        outcome, value, _ = oracle.forward_return(oracle.known_bars(landed, landed[0].symbol, end), t, k, end)
        if outcome != "pending":
            return outcome, value, end
    return "pending", None, None


@cache
def frames() -> Frames:
    """Make the tables once."""
    landed = versions()
    sessions = range(SESSIONS + FUTURE)
    calendar = pd.DataFrame(
        {
            "date": [day(t) for t in sessions],
            "session_index": list(sessions),
            "decision_at": [decision(t) for t in sessions],
        }
    )
    rows = [_bar(version) for symbol in SYMBOLS for version in landed[symbol]]
    every = pd.DataFrame(rows)
    latest = every.sort_values("known_at").groupby(["symbol", "date"], as_index=False).last()
    members = pd.DataFrame(
        [(s, day(t)) for s in SYMBOLS for t in range(SESSIONS) if is_member(s, t)], columns=["symbol", "date"]
    )
    series = {
        (symbol, t): oracle.listing(bars, t)
        for symbol in SYMBOLS
        for t in range(SESSIONS)
        for bars in [oracle.known_bars(landed[symbol], symbol, t)]
        if t in bars
    }
    in_universe = {key: is_member(*key) and len(value.sessions) >= 5 for key, value in series.items()}
    benchmark = {}
    for t in range(SESSIONS):
        returns = [value.returns[-1] for key, value in series.items() if key[1] == t and in_universe[key]]
        if returns:
            benchmark[t] = sum(returns) / len(returns)
    market = pd.DataFrame(
        {
            "date": [day(t) for t in benchmark],
            "session_index": list(benchmark),
            "market_return": [round(value * 1e12) for value in benchmark.values()],
        }
    )
    regime = pd.DataFrame({"date": market["date"], "regime": [None] * len(market)})
    features = pd.DataFrame(
        [
            {
                "symbol": key[0],
                "date": day(key[1]),
                "sector": "AB"[SYMBOLS.index(key[0]) % 2],
                "in_universe": in_universe[key],
                "known_at": max(bar_known(bar) for bar in value.bars if bar is not None),
                **oracle.raw_features(value, benchmark),
            }
            for key, value in series.items()
        ]
    )
    features = _with_twins(features)
    return Frames(calendar, every, latest, members, market, regime, features, _labels(landed, series))


def bar_known(version: Version) -> datetime:
    """When a version was known: at the decision of the session from which it counts."""
    return decision(version.effective) - timedelta(minutes=1)


def _bar(version: Version) -> dict[str, Any]:
    return {
        "symbol": version.symbol,
        "date": day(version.session),
        "session_index": version.session,
        "open": version.open,
        "high": version.high,
        "low": version.low,
        "close": version.close,
        "volume": version.volume,
        "dividend_amount": version.dividend,
        "split_coefficient": version.split,
        "known_at": bar_known(version),
        "ingested_at": datetime(2021, 1, 1),
    }


def _with_twins(features: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in features if name not in ("symbol", "date", "sector", "in_universe", "known_at")]
    features = features.astype(dict.fromkeys(names, "float32"))
    members = features[features["in_universe"]]
    for name in TWINNED:
        by_date = members.groupby("date")[name]
        z = ((members[name] - by_date.transform("mean")) / by_date.transform("std")).where(members[name].notna())
        features[f"{name}_dm"] = z.astype("float32")
        features[f"{name}_rank"] = by_date.rank(pct=True).astype("float32")
        by_sector = members.groupby(["date", "sector"])[name]
        own = (members[name] - by_sector.transform("mean")) / by_sector.transform("std")
        features[f"{name}_sn"] = own.astype("float32")
    return features.copy()


def _labels(landed: dict[str, list[Version]], series: dict[tuple[str, int], Any]) -> pd.DataFrame:
    rows = []
    for symbol in SYMBOLS:
        spans = {t: first_known(landed[symbol], t, 5) for t in range(SESSIONS) if (symbol, t) in series}
        started = {t: end for t, (outcome, _, end) in spans.items() if outcome != "no_entry"}
        for t, (outcome, value, end) in spans.items():
            weights = [
                1 / sum(start < s and (stop is None or stop >= s) for start, stop in started.items())
                for s in range(t + 1, (end or t) + 1)
                if value is not None
            ]
            rows.append(
                {
                    "symbol": symbol,
                    "label": LABEL,
                    "outcome": outcome,
                    "value": value,
                    "uniqueness_weight": sum(weights) / len(weights) if weights else None,
                    "session_index": t,
                    "end_index": end,
                    "date": day(t),
                    "label_end_date": None if end is None else day(end),
                }
            )
    return pd.DataFrame(rows)


def connect() -> duckdb.DuckDBPyConnection:
    """A database of its own with the tables; the training table is one too, so that a test can plant in either."""
    made = frames()
    con = duckdb.connect(config={"threads": 1})
    con.execute("set enable_progress_bar = false")
    for schema in ("silver", "gold"):
        con.execute(f"create schema {schema}")
    for name, frame, casts in (
        ("silver.calendar", made.calendar, {"date": "date"}),
        ("landed_bars", made.landed, {"date": "date"}),
        ("silver.equity_bars", made.bars, {"date": "date"}),
        ("silver.universe_members", made.members, {"date": "date"}),
        ("silver.equity_market", made.market, {"date": "date"}),
        ("gold.equities_regime", made.regime, {"date": "date", "regime": "varchar"}),
        ("gold.equities_features", made.features, {"date": "date"}),
        (
            "gold.equities_labels",
            made.labels,
            {
                "date": "date",
                "label_end_date": "date",
                "end_index": "integer",
                "value": "double",
                "session_index": "integer",
            },
        ),
    ):
        con.register("frame", frame)
        replaced = ", ".join(f"{column}::{kind} as {column}" for column, kind in casts.items())
        con.execute(f"create table {name} as select * replace ({replaced}) from frame")
        con.unregister("frame")
    # pandas has no NULL among floats.
    numbers = [name for name, kind, *_ in con.execute("describe gold.equities_features").fetchall() if kind == "FLOAT"]
    con.execute(
        "update gold.equities_features set "
        + ", ".join(f"{name} = case when not isnan({name}) then {name} end" for name in numbers)
    )
    con.execute("update gold.equities_labels set value = null where isnan(value)")
    con.execute("update gold.equities_labels set uniqueness_weight = null where isnan(uniqueness_weight)")
    con.execute(
        """
        create table gold.equities_training as
        select f.*, l.label, l.outcome, l.value, l.session_index, l.end_index, l.label_end_date, l.uniqueness_weight,
            pow(2, (f.date - date '2000-01-01') / 730.0::double) as time_decay_weight,
            l.uniqueness_weight * pow(2, (f.date - date '2000-01-01') / 730.0::double) as sample_weight, r.regime
        from gold.equities_features as f
        inner join gold.equities_labels as l using (symbol, date)
        left join gold.equities_regime as r using (date)
        where f.in_universe and l.value is not null
        """
    )
    return con


@cache
def _shared() -> duckdb.DuckDBPyConnection:
    return connect()


@contextmanager
def panel() -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables in a transaction of the test's own: what it plants is taken back."""
    con = _shared()
    con.execute("begin")
    try:
        yield con
    finally:
        con.execute("rollback")


def feature_names(con: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Every feature column."""
    return tuple(
        name for name, kind, *_ in con.execute("describe gold.equities_features").fetchall() if kind == "FLOAT"
    )


def scoped(
    con: duckdb.DuckDBPyConnection,
    audit: Callable[[Scope], AuditRow | list[AuditRow]],
    *,
    prices: PriceTables | None = PRICES,
    features: tuple[str, ...] | None = None,
) -> dict[str, AuditRow]:
    """Run one part of the audit in a scope of its own; return its rows by check."""
    scope = open_scope(
        con,
        SLEEVE,
        LABEL,
        features or feature_names(con),
        prices=prices,
        run_id="run-1",
        recorded_at=NOW.replace(tzinfo=None),
        first=None,
        last=None,
        excluded=(),
    )
    try:
        if prices is not None:
            lay_out(scope, prices)
        found = audit(scope)
    finally:
        close_scope(con)
    return {row.check_name: row for row in (found if isinstance(found, list) else [found])}
