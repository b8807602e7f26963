"""Standard scaling: as scikit-learn, in numpy and in SQL to the same bits."""

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.sleeves.events.retrieval.scaling import Scaling


def measured(matrix: NDArray[np.float64]) -> Scaling:
    names = [f'f "{number}"' for number in range(matrix.shape[1])]
    return Scaling.measure(names, iter(matrix.T), len(matrix))


def test_it_is_scikit_learns_scaler_with_missing_values_at_the_mean() -> None:
    """Means and deviations leave missing values out; scaled, they are 0."""
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(4)
    matrix = rng.standard_normal((500, 6)) * 10.0 ** rng.integers(-3, 4, 6) + 5
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    expected = np.nan_to_num(StandardScaler().fit_transform(matrix), nan=0.0)
    np.testing.assert_allclose(measured(matrix).transform(matrix), expected, rtol=0, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    )
)
def test_sql_scales_to_the_same_bits(rows: list[list[float]]) -> None:
    """What DuckDB stores and what numpy makes of a query are equal, so equal events lie at distance 0."""
    matrix = np.array(rows, dtype=np.float64)
    # Squares of the largest floats of 32 bits are far below the largest of 64.
    scaling = measured(matrix)
    con = duckdb.connect()
    con.execute('create table raw ("f ""0""" float, "f ""1""" float, "f ""2""" float)')
    con.executemany("insert into raw values (?, ?, ?)", [[None if x != x else x for x in row] for row in rows])
    found = [row[0] for row in con.execute(f"select {scaling.sql()} from raw").fetchall()]
    assert np.array_equal(np.array(found, dtype=np.float64), scaling.transform(matrix))


def test_a_constant_column_is_centred_and_an_empty_one_left_out() -> None:
    """Equal values have scale 1, whatever their rounded deviation would be; a column without values has no say."""
    matrix = np.column_stack([np.full(7, np.float32(0.1), dtype=np.float64), np.full(7, np.nan), np.arange(7.0)])
    scaling = measured(matrix)
    assert scaling.scale[:2].tolist() == [1.0, 0.0]
    assert scaling.transform([[float(np.float32(0.1)), 1e9, 3.0]]).tolist() == [[0.0, 0.0, 0.0]]


def test_a_vector_of_another_length_is_refused() -> None:
    """The message says how many features there are."""
    with pytest.raises(ConfigError, match=r"shape \(2,\); this index has 3 features"):
        measured(np.zeros((2, 3))).transform([1.0, 2.0])
