"""Slow, exact references for stochastic dominance: distribution functions as fractions, one point at a time."""

from collections.abc import Sequence
from fractions import Fraction


def dominance(sample: Sequence[int], other: Sequence[int]) -> tuple[bool, bool]:
    """First and second order, from expected shortfalls instead of areas.

    The area under a distribution function up to x is the mean of max(x - value, 0) (integration by parts), so the
    second order asks that the mean shortfall below every target is no larger.
    """

    def share(values: Sequence[int], x: int) -> Fraction:
        return Fraction(sum(value <= x for value in values), len(values))

    def shortfall(values: Sequence[int], x: int) -> Fraction:
        return Fraction(sum(max(x - value, 0) for value in values), len(values))

    points = sorted({*sample, *other})
    lead = [share(other, x) - share(sample, x) for x in points]
    safer = [shortfall(other, x) - shortfall(sample, x) for x in points]
    return (
        min(lead) >= 0 and max(lead) > 0,
        min(safer) >= 0 and max(safer) > 0,
    )
