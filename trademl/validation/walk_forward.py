"""Walk-forward validation: train on the past of each test block, with an embargo between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trademl.errors import SplitError
from trademl.validation.panel import Panel, Purge, check_purge, make_panel
from trademl.validation.spans import IntArray, LabelSpans
from trademl.validation.splits import Split, check_embargo, embargo_sessions, fold_starts, unique_sessions

Mode = Literal["expanding", "rolling"]
MODES: tuple[Mode, ...] = ("expanding", "rolling")


@dataclass(frozen=True)
class WalkForward:
    """Cut the sessions after a first training window into ``n_folds`` test blocks; train each on what came before.

    A row trains for a block when ``end + embargo`` lies before the block's first decision: its label ended more than
    ``embargo`` sessions earlier. With ``purge='entity'`` that first decision is the entity's own in the block. There is
    one path; rows in the first training window are never tested.

    Attributes:
        n_folds: number of test blocks; the first blocks hold one session more when they do not divide evenly.
        embargo: sessions (int), or a fraction in [0, 1) of all decision sessions (float, rounded down).
        mode: 'expanding' trains on everything earlier; 'rolling' on rows that start in the ``train_sessions`` decision
            sessions before the block (purged and embargoed rows count against the window).
        train_sessions: length of the rolling window in decision sessions; only for 'rolling', where it is needed.
        min_train_sessions: decision sessions before the first test block; None takes the rolling window's length, or
            one part in ``n_folds + 1`` of all sessions when expanding.
        purge: 'all' or 'entity', as in :class:`trademl.validation.cpcv.CombinatorialPurgedCV`.

    Raises:
        SplitError: a parameter is out of range, there are too few sessions, or a split has no train row left.

    >>> spans = LabelSpans(np.arange(9), np.arange(9) + 1, np.zeros(9, dtype=int))
    >>> for split in WalkForward(n_folds=2, embargo=0).split(spans):
    ...     print(split.train, split.test)
    [0 1] [3 4 5]
    [0 1 2 3 4] [6 7 8]
    """

    n_folds: int = 8
    embargo: int | float = 10
    mode: Mode = "expanding"
    train_sessions: int | None = None
    min_train_sessions: int | None = None
    purge: Purge = "all"

    def __post_init__(self) -> None:
        if self.n_folds < 1:
            raise SplitError(f"`n_folds={self.n_folds}` tests nothing", remedy="use n_folds >= 1")
        if self.mode not in MODES:
            raise SplitError(f"`mode={self.mode!r}` is not a window", remedy="use 'expanding' or 'rolling'")
        if (self.mode == "rolling") != (self.train_sessions is not None):
            raise SplitError(
                f"`mode={self.mode!r}` with `train_sessions={self.train_sessions}`",
                remedy="give train_sessions with mode='rolling', and only there",
            )
        for name in ("train_sessions", "min_train_sessions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SplitError(f"`{name}={value}` leaves no training session", remedy=f"use {name} >= 1")
        check_embargo(self.embargo)
        check_purge(self.purge)

    @property
    def n_splits(self) -> int:
        """One split per test block."""
        return self.n_folds

    @property
    def n_paths(self) -> int:
        """Each tested row is tested once."""
        return 1

    def paths(self) -> IntArray:
        """Return which split serves each fold, shape (n_folds, 1)."""
        return np.arange(self.n_folds, dtype=np.int64)[:, None]

    def path_of(self) -> IntArray:
        """Return path 0 where split s tests fold s, shape (n_splits, n_folds); -1 elsewhere."""
        return np.where(np.eye(self.n_folds, dtype=np.bool_), 0, -1).astype(np.int64)

    def folds(self, spans: LabelSpans) -> IntArray:
        """Return the test block of each row, shape (n_rows,); -1 in the first training window.

        Raises:
            SplitError: there are too few distinct sessions.
        """
        first = self._test_starts(unique_sessions(spans))
        return np.searchsorted(first, spans.start, side="right").astype(np.int64) - 1

    def split(self, spans: LabelSpans) -> Iterator[Split]:
        """Yield the splits in order of time.

        Raises:
            SplitError: too few sessions (at the call), or a split without a train row (when reached).
        """
        sessions = unique_sessions(spans)
        first = self._test_starts(sessions)
        panel = make_panel(spans, first, self.purge)
        embargo = embargo_sessions(self.embargo, len(sessions))
        return (self._one(fold, panel, sessions, embargo) for fold in range(self.n_folds))

    def _test_starts(self, sessions: IntArray) -> IntArray:
        warm_up = self.min_train_sessions or self.train_sessions or -(-len(sessions) // (self.n_folds + 1))
        if warm_up + self.n_folds > len(sessions):
            raise SplitError(
                f"`n_folds={self.n_folds}` after {warm_up} training sessions needs at least {warm_up + self.n_folds} "
                f"distinct sessions; the rows have {len(sessions)}",
                remedy="use fewer folds, fewer training sessions or a longer date range",
            )
        return fold_starts(sessions[warm_up:], self.n_folds)

    def _one(self, fold: int, panel: Panel, sessions: IntArray, embargo: int) -> Split:
        lo, hi, decision, _ = panel.block(fold, fold)
        keep = np.zeros(len(panel.start), dtype=np.bool_)
        oldest = 0
        if self.train_sessions is not None:
            window = int(np.searchsorted(sessions, decision)) - self.train_sessions
            oldest = int(np.searchsorted(panel.start, sessions[max(window, 0)]))
        keep[oldest:lo] = True
        panel.purge_before(keep, fold, fold, gap=embargo)
        train = panel.rows(keep)
        if not len(train):
            raise SplitError(
                f"`embargo={self.embargo}`, `purge={self.purge!r}` leaves no train row before test block {fold}: "
                f"all {lo - oldest} earlier rows of the window end within {embargo} sessions of it",
                remedy="use a longer training window, a shorter embargo or shorter labels",
            )
        return Split(fold, train, panel.span(lo, hi), (fold,))
