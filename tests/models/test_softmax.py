"""Probabilities from margins."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.models.softmax import exp_of_minus, expected_class, softmax
from trademl.validation.sigmoid import sigmoid

MARGINS = st.lists(st.tuples(*[st.floats(-800, 800) | st.floats(-3, 3)] * 3), min_size=1, max_size=20)


@given(MARGINS)
def test_probabilities_are_those_of_fifty_digits(drawn: list[tuple[float, float, float]]) -> None:
    """Each is as near to the exact one as the difference of two margins is, and 0 only where it is below exp(-700)."""
    getcontext().prec = 50
    for margins, found in zip(drawn, softmax(np.array(drawn)).tolist(), strict=True):
        each = [Decimal(margin).exp() for margin in margins]
        for margin, exact, p in zip(margins, each, found, strict=True):
            share = exact / sum(each)
            off = Decimal(1e-15 + (max(margins) - margin) * 2.0**-53)
            assert abs(Decimal(p) - share) <= share * off + Decimal("1e-303")


@given(MARGINS)
def test_probabilities_sum_to_one(drawn: list[tuple[float, float, float]]) -> None:
    """To 1e-15, each between 0 and 1; the expected class is the last less the first."""
    found = softmax(np.array(drawn))
    assert ((found >= 0) & (found <= 1)).all()
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-15
    assert expected_class(found).tolist() == [long - short for short, _, long in found.tolist()]


@given(MARGINS, st.integers(-20, 20))
def test_only_differences_of_margins_count(drawn: list[tuple[float, float, float]], shift: int) -> None:
    """Margins on a grid may all be moved by one number: the same bits come out."""
    margins = np.round(np.array(drawn), 1)
    margins = np.ldexp(np.rint(np.ldexp(margins, 10)), -10)
    assert np.array_equal(softmax(margins + shift), softmax(margins))


def test_by_hand() -> None:
    """Equal margins share alike; ln 2 and ln 5 above the first give 1/8, 2/8 and 5/8."""
    assert softmax(np.zeros((1, 3))).tolist() == [[1 / 3] * 3]
    assert softmax(np.array([[0.0, np.log(2), np.log(5)]]))[0] == pytest.approx([0.125, 0.25, 0.625], abs=1e-15)
    assert softmax(np.array([[1e6, 0.0, 0.0]])).tolist() == [[1.0, 0.0, 0.0]]
    assert softmax(np.empty((0, 3))).shape == (0, 3)


def test_it_is_the_exponential_of_the_sigmoid() -> None:
    """1 / (1 + exp(-z)) from this exponential has the bits of the one that calibrators use."""
    z = np.concatenate([np.linspace(0, 60, 5000), [0.0, 699.9, 700.0, 700.1, 1e300]])
    assert np.array_equal(1.0 / (1.0 + exp_of_minus(z)), sigmoid(z))
