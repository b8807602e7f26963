"""Rank traders by how unlikely it is that they were lucky: ``trademl traders rank``.

The day is the unit: profit per calendar day from a trader's first to its last day seen, 0 on days without a trade, as
if on a constant capital, which cancels. Every trader known by the date is one of the N among whom the best is picked,
whether it still trades or not; only rows known by the end of the date count. The mathematics is in
:mod:`trademl.validation.skill`, :mod:`trademl.validation.rank_interval` and :mod:`trademl.validation.conduct`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.config.reading import Section
from trademl.errors import ConfigError, DataGateError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.sleeves.traders.flags import Conduct, read_conduct
from trademl.validation.rank_interval import RankIntervals, rank_intervals, ranking
from trademl.validation.skill import Luck, Records, luck_among, records_of, skill_scores
from trademl.warehouse.read import read_snapshot

TABLE = "ops.trader_skill"
DAYS = "silver.trader_days"

RANKED, SHORT, GONE = "ranked", "short", "gone"
"""Of a trader: it has a place; its record is too short, or never varied; nothing was seen of it for long."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SkillSettings(Section):
    """How to rank.

    ``observed`` raises N where the warehouse holds a selection of those who were ever looked at; ``gone_after_days`` is
    the number of days without a trace after which a trader counts as vanished.
    """

    min_days: int = Field(default=30, ge=5, le=10_000)
    min_active_days: int = Field(default=10, ge=2, le=10_000)
    gone_after_days: int = Field(default=90, ge=1, le=10_000)
    observed: int | None = Field(default=None, ge=1)
    resamples: int = Field(default=1000, ge=1, le=100_000)
    block_days: float | None = Field(default=None, ge=1)
    confidence: float = Field(default=0.9, gt=0, lt=1)
    seed: int = Field(default=7, ge=0)


@dataclass(frozen=True, eq=False)
class Panel:
    """Daily profits of every trader known by a date.

    Attributes:
        addresses: sorted.
        start: the date of the first row.
        pnl: USD, shape (days, traders), 0 without a row.
        first, last: places of each trader's first and last day.
        active: days with a row. trades: sum of their ``n_trades``.
    """

    addresses: tuple[str, ...]
    start: date
    pnl: FloatArray
    first: IntArray
    last: IntArray
    active: IntArray
    trades: IntArray


@dataclass(frozen=True, eq=False)
class SkillRanking:
    """A ranking; arrays are in the order of ``panel.addresses``, ``rank`` is 0 where ``status`` is not ranked."""

    as_of: date
    panel: Panel
    records: Records
    luck: Luck
    conduct: Conduct
    status: tuple[str, ...]
    rank: IntArray
    interval: RankIntervals
    settings: SkillSettings

    @property
    def n_ranked(self) -> int:
        return int((self.rank > 0).sum())


def rank_traders(
    home: Home, as_of: date, settings: SkillSettings | None = None, *, now: Clock = utc_now
) -> list[dict[str, Any]]:
    """Rank the traders known by ``as_of`` and write the ranking to ``ops.trader_skill``; return its rows, best first.

    Ranking a date twice changes nothing. Rows of traders without a rank follow by status and address.

    Raises:
        ConfigError: ``as_of`` is in the future.
        DataGateError: no day of any trader was known by then.
        SnapshotError: no build has finished yet.
    """
    today = now().date()
    if as_of > today:
        raise ConfigError(f"--as-of {as_of} is in the future: today is {today}", remedy="give a date up to today")
    layout = layout_of(home)
    with read_snapshot(home, now=now) as snapshot:
        found = rank_from(snapshot.con, as_of, settings or SkillSettings())
    rows = skill_rows(found, sql_utc(now()))
    write_rows(layout, TABLE, rows, now=now)
    snapshot_batches(layout, now=now)
    return rows


