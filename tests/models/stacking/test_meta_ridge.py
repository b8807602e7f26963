"""Scaler and ridge regression as JSON, beside scikit-learn's."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl.errors import ModelError
from trademl.models.stacking.meta_ridge import MetaRidge

INPUTS = ("a", "b", "c")


def drawn(rows: int = 60, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs of very different scales, labels and uneven weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)) * [1.0, 1e-3, 500.0] + [0.0, 5.0, 80.0]
    return X, X[:, 0] - 300 * X[:, 1] + rng.normal(size=rows), rng.uniform(0.2, 3.0, rows)


def fitted(alpha: float = 60.0) -> MetaRidge:
    X, y, weight = drawn()
    return MetaRidge.fit(X, y, weight, alpha=alpha, inputs=INPUTS)


@pytest.mark.parametrize("alpha", [0.5, 60.0, 5000.0])
def test_it_is_standard_scaler_and_ridge(alpha: float) -> None:
    """With equal weights the numbers are those of scikit-learn's StandardScaler and Ridge(alpha)."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    X, y, _ = drawn()
    scaler = StandardScaler().fit(X)
    ridge = Ridge(alpha=alpha).fit(scaler.transform(X), y)
    found = MetaRidge.fit(X, y, np.ones(len(y)), alpha=alpha, inputs=INPUTS)
    assert np.allclose(found.means, scaler.mean_, rtol=1e-12)
    assert np.allclose(found.scales, scaler.scale_, rtol=1e-6)
    assert np.allclose(found.coefficients, ridge.coef_, rtol=1e-6)
    assert np.isclose(found.intercept, ridge.intercept_, rtol=1e-9)
    assert np.allclose(found.predict(X), ridge.predict(scaler.transform(X)), rtol=1e-6, atol=1e-7)


def test_weights_count_as_rows() -> None:
    """A row of weight 2 is that row twice, and only the ratios of weights matter but for the mean of 1."""
    X, y, _ = drawn(20)
    twice = np.concatenate([np.arange(20), np.arange(10)])
    weight = np.where(np.arange(20) < 10, 2.0, 1.0)
    # alpha per unit of weight: 30 rows of weight 1 have the penalty that 20 rows of mean weight 1 have with 20 / 30.
    doubled = MetaRidge.fit(X[twice], y[twice], np.ones(30), alpha=6.0, inputs=INPUTS)
    weighted = MetaRidge.fit(X, y, weight, alpha=4.0, inputs=INPUTS)
    assert np.allclose(doubled.coefficients, weighted.coefficients, rtol=1e-8)
    assert np.allclose(doubled.means, weighted.means)
    scaled = MetaRidge.fit(X, y, 7 * weight, alpha=4.0, inputs=INPUTS)
    assert np.allclose(scaled.coefficients, weighted.coefficients, rtol=1e-10)


def test_what_is_not_finite_counts_as_the_mean() -> None:
    """NaN and the infinities give the score of the mean."""
    model = fitted()
    row = np.array([[0.3, 5.001, model.means[2]]])
    for odd in (np.nan, np.inf, -np.inf):
        assert model.predict(np.array([[0.3, 5.001, odd]])).tolist() == model.predict(row).tolist()


def test_a_score_is_its_formula_summed_in_order() -> None:
    """intercept + ((c1 z1 + c2 z2) + c3 z3), each step rounded once."""
    model = MetaRidge(INPUTS, (1.0, 2.0, 3.0), (2.0, 0.3, 0.7), (0.1, -0.2, 1e9), 0.25, 1.0)
    a, b, c = 1.7, -3.1, 3.14
    first = (a - 1.0) / 2.0 * 0.1
    second = (b - 2.0) / 0.3 * -0.2
    third = (c - 3.0) / 0.7 * 1e9
    assert model.predict(np.array([[a, b, c]])).tolist() == [0.25 + ((first + second) + third)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_files_read_back_as_the_same_numbers(seed: int) -> None:
    """The two documents give the same scores, to the bit."""
    X, y, weight = drawn(seed=seed)
    model = MetaRidge.fit(X, y, weight, alpha=1.0, inputs=INPUTS)
    again = MetaRidge.from_files(*model.to_files(), origin="here")
    assert again == model
    assert again.predict(X).tolist() == model.predict(X).tolist()


def test_damaged_files_are_refused() -> None:
    """A cut, foreign or contradictory document is a ModelError that says which."""
    scaler, ridge = fitted().to_files()
    first, second = json.loads(scaler), json.loads(ridge)

    def written(document: dict[str, object]) -> bytes:
        return json.dumps(document).encode()

    for one, two, told in [
        (scaler[: len(scaler) // 2], ridge, r"here: scaler\.json cannot be read"),
        (scaler, ridge[:-20], r"here: ridge\.json cannot be read"),
        (b"[]", ridge, r"scaler\.json cannot be read: it is no"),
        (written({**first, "mean": [0.0, float("nan"), 1.0]}), ridge, "numbers that are not finite"),
        (written({**first, "scale": [1.0, 0.0, 1.0]}), ridge, "a scale of 0"),
        (written({**first, "mean": [0.0]}), ridge, "3 inputs with 1 means"),
        (written({**first, "inputs": ["b", "a", "c"]}), ridge, "other inputs, or another order"),
        (scaler, written({**second, "alpha": -1.0}), "negative alpha"),
        (scaler, written({key: value for key, value in second.items() if key != "intercept"}), "lacks a part"),
    ]:
        with pytest.raises(ModelError, match=told):
            MetaRidge.from_files(one, two, origin="here")
