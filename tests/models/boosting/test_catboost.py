"""The CatBoost family: what is its own beside the contract."""

import json
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.boosting.catboost import BorderedData, CatBoostConfig, CatBoostModel
from trademl.models.boosting.catboost_json import ensemble_of, parse
from trademl.models.boosting.losses import Labels

ROWS = 4000
X, Y = awkward_panel(ROWS)
UP = (Y > 0).astype(np.float64)
SMALL = CatBoostConfig(n_rounds=12, depth=4, threads=1)


@pytest.fixture(scope="module")
def bordered() -> BorderedData:
    return CatBoostModel.prepare(X, NAMES, SMALL)


@pytest.fixture(scope="module")
def fitted(bordered: BorderedData) -> CatBoostModel:
    return CatBoostModel(SMALL, NAMES).fit_rows(bordered, Y)


def changed(**fields: Any) -> CatBoostConfig:
    return SMALL.model_copy(update=fields)


def slow_scores(text: str, rows: np.ndarray) -> list[float]:
    """Walk every row through every tree of CatBoost's JSON, one question at a time."""
    document = json.loads(text)
    right = [f["nan_value_treatment"] == "AsTrue" for f in document["features_info"]["float_features"]]
    scores = []
    for row in rows:
        total = document["scale_and_bias"][1][0]
        for tree in document["oblivious_trees"]:
            leaf = 0
            for bit, split in enumerate(tree["splits"]):
                value = float(row[split["float_feature_index"]])
                above = right[split["float_feature_index"]] if np.isnan(value) else value > split["border"]
                leaf += int(above) << bit
            total += tree["leaf_values"][leaf]
        scores.append(total)
    return scores


def test_scores_are_those_of_a_plain_walk(fitted: CatBoostModel) -> None:
    """The engine, the trees and the walk over the saved JSON give one number for each row."""
    rows = X[:300].copy()
    rows[::7, 0] = np.nan  # missing where training saw none
    rows[1::7, 3] = np.inf
    expected = slow_scores(fitted.text, rows)
    assert fitted.predict(rows).tolist() == expected
    assert ensemble_of(parse(fitted.text)).scores(rows).tolist() == expected


def test_plain_catboost_reads_the_saved_file(fitted: CatBoostModel, tmp_path: Path) -> None:
    """The saved file is CatBoost's own format; it holds no time, no identity and no training record."""
    fitted.save(tmp_path / "model.json")
    engine = catboost.CatBoost().load_model(str(tmp_path / "model.json"), format="json")
    assert engine.feature_names_ == list(NAMES)
    assert np.abs(engine.predict(X, prediction_type="RawFormulaVal") - fitted.predict(X)).max() < 1e-14
    assert list(json.loads(fitted.text)["model_info"]) == ["trademl_config"]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e4])
def test_the_engine_has_exactly_the_leaves_of_the_file(scale: float, bordered: BorderedData, tmp_path: Path) -> None:
    """CatBoost reads decimals inexactly; scores of any size are all the same float32 numbers of exact sums."""
    model = CatBoostModel(changed(n_rounds=40), NAMES).fit_rows(bordered, Y * scale)
    model.save(tmp_path / "model.json")
    exact = ensemble_of(parse(model.text)).scores(X)
    assert np.array_equal(exact, exact.astype(np.float32).astype(np.float64))
    assert np.array_equal(model.predict(X), exact)
    assert np.array_equal(CatBoostModel.native(tmp_path / "model.json").score(X), exact)
    written = [value for tree in json.loads(model.text)["oblivious_trees"] for value in tree["leaf_values"]]
    assert model._engine().get_leaf_values().tolist() == written


def test_early_stopping_takes_the_round_that_a_slow_search_finds(bordered: BorderedData) -> None:
    """All rounds fitted without stopping, then the loss of every prefix computed by walking the trees: same round."""
    train, valid = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)
    settings = {"n_rounds": 60, "learning_rate": 0.5}
    whole = CatBoostModel(changed(**settings), NAMES).fit_rows(bordered, Y, train)
    stopped = CatBoostModel(changed(**settings, early_stopping_rounds=6), NAMES)
    stopped.fit_rows(bordered, Y, train, valid_rows=valid)
    document = json.loads(whole.text)
    labels = Labels(Y[valid].astype(np.float32).astype(np.float64), np.ones(len(valid)), "regression")
    losses = []
    for count in range(1, 61):
        prefix = {**document, "oblivious_trees": document["oblivious_trees"][:count]}
        losses.append(labels.loss(ensemble_of(parse(json.dumps(prefix))).scores(X[valid])))
        if count - 1 - int(np.argmin(losses)) >= 6:
            break
    assert stopped.n_trees == int(np.argmin(losses)) + 1
    assert stopped.n_trees < 50


def test_what_catboost_cannot_fit_is_a_model_error(bordered: BorderedData) -> None:
    """Features without any difference, infinite ones and other bins than the model's are refused with the reason."""
    flat = np.ones((100, 2), dtype=np.float32)
    with pytest.raises(ModelError, match="CatBoost cannot"):
        CatBoostModel(SMALL, ["a", "b"]).fit(flat, np.arange(100.0))
    spoilt = X.copy()
    spoilt[17, 3] = np.inf
    with pytest.raises(ModelError, match=f"feature {NAMES[3]} is inf in row 17"):
        CatBoostModel.prepare(spoilt, NAMES, SMALL)
    with pytest.raises(ModelError, match="binned with max_bin=254, the model has 63"):
        CatBoostModel(changed(max_bin=63), NAMES).fit_rows(bordered, Y)


def test_equal_labels_make_a_constant_model(tmp_path: Path) -> None:
    """One label for all rows is that score for all rows, in ONNX too, and no feature matters."""
    model = CatBoostModel(SMALL, NAMES).fit(X, np.full(ROWS, 0.25))
    assert set(model.predict(X).tolist()) == {0.25}
    model.export_onnx(tmp_path / "model.onnx")
    from trademl.edge.session import ScoringSession

    assert set(ScoringSession(tmp_path / "model.onnx").predict(X).tolist()) == {0.25}
    assert set(model.importances().values()) == {0.0}
