"""Every splitter inside scikit-learn: searches, scores and clones see the purged rows and no others."""

from typing import Any

import numpy as np
import pytest

from tests.validation.panels import dense_panel
from trademl.validation.cpcv import CombinatorialPurgedCV, PurgedKFold
from trademl.validation.splits import BoundSplitter, Splitter
from trademl.validation.walk_forward import WalkForward

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
SPANS = dense_panel(40, 3, 2)
X = np.arange(len(SPANS), dtype=float)[:, None]
y = np.sin(X[:, 0])
SPLITTERS: list[Splitter] = [
    CombinatorialPurgedCV(5, 2, embargo=1),
    PurgedKFold(4, embargo=2),
    WalkForward(3, embargo=1),
    WalkForward(3, embargo=1, mode="rolling", train_sessions=12),
]
each_splitter = pytest.mark.parametrize("splitter", SPLITTERS, ids=["cpcv", "k_fold", "expanding", "rolling"])


@each_splitter
def test_scores_are_those_of_a_loop_over_the_splits(splitter: Splitter) -> None:
    """cross_validate fits the train rows, scores the test rows, in order, and returns these very indices."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import check_cv, cross_validate

    cv = check_cv(BoundSplitter(splitter, SPANS))
    assert cv.get_n_splits(X, y) == splitter.n_splits
    found = cross_validate(Ridge(), X, y, cv=cv, scoring="neg_mean_squared_error", return_indices=True)
    splits = list(splitter.split(SPANS))
    assert len(found["test_score"]) == len(splits)
    for at, split in enumerate(splits):
        assert found["indices"]["train"][at].tolist() == split.train.tolist()
        assert found["indices"]["test"][at].tolist() == split.test.tolist()
        predicted = Ridge().fit(X[split.train], y[split.train]).predict(X[split.test])
        assert found["test_score"][at] == pytest.approx(-np.mean((predicted - y[split.test]) ** 2))


@each_splitter
def test_a_search_and_its_clone_use_the_splitter(splitter: Splitter) -> None:
    """GridSearchCV runs on it, also after scikit-learn has cloned the search, and finds the same."""
    from sklearn.base import clone
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    search: Any = GridSearchCV(Ridge(), {"alpha": [0.1, 1e6]}, cv=BoundSplitter(splitter, SPANS))
    scores = [one.fit(X, y).cv_results_["mean_test_score"].tolist() for one in (search, clone(search))]
    assert scores[0] == scores[1]
    assert search.n_splits_ == splitter.n_splits


def test_only_a_partition_predicts_every_row() -> None:
    """cross_val_predict takes purged k-fold, and refuses CPCV, whose rows are tested more than once."""
    from sklearn.dummy import DummyRegressor
    from sklearn.model_selection import cross_val_predict

    predicted = cross_val_predict(DummyRegressor(), X, y, cv=BoundSplitter(PurgedKFold(4, embargo=2), SPANS))
    for split in PurgedKFold(4, embargo=2).split(SPANS):
        assert predicted[split.test] == pytest.approx(y[split.train].mean())
    with pytest.raises(ValueError, match="partition"):
        cross_val_predict(DummyRegressor(), X, y, cv=BoundSplitter(CombinatorialPurgedCV(5, 2, embargo=1), SPANS))