def rank_from(con: duckdb.DuckDBPyConnection, as_of: date, settings: SkillSettings) -> SkillRanking:
    """Rank the traders of ``silver.trader_days`` and ``silver.trader_trades`` as ``con`` shows them; write nothing.

    Raises:
        DataGateError: no day of any trader was known by the end of ``as_of``.
    """
    panel = read_panel(con, as_of)
    conduct = read_conduct(con, as_of, panel.addresses, _end_of(as_of))
    records = records_of(panel.pnl, panel.first, panel.last)
    observed = max(len(panel.addresses), settings.observed or 0)
    luck = luck_among(records, n_observed=observed, min_days=settings.min_days)
    status = _status(panel, records, as_of, settings)
    chosen = np.flatnonzero(np.array([one == RANKED for one in status]))
    flagged = conduct.flagged.astype(np.int64)[chosen]
    rank = np.zeros(len(status), dtype=np.int64)
    rank[chosen] = ranking(skill_scores(records)[chosen], flagged)
    interval = rank_intervals(
        panel.pnl[:, chosen],
        panel.first[chosen],
        panel.last[chosen],
        groups=flagged,
        n_resamples=settings.resamples,
        block=settings.block_days,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    return SkillRanking(as_of, panel, records, luck, conduct, status, rank, interval, settings)


def read_panel(con: duckdb.DuckDBPyConnection, as_of: date) -> Panel:
    """Read the daily profits known by the end of ``as_of`` (UTC).

    Raises:
        DataGateError: there are none.
    """
    known = "date <= ? and known_at <= ? and daily_pnl is not null"
    rows = con.execute(
        f"select address, date, daily_pnl, coalesce(n_trades, 0) as n_trades from {DAYS} where {known} "
        "order by address, date",
        [as_of, _end_of(as_of)],
    ).fetchnumpy()
    if not len(rows["date"]):
        number, first, known_at = con.execute(f"select count(*), min(date), min(known_at) from {DAYS}").fetchall()[0]
        told = f"its {number} rows begin on {first} and the first was known at {known_at}" if number else "it is empty"
        raise DataGateError(
            f"{DAYS} has no day that was known by the end of {as_of}: {told}",
            remedy="give a later --as-of"
            if number
            else "land `trademl ingest trader-days` or `trader-fills`, and build",
        )
    day = np.asarray(rows["date"]).astype("datetime64[D]")
    addresses, trader = np.unique(np.asarray(rows["address"], dtype=str), return_inverse=True)
    place = (day - day.min()).astype(np.int64)
    pnl = np.zeros((int(place.max()) + 1, len(addresses)))
    # One row per address and date; two of a broken table must not overwrite each other.
    np.add.at(pnl, (place, trader), np.asarray(rows["daily_pnl"], dtype=np.float64))
    first = np.full(len(addresses), len(pnl), dtype=np.int64)
    last = np.full(len(addresses), -1, dtype=np.int64)
    np.minimum.at(first, trader, place)
    np.maximum.at(last, trader, place)
    active = np.bincount(trader, minlength=len(addresses)).astype(np.int64)
    trades = np.bincount(trader, weights=np.asarray(rows["n_trades"], dtype=np.float64), minlength=len(addresses))
    return Panel(tuple(addresses.tolist()), day.min().item(), pnl, first, last, active, trades.astype(np.int64))


def skill_rows(found: SkillRanking, recorded_at: datetime) -> list[dict[str, Any]]:
    """Return a ranking as rows of ``ops.trader_skill``, best first."""
    panel, luck, conduct, records = found.panel, found.luck, found.conduct, found.records
    low, high = np.zeros_like(found.rank), np.zeros_like(found.rank)
    low[found.rank > 0], high[found.rank > 0] = found.interval.low, found.interval.high
    settings = json.dumps({**found.settings.model_dump(), "block_days": round(found.interval.block, 6)}, sort_keys=True)
    columns: dict[str, Sequence[Any]] = {
        "address": panel.addresses,
        "status": found.status,
        "evidence": conduct.evidence,
        "skill_rank": _places(found.rank),
        "rank_low": _places(low),
        "rank_high": _places(high),
        "n_days": (panel.last - panel.first + 1).tolist(),
        "n_active_days": panel.active.tolist(),
        "n_trades": panel.trades.tolist(),
        "net_pnl": _numbers(panel.pnl.sum(axis=0)),
        "sharpe": _numbers(records.sharpe),
        "skew": _numbers(records.skew),
        "kurtosis": _numbers(records.kurtosis),
        "psr": _numbers(luck.psr),
        "dsr": _numbers(luck.dsr),
        "sharpe_threshold": _numbers(luck.threshold),
        "deflated_skill": _numbers(luck.deflated_skill),
        "min_track_record": _numbers(luck.min_track_record),
        "best_day_share": _numbers(conduct.best_day_share),
        "best_trade_share": _numbers(conduct.best_trade_share),
        "size_after_loss": _numbers(conduct.size_after_loss),
        "flat_share": _numbers(conduct.flat_share),
        "is_martingale": conduct.is_martingale.tolist(),
        "is_single_trade": conduct.is_single_trade.tolist(),
        "is_wash": conduct.is_wash.tolist(),
        "first_date": [panel.start + timedelta(days=place) for place in panel.first.tolist()],
        "last_date": [panel.start + timedelta(days=place) for place in panel.last.tolist()],
    }
    shared = {
        "as_of": found.as_of,
        "n_ranked": found.n_ranked,
        "n_observed": luck.n_observed,
        "settings": settings,
        "recorded_at": recorded_at,
    }
    rows = [{**shared, **dict(zip(columns, row, strict=True))} for row in zip(*columns.values(), strict=True)]
    return sorted(rows, key=lambda row: (row["skill_rank"] is None, row["skill_rank"], row["status"], row["address"]))


def _status(panel: Panel, records: Records, as_of: date, settings: SkillSettings) -> tuple[str, ...]:
    today = (as_of - panel.start).days
    status = []
    for last, days, active, sharpe in zip(
        panel.last.tolist(), records.n.tolist(), panel.active.tolist(), records.sharpe.tolist(), strict=True
    ):
        if today - last > settings.gone_after_days:
            status.append(GONE)
        elif days < settings.min_days or active < settings.min_active_days or sharpe != sharpe:
            status.append(SHORT)
        else:
            status.append(RANKED)
    return tuple(status)


def _end_of(as_of: date) -> datetime:
    """Return the first instant of the next day: what happened on ``as_of`` is known when the day is over."""
    return datetime.combine(as_of + timedelta(days=1), datetime.min.time())


def _numbers(values: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _places(ranks: IntArray) -> list[int | None]:
    return [rank or None for rank in ranks.tolist()]
