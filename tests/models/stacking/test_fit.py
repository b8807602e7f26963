"""What blends are fitted to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from tests.models.stacking.views import INPUTS, config, fitted, views
from tests.oracles.stacking import ridge_by_rows
from trademl.errors import ModelError
from trademl.models.stacking.fit import fit_blend, non_negative


@pytest.mark.parametrize("blender", ["ridge", "non_negative", "lightgbm"])
def test_a_blend_of_three_noisy_views_beats_each(blender: str) -> None:
    """On rows that it has not seen, the blend correlates with the label better than any of its inputs."""
    scores, y = views(seed=2)
    alone = [np.corrcoef(scores[:, column], y)[0, 1] for column in range(3)]
    assert np.corrcoef(fitted(blender).predict(scores), y)[0, 1] > max(alone) + 0.03


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.floats(1e-4, 10.0), weighted=st.booleans())
def test_ridge_is_the_closed_form(seed: int, penalty: float, weighted: bool) -> None:
    """Weights and level are those of the normal equations, summed row by row."""
    rng = np.random.default_rng(seed)
    scores, y = rng.standard_normal((60, 3)) * [1.0, 0.1, 5.0] + 2, rng.standard_normal(60)
    scores[:, 2] += scores[:, 0]
    weight = (rng.random(60) + 0.1).astype(np.float32).astype(np.float64) if weighted else None
    y = y.astype(np.float32).astype(np.float64)
    found = fit_blend(scores, y, weight, config(penalty=penalty), INPUTS)
    means, scales, weights, level = ridge_by_rows(scores, y, weight, penalty)
    np.testing.assert_allclose(found.means, means, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.scales, scales, rtol=1e-9)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-6, atol=1e-9)
    assert found.level == pytest.approx(level, rel=1e-9, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), n=st.integers(1, 8), alike=st.floats(0.0, 0.999))
def test_non_negative_weights_are_those_of_scipy(seed: int, n: int, alike: float) -> None:
    """The minimiser over b >= 0 is scipy's, and meets the conditions of Karush, Kuhn and Tucker."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((50, n)) + alike / (1.001 - alike) * rng.standard_normal((50, 1))
    y = A @ rng.standard_normal(n) + rng.standard_normal(50)
    gram, moment = A.T @ A / 50, A.T @ y / 50
    found = non_negative(gram, moment)
    expected, _ = nnls(A, y)
    np.testing.assert_allclose(found, expected, atol=1e-6 * max(1.0, np.abs(expected).max()))
    gradient = moment - gram @ found
    scale = 1e-8 * max(1.0, np.abs(moment).max())
    assert (found >= 0).all()
    assert (gradient <= scale).all()
    assert np.abs(gradient[found > 0]).max(initial=0.0) <= scale


def test_non_negative_with_nothing_to_gain_is_the_level() -> None:
    """Scores that all point the wrong way get no weight, and every row the mean label."""
    scores, y = views()
    blend = fit_blend(-scores, y, None, config(blender="non_negative"), INPUTS)
    assert blend.weights == (0.0, 0.0, 0.0)
    np.testing.assert_allclose(blend.predict(scores[:5]), y.astype(np.float32).mean(), rtol=1e-6)


def test_a_fit_is_the_same_on_every_number_of_threads() -> None:
    """The trees of one thread and of two are one text; linear sums never see a thread."""
    texts = set()
    scores, y = views()
    for threads in (1, 2):
        trees = {"n_rounds": 10, "min_data_in_leaf": 50, "threads": threads}
        texts.add(fit_blend(scores, y, None, config(blender="lightgbm", trees=trees), INPUTS).trees)
    assert len(texts) == 1


def test_a_fit_that_cannot_be_is_refused() -> None:
    """Labels, shapes, inputs that cannot be told apart, rows without scores, tasks without a score."""
    scores, y = views()
    with pytest.raises(ModelError, match="for 3 inputs"):
        fit_blend(scores[:, :2], y, None, config(), INPUTS)
    with pytest.raises(ModelError, match="must be finite"):
        fit_blend(scores, np.where(y > 3, np.nan, y), None, config(), INPUTS)
    same = np.repeat(scores[:, :1], 3, axis=1)
    with pytest.raises(ModelError, match="cannot be told apart with penalty 0"):
        fit_blend(np.zeros_like(same), y, None, config(penalty=0.0), INPUTS)
    scores[:, 1] = np.nan
    with pytest.raises(ModelError, match="0 of 3000 rows have the scores that ridge is fitted on"):
        fit_blend(scores, y, None, config(), INPUTS)
    with pytest.raises(ModelError, match="blender 'ridge' makes no score of the task 'binary'"):
        fit_blend(scores, y, None, config(task="binary"), INPUTS)
    with pytest.raises(ModelError, match="expected \\(rows, 3\\)"):
        fitted("ridge").predict(scores[:, :2])
