"""How sure a place in the ranking is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.validation.bootstrap import optimal_block, stationary_indices
from trademl.validation.rank_interval import panel_block, rank_intervals, ranking
from trademl.validation.skill import records_of, skill_scores, standard_panel

FloatArray = NDArray[np.float64]


def drawn(seed: int, days: int, edges: FloatArray) -> FloatArray:
    """Draw profits with these daily Sharpe ratios."""
    return np.random.default_rng(seed).standard_normal((days, len(edges))) + edges


def whole(days: int, traders: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.zeros(traders, dtype=np.int64), np.full(traders, days - 1, dtype=np.int64)


def test_ranks_of_a_known_example() -> None:
    """The first group comes first, in it the higher score; equal scores by place, a score that is none last."""
    scores = np.array([0.1, np.nan, 0.5, 0.5, 9.0])
    assert ranking(scores, np.array([0, 0, 0, 0, 1])).tolist() == [3, 4, 1, 2, 5]


def test_traders_far_apart_have_sure_ranks_and_equal_ones_have_not() -> None:
    """A great difference gives an interval of one place; twenty equal traders can be nearly anywhere."""
    pnl = drawn(1, 250, np.array([1.5, 0.8, -0.8]))
    found = rank_intervals(pnl, *whole(250, 3), groups=np.zeros(3, dtype=np.int64), seed=1)
    assert (found.low.tolist(), found.high.tolist()) == ([1, 2, 3], [1, 2, 3])
    equal = rank_intervals(drawn(2, 250, np.zeros(20)), *whole(250, 20), groups=np.zeros(20, int), seed=1)
    assert np.median(equal.high - equal.low) >= 10


def test_an_interval_mostly_holds_the_true_rank() -> None:
    """Over 40 samples of traders that are apart, 90 % intervals hold the true rank at least 85 % of the time."""
    edges = np.array([0.5, 0.35, 0.2, 0.05, -0.1])
    held = []
    for seed in range(40):
        pnl = drawn(seed, 120, edges)
        found = rank_intervals(pnl, *whole(120, 5), groups=np.zeros(5, int), n_resamples=200, seed=seed)
        held += ((found.low <= np.arange(1, 6)) & (np.arange(1, 6) <= found.high)).tolist()
    assert np.mean(held) > 0.85


def test_flagged_traders_stay_behind() -> None:
    """A trader of the second group is behind every one of the first in every resample."""
    pnl = drawn(3, 100, np.array([2.0, 0.0, 0.1]))
    found = rank_intervals(pnl, *whole(100, 3), groups=np.array([1, 0, 0]), seed=1)
    assert (found.low[0], found.high[0]) == (3, 3)


def test_resamples_are_those_of_a_slow_loop() -> None:
    """Each resample is the ranking of the scores of the days drawn, trader by trader, each with its own length."""
    days, resamples = 40, 25
    pnl = drawn(4, days, np.array([0.3, 0.1, 0.0, -0.2]))
    first, last = np.array([0, 5, 0, 12]), np.array([39, 39, 20, 39])
    found = rank_intervals(
        pnl, first, last, groups=np.zeros(4, int), n_resamples=resamples, block=3.0, confidence=0.5, seed=9
    )
    from trademl.rng import stream

    ranks = []
    for places in stationary_indices(days, resamples, 3.0, stream(9, "rank_intervals")):
        scores = []
        for trader in range(4):
            own = [place for place in places if first[trader] <= place <= last[trader]]
            values = pnl[own, trader]
            record = records_of(values[:, None], np.zeros(1), np.full(1, len(own) - 1))
            as_long = type(record)(
                np.array([last[trader] - first[trader] + 1.0]), record.sharpe, record.skew, record.kurtosis
            )
            scores.append(float(skill_scores(as_long)[0]))
        ranks.append([1 + sum(other > score for other in scores) for score in scores])
    expected = np.sort(np.array(ranks), axis=0)
    # Inverted empirical distribution: the smallest value whose share is at least 1/4, 3/4.
    assert found.low.tolist() == expected[int(np.ceil(0.25 * resamples)) - 1].tolist()
    assert found.high.tolist() == expected[int(np.ceil(0.75 * resamples)) - 1].tolist()


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Nothing but the seed is random."""
    pnl = drawn(5, 80, np.linspace(-0.1, 0.2, 8))
    one, two, other = (
        rank_intervals(pnl, *whole(80, 8), groups=np.zeros(8, int), n_resamples=100, seed=seed) for seed in (1, 1, 2)
    )
    assert one.low.tolist() == two.low.tolist()
    assert one.high.tolist() == two.high.tolist()
    assert (one.low.tolist(), one.high.tolist()) != (other.low.tolist(), other.high.tolist())


def test_the_own_rank_lies_near_its_interval() -> None:
    """The ranking of the data itself lies within the intervals of most traders."""
    pnl = drawn(6, 200, np.linspace(-0.2, 0.4, 15))
    records = records_of(pnl, *whole(200, 15))
    own = ranking(skill_scores(records), np.zeros(15, int))
    found = rank_intervals(pnl, *whole(200, 15), groups=np.zeros(15, int), seed=3)
    assert np.mean((found.low <= own) & (own <= found.high)) > 0.9


def test_the_block_is_the_median_of_what_records_call_for() -> None:
    """Three records, one too short to say anything: the median of the other two."""
    rng = np.random.default_rng(0)
    pnl = rng.standard_normal((100, 3))
    pnl[1:, 1] += 0.6 * pnl[:-1, 1]
    expected = np.median([optimal_block(pnl[:, 0]), optimal_block(pnl[:, 1])])
    panel = standard_panel(pnl, np.array([0, 0, 95]), np.array([99, 99, 99]))
    assert panel_block(panel) == pytest.approx(float(expected))


def test_nobody_to_rank_is_no_error() -> None:
    """Without a trader there is no interval."""
    nothing = np.empty(0, dtype=np.int64)
    found = rank_intervals(np.zeros((5, 0)), nothing, nothing, groups=nothing, seed=1)
    assert found.low.shape == found.high.shape == (0,)


@pytest.mark.parametrize("wrong", [{"n_resamples": 0}, {"confidence": 1.0}, {"block": 0.5}, {"block": 1000.0}])
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    """No resample, a confidence of 1 and a block longer than the days are named."""
    with pytest.raises(ModelError):
        rank_intervals(
            drawn(1, 30, np.zeros(2)),
            *whole(30, 2),
            groups=np.zeros(2, int),
            seed=1,
            **wrong,  # type: ignore[arg-type]
        )
