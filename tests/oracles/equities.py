"""Slow, plain versions of the daily equity features and labels, in loops over single bars.

Everything at (symbol, t) is computed from the bars as they were known at t's decision; a label from the bars as known
at its end.
"""

import math
from dataclasses import dataclass

LISTING_GAP = 10

# From MSCI's table of the structure of GICS, sectors by their names in the warehouse's columns.
GICS = {
    "energy": ("Energy",),
    "materials": ("Materials",),
    "industrials": ("Industrials",),
    "consumer_discretionary": ("Consumer Discretionary",),
    "consumer_staples": ("Consumer Staples",),
    "health_care": ("Health Care",),
    "financials": ("Financials",),
    "information_technology": ("Information Technology", "Technology"),
    "communication_services": ("Communication Services", "Telecommunication Services"),
    "utilities": ("Utilities",),
    "real_estate": ("Real Estate",),
}


@dataclass(frozen=True)
class Version:
    """One landed version of a bar; ``effective`` is the first session whose decision could use it."""

    symbol: str
    session: int
    effective: int
    order: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    dividend: float = 0.0
    split: float = 1.0


@dataclass(frozen=True)
class SectorVersion:
    """One landed version of a symbol's sector; ``effective`` is the first session whose decision could use it."""

    symbol: str
    effective: int
    sector: str


def sector_features(versions: list[SectorVersion], symbol: str, at: int) -> dict[str, float | None]:
    """One number per GICS sector: 1 for the one known at session ``at``, 0 for others, None where none is known."""
    known = ""
    for version in versions:
        if version.symbol == symbol and version.effective <= at:
            known = version.sector
    found = [slug for slug, names in GICS.items() if known in names]
    return {f"sector_is_{slug}": (float(slug in found) if found else None) for slug in GICS}


def known_bars(versions: list[Version], symbol: str, at: int) -> dict[int, Version]:
    """The latest version of each bar of ``symbol`` among those effective by session ``at``."""
    chosen: dict[int, Version] = {}
    for version in sorted(versions, key=lambda v: (v.effective, v.order)):
        if version.symbol == symbol and version.effective <= at and version.session <= at:
            chosen[version.session] = version
    return chosen


@dataclass
class Series:
    """A listing up to a session: one entry a session, absent ones carrying the price."""

    sessions: list[int]
    log_index: list[float]
    returns: list[float]
    gaps: list[float | None]
    present: list[bool]
    bars: list[Version | None]


def listing(bars: dict[int, Version], at: int) -> Series:
    """The listing that session ``at`` belongs to, as a dense series of sessions."""
    series = Series([], [], [], [], [], [])
    last: Version | None = None
    for session in range(min(bars), at + 1):
        bar = bars.get(session)
        if bar is None:
            if last is not None:
                _append(series, session, 0.0, None, None)
            continue
        if last is None or session - last.session > LISTING_GAP:
            series = Series([], [], [], [], [], [])
            _append(series, session, 0.0, None, bar)
        else:
            total = math.log((bar.close + bar.dividend) * bar.split / last.close)
            gap = math.log((bar.open + bar.dividend) * bar.split / last.close)
            _append(series, session, total, gap, bar)
        last = bar
    return series


