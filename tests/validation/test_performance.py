"""Sharpe ratio, wealth, drawdown, profit factor and win rate of return series."""

from math import inf, isnan, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import performance as oracle
from trademl.errors import ModelError
from trademl.validation.performance import (
    annualised_return,
    annualised_sharpe,
    annualised_volatility,
    equity_curve,
    max_drawdown,
    performance_table,
    profit_factor,
    summarise_performance,
    win_rate,
)
from trademl.validation.sharpe import return_moments

RETURNS = st.lists(st.sampled_from([-1.0, -0.5, -0.02, -0.01, 0.0, 0.0, 0.01, 0.03, 0.5]), min_size=1, max_size=30)


@settings(deadline=None)
@given(RETURNS, st.sampled_from([12.0, 52.0, 252.0]))
def test_every_measure_equals_the_loop_oracle(returns: list[float], year: float) -> None:
    """With total losses, flat periods and ties, each number is that of its definition."""
    summary = summarise_performance(np.array(returns), periods_per_year=year)
    expected = oracle.summary(returns, year)
    assert summary.periods == len(returns)
    for name, value in expected.items():
        assert getattr(summary, name) == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name


def test_a_year_by_hand() -> None:
    """Up 10 per cent, down 20, up 25, down 10: wealth 1.1, 0.88, 1.1, 0.99."""
    returns = np.array([0.10, -0.20, 0.25, -0.10])
    np.testing.assert_allclose(equity_curve(returns), [1.1, 0.88, 1.1, 0.99])
    assert max_drawdown(returns) == pytest.approx(0.20)
    assert profit_factor(returns) == pytest.approx(0.35 / 0.30)
    assert win_rate(returns) == 0.5
    assert annualised_return(returns, periods_per_year=4) == pytest.approx(-0.01)
    assert annualised_return(returns, periods_per_year=8) == pytest.approx(0.99**2 - 1)
    # Mean 0.0125; squared deviations 0.00765625, 0.04515625, 0.05640625, 0.01265625.
    assert annualised_volatility(returns, periods_per_year=4) == pytest.approx(2 * sqrt(0.121875 / 3))
    assert annualised_sharpe(returns, periods_per_year=4) == pytest.approx(0.0125 * 2 / sqrt(0.121875 / 3))


def test_the_first_loss_is_a_drawdown_from_the_starting_wealth() -> None:
    """A series that only falls has lost everything below 1."""
    assert max_drawdown(np.array([-0.1, -0.1])) == pytest.approx(0.19)
    assert max_drawdown(np.array([0.1, 0.2])) == 0
    assert max_drawdown(np.array([0.5, -1.0, 3.0])) == 1


def test_a_series_without_losses_or_without_trades() -> None:
    """Without losses the profit factor is infinite; without anything it and the win rate are undefined."""
    assert profit_factor(np.array([0.01, 0.0])) == inf
    assert profit_factor(np.array([-0.01, 0.0])) == 0
    idle = summarise_performance(np.zeros(5))
    assert isnan(idle.profit_factor)
    assert isnan(idle.win_rate)
    assert isnan(idle.annualised_sharpe)
    assert (idle.annualised_return, idle.max_drawdown, idle.annualised_volatility) == (0, 0, 0)


def test_a_constant_series_has_no_sharpe_ratio() -> None:
    """0.1 repeated is without variation, though its mean rounds to another number."""
    assert isnan(annualised_sharpe(np.full(7, 0.1)))
    assert annualised_volatility(np.full(7, 0.1)) == 0
    assert isnan(annualised_volatility(np.array([0.1])))


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=40).filter(lambda values: max(values) > min(values)))
def test_the_sharpe_ratio_is_the_one_that_is_deflated(returns: list[float]) -> None:
    """Annual divided by the root of the periods a year is the ratio per period of the deflated Sharpe ratio."""
    values = np.array(returns)
    if values.std() > 1e-9:
        assert annualised_sharpe(values) / sqrt(252) == pytest.approx(return_moments(values).sharpe)


@settings(deadline=None)
@given(st.lists(st.integers(-300, 300), min_size=2, max_size=40), st.floats(0.1, 1.0))
def test_laws_of_drawdown_and_wealth(tenths: list[int], share: float) -> None:
    """Wealth is the product of growth; a drawdown is that of a prefix or deeper; holding less loses less."""
    values = np.array(tenths) / 1000
    assert log(equity_curve(values)[-1]) == pytest.approx(np.log1p(values).sum(), abs=1e-9)
    assert 0 <= max_drawdown(values[:-1]) <= max_drawdown(values) < 1
    assert max_drawdown(share * np.minimum(values, 0)) <= max_drawdown(np.minimum(values, 0)) + 1e-12
    negated = profit_factor(-values)
    assert profit_factor(values) == pytest.approx(1 / negated if negated else inf, nan_ok=True)


def test_many_strategies_at_once_equal_one_at_a_time() -> None:
    """Each column of the table is the summary of that column, and equity_curve keeps the shape."""
    values = np.random.default_rng(3).normal(0.0005, 0.01, (300, 6))
    values[:, 2] = 0.0
    table = performance_table(values)
    curves = equity_curve(values)
    assert curves.shape == values.shape
    for column in range(6):
        alone = summarise_performance(values[:, column])
        np.testing.assert_array_equal(curves[:, column], equity_curve(values[:, column]))
        for name in ("total_return", "annualised_return", "annualised_sharpe", "max_drawdown", "win_rate"):
            assert getattr(table, name)[column] == pytest.approx(getattr(alone, name), nan_ok=True)


def test_turnover_is_averaged_over_the_periods() -> None:
    """Three periods that trade 0.2, 0.4 and nothing turn over 0.2 on average; none given is none reported."""
    returns = np.array([0.01, 0.02, -0.01])
    assert summarise_performance(returns, np.array([0.2, 0.4, 0.0])).turnover == pytest.approx(0.2)
    assert summarise_performance(returns).turnover is None
    for wrong in (np.array([0.1, 0.2]), np.array([0.1, -0.2, 0.1])):
        with pytest.raises(ModelError, match=r"`turnover` has \d values"):
            summarise_performance(returns, wrong)


def test_bad_input_is_refused() -> None:
    """Gaps, several series where one is meant, emptiness, ruin twice over and no calendar are named."""
    with pytest.raises(ModelError, match="1 of 3 values of `returns` are not finite"):
        max_drawdown(np.array([0.1, np.nan, 0.2]))
    with pytest.raises(ModelError, match=r"shape \(2, 2\), not one dimension"):
        annualised_sharpe(np.zeros((2, 2)))
    with pytest.raises(ModelError, match="at least one period"):
        profit_factor(np.array([]))
    with pytest.raises(ModelError, match=r"a return of -1.5 loses more than everything"):
        equity_curve(np.array([0.1, -1.5]))
    with pytest.raises(ModelError, match="`periods_per_year=0` is not a positive number"):
        annualised_sharpe(np.array([0.1, 0.2]), 0)
