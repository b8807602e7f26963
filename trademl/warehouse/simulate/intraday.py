"""Simulated bars of minutes whose behaviour at price levels is known: a fair game, with a planted tilt after a touch.

Each symbol knows its levels as docs/events.md defines them (pre-market, opening range and prior session, moving
averages of two-minute bars, round numbers). A bar that touches one opens a release of ten bars:

    start      the next bar opens at the level itself
    scale      sigma = 0.6 ATR * exp(strength * size / 2) * u, with the ATR of the 14 bars before the touch, u lognormal
    drift      0.3 ATR * strength * tilt a bar, away from where the price came from (a break) for a positive tilt

    tilt       clip(1 - 2 * share of the session gone + (approach - 0.25) / 0.5, -1, 1); approach in ATR a bar over 5
    size       clip((|level - prior close| / ATR - 12) / 8, -1, 1), 0 without a prior session

With ``strength`` 0 nothing is planted, and nothing can be learned: in a plain random walk it could, for a close beyond
the level has already gone a part of the way to a break (the gambler's ruin), and a low ATR makes thresholds in ATR easy
to reach. Here what follows a touch starts at the level, in units of the ATR that was seen, whatever came before.
"""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl.config.reading import Section
from trademl.rng import stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

KINDS = ("PMH", "PML", "ORH", "ORL", "PDH", "PDL", "PDC", "SMA_200", "SMA_400", "ROUND", "ROUND")
"""The level of each column of the matrix of levels; the nearest round numbers below and above are the last two."""

ATR_BARS, RELEASE_BARS, APPROACH_BARS = 14, 10, 5
BAND_ATR, REARM_ATR, CONFIRM_ATR = 0.1, 0.5, 0.5
PRE_MARKET_MINUTES, OPENING_RANGE_MINUTES = 60, 15
ROUND_STEPS = ((10.0, 0.5), (50.0, 1.0), (200.0, 5.0), (1000.0, 10.0), (np.inf, 50.0))
DRIFT_ATR, RELEASE_SIGMA_ATR = 0.3, 0.6
APPROACH_MIDDLE, APPROACH_SCALE = 0.25, 0.5
EXTENSION_MIDDLE, EXTENSION_SCALE = 12.0, 8.0

_PMH, _PML, _ORH, _ORL, _PDH, _PDL, _PDC, _SMA_200, _SMA_400, _BELOW, _ABOVE = range(len(KINDS))
_SIGMA = 0.0005
_GAP_SIGMAS = 12.0
_CALM, _WILD = 0.3, 0.5
_SMA_LONG = 400
_DECIMALS = 4


class IntradaySimulation(Section):
    """What to simulate; ``strength`` 0 plants nothing, 1 a tilt that a model finds easily."""

    symbols: int = Field(default=20, ge=1, le=5_000)
    sessions: int = Field(default=40, ge=2, le=2_000)
    start: date = date(2025, 1, 2)
    bar_minutes: int = 1
    seed: int = Field(default=7, ge=0)
    strength: float = Field(default=1.0, ge=0.0, le=2.0)
    calendar: str = "XNYS"

    @model_validator(mode="after")
    def _known_bars(self) -> "IntradaySimulation":
        if self.bar_minutes not in (1, 5):
            raise ValueError(f"bar_minutes is {self.bar_minutes}, must be 1 or 5")
        return self


@dataclass(frozen=True, eq=False)
class Touches:
    """Touches that opened a release, each array of shape (touches,), in order of time and symbol.

    ``bar`` counts regular bars of the session from 0; ``side`` is +1 where the price came from below. ``tilt`` and
    ``size`` are planted times ``strength``. ``excursion`` is the larger excursion from the level over the eight bars
    after, in ATR, positive on the side of a break, and ``first`` which side went two ATR first: +1 break, -1 bounce,
    0 neither, or both in one bar; NaN and 0 where the session ended before.
    """

    symbol: IntArray
    session: IntArray
    bar: IntArray
    kind: IntArray
    level: FloatArray
    atr: FloatArray
    side: IntArray
    tilt: FloatArray
    size: FloatArray
    excursion: FloatArray
    first: IntArray


