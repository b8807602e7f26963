"""Barrier and tape in SQL beside loops over ticks, on random sessions."""

from datetime import timedelta
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracles import microstructure as oracle
from tests.warehouse.events.tick_market import OPEN, Market, Row, built, measured


def random_session(seed: int) -> tuple[Market, list[oracle.Quote], list[oracle.Trade]]:
    """Return ticks of twenty minutes with bursts, ties, silences and crossed quotes, and the same for the oracle."""
    rng = np.random.default_rng(seed)
    market, quotes, trades = Market(), [], []
    cents, ms = 10_000, 0
    while ms < 20 * 60_000:
        ms += int(rng.choice([0, 1, 40, 100, 101, 700, 9_000, 60_000], p=[0.1, 0.1, 0.2, 0.1, 0.1, 0.2, 0.19, 0.01]))
        clock = f"{ms // 60_000:02d}:{ms % 60_000 / 1000:06.3f}"
        instant = OPEN + timedelta(milliseconds=ms)
        cents += int(rng.integers(-1, 2))
        size = int(rng.integers(1, 6)) * 100
        kind = rng.integers(0, 3)
        if kind == 0:
            market.bid(clock, cents / 100, size)
            quotes.append(oracle.Quote(instant, (F(cents, 100), F(size)), None))
        elif kind == 1:
            price = cents + int(rng.integers(-1, 4))
            market.ask(clock, price / 100, size)
            quotes.append(oracle.Quote(instant, None, (F(price, 100), F(size))))
        else:
            price = cents + int(rng.integers(-2, 3))
            market.trade(clock, price / 100, size)
            trades.append(oracle.Trade(instant, F(price, 100), F(size)))
    return market, quotes, trades


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_sql_equals_loops_over_ticks(seed: int) -> None:
    """Thirteen features of fifty events of a random session: equal to the precision of a FLOAT, and NULL alike."""
    market, quotes, trades = random_session(seed)
    rng = np.random.default_rng(seed + 1)
    touches: list[Row] = [
        {
            "event_id": f"e{number}",
            "t1": OPEN + timedelta(milliseconds=int(rng.integers(0, 32 * 60_000))),
            "direction_sign": int(rng.choice([-1, 1])),
        }
        for number in range(50)
    ]
    found = measured(built(market), touches)
    for touch in touches:
        expected = oracle.features(quotes, trades, touch["t1"], touch["direction_sign"])
        row = found[touch["event_id"]]
        for name, value in expected.items():
            wanted = None if value is None else pytest.approx(float(value), rel=1e-6, abs=1e-7)
            assert row[name] == wanted, (touch, name)
