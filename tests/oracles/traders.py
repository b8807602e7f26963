"""Slow references for the traders sleeve, written from the seed's text and the changes that the sleeve makes to it.

Changes: infinite values are capped at the 95th percentile of all dates so far, not of all dates; a missing value
becomes 0 and is never capped; the target's limits are of all dates so far too; the aggregates end at a decision date.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from math import inf, isfinite, nan

import numpy as np

FEATURE_COLUMNS = [
    "roi_7d",
    "roi_30d",
    "roi_90d",
    "pnl_7d",
    "pnl_30d",
    "pnl_90d",
    "win_rate",
    "profit_factor",
    "pseudo_sharpe",
    "max_drawdown",
    "trade_count",
    "avg_trade_pnl",
    "pnl_volatility",
    "avg_hold_hours",
    "long_ratio",
    "coin_concentration",
    "consistency",
    "recency_decay",
]
EXTRA_RAW_FEATURES = [
    "roi_momentum_7_30",
    "roi_momentum_30_90",
    "pnl_momentum_7_30",
    "wr_x_pf",
    "sharpe_x_wr",
    "roi7_x_rec",
]
Key = tuple[str, date]
Snapshots = Mapping[Key, Mapping[str, float | None]]


def per_sample_columns() -> list[str]:
    """The 48 columns of a window, in the seed's order."""
    return [f"{name}_{twin}" for name in (*FEATURE_COLUMNS, *EXTRA_RAW_FEATURES) for twin in ("dm", "rank")]


def aggregated_columns() -> list[str]:
    """The 97 columns of a trader, in the seed's order."""
    return [f"{name}_{part}" for name in per_sample_columns() for part in ("mean", "trend")] + ["n_windows"]


def expanding_quantiles(values: Mapping[Key, float | None], probability: float) -> dict[date, float]:
    """The quantile of the finite values of all dates up to and including each date; NaN where there are none."""
    days = sorted({day for _, day in values})
    out = {}
    for day in days:
        seen = [value for (_, at), value in values.items() if at <= day and value is not None and isfinite(value)]
        out[day] = float(np.quantile(seen, probability)) if seen else nan
    return out


def caps(snapshots: Snapshots, feature: str = "profit_factor") -> dict[date, float]:
    """What stands in for what is not finite, by date."""
    found = expanding_quantiles({key: row[feature] for key, row in snapshots.items()}, 0.95)
    return {day: 10.0 if not isfinite(value) else max(value, 10.0) for day, value in found.items()}


def filled(snapshots: Snapshots) -> dict[Key, dict[str, float]]:
    """The 18 features capped and filled, and the six that are made of them."""
    limits = {name: caps(snapshots, name) for name in FEATURE_COLUMNS}
    out = {}
    for (address, day), row in snapshots.items():
        got: dict[str, float] = {}
        for name in FEATURE_COLUMNS:
            value = row[name]
            got[name] = 0.0 if value is None else value if isfinite(value) else limits[name][day]
        got["roi_momentum_7_30"] = got["roi_7d"] - got["roi_30d"]
        got["roi_momentum_30_90"] = got["roi_30d"] - got["roi_90d"]
        got["pnl_momentum_7_30"] = got["pnl_7d"] - got["pnl_30d"]
        got["wr_x_pf"] = got["win_rate"] * float(np.clip(got["profit_factor"], 0, 50))
        got["sharpe_x_wr"] = got["pseudo_sharpe"] * got["win_rate"]
        got["roi7_x_rec"] = got["roi_7d"] * got["recency_decay"]
        out[address, day] = got
    return out


def windows(snapshots: Snapshots) -> dict[Key, dict[str, float]]:
    """The 48 columns of each snapshot."""
    rows = filled(snapshots)
    out: dict[Key, dict[str, float]] = {key: {} for key in rows}
    for day in sorted({day for _, day in rows}):
        members = [key for key in rows if key[1] == day]
        for name in (*FEATURE_COLUMNS, *EXTRA_RAW_FEATURES):
            values = [rows[key][name] for key in members]
            mean = sum(values) / len(values)
            spread = max(values) > min(values)
            deviation = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5 if spread else 0.0
            for key, value in zip(members, values, strict=True):
                below, equal = sum(v < value for v in values), sum(v == value for v in values)
                out[key][f"{name}_dm"] = (value - mean) / deviation if deviation > 0 else 0.0
                out[key][f"{name}_rank"] = (below + (1 + equal) / 2) / len(values)
    return out


