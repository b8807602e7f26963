"""Out-of-fold predictions of a run as a table of scores: one row a decision date, one column a symbol.

Every prediction of ``preds.oof`` was made by a model that had not seen its date, whatever path it is on; a path is one
complete history of such predictions, and their mean is the history of an ensemble of the run's models.
"""

from dataclasses import dataclass, replace

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.errors import ArtifactError, ConfigError

FloatArray = NDArray[np.float64]

MEAN = "mean"


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores by date and symbol.

    Attributes:
        dates: decision dates, ascending, datetime64[D].
        symbols: in order of name.
        values: higher is better, NaN where there is none, shape (dates, symbols).
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    values: FloatArray

    def between(self, first: str | None, last: str | None) -> "Scores":
        """Return the decisions from ``first`` to ``last``, both included; None: no limit.

        Raises:
            ConfigError: there are none.
        """
        kept = np.ones(len(self.dates), dtype=bool)
        if first is not None:
            kept &= self.dates >= np.datetime64(first)
        if last is not None:
            kept &= self.dates <= np.datetime64(last)
        if not bool(kept.any()):
            raise ConfigError(
                f"no decision from {first or 'the beginning'} to {last or 'the end'}; there are {len(self.dates)} "
                f"from {self.dates[0]} to {self.dates[-1]}",
                remedy="choose dates within these",
            )
        return replace(self, dates=self.dates[kept], values=self.values[kept])


def read_scores(con: duckdb.DuckDBPyConnection, run_id: str, path: str = MEAN) -> Scores:
    """Read the out-of-fold predictions of a run.

    Args:
        con: an open snapshot.
        run_id: the run.
        path: number of a backtest path, or ``mean``: of each symbol and date the mean over the paths.

    Raises:
        ArtifactError: the snapshot has no predictions of the run.
        ConfigError: the run has no such path.
    """
    paths = [number for (number,) in con.execute(_PATHS, {"run": run_id}).fetchall()]
    if not paths:
        raise ArtifactError(
            f"preds.oof has no prediction of run {run_id}",
            remedy="`trademl runs list` names finished runs; train one with `trademl train`",
        )
    if path != MEAN and path not in map(str, paths):
        raise ConfigError(
            f"run {run_id} has no path {path!r}; its paths are {', '.join(map(str, paths))}",
            remedy=f"give one of them, or {MEAN}",
        )
    chosen = paths if path == MEAN else [int(path)]
    rows = con.execute(_SCORES, {"run": run_id, "paths": chosen}).fetchnumpy()
    dates, at_date = np.unique(np.asarray(rows["dt"], dtype="datetime64[D]"), return_inverse=True)
    symbols, at_symbol = np.unique(np.asarray(rows["entity"], dtype=str), return_inverse=True)
    values = np.full((len(dates), len(symbols)), np.nan)
    values[at_date, at_symbol] = rows["score"]
    return Scores(dates, tuple(symbols.tolist()), values)


_PATHS = "select distinct path_id from preds.oof where run_id = $run order by path_id"
# Each path adds in its own order: the mean does not depend on threads.
_SCORES = """
    select entity, dt, avg(yhat order by path_id) as score from preds.oof
    where run_id = $run and list_contains($paths, path_id) and isfinite(yhat) group by entity, dt
"""


def smoothed(scores: Scores, sessions: int) -> Scores:
    """Return the mean of each symbol's ranks over its last ``sessions`` decisions, of those that it was scored on.

    Ranks are average-tie percentiles of the date, so that dates weigh the same. A symbol without a score on the date
    has none here either.

    Raises:
        ConfigError: fewer than one session.
    """
    if sessions < 1:
        raise ConfigError(f"scores cannot be averaged over {sessions} sessions", remedy="give 1 or more")
    if sessions == 1:
        return scores
    ranks = np.stack([percentile_ranks(row) for row in scores.values])
    known = np.isfinite(ranks)
    total, count = (np.cumsum(part, axis=0) for part in (np.where(known, ranks, 0.0), known.astype(np.float64)))
    for part in (total, count):
        part[sessions:] -= part[:-sessions].copy()
    return replace(scores, values=np.where(known, total / np.maximum(count, 1.0), np.nan))


def percentile_ranks(values: FloatArray) -> FloatArray:
    """Return average-tie ranks as shares of the number of finite values; NaN where there is none.

    >>> percentile_ranks(np.array([3.0, 1.0, np.nan, 3.0])).tolist()
    [0.8333333333333334, 0.3333333333333333, nan, 0.8333333333333334]
    """
    known = np.isfinite(values)
    order = np.sort(values[known])
    ends = np.searchsorted(order, values[known], "right") + np.searchsorted(order, values[known], "left")
    ranks = np.full(len(values), np.nan)
    ranks[known] = (ends + 1) / 2.0 / max(len(order), 1)
    return ranks
