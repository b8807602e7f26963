"""Skill or luck among many traders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.oracles import skill as oracle
from trademl.errors import ModelError
from trademl.validation.sharpe import (
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    return_moments,
)
from trademl.validation.skill import (
    Records,
    luck_among,
    records_of,
    resampled_records,
    skill_scores,
    standard_panel,
)

FloatArray = NDArray[np.float64]


def panel(seed: int, days: int = 60, traders: int = 12) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Draw fat-tailed profits of traders who come and go, of very unlike size."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, days // 2, traders)
    last = np.minimum(first + rng.integers(5, days, traders), days - 1)
    pnl = rng.standard_t(4, (days, traders)) * 10.0 ** rng.integers(-3, 7, traders) + rng.normal(0, 0.2, traders)
    day = np.arange(days)[:, None]
    return np.where((day >= first) & (day <= last), pnl, 0.0), first, last


@pytest.mark.parametrize("seed", range(5))
def test_moments_are_those_of_each_record_alone(seed: int) -> None:
    """A panel gives what each series gives by itself, whatever its size, from its first to its last day."""
    pnl, first, last = panel(seed)
    found = records_of(pnl, first, last)
    for trader in range(pnl.shape[1]):
        own = return_moments(pnl[first[trader] : last[trader] + 1, trader])
        assert found.n[trader] == own.n
        assert found.sharpe[trader] == pytest.approx(own.sharpe, rel=1e-9)
        assert found.skew[trader] == pytest.approx(own.skew, rel=1e-8, abs=1e-9)
        assert found.kurtosis[trader] == pytest.approx(own.kurtosis, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_luck_agrees_with_the_oracle(seed: int) -> None:
    """Both deflated probabilities are those of a slow reference, for records of unlike length."""
    pnl, first, last = panel(seed, traders=25)
    luck = luck_among(records_of(pnl, first, last), n_observed=200, min_days=20)
    records = [pnl[first[trader] : last[trader] + 1, trader].tolist() for trader in range(25)]
    published, own = oracle.deflated(records, 200, 20)
    assert luck.dsr.tolist() == pytest.approx(published, abs=1e-9)
    assert luck.deflated_skill.tolist() == pytest.approx(own, abs=1e-9)


def test_each_statistic_is_the_published_one() -> None:
    """PSR, DSR and the minimum track record are those of trademl.validation.sharpe, which published figures defend."""
    pnl, first, last = panel(11)
    records = records_of(pnl, first, last)
    luck = luck_among(records, n_observed=40, min_days=10, confidence=0.9)
    for trader in range(pnl.shape[1]):
        own = return_moments(pnl[first[trader] : last[trader] + 1, trader])
        shape = {"skew": own.skew, "kurtosis": own.kurtosis}
        assert luck.psr[trader] == pytest.approx(probabilistic_sharpe_ratio(own.sharpe, own.n, **shape), abs=1e-9)
        expected = deflated_sharpe_ratio(own.sharpe, own.n, n_trials=40, trials_variance=luck.variance, **shape)
        assert luck.dsr[trader] == pytest.approx(expected, abs=1e-9)
        needed = minimum_track_record_length(own.sharpe, confidence=0.9, **shape)
        assert luck.min_track_record[trader] == pytest.approx(needed, rel=1e-7)


def test_records_of_equal_length_have_the_papers_threshold() -> None:
    """With normal records of equal length the threshold is about the paper's, but for how variance is measured."""
    rng = np.random.default_rng(3)
    n = 101
    pnl = 3.0 * rng.standard_normal((n, 4000)) * np.where(np.arange(4000) % 2, 1.0, 500.0)
    luck = luck_among(records_of(pnl, np.zeros(4000), np.full(4000, n - 1)), n_observed=4000)
    paper = expected_maximum_sharpe(4000, luck.variance)
    assert np.median(luck.threshold) == pytest.approx(paper, rel=0.03)


def test_the_luckiest_of_many_is_not_found_skilled() -> None:
    """Of 3,000 traders without skill and records of 20 to 200 days, hardly any is beyond luck; PSR finds 5 %."""
    rng = np.random.default_rng(5)
    pnl, last = rng.standard_normal((200, 3000)), rng.integers(19, 200, 3000)
    luck = luck_among(records_of(pnl, np.zeros(3000), last), n_observed=3000, min_days=20)
    assert np.mean(luck.psr > 0.95) == pytest.approx(0.05, abs=0.015)
    assert np.sum(luck.deflated_skill > 0.95) <= 2
    assert luck.deflated_skill.max() > 0.2


def test_the_vanished_count() -> None:
    """The more traders were ever observed, the less the same record proves."""
    pnl, first, last = panel(2)
    records = records_of(pnl, first, last)
    few, many = (luck_among(records, n_observed=number) for number in (12, 10_000))
    assert (many.deflated_skill < few.deflated_skill).all()
    assert many.threshold[0] > few.threshold[0]


