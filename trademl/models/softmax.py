"""Probabilities of three classes from their margins, with the same bits in numpy and in ONNX.

``P(c) = exp(m_c) / sum of exp(m)``, where every exponential is taken of ``m_c - max m``, so that none overflows. IEEE
754 fixes +, -, *, / and scaling by powers of two to the last bit, and nothing else is used (see
:mod:`trademl.validation.sigmoid`). :func:`trademl.models.onnx_steps.add_softmax` writes the same steps as a graph.
"""

import numpy as np
from numpy.typing import NDArray

from trademl.validation.sigmoid import exp_of_minus

FloatArray = NDArray[np.float64]


def softmax(margins: FloatArray) -> FloatArray:
    """Return the probabilities of three classes, shape (rows, 3), from their margins in the same shape.

    >>> import numpy as np
    >>> softmax(np.array([[0.0, 0.0, 0.0]])).round(4).tolist()
    [[0.3333, 0.3333, 0.3333]]
    """
    each = exp_of_minus(np.maximum(np.maximum(margins[:, 0], margins[:, 1]), margins[:, 2])[:, None] - margins)
    total = (each[:, 0] + each[:, 1]) + each[:, 2]
    return each / total[:, None]


def expected_class(probabilities: FloatArray) -> FloatArray:
    """Return P(1) - P(-1), one number in [-1, 1] for each row of P(-1), P(0), P(1)."""
    return probabilities[:, 2] - probabilities[:, 0]
