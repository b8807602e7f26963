"""A blend: the scaler and the meta-learner that turn the scores of several models into one.

``z_i = (score_i - mean_i) / scale_i``; a linear blend is ``level + w1 z1 + w2 z2 + ...`` in float64, in single
operations in the order of the inputs, so that numpy and ONNX give the same bits (:mod:`trademl.models.linear` says
why). An input that is NaN is missing: a linear blend multiplies what the others give by ``sum |w|`` over all inputs
divided by ``sum |w|`` over those present, which for an average is the average of those present; trees read NaN. Without
any input there is no score.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ModelError
from trademl.models.stacking.config import BLENDERS, Blender

FORMAT = "trademl blend 1"


@dataclass(frozen=True)
class Blend:
    """A fitted blend; tuples have one element per input, in order.

    Attributes:
        blender: how it was fitted.
        inputs: names of the inputs, such as run ids.
        means, scales: of the scaler; 0 and 1 for an average.
        weights: of a linear blend, on standardised scores; empty for trees.
        level: added to a linear blend.
        trees: LightGBM's canonical text; empty for a linear blend.
    """

    blender: Blender
    inputs: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...] = ()
    level: float = 0.0
    trees: str = ""

    def predict(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one blended score per row of ``scores`` (float64, shape (rows, inputs), NaN where missing).

        A row without any input gets NaN.

        Raises:
            ModelError: ``scores`` has another width.
        """
        if scores.ndim != 2 or scores.shape[1] != len(self.inputs):
            raise ModelError(
                f"scores have shape {scores.shape}, expected (rows, {len(self.inputs)})",
                remedy=f"give one column for each of {', '.join(self.inputs)}, NaN where it is missing",
            )
        missing = np.isnan(scores)
        with np.errstate(invalid="ignore", over="ignore"):
            z = (scores - np.array(self.means)) / np.array(self.scales)
            blended = self._by_trees(z) if self.trees else self._linear(z, missing)
        return np.where(missing.all(axis=1), np.nan, blended)

    def shares(self) -> dict[str, float]:
        """Return each input's share of the blend, summing to 1: of absolute weights, or of the trees' gain."""
        worth = np.array(list(self.meta.importances().values()) if self.trees else self.weights)
        worth = np.abs(worth)
        total = float(worth.sum())
        found = worth / total if total > 0 else np.full(len(worth), 1.0 / len(worth))
        return dict(zip(self.inputs, found.tolist(), strict=True))

    @cached_property
    def meta(self) -> Any:
        """The LightGBM model of ``trees``.

        Raises:
            ModelError: the text is damaged, or this blend has none.
        """
        from trademl.models.boosting.lightgbm import LightGBMModel

        return LightGBMModel.from_text(self.trees, origin="the blend's trees")

    def to_dict(self) -> dict[str, Any]:
        """Return the blend as JSON can hold it; numbers read back as the same float64."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, origin: str) -> Self:
        """Read what :meth:`to_dict` gave.

        Raises:
            ModelError: it is no such document; ``origin`` begins the message.
        """
        try:
            if raw["format"] != FORMAT or raw["blender"] not in BLENDERS:
                raise ValueError(f"it is {raw['format']!r} of {raw['blender']!r}")
            inputs = tuple(str(name) for name in raw["inputs"])
            means, scales, weights = (tuple(map(float, raw[name])) for name in ("means", "scales", "weights"))
            blend = cls(raw["blender"], inputs, means, scales, weights, float(raw["level"]), str(raw["trees"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{origin} is no blend: {error!r}", remedy="give a saved blend, or train again") from error
        widths = {len(means), len(scales), len(inputs)} | ({len(weights)} if not blend.trees else set())
        if widths != {len(inputs)} or not inputs or bool(blend.trees) != (blend.blender == "lightgbm"):
            raise ModelError(f"{origin}: its parts do not fit each other", remedy="train again")
        if not (np.isfinite([*means, *scales, *weights, blend.level]).all() and min(scales) > 0):
            raise ModelError(f"{origin} has numbers that are not finite, or a scale of 0", remedy="train again")
        if blend.trees and len(blend.meta.feature_names) != len(inputs):
            raise ModelError(f"{origin}: its trees have another number of inputs", remedy="train again")
        return blend

    def save(self, path: Path) -> None:
        """Write the blend as JSON, atomically and read-only."""
        write_atomic(path, (json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or is no such file.
        """
        return cls.from_dict(read_document(path), origin=str(path))

    def _linear(self, z: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
        weights = np.array(self.weights)
        products = np.where(missing, 0.0, z) * weights
        sizes = np.where(missing, 0.0, np.abs(weights))
        # Nothing begins at 0 or adds a level of 0: engines drop that, which keeps a negative zero.
        total, present = products[:, 0], sizes[:, 0]
        for column in range(1, len(weights)):
            total = total + products[:, column]
            present = present + sizes[:, column]
        with np.errstate(divide="ignore"):
            factor = np.where(present > 0.0, sum_in_order(np.abs(weights)) / present, 1.0)
        blended: NDArray[np.float64] = total * factor
        return self.level + blended if self.level else blended

    def _by_trees(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self.meta.predict(np.ascontiguousarray(z.astype(np.float32)))
        return scores


def sum_in_order(values: NDArray[np.float64]) -> float:
    """Return the sum from first to last, each step rounded: the very number that adding them one by one gives."""
    total = 0.0
    for value in values.tolist():
        total += value
    return total


def average(inputs: Sequence[str], weights: Mapping[str, float]) -> Blend:
    """Return the weighted mean of ``inputs`` (equal weights when ``weights`` is empty): nothing is fitted."""
    raw = np.array([weights.get(name, 0.0) if weights else 1.0 for name in inputs])
    shares = raw / sum_in_order(raw)
    n = len(raw)
    return Blend("average", tuple(inputs), (0.0,) * n, (1.0,) * n, tuple(shares.tolist()))


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises:
        ModelError: it is missing, or holds something else.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}", remedy="give the model file of a run") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path} holds no JSON object", remedy="give the model file of a run")
    return document
