"""CatBoost's JSON and its canonical form."""

import json
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.boosting.catboost import CatBoostConfig, CatBoostModel
from trademl.models.boosting.catboost_json import CatBoostFile, Symmetric, canonicalise, ensemble_of, parse, render

ROWS = 4000
X, Y = awkward_panel(ROWS)
UP = (Y > 0).astype(np.float64)


@pytest.fixture(scope="module")
def fitted() -> CatBoostModel:
    return CatBoostModel(CatBoostConfig(n_rounds=5, depth=4, threads=1), NAMES).fit(X, Y)


def raw(folder: Path, y: np.ndarray = Y, pool: dict[str, Any] | None = None, **parameters: Any) -> tuple[str, Any]:
    """What CatBoost itself saves after an ordinary fit, and the model in memory."""
    told = {"iterations": 10, "depth": 4, "thread_count": 1, "allow_writing_files": False, "logging_level": "Silent"}
    model = catboost.CatBoost({**told, "loss_function": "RMSE", **parameters})
    model.fit(catboost.Pool(**{"data": X, "label": y, "feature_names": list(NAMES), **(pool or {})}))
    model.save_model(str(folder / "raw.json"), format="json")
    return (folder / "raw.json").read_text(), model


@pytest.mark.parametrize("loss, y", [("RMSE", Y), ("Logloss", UP)])
def test_canonical_scores_stay_within_half_a_step_per_tree_of_catboost(
    loss: str, y: np.ndarray, tmp_path: Path
) -> None:
    """A model that CatBoost fitted and saved scores as it does, up to half a grid step per tree and for the bias."""
    text, engine = raw(tmp_path, y, loss_function=loss)
    model = CatBoostModel.from_text(text)
    plain = engine.predict(X, prediction_type="RawFormulaVal")
    bound = sum(np.abs(tree.leaf_value).max() for tree in model.trees()) + abs(parse(model.text).biases[0])
    step = 2.0 ** (np.floor(np.log2(bound)) + 1 - 24)
    assert 0 < np.abs(model.predict(X) - plain).max() <= 11 * step / 2
    assert model.config.task == ("binary" if loss == "Logloss" else "regression")
    assert CatBoostModel.from_text(model.text).text == model.text
    assert render(canonicalise(parse(model.text))) == model.text


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
@pytest.mark.parametrize("nan_right", [True, False])
def test_symmetric_trees_become_ordinary_ones(depth: int, nan_right: bool) -> None:
    """A tree of each depth with all its leaves different: every corner reaches the leaf that its bits spell."""
    names = tuple(f"f{at}" for at in range(max(depth, 1)))
    tree = Symmetric(tuple(range(depth)), (0.5,) * depth, tuple(range(2**depth)), (1.0,) * 2**depth)
    file = CatBoostFile(names, (nan_right,) * len(names), (tree,), (0.0,))
    corners = (np.arange(2**depth)[:, None] >> np.arange(len(names)) & 1).astype(np.float32)
    assert ensemble_of(file).scores(corners).tolist() == list(range(2**depth))
    missing = np.full((1, len(names)), np.nan, dtype=np.float32)
    assert ensemble_of(file).scores(missing).tolist() == [2**depth - 1 if nan_right else 0]


@pytest.mark.parametrize("policy", ["Depthwise", "Lossguide"])
def test_trees_that_are_not_symmetric_are_refused(policy: str, tmp_path: Path) -> None:
    """CatBoost's other ways to grow have no place in its exports; the message says what to use."""
    text, _ = raw(tmp_path, grow_policy=policy)
    with pytest.raises(ModelError, match="cannot be exported bit-equal: it has trees that are not symmetric") as caught:
        CatBoostModel.from_text(text)
    assert "SymmetricTree" in caught.value.remedy


def test_three_classes_of_catboosts_own_keep_their_scores(tmp_path: Path) -> None:
    """Each tree's leaves of three numbers are read as three trees; margins stay, but for rounding."""
    text, engine = raw(tmp_path, (np.arange(ROWS) % 3).astype(float), loss_function="MultiClass")
    model = CatBoostModel.from_text(text)
    assert model.config.task == "three_class"
    assert model.n_trees == 3 * model.rounds == 3 * len(json.loads(text)["oblivious_trees"])
    expected = engine.predict(X, prediction_type="RawFormulaVal")
    assert np.abs(model.ensemble().scores(X) - expected).max() < 1e-5
    assert CatBoostModel.from_text(model.text).text == model.text


def test_other_classes_and_categories_are_refused(tmp_path: Path) -> None:
    """Four classes, three each against the rest, several targets and questions about categories have no equal here."""
    three, four = ((np.arange(ROWS) % count).astype(float) for count in (3, 4))
    with pytest.raises(ModelError, match="4 classes or targets"):
        CatBoostModel.from_text(raw(tmp_path, four, loss_function="MultiClass")[0])
    with pytest.raises(ModelError, match="3 classes or targets"):
        CatBoostModel.from_text(raw(tmp_path, three, loss_function="MultiClassOneVsAll")[0])
    codes = np.column_stack([(np.arange(ROWS) % 5).astype(str), np.arange(ROWS)]).astype(object)
    pool = {"data": codes, "feature_names": ["a", "b"], "cat_features": [0]}
    with pytest.raises(ModelError, match="cannot be exported bit-equal"):
        CatBoostModel.from_text(raw(tmp_path, (np.arange(ROWS) % 5).astype(float), pool)[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda document, tree: tree["leaf_values"].pop(),
        lambda document, tree: tree["leaf_weights"].pop(),
        lambda document, tree: tree["leaf_values"].__setitem__(0, float("nan")),
        lambda document, tree: tree["splits"][0].update(float_feature_index=10),
        lambda document, tree: tree["splits"][0].update(float_feature_index=-1),
        lambda document, tree: tree["splits"][0].update(border="high"),
        lambda document, tree: tree["splits"][0].update(border=float("inf")),
        lambda document, tree: tree.pop("splits"),
        lambda document, tree: document.update(scale_and_bias=[1, []]),
        lambda document, tree: document["features_info"]["float_features"].pop(),
        lambda document, tree: document["features_info"]["float_features"][0].update(feature_id="a b"),
        lambda document, tree: document["features_info"]["float_features"][0].update(flat_feature_index=1),
        lambda document, tree: document["model_info"].update(trademl_config='{"kind": "catboost", "deep": 3}'),
    ],
)
def test_damage_is_found_before_the_engine_sees_it(fitted: CatBoostModel, change: Any) -> None:
    """Leaves that are missing, features that are not there and values that are no numbers are refused."""
    document = json.loads(fitted.text)
    change(document, document["oblivious_trees"][0])
    with pytest.raises(ModelError):
        CatBoostModel.from_text(json.dumps(document))
