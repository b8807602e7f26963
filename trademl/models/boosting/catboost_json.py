"""CatBoost's JSON model: read it, bring it into canonical form, write it back.

Only symmetric trees of number features are read. A symmetric tree asks one question on each level, the same in all its
nodes, and gives leaf ``b0 + 2 b1 + 4 b2 + ...`` with ``b_i`` 1 when ``x > border`` of question i. With three classes a
leaf has three values, and counts elsewhere as the leaves of three trees. Canonical form (see
:mod:`trademl.models.trees`) rounds leaves and bias, says for every feature where a missing value goes, and drops the
training record (it holds clock times and a random identity). CatBoost reads the result.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import CLASSES, Task, checked_names
from trademl.models.trees import Ensemble, Tree, floor_float32

CONFIG_KEY = "trademl_config"
_DEEPEST = 16


@dataclass(frozen=True)
class Symmetric:
    """One tree: for each question its feature and border, and for each leaf its value and the weight of its rows.

    With three classes a leaf's three values stand together.
    """

    features: tuple[int, ...]
    borders: tuple[float, ...]
    leaf_values: tuple[float, ...]
    leaf_weights: tuple[float, ...]


@dataclass(frozen=True)
class CatBoostFile:
    """A parsed model. ``nan_right`` says, feature by feature, that a missing value counts as above every border.

    ``biases`` are where the score, or the margins of three classes, start.
    """

    feature_names: tuple[str, ...]
    nan_right: tuple[bool, ...]
    trees: tuple[Symmetric, ...]
    biases: tuple[float, ...]
    task: Task = "regression"
    config_json: str | None = None


def parse(text: str) -> CatBoostFile:
    """Read a model's JSON.

    Raises:
        ModelError: it is not one, it is damaged, or it has what cannot be exported bit-equal, such as trees that are
            not symmetric.
    """
    try:
        return _parsed(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        raise ModelError(
            f"not a complete CatBoost JSON model: {type(error).__name__} {str(error)[:80]}",
            remedy="compare the file's sha256 with the manifest, or train again",
        ) from error


def render(model: CatBoostFile) -> str:
    """Write a model as CatBoost's JSON, one tree a line."""
    borders: list[list[float]] = [[] for _ in model.feature_names]
    for tree in model.trees:
        for feature, border in zip(tree.features, tree.borders, strict=True):
            borders[feature].append(border)
    borders = [sorted(set(found)) for found in borders]
    # Questions are numbered through all borders of all features; CatBoost reads this number, not the border beside it.
    number = {pair: at for at, pair in enumerate((f, border) for f, found in enumerate(borders) for border in found)}
    features = [
        {
            "feature_id": name,
            "feature_index": at,
            "flat_feature_index": at,
            "has_nans": True,
            "nan_value_treatment": "AsTrue" if model.nan_right[at] else "AsFalse",
            "borders": borders[at],
        }
        for at, name in enumerate(model.feature_names)
    ]
    info = {} if model.config_json is None else {CONFIG_KEY: model.config_json}
    trees = ",\n".join(
        json.dumps(
            {
                "splits": [
                    {
                        "split_type": "FloatFeature",
                        "float_feature_index": feature,
                        "border": border,
                        "split_index": number[feature, border],
                    }
                    for feature, border in zip(tree.features, tree.borders, strict=True)
                ],
                "leaf_values": tree.leaf_values,
                "leaf_weights": tree.leaf_weights,
            }
        )
        for tree in model.trees
    )
    return (
        f'{{"model_info":{json.dumps(info)},\n"features_info":{json.dumps({"float_features": features})},\n'
        f'"scale_and_bias":[1,[{json.dumps(list(model.biases))[1:-1]}]],\n"oblivious_trees":[\n{trees}]}}\n'
    )


def canonicalise(model: CatBoostFile, config: str | None = None) -> CatBoostFile:
    """Return the canonical form of a model; canonical models come back unchanged.

    Args:
        model: what :func:`parse` gave.
        config: JSON of the family's configuration, to be kept in the file (None keeps what is there).
    """
    classes = len(model.biases)
    leaves = [_constant_tree(values) for tree in model.trees for values in _by_class(tree, classes)]
    canonical = Ensemble(tuple(leaves), model.biases).canonical()
    rounded = [tree.leaf_value for tree in canonical.trees]
    trees = tuple(
        replace(
            tree,
            borders=tuple(floor_float32(np.array(tree.borders)).tolist()),
            leaf_values=tuple(np.column_stack(rounded[at * classes : (at + 1) * classes]).ravel().tolist()),
        )
        for at, tree in enumerate(model.trees)
    )
    return replace(
        model,
        trees=trees,
        biases=canonical.constants,
        config_json=model.config_json if config is None else config,
    )


def ensemble_of(model: CatBoostFile) -> Ensemble:
    """Return the model as ordinary trees, each question repeated in every node of its level."""
    trees = (
        _tree(tree, values, model.nan_right) for tree in model.trees for values in _by_class(tree, len(model.biases))
    )
    return Ensemble(tuple(trees), model.biases)


