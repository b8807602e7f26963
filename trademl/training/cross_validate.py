"""Out-of-fold predictions: bins once, one fit per split, a checkpoint after each, so that a rerun goes on from there.

Fits that may run side by side do so in threads of this process, which read the one matrix: nothing is copied to them.

A split's predictions are an ``.npy`` file (no pickle) and, written after it, a ``.json`` that names its content; a
split counts as finished when both are there and agree. Dying at any moment loses the split at work and nothing else.
"""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import sha256_file, write_atomic
from trademl.models.base import BaseModel, ModelConfig, Prepared
from trademl.models.softmax import expected_class
from trademl.training.config import Binning
from trademl.training.dataset import TrainingData
from trademl.training.fit import Fitter, return_memory
from trademl.training.splits import Splitter, path_of_row, split_number
from trademl.validation.metrics import information_coefficient
from trademl.validation.splits import Split

_PREDICT_ROWS = 65_536


class Progress(Protocol):
    """Receives what happens in a run; the command line draws it."""

    def stage(self, text: str) -> None:
        """Say what begins now."""

    def splits(self, total: int, done: int) -> None:
        """Say how many splits there are, and how many of them an earlier run has finished."""

    def split_done(self, mean_rank_ic: float) -> None:
        """Say that one more split is finished; ``mean_rank_ic`` is the mean over the finished ones."""

    def splits_end(self) -> None:
        """Say that all splits are finished, or that the run stops."""


class Silent:
    """A progress that says nothing."""

    def stage(self, text: str) -> None:
        """Ignore it."""

    def splits(self, total: int, done: int) -> None:
        """Ignore it."""

    def split_done(self, mean_rank_ic: float) -> None:
        """Ignore it."""

    def splits_end(self) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class SplitResult:
    """One finished split.

    Attributes:
        split_id: its number; test_groups: the folds under test.
        train_rows, test_rows: how many.
        rank_ic: mean over the test dates of the Spearman correlation of score and label; None when it has none.
        seconds: time of fit and prediction.
        importances: gain by feature.
        predictions_sha256: of the ``.npy`` file.
        rounds: trees per class of a boosted model, fewer than configured after early stopping; None without rounds.
    """

    split_id: int
    test_groups: tuple[int, ...]
    train_rows: int
    test_rows: int
    rank_ic: float | None
    seconds: float
    importances: dict[str, float]
    predictions_sha256: str
    rounds: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON can hold it."""
        return {**self.__dict__, "test_groups": list(self.test_groups)}


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """All splits of a run.

    Attributes:
        scores: raw model scores per path and row, shape (n_paths, n_rows), NaN where a path does not test the row.
        split_of: the split each score comes from, same shape, -1 where there is none.
        splits: the finished splits, by number.
        prepared: the binned matrix, for the final fit; None when every split came from a checkpoint.
        resumed: how many splits came from checkpoints.
        probabilities: of the classes -1, 0 and 1, per path and row, shape (n_paths, n_rows, 3), NaN where a path does
            not test the row; None when the task is not ``three_class``.
    """

    scores: NDArray[np.float64]
    split_of: NDArray[np.int16]
    splits: tuple[SplitResult, ...]
    prepared: Prepared | None
    resumed: int
    probabilities: NDArray[np.float32] | None = None

    @property
    def mean_score(self) -> NDArray[np.float64]:
        """The score of each row averaged over the paths that test it, NaN where none does; shape (n_rows,)."""
        tested = np.isfinite(self.scores)
        count = tested.sum(axis=0)
        total = np.where(tested, self.scores, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def cross_validate(
    data: TrainingData,
    splitter: Splitter,
    model: ModelConfig,
    folder: Path,
    progress: Progress,
    *,
    binning: Binning = "shared",
    stop_fraction: float = 0.15,
    prepared: Prepared | None = None,
    order: Sequence[int] | None = None,
    watch: Callable[[SplitResult], None] | None = None,
) -> CrossValidation:
    """Fit and predict every split that ``folder`` has no checkpoint of, and put the paths together.

    Args:
        data: the rows.
        splitter: makes the splits, and knows the path of each tested fold.
        model: the model's configuration.
        folder: where checkpoints lie and are written; it belongs to one configuration and one data hash.
        progress: told after every split.
        binning, stop_fraction: see :class:`trademl.training.fit.Fitter`.
        prepared: what an earlier call with the same rows and bins shared; None makes it when first needed.
        order: the numbers of all splits in the order in which they are fitted; None is ascending.
        watch: called with every split in that order, also with those read from checkpoints. What it raises stops the
            run; the splits finished so far keep their checkpoints.

    Raises:
        ModelError: a fit failed.
        SplitError: a split has no train row.
    """
    numbers = range(splitter.n_splits) if order is None else order
    three = model.task == "three_class"
    shape = (splitter.n_paths, len(data))
    scores = np.full(shape, np.nan)
    split_of = np.full(shape, -1, dtype=np.int16)
    probabilities = np.full((*shape, 3), np.nan, dtype=np.float32) if three else None
    fitter = Fitter(data, model, binning, stop_fraction, prepared)
    results: list[SplitResult] = []
    resumed = 0
    progress.splits(len(numbers), sum(_result_path(folder, number).is_file() for number in numbers))
    try:
        for done in _finished(fitter, splitter, numbers, folder):
            results.append(done.result)
            resumed += done.resumed
            if not done.resumed:
                progress.split_done(_mean_rank_ic(results))
            path = path_of_row(splitter, data, done.split)
            scores[path, done.split.test] = _score(done.predicted)
            split_of[path, done.split.test] = done.split.split_id
            if probabilities is not None:
                probabilities[path, done.split.test] = done.predicted
            if watch is not None:
                watch(done.result)
    finally:
        progress.splits_end()
    results.sort(key=lambda result: result.split_id)
    return CrossValidation(scores, split_of, tuple(results), fitter.prepared, resumed, probabilities)


@dataclass(frozen=True, eq=False)
class _Done:
    """A finished split; ``predicted`` are scores (n_test,), or the probabilities (n_test, 3) of three classes."""

    split: Split
    result: SplitResult
    predicted: NDArray[np.float64]
    resumed: bool


def _finished(fitter: Fitter, splitter: Splitter, numbers: Sequence[int], folder: Path) -> Iterator[_Done]:
    """Yield every split in the order of ``numbers``, as many at work at once as the family allows."""
    import joblib

    jobs = max(1, min(fitter.side_by_side, len(numbers)))
    threads = max(1, fitter.threads // jobs) if jobs > 1 else None

    def work(number: int) -> _Done:
        split = split_number(splitter, fitter.data, number)
        found = _read_checkpoint(folder, split, fitter.data)
        if found is not None:
            return _Done(split, *found, resumed=True)
        return _Done(split, *_fit_split(fitter, split, folder, threads), resumed=False)

    if jobs == 1:
        yield from map(work, numbers)
        return
    # A few at a time and all of them awaited: whoever stops in between leaves no fit at work.
    pool = joblib.Parallel(n_jobs=jobs, backend="threading")
    for start in range(0, len(numbers), jobs):
        yield from pool(joblib.delayed(work)(number) for number in numbers[start : start + jobs])
        return_memory()


def predict_rows(model: BaseModel, X: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what is kept of ``rows``, a block at a time, so that no second matrix is made.

    That is raw scores, shape (rows,), or for three classes their probabilities, shape (rows, 3).
    """
    three = model.config.task == "three_class"
    answer = model.probabilities if three else model.predict
    scores = np.empty((len(rows), 3) if three else len(rows))
    for start in range(0, len(rows), _PREDICT_ROWS):
        block = rows[start : start + _PREDICT_ROWS]
        contiguous = int(block[-1]) - int(block[0]) + 1 == len(block)
        matrix = X[int(block[0]) : int(block[-1]) + 1] if contiguous else X[block]
        scores[start : start + len(block)] = answer(matrix)
    return scores


