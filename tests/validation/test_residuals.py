"""Residual dispersion by prediction and regime."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl.errors import ModelError
from trademl.validation.residuals import ResidualTable, fit_residual_std


def test_a_planted_dispersion_is_recovered() -> None:
    """Residuals drawn with deviation 1, 2 and 3 in the regimes, doubled for high predictions, come back within 5 %."""
    rng = np.random.default_rng(0)
    n = 60_000
    yhat, regime = rng.random(n), rng.integers(0, 3, n)
    residual = rng.standard_normal(n) * (1 + regime) * np.where(yhat > 0.5, 2, 1)
    table = fit_residual_std(yhat, residual, regime, n_bins=2)
    np.testing.assert_allclose(table.std[:3], [[1, 2], [2, 4], [3, 6]], rtol=0.05)
    np.testing.assert_allclose(table.std[3], np.sqrt(14 / 3) * np.array([1, 2]), rtol=0.05)
    assert table.lookup(np.array([0.1, 0.9]), np.array([2, 0])) == pytest.approx([3, 2], rel=0.05)


def test_shrinkage_by_hand() -> None:
    """One bin; the regime's 4 residuals have variance 4, all 6 have variance v: the cell has (4 x 4 + 2 v) / 6."""
    residual = np.array([-1, 3, -1, 3, 0, 2.0])
    own = np.var(residual[:4], ddof=1)
    everything = np.var(residual, ddof=1)
    table = fit_residual_std(np.arange(6.0), residual, np.array([0, 0, 0, 0, -1, -1]), n_bins=1, min_rows=2)
    # The bin is all rows, so leaning on them changes nothing: 6 v + 2 v over 8.
    assert table.std[3, 0] == pytest.approx(np.sqrt(everything))
    assert table.std[0, 0] == pytest.approx(np.sqrt((4 * own + 2 * everything) / 6))
    # A regime never seen stands wholly on the bin.
    assert table.std[1, 0] == table.std[2, 0] == pytest.approx(np.sqrt(everything))


def test_an_unknown_regime_is_answered_by_all_regimes() -> None:
    """Names and codes that the table does not know, and none at all, use the last row."""
    table = ResidualTable(("low", "high"), np.array([0.0]), np.array([[1, 2], [3, 4], [5, 6.0]]))
    assert (table.code("high"), table.code("panic"), table.code(None)) == (1, -1, -1)
    assert table.lookup(np.array([-1, 1.0])).tolist() == [5, 6]
    assert table.lookup(np.array([-1, -1, 1.0]), np.array([0, 9, 1])).tolist() == [1, 5, 4]


def test_a_prediction_on_an_edge_belongs_to_the_lower_bin() -> None:
    """Bins are open on the left and closed on the right; far predictions use the outer bins; NaN stays NaN."""
    table = ResidualTable(("any",), np.array([0.0, 1.0]), np.array([[1, 2, 3], [4, 5, 6.0]]))
    assert table.lookup(np.array([-9, 0, 0.5, 1, 9]), 0).tolist() == [1, 1, 2, 2, 3]
    assert np.isnan(table.lookup(np.array([np.nan]), 0)).all()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 5), st.integers(-1, 2)), min_size=2, max_size=40),
    st.integers(1, 8),
)
def test_every_cell_is_finite_and_positive_and_survives_json(rows: list, n_bins: int) -> None:
    """However few or repeated the rows, no cell is NaN or 0, and JSON gives the same table back."""
    yhat, residual, regime = np.array(rows).T
    if len(set(residual.tolist())) == 1:
        return
    table = fit_residual_std(yhat / 3, residual / 3, regime, n_bins=n_bins)
    assert np.isfinite(table.std).all()
    assert (table.std > 0).all()
    again = ResidualTable.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again.lookup(yhat / 3, regime).tolist() == table.lookup(yhat / 3, regime).tolist()


def test_residuals_without_variation_are_refused() -> None:
    """A dispersion of 0 would promise certainty."""
    with pytest.raises(ModelError, match="2 finite residuals without variation"):
        fit_residual_std(np.arange(2.0), np.ones(2), np.zeros(2, int))


@pytest.mark.parametrize(
    "stored", [{}, {"regimes": ["a"], "edges": [], "std": [[1.0]]}, {"regimes": [], "edges": [], "std": [[0]]}]
)
def test_damaged_tables_are_refused(stored: dict) -> None:
    """A missing part, a wrong shape and a dispersion of 0 are errors."""
    with pytest.raises(ModelError):
        ResidualTable.from_dict(stored)
