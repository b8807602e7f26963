"""Ridge against the textbook: its own minimum, least squares without a penalty, nothing with a huge one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trademl.edge.session import ScoringSession
from trademl.errors import ConfigError, ModelError
from trademl.models.momentum import MomentumConfig
from trademl.models.registry import read_model_config
from trademl.models.ridge import RidgeConfig, RidgeModel

NAMES = ("a", "b", "c", "d")


def panel(rows: int = 400, seed: int = 3) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Features of different size and level, a noisy linear label, and weights."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(rows, 4)) * [1.0, 10.0, 0.01, 1.0] + [0.0, 5.0, -0.2, 100.0]).astype(np.float32)
    y = X @ np.array([0.5, -0.02, 3.0, 0.0]) + rng.normal(scale=0.3, size=rows)
    return X, y, rng.uniform(0.1, 2.0, size=rows)


def test_without_a_penalty_it_is_weighted_least_squares() -> None:
    """Compared with numpy's own solver on the square roots of the weights."""
    X, y, weight = panel()
    model = RidgeModel(RidgeConfig(penalty=0.0), NAMES).fit(X, y, weight=weight)
    root = np.sqrt(weight.astype(np.float32).astype(np.float64))
    design = np.column_stack([np.ones(len(X)), X.astype(np.float64)]) * root[:, None]
    expected = np.linalg.lstsq(design, y.astype(np.float32) * root, rcond=None)[0]
    assert model.form.weights == pytest.approx(expected[1:].tolist(), rel=1e-8, abs=1e-10)
    assert model.form.bias == pytest.approx(float(expected[0]), rel=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-4, 10.0), st.integers(0, 50))
def test_no_other_weights_have_a_smaller_loss(penalty: float, seed: int) -> None:
    """The loss that is documented, evaluated around the solution: every step away makes it larger."""
    X, y, weight = panel(60, seed)
    model = RidgeModel(RidgeConfig(penalty=penalty), NAMES).fit(X, y, weight=weight)
    w = weight.astype(np.float32).astype(np.float64)
    target = y.astype(np.float32).astype(np.float64)
    wide = X.astype(np.float64)
    mean = np.average(wide, axis=0, weights=w)
    scale = np.sqrt(np.average((wide - mean) ** 2, axis=0, weights=w))
    level = np.average(target, weights=w)

    def loss(beta: NDArray[np.float64]) -> float:
        residual = target - level - ((wide - mean) / scale) @ beta
        return float(np.average(residual**2, weights=w) + penalty * beta @ beta)

    beta = np.array(model.form.weights) * scale
    rng = np.random.default_rng(seed)
    for step in (1e-3, 1e-1):
        assert all(loss(beta + step * rng.normal(size=4)) > loss(beta) for _ in range(10))


def test_a_huge_penalty_predicts_the_mean() -> None:
    """Nothing is left of the features."""
    X, y, weight = panel()
    model = RidgeModel(RidgeConfig(penalty=1e6), NAMES).fit(X, y, weight=weight)
    assert model.predict(X) == pytest.approx(np.full(len(X), np.average(y, weights=weight)), abs=1e-4)


def test_missing_values_count_as_the_mean_of_the_rows_fitted_on() -> None:
    """Rows outside the fit lend it nothing: not even a mean."""
    X, y, _ = panel()
    X[::7, 1] = np.nan
    rows = np.arange(0, 300)
    data = RidgeModel.prepare(X, NAMES, RidgeConfig())
    model = RidgeModel(RidgeConfig(), NAMES).fit_rows(data, y, rows)
    known = X[rows, 1].astype(np.float64)
    assert model.form.fills[1] == pytest.approx(float(np.nanmean(known)), rel=1e-12)
    changed = X.copy()
    changed[300:] = 1e6
    again = RidgeModel(RidgeConfig(), NAMES).fit_rows(RidgeModel.prepare(changed, NAMES, RidgeConfig()), y, rows)
    assert again.form == model.form


def test_a_constant_feature_has_no_weight() -> None:
    """It divides by no zero, and the score does not depend on it."""
    X, y, _ = panel()
    X[:, 2] = 4.0
    model = RidgeModel(RidgeConfig(), NAMES).fit(X, y)
    assert model.form.weights[2] == 0.0
    assert np.isfinite(model.predict(X)).all()


def test_native_reloaded_and_onnx_scores_have_the_same_bits(tmp_path: Path) -> None:
    """Also where a feature is missing."""
    X, y, weight = panel()
    X[::5, 0] = np.nan
    model = RidgeModel(RidgeConfig(), NAMES).fit(X, y, weight=weight)
    model.save(tmp_path / "model.json")
    model.export_onnx(tmp_path / "model.onnx")
    loaded = RidgeModel.load(tmp_path / "model.json")
    assert loaded.config == model.config
    assert loaded.predict(X).tobytes() == model.predict(X).tobytes()
    assert ScoringSession(tmp_path / "model.onnx").predict(X).tobytes() == model.predict(X).tobytes()
    assert loaded.importances() == model.importances()
    assert list(model.importances()) == list(NAMES)


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    """Each with a message: repeated features, no fit yet, early stopping, another family's configuration."""
    X, y, _ = panel()
    X[:, 1] = X[:, 0]
    with pytest.raises(ModelError, match="cannot be told apart with penalty 0"):
        RidgeModel(RidgeConfig(penalty=0.0), NAMES).fit(X, y)
    with pytest.raises(ModelError, match="is not fitted"):
        RidgeModel(RidgeConfig(), NAMES).predict(X)
    data = RidgeModel.prepare(X, NAMES, RidgeConfig())
    with pytest.raises(ModelError, match="no rounds to stop early"):
        RidgeModel(RidgeConfig(), NAMES).fit_rows(data, y, valid_rows=np.arange(3))
    with pytest.raises(ModelError, match="a momentum configuration for a ridge model"):
        RidgeModel(MomentumConfig(), NAMES)
    other = RidgeModel.prepare(X, ("a", "b", "c", "e"), RidgeConfig())
    with pytest.raises(ModelError, match="was not prepared"):
        RidgeModel(RidgeConfig(), NAMES).fit_rows(other, y)
    with pytest.raises(ConfigError, match="penalty=-1"):
        read_model_config({"kind": "ridge", "penalty": -1})
    with pytest.raises(ConfigError, match="task='binary'"):
        read_model_config({"kind": "ridge", "task": "binary"})
