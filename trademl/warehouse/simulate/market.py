"""The market without any predictability: who is listed and when, and symmetric log returns with clustered volatility.

Every return innovation is a sign-symmetric number times a volatility that evolves independently of all signs, and
listing, membership and delisting are drawn without looking at returns. Flipping the sign of every future innovation
therefore leaves the law of the future unchanged given the past, and turns every rank correlation between the past and
the future into its negative: its expectation is exactly zero, for any feature. That is why there is no leverage effect,
no -sigma^2/2 (it would give a rank IC between volatility and return) and why crash and takeover gaps come at sessions
drawn by lot.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trademl.rng import stream
from trademl.warehouse.simulate.config import FEATURE_WINDOW, SECTORS, SimulationConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DelistingKind = Literal["stop", "crash", "takeover"]
KINDS: tuple[DelistingKind, ...] = ("stop", "crash", "takeover")
SESSIONS_PER_YEAR = 252
SEASONING = 2 * FEATURE_WINDOW


@dataclass(frozen=True)
class Delisting:
    """A symbol's end: ``event`` is the session of the crash or takeover gap, ``last`` the last session with a bar."""

    symbol: int
    kind: DelistingKind
    event: int
    last: int


@dataclass(frozen=True)
class Spell:
    """A membership spell in sessions, both ends included; ``end`` is None while it lasts."""

    symbol: int
    start: int
    end: int | None


@dataclass(frozen=True)
class Listings:
    """Who exists when. ``first`` and ``last`` (inclusive) are sessions per symbol; ``sector`` indexes SECTORS."""

    first: Ints
    last: Ints
    sector: Ints
    delistings: tuple[Delisting, ...]
    spells: tuple[Spell, ...]

    def alive(self, sessions: int) -> Bools:
        """Return (sessions, symbols): the symbol has a bar on that session (before single days go missing)."""
        session = np.arange(sessions)[:, None]
        return (session >= self.first) & (session <= self.last)

    def members(self, sessions: int) -> Bools:
        """Return (sessions, symbols): the symbol is an index member on that session."""
        member = np.zeros((sessions, len(self.first)), dtype=np.bool_)
        for spell in self.spells:
            member[spell.start : None if spell.end is None else spell.end + 1, spell.symbol] = True
        return member


@dataclass(frozen=True)
class Noise:
    """Log returns with no drift, each (sessions, symbols).

    ``gap`` runs from the previous close to the open, ``intraday`` from the open to the close; ``spread`` is the
    standard deviation of the intraday part, known before it is drawn. ``market_volatility`` is (sessions,).
    """

    gap: Floats
    intraday: Floats
    spread: Floats
    market_volatility: Floats


