"""The logistic function from additions and multiplications alone, so that every engine computes the same bits.

``exp`` is not the same function everywhere: numpy's vector code differs from the C library's in the last bit on one
value in twenty, and onnxruntime has a third one. IEEE 754 fixes +, -, *, / and scaling by powers of two to the last
bit, so an exponential made of these alone, in one order, is the same in numpy, SQL and ONNX, on every processor.
``validation.calibration_sql`` and ``models.onnx_calibrator`` write the steps of :func:`sigmoid` in their languages.
"""

from math import factorial

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LARGEST = 700.0
"""Beyond it exp(-x) counts as 0; before, it is never subnormal."""

LOG2_E = 1.4426950408889634
LN2_HIGH = float.fromhex("0x1.62e42feep-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
"""ln 2 in two parts, as in fdlibm: a whole number below 2^20 times the high part is exact."""

TAYLOR: tuple[float, ...] = tuple(1 / factorial(order) for order in range(13, -1, -1))
"""Coefficients of exp(r), highest order first. With |r| <= ln 2 / 2 the first one left out is below 1e-17."""


def sigmoid(z: FloatArray) -> FloatArray:
    """Return ``1 / (1 + exp(-z))`` to about 2e-16 of its value, in the shape given; NaN stays NaN.

    The exponential of a negative number never overflows.
    """
    known = np.where(np.isnan(z), 0.0, z)
    small = exp_of_minus(np.abs(known))
    return np.where(np.isnan(z), z, np.where(known >= 0, 1.0, small) / (1.0 + small))


def exp_of_minus(size: FloatArray) -> FloatArray:
    """Return ``exp(-size)`` for ``size >= 0``, to about 2e-16 of its value; beyond 700 it is 0.

    With ``k`` the whole number nearest to ``size / ln 2``, it is ``exp(r) 2^-k`` with ``r = k ln 2 - size`` small
    (Cody & Waite, "Software Manual for the Elementary Functions", 1980).
    """
    near = np.minimum(size, LARGEST)
    k = np.floor(near * LOG2_E + 0.5)
    r = (k * LN2_HIGH - near) + k * LN2_LOW
    power = np.full_like(r, TAYLOR[0])
    for coefficient in TAYLOR[1:]:
        power *= r
        power += coefficient
    return np.where(size > LARGEST, 0.0, np.ldexp(power, -k.astype(np.int32)))
