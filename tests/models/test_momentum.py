"""Momentum scores by one feature, and says so when that feature is not there."""

from pathlib import Path

import numpy as np
import pytest

from trademl.edge.session import ScoringSession
from trademl.errors import ModelError
from trademl.models.momentum import MomentumConfig, MomentumModel
from trademl.models.registry import create_model, read_model_config

NAMES = ("beta_60d_rank", "momentum_126d_rank")
X = np.array([[0.9, 0.25], [0.1, np.nan], [0.5, 1.0]], dtype=np.float32)


def test_the_score_is_the_rank_less_a_half() -> None:
    """A missing rank is in the middle; no label changes anything."""
    model = create_model(read_model_config({"kind": "momentum"}), NAMES)
    assert model.fit(X, np.array([1.0, 2.0, 3.0])).predict(X).tolist() == [-0.25, 0.0, 0.5]
    assert model.fit(X, np.array([-9.0, 2.0, 0.0])).predict(X).tolist() == [-0.25, 0.0, 0.5]
    assert model.importances() == {"beta_60d_rank": 0.0, "momentum_126d_rank": 1.0}


def test_saved_and_exported_it_scores_alike(tmp_path: Path) -> None:
    """Bit for bit, with the feature that was chosen."""
    model = MomentumModel(MomentumConfig(feature="beta_60d_rank"), NAMES)
    model.save(tmp_path / "model.json")
    model.export_onnx(tmp_path / "model.onnx")
    expected = (X[:, 0].astype(np.float64) - 0.5).tobytes()
    assert MomentumModel.load(tmp_path / "model.json").predict(X).tobytes() == expected
    assert ScoringSession(tmp_path / "model.onnx").predict(X).tobytes() == expected


def test_a_feature_that_is_not_there_is_named() -> None:
    """Before anything is trained."""
    with pytest.raises(ModelError, match="scores by 'momentum_126d_rank', which is not among the 1 features"):
        MomentumModel(MomentumConfig(), ("other",))


def test_it_cannot_stop_early() -> None:
    """It has no rounds."""
    model = MomentumModel(MomentumConfig(), NAMES)
    data = MomentumModel.prepare(X, NAMES, MomentumConfig())
    with pytest.raises(ModelError, match="no rounds to stop early"):
        model.fit_rows(data, np.zeros(3), valid_rows=np.array([0]))
    with pytest.raises(ModelError, match="other features"):
        model.fit_rows(MomentumModel.prepare(X, NAMES[::-1], MomentumConfig()), np.zeros(3))