def _fit_split(
    fitter: Fitter, split: Split, folder: Path, threads: int | None
) -> tuple[SplitResult, NDArray[np.float64]]:
    began = time.monotonic()
    data = fitter.data
    model = fitter.fit(split.train, threads=threads)
    predicted = predict_rows(model, data.X, split.test)
    daily = information_coefficient(_score(predicted), data.value[split.test], data.dates[split.test]).spearman
    defined = daily[np.isfinite(daily)]
    buffer = io.BytesIO()
    # Scores of canonical models are float32 numbers: half the bytes, and the same values.
    narrow = predicted.astype(np.float32)
    np.save(buffer, narrow if np.array_equal(narrow, predicted) else predicted, allow_pickle=False)
    content = buffer.getvalue()
    result = SplitResult(
        split_id=split.split_id,
        test_groups=split.test_groups,
        train_rows=len(split.train),
        test_rows=len(split.test),
        rank_ic=float(defined.mean()) if len(defined) else None,
        seconds=round(time.monotonic() - began, 3),
        importances=model.importances(),
        predictions_sha256=hashlib.sha256(content).hexdigest(),
        rounds=model.rounds,
    )
    write_atomic(_predictions_path(folder, split.split_id), content)
    write_atomic(_result_path(folder, split.split_id), json.dumps(result.to_dict(), indent=1).encode())
    return result, predicted


def _score(predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the score of predictions: themselves, or the expected class of three probabilities."""
    return predicted if predicted.ndim == 1 else expected_class(predicted)


def _read_checkpoint(folder: Path, split: Split, data: TrainingData) -> tuple[SplitResult, NDArray[np.float64]] | None:
    """Return a split that an earlier run finished; None when it did not, or when its files do not agree."""
    predictions, record = _predictions_path(folder, split.split_id), _result_path(folder, split.split_id)
    if not (predictions.is_file() and record.is_file()):
        return None
    try:
        raw = json.loads(record.read_bytes())
        result = SplitResult(**{**raw, "test_groups": tuple(raw["test_groups"])})
    except (ValueError, KeyError, TypeError):
        return None
    if result.predictions_sha256 != sha256_file(predictions) or tuple(result.importances) != data.feature_names:
        return None
    if (result.train_rows, result.test_rows) != (len(split.train), len(split.test)):
        return None
    return result, np.load(predictions, allow_pickle=False).astype(np.float64)


def _predictions_path(folder: Path, split_id: int) -> Path:
    return folder / f"split_{split_id:03d}.npy"


def _result_path(folder: Path, split_id: int) -> Path:
    return folder / f"split_{split_id:03d}.json"


def _mean_rank_ic(results: Sequence[SplitResult]) -> float:
    known = [result.rank_ic for result in results if result.rank_ic is not None]
    return float(np.mean(known)) if known else float("nan")
