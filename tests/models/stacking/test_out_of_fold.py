"""Base predictions within a fit: nothing is predicted by what knew it."""

import numpy as np
import pytest

from trademl.errors import ModelError
from trademl.models.boosting.xgboost import XGBoostModel
from trademl.models.stacking.out_of_fold import fit_bases, out_of_fold
from trademl.models.stacking.xgboost_ridge_config import BaseTrees, InnerValidation, XGBoostRidgeConfig
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.spans import LabelSpans

NAMES = ("x", "noise")
DAYS, WALLETS = 30, 6


def config(**inner: int) -> XGBoostRidgeConfig:
    bases = tuple(BaseTrees(n_rounds=5, max_depth=depth, min_child_weight=1, seed=depth) for depth in (1, 2))
    return XGBoostRidgeConfig(bases=bases, threads=1, inner=InnerValidation(**{"embargo": 2, **inner}))


def panel(horizon: int = 3) -> tuple[np.ndarray, np.ndarray, LabelSpans]:
    """Return features, labels and spans of every day and wallet."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(DAYS * WALLETS, 2)).astype(np.float32)
    day = np.repeat(np.arange(DAYS), WALLETS)
    return X, X[:, 0] + rng.normal(size=len(X)), LabelSpans(day, day + horizon, np.tile(np.arange(WALLETS), DAYS))


@pytest.mark.parametrize("inner", [{"folds": 3, "test_folds": 1}, {"folds": 4, "test_folds": 2}])
def test_a_prediction_is_the_mean_of_the_models_that_did_not_see_the_row(inner: dict[str, int]) -> None:
    """Split by split with plain fits: train on the purged rows, predict the tested ones, average."""
    X, y, spans = panel()
    own = config(**inner)
    data = XGBoostModel.prepare(X, NAMES, own.base(0))
    found = out_of_fold(data, y, np.ones(len(y)), spans, own)
    total, count = np.zeros((len(y), 2)), np.zeros(len(y))
    for split in CombinatorialPurgedCV(inner["folds"], inner["test_folds"], 2).split(spans):
        overlapping = [
            (row, other)
            for row in split.train[::7]
            for other in split.test
            if spans.start[row] <= spans.end[other] and spans.start[other] <= spans.end[row]
        ]
        assert overlapping == []
        for number in range(2):
            model = XGBoostModel(own.base(number), NAMES).fit_rows(data, y, split.train)
            total[split.test, number] += model.predict(X[split.test])
        count[split.test] += 1
    assert np.array_equal(found, total / count[:, None])


def test_labels_of_a_row_do_not_move_its_own_prediction() -> None:
    """A row's label, however wild, changes the predictions of others and never its own."""
    X, y, spans = panel()
    own = config(folds=3, test_folds=1)
    data = XGBoostModel.prepare(X, NAMES, own.base(0))
    first = out_of_fold(data, y, np.ones(len(y)), spans, own)
    for row in (0, 77, len(y) - 1):
        wild = y.copy()
        wild[row] += 1e4
        second = out_of_fold(data, wild, np.ones(len(y)), spans, own)
        near = np.abs(spans.start - spans.start[row]) <= 3
        assert np.array_equal(first[near][spans.start[near] == spans.start[row]],
                              second[near][spans.start[near] == spans.start[row]])  # fmt: skip
        assert not np.array_equal(first, second)


def test_rows_without_weight_train_nothing() -> None:
    """Weight 0 leaves a row out of every fit; it is predicted all the same."""
    X, y, spans = panel()
    own = config(folds=3, test_folds=1)
    data = XGBoostModel.prepare(X, NAMES, own.base(0))
    weight = np.where(np.arange(len(y)) % 5 == 0, 0.0, 1.0)
    spoilt = np.where(weight == 0, 1e6, y)
    assert np.array_equal(out_of_fold(data, y, weight, spans, own), out_of_fold(data, spoilt, weight, spans, own))


def test_progress_counts_every_fit() -> None:
    """3 splits and the final fits, of 2 bases: 8 in all."""
    X, y, spans = panel()
    own = config(folds=3, test_folds=1)
    data = XGBoostModel.prepare(X, NAMES, own.base(0))
    seen: list[tuple[int, int]] = []
    out_of_fold(data, y, np.ones(len(y)), spans, own, lambda done, total: seen.append((done, total)))
    assert seen == [*((done, 8) for done in range(1, 7)), (8, 8)]
    assert len(list(fit_bases(data, y, np.ones(len(y)), own))) == 2


def test_too_little_history_is_refused() -> None:
    """Fewer days than folds, or labels that leave nothing to train on."""
    X, y, spans = panel()
    few = np.flatnonzero(spans.start < 2)
    own = config(folds=5, test_folds=2)
    data = XGBoostModel.prepare(np.ascontiguousarray(X[few]), NAMES, own.base(0))
    with pytest.raises(ModelError, match=r"12 rows of a fit cannot be predicted out of fold(.|\n)*inner\.folds"):
        out_of_fold(data, y[few], np.ones(len(few)), spans.take(few), own)
    long = LabelSpans(spans.start, spans.start + 40, spans.entity)
    data = XGBoostModel.prepare(X, NAMES, own.base(0))
    with pytest.raises(ModelError, match="cannot be predicted out of fold"):
        out_of_fold(data, y, np.ones(len(y)), long, own)
