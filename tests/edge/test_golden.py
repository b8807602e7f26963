"""Golden values: equal for equal bits, differences by name. The check of whole releases is tested beside publishing."""

from datetime import date

import numpy as np
import pytest

from trademl.edge.golden import golden_values, require_equal
from trademl.errors import ParityError

DAY = date(2024, 1, 4)
X = np.array([[1.0, np.nan], [2.0, -0.0]], dtype=np.float32)
YHAT = np.array([0.25, -0.5])


def values(**changes: object) -> dict[str, object]:
    given = {"as_of": DAY, "symbols": ("A", "B"), "names": ("f", "g"), "X": X, "regime": "mid", "yhat": YHAT}
    return golden_values(**{**given, **changes})  # type: ignore[arg-type]


def test_equal_bits_are_equal_whatever_the_nan() -> None:
    """A missing value is one value: engines set other bits in it."""
    other = X.copy()
    other.view(np.uint32)[0, 1] = 0x7FC00123
    assert np.isnan(other[0, 1])
    require_equal(values(), values(X=other), "this machine")


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"X": np.array([[1.0, np.nan], [2.0, 0.0]], dtype=np.float32)}, "1 of 2 features differ: g"),
        ({"X": np.nextafter(X, np.float32(9))}, "2 of 2 features differ: f, g"),
        ({"symbols": ("A", "C")}, "other symbols"),
        ({"regime": None}, "regime None, expected 'mid'"),
        ({"yhat": np.nextafter(YHAT, 9.0)}, "the same features score differently"),
        ({"as_of": date(2024, 1, 5)}, "as_of '2024-01-05', expected '2024-01-04'"),
        ({"symbols": ("A",), "X": X[:1], "yhat": YHAT[:1]}, "rows 1, expected 2"),
        ({"names": ("f", "h")}, "2 of 2 features differ: g, h"),
    ],
)
def test_a_difference_of_one_bit_is_named(changes: dict[str, object], told: str) -> None:
    """Also the sign of zero: it is another bit pattern."""
    with pytest.raises(ParityError, match="this machine computes 2024-01-04 differently") as refused:
        require_equal(values(), values(**changes), "this machine")
    assert told in refused.value.message
