"""LightGBM's native text: read it, bring it into canonical form, write it back.

The text is a header of ``key=value`` lines, one block per tree and a tail. Canonical form (see
:mod:`trademl.models.trees`) changes thresholds and leaf values, drops the tail's parameter dump (it names the number of
threads) and adds one header line, ``trademl_config``. Any LightGBM still reads the result.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import checked_names
from trademl.models.trees import Ensemble, Tree, clear_zero_zone, floor_float32, grid_exponent, round_to_grid

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


def trees_of(model: LightGBMText) -> list[Tree]:
    """Return the model's trees.

    Raises:
        ModelError: the model has something that has no exact equal in an ONNX tree ensemble; the message says what.
    """
    if "average_output" in model.header:
        raise _refusal("a random forest (average_output): its mean is not a sum of leaves", "use boosting=gbdt")
    if int(model.header["num_tree_per_iteration"]) != 1:
        raise _refusal(f"{model.header['num_class']} classes", "use a regression or binary objective")
    return [_tree(number, block) for number, block in enumerate(model.blocks)]


def canonicalise(text: str, config: str | None = None) -> str:
    """Return the canonical form of a model text; canonical text comes back unchanged.

    Args:
        text: what LightGBM saved.
        config: JSON of the family's configuration, stored in the header (None keeps what is there).

    Raises:
        ModelError: see :func:`parse` and :func:`trees_of`.
    """
    model = parse(text)
    trees = trees_of(model)
    k = grid_exponent([tree.leaf_value for tree in trees])
    blocks = []
    for tree, block in zip(trees, model.blocks, strict=True):
        changed: dict[str, str] = {"leaf_value": _numbers(round_to_grid(tree.leaf_value, k))}
        if len(tree.feature):
            changed["threshold"] = _numbers(clear_zero_zone(floor_float32(tree.threshold), ZERO_ZONE))
        blocks.append({**block, **changed})
    header = dict(model.header) if config is None else {**model.header, CONFIG_KEY: config}
    return render(replace(model, header=header, blocks=tuple(blocks)))


def export_onnx(model_text: str, feature_names: Sequence[str], path: Path) -> None:
    """Write the canonical form of a model text as ONNX to ``path``, atomically; the same model gives the same bytes.

    Raises:
        ModelError: ``feature_names`` are not the model's own in its order, or the model cannot be exported bit-equal
            (categorical splits, linear leaves, random forests, several classes, zeros read as missing).
    """
    from trademl.models.onnx import export_trees

    model = parse(canonicalise(model_text))
    names = checked_names(feature_names)
    if names != model.feature_names:
        differing = next(
            (at for at, pair in enumerate(itertools.zip_longest(names, model.feature_names)) if pair[0] != pair[1]), 0
        )
        raise ModelError(
            f"the {len(names)} feature names are not the model's {len(model.feature_names)}: first difference at "
            f"position {differing}",
            remedy="give the names in the order the model was trained on",
        )
    export_trees(Ensemble(tuple(trees_of(model))), names, path)


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
