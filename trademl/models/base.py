"""The contract of every model family.

Training prepares a matrix once (:meth:`BaseModel.prepare`: whatever a family can share between fits, such as bin
edges) and then fits on many subsets of its rows (:meth:`BaseModel.fit_rows`): one fit per split, one final fit. A new
family is one module that implements this class, and one row of :mod:`trademl.models.registry`.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from trademl.config.reading import Section
from trademl.errors import ModelError
from trademl.models.trees import Tree
from trademl.validation.spans import LabelSpans

Task = Literal["regression", "binary", "three_class"]
"""``binary`` has labels 0 and 1; top-k and bottom-k classification are binary on a derived label. ``three_class`` has
labels -1, 0 and 1."""

CLASSES = (-1, 0, 1)
"""Labels of ``three_class``, in the order of the columns of probabilities."""

Progress = Callable[[int, int], None]
"""Called with (rounds done, rounds planned)."""

Floats = NDArray[np.floating]
Rows = NDArray[np.integer]

_LABELS: dict[Task, tuple[tuple[int, ...], str]] = {
    "regression": ((), "finite"),
    "binary": ((0, 1), "0 or 1"),
    "three_class": (CLASSES, "-1, 0 or 1"),
}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


ConfigT = TypeVar("ConfigT", bound="ModelConfig")


class ModelConfig(Section):
    """Parameters of one family: frozen, closed to unknown keys, named by ``kind``."""

    kind: str
    task: Task = "regression"


@dataclass(frozen=True)
class Prepared:
    """A training matrix in the form a family fits from; shared by all splits, never changed."""

    feature_names: tuple[str, ...]
    n_rows: int


@dataclass(frozen=True)
class Native:
    """A native file read anew, as one side of the proof that the ONNX file scores alike.

    ``trees`` are those whose thresholds the proof visits, None for a model that is not made of trees. ``reads_all``:
    the score reads every feature beside them, so the proof gives odd floats to all.
    ``probabilities`` is there for ``three_class`` alone, as :meth:`BaseModel.probabilities`.
    """

    path: Path
    feature_names: tuple[str, ...]
    trees: tuple[Tree, ...] | None
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    probabilities: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None
    reads_all: bool = False


class BaseModel(ABC):
    """One model: unfitted after construction, then fitted by :meth:`fit_rows` or read by :meth:`load`.

    Scores are the model's raw output: the predicted label for ``regression``, the log-odds of class 1 for ``binary``,
    the expected class P(1) - P(-1) for ``three_class``. Calibrated probabilities come from a calibrator fitted on
    out-of-fold scores; those of :meth:`probabilities` are the model's own.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[ModelConfig]]
    suffix: ClassVar[str]
    """Ending of the native file's name, such as ``.txt``."""
    distributions: ClassVar[tuple[str, ...]] = ()
    """Packages whose version decides the fitted numbers: another version is another run. Absent ones do not count."""

    fits_side_by_side: ClassVar[bool] = False
    """Whether fits of one prepared matrix, each on one thread, are quicker side by side than one after another."""

    has_parts: ClassVar[bool] = False
    """Whether :meth:`save` writes further files beside the native one, which names them with their hashes."""

    config: ModelConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        self.config = checked_config(config, self.config_type)
        self.feature_names = checked_names(feature_names)
        self._spans: LabelSpans | None = None

    def tell_spans(self, spans: LabelSpans) -> None:
        """Take the label spans of the prepared matrix's rows, for the next :meth:`fit_rows`.

        A family that makes out-of-fold predictions within a fit purges by them; others have no use for them.
        """
        self._spans = spans

    @classmethod
    @abstractmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> Prepared:
        """Do once what all fits on ``X`` (float32, C-order, shape (rows, features), NaN where missing) can share."""

    @abstractmethod
    def fit_rows(
        self,
        data: Prepared,
        y: Floats,
        rows: Rows | None = None,
        *,
        weight: Floats | None = None,
        valid_rows: Rows | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Fit on ``rows`` (all when None) of ``data`` and return self.

        Args:
            data: what :meth:`prepare` returned.
            y: labels of all rows of ``data``; those outside ``rows`` and ``valid_rows`` are not read.
            rows: positions to train on.
            weight: sample weights of all rows, at least 0.
            valid_rows: positions on which early stopping measures, when the configuration asks for it.
            progress: called after each round.

        Raises:
            ModelError: a shape, a label or a weight is wrong, or the engine refuses.
        """

    @abstractmethod
    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one raw score per row of ``X`` (float32, features in ``feature_names`` order)."""

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return P(-1), P(0) and P(1) for each row of ``X``, shape (rows, 3): a ``three_class`` model's own.

        :meth:`predict` is the third column minus the first, to the bit.

        Raises:
            ModelError: the model has another task, as every model of this class has.
        """
        raise no_probabilities(self.config)

    @abstractmethod
    def importances(self) -> dict[str, float]:
        """Return each feature's importance in the family's own unit, in feature order."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the native, readable form to ``path``, atomically and read-only."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or is not such a file.
        """

    @abstractmethod
    def export_onnx(self, path: Path) -> None:
        """Write the ONNX graph whose scores equal :meth:`predict` bit for bit, atomically and read-only."""

    def trees(self) -> tuple[Tree, ...] | None:
        """Return the trees whose leaves make the score; None, as here, for a model that is not made of trees."""
        return None

    @property
    def rounds(self) -> int | None:
        """Boosting rounds of the fitted model, fewer than configured after early stopping; None without rounds."""
        return None

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` for the parity proof; a family whose files have other readers scores as those do.

        Raises:
            ModelError: as for :meth:`load`.
        """
        model = cls.load(path)
        own = model.probabilities if model.config.task == "three_class" else None
        return Native(path, model.feature_names, model.trees(), model.predict, own)

    def fit(
        self,
        X: NDArray[np.float32],
        y: Floats,
        *,
        weight: Floats | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Prepare ``X`` and fit on all of it: the plain call for one fit."""
        return self.fit_rows(self.prepare(X, self.feature_names, self.config), y, weight=weight, progress=progress)


def no_probabilities(config: ModelConfig) -> ModelError:
    """Return the refusal of class probabilities by a model that has none."""
    return ModelError(
        f"a {config.kind} model with task {config.task!r} has no class probabilities",
        remedy="fit `task: three_class`, or apply a calibrator to the scores",
    )


def checked_config(config: ModelConfig, expected: type[ConfigT]) -> ConfigT:
    """Return ``config`` as the family's own type.

    Raises:
        ModelError: it is of another family.
    """
    if not isinstance(config, expected):
        family = expected.model_fields["kind"].default
        raise ModelError(f"a {config.kind} configuration for a {family} model", remedy="use registry.create_model")
    return config


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return ``names`` as a tuple after checking that each is a plain identifier and none occurs twice.

    Raises:
        ModelError: none at all, a repeated name, or one that is not letters, digits and underscores.
    """
    if not names:
        raise ModelError("no feature names", remedy="give one name per column, in column order")
    odd = [name for name in names if not _NAME.fullmatch(name)]
    if odd:
        raise ModelError(
            f"feature name {odd[0]!r} is not letters, digits and underscores",
            remedy="rename the column: model files and SQL share these names",
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ModelError(f"feature name {twice[0]!r} occurs twice", remedy="name each column once")
    return tuple(names)


def checked_matrix(X: NDArray[np.float32], feature_names: Sequence[str]) -> NDArray[np.float32]:
    """Return ``X`` unchanged after checking that it is float32, C-order and as wide as ``feature_names``.

    Nothing is converted in silence: a float64 matrix would be scored on other numbers than the model was trained on.

    Raises:
        ModelError: it is not.
    """
    if X.ndim != 2 or X.shape[1] != len(feature_names):
        raise ModelError(
            f"X has shape {X.shape}, expected (rows, {len(feature_names)})",
            remedy=f"give the features in this order: {', '.join(feature_names[:5])}, ...",
        )
    if X.dtype != np.float32 or not X.flags.c_contiguous:
        raise ModelError(
            f"X is {X.dtype}{'' if X.flags.c_contiguous else ', not C-order'}; models read float32 in C-order",
            remedy="np.ascontiguousarray(X, dtype=np.float32)",
        )
    return X


def training_matrix(X: NDArray[np.float32], feature_names: Sequence[str]) -> NDArray[np.float32]:
    """Return ``X`` unchanged after :func:`checked_matrix`, if it has rows.

    Raises:
        ModelError: it has none, or is not as it must be.
    """
    matrix = checked_matrix(X, feature_names)
    if len(matrix) == 0:
        raise ModelError("the training matrix has no rows", remedy="widen the dates or loosen the filters")
    return matrix


def checked_labels(y: Floats, rows: Rows, n_rows: int, task: Task) -> NDArray[np.float32]:
    """Return ``y[rows]`` as float32 after checking length, finiteness and, for classes, that all are one of them.

    Raises:
        ModelError: one of these fails; the message gives the first row and its value.
    """
    if y.shape != (n_rows,):
        raise ModelError(f"y has shape {y.shape}, expected ({n_rows},)", remedy="give one label per row of X")
    chosen = y[rows].astype(np.float32)
    allowed, need = _LABELS[task]
    wrong = ~np.isin(chosen, allowed) if allowed else ~np.isfinite(chosen)
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        raise ModelError(f"label of row {row} is {y[row]}, must be {need}", remedy="train on resolved labels only")
    return chosen


def checked_weight(weight: Floats | None, rows: Rows, n_rows: int) -> NDArray[np.float32] | None:
    """Return ``weight[rows]`` as float32 (None stays None) after checking length, sign, finiteness and a positive sum.

    Raises:
        ModelError: one of these fails.
    """
    if weight is None:
        return None
    if weight.shape != (n_rows,):
        raise ModelError(
            f"weight has shape {weight.shape}, expected ({n_rows},)", remedy="give one weight per row of X"
        )
    chosen = weight[rows].astype(np.float32)
    wrong = ~np.isfinite(chosen) | (chosen < 0)
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        raise ModelError(f"weight of row {row} is {weight[row]}, must be finite and >= 0", remedy="mend the weights")
    if not chosen.sum() > 0:
        raise ModelError(f"all {len(chosen)} weights are 0", remedy="choose rows with weight")
    return chosen


def checked_rows(rows: Rows | None, n_rows: int, name: str = "rows") -> NDArray[np.int64]:
    """Return ``rows`` sorted (all rows when None) after checking that there are any, in range and none twice.

    Raises:
        ModelError: one of these fails.
    """
    if rows is None:
        return np.arange(n_rows)
    chosen = np.sort(np.asarray(rows, dtype=np.int64))
    if len(chosen) == 0:
        raise ModelError(f"{name} is empty", remedy="widen the dates or loosen the filters")
    if chosen[0] < 0 or chosen[-1] >= n_rows:
        raise ModelError(
            f"{name} has position {chosen[0] if chosen[0] < 0 else chosen[-1]}, the matrix has {n_rows} rows",
            remedy="give positions of the prepared matrix",
        )
    if (np.diff(chosen) == 0).any():
        raise ModelError(f"{name} has a position twice", remedy="use weights to count a row more than once")
    return chosen
