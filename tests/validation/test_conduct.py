"""How a record was made: martingales, single trades, flow that goes nowhere."""

import numpy as np
import pytest

from tests.oracles.skill import growth_after
from trademl.errors import ModelError
from trademl.validation.conduct import (
    Bounds,
    FlatFlow,
    SizeResponse,
    best_share,
    flat_flow,
    is_flat_trip,
    is_martingale,
    is_wash,
    size_response,
)


def martingale(seed: int, trades: int, factor: float = 2.0) -> tuple[list[float], list[float]]:
    """Toss a coin; the size is multiplied after a loss and starts again after a gain."""
    rng = np.random.default_rng(seed)
    sizes, results, size = [], [], 100.0
    for _ in range(trades):
        won = rng.random() < 0.5
        sizes.append(size)
        results.append(size * (0.01 if won else -0.01))
        size = 100.0 if won else min(size * factor, 100.0 * factor**6)
    return sizes, results


def respond(sizes: list[float], results: list[float], follows: list[bool] | None = None) -> SizeResponse:
    known = [True] * len(sizes) if follows is None else follows
    return size_response(np.zeros(len(sizes)), sizes, results, known, 1)


def test_a_martingale_is_found() -> None:
    """Sizes double after losses and fall back after gains: growth of at least 2 x, beyond doubt."""
    found = respond(*martingale(1, 200))
    assert found.growth[0] > 2
    assert found.t_stat[0] > 10
    assert is_martingale(found).tolist() == [True]


def test_sizes_that_do_not_look_back_are_not() -> None:
    """Of 300 traders with random sizes and results at most 1 % is flagged."""
    rng = np.random.default_rng(2)
    trader = np.repeat(np.arange(300), 60)
    sizes, results = np.exp(rng.normal(0, 0.7, len(trader))), rng.standard_t(4, len(trader))
    found = size_response(trader, sizes, results, np.ones(len(trader), dtype=bool), 300)
    assert is_martingale(found).mean() <= 0.01
    assert np.median(found.growth) == pytest.approx(1.0, abs=0.1)


def test_who_sizes_up_after_gains_is_not() -> None:
    """The opposite habit has a growth below 1."""
    sizes, results = martingale(3, 200)
    found = respond(sizes, [-result for result in results])
    assert found.growth[0] < 0.5
    assert not is_martingale(found)[0]


def test_growth_and_t_agree_with_the_oracle() -> None:
    """Several traders in one call have each the figures of a slow loop; a result of 0 says nothing."""
    rng = np.random.default_rng(4)
    count = [30, 50, 40]
    trader = np.repeat(np.arange(3), count)
    sizes, results = np.exp(rng.normal(0, 1, len(trader))), np.round(rng.normal(0, 1, len(trader)), 0)
    found = size_response(trader, sizes, results, np.ones(len(trader), dtype=bool), 3)
    for one in range(3):
        growth, t_stat = growth_after(sizes[trader == one].tolist(), results[trader == one].tolist())
        assert found.growth[one] == pytest.approx(growth)
        assert found.t_stat[one] == pytest.approx(t_stat)


def test_only_known_results_count() -> None:
    """A size chosen before the result of the trade before it was known says nothing."""
    sizes, results = martingale(5, 100)
    none = respond(sizes, results, [False] * 100)
    assert (none.n_losses[0], none.n_gains[0]) == (0, 0)
    assert np.isnan(none.growth[0])
    assert not is_martingale(none)[0]


def test_exact_doubling_without_variation_is_found() -> None:
    """Loss and gain in turn, sizes 1, 2, 1, 2: no variation, and no doubt."""
    sizes, results = [1.0, 2.0] * 20, [-1.0, 1.0] * 20
    found = respond(sizes, results)
    assert found.growth[0] == pytest.approx(4.0)
    assert found.t_stat[0] == np.inf
    assert is_martingale(found)[0]
    constant = respond([1.0] * 40, results)
    assert (constant.growth[0], constant.t_stat[0]) == (1.0, 0.0)
    assert not is_martingale(constant)[0]


def test_few_events_are_not_enough() -> None:
    """Two doublings are no habit."""
    assert not is_martingale(respond([1.0, 2.0, 1.0, 2.0, 1.0], [-1.0, 1.0, -1.0, 1.0, -1.0]))[0]


def test_the_share_of_the_best_by_hand() -> None:
    """6 of 8; more than all when the rest lost; nothing without a net profit; nothing without events."""
    trader = [0, 0, 0, 1, 1, 2]
    share = best_share(trader, [6.0, 3.0, -1.0, 5.0, -3.0, -1.0], 4)
    assert share[:2].tolist() == [0.75, 2.5]
    assert np.isnan(share[2:]).all()


def test_flat_trips_by_hand() -> None:
    """One basis point of what was entered within the hour is flat; more, longer or an unknown result is not."""
    gross, value = [1.0, -1.0, 30.0, 1.0, np.nan, 0.0], [1e4] * 5 + [0.0]
    hours = [0.1, 0.9, 0.1, 5.0, 0.1, 0.1]
    assert is_flat_trip(gross, value, hours).tolist() == [True, True, False, False, False, False]


def test_flow_is_measured_by_value() -> None:
    """Three quarters of the first trader's value is flat, in two trips; the second has none, the third no trade."""
    flow = flat_flow([0, 0, 0, 1], [50.0, 25.0, 25.0, 10.0], [True, True, False, False], 3)
    assert flow.share[:2].tolist() == [0.75, 0.0]
    assert np.isnan(flow.share[2])
    assert flow.number.tolist() == [2, 0, 0]


def test_wash_needs_share_and_number() -> None:
    """Half of the value, fifty times."""
    flow = FlatFlow(np.array([0.5, 0.5, 0.49, np.nan]), np.array([50, 49, 500, 50]))
    assert is_wash(flow).tolist() == [True, False, False, False]
    assert is_wash(flow, Bounds(flat_share=0.4, flat_events=40)).tolist() == [True, True, True, False]


def test_wrong_columns_are_refused() -> None:
    """Columns of unlike length, traders out of order and traders that do not exist are named."""
    with pytest.raises(ModelError, match="shapes"):
        best_share([0, 0], [1.0], 1)
    with pytest.raises(ModelError, match="order"):
        best_share([1, 0], [1.0, 1.0], 2)
    with pytest.raises(ModelError, match="traders 0 to 2 of 2"):
        best_share([0, 2], [1.0, 1.0], 2)
