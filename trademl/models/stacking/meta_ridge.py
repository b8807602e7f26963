"""A scaler and a ridge regression as two JSON files: features and base predictions become one score.

``z = (x - mean) / scale`` and ``score = intercept + c1 z1 + c2 z2 + ...`` in float64, in single operations in the order
of the inputs, so that numpy and ONNX give the same bits (:mod:`trademl.models.linear` says why). A value that is not
finite counts as the mean.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.ridge import fit_standardised

SCALER_FORMAT = "trademl scaler 1"
RIDGE_FORMAT = "trademl ridge 1"

_AGAIN = "restore the file from a copy, convert it again, or train again"


@dataclass(frozen=True)
class MetaRidge:
    """A fitted scaler and regression; tuples have one float64 per input, in order.

    Attributes:
        inputs: names of the features, then of the base models.
        means, scales: of the scaler; scales are above 0.
        coefficients, intercept: of the regression on scaled inputs.
        alpha: the penalty it was fitted with.
    """

    inputs: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    alpha: float

    @classmethod
    def fit(
        cls,
        matrix: NDArray[np.float64],
        y: NDArray[np.float64],
        weight: NDArray[np.float64],
        *,
        alpha: float,
        inputs: Sequence[str],
    ) -> Self:
        """Return the regression of ``y`` on ``matrix``, shape (rows, inputs), with ``weight`` of any positive sum.

        With equal weights it is scikit-learn's ``Ridge(alpha)`` behind ``StandardScaler()``.

        Raises:
            ModelError: inputs repeat each other and ``alpha`` is 0.
        """
        found = fit_standardised(matrix, np.arange(len(matrix)), weight, y, alpha / len(matrix))
        return cls(
            tuple(inputs),
            tuple(found.mean.tolist()),
            tuple(found.scale.tolist()),
            tuple(found.weights.tolist()),
            found.level,
            alpha,
        )

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one score per row of ``matrix``, float64 of shape (rows, inputs)."""
        means = np.array(self.means)
        known = np.where(np.isfinite(matrix), matrix, means)
        products = (known - means) / np.array(self.scales) * np.array(self.coefficients)
        # Nothing begins at 0 or adds a level of 0: engines drop that, which keeps a negative zero.
        total: NDArray[np.float64] = products[:, 0]
        for column in range(1, products.shape[1]):
            total = total + products[:, column]
        return self.intercept + total if self.intercept else total.copy()

    def to_files(self) -> tuple[bytes, bytes]:
        """Return the documents of scaler and ridge; numbers read back as the same float64."""
        scaler = {"format": SCALER_FORMAT, "inputs": self.inputs, "mean": self.means, "scale": self.scales}
        ridge = {
            "format": RIDGE_FORMAT,
            "inputs": self.inputs,
            "alpha": self.alpha,
            "intercept": self.intercept,
            "coefficients": self.coefficients,
        }
        first, second = ((json.dumps(one, indent=1, allow_nan=False) + "\n").encode() for one in (scaler, ridge))
        return first, second

    @classmethod
    def from_files(cls, scaler: bytes, ridge: bytes, *, origin: str) -> Self:
        """Read what :meth:`to_files` gave; ``origin`` begins the message of a refusal.

        Raises:
            ModelError: a document is cut off or foreign, the two have other inputs, or a number is not finite.
        """
        first, second = _document(scaler, SCALER_FORMAT, origin), _document(ridge, RIDGE_FORMAT, origin)
        try:
            inputs = tuple(str(name) for name in first["inputs"])
            own = tuple(str(name) for name in second["inputs"])
            means, scales = (tuple(map(float, first[name])) for name in ("mean", "scale"))
            coefficients = tuple(map(float, second["coefficients"]))
            found = cls(inputs, means, scales, coefficients, float(second["intercept"]), float(second["alpha"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{origin}: scaler or ridge lacks a part: {error!r}", remedy=_AGAIN) from error
        found.check(origin)
        if inputs != own:
            raise ModelError(f"{origin}: scaler and ridge have other inputs, or another order of them", remedy=_AGAIN)
        return found

    def check(self, origin: str) -> None:
        """Refuse parts of other lengths, numbers that are not finite, and scales that are not above 0.

        Raises:
            ModelError: beginning with ``origin``.
        """
        lengths = {len(self.inputs), len(self.means), len(self.scales), len(self.coefficients)}
        if lengths != {len(self.inputs)} or not self.inputs:
            raise ModelError(
                f"{origin}: {len(self.inputs)} inputs with {len(self.means)} means, {len(self.scales)} scales and "
                f"{len(self.coefficients)} coefficients",
                remedy=_AGAIN,
            )
        numbers = np.array([*self.means, *self.scales, *self.coefficients, self.intercept, self.alpha])
        if not np.isfinite(numbers).all() or min(self.scales) <= 0 or self.alpha < 0:
            raise ModelError(
                f"{origin}: scaler or ridge has numbers that are not finite, a scale of 0 or a negative alpha",
                remedy=_AGAIN,
            )


def _document(raw: bytes, kind: str, origin: str) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
        if not isinstance(found, dict) or found.get("format") != kind:
            raise ValueError(f"it is no {kind!r}")
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{origin}: {kind.split()[1]}.json cannot be read: {error}", remedy=_AGAIN) from error
    return found