def aggregates(
    windows_of: Mapping[Key, Mapping[str, float]], as_of: date, lookback: int = 90, min_windows: int = 16
) -> dict[str, dict[str, float]]:
    """The 97 columns of each trader with enough windows in the lookback, one of them on ``as_of``."""
    first = as_of - timedelta(days=lookback)
    groups: dict[str, list[tuple[date, Mapping[str, float]]]] = defaultdict(list)
    for (address, day), row in windows_of.items():
        if first <= day <= as_of:
            groups[address].append((day, row))
    out = {}
    for address, group in groups.items():
        group.sort(key=lambda item: item[0])
        n = len(group)
        if n < min_windows or group[-1][0] != as_of:
            continue
        k = max(1, n // 3)
        got = {}
        for name in per_sample_columns():
            values = [row[name] for _, row in group]
            got[f"{name}_mean"] = sum(values) / n
            got[f"{name}_trend"] = sum(values[-k:]) / k - sum(values[:k]) / k
        got["n_windows"] = float(n)
        out[address] = got
    return out


def targets(pnl: Mapping[Key, float | None]) -> dict[Key, float]:
    """Forward PnL within the 5 % and 95 % quantiles of all dates so far, less the date's mean."""
    low, high = expanding_quantiles(pnl, 0.05), expanding_quantiles(pnl, 0.95)
    clipped = {
        (address, day): min(max(value, low[day]), high[day])
        for (address, day), value in pnl.items()
        if value is not None
    }
    out = {}
    for (address, day), value in clipped.items():
        members = [other for (_, at), other in clipped.items() if at == day]
        out[address, day] = value - sum(members) / len(members)
    return out


def snapshots_of(days: Sequence[Mapping[str, float | None]], at: int, floor: float = 1000.0) -> dict[str, float | None]:
    """The 18 features on the day number ``at``, from days with fills (ascending ``day``) of one unbroken record.

    A day has: day, pnl, n_trades, n_wins, n_long, volume, and, where they are known, concentration, hours, n_closed.
    """
    by_day = {int(row["day"] or 0): row for row in days if int(row["day"] or 0) <= at}
    begin, last = min(by_day), max(by_day)

    def pnl(day: int) -> float:
        row = by_day.get(day)
        return 0.0 if row is None else float(row["pnl"] or 0.0)

    def over(n: int) -> list[int]:
        return list(range(max(begin, at - n + 1), at + 1))

    active = [by_day[day] for day in over(90) if day in by_day]

    def total(name: str) -> float:
        return sum(float(row[name] or 0.0) for row in active if row.get(name) is not None)

    series = [pnl(day) for day in over(90)]
    sums = {n: sum(pnl(day) for day in over(n)) for n in (7, 30, 90)}
    with_volume = [row for row in active if row.get("volume") is not None]
    capital = max(total("volume") / len(with_volume) if with_volume else 0.0, floor)
    gains, losses = sum(max(v, 0) for v in series), sum(max(-v, 0) for v in series)
    mean = sums[90] / len(series)
    deviation = (sum((v - mean) ** 2 for v in series) / (len(series) - 1)) ** 0.5 if len(series) > 1 else None
    equity = {begin - 1: 0.0}
    for day in range(begin, at + 1):
        equity[day] = equity[day - 1] + pnl(day)
    falls = [max(equity[peak] for peak in range(max(begin - 1, day - 90), day + 1)) - equity[day] for day in over(90)]
    placed = [row for row in active if row.get("concentration") is not None]
    placed_volume = sum(float(row["volume"] or 0) for row in placed)
    profit = inf if gains > 0 and (losses < 0.01 or gains > 1e6 * losses) else gains / losses if losses else None
    n_trades = total("n_trades")
    closed = total("n_closed")
    return {
        **{f"roi_{n}d": sums[n] / capital for n in (7, 30, 90)},
        **{f"pnl_{n}d": sums[n] for n in (7, 30, 90)},
        "win_rate": total("n_wins") / n_trades if n_trades else None,
        "profit_factor": profit,
        "pseudo_sharpe": max(-1000.0, min(1000.0, 365**0.5 * mean / deviation)) if deviation else None,
        "max_drawdown": max(falls) / capital,
        "trade_count": n_trades,
        "avg_trade_pnl": sums[90] / n_trades if n_trades else None,
        "pnl_volatility": deviation,
        "avg_hold_hours": total("hours") / closed if closed else None,
        "long_ratio": total("n_long") / n_trades if n_trades else None,
        "coin_concentration": (
            sum(float(row["concentration"] or 0) * float(row["volume"] or 0) for row in placed) / placed_volume
            if placed_volume
            else None
        ),
        "consistency": sum(float(row["pnl"] or 0) > 0 for row in active) / len(active) if active else None,
        "recency_decay": float(np.exp(-(at - last) / 30)),
    }
