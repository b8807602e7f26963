"""Out-of-fold predictions and their checkpoints."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.training.panels import panel
from trademl.models.boosting.lightgbm import LightGBMConfig, LightGBMModel
from trademl.training.config import ValidationConfig
from trademl.training.cross_validate import CrossValidation, Silent, SplitResult, cross_validate, predict_rows
from trademl.training.fit import Fitter
from trademl.training.splits import make_splits, make_splitter

MODEL = LightGBMConfig(n_rounds=6, num_leaves=5, min_data_in_leaf=10, threads=1)
SPLITTER = make_splitter(ValidationConfig(folds=4, test_folds=2, embargo=2))


class Counting(Silent):
    """Counts the splits that were fitted, and stops like Ctrl-C after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.fitted = 0
        self.told = (0, 0)
        self.stop_after = stop_after

    def splits(self, total: int, done: int) -> None:
        self.told = (total, done)

    def split_done(self, mean_rank_ic: float) -> None:
        self.fitted += 1
        if self.fitted == self.stop_after:
            raise KeyboardInterrupt


def validate(folder: Path, progress: Counting | None = None) -> CrossValidation:
    return cross_validate(panel(), SPLITTER, MODEL, folder, progress or Counting())


def test_scores_are_those_of_one_fit_per_split(tmp_path: Path) -> None:
    """Each row's score on each path is what a model scores that was fitted alone on the split's train rows."""
    data = panel()
    found = validate(tmp_path)
    for split in make_splits(SPLITTER, data):
        prepared = LightGBMModel.prepare(data.X, data.feature_names, MODEL)
        model = LightGBMModel(MODEL, data.feature_names).fit_rows(
            prepared, data.target, split.train, weight=data.weight
        )
        expected = model.predict(np.ascontiguousarray(data.X[split.test]))
        path, rows = np.nonzero(found.split_of == split.split_id)
        assert sorted(rows) == split.test.tolist()
        np.testing.assert_array_equal(found.scores[path, rows], expected[np.searchsorted(split.test, rows)])


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """Interrupted in the third split, a rerun fits the other three and ends as an undisturbed run does."""
    with pytest.raises(KeyboardInterrupt):
        validate(tmp_path / "a", Counting(stop_after=3))
    second = Counting()
    resumed = validate(tmp_path / "a", second)
    assert second.told == (6, 3)
    assert (second.fitted, resumed.resumed) == (3, 3)
    undisturbed = validate(tmp_path / "b")
    np.testing.assert_array_equal(resumed.scores, undisturbed.scores)
    assert [split.importances for split in resumed.splits] == [split.importances for split in undisturbed.splits]


def test_nothing_is_fitted_twice(tmp_path: Path) -> None:
    """When all checkpoints are there, no split is fitted and no bins are made."""
    validate(tmp_path)
    again = Counting()
    assert validate(tmp_path, again).prepared is None
    assert again.fitted == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "split_001.npy").unlink(),
        lambda folder: (folder / "split_001.json").unlink(),
        lambda folder: rewrite(folder / "split_001.npy", b"\x93NUMPY torn"),
        lambda folder: rewrite(folder / "split_001.json", b'{"split_id": 1'),
    ],
    ids=["no predictions", "no record", "torn predictions", "torn record"],
)
def test_a_damaged_checkpoint_is_fitted_again(tmp_path: Path, damage: object) -> None:
    """A checkpoint that is half there, or does not match its hash, counts as none: that split alone is fitted again."""
    before = validate(tmp_path)
    assert callable(damage)
    damage(tmp_path)
    again = Counting()
    after = validate(tmp_path, again)
    assert again.fitted == 1
    np.testing.assert_array_equal(before.scores, after.scores)


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_the_mean_score_is_over_the_paths_that_test_a_row(tmp_path: Path) -> None:
    """Walk-forward never tests its first window: those rows have no score, the others that of their one path."""
    splitter = make_splitter(ValidationConfig(kind="walk_forward", folds=3, embargo=1))
    data = panel()
    found = cross_validate(data, splitter, MODEL, tmp_path, Silent())
    untested = splitter.folds(data.spans) < 0
    assert untested.any()
    np.testing.assert_array_equal(np.isnan(found.mean_score), untested)
    np.testing.assert_array_equal(found.mean_score[~untested], found.scores[0, ~untested])