@dataclass(frozen=True, eq=False)
class IntradayBars:
    """Bars of all symbols: for each session arrays of shape (bars, symbols), the pre-market bars first.

    ``volume`` is in shares. A session has ``pre`` bars before its open and ``lengths[session]`` after.
    """

    pre: int
    lengths: tuple[int, ...]
    open: list[FloatArray]
    high: list[FloatArray]
    low: list[FloatArray]
    close: list[FloatArray]
    volume: list[FloatArray]


@dataclass(eq=False)
class _State:
    """Where every symbol stands; arrays of shape (symbols, ...).

    ``anchored`` and ``planned`` count the bars left in units of the ATR of the last touch, and with a planted tilt: a
    touch inside a release renews the one and leaves the other alone.
    """

    close: FloatArray
    sigma: FloatArray
    ranges: FloatArray
    recent: FloatArray
    levels: FloatArray
    two_minute: list[FloatArray] = field(default_factory=list)
    volume: FloatArray = field(default_factory=lambda: np.zeros(0))
    next_open: FloatArray = field(default_factory=lambda: np.zeros(0))
    anchored: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    planned: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    anchor: FloatArray = field(default_factory=lambda: np.zeros(0))
    drift: FloatArray = field(default_factory=lambda: np.zeros(0))
    scale: FloatArray = field(default_factory=lambda: np.zeros(0))


def simulate_bars(config: IntradaySimulation, lengths: tuple[int, ...]) -> tuple[IntradayBars, Touches]:
    """Draw the bars of sessions with ``lengths`` regular bars each; the same configuration gives the same numbers."""
    pre = PRE_MARKET_MINUTES // config.bar_minutes
    bars = IntradayBars(pre, lengths, [], [], [], [], [])
    state = _begin(config)
    opened: list[dict[str, NDArray[np.generic]]] = []
    for session, length in enumerate(lengths):
        opened += _session(config, state, bars, session, length)
    names = opened[0] if opened else {}
    joined = {name: np.concatenate([part[name] for part in opened]) for name in names}
    return bars, _judged(bars, joined)


def _begin(config: IntradaySimulation) -> _State:
    rng = stream(config.seed, "intraday", "symbols")
    count = config.symbols
    price: FloatArray = np.asarray(np.exp(rng.uniform(np.log(15.0), np.log(180.0), count)).round(_DECIMALS))
    sigma = _SIGMA * np.sqrt(config.bar_minutes) * np.exp(rng.normal(0, 0.3, count))
    state = _State(
        close=price,
        sigma=sigma,
        ranges=np.repeat((1.6 * price * sigma)[:, None], ATR_BARS, axis=1),
        recent=np.repeat(price[:, None], APPROACH_BARS, axis=1),
        levels=np.full((count, len(KINDS)), np.nan),
    )
    state.volume = np.exp(rng.normal(8.0, 0.5, count))
    state.anchor, state.drift, state.scale = np.zeros(count), np.zeros(count), np.ones(count)
    return state


