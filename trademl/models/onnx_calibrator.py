"""A stored calibrator as ONNX, alone or behind a model: the same probabilities as in Python, bit for bit.

The graph repeats the operations of :func:`trademl.validation.calibration.apply` in its order (:class:`Steps`). Knots
are found by an unrolled binary search: one ``Gather`` and one comparison a step, and as many steps as the number of
knots has bits.
"""

import importlib
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from trademl.artifacts.files import write_atomic
from trademl.errors import MissingExtra, ModelError
from trademl.models.onnx_steps import Steps
from trademl.models.runtime import OUTPUT, PROBABILITIES
from trademl.validation.calibration import Calibrator, Clip, Knots, Platt

SCORE = "score"
PROBABILITY = "probability"
"""Input of a calibrator's own graph, and the output that calibration adds."""

_IR_VERSION = 8
_OPSET = 17


def export_calibrator(calibrator: Calibrator, path: Path, *, clip: Clip | None = None) -> None:
    """Write a graph from ``score`` (DOUBLE, any number of rows) to ``probability`` (DOUBLE) to ``path``, atomically.

    Args:
        calibrator: as fitted or as read back from its JSON.
        path: the file.
        clip: bounds of the result, as ``PROBABILITY_RANGE``.

    Raises:
        MissingExtra: the package onnx is not installed.
        ModelError: a coefficient is not a finite number.
    """
    onnx = _onnx()
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE
    steps = _Steps(onnx, "calibrator")
    steps.name(steps.probability(calibrator, SCORE, clip), PROBABILITY)
    graph = helper.make_graph(
        steps.nodes,
        "calibrator",
        [helper.make_tensor_value_info(SCORE, double, [None])],
        [helper.make_tensor_value_info(PROBABILITY, double, [None])],
        steps.constants,
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, producer_name="trademl", opset_imports=opset, ir_version=_IR_VERSION)
    _write(onnx, model, path)


def append_calibrator(model_path: Path, calibrator: Calibrator, path: Path, *, clip: Clip | None = None) -> None:
    """Write the model of ``model_path`` with ``probability`` (DOUBLE, shape (rows, 1)) as one more output to ``path``.

    ``score`` stays as it is: where it is float32, widened without rounding before it is calibrated. Metadata is kept.

    Raises:
        MissingExtra: the package onnx is not installed.
        ModelError: the file is missing or is no ONNX graph with the one output ``score``, or a coefficient is not a
            finite number.
    """
    onnx = _onnx()
    damaged = importlib.import_module("google.protobuf.message").DecodeError
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE
    try:
        model = onnx.load_model_from_string(model_path.read_bytes())
    except (OSError, damaged) as error:
        raise ModelError(
            f"cannot read {model_path}: {error}", remedy="give a model.onnx exported by trademl"
        ) from error
    outputs = [value.name for value in model.graph.output]
    if outputs not in ([OUTPUT], [OUTPUT, PROBABILITIES]):
        raise ModelError(
            f"{model_path} has the outputs {outputs}, expected ['{OUTPUT}'], with three classes '{PROBABILITIES}' too",
            remedy="give a model.onnx exported by trademl that has no calibrator yet",
        )
    steps = _Steps(onnx, "calibrator")
    widened = steps.add("Cast", OUTPUT, to=double)
    steps.name(steps.probability(calibrator, widened, clip), PROBABILITY)
    model.graph.node.extend(steps.nodes)
    model.graph.initializer.extend(steps.constants)
    model.graph.output.append(helper.make_tensor_value_info(PROBABILITY, double, [None, 1]))
    _write(onnx, model, path)


class _Steps(Steps):
    """The steps of a calibrator."""

    def probability(self, calibrator: Calibrator, score: str, clip: Clip | None) -> str:
        """Return the calibrated ``score``, within ``clip``; NaN stays NaN."""
        value = self.curve(calibrator, score) if isinstance(calibrator, Knots) else self.sigmoid(calibrator, score)
        if clip is None:
            return value
        bounded = self.add("Min", self.add("Max", value, float(clip[0])), float(clip[1]))
        return self.add("Where", self.add("IsNaN", value), value, bounded)

    def curve(self, knots: Knots, score: str) -> str:
        """Return the straight lines between knots."""
        missing = self.add("IsNaN", score)
        inside = self.add("Min", self.add("Max", self.add("Where", missing, 0.0, score), knots.x[0]), knots.x[-1])
        bits = len(knots.x).bit_length()
        # How many knots are not above the score; no score reaches the infinite ones that fill the table up.
        padded = np.concatenate((knots.x, np.full((1 << bits) - 1 - len(knots.x), np.inf)))
        table = self.constant(padded)
        half = 1 << (bits - 1)
        count = self.add("Where", self.add("LessOrEqual", padded[half - 1], inside), np.int64(half), np.int64(0))
        for bit in reversed(range(bits - 1)):
            last = self.add("Gather", table, self.add("Add", count, np.int64((1 << bit) - 1)))
            more = self.add("Add", count, np.int64(1 << bit))
            count = self.add("Where", self.add("LessOrEqual", last, inside), more, count)
        at = self.add("Sub", count, np.int64(1))
        start, level, slope, ceiling = (
            self.add("Gather", column, at) for column in (knots.x, knots.y, knots.slope, knots.ceiling)
        )
        line = self.add("Add", self.add("Mul", slope, self.add("Sub", inside, start)), level)
        return self.add("Where", missing, score, self.add("Min", line, ceiling))

    def sigmoid(self, platt: Platt, score: str) -> str:
        """Return the sigmoid of -(a score + b), step by step as :func:`trademl.validation.sigmoid.sigmoid`."""
        if not (isfinite(platt.a) and isfinite(platt.b)):
            raise ModelError(f"{platt} has a coefficient that is no number", remedy="fit it again on finite scores")
        z = self.add("Neg", self.add("Add", self.add("Mul", float(platt.a), score), float(platt.b)))
        missing = self.add("IsNaN", z)
        known = self.add("Where", missing, 0.0, z)
        whole = self.add("Abs", known)
        small = self.exp_of_minus(whole)
        above = self.add("Where", self.add("GreaterOrEqual", known, 0.0), 1.0, small)
        return self.add("Where", missing, z, self.add("Div", above, self.add("Add", small, 1.0)))


def _write(onnx: Any, model: Any, path: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, model.SerializeToString(deterministic=True))


def _onnx() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise MissingExtra("onnx", "train") from error
