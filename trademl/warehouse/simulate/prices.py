"""From log returns to raw bars: prices on a cent tick, splits, dividends, highs and lows, volumes, absent sessions.

The total return of a bar is ``(close * split_coefficient + dividend_amount) / previous close``. Prices follow the
rounded previous price, so a return of the written bars is off by a tick at most, never by a drift.
"""

from dataclasses import dataclass

import numpy as np

from trademl.rng import stream
from trademl.warehouse.simulate.config import SimulationConfig
from trademl.warehouse.simulate.market import Bools, Floats, Listings, Noise

TICK = 0.01
QUARTER = 63
SPLIT_ABOVE = 150.0
REVERSE_BELOW = 4.0
REVERSE_SPLIT = 0.1
SPLIT_CHANCE = 0.03
"""Chance of a split on each session on which the price calls for one."""

MISSING_SHARE = 0.0125
"""At most this share of a session's members is absent, so that coverage stays GREEN (at least 0.98)."""


@dataclass(frozen=True)
class Bars:
    """Raw bars, each array (sessions, symbols); ``present`` marks the bars that exist, the rest is meaningless.

    ``missing`` marks the single sessions that a listed symbol has no bar for.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    dividend: Floats
    split: Floats
    present: Bools
    missing: Bools


def make_bars(config: SimulationConfig, listings: Listings, noise: Noise, intraday: Floats) -> Bars:
    """Turn log returns (``noise.gap`` overnight, ``intraday`` with any drift) into raw bars."""
    sessions, count = config.sessions, config.symbols
    alive = listings.alive(sessions)
    actions = stream(config.seed, "simulate", "actions")
    chance = actions.random((sessions, count))
    yields = np.where(actions.random(count) < config.dividend_payers, actions.uniform(0.005, 0.035, count), 0.0)
    ex_day = actions.integers(0, QUARTER, count)

    opens, closes = np.full((2, sessions, count), np.nan)
    dividend, split = np.zeros((sessions, count)), np.ones((sessions, count))
    previous = _first_prices(config)
    for session in range(sessions):
        trades = alive[session]
        seasoned = trades & (session > listings.first)
        factor = np.where(seasoned, _split_factor(previous, chance[session]), 1.0)
        pays = seasoned & ((session - ex_day) % QUARTER == 0) & (factor == 1.0)
        cash = np.where(pays, np.round(yields / 4.0 * previous, 2), 0.0)
        opens[session] = _on_tick((previous * np.exp(noise.gap[session]) - cash) / factor)
        closes[session] = _on_tick(opens[session] * np.exp(intraday[session]))
        dividend[session], split[session] = cash, factor
        previous = np.where(trades, closes[session], previous)

    high, low = _extremes(config, opens, closes, noise.spread)
    present = alive & ~_missing(config, listings, alive, (dividend > 0.0) | (split != 1.0))
    volume = _volumes(config, noise, intraday, closes)
    return Bars(opens, high, low, closes, volume, dividend, split, present, alive & ~present)


def _first_prices(config: SimulationConfig) -> Floats:
    """Draw first prices; a few start close to where a split or a reverse split becomes due."""
    rng = stream(config.seed, "simulate", "first prices")
    prices = np.clip(np.exp(rng.normal(np.log(55.0), 0.55, config.symbols)), 12.0, 140.0)
    prices[rng.permutation(config.symbols)[: max(2, config.symbols // 50)]] = 4.5
    return _on_tick(prices)


def _split_factor(price: Floats, chance: Floats) -> Floats:
    """Return new shares per old one: 1 mostly, 2 or (one in four) 3 for dear shares, 1 for 10 for cheap ones."""
    forward = np.where(chance < SPLIT_CHANCE / 4.0, 3.0, 2.0)
    due = np.where(price >= SPLIT_ABOVE, forward, np.where(price <= REVERSE_BELOW, REVERSE_SPLIT, 1.0))
    return np.where(chance < SPLIT_CHANCE, due, 1.0)


def _on_tick(price: Floats) -> Floats:
    return np.maximum(np.round(price, 2), TICK)


def _extremes(config: SimulationConfig, opens: Floats, closes: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Draw high and low from the exact law of the extremes of a Brownian bridge from the open to the close.

    With b = ln(close / open), volatility s and U uniform, the maximum of the bridge above its start is
    (b + sqrt(b^2 - 2 s^2 ln U)) / 2; the minimum is its mirror image. The two are drawn apart.
    """
    rng = stream(config.seed, "simulate", "extremes")
    move = np.log(closes / opens)
    reach = [np.sqrt(move**2 + 2.0 * spread**2 * rng.exponential(size=move.shape)) for _ in range(2)]
    up = np.ceil(opens * np.exp((move + reach[0]) / 2.0) / TICK - 1e-6) * TICK
    down = np.floor(opens * np.exp((move - reach[1]) / 2.0) / TICK + 1e-6) * TICK
    high = np.maximum(np.round(up, 2), np.maximum(opens, closes))
    low = np.minimum(_on_tick(down), np.minimum(opens, closes))
    return high, low


def _volumes(config: SimulationConfig, noise: Noise, intraday: Floats, closes: Floats) -> Floats:
    """Draw share volumes: a level per symbol, an AR(1) in logs, and more turnover on large moves of either sign."""
    rng = stream(config.seed, "simulate", "volume")
    level = rng.normal(np.log(4e7), 0.8, config.symbols)
    shocks = rng.normal(0.0, 1.0, closes.shape)
    state = 0.4 * shocks[0]
    mood = np.empty_like(closes)
    for session in range(len(closes)):
        state = 0.85 * state + 0.4 * np.sqrt(1.0 - 0.85**2) * shocks[session] if session else state
        mood[session] = state
    surprise = np.minimum(np.abs(noise.gap + intraday) / noise.spread, 5.0)
    return np.maximum(np.round(np.exp(level + mood + 0.25 * surprise) / closes), 100.0)


def _missing(config: SimulationConfig, listings: Listings, alive: Bools, busy: Bools) -> Bools:
    """Choose single absent sessions: never next to another, the first, the last, an event or a corporate action."""
    draw = stream(config.seed, "simulate", "missing").random(alive.shape)
    sessions, count = alive.shape
    everyone = np.arange(count)
    quiet = alive & ~busy
    quiet[listings.first, everyone] = False
    quiet[listings.last, everyone] = False
    for end in listings.delistings:
        quiet[end.event, end.symbol] = False
    quiet[0] = quiet[-1] = False
    member = listings.members(sessions)
    missing = np.zeros_like(alive)
    for session in np.flatnonzero((quiet & (draw < config.missing_rate)).any(axis=1)):
        chosen = np.flatnonzero(quiet[session] & (draw[session] < config.missing_rate) & ~missing[session - 1])
        room = int(MISSING_SHARE * (member[session] & alive[session]).sum())
        inside = chosen[member[session, chosen]]
        inside = inside[np.argsort(draw[session, inside], kind="stable")][:room]
        missing[session, inside] = True
        missing[session, chosen[~member[session, chosen]]] = True
    return missing
