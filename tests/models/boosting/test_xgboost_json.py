"""XGBoost's JSON and its canonical form."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.models.panels import NAMES, awkward_panel
from trademl.errors import ModelError
from trademl.models.boosting.xgboost import XGBoostConfig, XGBoostModel
from trademl.models.boosting.xgboost_json import Node, XGBoostFile, canonicalise, ensemble_of, parse, render

ROWS = 4000
X, Y = awkward_panel(ROWS)
UP = (Y > 0).astype(np.float64)
LARGEST = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def fitted() -> XGBoostModel:
    return XGBoostModel(XGBoostConfig(n_rounds=5, max_depth=4, min_child_weight=5, threads=1), NAMES).fit(X, Y)


def raw(rounds: int = 5, y: np.ndarray = Y, values: np.ndarray = X, **parameters: Any) -> str:
    """What XGBoost itself saves after an ordinary fit."""
    matrix = xgboost.DMatrix(values, label=y, feature_names=list(NAMES[: values.shape[1]]))
    told = {"max_depth": 4, "nthread": 1, "verbosity": 0, "tree_method": "hist", **parameters}
    return bytes(xgboost.train(told, matrix, rounds).save_raw("json")).decode()


@pytest.mark.parametrize("threshold", [0.0, -0.0, 1e-45, -1e-45, 1.2e-38, 1.0, 0.1, 1e30, LARGEST, -LARGEST, np.inf])
@pytest.mark.parametrize("default_left", [True, False])
def test_less_than_becomes_at_most_one_float_lower(threshold: float, default_left: bool) -> None:
    """At, above and below any threshold, at every odd float and when missing, the trees decide as the engine does."""
    t = float(np.float32(threshold))
    split = Node(1, 2, 0, t, default_left, 1.0, 1.0, 0.0)
    leaves = [Node(-1, -1, 0, value, False, 0.0, 1.0, 0.0) for value in (1.0, 2.0)]
    file = canonicalise(XGBoostFile((3, 0, 0), "reg:squarederror", ("a",), (0.0,), ((split, *leaves),)))
    with np.errstate(over="ignore", under="ignore"):
        near = [t, np.nextafter(np.float32(t), np.float32(np.inf)), np.nextafter(np.float32(t), np.float32(-np.inf))]
    odd = [0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf, LARGEST, -LARGEST, np.nan]
    rows = np.array([*near, *odd], dtype=np.float32)[:, None]
    engine = xgboost.Booster(model_file=bytearray(render(file).encode())).inplace_predict(rows, predict_type="margin")
    assert engine.tolist() == ensemble_of(file).scores(rows).tolist()


@pytest.mark.parametrize("objective, y", [("reg:squarederror", Y + 3), ("binary:logistic", UP)])
def test_a_foreign_model_keeps_its_scores_with_its_base_folded_in(objective: str, y: np.ndarray) -> None:
    """base_score goes into the first tree's leaves; scores stay, to float32 precision, and twice is once."""
    text = raw(20, y, objective=objective, base_score=0.3)
    expected = xgboost.Booster(model_file=bytearray(text.encode())).inplace_predict(X, predict_type="margin")
    model = XGBoostModel.from_text(text)
    assert np.abs(model.predict(X) - expected).max() < 1e-5
    assert model.config.task == ("binary" if objective == "binary:logistic" else "regression")
    assert parse(model.text).bases == (0.0,)
    assert XGBoostModel.from_text(model.text).text == model.text
    assert render(canonicalise(parse(model.text))) == model.text


