"""Fold-consistent blending: which rows and scores a meta-learner sees."""

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.stacking import blend_one, meta_inputs, ridge_by_rows
from tests.training.panels import by_hand, panel
from trademl.errors import ConfigError, SplitError
from trademl.models.stacking.config import StackConfig
from trademl.training.config import ValidationConfig
from trademl.training.dataset import TrainingData
from trademl.training.splits import make_splitter
from trademl.training.stack_folds import (
    UNUSED,
    blend_folds,
    checked_splitter,
    fold_inputs,
    input_splits,
    mean_scores,
    mean_shares,
    meta_splits,
    write_meta_assignments,
)
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.metrics import information_coefficient
from trademl.validation.spans import LabelSpans

BASES = ("first", "second", "third")
CONFIG = StackConfig(bases=BASES)


def base_scores(data: TrainingData, cv: CombinatorialPurgedCV, noise: float = 1.5, seed: int = 0) -> list[np.ndarray]:
    """Three noisy views of the label's first feature, other noise on every path."""
    rng = np.random.default_rng(seed)
    shape = (cv.n_paths, len(data))
    return [data.X[:, 0] + noise * rng.standard_normal(shape) for _ in BASES]


@st.composite
def panels(draw: st.DrawFn) -> tuple[TrainingData, CombinatorialPurgedCV]:
    n_folds = draw(st.integers(3, 6))
    k = draw(st.integers(2, n_folds - 1))
    sessions = draw(st.integers(8 * n_folds, 12 * n_folds))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    session = np.sort(rng.integers(0, sessions, 4 * sessions))
    session[:sessions] = np.arange(sessions)
    session.sort()
    horizon = draw(st.integers(0, 3))
    data = by_hand(session, rng.integers(0, 5, len(session)), rng.standard_normal(len(session)), horizon=horizon)
    ends = data.spans.start + rng.integers(0, horizon + 1, len(session))
    data = replace(data, spans=LabelSpans(data.spans.start, ends, data.spans.entity))
    embargo = draw(st.integers(0, 3))
    return data, CombinatorialPurgedCV(n_folds, k, embargo, draw(st.sampled_from(["all", "entity"])))


@settings(max_examples=60, deadline=None)
@given(panels())
def test_a_meta_learner_sees_what_was_held_out_with_its_fold(case: tuple[TrainingData, CombinatorialPurgedCV]) -> None:
    """Rows, splits and scores are those of the slow reference; each split tests the row's fold and the fold under
    test; no train label meets a test label, or starts in the embargo after them."""
    data, cv = case
    rng = np.random.default_rng(1)
    scores = [rng.standard_normal((cv.n_paths, len(data))) for _ in range(2)]
    folds = cv.folds(data.spans)
    start, end = data.spans.start, data.spans.end
    for meta in meta_splits(cv, data):
        found = fold_inputs(cv, data, scores, meta)
        expected = meta_inputs(data.spans, cv.n_folds, cv.n_test_folds, int(cv.embargo), cv.purge, found.fold)
        assert found.rows.tolist() == [row for row, _, _ in expected]
        assert found.split.tolist() == [split for _, split, _ in expected]
        for number, base in enumerate(scores):
            assert found.scores[:, number].tolist() == [base[path, row] for row, _, path in expected]
        for row, split in zip(found.rows.tolist(), found.split.tolist(), strict=True):
            assert {found.fold, int(folds[row])} <= set(cv.test_folds[split])
        if cv.purge == "all":
            first, last = start[meta.test].min(), end[meta.test].max()
            assert ((end[found.rows] < first) | (start[found.rows] > last + cv.embargo)).all()


