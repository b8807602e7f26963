"""The frozen scorer v1 of the traders sleeve: one XGBoost JSON model and the reader for it, on Python alone.

It answers in shadow mode while there is no stacked pipeline, so it shares nothing with what replaced it: no import of
trademl, no numpy, no XGBoost, no ONNX. Only ``trademl.governance.router`` starts it, as a process of its own:

    python legacy/score_traders.py describe             what it is and which features it reads, as JSON
    python legacy/score_traders.py < request.json       scores, as JSON

A request is ``{"features": [names in the model's order], "rows": [[numbers, null where missing], ...]}``; the answer is
``{"yhat": [...], "prob_up": [...], "yhat_std": number}``. What is wrong with a request is one line on standard error,
and the exit code is 1.

This file and its model never change; README.md says where they came from and when they go.
"""

import hashlib
import json
import math
import struct
import sys
from pathlib import Path

NAME = "legacy-traders-v1"
MODEL = Path(__file__).with_name("xgb_trader_v1.json")
MODEL_SHA256 = "4fe1686a52eba41f3ad30ad444e11e420841a658fd6aee36ee079bd13b6c2858"

LEAF = -1
LOWEST, HIGHEST = 0.01, 0.99

Tree = dict[str, list[float]]


class Refusal(Exception):
    """Why there is no score."""


class Model:
    """The parsed model file: what it says of itself, and trees as parallel lists, the root first."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != MODEL_SHA256:
            raise Refusal(f"{path} has sha256 {digest}, the frozen model has {MODEL_SHA256}: restore it")
        learner = json.loads(data)["learner"]
        self.facts = learner["attributes"]
        self.features = learner["feature_names"]
        self.residual_std = float(self.facts["frozen_residual_std"])
        self.slope, self.intercept = (float(number) for number in self.facts["frozen_platt"].split())
        self.trees: list[Tree] = learner["gradient_booster"]["model"]["trees"]
        for tree in self.trees:
            # The file has the fewest digits that tell float32 numbers apart.
            tree["split_conditions"] = [_narrow(number) for number in tree["split_conditions"]]

    def score(self, row: list[float]) -> float:
        """Return the sum of the leaves that ``row`` falls into; the leaves lie on a grid, so no sum is rounded."""
        total = 0.0
        for tree in self.trees:
            total += _leaf(tree, row)
        return total

    def probability(self, score: float) -> float:
        """Return the probability that the label is above 0: Platt's curve, within [0.01, 0.99]."""
        power = min(700.0, max(-700.0, self.slope * score + self.intercept))
        return min(HIGHEST, max(LOWEST, 1.0 / (1.0 + math.exp(power))))


def _narrow(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


def _leaf(tree: Tree, row: list[float]) -> float:
    node = 0
    while tree["left_children"][node] != LEAF:
        value = row[int(tree["split_indices"][node])]
        left = bool(tree["default_left"][node]) if math.isnan(value) else value < tree["split_conditions"][node]
        node = int(tree["left_children" if left else "right_children"][node])
    return tree["split_conditions"][node]


def describe(model: Model) -> dict[str, object]:
    """Return what a caller must know: name, label, horizon in days, features in order."""
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
