"""What models predict, in one form: classes and probabilities beside when, what and for which horizon.

Both ends fail fast and say everything at once: :func:`validate_inputs` lists all that is wrong with a matrix and its
labels before a fit, :class:`PredictionOutput` all that is wrong with predictions before anybody reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import CLASSES, BaseModel, Task
from trademl.validation.sigmoid import sigmoid

if TYPE_CHECKING:
    import pandas as pd

SUM_TOLERANCE = 1e-6
"""Largest distance from 1 of a row's probabilities: room for columns that were stored as float32."""

_VALID: dict[Task, tuple[int, ...]] = {"binary": (0, 1), "three_class": CLASSES}
"""Labels of a task; of the others every finite number is one."""

_BLOCK_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class PredictionOutput:
    """Predictions of n rows, one per (timestamp, symbol, horizon).

    Attributes:
        predictions: shape (n,). Classes: -1, 0 or 1. Regression: the predicted label, finite.
        probabilities: shape (n, 3), of short, neutral and long; each row in [0, 1] and summing to 1. Regression: NaN.
        timestamps: shape (n,), datetime64, of the decision.
        symbols: shape (n,), strings.
        horizons: shape (n,), sessions, at least 1.

    Raises:
        ModelError: anything else; all faults are listed, each with its first row and value.
    """

    predictions: NDArray[np.integer] | NDArray[np.floating]
    probabilities: NDArray[np.floating]
    timestamps: NDArray[np.datetime64]
    symbols: NDArray[np.generic]
    horizons: NDArray[np.integer]

    def __post_init__(self) -> None:
        for name in ("predictions", "probabilities", "timestamps", "symbols", "horizons"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        faults = self._faults_of_shape()
        # Values of arrays that do not fit together say nothing about their rows.
        faults = faults or [*self._faults_of_keys(), *self._faults_of_values()]
        if faults:
            raise ModelError(f"predictions are wrong: {'; '.join(faults)}", remedy="mend what is named above")

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def has_classes(self) -> bool:
        """Whether these are classes with probabilities; a regression has none."""
        return not bool(np.isnan(self.probabilities).all())

    def to_dataframe(self) -> "pd.DataFrame":
        """Return the columns datetime, symbol, horizon, prediction, prob_short, prob_neutral, prob_long."""
        import pandas as pd

        columns: dict[str, Any] = {
            "datetime": self.timestamps,
            "symbol": self.symbols,
            "horizon": self.horizons,
            "prediction": self.predictions,
        }
        columns |= {f"prob_{side}": self.probabilities[:, at] for at, side in enumerate(("short", "neutral", "long"))}
        return pd.DataFrame(columns)

    def _faults_of_shape(self) -> list[str]:
        n, faults = len(np.atleast_1d(self.predictions)), []
        for name, shape, kinds, need in (
            ("predictions", (n,), "iuf", "numbers"),
            ("probabilities", (n, 3), "f", "floats"),
            ("timestamps", (n,), "M", "datetime64 without a time zone"),
            ("symbols", (n,), "UTO", "strings"),
            ("horizons", (n,), "iu", "integers"),
        ):
            array = getattr(self, name)
            if array.shape != shape:
                faults.append(f"{name} has shape {array.shape}, expected {shape}")
            if array.dtype.kind not in kinds and array.size:
                faults.append(f"{name} holds {array.dtype}, expected {need}")
        return faults

    def _faults_of_keys(self) -> list[str]:
        if not len(self):
            return []
        named = np.array([isinstance(name, str) and bool(name) for name in self.symbols.tolist()])
        faults = [
            _told(name, array, wrong, need)
            for name, array, wrong, need in (
                ("timestamps", self.timestamps, np.isnat(self.timestamps), "a time"),
                ("symbols", self.symbols, ~named, "a name"),
                ("horizons", self.horizons, self.horizons < 1, "at least 1"),
            )
            if wrong.any()
        ]
        if not faults and (row := self._repeated()) is not None:
            key = f"({self.timestamps[row]}, {self.symbols[row]}, {self.horizons[row]})"
            faults.append(f"row {row} repeats the timestamp, symbol and horizon {key} of an earlier row")
        return faults

    def _repeated(self) -> int | None:
        """Return the first row whose key an earlier row has."""
        code = np.zeros(len(self), dtype=np.int64)
        for array in (self.timestamps, self.symbols.astype(str), self.horizons):
            values, place = np.unique(array, return_inverse=True)
            # Renumbered each time, so that the codes stay below n * n.
            _, code = np.unique(code * len(values) + place, return_inverse=True)
        first = np.unique(code, return_index=True)[1]
        later = np.ones(len(self), dtype=bool)
        later[first] = False
        return int(np.argmax(later)) if later.any() else None

    def _faults_of_values(self) -> list[str]:
        values = self.predictions.astype(np.float64)
        if not self.has_classes:
            infinite = ~np.isfinite(values)
            return [_told("predictions", self.predictions, infinite, "finite")] if infinite.any() else []
        faults = []
        outside = ~np.isin(values, CLASSES)
        if outside.any():
            faults.append(_told("predictions", self.predictions, outside, "-1, 0 or 1"))
        wrong = ~((self.probabilities.min(axis=1) >= 0) & (self.probabilities.max(axis=1) <= 1))
        uneven = ~wrong & ~(np.abs(self.probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE)
        if wrong.any():
            faults.append(_told("probabilities", self.probabilities, wrong, "in [0, 1]"))
        if uneven.any():
            row = int(np.argmax(uneven))
            faults.append(
                f"probabilities of {uneven.sum()} of {len(self)} rows do not sum to 1; the first is row {row}: "
                f"{self.probabilities[row].sum()}"
            )
        return faults


def _told(name: str, array: NDArray[Any], wrong: NDArray[np.bool_], need: str) -> str:
    row = int(np.argmax(wrong))
    value = array[row].tolist() if array.ndim > 1 else array[row]
    return f"{name} of {wrong.sum()} of {len(array)} rows are not {need}; the first is row {row}: {value}"


def prediction_output(
    model: BaseModel, X: NDArray[np.float32], *, timestamps: Any, symbols: Any, horizon: int
) -> PredictionOutput:
    """Predict the rows of ``X`` and return them in the one form.

    Three classes: the class of the highest probability, 0 on a tie. Binary: 1 where class 1 is at least as likely, else
    -1, with the logistic function of the score as its probability and no neutral one. Regression: the score, and no
    probability. Nothing here is calibrated: calibrators are fitted on out-of-fold scores.

    Args:
        model: fitted.
        X: float32, features in the model's order, shape (n, features).
        timestamps, symbols: of the rows, shape (n,).
        horizon: sessions that the label looks ahead.

    Raises:
        ModelError: the model is not fitted, ``X`` is not as it must be, or the rows' keys are wrong.
    """
    task = model.config.task
    if task == "three_class":
        probabilities = model.probabilities(X)
        short, neutral, long = probabilities.T
        predictions: NDArray[Any] = (long > np.maximum(short, neutral)).astype(np.int64)
        predictions -= short > np.maximum(long, neutral)
    elif task == "binary":
        up = sigmoid(model.predict(X))
        probabilities = np.column_stack([1 - up, np.zeros(len(up)), up])
        predictions = np.where(up >= 0.5, 1, -1)
    else:
        predictions = model.predict(X)
        probabilities = np.full((len(predictions), 3), np.nan)
    horizons = np.full(len(predictions), horizon)
    return PredictionOutput(predictions, probabilities, timestamps, symbols, horizons)


def validate_inputs(
    X: NDArray[Any], y: NDArray[Any] | None, feature_names: Sequence[str], task: Task = "regression"
) -> None:
    """Check a matrix, and labels when given, as every family will; list everything that is wrong at once.

    Args:
        X: float32 in C-order, shape (n, features), or (n, length, features) before a sequence is flattened. NaN is a
            missing value.
        y: one label per row.
        feature_names: the features in order.
        task: decides which labels are valid.

    Raises:
        ModelError: with every fault: shape, width, dtype, infinite features, missing, infinite or invalid labels.
    """
    faults = [*_faults_of_matrix(X, feature_names), *([] if y is None else _faults_of_labels(y, X, task))]
    if faults:
        raise ModelError(f"inputs are wrong: {'; '.join(faults)}", remedy="mend what is named above")


def _faults_of_matrix(X: NDArray[Any], feature_names: Sequence[str]) -> list[str]:
    if X.ndim not in (2, 3):
        return [f"X has shape {X.shape}, expected (rows, features) or (rows, length, features)"]
    faults = []
    if X.shape[-1] != len(feature_names):
        faults.append(f"X has {X.shape[-1]} features, expected {len(feature_names)}: {', '.join(feature_names[:5])}...")
    if len(X) == 0:
        faults.append("X has no rows")
    if X.dtype != np.float32:
        faults.append(f"X is {X.dtype}, expected float32")
    if not X.flags.c_contiguous:
        faults.append("X is not C-order; np.ascontiguousarray makes it so")
    infinite = _infinite(X) if X.dtype.kind == "f" and X.shape[-1] == len(feature_names) else {}
    for column, (count, row) in infinite.items():
        faults.append(f"feature {feature_names[column]} is infinite in {count} rows, first in row {row}")
    return faults


def _infinite(X: NDArray[Any]) -> dict[int, tuple[int, int]]:
    """Return column -> (rows that are infinite there, the first of them), a block of rows at a time."""
    found: dict[int, tuple[int, int]] = {}
    for start in range(0, len(X), _BLOCK_ROWS):
        wrong = np.isinf(X[start : start + _BLOCK_ROWS])
        if wrong.ndim == 3:
            wrong = wrong.any(axis=1)
        for column in np.flatnonzero(wrong.any(axis=0)).tolist():
            count, first = found.get(column, (0, start + int(np.argmax(wrong[:, column]))))
            found[column] = (count + int(wrong[:, column].sum()), first)
    return dict(sorted(found.items()))


def _faults_of_labels(y: NDArray[Any], X: NDArray[Any], task: Task) -> list[str]:
    if y.ndim != 1:
        return [f"y has shape {y.shape}, expected ({len(X)},)"]
    faults = [] if len(y) == len(X) else [f"y has {len(y)} labels for {len(X)} rows of X"]
    if y.dtype.kind not in "iufb":
        return [*faults, f"y holds {y.dtype}, expected numbers"]
    values = y.astype(np.float64)
    for told, wrong in (("missing (NaN)", np.isnan(values)), ("infinite", np.isinf(values))):
        if wrong.any():
            faults.append(f"{wrong.sum()} of {len(y)} labels are {told}; the first is that of row {np.argmax(wrong)}")
    valid = _VALID.get(task)
    if valid:
        found = np.unique(values[np.isfinite(values)])
        invalid = found[~np.isin(found, valid)].tolist()
        if invalid:
            told = ", ".join(f"{label:g}" for label in invalid[:5]) + (", ..." if len(invalid) > 5 else "")
            count = int((~np.isin(values, valid) & np.isfinite(values)).sum())
            faults.append(f"{count} labels are {told}; {task} has {', '.join(map(str, valid))}")
    return faults
