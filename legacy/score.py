"""The frozen scorer v1 of the equities sleeve: one LightGBM text model and the reader for it, on Python alone.

It answers when the kill switch of configs/router.yml is on, so it shares nothing with what it replaces: no import of
trademl, no numpy, no LightGBM, no ONNX. Only ``trademl.governance.router`` starts it, as a process of its own:

    python legacy/score.py describe                     what it is and which features it reads, as JSON
    python legacy/score.py < request.json               scores, as JSON

A request is ``{"features": [names in the model's order], "rows": [[numbers, null where missing], ...]}``; the answer is
``{"yhat": [...], "prob_up": [...], "yhat_std": number}``. What is wrong with a request is one line on standard error,
and the exit code is 1.

This file and its model never change; README.md says where they came from and when they go.
"""

import hashlib
import json
import math
import sys
from pathlib import Path

NAME = "legacy-equities-v1"
MODEL = Path(__file__).with_name("model_v1.txt")
MODEL_SHA256 = "82fff50fd0135c439e9743cc5450102bd8d90874e876ec365e331f3f36a617f3"

# LightGBM reads features this close to 0 as 0 (kZeroThreshold, a float32).
NEARLY_ZERO = 1.0000000180025095e-35
DEFAULT_LEFT = 2
MISSING_NAN = 2
LOWEST, HIGHEST = 0.01, 0.99

Tree = dict[str, list[float]]


class Refusal(Exception):
    """Why there is no score."""


class Model:
    """The parsed model file: header facts and trees.

    A tree has its inner nodes as parallel lists (split_feature, threshold, decision_type, left_child, right_child) and
    its leaves in leaf_value; a child below 0 is leaf ``-child - 1``.
    """

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != MODEL_SHA256:
            raise Refusal(f"{path} has sha256 {digest}, the frozen model has {MODEL_SHA256}: restore it")
        head, *blocks = data.decode("utf-8").partition("end of trees")[0].split("\nTree=")
        self.facts = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
        self.features = self.facts["feature_names"].split()
        self.residual_std = float(self.facts["frozen_residual_std"])
        self.slope, self.intercept = (float(number) for number in self.facts["frozen_platt"].split())
        self.trees = [_tree(block) for block in blocks]

    def score(self, row: list[float]) -> float:
        """Return the sum of the leaves that ``row`` falls into, tree by tree, as LightGBM adds them."""
        values = [value if math.isnan(value) or abs(value) > NEARLY_ZERO else 0.0 for value in row]
        total = 0.0
        for tree in self.trees:
            total += _leaf(tree, values)
        return total

    def probability(self, score: float) -> float:
        """Return the probability that the label is above 0: Platt's curve, within [0.01, 0.99]."""
        return min(HIGHEST, max(LOWEST, 1.0 / (1.0 + math.exp(self.slope * score + self.intercept))))


def _tree(block: str) -> Tree:
    wanted = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value")
    pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    return {name: [float(number) for number in pairs.get(name, "").split()] for name in wanted}


def _leaf(tree: Tree, values: list[float]) -> float:
    node = 0 if tree["split_feature"] else -1
    while node >= 0:
        value = values[int(tree["split_feature"][node])]
        decision = int(tree["decision_type"][node])
        if math.isnan(value) and (decision >> 2) & 3 == MISSING_NAN:
            left = bool(decision & DEFAULT_LEFT)
        else:
            # Without a missing value in training no side was learned for one: it is compared as 0.
            left = (0.0 if math.isnan(value) else value) <= tree["threshold"][node]
        node = int(tree["left_child" if left else "right_child"][node])
    return tree["leaf_value"][-node - 1]


def describe(model: Model) -> dict[str, object]:
    """Return what a caller must know: name, label, horizon in sessions, features in order."""
    return {
        "name": NAME,
        "label": model.facts["frozen_label"],
        "horizon": int(model.facts["frozen_horizon"]),
        "features": model.features,
        "sha256": MODEL_SHA256,
    }


def answer(model: Model, request: object) -> dict[str, object]:
    """Return the scores of a request.

    Raises:
        Refusal: the request is not one, or has other features than the model.
    """
    if not isinstance(request, dict) or not isinstance(request.get("rows"), list):
        raise Refusal('a request is {"features": [...], "rows": [[...], ...]}')
    if request.get("features") != model.features:
        raise Refusal(f"the features must be, in this order, {', '.join(model.features)}")
    width = len(model.features)
    scores = []
    for number, row in enumerate(request["rows"]):
        if not isinstance(row, list) or len(row) != width:
            raise Refusal(f"row {number} must have {width} values")
        if not all(value is None or type(value) in (int, float) for value in row):
            raise Refusal(f"row {number} has a value that is no number: {row}")
        scores.append(model.score([math.nan if value is None else float(value) for value in row]))
    return {
        "yhat": scores,
        "prob_up": [model.probability(score) for score in scores],
        "yhat_std": model.residual_std,
    }


def main(arguments: list[str]) -> int:
    """Run one command line and return the exit code."""
    try:
        model = Model(MODEL)
        if arguments == ["describe"]:
            result = describe(model)
        elif not arguments:
            result = answer(model, json.load(sys.stdin))
        else:
            raise Refusal(f"unknown arguments {arguments}; give `describe`, or none and a request on standard input")
    except (OSError, ValueError, Refusal) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
