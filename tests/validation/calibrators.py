"""Random calibrators and the scores that try them hardest."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.oracles.calibration import interpolated, platt
from trademl.validation.calibration import Calibrator, Knots, Platt

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
ORDINARY = st.floats(-5, 5)
ODD = (0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, float("inf"), float("-inf"), float("nan"))


@st.composite
def knots(draw: DrawFn, numbers: st.SearchStrategy[float] = ORDINARY) -> Knots:
    """Return knots; neighbours in x may be one float apart, and y often has ties."""
    x = sorted({value + 0.0 for value in draw(st.lists(numbers, min_size=1, max_size=20))})
    if draw(st.booleans()):
        x = sorted({*x, *(float(np.nextafter(value, np.inf)) for value in x)})
    levels = st.sampled_from([0.0, 0.01, 0.25, 1 / 3, 0.5, 0.99, 1.0]) | st.floats(0, 1)
    y = sorted(draw(st.lists(levels, min_size=len(x), max_size=len(x))))
    return Knots(np.array(x), np.array(y))


PLATTS = st.builds(Platt, FINITE | ORDINARY, FINITE | ORDINARY)


@st.composite
def tried(draw: DrawFn, calibrators: st.SearchStrategy[Calibrator]) -> tuple[Calibrator, np.ndarray]:
    """Return a calibrator and scores: at, beside, between and outside its knots, odd floats and any others."""
    calibrator = draw(calibrators)
    scores = [*ODD, *draw(st.lists(FINITE | ORDINARY, max_size=10))]
    if isinstance(calibrator, Knots):
        x = calibrator.x
        middle = x[:-1] + (x[1:] - x[:-1]) * draw(st.floats(0, 1))
        scores += [*x, *np.nextafter(x, -np.inf), *np.nextafter(x, np.inf), *middle, x[0] - 1, x[-1] + 1]
    return calibrator, np.array(scores, dtype=np.float64)


def one_by_one(calibrator: Calibrator, scores: np.ndarray) -> np.ndarray:
    """Return the oracle's probability of each score."""
    if isinstance(calibrator, Knots):
        x, y = calibrator.x.tolist(), calibrator.y.tolist()
        return np.array([interpolated(x, y, score) for score in scores.tolist()])
    return np.array([platt(calibrator.a, calibrator.b, score) for score in scores.tolist()])


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Say whether two arrays of doubles have the same bits, any NaN equal to any other."""
    both = np.isnan(left) & np.isnan(right)
    return left.shape == right.shape and bool(((left.view(np.int64) == right.view(np.int64)) | both).all())
