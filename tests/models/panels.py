"""Small seeded training matrices with the awkward columns real panels have."""

import numpy as np
from numpy.typing import NDArray

from trademl.rng import stream

NAMES = ("normal", "with_nan", "mostly_zero", "integers", "constant", "all_nan", "tiny", "coarse", "huge", "day")


def awkward_panel(rows: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return (X, y): normal, missing, mostly zero, tied, constant, all-missing, tiny, huge columns, and a label."""
    rng = stream(seed, "awkward_panel")
    X = rng.standard_normal((rows, len(NAMES)), dtype=np.float32)
    X[rng.random(rows) < 0.2, 1] = np.nan
    X[rng.random(rows) < 0.8, 2] = 0
    X[:, 3] = np.round(2 * X[:, 3])
    X[:, 4] = 1.5
    X[:, 5] = np.nan
    X[:, 6] *= np.float32(1e-36)
    X[:, 7] = np.round(X[:, 7], 1)
    X[:, 8] *= np.float32(1e30)
    X[:, 9] = rng.integers(0, 5, rows)
    seen = np.nan_to_num(X[:, :4])
    signal = (
        0.5 * seen[:, 0] + 0.8 * np.isnan(X[:, 1]) + 0.4 * (seen[:, 2] > 0) - 0.3 * seen[:, 3] + 0.5 * (X[:, 6] > 0)
    )
    signal += 0.2 * X[:, 7] + 0.3 * (X[:, 8] > 0)
    return X, signal + rng.standard_normal(rows)