def _session(
    config: IntradaySimulation, state: _State, bars: IntradayBars, session: int, length: int
) -> list[dict[str, NDArray[np.generic]]]:
    """Append one session to ``bars``, and return the touches that opened a release in it."""
    rng = stream(config.seed, "intraday", "session", str(session))
    count, total = config.symbols, bars.pre + length
    state.next_open = np.round(state.close * np.exp(state.sigma * _GAP_SIGMAS * rng.normal(size=count)), _DECIMALS)
    state.anchored, state.planned = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    normal = rng.normal(size=(total, 3, count))
    uniform = rng.uniform(1e-12, 1.0, size=(total, 2, count))
    made = {name: np.empty((total, count)) for name in ("open", "high", "low", "close", "volume")}
    opened = []
    opening = bars.pre + OPENING_RANGE_MINUTES // config.bar_minutes
    state.levels[:, [_PMH, _PML, _ORH, _ORL]] = np.nan
    for bar in range(total):
        regular = bar - bars.pre
        if bar == bars.pre and bars.pre:
            state.levels[:, _PMH], state.levels[:, _PML] = made["high"][:bar].max(0), made["low"][:bar].min(0)
        if bar == opening:
            range_of = slice(bars.pre, opening)
            state.levels[:, _ORH], state.levels[:, _ORL] = made["high"][range_of].max(0), made["low"][range_of].min(0)
        # A session begins with its own open: neither yesterday's close nor the pre-market is the bar before it.
        before, atr = state.next_open if regular == 0 else state.close, state.ranges.mean(axis=1)
        _next_bar(state, made, bar, normal[bar], uniform[bar])
        if regular >= 0:
            ranges = np.maximum(made["high"][bar], before) - np.minimum(made["low"][bar], before)
            state.ranges = np.concatenate([state.ranges[:, 1:], ranges[:, None]], axis=1)
            touched = _touch(config, state, made, bar, before, atr, regular / length)
            _average(config, state, regular)
            if touched is not None and regular < length - 1:
                touched["session"] = np.full(len(touched["symbol"]), session)
                touched["bar"] = np.full(len(touched["symbol"]), regular)
                opened.append(touched)
    for name, values in made.items():
        getattr(bars, name).append(values)
    regular_bars = slice(bars.pre, total)
    state.levels[:, _PDH] = made["high"][regular_bars].max(0)
    state.levels[:, _PDL] = made["low"][regular_bars].min(0)
    state.levels[:, _PDC] = state.close
    return opened


def _next_bar(state: _State, made: dict[str, FloatArray], bar: int, normal: FloatArray, uniform: FloatArray) -> None:
    """Draw one bar of every symbol: a Brownian path from its open, with the extremes of the bridge to its close."""
    planned = state.planned > 0
    calm = state.close * state.sigma * np.exp(_CALM * normal[1] - _CALM**2 / 2)
    wild = RELEASE_SIGMA_ATR * state.anchor * np.exp(_WILD * normal[1] - _WILD**2 / 2)
    sigma = np.where(state.anchored > 0, wild, calm) * np.where(planned, state.scale, 1.0)
    drift = np.where(planned, state.drift, 0.0)
    start = state.next_open
    moved = drift + sigma * normal[0]
    # Extremes of a Brownian bridge: M = (x + sqrt(x^2 - 2 s^2 ln U)) / 2, in law.
    reach = 2.0 * sigma**2
    above = (moved + np.sqrt(moved**2 - reach * np.log(uniform[0]))) / 2
    below = (moved - np.sqrt(moved**2 - reach * np.log(uniform[1]))) / 2
    floor = 0.2 * start
    close = np.round(np.maximum(start + moved, floor), _DECIMALS)
    high = np.maximum(np.round(start + above, _DECIMALS), np.maximum(start, close))
    low = np.minimum(np.round(np.maximum(start + below, floor), _DECIMALS), np.minimum(start, close))
    state.volume = np.exp(0.8 * np.log(state.volume) + 0.2 * 8.0 + 0.4 * normal[2])
    for name, values in (("open", start), ("high", high), ("low", low), ("close", close)):
        made[name][bar] = values
    made["volume"][bar] = np.ceil(state.volume)
    state.recent = np.concatenate([state.recent[:, 1:], state.close[:, None]], axis=1)
    state.close = state.next_open = close
    state.anchored, state.planned = np.maximum(state.anchored - 1, 0), np.maximum(state.planned - 1, 0)


