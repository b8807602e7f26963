"""Probability of backtest overfitting by combinatorially symmetric cross-validation.

Source: Bailey, Borwein, Lopez de Prado & Zhu, "The Probability of Backtest Overfitting", Journal of Computational
Finance 20(4) (2017), section 3. The sample is cut into S blocks of periods; each choice of S/2 blocks is one in-sample
set and its complement the out-of-sample set; the strategy that is best in sample is ranked out of sample.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]

_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What selecting the best in sample led to out of sample, over C combinations.

    Attributes:
        pbo: share of combinations whose best strategy ranks in the lower half out of sample (logit <= 0).
        logits: ``ln(w / (1 - w))`` with ``w = rank / (N + 1)``, shape (C,).
        selected: best strategy in sample (the first of equals), shape (C,).
        rank: its rank out of sample among N, 1 the worst, ties sharing the average, shape (C,).
        is_sharpe: its Sharpe ratio in sample, per period, shape (C,). oos_sharpe: out of sample.
        probability_of_loss: share of combinations whose best strategy has a negative Sharpe ratio out of sample.
        slope, intercept: least squares of ``oos_sharpe`` on ``is_sharpe`` (performance degradation); NaN when
            ``is_sharpe`` does not vary.
        oos_all: Sharpe ratio out of sample of every strategy, shape (C, N): what :mod:`trademl.validation.dominance`
            compares ``oos_sharpe`` with.
    """

    pbo: float
    logits: FloatArray
    selected: NDArray[np.int64]
    rank: FloatArray
    is_sharpe: FloatArray
    oos_sharpe: FloatArray
    probability_of_loss: float
    slope: float
    intercept: float
    oos_all: FloatArray


def probability_of_overfitting(returns: FloatArray, *, n_blocks: int = 16, risk_free: float = 0.0) -> Overfitting:
    """Judge the selection of a best strategy by Sharpe ratio.

    Sums and squares per block are computed once, so a combination costs one addition per block and strategy.
    Combinations come in lexicographic order of their in-sample blocks.

    Args:
        returns: one column per strategy, one row per period, shape (T, N), T >= 2 ``n_blocks``, N >= 2.
        n_blocks: S, even. Blocks are contiguous; when S does not divide T the first ones are one period longer (the
            paper assumes that it does).
        risk_free: per period, taken from every return.

    Raises:
        ModelError: too few periods or strategies, an odd ``n_blocks``, or a return that is not finite.
    """
    values = np.asarray(returns, dtype=np.float64) - risk_free
    _check(values, n_blocks)
    periods, n = values.shape
    # Sums of squares about the mean, not about 0, lose no digits; the mean is added back to the sums.
    centre = values.mean(axis=0)
    centred = values - centre
    edges = np.linspace(0, n_blocks, n_blocks, endpoint=False, dtype=np.int64)
    start = edges * (periods // n_blocks) + np.minimum(edges, periods % n_blocks)
    size = np.diff(np.append(start, periods)).astype(np.float64)
    sums, squares = np.add.reduceat(centred, start), np.add.reduceat(centred**2, start)
    floor = 1e-14 * np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)

    total = comb(n_blocks, n_blocks // 2)
    inside = np.zeros((total, n_blocks))
    chosen = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    inside[np.arange(total)[:, None], chosen] = 1.0
    selected = np.empty(total, dtype=np.int64)
    rank, is_best, oos_best = np.empty(total), np.empty(total), np.empty(total)
    oos_all = np.empty((total, n))
    for low in range(0, total, _CHUNK):
        part = slice(low, min(low + _CHUNK, total))
        in_sample = _sharpe(inside[part], size, sums, squares, centre, floor)
        out_of_sample = _sharpe(1.0 - inside[part], size, sums, squares, centre, floor)
        best = in_sample.argmax(axis=1)[:, None]
        reached = np.take_along_axis(out_of_sample, best, axis=1)
        oos_all[part] = out_of_sample
        selected[part] = best[:, 0]
        is_best[part] = np.take_along_axis(in_sample, best, axis=1)[:, 0]
        oos_best[part] = reached[:, 0]
        ties = (out_of_sample == reached).sum(axis=1)
        rank[part] = (out_of_sample < reached).sum(axis=1) + (ties + 1) / 2
    share = rank / (n + 1)
    logits = np.log(share / (1 - share))
    slope, intercept = _line(is_best, oos_best)
    return Overfitting(
        pbo=float(np.mean(logits <= 0)),
        logits=logits,
        selected=selected,
        rank=rank,
        is_sharpe=is_best,
        oos_sharpe=oos_best,
        probability_of_loss=float(np.mean(oos_best < 0)),
        slope=slope,
        intercept=intercept,
        oos_all=oos_all,
    )


def _sharpe(
    inside: FloatArray, size: FloatArray, sums: FloatArray, squares: FloatArray, centre: FloatArray, floor: FloatArray
) -> FloatArray:
    """Return the Sharpe ratio (n - 1) of each strategy over each set of blocks, shape (combinations, N).

    A strategy without variation has 0, or infinity with the sign of its mean: it never wins by rounding error.
    """
    count = (inside @ size)[:, None]
    mean = (inside @ sums) / count
    variance = np.maximum((inside @ squares) - count * mean**2, 0.0) / (count - 1)
    mean = mean + centre
    deviation = np.sqrt(variance)
    flat = deviation <= floor
    with np.errstate(divide="ignore"):
        still = np.where(np.abs(mean) <= floor, 0.0, np.copysign(np.inf, mean))
    return np.where(flat, still, mean / np.where(flat, 1.0, deviation))


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < 2 or x.max() == x.min():
        return np.nan, np.nan
    deviation = x - x.mean()
    slope = float(deviation @ (y - y.mean()) / (deviation @ deviation))
    return slope, float(y.mean() - slope * x.mean())


def _check(values: FloatArray, n_blocks: int) -> None:
    if n_blocks < 2 or n_blocks % 2:
        raise ModelError(f"`n_blocks={n_blocks}` cannot be halved", remedy="use an even number, such as 16")
    if values.ndim != 2 or values.shape[1] < 2 or values.shape[0] < 2 * n_blocks:
        raise ModelError(
            f"returns of shape {values.shape} are too few for {n_blocks} blocks",
            remedy=f"give at least {2 * n_blocks} periods (rows) and 2 strategies (columns)",
        )
    if not bool(np.isfinite(values).all()):
        raise ModelError(
            f"{int((~np.isfinite(values)).sum())} returns are not finite",
            remedy="put 0 where a strategy held nothing, and use periods that all strategies share",
        )
