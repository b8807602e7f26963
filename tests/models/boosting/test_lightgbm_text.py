"""LightGBM's text and its canonical form."""

import re
from typing import Any

import lightgbm
import numpy as np
import pytest

from tests.models.panels import awkward_panel
from trademl.errors import ModelError
from trademl.models.boosting.lightgbm_text import canonicalise, ensemble_of, parse, render

X, Y = awkward_panel(3000)
FIXED = {"verbosity": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 20}
K = np.float32(1e-35)


def trained(
    X: np.ndarray = X, y: np.ndarray = Y, rounds: int = 8, dataset: dict[str, Any] | None = None, **more: Any
) -> str:
    parameters = {**FIXED, "objective": "regression", **more}
    data = lightgbm.Dataset(X, y, params=parameters, **(dataset or {}))
    text: str = lightgbm.train(parameters, data, rounds).model_to_string()
    return text


def stump(threshold: str, decision: int, leaves: str = "1 2") -> str:
    """Write a two-leaf model on one feature by hand."""
    tree = (
        f"Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold={threshold}\n"
        f"decision_type={decision}\nleft_child=-1\nright_child=-2\nleaf_value={leaves}\nleaf_weight=1 1\n"
        "leaf_count=1 1\ninternal_value=0\ninternal_weight=0\ninternal_count=2\nis_linear=0\nshrinkage=1\n\n\n"
    )
    return (
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n"
        f"objective=regression\nfeature_names=a\nfeature_infos=[0:1]\ntree_sizes={len(tree)}\n\n{tree}end of trees\n\n"
        "feature_importances:\na=1\n\nparameters:\n[num_threads: 7]\n\nend of parameters\n\npandas_categorical:null\n"
    )


def test_rendering_what_was_parsed_keeps_all_but_the_parameters() -> None:
    """The header, the trees and the importances come back byte for byte; the parameter dump does not."""
    text = trained()
    assert render(parse(text)) == text[: text.index("\nparameters:")]


def test_canonical_text_is_a_fixed_point_and_reads_back_the_same() -> None:
    """Canonical text is unchanged by another pass, and LightGBM reads and writes its numbers without loss."""
    once = canonicalise(trained())
    assert canonicalise(once) == once
    again = lightgbm.Booster(model_str=once).model_to_string()
    for key in ("threshold", "leaf_value", "decision_type"):
        assert re.findall(f"^{key}=.*$", again, re.M) == re.findall(f"^{key}=.*$", once, re.M)


def test_canonical_thresholds_are_float32_and_leaves_lie_on_one_grid() -> None:
    """Every threshold is a float32 number; every leaf is a multiple of one power of two that sums below 2**24 of it."""
    trees = ensemble_of(parse(canonicalise(trained()))).trees
    thresholds = np.concatenate([tree.threshold for tree in trees])
    assert np.array_equal(thresholds, thresholds.astype(np.float32).astype(np.float64))
    bound = sum(np.abs(tree.leaf_value).max() for tree in trees)
    step = 2.0 ** (np.floor(np.log2(bound)) + 1 - 24)
    leaves = np.concatenate([tree.leaf_value for tree in trees]) / step
    assert np.array_equal(leaves, np.round(leaves))
    assert bound / step < 2**24


def test_canonical_model_sends_training_rows_where_the_original_did() -> None:
    """Leaf numbers of the original and of the canonical model agree on every float32 row, ties included."""
    text = trained(num_leaves=31, rounds=20)
    original, canonical = lightgbm.Booster(model_str=text), lightgbm.Booster(model_str=canonicalise(text))
    thresholds = np.concatenate([tree.threshold for tree in ensemble_of(parse(text)).trees])
    ties = np.resize(thresholds.astype(np.float32), (2000, X.shape[1]))
    for rows in (X, ties):
        assert np.array_equal(original.predict(rows, pred_leaf=True), canonical.predict(rows, pred_leaf=True))