def _average(config: IntradaySimulation, state: _State, regular: int) -> None:
    """Keep the closes of two-minute bars; bars of five minutes have none."""
    if config.bar_minutes > 2 or regular % (2 // config.bar_minutes) != 2 // config.bar_minutes - 1:
        return
    state.two_minute = [*state.two_minute[-(_SMA_LONG - 1) :], state.close]
    for column, window in ((_SMA_200, 200), (_SMA_400, _SMA_LONG)):
        if len(state.two_minute) >= window:
            state.levels[:, column] = np.mean(state.two_minute[-window:], axis=0)


def _touch(
    config: IntradaySimulation,
    state: _State,
    made: dict[str, FloatArray],
    bar: int,
    before: FloatArray,
    atr: FloatArray,
    gone: float,
) -> dict[str, NDArray[np.generic]] | None:
    """Find the levels that this bar touched, open releases there, and return those that were not in one already."""
    step = np.array([size for _, size in ROUND_STEPS])[
        np.searchsorted([top for top, _ in ROUND_STEPS], before, "right")
    ]
    state.levels[:, _BELOW] = np.floor(before / step) * step
    state.levels[:, _ABOVE] = state.levels[:, _BELOW] + step
    levels, unit = state.levels, atr[:, None]
    previous = before[:, None]
    with np.errstate(invalid="ignore"):
        from_below = (previous <= levels - REARM_ATR * unit) & (made["high"][bar][:, None] >= levels - BAND_ATR * unit)
        from_above = (previous >= levels + REARM_ATR * unit) & (made["low"][bar][:, None] <= levels + BAND_ATR * unit)
        touched = (from_below | from_above) & (np.abs(state.close[:, None] - levels) <= CONFIRM_ATR * unit)
    found = np.flatnonzero(touched.any(axis=1))
    if not len(found):
        return None
    away = np.where(touched[found], np.abs(levels[found] - state.close[found, None]), np.inf)
    kind = np.argmin(away, axis=1)
    level = levels[found, kind]
    side = np.where(before[found] < level, 1, -1)
    state.next_open = state.close.copy()
    state.next_open[found] = np.round(level, _DECIMALS)
    fresh = state.planned[found] == 0
    state.anchor[found], state.anchored[found] = atr[found], RELEASE_BARS
    approach = side * (state.close[found] - state.recent[found, 0]) / (APPROACH_BARS * atr[found])
    tilt = np.clip(1 - 2 * gone + (approach - APPROACH_MIDDLE) / APPROACH_SCALE, -1, 1)
    extension = np.abs(level - levels[found, _PDC]) / atr[found]
    size = np.nan_to_num(np.clip((extension - EXTENSION_MIDDLE) / EXTENSION_SCALE, -1, 1))
    new = found[fresh]
    state.planned[new] = RELEASE_BARS
    state.drift[new] = (DRIFT_ATR * config.strength * tilt * side * atr[found])[fresh]
    state.scale[new] = np.exp(config.strength * size[fresh] / 2)
    return {
        "symbol": new,
        "kind": kind[fresh],
        "level": level[fresh],
        "atr": atr[new],
        "side": side[fresh],
        "tilt": tilt[fresh],
        "size": size[fresh],
    }


def _judged(bars: IntradayBars, touches: dict[str, NDArray[np.generic]], window: int = 8) -> Touches:
    """Say what came of each touch within ``window`` bars."""
    count = len(touches.get("symbol", ()))
    excursion, first = np.full(count, np.nan), np.zeros(count, dtype=np.int64)
    for place in range(count):
        session, symbol = int(touches["session"][place]), int(touches["symbol"][place])
        begin = bars.pre + int(touches["bar"][place]) + 1
        if begin + window > bars.pre + bars.lengths[session]:
            continue
        reach = slice(begin, begin + window)
        side, level, atr = (float(touches[name][place]) for name in ("side", "level", "atr"))
        up = (bars.high[session][reach, symbol] - level) / atr
        down = (level - bars.low[session][reach, symbol]) / atr
        forward, back = (up, down) if side > 0 else (down, up)
        excursion[place] = forward.max() if forward.max() >= back.max() else -back.max()
        hit = [int(np.argmax(part >= 2)) if (part >= 2).any() else window for part in (forward, back)]
        first[place] = np.sign(hit[1] - hit[0])

    def floats(name: str) -> FloatArray:
        return np.asarray(touches.get(name, ()), dtype=np.float64)

    def whole(name: str) -> IntArray:
        return np.asarray(touches.get(name, ()), dtype=np.int64)

    return Touches(
        symbol=whole("symbol"),
        session=whole("session"),
        bar=whole("bar"),
        kind=whole("kind"),
        level=floats("level"),
        atr=floats("atr"),
        side=whole("side"),
        tilt=floats("tilt"),
        size=floats("size"),
        excursion=excursion,
        first=first,
    )
