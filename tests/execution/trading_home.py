"""A home that can be traded: sessions, bars, GREEN coverage, features, out-of-fold scores and targets, without dbt.

Prices are drawn once from a seed; nothing about them is real. Each session's targets hold the same few names long and
short, with sizes that change from session to session, so that every session needs orders.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np

from trademl.config.home import Home
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches, take_snapshot

RUN = "equities-fwd_5d-0123456789ab"
SYMBOLS = tuple(f"S{number:02d}" for number in range(12))
FIRST = date(2024, 1, 2)
BEFORE = 20
"""Sessions of out-of-fold scores and features before the first one that is traded."""


def sessions(count: int) -> list[date]:
    """Return weekdays from FIRST on; the first BEFORE of them are history."""
    days = (FIRST + timedelta(step) for step in range(2 * (count + BEFORE) + 10))
    return [day for day in days if day.weekday() < 5][: count + BEFORE]


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """Return an instant of a day, UTC."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def write_home(home: Home, count: int = 5, *, seed: int = 7, symbols: Sequence[str] = SYMBOLS) -> list[date]:
    """Write everything but targets for ``count`` tradable sessions and the history before; return those sessions."""
    days = sessions(count)
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (len(days), len(symbols))), axis=0))
    opened = close * np.exp(rng.normal(0, 0.004, close.shape))
    # The same values in another order each session: a dozen drawn ones would drift by chance.
    scores = rng.permuted(np.tile(np.linspace(-0.03, 0.03, len(symbols)), (len(days), 1)), axis=1)
    bars, features, oof = [], [], []
    for step, day in enumerate(days):
        for place, symbol in enumerate(symbols):
            price = float(close[step, place])
            bars.append(
                (symbol, "Tech", float(opened[step, place]), price, 1_000_000.0, price * 1e6, 0.0, 1.0, day,
                 at(day, 21, 10).replace(tzinfo=None))
            )  # fmt: skip
            features.append((symbol, day, True, float(scores[step, place] * 50)))
            oof.append((symbol, day, float(scores[step, place])))
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute(
            """
            create schema meta; create schema silver; create schema gold;
            create table meta.builds(build_id varchar, invocation_id varchar, started_at timestamp,
                finished_at timestamp, affected_from date, definition_hash varchar, as_known_at varchar,
                status varchar);
            insert into meta.builds values ('b-1', 'i-1', timestamp '2024-01-01 21:20:00',
                timestamp '2024-01-01 21:21:00', null, 'd', '', 'success');
            create table silver.calendar(date date, session_index integer, open_at timestamp, close_at timestamp,
                decision_at timestamp);
            create table silver.coverage(dataset varchar, date date, expected bigint, present bigint,
                coverage_ratio double, universe_coverage double, status varchar, reasons varchar);
            create table silver.equity_bars(symbol varchar, sector varchar, open double, close double, volume double,
                dollar_volume double, dividend_amount double, split_coefficient double, date date, known_at timestamp);
            create table gold.equities_features(symbol varchar, date date, in_universe boolean, momentum_20d_dm float);
            """
        )
        con.executemany(
            "insert into silver.calendar values (?, ?, ?, ?, ?)",
            [
                (day, step, *(at(day, *when).replace(tzinfo=None) for when in ((14, 30), (21,), (21, 15))))
                for step, day in enumerate([*days, days[-1] + timedelta(3 if days[-1].weekday() == 4 else 1)])
            ],
        )
        con.executemany(
            "insert into silver.coverage values ('equity_bars', ?, ?, ?, 1.0, 1.0, 'GREEN', '')",
            [(day, len(symbols), len(symbols)) for day in days],
        )
        con.executemany(f"insert into silver.equity_bars values ({', '.join('?' * 10)})", bars)
        con.executemany("insert into gold.equities_features values (?, ?, ?, ?)", features)
    layout = layout_of(home)
    take_snapshot(layout, now=lambda: at(FIRST, 0))
    write_rows(
        layout,
        "preds.oof",
        [
            {"sleeve": "equities", "entity": symbol, "dt": day, "horizon": 5, "label": "fwd_5d", "run_id": RUN,
             "path_id": 0, "split_id": 0, "yhat": yhat, "y": 0.0, "label_end": day,
             "scored_at": at(FIRST, 0).replace(tzinfo=None)}
            for symbol, day, yhat in oof
            if day <= days[BEFORE]
        ],
        now=lambda: at(FIRST, 0),
    )  # fmt: skip
    return days[BEFORE:]


def write_targets(
    home: Home,
    day: date,
    weights: dict[str, float] | None = None,
    *,
    run: str = RUN,
    scores: dict[str, float] | None = None,
    portfolio_hash: str = "p" * 64,
) -> None:
    """Write the targets of a session and publish them; without weights six names are held, sized by the date."""
    if weights is None:
        rng = np.random.default_rng(day.toordinal())
        drawn = rng.uniform(0.01, 0.05, len(SYMBOLS)) * np.where(np.arange(len(SYMBOLS)) % 2, -1, 1)
        weights = {symbol: float(drawn[place]) for place, symbol in enumerate(SYMBOLS[:8])}
    with duckdb.connect(str(home.warehouse), read_only=True) as con:
        closes = dict(con.execute("select symbol, close from silver.equity_bars where date = ?", [day]).fetchall())
        z = dict(
            con.execute("select symbol, momentum_20d_dm from gold.equities_features where date = ?", [day]).fetchall()
        )
    layout = layout_of(home)
    # A later decision is a later row.
    written = at(day, 21, 30) + timedelta(seconds=len(layout.batch_files("ops.targets")))
    write_rows(
        layout,
        "ops.targets",
        [
            {"sleeve": "equities", "dt": day, "symbol": symbol, "sector": "Tech", "weight": weight,
             "held_weight": 0.0, "score": (scores or {}).get(symbol, z.get(symbol, 0.0) / 50), "rank_pct": 0.5,
             "volatility": 0.16, "price_usd": closes.get(symbol), "day_value_usd": 50e6, "cost_usd": 0.0,
             "equity_usd": 1e6, "model_id": run, "run_id": run, "horizon": 5, "optimiser": "ranked",
             "portfolio_hash": portfolio_hash, "notes": "[]", "recorded_at": written.replace(tzinfo=None)}
            for symbol, weight in {**dict.fromkeys(SYMBOLS, 0.0), **weights}.items()
        ],
        now=lambda: written,
    )  # fmt: skip
    snapshot_batches(layout, now=lambda: written)


def write_execution(home: Home, text: str) -> Path:
    """Write configs/execution.yml."""
    path = home.configs / "execution.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def bare_home(root: Path) -> Home:
    """Make a home of folders alone, without a copy of the SQL project."""
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "trademl.yml").write_text("", encoding="utf-8")
    return Home(root)


def change_warehouse(home: Home, *statements: str) -> None:
    """Change the warehouse and publish it, as a correction of the data would."""
    with duckdb.connect(str(home.warehouse)) as con:
        for statement in statements:
            con.execute(statement)
        con.execute("update meta.builds set build_id = build_id || 'x'")
    take_snapshot(layout_of(home), now=lambda: at(FIRST, 0))