def test_a_longer_record_of_the_same_kind_proves_more() -> None:
    """A Sharpe ratio below the pooled threshold proves more over 500 days than over 50; the paper's DSR says less."""
    n = np.array([50.0, 500.0, *[50.0] * 30])
    rng = np.random.default_rng(1)
    sharpe = np.concatenate([[0.2, 0.2], rng.normal(0, 1 / 7, 30)])
    records = Records(n, sharpe, np.zeros(32), np.full(32, 3.0))
    luck = luck_among(records, n_observed=32)
    assert luck.deflated_skill[1] > 0.9 > luck.deflated_skill[0]
    wild = Records(n, sharpe, np.zeros(32), np.where(np.arange(32) == 0, 90.0, 3.0))
    assert skill_scores(wild)[0] < skill_scores(records)[0]
    assert luck.dsr[1] < luck.dsr[0] < 0.5


def test_a_few_great_days_earn_no_credit() -> None:
    """Skewness widens the error of a record and never narrows it: PSR believes great days, deflated skill does not."""
    n, sharpe = np.full(3, 100.0), np.full(3, 0.3)
    records = Records(n, sharpe, np.array([0.0, 4.0, -4.0]), np.array([3.0, 20.0, 20.0]))
    luck = luck_among(records, n_observed=3, min_days=2)
    assert luck.psr[1] > luck.psr[0] > luck.psr[2]
    z = skill_scores(records)
    assert z[1] == pytest.approx(0.3 * np.sqrt(99))
    assert z[2] < z[1]
    assert luck.deflated_skill[2] < luck.deflated_skill[1]


def test_skilled_tails_do_not_count_as_luck() -> None:
    """The spread comes from the middle half: a tenth of traders of great skill hardly moves it."""
    rng = np.random.default_rng(4)
    sharpe = rng.normal(0, 0.1, 2000)
    sharpe[:200] += 0.5
    records = Records(np.full(2000, 101.0), sharpe, np.zeros(2000), np.full(2000, 3.0))
    luck = luck_among(records, n_observed=2000)
    assert luck.spread < 1.25
    assert np.sqrt(luck.variance) * 10 > 1.7


@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), min_size=5, max_size=30), st.floats(0.001, 1e6)
)
def test_money_has_no_unit(values: list[float], unit: float) -> None:
    """Profits in another currency give the same Sharpe ratio: a constant capital cancels."""
    pnl = np.array(values)[:, None]
    place = np.zeros(1), np.full(1, len(values) - 1)
    one, other = records_of(pnl, *place).sharpe, records_of(pnl * unit, *place).sharpe
    assert np.isnan(one) == np.isnan(other)
    assert np.isnan(one) or one == pytest.approx(other, rel=1e-6, abs=1e-9)


def test_a_record_without_variation_has_no_probability() -> None:
    """One day, the same profit every day, and no profit at all: NaN, and no effect on the others."""
    pnl = np.array([[1.0, 0.1, 0.0, 1.0], [0.0, 0.1, 0.0, -2.0], [0.0, 0.1, 0.0, 4.0]])
    records = records_of(pnl, np.zeros(4), np.array([0, 2, 2, 2]))
    luck = luck_among(records, n_observed=4, min_days=2)
    for values in (records.sharpe, luck.psr, luck.dsr, luck.deflated_skill, luck.threshold, luck.min_track_record):
        assert np.isnan(values[:3]).all()
        assert np.isfinite(values[3])


def test_scores_order_what_probabilities_cannot() -> None:
    """Where probabilities round to 1 the scores still tell records apart, in the same order everywhere else."""
    records = Records(np.full(3, 400.0), np.array([0.9, 1.2, 0.01]), np.zeros(3), np.full(3, 3.0))
    luck = luck_among(records, n_observed=3)
    scores = skill_scores(records)
    assert luck.deflated_skill[0] == luck.deflated_skill[1] == 1.0
    assert scores[1] > scores[0] > scores[2]


def test_a_resample_with_every_day_once_is_the_record() -> None:
    """Counts of one give the moments of the panel itself; counts of two the same mean over twice the days."""
    pnl, first, last = panel(8)
    records = records_of(pnl, first, last)
    drawn = resampled_records(np.array([[1.0] * 60, [2.0] * 60]), standard_panel(pnl, first, last))
    assert drawn.sharpe[0] == pytest.approx(records.sharpe, rel=1e-9)
    assert drawn.kurtosis[1] == pytest.approx(records.kurtosis, rel=1e-8)
    assert drawn.n[1] == pytest.approx(2 * records.n)


@pytest.mark.parametrize(
    "pnl, first, last, said",
    [
        (np.zeros(3), [0], [1], "shape"),
        (np.zeros((3, 2)), [0], [1], "shape"),
        (np.array([[np.nan], [1.0]]), [0], [1], "not finite"),
        (np.zeros((3, 1)), [2], [1], "first days"),
        (np.zeros((3, 1)), [0], [3], "first days"),
    ],
)
def test_a_wrong_panel_is_refused(pnl: FloatArray, first: list[int], last: list[int], said: str) -> None:
    """Shapes that do not fit, values that are not numbers and places outside are named."""
    with pytest.raises(ModelError, match=said):
        records_of(pnl, first, last)


def test_wrong_parameters_are_refused() -> None:
    """Fewer traders than records, a record of one day and a confidence of 1 are named."""
    records = records_of(*panel(0))
    for wrong in ({"n_observed": 3}, {"n_observed": 12, "min_days": 1}, {"n_observed": 12, "confidence": 1.0}):
        with pytest.raises(ModelError):
            luck_among(records, **wrong)  # type: ignore[arg-type]
