"""Calibration of the task binary: forward, with a sigmoid, and events that may be rare."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.panels import by_hand
from trademl.artifacts.run_folder import RunFolder
from trademl.training.cross_validate import CrossValidation
from trademl.training.dataset import TrainingData
from trademl.training.final import calibrate, clip_of, fit_calibrator
from trademl.validation.calibration import EVENT_RANGE, PROBABILITY_RANGE, Knots, Platt, apply, brier, fit_platt

SESSIONS, EACH = 12, 50


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """An open run folder."""
    return RunFolder.create(tmp_path, "events", "run-1")


def drawn() -> tuple[TrainingData, np.ndarray, np.ndarray]:
    """Twelve sessions of fifty events whose log-odds are half the score; folds of three, the first untested."""
    rng = np.random.default_rng(4)
    n = SESSIONS * EACH
    session = np.repeat(np.arange(SESSIONS), EACH)
    score = rng.normal(size=n) * 2
    y = (rng.random(n) < 1 / (1 + np.exp(-score / 2))).astype(float)
    data = by_hand(session, np.arange(n), y, horizon=0)
    folds = session // 3 - 1
    return data, np.where(folds >= 0, score, np.nan), folds


def test_each_fold_is_judged_by_those_before_it(folder: RunFolder) -> None:
    """The report's Brier score is that of sigmoids fitted on earlier folds; the first tested fold teaches only."""
    data, score, folds = drawn()
    split_of = folds.astype(np.int16)[None, :]
    found = calibrate(folder, data, CrossValidation(score[None, :], split_of, (), None, 0), folds, "binary")
    likely, seen, rates = [], [], []
    for fold in (1, 2):
        before, held = (folds >= 0) & (folds < fold), folds == fold
        fitted = fit_platt(score[before], data.value[before])
        likely.append(apply(fitted, score[held], clip=(0.001, 0.999)))
        seen.append(data.value[held])
        rates.append(np.full(held.sum(), data.value[before].mean()))
    p, y, rate = (np.concatenate(parts) for parts in (likely, seen, rates))
    assert found.metrics["rows"] == 2 * 3 * EACH
    assert found.metrics["brier"] == pytest.approx(brier(p, y))
    assert found.metrics["brier_of_cross_fitted_base_rate"] == pytest.approx(brier(rate, y))
    assert found.metrics["brier"] < found.metrics["brier_of_cross_fitted_base_rate"]
    assert "forward-fitted" in json.loads((folder.path / "metrics/calibration.json").read_text())["note"]


def test_the_stored_calibrator_is_of_all_tested_rows(folder: RunFolder) -> None:
    """Its two numbers undo the doubling of the log-odds."""
    data, score, folds = drawn()
    split_of = folds.astype(np.int16)[None, :]
    calibrate(folder, data, CrossValidation(score[None, :], split_of, (), None, 0), folds, "binary")
    stored = json.loads((folder.path / "checkpoints/calibrator.json").read_text())
    tested = folds >= 0
    expected = fit_platt(score[tested], data.value[tested])
    assert (stored["a"], stored["b"]) == (expected.a, expected.b)
    assert -stored["a"] == pytest.approx(0.5, abs=0.15)


def test_one_class_and_other_tasks_are_isotonic() -> None:
    """A sigmoid needs both classes; every other task keeps its isotonic fit."""
    score, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0])
    assert isinstance(fit_calibrator(score, y, "binary"), Platt)
    assert isinstance(fit_calibrator(score, np.zeros(4), "binary"), Knots)
    for task in ("regression", "top_bottom", "three_class"):
        assert isinstance(fit_calibrator(score, y, task), Knots)


def test_rare_events_have_a_wider_range() -> None:
    """Of the task binary one in a thousand can be said; what others publish stays as it was."""
    assert clip_of("binary") == EVENT_RANGE == (0.001, 0.999)
    assert clip_of("regression") == clip_of("top_bottom") == PROBABILITY_RANGE == (0.01, 0.99)
