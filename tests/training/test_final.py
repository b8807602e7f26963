"""The final model and what scoring needs beside it."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.panels import panel
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.edge.session import ScoringSession
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.sleeves.equities import EQUITIES
from trademl.training.config import ValidationConfig
from trademl.training.cross_validate import CrossValidation, Silent, cross_validate
from trademl.training.final import calibrate, compiled_sql, fit_final, write_features
from trademl.training.fit import Fitter
from trademl.training.splits import make_splitter
from trademl.validation.calibration import apply, from_dict
from trademl.validation.residuals import ResidualTable

MODEL = LightGBMConfig(n_rounds=6, num_leaves=5, min_data_in_leaf=10, threads=1)
SPLITTER = make_splitter(ValidationConfig(folds=4, test_folds=1, embargo=2))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """An open run folder."""
    return RunFolder.create(tmp_path, "equities", "run-1")


def validated(tmp_path: Path) -> CrossValidation:
    return cross_validate(panel(), SPLITTER, MODEL, tmp_path, Silent())


def test_the_final_model_is_fitted_on_every_row_and_proved(folder: RunFolder) -> None:
    """The stored text is a fit on all rows; ONNX scores every row of the panel and the golden vectors alike."""
    data = panel()
    expected = LightGBMModel(MODEL, data.feature_names).fit(data.X, data.target, weight=data.weight)
    final = fit_final(folder, data, Fitter(data, MODEL).fit(np.arange(len(data))))
    assert (folder.path / "checkpoints" / "model.txt").read_text() == expected.text
    session = ScoringSession(folder.path / "checkpoints" / "model.onnx")
    np.testing.assert_array_equal(session.predict(data.X), expected.predict(data.X))
    assert session.verify(folder.path / "checkpoints" / "golden.json") == 256
    assert final.parity.mismatches == 0
    assert final.parity.rows > len(data)
    assert json.loads((folder.path / "metrics" / "parity.json").read_text())["mismatches"] == 0


def test_the_calibrator_rises_with_the_score(folder: RunFolder, tmp_path: Path) -> None:
    """Stored as JSON and read back, it gives higher scores no lower a probability, and beats the base rate."""
    data, found = panel(), validated(tmp_path / "splits")
    calibration = calibrate(folder, data, found, SPLITTER.folds(data.spans), "regression")
    stored = from_dict(json.loads((folder.path / "checkpoints" / "calibrator.json").read_text()))
    likely = apply(stored, np.sort(found.mean_score))
    assert (np.diff(likely) >= 0).all()
    assert calibration.metrics["brier"] < calibration.metrics["brier_of_base_rate"]
    assert calibration.metrics["base_rate"] == pytest.approx((data.value > 0).mean())


def test_a_calibrator_of_noise_is_not_better_than_the_base_rate(folder: RunFolder, tmp_path: Path) -> None:
    """The measure is cross-fitted: on labels that nothing predicts it does not claim skill."""
    data = panel(strength=0.0)
    found = cross_validate(data, SPLITTER, MODEL, tmp_path / "splits", Silent())
    calibration = calibrate(folder, data, found, SPLITTER.folds(data.spans), "regression")
    assert calibration.metrics["brier"] > calibration.metrics["brier_of_base_rate"]


def test_the_spread_of_residuals_is_that_of_the_labels_noise(folder: RunFolder, tmp_path: Path) -> None:
    """With half of a unit-variance label explained by the feature, residuals spread by sqrt(3)/2 or a little more."""
    data, found = panel(), validated(tmp_path / "splits")
    calibrate(folder, data, found, SPLITTER.folds(data.spans), "regression")
    table = ResidualTable.from_dict(json.loads((folder.path / "checkpoints" / "yhat_std.json").read_text()))
    assert 0.8 < table.std[-1].mean() < 1.0


def test_features_are_listed_in_exact_order(folder: RunFolder, home: Home) -> None:
    """feature_list.json is the model's column order, and scoring.json what scoring was told."""
    write_features(folder, home, EQUITIES, panel(), {"label": "fwd_3d"})
    assert json.loads((folder.path / "features" / "feature_list.json").read_text()) == ["first", "second"]
    assert json.loads((folder.path / "config" / "scoring.json").read_text()) == {"label": "fwd_3d"}


def test_the_compiled_sql_of_the_features_is_kept(home: Home) -> None:
    """features.sql is the model as dbt compiled it, not one of its tests; without a build it says so in a comment."""
    assert compiled_sql(home, EQUITIES).startswith("-- gld_equities_features.sql is not in")
    compiled = home.dbt_project / "target" / "compiled" / "trademl"
    for place, text in (
        ("models/gold/equities/gld_equities_features.sql", "select 1"),
        ("models/gold/equities/gld_equities_features.yml/gld_equities_features.sql", "select 2"),
    ):
        path = compiled / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert compiled_sql(home, EQUITIES) == "select 1"