def test_pruned_nodes_are_left_out() -> None:
    """A least gain makes XGBoost prune nodes that it had numbered; the scores are as before."""
    text = raw(5, gamma=20.0)
    expected = xgboost.Booster(model_file=bytearray(text.encode())).inplace_predict(X, predict_type="margin")
    model = XGBoostModel.from_text(text)
    sizes = [len(tree["left_children"]) for tree in json.loads(text)["learner"]["gradient_booster"]["model"]["trees"]]
    assert sum(map(len, parse(model.text).trees)) <= sum(sizes)
    assert np.abs(model.predict(X) - expected).max() < 1e-5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: raw(booster="dart"), "a dart booster"),
        (lambda: raw(y=np.arange(ROWS) % 4, objective="multi:softprob", num_class=4), "4 classes and 1 targets"),
        (
            lambda: raw(y=np.arange(ROWS) % 3, objective="multi:softprob", num_class=3, num_parallel_tree=2),
            "trees that are not of each class in turn",
        ),
        (
            lambda: raw(
                y=np.arange(ROWS) % 3, objective="multi:softprob", num_class=3, multi_strategy="multi_output_tree"
            ),
            "trees that are not of each class in turn",
        ),
        (lambda: raw(y=np.arange(ROWS) % 3, objective="multi:softmax", num_class=3), "the objective multi:softmax"),
        (lambda: raw(y=np.abs(Y), objective="count:poisson"), "the objective count:poisson"),
    ],
)
def test_what_cannot_be_exported_exactly_is_refused_with_its_reason(make: Any, message: str) -> None:
    """Dropped-out trees, four classes, forests, leaves of several numbers and other links are refused by name."""
    with pytest.raises(ModelError, match=message):
        XGBoostModel.from_text(make())


@pytest.mark.parametrize("base_score", [None, 0.25, [0.1, 0.2, 0.3]])
def test_three_classes_of_xgboosts_own_keep_their_scores(base_score: Any) -> None:
    """The base score of each class goes into the leaves of its first tree; margins stay, but for rounding."""
    more = {} if base_score is None else {"base_score": base_score}
    text = raw(6, y=np.arange(ROWS) % 3, objective="multi:softprob", num_class=3, **more)
    model = XGBoostModel.from_text(text)
    assert (model.config.task, model.rounds, model.n_trees) == ("three_class", 6, 18)
    expected = xgboost.Booster(model_file=bytearray(text.encode())).inplace_predict(X, predict_type="margin")
    assert np.abs(model.ensemble().scores(X) - expected).max() < 1e-5
    assert XGBoostModel.from_text(model.text).text == model.text


def test_a_categorical_split_is_refused() -> None:
    """A split on a set of categories has no equal in a threshold."""
    codes = (np.arange(ROWS) % 7).astype(np.float32)[:, None]
    matrix = xgboost.DMatrix(
        codes, label=(codes[:, 0] % 3), feature_names=["a"], feature_types=["c"], enable_categorical=True
    )
    text = bytes(xgboost.train({"max_cat_to_onehot": 1, "nthread": 1}, matrix, 2).save_raw("json")).decode()
    with pytest.raises(ModelError, match="categorical split"):
        XGBoostModel.from_text(text)


def damage(text: str, change: Any) -> str:
    document = json.loads(text)
    change(document["learner"], document["learner"]["gradient_booster"]["model"]["trees"][0])
    return json.dumps(document)


@pytest.mark.parametrize(
    "change",
    [
        lambda learner, tree: tree["left_children"].__setitem__(0, 10**6),
        lambda learner, tree: tree["left_children"].__setitem__(0, -5),
        lambda learner, tree: tree["right_children"].__setitem__(0, 0),
        lambda learner, tree: tree["right_children"].__setitem__(0, tree["left_children"][0]),
        lambda learner, tree: tree["split_indices"].__setitem__(0, 99),
        lambda learner, tree: tree["split_indices"].pop(),
        lambda learner, tree: tree["split_conditions"].__setitem__(-1, float("nan")),
        lambda learner, tree: tree["split_conditions"].__setitem__(0, "high"),
        lambda learner, tree: tree.pop("default_left"),
        lambda learner, tree: tree.update(left_children=[]),
        lambda learner, tree: learner.update(feature_names=["a"]),
        lambda learner, tree: learner.update(feature_names=["a b", *NAMES[1:]]),
        lambda learner, tree: learner["gradient_booster"]["model"]["trees"].pop(),
        lambda learner, tree: learner["gradient_booster"]["model"].update(trees=[]),
        lambda learner, tree: learner["learner_model_param"].update(base_score="much"),
        lambda learner, tree: learner["learner_model_param"].update(base_score="inf"),
        lambda learner, tree: learner["attributes"].update(trademl_config='{"kind": "xgboost", "depth": 3}'),
    ],
)
def test_damage_is_found_before_the_engine_sees_it(fitted: XGBoostModel, change: Any) -> None:
    """Loops, nodes and features that are not there, values that are no numbers: XGBoost would crash on some of them."""
    with pytest.raises(ModelError):
        XGBoostModel.from_text(damage(fitted.text, change))
