"""Price-level events the slow way: one bar after the other, in plain Python, from the definitions of docs/events.md.

Nothing here is shared with the SQL: levels are looked up bar by bar, averages are means of lists, and a label is found
by walking forward. Inside, prices are millionths of a dollar, as whole numbers: prices of whole cents lie on thresholds
now and then, and dollars in floating point would fall on either side of them.
"""

import math
import statistics
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

BAND, REARM, CONFIRM, LEAST_ATR = 0.1, 0.5, 0.5, 1e-4
MICRO = 1_000_000
OPENING_MINUTES, CONFLUENCE, JUMP = 15, 1.0, 0.4
THRESHOLDS = (1.0, 2.0)
STEPS = ((10, 0.5), (50, 1), (200, 5), (1000, 10), (math.inf, 50))
SINGLE = ("PMH", "PML", "ORH", "ORL", "PDH", "PDL", "PDC", "SMA_200", "SMA_400")


@dataclass(frozen=True)
class Bar:
    """One bar of a symbol; ``start`` is UTC."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Session:
    """One session of the exchange, in order of ``index``."""

    day: date
    index: int
    open_at: datetime
    close_at: datetime


@dataclass
class Event:
    """A touch with everything the warehouse says of it."""

    t1: datetime
    kind: str
    level: float
    sign: int
    features: dict[str, float | None] = field(default_factory=dict)
    labels: dict[str, float | str | None] = field(default_factory=dict)

    @property
    def key(self) -> tuple[datetime, str, float, int]:
        return self.t1, self.kind, round(self.level / MICRO, 6), self.sign


def step_of(price: float) -> float:
    """Return the distance between round numbers at ``price``, both in millionths of a dollar."""
    return next(step * MICRO for below, step in STEPS if price < below * MICRO)


def _whole(bar: Bar) -> Bar:
    prices = (round(price * MICRO) for price in (bar.open, bar.high, bar.low, bar.close))
    return Bar(bar.start, *prices, bar.volume)


def find_events(
    bars: list[Bar], sessions: list[Session], minutes: int, windows: dict[str, int], horizons: list[int]
) -> list[Event]:
    """Return the events of one symbol in order of time.

    Args:
        bars: of the symbol, in order, regular and before the open.
        sessions: of the exchange.
        minutes: length of the bars.
        windows: suffix -> seconds of outcome windows.
        horizons: seconds.
    """
    bars = [_whole(bar) for bar in bars]
    events: list[Event] = []
    ranges: list[float] = []
    buckets: list[tuple[datetime, float]] = []
    averages: dict[int, list[float | None]] = {200: [], 400: []}
    length = timedelta(minutes=minutes)
    bucket_minutes = max(2, minutes)
    counts = {200: 400 // bucket_minutes, 400: 800 // bucket_minutes}
    last: tuple[int, float, float, float] | None = None
    for session in sessions:
        regular = [bar for bar in bars if session.open_at <= bar.start and bar.start + length <= session.close_at]
        early = [bar for bar in bars if session.open_at - timedelta(hours=6) <= bar.start < session.open_at]
        if not regular:
            continue
        levels: dict[str, float | None] = dict.fromkeys(SINGLE)
        if early:
            levels["PMH"], levels["PML"] = max(bar.high for bar in early), min(bar.low for bar in early)
        fresh = last is None or abs(math.log(regular[0].open / last[3])) > JUMP
        if fresh:
            ranges, buckets, averages = [], [], {200: [], 400: []}
        elif last is not None and last[0] == session.index - 1:
            levels["PDH"], levels["PDL"], levels["PDC"] = last[1], last[2], last[3]
        touches: dict[str, list[tuple[int, int]]] = {}
        closed: dict[int, float] = {}
        for number, bar in enumerate(regular):
            minute = int((bar.start - session.open_at).total_seconds() // 60)
            so_far, before = regular[: number + 1], regular[number - 1] if number else None
            opening = [
                one for one in regular[:number] if one.start < session.open_at + timedelta(minutes=OPENING_MINUTES)
            ]
            if minute >= OPENING_MINUTES and opening:
                levels["ORH"], levels["ORL"] = max(one.high for one in opening), min(one.low for one in opening)
            for window, name in ((200, "SMA_200"), (400, "SMA_400")):
                _close_buckets(buckets, averages, closed, session, bucket_minutes, counts, bar.start)
                known = averages[window][-1] if averages[window] else None
                levels[name] = None if known is None else math.floor(known + 0.5)
            previous = before.close if before else bar.open
            true_range = max(bar.high, previous if before else bar.high) - min(bar.low, previous if before else bar.low)
            atr = statistics.fmean(ranges[-14:]) if len(ranges) >= 14 else None
            ranges.append(true_range)
            closed[minute // bucket_minutes] = bar.close
            _close_buckets(buckets, averages, closed, session, bucket_minutes, counts, bar.start + length)
            if atr is None or atr <= LEAST_ATR * bar.close:
                continue
            step = step_of(previous)
            floor = previous // step * step
            near = [(kind, price, kind) for kind, price in levels.items() if price is not None]
            near += [("ROUND", price, f"ROUND {price}") for price in (floor, floor + step)]
            for kind, level, key in near:
                sign = _side(bar, previous, level, atr)
                if not sign:
                    continue
                event = Event(bar.start + length, kind, level, sign)
                seen = touches.setdefault(key, [])
                event.features = _features(
                    event, bar, so_far, levels, atr, step, seen, number, minute, minutes, buckets, averages, counts
                )
                event.labels = _labels(event, regular, session, atr, length, windows, horizons)
                seen.append((number, sign))
                events.append(event)
        # What is left of the session's last bucket counts when its time is up.
        _close_buckets(
            buckets,
            averages,
            closed,
            session,
            bucket_minutes,
            counts,
            session.close_at + timedelta(minutes=bucket_minutes),
        )
        last = session.index, max(b.high for b in regular), min(b.low for b in regular), regular[-1].close
    return events


def _close_buckets(
    buckets: list[tuple[datetime, float]],
    averages: dict[int, list[float | None]],
    closed: dict[int, float],
    session: Session,
    minutes: int,
    counts: dict[int, int],
    now: datetime,
) -> None:
    """Move the buckets that have ended by ``now`` to the history, and the averages on."""
    for bucket in sorted(closed):
        ends = session.open_at + timedelta(minutes=(bucket + 1) * minutes)
        if ends > now:
            break
        buckets.append((ends, closed.pop(bucket)))
        for window, n in counts.items():
            closes = [close for _, close in buckets[-n:]]
            averages[window].append(statistics.fmean(closes) if len(closes) == n else None)


def _side(bar: Bar, previous: float, level: float, atr: float) -> int:
    if abs(bar.close - level) > CONFIRM * atr:
        return 0
    if previous <= level - REARM * atr and bar.high >= level - BAND * atr:
        return 1
    if previous >= level + REARM * atr and bar.low <= level + BAND * atr:
        return -1
    return 0


def _features(
    event: Event,
    bar: Bar,
    so_far: list[Bar],
    levels: dict[str, float | None],
    atr: float,
    step: float,
    seen: list[tuple[int, int]],
    number: int,
    minute: int,
    minutes: int,
    buckets: list[tuple[datetime, float]],
    averages: dict[int, list[float | None]],
    counts: dict[int, int],
) -> dict[str, float | None]:
    sign, level = event.sign, event.level
    closes = [one.close for one in so_far]

    def ahead(price: float | None) -> float | None:
        return None if price is None else sign * (price - bar.close) / atr

    moved = 0
    while moved + 1 < len(closes) and sign * (closes[-1 - moved] - closes[-2 - moved]) > 0:
        moved += 1
    tail = closes[-6:]
    ten = so_far[-10:]
    volumes = [one.volume for one in so_far[-21:-1]]
    found: dict[str, float | None] = {
        "approach_velocity": sign * (tail[-1] - tail[0]) / (len(tail) - 1) / atr if len(tail) > 1 else None,
        "approach_bars": moved,
        "approach_distance": (bar.close - min(b.low for b in ten) if sign > 0 else max(b.high for b in ten) - bar.close)
        / atr,
        "approach_volume_ratio": bar.volume / statistics.fmean(volumes) if volumes and sum(volumes) else None,
    }
    if not seen:
        found = dict.fromkeys(found, 0.0)
    for kind in SINGLE[:7]:
        found[f"dist_{kind.lower()}"] = ahead(levels[kind])
    found["dist_session_high"] = ahead(max(one.high for one in so_far))
    found["dist_session_low"] = ahead(min(one.low for one in so_far))
    found["distance"] = abs(bar.close - level) / atr
    found["distance_signed"] = sign * (bar.close - level) / atr
    now: dict[int, float | None] = {}
    for window, slope in ((200, "short"), (400, "long")):
        values = averages[window]
        now[window] = mean = values[-1] if values else None
        behind = ahead(mean)
        found[f"sma_{window}_distance"] = None if behind is None else -behind
        earlier = values[-11] if len(values) > 10 else None
        found[f"sma_slope_{slope}"] = None if mean is None or earlier is None else sign * (mean - earlier) / atr
        spread = statistics.stdev([c for _, c in buckets[-counts[window] :]]) if mean is not None else 0.0
        found[f"mean_reversion_{window}"] = sign * (mean - bar.close) / spread if mean is not None and spread else None
    short, long = now[200], now[400]
    found["sma_spread"] = None if short is None or long is None else sign * (short - long) / atr
    others = [price for kind, price in levels.items() if price is not None and kind != event.kind]
    if event.kind != "ROUND":
        others.append(math.floor(level / step + 0.5) * step)
    gaps = [abs(price - level) / atr for price in others if abs(price - level) / atr <= CONFLUENCE]
    found["confluence_count"] = len(gaps)
    found["confluence_score"] = math.fsum(1 - gap / CONFLUENCE for gap in gaps)
    found["confluence_min_distance"] = min(gaps, default=0.0)
    found["bars_since_open"] = minute // minutes
    found["is_first_15m"] = float(minute < 15)
    found["atr"] = atr / bar.close * 1e4
    found["level_price_pct"] = (level - bar.close) / bar.close * 100
    found["direction_sign"] = sign
    found["attempt_index"] = 1 + sum(one == sign for _, one in seen)
    found["attempt_bars_since_last"] = number - seen[-1][0] if seen else None
    found["prior_touches"] = len(seen)
    return found


def _labels(
    event: Event,
    regular: list[Bar],
    session: Session,
    atr: float,
    length: timedelta,
    windows: dict[str, int],
    horizons: list[int],
) -> dict[str, float | str | None]:
    last = min(regular[-1].start + length, session.close_at)
    after = [bar for bar in regular if bar.start >= event.t1]
    reached: dict[tuple[str, int], float] = {}
    walk: list[tuple[float, float, float]] = []
    for bar in after:
        seconds = (bar.start + length - event.t1).total_seconds()
        up, down = (bar.high - event.level) / atr, (event.level - bar.low) / atr
        beyond, back = (up, down) if event.sign > 0 else (down, up)
        walk.append((seconds, beyond, back))
        for number, threshold in enumerate(THRESHOLDS, start=1):
            for side, way in (("break", beyond), ("bounce", back)):
                if way >= threshold:
                    reached.setdefault((side, number), seconds)

    def known(seconds: int) -> bool:
        return seconds % length.total_seconds() == 0 and event.t1 + timedelta(seconds=seconds) <= last

    def within(side: str, number: int, seconds: int) -> bool:
        return reached.get((side, number), math.inf) <= seconds

    found: dict[str, float | str | None] = {}
    for suffix, seconds in windows.items():
        names = ("outcome", "strength_signed", "tradeable_1", "tradeable_2")
        if not known(seconds):
            found |= {name + suffix: None for name in names}
            continue
        through, away = (reached.get((side, 2), math.inf) for side in ("break", "bounce"))
        first = min(through, away)
        found["outcome" + suffix] = (
            "OTHER" if first > seconds or through == away else "BREAK" if through < away else "BOUNCE"
        )
        most = max([0.0, *(beyond for at, beyond, _ in walk if at <= seconds)])
        least = max([0.0, *(back for at, _, back in walk if at <= seconds)])
        found["strength_signed" + suffix] = most if most >= least else -least
        for number in (1, 2):
            found[f"tradeable_{number}{suffix}"] = int(
                within("break", number, seconds) or within("bounce", number, seconds)
            )
    for seconds in horizons:
        for number in (1, 2):
            sides = [within(side, number, seconds) for side in ("break", "bounce")]
            values = [int(any(sides)), *map(int, sides)]
            for name, value in zip(("", "_break", "_bounce"), values, strict=True):
                found[f"t{number}{name}_{seconds}"] = value if known(seconds) else None
    return found
