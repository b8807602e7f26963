from itertools import pairwise

import numpy as np

from trademl.warehouse.simulate import SimulationConfig
from trademl.warehouse.simulate.market import KINDS, draw_listings, draw_noise

CONFIG = SimulationConfig(symbols=120, sessions=1000, seed=5, delisting_rate=0.05)


def test_a_market_has_entries_exits_and_every_kind_of_delisting() -> None:
    """Some symbols list late, some end by stop, crash and takeover, and membership changes over time."""
    listings = draw_listings(CONFIG)
    assert (listings.first > 0).sum() == round(0.12 * 120)
    assert {end.kind for end in listings.delistings} == set(KINDS)
    assert len(listings.delistings) == round(0.05 * 1000 / 252 * 120)
    members = listings.members(1000)
    assert (members[1:] & ~members[:-1]).any()
    assert (members[:-1] & ~members[1:]).any()


def test_membership_lies_within_the_listing_and_spells_do_not_overlap() -> None:
    """A member has a bar on every session of its spell, and never two spells at once."""
    listings = draw_listings(CONFIG)
    alive = listings.alive(1000)
    assert not (listings.members(1000) & ~alive).any()
    by_symbol: dict[int, list[tuple[int, int]]] = {}
    for spell in listings.spells:
        end = 999 if spell.end is None else spell.end
        by_symbol.setdefault(spell.symbol, []).append((spell.start, end))
    for spells in by_symbol.values():
        assert all(later[0] > earlier[1] for earlier, later in pairwise(spells))


def test_returns_have_fat_tails_and_clustered_volatility() -> None:
    """Daily returns have excess kurtosis, and the size of one day's move foretells the size of the next."""
    config = SimulationConfig(symbols=60, sessions=2000, seed=1, delisting_rate=0.0, late_listing_share=0.0)
    noise = draw_noise(config, draw_listings(config))
    total = noise.gap + noise.intraday
    scaled = total / total.std(axis=0)
    assert (scaled**4).mean() > 3.5
    size = np.abs(scaled) - np.abs(scaled).mean(axis=0)
    assert (size[1:] * size[:-1]).mean() / (size**2).mean() > 0.03


def test_volatilities_are_those_asked_for() -> None:
    """The variance of a return is that of market (times 1 + 0.25^2 for the betas), sector and own part together."""
    config = SimulationConfig(symbols=300, sessions=3000, seed=2, delisting_rate=0.0, late_listing_share=0.0)
    noise = draw_noise(config, draw_listings(config))
    expected = 0.009**2 * (1 + 0.25**2) + 0.004**2 + 0.015**2 * np.exp(2 * 0.15**2)
    assert 0.85 < np.var(noise.gap + noise.intraday) / expected < 1.15


def test_a_crash_falls_and_a_takeover_rises_overnight() -> None:
    """At its event a crashed share loses 40 to 75 % overnight, a taken-over one gains 20 to 45 %, noise apart."""
    listings = draw_listings(CONFIG)
    noise = draw_noise(CONFIG, listings)
    for end in listings.delistings:
        gap = np.exp(noise.gap[end.event, end.symbol])
        if end.kind == "crash":
            assert 0.2 < gap < 0.7
        elif end.kind == "takeover":
            assert 1.1 < gap < 1.6
