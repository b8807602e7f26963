"""What the warehouse shows of how each trader made its record: the flags of :mod:`trademl.validation.conduct`.

A trader with enough closed trades known by the date is judged by them, any other by its days: there a size is the
value traded per fill, and a flat day is one of many fills that closed something and earned about nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.validation.conduct import (
    Bounds,
    FlatFlow,
    SizeResponse,
    best_share,
    flat_flow,
    is_flat_trip,
    is_martingale,
    is_wash,
    size_response,
)

TRADES = "silver.trader_trades"
DAYS = "silver.trader_days"

BY_TRADES, BY_DAYS = "trades", "days"
_MIN_TRADES = 20
_FLAT_FILLS = 20
_NOTHING = 1e-12

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Conduct:
    """One value per trader, in the order of the addresses asked for; NaN where there is nothing to say.

    Attributes:
        evidence: ``trades`` or ``days``.
        best_day_share, best_trade_share: share of the net profit from the best day, the best closed trade.
        size_after_loss: :attr:`trademl.validation.conduct.SizeResponse.growth`.
        flat_share: :attr:`trademl.validation.conduct.FlatFlow.share`.
        is_martingale, is_single_trade, is_wash: the flags.
    """

    evidence: tuple[str, ...]
    best_day_share: FloatArray
    best_trade_share: FloatArray
    size_after_loss: FloatArray
    flat_share: FloatArray
    is_martingale: BoolArray
    is_single_trade: BoolArray
    is_wash: BoolArray

    @property
    def flagged(self) -> BoolArray:
        """Which traders have any flag, shape (traders,)."""
        return self.is_martingale | self.is_single_trade | self.is_wash


def read_conduct(
    con: duckdb.DuckDBPyConnection,
    as_of: date,
    addresses: tuple[str, ...],
    known_by: datetime,
    bounds: Bounds | None = None,
) -> Conduct:
    """Measure the conduct of ``addresses`` (sorted) from the rows of ``as_of`` and before that were known by then.

    A trade counts when it was closed, and known, by ``known_by``.
    """
    limit = bounds or Bounds()
    n = len(addresses)
    days = _of(addresses, _days(con, as_of, known_by))
    trades = _of(addresses, _trades(con, known_by))
    by_trades = np.bincount(trades["trader"], minlength=n) >= _MIN_TRADES

    sizes = _response(_trade_sizes(trades, n), _day_sizes(days, n), by_trades)
    flat = _flow(_trade_flow(trades, n, limit), _day_flow(days, n, limit), by_trades)
    day_share = best_share(days["trader"], days["daily_pnl"], n)
    trade_share = best_share(trades["trader"], trades["net_pnl"], n)
    with np.errstate(invalid="ignore"):
        single = (day_share >= limit.best_share) | (by_trades & (trade_share >= limit.best_share))
    return Conduct(
        evidence=tuple(BY_TRADES if known else BY_DAYS for known in by_trades.tolist()),
        best_day_share=day_share,
        best_trade_share=trade_share,
        size_after_loss=sizes.growth,
        flat_share=flat.share,
        is_martingale=is_martingale(sizes, limit),
        is_single_trade=np.asarray(single),
        is_wash=is_wash(flat, limit),
    )


def _days(con: duckdb.DuckDBPyConnection, as_of: date, known_by: datetime) -> dict[str, Any]:
    return con.execute(
        f"select address, daily_pnl, n_trades, volume_usd, coalesce(fees, 0) as fees from {DAYS} "
        "where date <= ? and known_at <= ? and daily_pnl is not null order by address, date",
        [as_of, known_by],
    ).fetchnumpy()


def _trades(con: duckdb.DuckDBPyConnection, known_by: datetime) -> dict[str, Any]:
    # A trade that was opened while the one before it was open did not know its result.
    order = "opened_at, closed_at, coin, trade_number"
    return con.execute(
        "select address, entry_notional, exit_notional, hold_hours, pnl, net_pnl, "
        f"coalesce(opened_at >= lag(closed_at) over (partition by address order by {order}), false) as follows "
        f"from {TRADES} where closed_at < ? and known_at <= ? order by address, {order}",
        [known_by, known_by],
    ).fetchnumpy()


def _of(addresses: tuple[str, ...], rows: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of the traders asked for, NULL numbers as NaN, with ``trader``, the place in ``addresses``."""
    named = np.asarray(rows.pop("address"), dtype=str)
    listed = np.asarray(addresses, dtype=str)
    place = np.minimum(np.searchsorted(listed, named), len(listed) - 1)
    kept = listed[place] == named
    found = {
        name: (values if values.dtype == bool else np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))[kept]
        for name, values in ((name, np.ma.getdata(v) if v.dtype == bool else v) for name, v in rows.items())
    }
    return {"trader": place[kept].astype(np.int64), **found}


def _trade_sizes(trades: dict[str, Any], n: int) -> SizeResponse:
    return size_response(trades["trader"], trades["entry_notional"], trades["net_pnl"], trades["follows"], n)


def _day_sizes(days: dict[str, Any], n: int) -> SizeResponse:
    with np.errstate(divide="ignore", invalid="ignore"):
        size = days["volume_usd"] / days["n_trades"]
    return size_response(days["trader"], size, days["daily_pnl"], np.ones(len(size), dtype=bool), n)


def _trade_flow(trades: dict[str, Any], n: int, limit: Bounds) -> FlatFlow:
    value = np.nan_to_num(trades["entry_notional"]) + np.nan_to_num(trades["exit_notional"])
    flat = is_flat_trip(trades["pnl"], trades["entry_notional"], trades["hold_hours"], limit)
    return flat_flow(trades["trader"], value, flat, n)


def _day_flow(days: dict[str, Any], n: int, limit: Bounds) -> FlatFlow:
    value = np.nan_to_num(days["volume_usd"])
    with np.errstate(invalid="ignore"):
        gross = days["daily_pnl"] + days["fees"]
        # A day on which nothing was closed earned exactly nothing, whatever was opened.
        closed = (days["n_trades"] >= _FLAT_FILLS) & (np.abs(gross) > _NOTHING * value)
        # Half of the traded value was entered, the other half left.
        flat = closed & is_flat_trip(gross, value / 2, np.zeros(len(value)), limit)
    trips = np.where(flat, np.nan_to_num(days["n_trades"]) / 2, 0.0)
    number = np.bincount(days["trader"], weights=trips, minlength=n).astype(np.int64)
    return FlatFlow(flat_flow(days["trader"], value, flat, n).share, number)


def _response(trades: SizeResponse, days: SizeResponse, by_trades: BoolArray) -> SizeResponse:
    return SizeResponse(
        growth=np.where(by_trades, trades.growth, days.growth),
        t_stat=np.where(by_trades, trades.t_stat, days.t_stat),
        n_losses=np.where(by_trades, trades.n_losses, days.n_losses),
        n_gains=np.where(by_trades, trades.n_gains, days.n_gains),
    )


def _flow(trades: FlatFlow, days: FlatFlow, by_trades: BoolArray) -> FlatFlow:
    return FlatFlow(
        share=np.where(by_trades, trades.share, days.share), number=np.where(by_trades, trades.number, days.number)
    )
