"""An independent reading of the written bars: dense panels, log total returns, plain features and labels, in numpy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import sliding_window_view


@dataclass
class Panel:
    """Arrays (dates, symbols), NaN where there is no bar."""

    dates: np.ndarray
    symbols: np.ndarray
    fields: dict[str, np.ndarray]
    log_return: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        return self.fields[name]


def read_panel(folder: Path, *, corrected: bool = True) -> Panel:
    """Pivot bars.parquet, with the corrections laid over it."""
    table = pq.read_table(folder / "bars.parquet").to_pydict()
    days, symbols = np.array(table["date"], dtype="datetime64[D]"), np.array(table["symbol"])
    dates, row = np.unique(days, return_inverse=True)
    names, column = np.unique(symbols, return_inverse=True)
    fields = {}
    for name in ("open", "high", "low", "close", "volume", "dividend_amount", "split_coefficient"):
        fields[name] = np.full((len(dates), len(names)), np.nan)
        fields[name][row, column] = table[name]
    if corrected:
        for bar in pq.read_table(folder / "corrections.parquet").to_pylist():
            at = np.searchsorted(dates, np.datetime64(bar["date"])), np.searchsorted(names, bar["symbol"])
            for name, values in fields.items():
                values[at] = bar[name]
    log_return = np.full_like(fields["close"], np.nan)
    for symbol in range(len(names)):
        have = np.flatnonzero(np.isfinite(fields["close"][:, symbol]))
        close = fields["close"][have, symbol]
        total = close[1:] * fields["split_coefficient"][have[1:], symbol] + fields["dividend_amount"][have[1:], symbol]
        log_return[have[1:], symbol] = np.log(total / close[:-1])
    return Panel(dates, names, fields, log_return)


def rolling(values: np.ndarray, window: int, what: str) -> np.ndarray:
    """Apply sum, mean or std (n - 1) to the last ``window`` rows of each column; NaN where one is missing."""
    out = np.full(values.shape, np.nan)
    windows = sliding_window_view(values, window, axis=0)
    out[window - 1 :] = windows.std(-1, ddof=1) if what == "std" else getattr(windows, what)(-1)
    return out


def features(panel: Panel) -> dict[str, np.ndarray]:
    """Plain features of the past, after the product's formulas."""
    r = panel.log_return
    level = np.cumsum(np.nan_to_num(r), axis=0)
    level[np.isnan(panel["close"])] = np.nan
    dollars = np.log(panel["close"] * panel["volume"])
    previous = np.vstack([np.full((1, r.shape[1]), np.nan), panel["close"][:-1]])
    gap = np.log((panel["open"] * panel["split_coefficient"] + panel["dividend_amount"]) / previous)
    peak = sliding_window_view(level, 60, axis=0).max(-1)
    drawdown = np.full_like(level, np.nan)
    drawdown[59:] = level[59:] - peak
    return {
        **{f"momentum_{n}d": rolling(r, n, "sum") for n in (5, 20, 60)},
        **{f"realised_volatility_{n}d": rolling(r, n, "std") for n in (20, 60)},
        "zscore_price_20d": (level - rolling(level, 20, "mean")) / rolling(level, 20, "std"),
        "zscore_volume_20d": (dollars - rolling(dollars, 20, "mean")) / rolling(dollars, 20, "std"),
        "size_log_adv_20d": rolling(dollars, 20, "mean"),
        "gap_1d": gap,
        "drawdown_60d": drawdown,
        "price": panel["close"],
    }


def forward(panel: Panel, horizon: int) -> np.ndarray:
    """Log total return from the next open to the close ``horizon`` sessions later; NaN where a bar is missing."""
    out = np.full(panel.log_return.shape, np.nan)
    for row in range(len(out) - horizon):
        entry = np.log(panel["close"][row + 1] / panel["open"][row + 1])
        out[row] = entry + panel.log_return[row + 2 : row + horizon + 1].sum(axis=0)
    return out


def daily_rank_ic(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Spearman correlation of each row over the columns where both are finite, by loops; ties by order."""
    found = []
    for a, b in zip(left, right, strict=True):
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() >= 10:
            ranks = [np.argsort(np.argsort(x[both], kind="stable"), kind="stable") for x in (a, b)]
            found.append(np.corrcoef(*ranks)[0, 1])
    return np.array(found)
