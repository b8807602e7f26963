"""Probability of backtest overfitting; the published example is in test_validation_published_values.py."""

import time
from itertools import combinations

import numpy as np
import pytest

from trademl.errors import ModelError
from trademl.validation.pbo import probability_of_overfitting


def test_every_number_equals_a_loop_over_combinations() -> None:
    """Blocks of unequal length, ratios and ranks by the definitions, one combination at a time."""
    returns = np.random.default_rng(0).standard_normal((27, 5)) + 0.2
    result = probability_of_overfitting(returns, n_blocks=6)
    blocks = np.array_split(np.arange(27), 6)
    for position, chosen in enumerate(combinations(range(6), 3)):
        inside = np.concatenate([blocks[block] for block in chosen])
        outside = np.setdiff1d(np.arange(27), inside)
        in_sample = returns[inside].mean(0) / returns[inside].std(0, ddof=1)
        out_of_sample = returns[outside].mean(0) / returns[outside].std(0, ddof=1)
        best = int(np.argmax(in_sample))
        assert result.selected[position] == best
        assert result.is_sharpe[position] == pytest.approx(in_sample[best])
        assert result.oos_sharpe[position] == pytest.approx(out_of_sample[best])
        rank = 1 + sum(out_of_sample < out_of_sample[best])
        assert result.rank[position] == rank
        assert result.logits[position] == pytest.approx(np.log(rank / (6 - rank)))
    assert result.pbo == np.mean(result.rank <= 3)


def test_noise_is_overfitted_about_half_of_the_time_and_skill_never() -> None:
    """Without skill the best in sample is an average strategy out of sample; one real strategy wins in both."""
    noise = np.random.default_rng(1).standard_normal((800, 20))
    assert 0.2 < probability_of_overfitting(noise, n_blocks=8).pbo < 0.8
    noise[:, 7] += 0.5
    skill = probability_of_overfitting(noise, n_blocks=8)
    assert (skill.pbo, skill.probability_of_loss, set(skill.selected.tolist())) == (0, 0, {7})


def test_a_strategy_that_never_trades_counts_as_zero() -> None:
    """A column of zeros has Sharpe ratio 0: it beats losers and loses to winners, without a warning."""
    rng = np.random.default_rng(2)
    losers = rng.standard_normal((64, 3)) - 3
    result = probability_of_overfitting(np.column_stack((losers, np.zeros(64))), n_blocks=4)
    assert set(result.selected.tolist()) == {3}
    assert result.oos_sharpe.tolist() == [0] * 6
    assert result.probability_of_loss == 0
    assert np.isnan(result.slope)


@pytest.mark.parametrize(
    "shape, blocks, message",
    [((100, 5), 7, "cannot be halved"), ((20, 5), 16, "at least 32 periods"), ((100, 1), 4, "2 strategies")],
)
def test_samples_that_cannot_be_halved_are_refused(shape: tuple, blocks: int, message: str) -> None:
    """An odd number of blocks, too few periods and a single strategy raise."""
    with pytest.raises(ModelError, match=message):
        probability_of_overfitting(np.random.default_rng(0).standard_normal(shape), n_blocks=blocks)


def test_returns_that_are_not_finite_are_refused() -> None:
    """A NaN return is an error, not a strategy of unknown rank."""
    returns = np.zeros((100, 3))
    returns[4, 1] = np.nan
    with pytest.raises(ModelError, match="1 returns are not finite"):
        probability_of_overfitting(returns, n_blocks=4)


def test_the_largest_case_of_the_paper_takes_seconds() -> None:
    """16 blocks (12,870 combinations) of 2,500 days x 200 strategies (bound wide enough for a busy machine)."""
    returns = np.random.default_rng(0).standard_normal((2500, 200)) * 0.01
    began = time.process_time()
    assert len(probability_of_overfitting(returns).logits) == 12_870
    assert time.process_time() - began < 10