def _append(series: Series, session: int, value: float, gap: float | None, bar: Version | None) -> None:
    series.sessions.append(session)
    series.log_index.append((series.log_index[-1] if series.log_index else 0.0) + value)
    series.returns.append(value)
    series.gaps.append(gap)
    series.present.append(bar is not None)
    series.bars.append(bar)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: list[float]) -> float:
    centre = _mean(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def raw_features(series: Series, market: dict[int, float]) -> dict[str, float | None]:
    """The raw features of the last session of ``series``; ``market`` is the universe's mean log return per session."""
    age = len(series.sessions)
    present_20 = sum(series.present[-20:])
    index, returns = series.log_index, series.returns

    def ready(n: int) -> bool:
        return age > n and present_20 >= min(16, (n * 4 + 4) // 5)

    features: dict[str, float | None] = {}
    for n in (5, 20, 60, 126):
        features[f"momentum_{n}d"] = math.exp(index[-1] - index[-1 - n]) - 1 if ready(n) else None
    for n in (20, 60):
        window = index[-n:]
        spread = _deviation(window) if ready(n - 1) else 0.0
        features[f"zscore_price_{n}d"] = (index[-1] - _mean(window)) / spread if spread else None
        features[f"realised_volatility_{n}d"] = _deviation(returns[-n:]) * math.sqrt(252) if ready(n) else None
    dollars = [bar.close * bar.volume for bar in series.bars[-20:] if bar is not None]
    features["adv_20d"] = _mean(dollars) / 1e6 if ready(19) else None
    features["size_log_adv_20d"] = math.log(_mean(dollars)) if ready(19) else None
    if ready(19):
        centre, spread = _mean(index[-20:]), _deviation(index[-20:])
        features["distance_upper_band_20d"] = index[-1] - (centre + 2 * spread)
        features["distance_lower_band_20d"] = index[-1] - (centre - 2 * spread)
    else:
        features["distance_upper_band_20d"] = features["distance_lower_band_20d"] = None
    gaps = [gap for gap in series.gaps[-20:] if gap is not None]
    features["gap_1d"] = series.gaps[-1]
    features["gap_mean_20d"] = _mean(gaps) if ready(20) and len(gaps) >= 16 else None
    features["gap_std_20d"] = _deviation(gaps) if ready(20) and len(gaps) >= 16 else None
    features["drawdown_126d"] = math.exp(index[-1] - max(index[-126:])) - 1 if ready(125) else None
    features["beta_60d"] = None
    sessions = series.sessions[-60:]
    if ready(60) and all(session in market for session in sessions):
        benchmark = [market[session] for session in sessions]
        own, other = _mean(returns[-60:]), _mean(benchmark)
        covariance = sum((r - own) * (m - other) for r, m in zip(returns[-60:], benchmark, strict=True))
        variance = sum((m - other) ** 2 for m in benchmark)
        features["beta_60d"] = covariance / variance if variance else None
    return features


def forward_return(bars: dict[int, Version], t: int, k: int, last_session: int) -> tuple[str, float | None, int | None]:
    """(outcome, simple return, end session) from t + 1's open to the close of t + k."""
    if t + 1 not in bars:
        return ("no_entry", None, t + 1) if t + 1 <= last_session else ("pending", None, None)
    growth = bars[t + 1].close / bars[t + 1].open
    last = bars[t + 1]
    session = t + 1
    while session < t + k or session not in bars:
        session += 1
        if session > last_session:
            return "pending", None, None
        if session in bars:
            bar = bars[session]
            growth *= (bar.close + bar.dividend) * bar.split / last.close
            last = bar
        elif session - last.session >= LISTING_GAP:
            return "delisted", growth - 1, session
    return "resolved", growth - 1, session


def triple_barrier(
    bars: dict[int, Version], t: int, sigma: float, last_session: int, *, up: float, down: float, h: int
) -> tuple[str, float | None, int | None]:
    """(outcome, simple return, end session); a bar that spans both barriers counts as the stop (AFML, ch. 3)."""
    if t + 1 not in bars:
        return ("no_entry", None, t + 1) if t + 1 <= last_session else ("pending", None, None)
    scale = 1.0 / bars[t + 1].open
    last: Version | None = None
    upper, lower = 1 + up * sigma, 1 - down * sigma
    for session in range(t + 1, min(t + h, last_session) + 1):
        bar = bars.get(session)
        if bar is None:
            continue
        if last is not None:
            scale *= (bar.close + bar.dividend) * bar.split / last.close * last.close / bar.close
        if bar.low * scale <= lower:
            return "stop", min(bar.open * scale, lower) - 1, session
        if bar.high * scale >= upper:
            return "take_profit", max(bar.open * scale, upper) - 1, session
        last = bar
    outcome, value, end = forward_return(bars, t, h, last_session)
    return ("timeout" if outcome == "resolved" else outcome), value, end