def test_blocks_are_predicted_alike(tmp_path: Path) -> None:
    """Predicting scattered rows and neighbouring rows gives what the whole matrix gives."""
    data = panel()
    model = LightGBMModel(MODEL, data.feature_names).fit(data.X, data.target)
    everything = model.predict(data.X)
    for rows in (np.arange(100, 300), np.array([5, 7, 900, 901])):
        np.testing.assert_array_equal(predict_rows(model, data.X, rows), everything[rows])


@pytest.mark.parametrize("threads", [2, 3])
def test_splits_side_by_side_are_those_of_one_at_a_time(tmp_path: Path, threads: int) -> None:
    """Fits in threads that share one matrix change no score, no importance and no order."""
    alone = validate(tmp_path / "a")
    model = MODEL.model_copy(update={"threads": threads})
    together = cross_validate(panel(), SPLITTER, model, tmp_path / "b", Counting())
    np.testing.assert_array_equal(together.scores, alone.scores)
    assert [one.importances for one in together.splits] == [one.importances for one in alone.splits]
    assert [one.split_id for one in together.splits] == list(range(6))


@pytest.mark.parametrize("threads", [1, 2])
def test_splits_come_in_the_order_asked_for(tmp_path: Path, threads: int) -> None:
    """Whoever watches sees them so, with those of an earlier run among them, and may stop the run."""
    order = [5, 0, 3, 1, 4, 2]
    seen: list[int] = []
    model = MODEL.model_copy(update={"threads": threads})

    def stop(result: SplitResult) -> None:
        seen.append(result.split_id)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(panel(), SPLITTER, model, tmp_path, Counting(), order=order, watch=stop)
    assert seen == order[:3]
    again: list[int] = []
    found = cross_validate(
        panel(), SPLITTER, model, tmp_path, Counting(), order=order, watch=lambda result: again.append(result.split_id)
    )
    assert again == order
    assert found.resumed >= 3
    np.testing.assert_array_equal(found.scores, validate(tmp_path / "b").scores)


def test_strict_bins_know_nothing_of_the_rows_under_test(tmp_path: Path) -> None:
    """Other feature values outside a split's train rows change no score of its model."""
    data = panel()
    split = next(make_splits(SPLITTER, data))
    outside = np.setdiff1d(np.arange(len(data)), split.train)
    changed = data.X.copy()
    changed[outside] = 1000 * changed[outside] + 7
    altered = dataclasses.replace(data, X=changed)
    models = {
        (name, binning): Fitter(one, MODEL, binning).fit(split.train)
        for name, one in (("as it is", data), ("altered", altered))
        for binning in ("shared", "strict")
    }
    probe = np.ascontiguousarray(data.X[split.train])
    strict = models["as it is", "strict"].predict(probe)
    np.testing.assert_array_equal(strict, models["altered", "strict"].predict(probe))
    shared = models["as it is", "shared"].predict(probe)
    assert not np.array_equal(shared, models["altered", "shared"].predict(probe))


def test_three_classes_keep_their_probabilities(tmp_path: Path) -> None:
    """The score is P(1) - P(-1), also after a resume, and the planted signal orders it."""
    plain = panel()
    data = dataclasses.replace(plain, target=np.digitize(plain.value, [-0.5, 0.5]) - 1.0)
    model = MODEL.model_copy(update={"task": "three_class"})
    found = cross_validate(data, SPLITTER, model, tmp_path, Counting())
    again = cross_validate(data, SPLITTER, model, tmp_path, Counting())
    assert again.resumed == 6
    for one in (found, again):
        assert one.probabilities is not None
        tested = np.isfinite(one.scores)
        short, neutral, long = np.moveaxis(one.probabilities[tested], -1, 0)
        np.testing.assert_allclose(short + neutral + long, 1.0, atol=1e-6)
        np.testing.assert_allclose(long - short, one.scores[tested], atol=1e-6)
    assert all(split.rank_ic is not None and split.rank_ic > 0.2 for split in found.splits)
