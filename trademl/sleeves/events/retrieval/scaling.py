"""Standard scaling of features for distances: (x - mean) / standard deviation, a missing value at the mean.

As scikit-learn's ``StandardScaler``: missing values are left out of mean and deviation (ddof 0), and a column that
never varies is only centred. A missing value, NULL or not finite, becomes 0 after scaling: it stands at the mean, so
two events that both miss it do not differ there, and one that has it differs by its own score. A column without any
value in the index says nothing: it is 0 for queries too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl.errors import ConfigError
from trademl.lake.names import identifier

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaling:
    """Means and scales of the features, in their order.

    Attributes:
        features: names, n of them.
        mean: shape (n,). scale: shape (n,), 0 where the column has no value at all and is left out.
        rows: events that they were measured on.
    """

    features: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    rows: int

    @classmethod
    def measure(cls, features: Sequence[str], columns: Iterable[NDArray[np.float64]], rows: int) -> "Scaling":
        """Measure columns, given in the order of ``features``; each of shape (rows,), NaN where missing.

        Equal rows in equal order give equal bits, so callers sort them first.
        """
        found = [_mean_and_scale(column) for column in columns]
        mean, scale = np.array(found, dtype=np.float64).reshape(len(found), 2).T
        return cls(tuple(features), mean.copy(), scale.copy(), rows)

    def transform(self, vectors: ArrayLike) -> FloatArray:
        """Return scaled vectors, shape (..., n), of raw ones; 0 where a value is missing.

        Raises:
            ConfigError: the last axis is not as long as the list of features.
        """
        raw = np.asarray(vectors, dtype=np.float64)
        if raw.ndim == 0 or raw.shape[-1] != len(self.features):
            raise ConfigError(
                f"a feature vector has shape {raw.shape}; this index has {len(self.features)} features",
                remedy="give one value a feature, in the order of feature_cols; NaN where one is missing",
            )
        usable = np.isfinite(raw) & (self.scale > 0)
        # The two operations of `sql`, in the same order: a query equal to a stored event lies at distance 0.
        scaled: FloatArray = np.where(usable, (np.where(usable, raw, 0.0) - self.mean) / self._divisor, 0.0)
        return scaled

    def sql(self) -> str:
        """Return the expression that scales one row's columns into a ``double[n]``."""
        cells = [
            f"case when isfinite({identifier(name)}) then ({identifier(name)} - {_literal(mean)}) / {_literal(scale)} "
            "else 0.0 end"
            if scale > 0
            else "0.0"
            for name, mean, scale in zip(self.features, self.mean.tolist(), self.scale.tolist(), strict=True)
        ]
        return f"cast(array_value({', '.join(cells)}) as double[{len(cells)}])"

    @property
    def _divisor(self) -> FloatArray:
        return np.where(self.scale > 0, self.scale, 1.0)


def _mean_and_scale(column: FloatArray) -> tuple[float, float]:
    known = column[np.isfinite(column)]
    if not len(known):
        return 0.0, 0.0
    mean = float(known.mean())
    # Asked of the values: the computed deviation of equal values need not be exactly 0.
    if known.min() == known.max():
        return float(known[0]), 1.0
    return mean, float(np.sqrt(np.mean((known - mean) ** 2)))


def _literal(value: float) -> str:
    """Return a number as SQL with every bit of it: a bare 0.1 would be a decimal."""
    return f"cast('{value!r}' as double)"
