"""Slow, plain versions of the risk features: loops over single bars and values, straight from the papers' formulas.

Everything at session t is computed from what was known at t's decision. Sessions are numbers; those of a listing come
as :class:`tests.oracles.equities.Series`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from tests.oracles.equities import Series

YEAR = 252
FACTORS = {"market": "MKT_RF", "size": "SMB", "value": "HML", "profitability": "RMW", "investment": "CMA"}

Features = dict[str, float | None]


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """The sample variance, n - 1."""
    centre = mean(values)
    return sum((value - centre) ** 2 for value in values) / (len(values) - 1)


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation, n - 1."""
    return math.sqrt(variance(values))


def regression(y: Sequence[float], x: Sequence[float]) -> tuple[float | None, float | None]:
    """(slope, residual variance with n - 2 degrees of freedom) of y on x and an intercept; None where x is constant."""
    own, other = mean(y), mean(x)
    spread = sum((value - other) ** 2 for value in x)
    if spread < 1e-30:
        return None, None
    slope = sum((a - own) * (b - other) for a, b in zip(y, x, strict=True)) / spread
    errors = [a - own - slope * (b - other) for a, b in zip(y, x, strict=True)]
    return slope, sum(error**2 for error in errors) / (len(y) - 2)


def four_fifths(n: int) -> int:
    """The fewest of n values that make a window."""
    return math.ceil(0.8 * n)


@dataclass(frozen=True)
class Range:
    """Logs of a bar over its open, and of the night before: u, d, c of Garman and Klass, o of Yang and Zhang."""

    night: float
    up: float
    down: float
    close: float


def ranges(series: Series) -> list[Range | None]:
    """One entry a session of the listing; None without a bar, or without a return from the close before."""
    found: list[Range | None] = []
    for bar, gap in zip(series.bars, series.gaps, strict=True):
        if bar is None or gap is None:
            found.append(None)
        else:
            logs = [math.log(price / bar.open) for price in (bar.high, bar.low, bar.close)]
            found.append(Range(gap, logs[0], logs[1], logs[2]))
    return found


def parkinson(window: Sequence[Range]) -> float:
    """Parkinson (1980): variance of a session from its range."""
    return sum((one.up - one.down) ** 2 for one in window) / (4 * math.log(2) * len(window))


def garman_klass(window: Sequence[Range]) -> float:
    """Garman and Klass (1980), the practical estimator: half the squared range less 0.386 times the squared move."""
    return mean([0.5 * (one.up - one.down) ** 2 - (2 * math.log(2) - 1) * one.close**2 for one in window])


def yang_zhang(window: Sequence[Range]) -> float:
    """Yang and Zhang (2000): night, day and range, weighted; alpha is 1.34."""
    n = len(window)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    rogers_satchell = mean([one.up * (one.up - one.close) + one.down * (one.down - one.close) for one in window])
    night, day = variance([one.night for one in window]), variance([one.close for one in window])
    return night + k * day + (1 - k) * rogers_satchell


