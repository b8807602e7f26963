"""Scores: paths, their mean, ranks and their means over sessions."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backtest.home import FIRST, LAST, RUN, SYMBOLS, prediction
from tests.backtest.warehouse import day
from trademl.backtest.scores import Scores, percentile_ranks, read_scores, smoothed
from trademl.errors import ArtifactError, ConfigError


def table(values: list[list[float]]) -> Scores:
    """Scores of a few dates."""
    array = np.array(values, dtype=np.float64)
    names = tuple(f"S{code}" for code in range(array.shape[1]))
    return Scores(np.datetime64("2020-01-06") + np.arange(len(array)), names, array)


def test_a_path_is_read_as_it_is_and_the_mean_over_both(con: duckdb.DuckDBPyConnection) -> None:
    """Row by row."""
    one, mean = read_scores(con, RUN, "1"), read_scores(con, RUN)
    assert one.dates.tolist() == [day(at).item() for at in range(FIRST, LAST)]
    assert one.symbols == tuple(sorted(f"S{code}" for code in range(SYMBOLS)))
    for at, session in ((0, FIRST), (30, FIRST + 30)):
        for column, symbol in enumerate(one.symbols):
            expected = [prediction(path, session, int(symbol[1:])) for path in (0, 1)]
            assert one.values[at, column] == expected[1]
            assert mean.values[at, column] == pytest.approx(sum(expected) / 2)


def test_what_is_not_there_is_named(con: duckdb.DuckDBPyConnection) -> None:
    """A run, a path, a period."""
    with pytest.raises(ArtifactError, match="no prediction of run nothing"):
        read_scores(con, "nothing")
    with pytest.raises(ConfigError, match="no path '7'; its paths are 0, 1"):
        read_scores(con, RUN, "7")
    with pytest.raises(ConfigError, match="no decision from 2031-01-01"):
        read_scores(con, RUN).between("2031-01-01", None)


def test_a_period_includes_both_ends() -> None:
    """Of four dates the middle two."""
    found = table([[1], [2], [3], [4]]).between("2020-01-07", "2020-01-08")
    assert found.values.ravel().tolist() == [2, 3]


def test_ranks_are_averaged_over_the_sessions_that_a_symbol_was_scored_on() -> None:
    """Two sessions of 1/3, 2/3 and 1, then a missing score: by hand."""
    found = smoothed(table([[1, 2, 3], [3, np.nan, 1], [1, 2, 3]]), 2).values
    assert found[0] == pytest.approx([1 / 3, 2 / 3, 1])
    assert found[1, [0, 2]] == pytest.approx([(1 / 3 + 1) / 2, (1 + 1 / 2) / 2])
    assert np.isnan(found[1, 1])
    assert found[2] == pytest.approx([(1 + 1 / 3) / 2, 2 / 3, (1 / 2 + 1) / 2])
    with pytest.raises(ConfigError, match="over 0 sessions"):
        smoothed(table([[1, 2]]), 0)


@given(st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(float("nan"))), min_size=1, max_size=12))
def test_percentile_ranks_count_what_is_below_and_half_of_what_ties(values: list[float]) -> None:
    """Against a loop: (smaller + (equal + 1) / 2) / n."""
    known = [value for value in values if value == value]
    for value, rank in zip(values, percentile_ranks(np.array(values)).tolist(), strict=True):
        if value != value:
            assert rank != rank
        else:
            below, ties = sum(one < value for one in known), sum(one == value for one in known)
            assert rank == pytest.approx((below + (ties + 1) / 2) / len(known))
