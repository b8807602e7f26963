"""How long a signal lasts, and what each part of its ranking is worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import signal_profile as oracle
from trademl.errors import ModelError
from trademl.validation.metrics import ranks_within_dates
from trademl.validation.signal_profile import quantile_means, rank_ic_decay

NUMBERS = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, float("nan")])
ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 7), NUMBERS, NUMBERS),
    min_size=1,
    max_size=50,
    unique_by=lambda r: r[:2],
)


@settings(deadline=None)
@given(ROWS, st.integers(0, 7))
def test_decay_equals_one_correlation_at_a_time(rows: list[tuple[int, int, float, float]], lag: int) -> None:
    """With holes, ties and NaN, each lag has the mean and the number of the daily rank correlations."""
    session, entity, score, value = (np.array(column) for column in zip(*rows, strict=True))
    (found,) = rank_ic_decay(score, value, session, entity, lags=[lag])
    mean, dates = oracle.decay(score.tolist(), value.tolist(), session.tolist(), entity.tolist(), lag)
    assert (found.lag, found.dates) == (lag, dates)
    assert found.rank_ic == pytest.approx(mean, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(ROWS, st.integers(2, 10))
def test_quantiles_equal_one_date_at_a_time(rows: list[tuple[int, int, float, float]], quantiles: int) -> None:
    """Mean of the daily means, ties in one quantile, empty quantiles without a mean."""
    dates, _, score, value = (np.array(column) for column in zip(*rows, strict=True))
    found = quantile_means(score, value, dates, quantiles=quantiles)
    expected = oracle.quantile_means(score.tolist(), value.tolist(), dates.tolist(), quantiles)
    assert [part.quantile for part in found] == list(range(1, quantiles + 1))
    assert [part.dates for part in found] == [count for _, count in expected]
    assert [part.mean for part in found] == pytest.approx([mean for mean, _ in expected], abs=1e-12, nan_ok=True)


def test_a_signal_that_is_late_peaks_at_its_lag() -> None:
    """A score that is the label of three sessions later has rank IC 1 there and about 0 elsewhere."""
    rng = np.random.default_rng(8)
    sessions, names = 60, 30
    value = rng.normal(size=(sessions, names))
    score = np.full_like(value, np.nan)
    score[:-3] = value[3:]
    session, entity = np.repeat(np.arange(100, 100 + sessions), names), np.tile(np.arange(names), sessions)
    found = rank_ic_decay(score.ravel(), value.ravel(), session, entity, lags=[0, 1, 3, 5])
    assert [point.dates for point in found] == [57, 57, 57, 55]
    assert found[2].rank_ic == pytest.approx(1.0)
    assert max(abs(found[at].rank_ic) for at in (0, 1, 3)) < 0.1


def test_deciles_by_hand() -> None:
    """Ten names in two dates: decile d holds the d-th score, and each date weighs the same."""
    score = np.concatenate([np.arange(10.0), np.arange(10.0)])
    value = np.concatenate([np.arange(10.0), np.full(10, 2.0)])
    found = quantile_means(score, value, np.repeat([0, 1], 10))
    assert [part.mean for part in found] == pytest.approx([(d + 2) / 2 for d in range(10)])
    assert {part.dates for part in found} == {2}


def test_neighbouring_labels_widen_the_error() -> None:
    """With outcomes that overlap by four sessions the t-statistic is smaller than without."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(204, 20))
    value = sum(steps[lag : lag + 200] for lag in range(5))
    score = np.repeat(rng.normal(size=(40, 20)), 5, axis=0) + 0.3 * value
    session, entity = np.repeat(np.arange(200), 20), np.tile(np.arange(20), 200)
    narrow, wide = (
        rank_ic_decay(score.ravel(), value.ravel(), session, entity, lags=[0], overlap=overlap)[0].rank_ic_t
        for overlap in (0, 12)
    )
    assert 0 < wide < narrow


def test_rows_that_make_no_panel_are_refused() -> None:
    """Other lengths, a negative lag or code, and a name twice on one session are errors; no rows are no signal."""
    one, zero = np.array([1.0, 2.0]), np.array([0, 0])
    with pytest.raises(ModelError, match="one length"):
        rank_ic_decay(one, one[:1], zero, zero)
    with pytest.raises(ModelError, match="lags of at least 0"):
        rank_ic_decay(one, one, zero, np.array([0, 1]), lags=[-1])
    with pytest.raises(ModelError, match="code -1"):
        rank_ic_decay(one, one, zero, np.array([0, -1]))
    with pytest.raises(ModelError, match="repeat a name"):
        rank_ic_decay(one, one, zero, zero)
    with pytest.raises(ModelError, match="no ranking"):
        quantile_means(one, one, zero, quantiles=1)
    with pytest.raises(ModelError, match="one length"):
        quantile_means(one, one, zero[:1])
    with pytest.raises(ModelError, match="finite"):
        ranks_within_dates(np.array([np.nan]), np.array([0]))
    empty = np.empty(0, dtype=np.int64)
    (none,) = rank_ic_decay(np.empty(0), np.empty(0), empty, empty, lags=[3])
    assert (none.lag, none.dates) == (3, 0)
    assert np.isnan(none.rank_ic)
