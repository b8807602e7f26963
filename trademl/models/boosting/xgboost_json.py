"""XGBoost's JSON model: read it, bring it into canonical form, write it back.

Only what a score or an importance needs is kept, and it is checked here, because the engine stops the whole process on
some damaged files. Canonical form (see :mod:`trademl.models.trees`) rounds the leaves and folds ``base_score`` into
those of the first tree; thresholds are float32 already. Any XGBoost still reads the result.
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
from trademl.models.trees import Ensemble, Tree

CONFIG_KEY = "trademl_config"

OBJECTIVES: dict[str, tuple[Task, str]] = {
    "reg:squarederror": ("regression", "0E0"),
    "binary:logistic": ("binary", "5E-1"),
    "multi:softprob": ("three_class", "0E0"),
}
"""Objective -> task, and the ``base_score`` whose margin is 0."""

_LEAF = -1
_PER_NODE = (
    "right_children",
    "split_indices",
    "split_conditions",
    "default_left",
    "loss_changes",
    "sum_hessian",
    "base_weights",
)
_NO_PARENT = 2**31 - 1
_NO_CATEGORIES: dict[str, list[int]] = {
    "categories": [],
    "categories_nodes": [],
    "categories_segments": [],
    "categories_sizes": [],
}


@dataclass(frozen=True)
class Node:
    """A leaf has ``left`` and ``right`` -1 and its value in ``condition``; a split sends ``x < condition`` left."""

    left: int
    right: int
    feature: int
    condition: float
    default_left: bool
    gain: float
    hessian: float
    weight: float


@dataclass(frozen=True)
class XGBoostFile:
    """A parsed model: ``bases``, one or with three classes three, are added to the sums of leaves.

    ``trees`` are nodes, the root first; with three classes, in turn one of each.
    """

    version: tuple[int, ...]
    objective: str
    feature_names: tuple[str, ...]
    bases: tuple[float, ...]
    trees: tuple[tuple[Node, ...], ...]
    config_json: str | None = None

    @property
    def task(self) -> Task:
        return OBJECTIVES[self.objective][0]


def parse(text: str) -> XGBoostFile:
    """Read a model's JSON.

    Raises:
        ModelError: it is not one, it is damaged, or it has what has no exact equal in an ONNX tree ensemble.
    """
    try:
        return _parsed(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        raise ModelError(
            f"not a complete XGBoost JSON model: {type(error).__name__} {str(error)[:80]}",
            remedy="compare the file's sha256 with the manifest, or train again",
        ) from error


def render(model: XGBoostFile) -> str:
    """Write a model as XGBoost's JSON, one tree a line; ``bases`` must be 0."""
    if any(model.bases):
        raise ModelError(f"the base score {model.bases} is not folded in", remedy="canonicalise first")
    classes, count = len(model.bases), len(model.trees)
    loss = (
        {"reg_loss_param": {"scale_pos_weight": "1"}}
        if classes == 1
        else {"softmax_multiclass_param": {"num_class": str(classes)}}
    )
    head = {
        "attributes": {} if model.config_json is None else {CONFIG_KEY: model.config_json},
        "feature_names": list(model.feature_names),
        "feature_types": [],
        "learner_model_param": {
            "base_score": OBJECTIVES[model.objective][1],
            "boost_from_average": "0",
            "num_class": "0" if classes == 1 else str(classes),
            "num_feature": str(len(model.feature_names)),
            "num_target": "1",
        },
        "objective": {"name": model.objective, **loss},
    }
    booster = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
        "iteration_indptr": list(range(0, count + 1, classes)),
        "tree_info": [number % classes for number in range(count)],
    }
    trees = ",\n".join(
        json.dumps(_written(number, nodes, len(model.feature_names))) for number, nodes in enumerate(model.trees)
    )
    return (
        f'{{"version":{json.dumps(list(model.version))},"learner":{json.dumps(head)[:-1]},\n'
        f'"gradient_booster":{{"name":"gbtree","model":{json.dumps(booster)[:-1]},"trees":[\n{trees}]}}}}}}}}\n'
    )


