"""Alpha158 and Alpha360 as published with Microsoft's Qlib, one window at a time and without any running sum.

Every cell is computed from the rows of its own window alone: sums are of the window's values, second moments of their
deviations from the window's mean. What is copied from pyqlib 0.9.7 is its arithmetic: bars are float32, operations
between bars are float32 (``element``), everything over a window is float64, windows at the start of a history are
partial.

Prices of a window are expressed in the shares and dividends of its last row; ``vwap`` is (high + low + close) / 3.

Source: qlib/contrib/data/loader.py (Alpha158DL, Alpha360DL), qlib/data/ops.py and qlib/data/_libs/rolling.pyx, 0.9.7.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

WINDOWS = (5, 10, 20, 30, 60)
LAGS = 60
TINY = 1e-12
FLAT = 2e-5


@dataclass(frozen=True)
class Bars:
    """One symbol, a row for each session from its first bar on; prices and volume are NaN where a session has no bar.

    ``split`` is new shares per old share, ``dividend`` cash per new share; both 1 and 0 where nothing happened.
    """

    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    split: Array | None = None
    dividend: Array | None = None


def alpha158(
    bars: Bars,
    element: Any = np.float32,
    log: Callable[[Array], Array] = np.log,
    *,
    absent_is_extreme: bool = True,
) -> dict[str, Array]:
    """Return the 158 features by pyqlib's names and in its order, one value a session; NaN where pyqlib has none.

    ``element`` is the type of operations between bars: float32 as in pyqlib, float64 for the definitions as written.
    ``log`` is the logarithm of such values: NumPy's float32 logarithm is not the nearest float32.
    ``absent_is_extreme``: in pyqlib the first session without a bar is where the window's highest high and lowest low
    are; False passes over it.
    """
    with np.errstate(all="ignore"):
        found = _alpha158(_Windows(bars, element), log, absent_is_extreme)
        return {name: np.asarray(values, np.float64) for name, values in found.items()}


def alpha360(bars: Bars, element: Any = np.float32) -> dict[str, Array]:
    """Return the 360 features by pyqlib's names: six fields, 60 sessions, in units of the last close and volume."""
    with np.errstate(all="ignore"):
        at = _Windows(bars, element)
        units = dict.fromkeys(("close", "open", "high", "low", "vwap"), at.close[:, -1])
        units["volume"] = at.volume[:, -1] + at.element(TINY)
        return {
            f"{field.upper()}{k}": np.asarray(getattr(at, field)[:, -1 - k] / unit, np.float64)
            for field, unit in units.items()
            for k in range(LAGS - 1, -1, -1)
        }


class _Windows:
    """For every session the last 61 of each field, oldest first, in the session's own shares; NaN before the first."""

    def __init__(self, bars: Bars, element: Any) -> None:
        self.element = element
        length = len(bars.close)
        actions = np.zeros(length)
        shares = np.zeros(length)
        if bars.split is not None and bars.dividend is not None:
            close = np.where(np.isnan(bars.close), 1.0, bars.close)
            actions = np.cumsum(np.log(bars.split * (1 + bars.dividend / close)))
            shares = np.cumsum(np.log(bars.split))
        price = np.exp(_lagged(actions) - actions[:, None])
        share = np.exp(shares[:, None] - _lagged(shares))
        self.exists = ~np.isnan(_lagged(np.zeros(length)))
        self.open, self.high, self.low, self.close = (
            (_lagged(np.asarray(field, np.float64)) * price).astype(element)
            for field in (bars.open, bars.high, bars.low, bars.close)
        )
        self.volume = (_lagged(np.asarray(bars.volume, np.float64)) * share).astype(element)
        high, low, close = (field.astype(np.float64) for field in (self.high, self.low, self.close))
        self.vwap = ((high + low + close) / 3).astype(element)


