"""How sure is a place in a ranking of traders? The stationary bootstrap of ranks.

Days are resampled in blocks, the same days for all traders, so that what moved everybody moves everybody, and the
traders are ranked again. Sources: Politis & Romano, "The Stationary Bootstrap", JASA 89 (1994) [PR]; Hall & Miller,
"Using the Bootstrap to Quantify the Authority of an Empirical Ranking", Annals of Statistics 37 (2009) [HM]: intervals
of ranks are honest about traders who are clearly apart, and too narrow among many who are nearly equal.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.rng import stream
from trademl.validation.bootstrap import optimal_block, stationary_indices
from trademl.validation.skill import Records, StandardPanel, resampled_records, skill_scores, standard_panel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CELLS = 1 << 22
"""Cells of (resample, trader) or (day, trader) held at a time."""
_BLOCK_SAMPLE = 200
_FEWEST_DAYS = 5
"""A resample that leaves a trader fewer days says nothing about it: it goes last."""


@dataclass(frozen=True, eq=False)
class RankIntervals:
    """Percentile intervals of ranks, shape (traders,); 1 is the best.

    Attributes:
        low, high: the better and the worse end.
        block: expected block length in days.
        n_resamples: how many rankings were drawn.
    """

    low: IntArray
    high: IntArray
    block: float
    n_resamples: int


def ranking(scores: FloatArray, groups: IntArray) -> IntArray:
    """Return ranks from 1: the lower group first, in it the higher score; ties by place. Not a number goes last.

    >>> ranking(np.array([0.3, 0.9, 0.5]), np.array([0, 1, 0]))
    array([2, 3, 1])
    """
    known = np.where(np.isnan(scores), -np.inf, scores)
    order = np.lexsort((np.arange(len(scores)), -known, groups))
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[order] = np.arange(1, len(scores) + 1)
    return ranks


def rank_intervals(
    pnl: Any,
    first: Any,
    last: Any,
    *,
    groups: IntArray,
    n_resamples: int = 1000,
    block: float | None = None,
    confidence: float = 0.9,
    seed: int,
) -> RankIntervals:
    """Return how far the rank of each trader's skill moves when other days had been drawn [PR section 2].

    Each trader keeps the length of its own record: a resample changes which of its days count, not how many.

    Args:
        pnl, first, last: as in :func:`trademl.validation.skill.records_of`.
        groups: 0 for traders to rank first, 1 for those after them, shape (traders,).
        n_resamples: rankings to draw.
        block: expected block length in days; None takes the median of what the longest records call for.
        confidence: of the two-sided interval.
        seed: the same seed gives the same intervals.

    Raises:
        ModelError: as :func:`records_of`, or a parameter out of range.
    """
    panel = standard_panel(pnl, first, last)
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ModelError(
            f"`n_resamples={n_resamples}`, `confidence={confidence}`", remedy="use, say, 1000 resamples and 0.9"
        )
    days, traders = panel.values.shape
    if not traders:
        return RankIntervals(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 1.0, n_resamples)
    chosen = panel_block(panel) if block is None else float(block)
    if not 1 <= chosen <= days:
        raise ModelError(f"`block={block}` is not between 1 and the {days} days", remedy="use None to choose it")
    rng = stream(seed, "rank_intervals")
    ranks = np.empty((n_resamples, traders), dtype=np.int32)
    step = max(_CELLS // max(days, traders), 1)
    for low in range(0, n_resamples, step):
        high = min(low + step, n_resamples)
        drawn = stationary_indices(days, high - low, chosen, rng)
        offset = drawn + days * np.arange(high - low)[:, None]
        counts = np.bincount(offset.ravel(), minlength=days * (high - low)).reshape(high - low, days).astype(np.float64)
        for place, scores in enumerate(_scores(counts, panel)):
            ranks[low + place] = ranking(scores, groups)
    tail = (1 - confidence) / 2
    ends = np.quantile(ranks, [tail, 1 - tail], axis=0, method="inverted_cdf").astype(np.int64)
    return RankIntervals(low=ends[0], high=ends[1], block=chosen, n_resamples=n_resamples)


def panel_block(panel: StandardPanel) -> float:
    """Return the median of :func:`optimal_block` over the longest records (at most 200), at least 1."""
    length = panel.last - panel.first + 1
    order = np.lexsort((np.arange(len(length)), -length))[:_BLOCK_SAMPLE]
    blocks = [
        optimal_block(panel.values[panel.first[trader] : panel.last[trader] + 1, trader])
        for trader in order
        if length[trader] > 2 * _FEWEST_DAYS
    ]
    return float(np.median(blocks)) if blocks else 1.0


def _scores(counts: FloatArray, panel: StandardPanel) -> FloatArray:
    """Return the scores of each resample, shape (resamples, traders), a slice of traders at a time."""
    days, traders = panel.values.shape
    found = np.empty((len(counts), traders))
    width = max(_CELLS // max(days, len(counts)), 1)
    for low in range(0, traders, width):
        at = slice(low, low + width)
        part = StandardPanel(panel.values[:, at], panel.mean[at], panel.first[at], panel.last[at])
        length = (part.last - part.first + 1).astype(np.float64)
        drawn = resampled_records(counts, part)
        few = drawn.n < np.minimum(_FEWEST_DAYS, length)
        kept = Records(np.broadcast_to(length, drawn.n.shape), drawn.sharpe, drawn.skew, drawn.kurtosis)
        found[:, at] = np.where(few, np.nan, skill_scores(kept))
    return found
