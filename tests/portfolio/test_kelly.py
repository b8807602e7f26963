"""The Kelly criterion: Thorp's coin, the top of the growth curve, ruin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ConfigError
from trademl.portfolio.kelly import estimation_shrinkage, growth_rate, kelly_fraction, kelly_leverage


def test_thorp_s_coin() -> None:
    """A coin of 53 %: 6 % of wealth, 0.0018 a toss, and about nothing at twice that."""
    fraction = kelly_fraction(0.53, 1, 1)
    assert fraction == pytest.approx(0.06)
    assert growth_rate(fraction, 0.53, 1, 1) == pytest.approx(0.001801, abs=5e-7)
    assert growth_rate(2 * fraction, 0.53, 1, 1) == pytest.approx(0, abs=2e-5)


@given(p=st.floats(0, 1), win=st.floats(0.1, 10), loss=st.floats(0.1, 1), other=st.floats(0, 1))
def test_no_other_fraction_grows_faster(p: float, win: float, loss: float, other: float) -> None:
    """Whatever the odds."""
    best = growth_rate(kelly_fraction(p, win, loss) * (1 - 1e-12), p, win, loss)
    assert growth_rate(other, p, win, loss) <= best + 1e-9


def test_a_bet_that_is_not_worth_it_and_ruin() -> None:
    """Nothing is wagered; everything wagered is ruin."""
    assert kelly_fraction(0.5, 1, 1) == 0
    assert growth_rate(1, 0.9, 1, 1) == -math.inf
    assert growth_rate(1, 1, 1, 1) == pytest.approx(math.log(2))


def test_leverage_of_normal_returns() -> None:
    """An excess return of 5 % a year with a deviation of 15 %: 0.05 / 0.0225."""
    assert kelly_leverage(0.05, 0.15**2) == pytest.approx(2.2222, abs=1e-4)
    assert kelly_leverage(-0.01, 0.04) == 0


def test_what_makes_no_sense_is_refused() -> None:
    """With the values received."""
    for odds in ((1.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (math.nan, 1, 1)):
        with pytest.raises(ConfigError, match="a bet with the probability"):
            kelly_fraction(*odds)
    with pytest.raises(ConfigError, match="fraction of -1"):
        growth_rate(-1, 0.5, 1, 1)
    with pytest.raises(ConfigError, match="variance of 0"):
        kelly_leverage(0.1, 0)


def test_an_estimated_mean_is_worth_a_part_of_the_bet() -> None:
    """A t-statistic of 2 is worth 4 / 5 of it, of 3 nine tenths, and a loss nothing."""
    assert estimation_shrinkage(0.001, 0.01, 400) == pytest.approx(0.8)
    assert estimation_shrinkage(0.003, 0.01, 100) == pytest.approx(0.9)
    assert estimation_shrinkage(-0.001, 0.01, 400) == 0
    with pytest.raises(ConfigError, match="1 returns with the standard deviation"):
        estimation_shrinkage(0.001, 0.01, 1)
    with pytest.raises(ConfigError, match=r"the standard deviation 0\.0"):
        estimation_shrinkage(0.001, 0.0, 100)


def test_no_other_part_of_an_estimated_bet_grows_faster() -> None:
    """Over 200,000 samples of 25 returns with the mean 0.3 and the deviation 1, whose t-statistic is 1.5 in truth."""
    mean, count = 0.3, 25
    estimates = mean + np.random.default_rng(7).standard_normal(200_000) / math.sqrt(count)
    parts = np.linspace(0.05, 1.5, 30)
    # Betting b on returns of variance 1 grows by b mean - b^2 / 2; here b is a part of the estimate.
    growth = [float(np.mean(part * estimates * mean - (part * estimates) ** 2 / 2)) for part in parts]
    assert parts[int(np.argmax(growth))] == pytest.approx(estimation_shrinkage(mean, 1.0, count), abs=0.05)
