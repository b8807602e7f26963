"""One fit of a run's model: on which rows, on whose bins, stopped by which tail; the same for splits and the end."""

import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.models.base import BaseModel, ModelConfig, Prepared
from trademl.models.registry import create_model, model_class
from trademl.training.config import Binning
from trademl.training.dataset import TrainingData
from trademl.training.splits import stopping_tail

_STOPPING = "early_stopping_rounds"


@dataclass(eq=False)
class Fitter:
    """Fits ``model`` on rows of ``data``.

    Attributes:
        data: the rows.
        model: configuration of the family, with the task of the run.
        binning: ``shared``: what the family can share between fits (such as bin edges) is made once, of all rows;
            ``strict``: anew for each fit, of the rows it trains on.
        stop_fraction: see :func:`trademl.training.splits.stopping_tail`.
        prepared: what ``shared`` fits share; None until the first of them, or when ``strict``.
    """

    data: TrainingData
    model: ModelConfig
    binning: Binning = "shared"
    stop_fraction: float = 0.15
    prepared: Prepared | None = None
    _making: Any = field(default_factory=Lock, repr=False)

    @property
    def threads(self) -> int:
        """Threads that this run may use: the configuration's, or one for each core."""
        asked = int(getattr(self.model, "threads", 0))
        return asked or os.cpu_count() or 1

    @property
    def side_by_side(self) -> int:
        """How many fits may run at once, each on one thread: 1 for a family that wants the threads for itself."""
        return self.threads if model_class(self.model.kind).fits_side_by_side else 1

    def fit(self, rows: NDArray[np.int64], *, threads: int | None = None) -> BaseModel:
        """Return a model fitted on ``rows``, ascending; with early stopping, on all but their tail.

        Raises:
            ModelError: the engine refuses.
            SplitError: early stopping leaves no row to train on.
        """
        kept, tail = rows, None
        if getattr(self.model, _STOPPING, None) is not None:
            kept, tail = stopping_tail(self.data, rows, self.stop_fraction)
        return self._fit(self.model, kept, tail, threads)

    def fit_rounds(self, rows: NDArray[np.int64], rounds: int) -> BaseModel:
        """Return a model of ``rounds`` rounds fitted on all of ``rows``, without early stopping."""
        return self._fit(self.model.model_copy(update={"n_rounds": rounds, _STOPPING: None}), rows, None, None)

    def _fit(
        self, config: ModelConfig, rows: NDArray[np.int64], tail: NDArray[np.int64] | None, threads: int | None
    ) -> BaseModel:
        if threads is not None and hasattr(config, "threads"):
            config = config.model_copy(update={"threads": threads})
        data = self.data
        model = create_model(config, data.feature_names)
        if self.binning == "shared":
            model.tell_spans(data.spans)
            return model.fit_rows(self._shared(), data.target, rows, weight=data.weight, valid_rows=tail)
        both = rows if tail is None else np.sort(np.concatenate([rows, tail]))
        # Edges come from the rows that are fitted; the tail is looked up in them like rows under test.
        model.tell_spans(data.spans.take(both))
        own = model.prepare(np.ascontiguousarray(data.X[both]), data.feature_names, config)
        at, last = np.searchsorted(both, rows), None if tail is None else np.searchsorted(both, tail)
        return model.fit_rows(own, data.target[both], at, weight=data.weight[both], valid_rows=last)

    def _shared(self) -> Prepared:
        with self._making:
            if self.prepared is None:
                names = self.data.feature_names
                self.prepared = model_class(self.model.kind).prepare(self.data.X, names, self.model)
                return_memory()
            return self.prepared


def return_memory() -> None:
    """Give freed memory back to the system where the C library is glibc, which keeps what each thread has freed.

    On 800,000 rows that was 100 MB after binning and as much for each fit at work.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