def test_every_path_is_blended_as_the_slow_reference_does() -> None:
    """Ridge, row by row: the weights from the reference's rows, the score of each path from that path's base scores."""
    data, cv = panel(sessions=24, symbols=3), CombinatorialPurgedCV(4, 2, 1)
    data = replace(data, target=data.target.astype(np.float32).astype(np.float64))
    scores = base_scores(data, cv)
    folds = cv.folds(data.spans)
    for fold in blend_folds(cv, data, scores, CONFIG):
        known = meta_inputs(data.spans, 4, 2, 1, "all", fold.fold)
        rows = [row for row, _, _ in known]
        table = np.array([[base[path, row] for base in scores] for row, _, path in known])
        means, scales, weights, level = ridge_by_rows(table, data.target[rows], None, CONFIG.penalty)
        np.testing.assert_array_equal(fold.rows, np.flatnonzero(folds == fold.fold))
        assert fold.train_rows == len(rows)
        for path in range(cv.n_paths):
            slow = [
                blend_one(
                    [float(base[path, row]) for base in scores], tuple(means), tuple(scales), tuple(weights), level
                )
                for row in fold.rows
            ]
            np.testing.assert_allclose(fold.scores[path], slow, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("blender", ["ridge", "non_negative", "average", "lightgbm"])
def test_a_blend_of_three_noisy_views_beats_each_on_every_path(blender: str) -> None:
    """Planted: the label is one signal and noise, each base sees the signal through noise of its own."""
    data, cv = panel(sessions=120, symbols=30, strength=0.6), CombinatorialPurgedCV(4, 2, 2)
    scores = base_scores(data, cv)
    trees = {"n_rounds": 30, "min_data_in_leaf": 50, "learning_rate": 0.1}
    config = StackConfig(bases=BASES, blender=blender, trees=trees if blender == "lightgbm" else {})
    blended = np.full((cv.n_paths, len(data)), np.nan)
    for fold in blend_folds(cv, data, scores, config):
        blended[:, fold.rows] = fold.scores
    assert np.isfinite(blended).all()

    def rank_ic(values: np.ndarray) -> float:
        return float(np.nanmean(information_coefficient(values, data.value, data.dates).spearman))

    for path in range(cv.n_paths):
        assert rank_ic(blended[path]) > max(rank_ic(base[path]) for base in scores) + 0.02


def test_labels_of_the_fold_under_test_reach_no_input_of_its_meta_learner() -> None:
    """Base models that score every row by the mean label of the folds they were fitted on: when the labels of one fold
    change, the inputs of its meta-learner keep every bit, while plain out-of-fold scores of the same rows change."""
    data, cv = panel(sessions=60, symbols=4, horizon=0), CombinatorialPurgedCV(6, 2, 0)
    folds = cv.folds(data.spans)

    def scored(means: np.ndarray) -> np.ndarray:
        score = np.empty((cv.n_paths, len(data)))
        for fold in range(6):
            for path, split in enumerate(cv.paths()[fold]):
                score[path, folds == fold] = np.delete(means, cv.test_folds[split]).mean()
        return score

    means = np.random.default_rng(4).standard_normal(6)
    honest = scored(means)
    for meta in meta_splits(cv, data):
        changed = means.copy()
        changed[meta.split_id] += 100.0
        other = scored(changed)
        np.testing.assert_array_equal(
            fold_inputs(cv, data, [other], meta).scores, fold_inputs(cv, data, [honest], meta).scores
        )
        assert (other.mean(axis=0) != honest.mean(axis=0))[meta.train].all()


def test_the_first_split_that_tests_both_gives_the_input() -> None:
    """With three folds under test several splits hold out a pair; the first in the splitter's order is taken."""
    cv = CombinatorialPurgedCV(5, 3, 0)
    assert input_splits(cv, 0).tolist() == [UNUSED, 0, 0, 1, 2]
    assert cv.test_folds[:3] == [(0, 1, 2), (0, 1, 3), (0, 1, 4)]
    assert input_splits(cv, 4).tolist() == [2, 2, 4, 5, UNUSED]


def test_rows_that_a_base_lacks_are_blended_of_the_others() -> None:
    """Missing at random in one base and everywhere on one row: only that row has no score, and trains nothing."""
    data, cv = panel(), CombinatorialPurgedCV(4, 2, 2)
    scores = base_scores(data, cv)
    scores[1][:, ::3] = np.nan
    for base in scores:
        base[:, 5] = np.nan
    blended = np.full((cv.n_paths, len(data)), np.nan)
    for fold in blend_folds(cv, data, scores, StackConfig(bases=BASES, blender="average")):
        blended[:, fold.rows] = fold.scores
    assert np.flatnonzero(np.isnan(blended).any(axis=0)).tolist() == [5]
    np.testing.assert_allclose(blended[:, 3], (scores[0] + scores[2])[:, 3] / 2, rtol=1e-12)
    np.testing.assert_allclose(blended[:, 4], sum(base[:, 4] for base in scores) / 3, rtol=1e-12)


def test_rows_that_are_not_fitted_are_predicted_only() -> None:
    """The configuration's choice of rows holds for the meta-learners too; none left is an error."""
    data, cv = panel(), CombinatorialPurgedCV(4, 2, 2)
    data = replace(data, fitted=data.spans.entity < 6)
    for meta in meta_splits(cv, data):
        assert (data.spans.entity[meta.train] < 6).all()
        assert len(np.unique(data.spans.entity[meta.test])) == 12
    with pytest.raises(SplitError, match="the meta-learner of fold 0"):
        list(meta_splits(cv, replace(data, fitted=data.spans.start < 10)))


def test_the_stored_assignments_say_what_trains_and_on_which_split(tmp_path: Path) -> None:
    """Bits of train and test rows of each fold, and the input split of each train row; whole or absent, read-only."""
    data, cv = panel(sessions=40, symbols=2), CombinatorialPurgedCV(4, 2, 1)
    path = write_meta_assignments(tmp_path / "meta.parquet", cv, data)
    assert path.stat().st_mode & 0o777 == 0o444
    table = duckdb.sql(f"select * from read_parquet('{path}') order by row_id").fetchnumpy()
    for meta in meta_splits(cv, data):
        fold = meta.split_id
        np.testing.assert_array_equal(np.flatnonzero(table["train_0"] >> np.uint64(fold) & np.uint64(1)), meta.train)
        np.testing.assert_array_equal(np.flatnonzero(table["test_0"] >> np.uint64(fold) & np.uint64(1)), meta.test)
        used = fold_inputs(cv, data, [np.zeros((cv.n_paths, len(data)))], meta).split
        np.testing.assert_array_equal(table[f"input_{fold}"][meta.train], used)
        assert (np.delete(table[f"input_{fold}"], meta.train) == UNUSED).all()


def test_the_final_inputs_are_means_over_the_splits() -> None:
    """Averaged over the paths that have a score; a row without any stays missing."""
    nan = np.nan
    found = mean_scores([np.array([[1.0, nan, nan], [3.0, 5.0, nan]])])
    np.testing.assert_array_equal(found, [[2.0], [5.0], [nan]])


def test_shares_are_averaged_over_folds() -> None:
    """They sum to one over the bases."""
    data, cv = panel(), CombinatorialPurgedCV(4, 2, 2)
    shares = mean_shares(list(blend_folds(cv, data, base_scores(data, cv), CONFIG)))
    assert tuple(shares) == BASES
    assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "validation, told",
    [
        ({"kind": "walk_forward"}, "validation.kind=walk_forward.*no two blocks are held out together"),
        ({"test_folds": 1}, "validation.test_folds=1: no split holds out two folds"),
    ],
)
def test_validation_that_holds_out_no_pair_is_refused(validation: dict[str, object], told: str) -> None:
    """The message says why a meta-learner would leak, and how to validate instead."""
    with pytest.raises(ConfigError, match=told) as refused:
        checked_splitter(make_splitter(ValidationConfig(**validation)))  # type: ignore[arg-type]
    assert "--test-folds 2" in refused.value.remedy
