"""Calibrators, one score at a time, in Python floats: each operation rounded on its own, in the documented order."""

import math
from bisect import bisect_right
from collections.abc import Sequence


def interpolated(x: Sequence[float], y: Sequence[float], score: float) -> float:
    """Return the curve through (x, y) at ``score``: straight between knots, constant outside."""
    if math.isnan(score):
        return score
    if score <= x[0]:
        return y[0]
    if score >= x[-1]:
        return y[-1]
    at = bisect_right(x, score) - 1
    rise = (y[at + 1] - y[at]) / (x[at + 1] - x[at])
    return min(min(rise, 1.7976931348623157e308) * (score - x[at]) + y[at], y[at + 1])


def platt(a: float, b: float, score: float) -> float:
    """Return 1 / (1 + exp(a score + b)) with the exponential of a sum by its Taylor polynomial."""
    z = -(a * score + b)
    if math.isnan(z):
        return z
    size = abs(z)
    if size > 700:
        small = 0.0
    else:
        k = math.floor(size * 1.4426950408889634 + 0.5)
        r = (k * 6.93147180369123816490e-01 - size) + k * 1.90821492927058770002e-10
        power = 0.0
        for order in range(13, -1, -1):
            power = power * r + 1 / math.factorial(order)
        small = math.ldexp(power, -k)
    return (1.0 if z >= 0 else small) / (1.0 + small)