def draw_listings(config: SimulationConfig) -> Listings:
    """Draw listing dates, sectors, delistings and membership spells; none of it depends on returns."""
    count, sessions = config.symbols, config.sessions
    rng = stream(config.seed, "simulate", "listings")
    sector = rng.permutation(np.arange(count) % min(len(SECTORS), max(2, count // 8))).astype(np.int64)
    order = rng.permutation(count)
    first = np.zeros(count, dtype=np.int64)
    late = order[: round(config.late_listing_share * count)]
    first[late] = rng.integers(1, max(2, sessions - SEASONING), size=len(late))
    last = np.full(count, sessions - 1, dtype=np.int64)
    delistings = _draw_delistings(config, first, rng)
    for end in delistings:
        last[end.symbol] = end.last
    spells = _draw_spells(config, first, delistings)
    return Listings(first, last, sector, delistings, spells)


def _draw_delistings(config: SimulationConfig, first: Ints, rng: np.random.Generator) -> tuple[Delisting, ...]:
    years = config.sessions / SESSIONS_PER_YEAR
    wanted = round(config.delisting_rate * years * config.symbols)
    earliest = FEATURE_WINDOW + 30
    candidates = [int(i) for i in rng.permutation(config.symbols) if first[i] + earliest < config.sessions - 2]
    ends = []
    for position, symbol in enumerate(candidates[:wanted]):
        kind = KINDS[position % len(KINDS)]
        final = int(rng.integers(first[symbol] + earliest, config.sessions - 1))
        notice = 0 if kind == "stop" else int(rng.integers(3, 21))
        ends.append(Delisting(symbol, kind, final - notice, final))
    return tuple(sorted(ends, key=lambda end: (end.last, end.symbol)))


def _draw_spells(config: SimulationConfig, first: Ints, delistings: tuple[Delisting, ...]) -> tuple[Spell, ...]:
    """Draw spells: nine in ten of the first listings are members at once, the others and the late ones enter later."""
    rng = stream(config.seed, "simulate", "membership")
    leaves = {end.symbol: end.event for end in delistings}
    hazard = config.membership_turnover / SESSIONS_PER_YEAR
    spells = []
    for symbol in range(config.symbols):
        founder = first[symbol] == 0 and rng.random() < 0.9
        start = 0 if founder else int(first[symbol] + SEASONING + rng.integers(0, SEASONING))
        stop = leaves.get(symbol, config.sessions - 1)
        while start <= stop:
            length = int(rng.geometric(hazard)) if hazard > 0 else config.sessions
            end = start + max(length, SEASONING)
            if end >= stop:
                spells.append(Spell(symbol, start, stop if symbol in leaves else None))
                break
            spells.append(Spell(symbol, start, end))
            start = end + SEASONING + int(rng.integers(0, SESSIONS_PER_YEAR))
    return tuple(spells)


def draw_noise(config: SimulationConfig, listings: Listings) -> Noise:
    """Draw market, sector and idiosyncratic log returns: Student t numbers times log-normal AR(1) volatilities."""
    count, sessions = config.symbols, config.sessions
    traits = stream(config.seed, "simulate", "traits")
    beta = traits.normal(1.0, 0.25, count)
    level = config.idiosyncratic_volatility * np.exp(traits.normal(0.0, 0.15, count))

    market = config.market_volatility * _clustering(config, "market", 1, persistence=0.985, spread=0.4)
    sector = config.sector_volatility * _clustering(config, "sector", len(SECTORS), persistence=0.97, spread=0.3)
    own = level * _clustering(config, "own", count, persistence=0.97, spread=0.25)
    for end in listings.delistings:
        if end.kind != "stop":  # a taken-over share is pinned to its price, a crashed one trades wildly
            own[end.event + 1 :, end.symbol] *= 0.2 if end.kind == "takeover" else 1.5

    parts = {}
    for name, share in (("gap", config.overnight_share), ("intraday", 1.0 - config.overnight_share)):
        scale = np.sqrt(share)
        parts[name] = scale * (
            beta * (market * _student(config, name, "market", 1))
            + (sector * _student(config, name, "sector", len(SECTORS)))[:, listings.sector]
            + own * _student(config, name, "own", count)
        )
    spread = np.sqrt((1.0 - config.overnight_share) * ((beta * market) ** 2 + own**2))

    events = stream(config.seed, "simulate", "events")
    for end in listings.delistings:
        size = events.random()
        if end.kind == "crash":
            parts["gap"][end.event, end.symbol] += np.log(0.25 + 0.35 * size)
        elif end.kind == "takeover":
            parts["gap"][end.event, end.symbol] += np.log(1.2 + 0.25 * size)
    alive = listings.alive(sessions)
    parts["gap"][~alive] = 0.0
    parts["intraday"][~alive] = 0.0
    listed = listings.first
    parts["gap"][listed, np.arange(count)] = 0.0  # the first bar has no previous close
    return Noise(parts["gap"], parts["intraday"], spread, market[:, 0])


def _student(config: SimulationConfig, part: str, source: str, width: int) -> Floats:
    """Return (sessions, width) Student t numbers of unit variance."""
    degrees = config.tail_degrees
    rng = stream(config.seed, "simulate", "returns", part, source)
    draws = rng.standard_t(degrees, size=(config.sessions, width))
    return np.asarray(draws * np.sqrt((degrees - 2.0) / degrees), dtype=np.float64)


def _clustering(config: SimulationConfig, source: str, width: int, *, persistence: float, spread: float) -> Floats:
    """Return (sessions, width) volatility multipliers exp(h) of mean square one, h a stationary AR(1)."""
    rng = stream(config.seed, "simulate", "volatility", source)
    shocks = rng.normal(0.0, 1.0, size=(config.sessions, width))
    level = np.empty_like(shocks)
    level[0] = spread * shocks[0]
    fresh = spread * np.sqrt(1.0 - persistence**2)
    for session in range(1, config.sessions):
        level[session] = persistence * level[session - 1] + fresh * shocks[session]
    # E[exp(2h)] = exp(2 spread^2) for a normal h
    return np.asarray(np.exp(level - spread**2), dtype=np.float64)