def _by_class(tree: Symmetric, classes: int) -> list[tuple[float, ...]]:
    return [tree.leaf_values[number::classes] for number in range(classes)]


def _tree(tree: Symmetric, leaf_values: Sequence[float], nan_right: Sequence[bool]) -> Tree:
    depth = len(tree.features)
    # Nodes by level; a node's place in its level is what the questions above said, the first as the highest bit.
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    features = np.array(tree.features, dtype=np.int64)[level]
    node = np.arange(len(level))
    inner = level < depth - 1
    leaf = _bits_reversed(depth)
    below = 2 * (node - len(level) // 2)
    left = np.where(inner, 2 * node + 1, 0)
    right = np.where(inner, 2 * node + 2, 0)
    left[~inner] = -1 - leaf[below[~inner]]
    right[~inner] = -1 - leaf[below[~inner] + 1]
    return Tree(
        feature=features,
        threshold=floor_float32(np.array(tree.borders, dtype=np.float64)[level]),
        left=left,
        right=right,
        nan_left=~np.array(nan_right, dtype=np.bool_)[features],
        leaf_value=np.array(leaf_values, dtype=np.float64),
    )


def _bits_reversed(depth: int) -> NDArray[np.int64]:
    """Return the numbers below 2**depth with their bits in reverse: CatBoost's first question is the lowest bit."""
    found = np.zeros(1, dtype=np.int64)
    for _ in range(depth):
        found = np.concatenate([2 * found, 2 * found + 1])
    return found


def _constant_tree(leaf_values: Sequence[float]) -> Tree:
    """Return leaves without splits, for rounding them."""
    none = np.empty(0, dtype=np.int64)
    return Tree(
        none, none.astype(np.float64), none, none, none.astype(np.bool_), np.array(leaf_values, dtype=np.float64)
    )


def _parsed(document: Mapping[str, Any]) -> CatBoostFile:
    information = document["features_info"]
    if "trees" in document:
        raise _refusal("trees that are not symmetric", "use grow_policy=SymmetricTree")
    for kind in ("categorical_features", "text_features", "embedding_features", "ctrs"):
        if information.get(kind):
            raise _refusal(kind.replace("_", " "), "encode them as numbers")
    features = sorted(information["float_features"], key=lambda feature: int(feature["flat_feature_index"]))
    names = checked_names([str(feature["feature_id"]) for feature in features])
    if [int(feature["flat_feature_index"]) for feature in features] != list(range(len(names))):
        raise ValueError("the features are not numbered 0, 1, ...")
    scale, biases = document["scale_and_bias"]
    record = document["model_info"]
    loss = record.get("params", {}).get("loss_function", {}).get("type")
    if (loss not in (None, "MultiClass") and len(biases) > 1) or len(biases) not in (1, len(CLASSES)):
        raise _refusal(f"{len(biases)} classes or targets", "use RMSE, Logloss, or MultiClass with three classes")
    config = record.get(CONFIG_KEY)
    return CatBoostFile(
        feature_names=names,
        nan_right=tuple(feature["nan_value_treatment"] == "AsTrue" for feature in features),
        trees=tuple(
            _symmetric(at, tree, len(names), float(scale), len(biases))
            for at, tree in enumerate(document["oblivious_trees"])
        ),
        biases=_finite(biases, "bias"),
        task="three_class" if len(biases) > 1 else "binary" if loss == "Logloss" else "regression",
        config_json=None if config is None else str(config),
    )


def _symmetric(number: int, tree: Mapping[str, Any], features: int, scale: float, classes: int) -> Symmetric:
    splits = tree["splits"] or []
    if any(split["split_type"] != "FloatFeature" for split in splits):
        raise _refusal(f"a question that is not about a number (tree {number})", "encode categories as numbers")
    chosen = tuple(int(split["float_feature_index"]) for split in splits)
    if any(not 0 <= feature < features for feature in chosen):
        raise ValueError(f"tree {number}: a feature beyond the {features}")
    values = _finite([scale * value for value in tree["leaf_values"]], f"tree {number}: leaf")
    weights = _finite(tree["leaf_weights"], f"tree {number}: weight")
    leaves = 2 ** min(len(chosen), _DEEPEST)
    if len(chosen) > _DEEPEST or len(values) != classes * leaves or len(weights) != leaves:
        raise ValueError(f"tree {number}: {len(values)} leaves and {len(weights)} weights for {len(chosen)} questions")
    return Symmetric(chosen, _finite([split["border"] for split in splits], f"tree {number}: border"), values, weights)


def _finite(values: Sequence[Any], what: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    for value in numbers:
        if not math.isfinite(value):
            raise ValueError(f"{what} {value}")
    return numbers


def _refusal(what: str, remedy: str) -> ModelError:
    return ModelError(f"this CatBoost model cannot be exported bit-equal: it has {what}", remedy=remedy)