def _lagged(values: Array, n: int = LAGS + 1) -> Array:
    padded = np.concatenate([np.full(n - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, n)


def _alpha158(at: _Windows, log: Callable[[Array], Array], absent_is_extreme: bool) -> dict[str, Array]:
    e = at.element
    o, h, low, c, v = (field[:, -1] for field in (at.open, at.high, at.low, at.close, at.volume))
    span = h - low + e(TINY)
    found: dict[str, Array] = {
        "KMID": (c - o) / o,
        "KLEN": (h - low) / o,
        "KMID2": (c - o) / span,
        "KUP": (h - np.maximum(o, c)) / o,
        "KUP2": (h - np.maximum(o, c)) / span,
        "KLOW": (np.minimum(o, c) - low) / o,
        "KLOW2": (np.minimum(o, c) - low) / span,
        "KSFT": (e(2) * c - h - low) / o,
        "KSFT2": (e(2) * c - h - low) / span,
        "OPEN0": o / c,
        "HIGH0": h / c,
        "LOW0": low / c,
        "VWAP0": at.vwap[:, -1] / c,
    }
    previous, before = at.close[:, :-1], at.volume[:, :-1]
    close, volume = at.close[:, 1:], at.volume[:, 1:]
    change, volume_change = close - previous, volume - before
    swing = np.abs(close / previous - e(1)) * volume
    series = {
        "close": close,
        "volume": volume,
        "high": at.high[:, 1:],
        "low": at.low[:, 1:],
        "log_volume": log(volume + e(1)),
        "growth": close / previous,
        "log_growth": log(volume / before + e(1)),
        "up": np.where(at.exists[:, 1:], (close > previous).astype(e), np.nan),
        "down": np.where(at.exists[:, 1:], (close < previous).astype(e), np.nan),
        "gain": np.maximum(change, e(0)),
        "loss": np.maximum(-change, e(0)),
        "move": np.abs(change),
        "volume_gain": np.maximum(volume_change, e(0)),
        "volume_loss": np.maximum(-volume_change, e(0)),
        "volume_move": np.abs(volume_change),
        "swing": swing,
    }
    # pandas takes infinite values for missing ones.
    series = {name: np.where(np.isinf(w), np.nan, w.astype(np.float64)) for name, w in series.items()}
    unit, units = c.astype(np.float64), (v + e(TINY)).astype(np.float64)
    by_window: dict[int, dict[str, Array]] = {}
    for n in WINDOWS:
        w = {name: values[:, -n:] for name, values in series.items()}
        exists = at.exists[:, -n:]
        slope, rsquare, residual = _line(w["close"])
        highest, lowest = _max(w["high"]), _min(w["low"])
        argmax = _position(w["high"], exists, np.argmax, absent_is_extreme)
        argmin = _position(w["low"], exists, np.argmin, absent_is_extreme)
        flat = _std(w["close"]) <= FLAT
        moved, volume_moved = _sum(w["move"]) + TINY, _sum(w["volume_move"]) + TINY
        by_window[n] = {
            "ROC": at.close[:, -1 - n] / c,
            "MA": _mean(w["close"]) / unit,
            "STD": _std(w["close"]) / unit,
            "BETA": slope / unit,
            "RSQR": np.where(flat, np.nan, rsquare),
            "RESI": residual / unit,
            "MAX": highest / unit,
            "MIN": lowest / unit,
            "QTLU": _quantile(w["close"], 0.8) / unit,
            "QTLD": _quantile(w["close"], 0.2) / unit,
            "RANK": _rank(w["close"]),
            "RSV": (unit - lowest) / (highest - lowest + TINY),
            "IMAX": argmax / n,
            "IMIN": argmin / n,
            "IMXD": (argmax - argmin) / n,
            "CORR": _corr(w["close"], w["log_volume"]),
            "CORD": _corr(w["growth"], w["log_growth"]),
            "CNTP": _mean(w["up"]),
            "CNTN": _mean(w["down"]),
            "CNTD": _mean(w["up"]) - _mean(w["down"]),
            "SUMP": _sum(w["gain"]) / moved,
            "SUMN": _sum(w["loss"]) / moved,
            "SUMD": (_sum(w["gain"]) - _sum(w["loss"])) / moved,
            "VMA": _mean(w["volume"]) / units,
            "VSTD": _std(w["volume"]) / units,
            "WVMA": _std(w["swing"]) / (_mean(w["swing"]) + TINY),
            "VSUMP": _sum(w["volume_gain"]) / volume_moved,
            "VSUMN": _sum(w["volume_loss"]) / volume_moved,
            "VSUMD": (_sum(w["volume_gain"]) - _sum(w["volume_loss"])) / volume_moved,
        }
    return found | {f"{name}{n}": by_window[n][name] for name in by_window[WINDOWS[0]] for n in WINDOWS}


def _count(w: Array) -> Array:
    return np.asarray(np.sum(~np.isnan(w), axis=1), np.float64)


def _sum(w: Array) -> Array:
    return np.where(_count(w) > 0, np.nansum(w, axis=1), np.nan)


def _mean(w: Array) -> Array:
    return _sum(w) / _count(w)


def _squares(w: Array) -> Array:
    return _sum((w - _mean(w)[:, None]) ** 2)


def _std(w: Array) -> Array:
    count = _count(w)
    return np.sqrt(_squares(w) / np.where(count > 1, count - 1, np.nan))


def _max(w: Array) -> Array:
    return np.where(_count(w) > 0, np.max(np.where(np.isnan(w), -np.inf, w), axis=1), np.nan)


def _min(w: Array) -> Array:
    return -_max(-w)


def _line(w: Array) -> tuple[Array, Array, Array]:
    """Least squares against 1..n: slope, squared correlation, and what the last value is above the line."""
    n = w.shape[1]
    x = np.where(np.isnan(w), np.nan, np.arange(1.0, n + 1))
    dx, dy = x - _mean(x)[:, None], w - _mean(w)[:, None]
    xx, yy, xy = _sum(dx * dx), _sum(dy * dy), _sum(dx * dy)
    slope = xy / xx
    return slope, xy**2 / (xx * yy), dy[:, -1] - slope * dx[:, -1]


def _quantile(w: Array, q: float) -> Array:
    """The value at rank q (count - 1) of the window's sorted values, on the line between its neighbours."""
    ordered = np.sort(w, axis=1)
    at = q * (_count(w) - 1)
    below = np.clip(np.floor(at), 0, None).astype(np.int64)
    above = np.clip(np.ceil(at), 0, None).astype(np.int64)
    rows = np.arange(len(w))
    low, high = ordered[rows, below], ordered[rows, above]
    return np.asarray(low + (high - low) * (at - below))


def _rank(w: Array) -> Array:
    """The mean rank of the last value among the window's, as a share of their number."""
    last = w[:, -1:]
    rank = np.sum(w < last, axis=1) + (np.sum(w == last, axis=1) + 1) / 2
    return np.where(np.isnan(last[:, 0]), np.nan, rank / _count(w))


def _position(w: Array, exists: Array, extreme: Callable[..., Array], absent_is_extreme: bool) -> Array:
    """Where the extreme is, the first of several, counted from 1 at the window's oldest session."""
    absent = exists & np.isnan(w) & absent_is_extreme
    worst = -np.inf if extreme is np.argmax else np.inf
    found = np.where(absent.any(axis=1), np.argmax(absent, axis=1), extreme(np.where(np.isnan(w), worst, w), axis=1))
    before = w.shape[1] - exists.sum(axis=1)
    return np.where(_count(w) > 0, found - before + 1.0, np.nan)


def _corr(x: Array, y: Array) -> Array:
    """Correlation over the sessions that have both; none where either hardly varies over those it has."""
    both = np.where(np.isnan(x) | np.isnan(y), np.nan, 1.0)
    dx, dy = x * both, y * both
    dx, dy = dx - _mean(dx)[:, None], dy - _mean(dy)[:, None]
    found = _sum(dx * dy) / np.sqrt(_sum(dx * dx) * _sum(dy * dy))
    return np.where((_std(x) <= FLAT) | (_std(y) <= FLAT), np.nan, found)
