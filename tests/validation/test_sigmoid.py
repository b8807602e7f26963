"""The logistic function that every engine computes alike."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.calibration import platt
from trademl.validation.sigmoid import LN2_HIGH, LN2_LOW, sigmoid


@given(st.lists(st.floats(-700, 700) | st.floats(-3, 3), min_size=1, max_size=50))
def test_it_is_the_logistic_function(values: list[float]) -> None:
    """To 4e-16 of its value it is 1 / (1 + exp(-z)) as 40 decimal digits give it."""
    found = sigmoid(np.array(values))
    with localcontext() as context:
        context.prec = 40
        for z, p in zip(values, found.tolist(), strict=True):
            exact = 1 / (1 + (-Decimal(z)).exp())
            assert abs(Decimal(p) - exact) <= exact * Decimal("4e-16")


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=50))
def test_every_operation_is_rounded_on_its_own(values: list[float]) -> None:
    """The vector code has the bits of the same steps in Python floats, which nothing fuses."""
    expected = [platt(-1.0, 0.0, z) for z in values]
    np.testing.assert_array_equal(sigmoid(np.array(values)), np.array(expected))


def test_it_rises_from_0_to_1() -> None:
    """Far scores are 0 or 1, the middle is a half, NaN stays NaN, and it never falls but by the last bit."""
    assert sigmoid(np.array([-np.inf, -701.0, 0.0, 40.0, np.inf])).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert np.isnan(sigmoid(np.array([np.nan]))).all()
    grid = np.linspace(-30, 30, 100_001)
    assert (np.diff(sigmoid(grid)) >= -1.2e-16).all()


def test_the_parts_of_ln_2_are_exact() -> None:
    """Together they are ln 2 to 1e-26, and the high part leaves 20 bits free."""
    with localcontext() as context:
        context.prec = 50
        assert abs(Decimal(LN2_HIGH) + Decimal(LN2_LOW) - Decimal(2).ln()) < Decimal("1e-25")
    mantissa = float(LN2_HIGH).hex().split("p")[0].removeprefix("0x1.").rstrip("0")
    assert len(mantissa) * 4 + 1 <= 33


@pytest.mark.parametrize("shape", [(0,), (3, 2), ()])
def test_the_shape_is_kept(shape: tuple[int, ...]) -> None:
    """Any shape goes through as it is."""
    assert sigmoid(np.zeros(shape)).shape == shape
