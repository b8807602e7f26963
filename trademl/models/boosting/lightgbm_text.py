"""LightGBM's native text: read it, bring it into canonical form, write it back.

The text is a header of ``key=value`` lines, one block per tree and a tail. Canonical form (see
:mod:`trademl.models.trees`) changes thresholds and leaf values, drops the tail's parameter dump (it names the number of
threads) and adds one header line, ``trademl_config``. Any LightGBM still reads the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import CLASSES, Task
from trademl.models.trees import Ensemble, Tree, clear_zero_zone, floor_float32, round_to_grid

ZERO_ZONE = np.float32(1e-35)
"""LightGBM reads features with |x| <= 1e-35f as 0 when it predicts (``kZeroThreshold``)."""

CONFIG_KEY = "trademl_config"

_CATEGORICAL = 1
_DEFAULT_LEFT = 2
_MISSING_NONE, _MISSING_ZERO, _MISSING_NAN = 0, 1, 2
_END = "end of trees"


@dataclass(frozen=True)
class LightGBMText:
    """A parsed model: header lines and tree blocks as ordered key -> value, importances as lines."""

    header: dict[str, str]
    blocks: tuple[dict[str, str], ...]
    importances: tuple[str, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.header["feature_names"].split())

    @property
    def config_json(self) -> str | None:
        """The family configuration that trademl wrote into the header, if it did."""
        return self.header.get(CONFIG_KEY)

    @property
    def task(self) -> Task:
        """What the objective fits; one that is unknown, or several classes of another kind, count as regressions."""
        words = self.header.get("objective", "").split()
        if words[:1] == ["binary"]:
            return "binary"
        return "three_class" if words == ["multiclass", f"num_class:{len(CLASSES)}"] else "regression"


def parse(text: str) -> LightGBMText:
    """Read a model text.

    Raises:
        ModelError: it is not one, or it is cut off.
    """
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("Tree=")]
    if not lines or lines[0] != "tree" or not starts or _END not in lines:
        raise ModelError(
            "not a complete LightGBM model text (it begins with `tree`, has `Tree=` blocks and `end of trees`)",
            remedy="compare the file's sha256 with the manifest, or train again",
        )
    end = lines.index(_END)
    header = _pairs(lines[1 : starts[0]])
    blocks = tuple(_pairs(lines[a:b]) for a, b in zip(starts, [*starts[1:], end], strict=True))
    missing = {"feature_names", "num_class", "num_tree_per_iteration"} - header.keys()
    declared = len(header.get("tree_sizes", "").split())
    if missing or declared not in (0, len(blocks)):
        raise ModelError(
            f"the LightGBM header lacks {sorted(missing)}"
            if missing
            else f"{len(blocks)} trees of {declared} declared",
            remedy="compare the file's sha256 with the manifest, or train again",
        )
    tail = lines[end + 1 :]
    first = tail.index("feature_importances:") + 1 if "feature_importances:" in tail else len(tail)
    importances = []
    for line in tail[first:]:
        if "=" not in line:
            break
        importances.append(line)
    return LightGBMText(header, blocks, tuple(importances))


def render(model: LightGBMText) -> str:
    """Write a model text; ``tree_sizes`` (bytes of each block, used by LightGBM to read in parallel) is recomputed."""
    blocks = ["".join(f"{key}={value}\n" for key, value in block.items()) + "\n\n" for block in model.blocks]
    header = {**model.header, "tree_sizes": " ".join(str(len(block.encode())) for block in blocks)}
    head = "".join(f"{key}={value}\n" for key, value in header.items())
    tail = "".join(f"{line}\n" for line in model.importances)
    return f"tree\n{head}\n{''.join(blocks)}{_END}\n\nfeature_importances:\n{tail}"


def ensemble_of(model: LightGBMText) -> Ensemble:
    """Return the model's trees.

    Raises:
        ModelError: the model has something that has no exact equal in an ONNX tree ensemble; the message says what.
    """
    if "average_output" in model.header:
        raise _refusal("a random forest (average_output): its mean is not a sum of leaves", "use boosting=gbdt")
    per_round = len(CLASSES) if model.task == "three_class" else 1
    if int(model.header["num_tree_per_iteration"]) != per_round or len(model.blocks) % per_round:
        raise _refusal(
            f"{model.header['num_class']} classes, {len(model.blocks)} trees and the objective "
            f"{model.header.get('objective', 'unknown')}",
            "use a regression or binary objective, or multiclass with three classes",
        )
    return Ensemble(tuple(_tree(number, block) for number, block in enumerate(model.blocks)), (0.0,) * per_round)


def canonicalise(text: str, config: str | None = None) -> str:
    """Return the canonical form of a model text; canonical text comes back unchanged.

    Args:
        text: what LightGBM saved.
        config: JSON of the family's configuration, stored in the header (None keeps what is there).

    Raises:
        ModelError: see :func:`parse` and :func:`ensemble_of`.
    """
    model = parse(text)
    ensemble = ensemble_of(model)
    k = ensemble.grid()
    blocks = []
    for tree, block in zip(ensemble.trees, model.blocks, strict=True):
        changed: dict[str, str] = {"leaf_value": _numbers(round_to_grid(tree.leaf_value, k))}
        if len(tree.feature):
            changed["threshold"] = _numbers(clear_zero_zone(floor_float32(tree.threshold), ZERO_ZONE))
        blocks.append({**block, **changed})
    header = dict(model.header) if config is None else {**model.header, CONFIG_KEY: config}
    return render(replace(model, header=header, blocks=tuple(blocks)))


def _pairs(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        if line:
            key, _, value = line.partition("=")
            found[key] = value
    return found


def _tree(number: int, block: Mapping[str, str]) -> Tree:
    if block.get("is_linear", "0") != "0":
        raise _refusal(f"linear leaves (tree {number})", "use linear_tree=false")
    if block.get("num_cat", "0") != "0":
        raise _refusal(f"a categorical split (tree {number})", "encode the category as numbers")
    splits = int(block["num_leaves"]) - 1
    decision = _array(block, "decision_type", splits, np.int64)
    missing = (decision >> 2) & 3
    if (decision & _CATEGORICAL).any():
        raise _refusal(f"a categorical split (tree {number})", "encode the category as numbers")
    if (missing == _MISSING_ZERO).any():
        raise _refusal(f"zeros read as missing (tree {number})", "use zero_as_missing=false")
    threshold = _array(block, "threshold", splits, np.float64)
    # A feature that had no missing value in training has no learned side: LightGBM then compares NaN as 0.
    nan_left = np.where(missing == _MISSING_NAN, (decision & _DEFAULT_LEFT) > 0, threshold >= 0)
    return Tree(
        feature=_array(block, "split_feature", splits, np.int64),
        threshold=threshold,
        left=_array(block, "left_child", splits, np.int64),
        right=_array(block, "right_child", splits, np.int64),
        nan_left=nan_left,
        leaf_value=_array(block, "leaf_value", splits + 1, np.float64),
    )


def _array(block: Mapping[str, str], key: str, count: int, dtype: type[Any]) -> NDArray[Any]:
    values = np.array(block.get(key, "").split(), dtype=dtype)
    if len(values) != count:
        raise ModelError(
            f"Tree={block['Tree']}: {key} has {len(values)} values, expected {count}",
            remedy="the model text is damaged: compare its sha256 with the manifest, or train again",
        )
    return values


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.17g}" for value in values)


def _refusal(what: str, remedy: str) -> ModelError:
    return ModelError(f"this LightGBM model cannot be exported bit-equal: it has {what}", remedy=remedy)
