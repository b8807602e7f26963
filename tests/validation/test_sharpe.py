"""Sharpe ratios and their luck; published figures are in test_validation_published_values.py."""

import numpy as np
import pytest

from trademl.errors import ModelError
from trademl.validation.sharpe import (
    deflated_sharpe_ratio,
    expected_maximum_exact,
    expected_maximum_sharpe,
    minimum_backtest_length,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    return_moments,
    sharpe_variance,
    whole_returns,
)


def test_moments_by_hand() -> None:
    """Returns 1, 1, 1, 5: mean 2, deviation 2 with n - 1; population skewness 2/sqrt(3), kurtosis 7/3."""
    moments = return_moments(np.array([1, 1, 1, 5.0]))
    assert moments.sharpe == pytest.approx(1.0)
    assert moments.skew == pytest.approx(2 / np.sqrt(3))
    assert moments.kurtosis == pytest.approx(7 / 3)
    assert moments.n == 4


def test_a_flat_series_has_no_sharpe_ratio() -> None:
    """A series without variation gives NaN, not infinity."""
    assert np.isnan(return_moments(np.full(5, 0.1)).sharpe)


def test_simulated_sharpe_ratios_exceed_psr_as_often_as_it_says() -> None:
    """Under a true ratio equal to the benchmark PSR is uniform: about 5 % of samples reach 0.95."""
    rng = np.random.default_rng(0)
    reached = [
        probabilistic_sharpe_ratio(m.sharpe, m.n, skew=m.skew, kurtosis=m.kurtosis, benchmark=0.1) >= 0.95
        for m in (return_moments(rng.standard_normal(250) + 0.1) for _ in range(4000))
    ]
    assert np.mean(reached) == pytest.approx(0.05, abs=0.012)


def test_the_expected_maximum_of_two_normals_is_known() -> None:
    """E max of 1, 2 and 3 standard normals: 0, 1/sqrt(pi), 3/(2 sqrt(pi))."""
    assert expected_maximum_exact(1) == pytest.approx(0, abs=1e-12)
    assert expected_maximum_exact(2) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-12)
    assert expected_maximum_exact(3) == pytest.approx(1.5 / np.sqrt(np.pi), abs=1e-12)


def test_one_trial_is_not_deflated() -> None:
    """Without selection DSR is PSR against 0, and more trials only lower it."""
    one = deflated_sharpe_ratio(0.1, 500, n_trials=1, trials_variance=0.01)
    assert one == probabilistic_sharpe_ratio(0.1, 500)
    assert one > deflated_sharpe_ratio(0.1, 500, n_trials=2, trials_variance=0.01)
    assert expected_maximum_sharpe(1, 0.01, mean=0.02) == 0.02
    assert sharpe_variance(np.array([0.3])) == 0


def test_a_track_record_of_the_minimum_length_just_suffices() -> None:
    """PSR over the minimum number of returns is the confidence itself."""
    length = minimum_track_record_length(0.2, benchmark=0.1, skew=-0.5, kurtosis=5, confidence=0.9)
    z = (0.2 - 0.1) * np.sqrt(length - 1) / np.sqrt(1 + 0.5 * 0.2 + 0.2**2)
    assert z == pytest.approx(1.2815515655446004)
    assert minimum_track_record_length(0.1, benchmark=0.1) == np.inf
    assert (whole_returns(228.73), whole_returns(np.inf)) == (229, np.inf)


@pytest.mark.parametrize(
    "call",
    [
        lambda: probabilistic_sharpe_ratio(0.1, 1),
        lambda: probabilistic_sharpe_ratio(3.0, 100, skew=5.0, kurtosis=0.0),
        lambda: expected_maximum_sharpe(0, 1.0),
        lambda: expected_maximum_exact(0),
        lambda: minimum_backtest_length(1),
        lambda: minimum_track_record_length(0.1, confidence=1.0),
        lambda: return_moments(np.array([1.0, np.nan])),
    ],
)
def test_impossible_inputs_are_refused(call) -> None:
    """Too few returns or trials, impossible moments and probabilities, and NaN returns raise."""
    with pytest.raises(ModelError):
        call()
