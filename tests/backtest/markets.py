"""Small markets for the backtest's tests."""

from dataclasses import replace
from typing import Any

import numpy as np

from trademl.backtest.market import Market


def flat_market(sessions: int, symbols: int = 1, price: float = 10.0, **changed: Any) -> Market:
    """Every price the same, much volume, no action; ``changed`` replaces fields."""
    shape = (sessions, symbols)
    market = Market(
        dates=np.datetime64("2020-01-06") + np.arange(sessions),
        symbols=tuple(f"S{at}" for at in range(symbols)),
        open_price=np.full(shape, price),
        close_price=np.full(shape, price),
        volume=np.full(shape, 1e9),
        split=np.ones(shape),
        dividend=np.zeros(shape),
        day_value=np.full(shape, 1e10),
        volatility=np.full(shape, 0.02),
        delisted=np.zeros(shape, dtype=bool),
    )
    return replace(market, **changed)


def random_market(seed: int, sessions: int = 40, symbols: int = 6) -> Market:
    """Random walks with splits, dividends, absent sessions, thin volume and a listing that ends."""
    random = np.random.default_rng(seed)
    shape = (sessions, symbols)
    split = np.where(random.random(shape) < 0.03, random.choice([0.5, 2.0, 3.0, 1.5], shape), 1.0)
    close = 20 * np.exp(np.cumsum(random.normal(0, 0.03, shape), axis=0)) / np.cumprod(split, axis=0)
    opened = close * np.exp(random.normal(0, 0.01, shape))
    delisted = np.zeros(shape, dtype=bool)
    delisted[sessions // 2 :, 0] = True
    absent = (random.random(shape) < 0.05) | delisted
    return Market(
        dates=np.datetime64("2020-01-06") + np.cumsum(random.integers(1, 4, sessions)),
        symbols=tuple(f"S{at}" for at in range(symbols)),
        open_price=np.where(absent, np.nan, opened),
        close_price=np.where(absent, np.nan, close),
        volume=np.where(absent, np.nan, random.integers(0, 200_000, shape)),
        split=split,
        dividend=np.where(random.random(shape) < 0.03, 0.25, 0.0),
        day_value=np.full(shape, 2e6),
        volatility=np.full(shape, 0.02),
        delisted=delisted,
    )