def canonicalise(model: XGBoostFile, offsets: Sequence[float] | None = None, config: str | None = None) -> XGBoostFile:
    """Return the canonical form of a model; canonical models come back unchanged.

    Args:
        model: what :func:`parse` gave.
        offsets: to be added to every score, or to each margin, beside ``model.bases`` (None adds nothing).
        config: JSON of the family's configuration, to be kept in the file (None keeps what is there).
    """
    trees = ensemble_of(model).trees
    zeros = (0.0,) * len(model.bases)
    firsts = tuple(
        replace(tree, leaf_value=tree.leaf_value + (base + offset))
        for tree, base, offset in zip(trees, model.bases, zeros if offsets is None else offsets, strict=False)
    )
    canonical = Ensemble((*firsts, *trees[len(firsts) :]), zeros).canonical()
    changed = []
    for nodes, tree in zip(model.trees, canonical.trees, strict=True):
        values = iter(tree.leaf_value.tolist())
        changed.append(tuple(replace(node, condition=next(values)) if node.left == _LEAF else node for node in nodes))
    return replace(
        model, bases=zeros, trees=tuple(changed), config_json=model.config_json if config is None else config
    )


def ensemble_of(model: XGBoostFile) -> Ensemble:
    """Return the model as trees that go left on ``x <= threshold``: one float32 below XGBoost's ``x < threshold``."""
    return Ensemble(tuple(_tree(nodes) for nodes in model.trees), model.bases)