def own_features(series: Series, market: Mapping[int, float], sector: Mapping[int, float]) -> Features:
    """The features of the last session of ``series``.

    Args:
        series: the listing as known at the decision.
        market: the universe's mean log return, by session.
        sector: the mean log return of the sector that the symbol had on the session, where it had one of two members.
    """
    age, present_20 = len(series.sessions), sum(series.present[-20:])
    returns, bars = series.returns, ranges(series)

    def ready(n: int) -> bool:
        return age > n and present_20 >= min(16, (n * 4 + 4) // 5)

    features: Features = {}
    for n in (5, 10, 120):
        features[f"realised_volatility_{n}d"] = math.sqrt(YEAR) * deviation(returns[-n:]) if ready(n) else None
    for name, estimator in (("parkinson", parkinson), ("garman_klass", garman_klass), ("yang_zhang", yang_zhang)):
        for n in (5, 10, 20, 60, 120):
            window = [one for one in bars[-n:] if one is not None]
            known = ready(n) and len(window) >= four_fifths(n)
            features[f"{name}_volatility_{n}d"] = math.sqrt(YEAR * estimator(window)) if known else None
    for short, long in ((5, 60), (20, 120)):
        value = deviation(returns[-short:]) / deviation(returns[-long:]) if ready(long) else None
        features[f"volatility_ratio_{short}d_{long}d"] = value
    features["volatility_of_volatility_60d"] = _volatility_of_volatility(bars, 60) if ready(64) else None
    for n in (20, 60):
        ratios = _illiquidity(series, n)
        features[f"amihud_illiquidity_{n}d"] = mean(ratios) if ready(n) and len(ratios) >= four_fifths(n) else None
    features |= _turnover(series, ready_119=ready(119), ready_59=ready(59))
    for n in (60, 120):
        sessions = series.sessions[-n:]
        slope = spread = None
        if ready(n) and all(session in market for session in sessions):
            slope, spread = regression(returns[-n:], [market[session] for session in sessions])
        if n == 120:
            features["beta_120d"] = slope
        features[f"idiosyncratic_volatility_{n}d"] = None if spread is None else math.sqrt(YEAR * spread)
        pairs = [(r, sector[at]) for r, at in zip(returns[-n:], sessions, strict=True) if at in sector]
        slope = spread = None
        if ready(n) and len(pairs) >= four_fifths(n):
            slope, spread = regression([r for r, _ in pairs], [s for _, s in pairs])
        features[f"sector_beta_{n}d"] = slope
        features[f"sector_idiosyncratic_volatility_{n}d"] = None if spread is None else math.sqrt(YEAR * spread)
    return features


def _volatility_of_volatility(bars: Sequence[Range | None], n: int) -> float | None:
    logs = []
    for end in range(len(bars) - n, len(bars)):
        window = [one for one in bars[max(0, end - 4) : end + 1] if one is not None]
        if len(window) >= 4 and parkinson(window) > 0:
            logs.append(math.log(math.sqrt(parkinson(window))))
    return deviation(logs) if len(logs) >= four_fifths(n) else None


def _illiquidity(series: Series, n: int) -> list[float]:
    """Amihud (2002): |return| per million dollars traded, of the sessions that have both."""
    return [
        abs(math.exp(r) - 1) / (bar.close * bar.volume / 1e6)
        for r, gap, bar in zip(series.returns[-n:], series.gaps[-n:], series.bars[-n:], strict=True)
        if bar is not None and gap is not None and bar.volume > 0
    ]


def _turnover(series: Series, *, ready_119: bool, ready_59: bool) -> Features:
    """Logs of volume in shares of the first day, less their means over 120 sessions; and their deviation over 60."""
    shares, logs = 1.0, []
    for bar in series.bars:
        shares *= bar.split if bar is not None else 1.0
        logs.append(math.log(bar.volume / shares) if bar is not None and bar.volume > 0 else None)
    found: Features = {}
    long = [value for value in logs[-120:] if value is not None]
    for n in (1, 5, 20):
        short = [value for value in logs[-n:] if value is not None]
        known = ready_119 and len(long) >= 96 and len(short) >= four_fifths(n)
        found[f"abnormal_turnover_{n}d_120d"] = mean(short) - mean(long) if known else None
    recent = [value for value in logs[-60:] if value is not None]
    found["turnover_volatility_60d"] = deviation(recent) if ready_59 and len(recent) >= 48 else None
    return found


def calendar_features(day: date, past: Sequence[date], planned: Sequence[date]) -> Features:
    """The calendar features of session ``day``.

    Args:
        day: the session.
        past: the sessions up to and with it, in order.
        planned: the sessions after it as the exchange had planned them at its decision, in order.
    """
    month = [one for one in past if (one.year, one.month) == (day.year, day.month)]
    left = [one for one in planned if (one.year, one.month) == (day.year, day.month)]
    quarter = [one for one in planned if (one.year, (one.month - 1) // 3) == (day.year, (day.month - 1) // 3)]
    expiry = third_friday(day.year, day.month)
    if expiry < day:
        expiry = third_friday(day.year + day.month // 12, day.month % 12 + 1)
    angle = 2 * math.pi * (day.month - 1) / 12
    return {
        "month_sin": math.sin(angle),
        "month_cos": math.cos(angle),
        "session_of_month": float(len(month)),
        "sessions_to_month_end": float(len(left)),
        "is_turn_of_month": float(not left or len(month) <= 3),
        "is_before_holiday": float(_weekday_between(day, planned[0])),
        "is_after_holiday": float(len(past) > 1 and _weekday_between(past[-2], day)),
        "sessions_to_expiry": float(sum(one <= expiry for one in planned)),
        "sessions_to_quarter_end": float(len(quarter)),
    }


def third_friday(year: int, month: int) -> date:
    """The third Friday of a month."""
    fridays = [day for day in (date(year, month, number) for number in range(15, 22)) if day.isoweekday() == 5]
    return fridays[0]


def _weekday_between(first: date, second: date) -> bool:
    days = [first + timedelta(days=number) for number in range(1, (second - first).days)]
    return any(day.isoweekday() <= 5 for day in days)


@dataclass(frozen=True)
class Value:
    """One landed version of a series' value; ``effective`` is the first session whose decision could use it."""

    series: str
    session: int
    effective: int
    order: int
    value: float


def known_values(versions: Sequence[Value], series: str, at: int) -> dict[int, float]:
    """The latest version of each value of ``series`` among those effective by session ``at``."""
    chosen: dict[int, float] = {}
    for version in sorted(versions, key=lambda v: (v.effective, v.order)):
        if version.series == series and version.effective <= at and version.session <= at:
            chosen[version.session] = version.value
    return chosen


def vix_known(versions: Sequence[Value], at: int) -> float | None:
    """The newest value of VIX that was known at session ``at``, None where it was more than four sessions old."""
    known = known_values(versions, "VIX", at)
    return known[max(known)] if known and max(known) >= at - 4 else None


def vix_features(levels: Sequence[float | None]) -> Features:
    """The features of the last of ``levels``: what was known at 252 sessions, each at its own decision."""
    now, before, week = levels[-1], levels[-2], levels[-6]
    logs = [math.log(value) for value in levels if value is not None]
    place, third = _place([value for value in levels if value is not None], now)
    score = None
    if now is not None and len(logs) >= 232 and deviation(logs) > 0:
        score = (math.log(now) - mean(logs)) / deviation(logs)
    return {
        "vix_level": now,
        "vix_change_1d": math.log(now / before) if now and before else None,
        "vix_change_5d": math.log(now / week) if now and week else None,
        "vix_zscore_252d": score,
        "vix_percentile_252d": place,
        "vix_regime_252d": third,
    }


def factor_window(versions: Sequence[Value], series: str, at: int) -> list[float]:
    """Log returns of the 60 sessions up to the newest value known at ``at``; empty where it is over 69 sessions old."""
    known = known_values(versions, series, at)
    if not known or max(known) < at - 69:
        return []
    newest = max(known)
    return [math.log(1 + known[session] / 100) for session in range(newest - 59, newest + 1) if session in known]


def factor_features(factor: str, windows: Sequence[Sequence[float]]) -> Features:
    """The features of a factor from its :func:`factor_window` at each of the last 252 sessions."""
    totals = [math.fsum(window) for window in windows if len(window) >= 48]
    now = math.fsum(windows[-1]) if len(windows[-1]) >= 48 else None
    spread = math.sqrt(YEAR) * deviation(windows[-1]) if now is not None else None
    return {
        f"factor_{factor}_return_60d": None if now is None else math.exp(now) - 1,
        f"factor_{factor}_volatility_60d": spread,
        f"factor_{factor}_regime_252d": _place(totals, now)[1],
    }


def _place(values: Sequence[float], now: float | None) -> tuple[float | None, float | None]:
    """(share of ``values`` at most ``now``, the third it falls in: 0, 1 or 2); None with fewer than 232 of them."""
    if now is None or len(values) < 232:
        return None, None
    below = sum(value <= now for value in values)
    third = 0.0 if 3 * below <= len(values) else (1.0 if 3 * below <= 2 * len(values) else 2.0)
    return below / len(values), third