@pytest.mark.parametrize("decision", [0, 2, 8, 10])
@pytest.mark.parametrize(
    "threshold", ["0", "1e-36", "-1e-38", "1.0000000180025095e-35", "-1.0000000180025095e-35", "inf"]
)
def test_thresholds_in_the_zero_zone_decide_as_lightgbm_does(threshold: str, decision: int) -> None:
    """Around zero the canonical thresholds, compared plainly, decide as LightGBM, which reads |x| <= 1e-35 as 0."""
    lower, upper = np.float32(-np.inf), np.float32(np.inf)
    near = [K, np.nextafter(K, upper), np.nextafter(K, lower), np.float32(1e-40), np.float32(0), np.float32(1), upper]
    xs = np.array([*near, *(-x for x in near), np.nan], dtype=np.float32)
    engine = lightgbm.Booster(model_str=stump(threshold, decision)).predict(xs[:, None], num_threads=1)
    (tree,) = ensemble_of(parse(canonicalise(stump(threshold, decision)))).trees
    plain = np.where(np.isnan(xs), tree.nan_left[0], xs.astype(np.float64) <= tree.threshold[0])
    assert np.where(plain, 1.0, 2.0).tolist() == engine.tolist()


@pytest.mark.parametrize(
    "decision, threshold, left",
    [(8, "1", False), (10, "-1", True), (0, "1", True), (2, "-1", False), (0, "0", True), (2, "-0.5", False)],
)
def test_missing_goes_the_learned_way_or_where_zero_goes(decision: int, threshold: str, left: bool) -> None:
    """Missing type NaN (8, 10) follows the default bit; missing type None (0, 2) compares NaN as 0."""
    (tree,) = ensemble_of(parse(stump(threshold, decision))).trees
    assert bool(tree.nan_left[0]) is left
    engine = lightgbm.Booster(model_str=stump(threshold, decision)).predict(np.float32([[np.nan]]), num_threads=1)
    assert engine.tolist() == [1.0 if left else 2.0]


def test_the_configuration_is_kept_in_the_header() -> None:
    """A configuration given is stored, one there already is kept, and LightGBM does not mind it."""
    text = canonicalise(trained(), '{"kind":"lightgbm","learning_rate":0.05}')
    assert parse(canonicalise(text)).config_json == '{"kind":"lightgbm","learning_rate":0.05}'
    assert lightgbm.Booster(model_str=text).num_trees() == 8


CATEGORIES = np.column_stack([np.arange(600) % 7, np.arange(600) % 11]).astype(np.float32)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: trained(boosting="rf", bagging_freq=1, bagging_fraction=0.5), r"a random forest \(average_output\)"),
        (lambda: trained(linear_tree=True), "linear leaves"),
        (lambda: trained(zero_as_missing=True), "zeros read as missing"),
        (lambda: trained(y=np.arange(3000) % 4, objective="multiclass", num_class=4), "4 classes, 32 trees"),
        (lambda: trained(y=np.arange(3000) % 3, objective="multiclassova", num_class=3), "the objective multiclassova"),
        (
            lambda: trained(
                CATEGORIES, (CATEGORIES[:, 0] % 3) * 1.0, dataset={"categorical_feature": [0]}, min_data_per_group=5
            ),
            "a categorical split",
        ),
    ],
)
def test_what_cannot_be_exported_exactly_is_refused_with_its_reason(make: Any, message: str) -> None:
    """Random forests, linear leaves, zero-as-missing, other classes and categorical splits are refused by name."""
    with pytest.raises(ModelError, match=message):
        canonicalise(make())


def test_a_short_array_is_damage() -> None:
    """A tree whose arrays do not fit together is refused with its number."""
    with pytest.raises(ModelError, match="Tree=0: leaf_value has 1 values, expected 2"):
        canonicalise(stump("0.5", 8, leaves="1"))