def _tree(nodes: Sequence[Node]) -> Tree:
    splits = [node for node in nodes if node.left != _LEAF]
    number: dict[int, int] = {}
    leaves = 0
    for at, node in enumerate(nodes):
        if node.left == _LEAF:
            leaves += 1
            number[at] = -leaves
        else:
            number[at] = len(number) - leaves
    conditions = np.array([node.condition for node in splits], dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        thresholds = np.nextafter(conditions, np.float32(-np.inf))
    return Tree(
        feature=np.array([node.feature for node in splits], dtype=np.int64),
        threshold=thresholds.astype(np.float64),
        left=np.array([number[node.left] for node in splits], dtype=np.int64),
        right=np.array([number[node.right] for node in splits], dtype=np.int64),
        nan_left=np.array([node.default_left for node in splits], dtype=np.bool_),
        leaf_value=np.array([node.condition for node in nodes if node.left == _LEAF], dtype=np.float64),
    )


def _parsed(document: Mapping[str, Any]) -> XGBoostFile:
    learner = document["learner"]
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    objective = str(learner["objective"]["name"])
    if booster["name"] != "gbtree":
        raise _refusal(f"a {booster['name']} booster", "use booster=gbtree")
    if objective not in OBJECTIVES:
        raise _refusal(f"the objective {objective}", f"use one of {', '.join(OBJECTIVES)}")
    classes = len(CLASSES) if OBJECTIVES[objective][0] == "three_class" else 1
    if max(1, int(parameters["num_class"])) != classes or int(parameters.get("num_target", 1)) > 1:
        raise _refusal(
            f"{parameters['num_class']} classes and {parameters.get('num_target', 1)} targets",
            "use a regression or binary objective, or multi:softprob with three classes",
        )
    names = checked_names([str(name) for name in learner["feature_names"]])
    trees = booster["model"]["trees"]
    declared = int(booster["model"]["gbtree_model_param"]["num_trees"])
    if int(parameters["num_feature"]) != len(names) or declared != len(trees) or not trees:
        raise ValueError(f"{len(trees)} trees of {declared} and {len(names)} names of {parameters['num_feature']}")
    in_turn = [number % classes for number in range(len(trees))]
    if classes > 1 and ([int(number) for number in booster["model"]["tree_info"]] != in_turn or len(trees) % classes):
        raise _refusal(
            "trees that are not of each class in turn", "use num_parallel_tree=1, multi_strategy=one_output_per_tree"
        )
    scores = [float(part) for part in str(parameters["base_score"]).strip("[]").split(",")]
    margins = [math.log(score / (1 - score)) if objective == "binary:logistic" else score for score in scores]
    if not all(map(math.isfinite, margins)) or len(margins) not in (1, classes):
        raise ValueError(f"base score {parameters['base_score']}")
    config = learner.get("attributes", {}).get(CONFIG_KEY)
    return XGBoostFile(
        version=tuple(int(part) for part in document["version"]),
        objective=objective,
        feature_names=names,
        bases=tuple(margins * classes) if len(margins) < classes else tuple(margins),
        trees=tuple(_nodes(number, tree, len(names)) for number, tree in enumerate(trees)),
        config_json=None if config is None else str(config),
    )


def _nodes(number: int, tree: Mapping[str, Any], features: int) -> tuple[Node, ...]:
    """Return the nodes that the root leads to, in their order; numbers of pruned ones are closed up."""
    if any(tree.get("split_type", [])) or tree.get("categories_nodes"):
        raise _refusal(f"a categorical split (tree {number})", "encode the category as numbers")
    left, right = [int(child) for child in tree["left_children"]], [int(child) for child in tree["right_children"]]
    if any(len(tree[key]) != len(left) for key in _PER_NODE):
        raise ValueError(f"tree {number} has {len(left)} nodes and lists of other lengths")
    reached: set[int] = set()
    pending = [0]
    while pending:
        at = pending.pop()
        if at in reached or not 0 <= at < len(left):
            raise ValueError(f"tree {number} leads to node {at} of {len(left)} twice or beyond its end")
        reached.add(at)
        if left[at] != _LEAF or right[at] != _LEAF:
            pending += [left[at], right[at]]
    place = {at: new for new, at in enumerate(sorted(reached))}
    nodes = []
    for at in place:
        leaf = left[at] == _LEAF
        node = Node(
            left=_LEAF if leaf else place[left[at]],
            right=_LEAF if leaf else place[right[at]],
            feature=0 if leaf else int(tree["split_indices"][at]),
            condition=float(tree["split_conditions"][at]),
            default_left=bool(tree["default_left"][at]) and not leaf,
            gain=float(tree["loss_changes"][at]),
            hessian=float(tree["sum_hessian"][at]),
            weight=float(tree["base_weights"][at]),
        )
        # A split at -inf sends nothing left, which `x <= threshold` cannot say; XGBoost makes none.
        if not math.isfinite(node.condition) and (leaf or node.condition != math.inf):
            raise ValueError(f"tree {number}, node {at}: value {node.condition}")
        if not 0 <= node.feature < features:
            raise ValueError(f"tree {number}, node {at}: feature {node.feature} of {features}")
        nodes.append(node)
    return tuple(nodes)


def _written(number: int, nodes: Sequence[Node], features: int) -> dict[str, Any]:
    parents = [_NO_PARENT] * len(nodes)
    for at, node in enumerate(nodes):
        if node.left != _LEAF:
            parents[node.left] = parents[node.right] = at
    return {
        "id": number,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(len(nodes)),
            "size_leaf_vector": "1",
        },
        "left_children": [node.left for node in nodes],
        "right_children": [node.right for node in nodes],
        "parents": parents,
        "split_indices": [node.feature for node in nodes],
        "split_conditions": _short([node.condition for node in nodes]),
        "default_left": [int(node.default_left) for node in nodes],
        "split_type": [0] * len(nodes),
        "loss_changes": _short([node.gain for node in nodes]),
        "sum_hessian": _short([node.hessian for node in nodes]),
        "base_weights": _short([node.weight for node in nodes]),
        **_NO_CATEGORIES,
    }


def _short(values: Sequence[float]) -> list[float]:
    """Return the numbers with the fewest digits that read back as the same float32."""
    narrow: NDArray[np.float32] = np.array(values, dtype=np.float32)
    return [float(str(value)) for value in narrow]


def _refusal(what: str, remedy: str) -> ModelError:
    return ModelError(f"this XGBoost model cannot be exported bit-equal: it has {what}", remedy=remedy)
