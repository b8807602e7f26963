"""The splits of a run: made from the configuration, stored, and audited before anything is fitted."""

import math
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, utc_now
from trademl.errors import SplitError
from trademl.governance.assignments import write_assignments
from trademl.governance.audit import AuditRow, audit_splits, raise_if_leaking
from trademl.training.config import ValidationConfig
from trademl.training.dataset import TrainingData
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.splits import Split
from trademl.validation.walk_forward import WalkForward

Splitter = CombinatorialPurgedCV | WalkForward


def make_splitter(config: ValidationConfig) -> Splitter:
    """Return the splitter that the configuration describes.

    Raises:
        SplitError: its parameters contradict each other.
    """
    if config.kind == "cpcv":
        return CombinatorialPurgedCV(
            n_folds=config.folds, n_test_folds=config.test_folds, embargo=config.embargo, purge=config.purge
        )
    return WalkForward(
        n_folds=config.folds,
        embargo=config.embargo,
        mode=config.mode,
        train_sessions=config.train_sessions,
        min_train_sessions=config.min_train_sessions,
        purge=config.purge,
    )


def make_splits(splitter: Splitter, data: TrainingData) -> Iterator[Split]:
    """Yield the splits of ``data``; rows that are not fitted leave every train side, and are tested all the same.

    Making a split is cheap and keeping all of them is not (28 splits of a million rows are 230 MB of indices), so every
    user makes them again.

    Raises:
        SplitError: there are too few sessions, or a split has no train row.
    """
    for split in splitter.split(data.spans):
        train = split.train if data.fitted.all() else split.train[data.fitted[split.train]]
        if not len(train):
            raise SplitError(
                f"split {split.split_id} (test folds {split.test_groups}) has {len(split.train)} train rows, none of "
                "which the configuration fits",
                remedy="choose more regimes with --regime, fewer folds or a wider date range",
            )
        yield split._replace(train=train)


def split_number(splitter: Splitter, data: TrainingData, number: int) -> Split:
    """Return the split with this number; see :func:`make_splits`."""
    return next(split for split in make_splits(splitter, data) if split.split_id == number)


def stopping_tail(
    data: TrainingData, rows: NDArray[np.int64], fraction: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the rows of a fit into those it trains on and the tail that early stopping measures on.

    The tail is the last ``fraction`` of the sessions that ``rows`` have. A row trains when its label ends before the
    tail begins: what the tail is judged by is then no part of what was fitted.

    Args:
        data: the rows' label spans.
        rows: positions in ``data``.
        fraction: between 0 and 1.

    Returns:
        Positions to train on, and positions of the tail.

    Raises:
        SplitError: one of the two would be empty.
    """
    decided = data.spans.start[rows]
    sessions = np.unique(decided)
    count = math.ceil(fraction * len(sessions))
    first = sessions[-count]
    kept, tail = rows[data.spans.end[rows] < first], rows[decided >= first]
    if not len(kept):
        raise SplitError(
            f"early stopping on the last {count} of {len(sessions)} sessions leaves no row to train on",
            remedy="lower stop_fraction, train on a wider date range, or set early_stopping_rounds to null",
        )
    return kept, tail


def audit(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    spans: str,
    data: TrainingData,
    splitter: Splitter,
    *,
    run_id: str,
    now: Clock = utc_now,
) -> list[AuditRow]:
    """Store the splits of ``data`` as ``path`` and judge them in SQL against ``spans``, the warehouse's own.

    Returns the rows for ``ops.leakage_audit``, all of them with 0 violations.

    Raises:
        LeakageError: a train label overlaps a test label, an embargo is broken, or another check failed.
    """
    write_assignments(path, make_splits(splitter, data), len(data))
    cpcv = isinstance(splitter, CombinatorialPurgedCV)
    rows = audit_splits(
        con,
        path,
        spans,
        embargo=int(splitter.embargo) if cpcv else 0,
        purge=splitter.purge,
        run_id=run_id,
        # Walk-forward never tests its first window, so an even number of tests cannot be asked of it.
        paths=splitter.n_paths if cpcv else None,
        gap=0 if cpcv or splitter.purge == "entity" else int(splitter.embargo),
        n_splits=splitter.n_splits,
        now=now,
    )
    raise_if_leaking(rows)
    return rows


def path_of_row(splitter: Splitter, data: TrainingData, split: Split) -> NDArray[np.int64]:
    """Return the path that each test row of ``split`` belongs to, in the order of ``split.test``."""
    served = splitter.path_of()[split.split_id]
    paths: NDArray[np.int64] = served[splitter.folds(data.spans)[split.test]]
    return paths
