"""Nodes of an ONNX graph, made one operation at a time, in the order of the numpy code that they repeat.

There is no ``Exp`` and no sum over an axis, so no engine is free to round otherwise. Numbers are ONNX DOUBLE.
"""

from typing import Any

import numpy as np

from trademl.validation.sigmoid import LARGEST, LN2_HIGH, LN2_LOW, LOG2_E, TAYLOR

_HALVINGS = int(LARGEST * LOG2_E + 0.5) + 1


class Steps:
    """Nodes and constants of a graph, whose names begin with ``prefix``. Operations work element by element."""

    def __init__(self, onnx: Any, prefix: str) -> None:
        self.onnx = onnx
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        """Return the name of a new constant: a number or an array."""
        name = f"{self.prefix}_constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operation: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node and return the name of its output; inputs are names, or numbers that become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = f"{self.prefix}_step_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operation, names, [output], **attributes))
        return output

    def name(self, value: str, output: str) -> None:
        """Give ``value`` the name of an output of the graph."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [output]))

    def columns(self, value: str, count: int) -> list[str]:
        """Return the names of the ``count`` columns, each of shape (rows, 1), of ``value``."""
        names = [f"{self.prefix}_step_{len(self.nodes)}_{number}" for number in range(count)]
        sizes = self.constant(np.ones(count, dtype=np.int64))
        self.nodes.append(self.onnx.helper.make_node("Split", [value, sizes], names, axis=1))
        return names

    def exp_of_minus(self, size: str) -> str:
        """Return exp(-size) for ``size >= 0``, step by step as :func:`trademl.models.softmax.exp_of_minus`."""
        near = self.add("Min", size, LARGEST)
        k = self.add("Floor", self.add("Add", self.add("Mul", near, LOG2_E), 0.5))
        high = self.add("Sub", self.add("Mul", k, LN2_HIGH), near)
        r = self.add("Add", high, self.add("Mul", k, LN2_LOW))
        power = self.constant(TAYLOR[0])
        for coefficient in TAYLOR[1:]:
            power = self.add("Add", self.add("Mul", power, r), coefficient)
        position = self.add("Cast", k, to=self.onnx.TensorProto.INT64)
        halved = self.add("Gather", np.ldexp(1.0, -np.arange(_HALVINGS)), position)
        return self.add("Where", self.add("Greater", size, LARGEST), 0.0, self.add("Mul", power, halved))


def add_softmax(steps: Steps, margins: str) -> tuple[str, str]:
    """Add what makes (expected class, probabilities) of ``margins`` (DOUBLE, (rows, 3)), as in models.softmax."""
    first, second, third = steps.columns(margins, 3)
    each = steps.exp_of_minus(steps.add("Sub", steps.add("Max", steps.add("Max", first, second), third), margins))
    first, second, third = steps.columns(each, 3)
    probabilities = steps.add("Div", each, steps.add("Add", steps.add("Add", first, second), third))
    short, _, long = steps.columns(probabilities, 3)
    return steps.add("Sub", long, short), probabilities
