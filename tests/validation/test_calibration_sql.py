"""A calibrator as SQL gives Python's probabilities, bit for bit."""

import json
from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.validation.calibrators import FINITE, PLATTS, knots, same, tried
from trademl.errors import ModelError
from trademl.validation.calibration import PROBABILITY_RANGE, Calibrator, Clip, Knots, Platt, apply, from_dict
from trademl.validation.calibration_sql import calibration_sql

NARROW = st.floats(-1e300, 1e300)
CLIPS = st.sampled_from([None, PROBABILITY_RANGE])


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of one thread."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def in_sql(con: duckdb.DuckDBPyConnection, calibrator: Calibrator, scores: np.ndarray, clip: Clip | None) -> np.ndarray:
    """Return the probabilities that DuckDB computes, in the order of the scores."""
    sql = (
        f"select {calibration_sql(calibrator, 'score', clip=clip)} as probability from "
        "(select unnest($1::double[]) as score, generate_subscripts($1::double[], 1) as place) order by place"
    )
    found = [row[0] for row in con.execute(sql, [scores.tolist()]).fetchall()]
    assert None not in found
    return np.array(found, dtype=np.float64)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tried(knots() | knots(NARROW) | PLATTS), CLIPS)
def test_sql_has_the_bits_of_python(
    con: duckdb.DuckDBPyConnection, case: tuple[Calibrator, np.ndarray], clip: Clip | None
) -> None:
    """At, beside, between and outside knots, at odd floats, NaN and infinities, clipped or not."""
    calibrator, scores = case
    assert same(in_sql(con, calibrator, scores, clip), apply(calibrator, scores, clip=clip))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.floats(-5, 5), FINITE)
def test_a_curve_of_one_knot_is_a_constant(con: duckdb.DuckDBPyConnection, x: float, score: float) -> None:
    """Every score has the one probability."""
    calibrator = Knots(np.array([x]), np.array([0.3]))
    assert in_sql(con, calibrator, np.array([score]), None).tolist() == [0.3]


def test_many_knots_are_searched(con: duckdb.DuckDBPyConnection) -> None:
    """With 3,000 knots, all scores that are knots give their own probabilities, and the text has no branch for each."""
    rng = np.random.default_rng(3)
    calibrator = Knots(np.sort(rng.normal(size=3000)), np.sort(rng.random(3000)))
    np.testing.assert_array_equal(in_sql(con, calibrator, calibrator.x, None), calibrator.y)
    assert calibration_sql(calibrator, "score").count("case") < 10


@pytest.mark.parametrize("calibrator", [Knots(np.array([0.0, 1.0]), np.array([0.2, 0.8])), Platt(-1.0, 0.0)])
@pytest.mark.parametrize("clip", [None, PROBABILITY_RANGE])
def test_what_is_unknown_stays_unknown(
    con: duckdb.DuckDBPyConnection, calibrator: Calibrator, clip: Clip | None
) -> None:
    """The probability of NULL is NULL and that of NaN is NaN; neither becomes a bound of the range."""
    sql = calibration_sql(calibrator, "score", clip=clip)
    rows = con.execute(f"select {sql} from (values (null::double), ('nan'::double), (0.5)) as t(score)").fetchall()
    assert rows[0][0] is None
    assert np.isnan(rows[1][0])
    assert 0.4 < rows[2][0] < 0.7


def test_the_stored_json_is_what_is_applied(con: duckdb.DuckDBPyConnection) -> None:
    """A calibrator read back from its JSON gives the same text as the one that was written."""
    for calibrator in (Knots(np.array([-0.1, 1 / 3]), np.array([0.1, 0.7])), Platt(-1 / 3, 0.1)):
        stored = from_dict(json.loads(json.dumps(calibrator.to_dict())))
        assert calibration_sql(stored, "yhat") == calibration_sql(calibrator, "yhat")


@pytest.mark.parametrize("name", ["v", "u", "j", "p", "s", "z", "n", "k", "r", "q"])
def test_columns_may_have_the_names_used_inside(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """A score column that is called like a bound value is still the score; so is an expression over it."""
    for calibrator in (Knots(np.array([0.0, 1.0]), np.array([0.0, 1.0])), Platt(-1.0, 0.0)):
        sql = f"select {calibration_sql(calibrator, f'{name} / 4', clip=(0.0, 1.0))} from (select 1::double as {name})"
        assert con.execute(sql).fetchall() == [(float(apply(calibrator, np.array(0.25))),)]


def test_a_calibrator_needs_a_score_and_numbers() -> None:
    """A blank expression and a coefficient that is NaN are errors, not text."""
    with pytest.raises(ModelError, match="no score"):
        calibration_sql(Platt(1.0, 0.0), "  ")
    with pytest.raises(ModelError, match="no coefficient"):
        calibration_sql(Platt(float("nan"), 0.0), "yhat")
