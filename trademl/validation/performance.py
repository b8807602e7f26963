"""What a series of net returns is worth: Sharpe ratio, wealth, drawdown, profit factor, share of winning periods.

Returns are simple, per period and net of cost: 0.01 is one per cent. One period compounds on the next, so wealth starts
at 1 and is multiplied by ``1 + return``. Every function takes one series, shape (periods,); :func:`equity_curve` and
:func:`performance_table` take many at once, shape (periods, strategies). Returns that are not finite are refused:
whoever has gaps must say whether they mean 0 or a shorter series.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PerformanceSummary:
    """One return series in numbers.

    Attributes:
        periods: number of returns.
        total_return: wealth at the end less 1.
        annualised_return: the constant yearly rate that compounds to the same wealth.
        annualised_volatility: standard deviation (n - 1) times the root of the periods a year; NaN for one period.
        annualised_sharpe: mean / standard deviation (n - 1) times that root; NaN without variation.
        max_drawdown: largest loss from a running peak of wealth, as a share of that peak, in [0, 1].
        profit_factor: sum of gains / sum of losses; infinite without losses, NaN without either.
        win_rate: share of winning periods among those that moved; NaN when none did.
        turnover: mean turnover per period, in the unit given; None when none was given.
    """

    periods: int
    total_return: float
    annualised_return: float
    annualised_volatility: float
    annualised_sharpe: float
    max_drawdown: float
    profit_factor: float
    win_rate: float
    turnover: float | None


@dataclass(frozen=True, eq=False)
class PerformanceTable:
    """The measures of :class:`PerformanceSummary` for many strategies, each of shape (strategies,)."""

    periods: int
    total_return: FloatArray
    annualised_return: FloatArray
    annualised_volatility: FloatArray
    annualised_sharpe: FloatArray
    max_drawdown: FloatArray
    profit_factor: FloatArray
    win_rate: FloatArray


def annualised_sharpe(returns: FloatArray, periods_per_year: float = 252) -> float:
    """Return mean / standard deviation (n - 1) times sqrt(periods a year); NaN without variation.

    Give excess returns when cash earns something. The factor assumes returns without serial correlation (Lo 2002).

    Raises:
        ModelError: no return, one that is not finite, or a number of periods that is not positive.

    >>> round(annualised_sharpe(np.array([0.01, -0.01, 0.02, 0.0])), 4)
    6.1482
    """
    return float(_sharpe(_one(returns), _year(periods_per_year))[0])


def equity_curve(returns: FloatArray) -> FloatArray:
    """Return wealth after each period, in the shape given; it starts at 1 before the first.

    Raises:
        ModelError: as :func:`annualised_sharpe`, or a return below -1: wealth cannot go below 0.

    >>> equity_curve(np.array([0.5, -0.5, 1.0]))
    array([1.5 , 0.75, 1.5 ])
    """
    values = np.asarray(returns, dtype=np.float64)
    wealth = _wealth(_columns(values))
    return wealth if values.ndim == 2 else wealth[:, 0]


def max_drawdown(returns: FloatArray) -> float:
    """Return the largest loss from a running peak of wealth, as a share of that peak, in [0, 1].

    The wealth of 1 before the first period counts as a peak.

    >>> max_drawdown(np.array([0.5, -0.5, 1.0]))
    0.5
    """
    return float(_drawdown(_wealth(_one(returns)))[0])


def profit_factor(returns: FloatArray) -> float:
    """Return the sum of gains / the sum of losses; infinite without losses, NaN without either.

    >>> profit_factor(np.array([0.03, -0.01, -0.01]))
    1.5
    """
    return float(_profit_factor(_one(returns))[0])


def win_rate(returns: FloatArray) -> float:
    """Return the share of winning periods among those with a return other than 0; NaN when there are none."""
    return float(_win_rate(_one(returns))[0])


def annualised_return(returns: FloatArray, periods_per_year: float = 252) -> float:
    """Return the constant yearly rate that compounds to the same wealth; -1 after a total loss."""
    values = _one(returns)
    return float(_growth(_wealth(values)[-1], len(values), _year(periods_per_year))[0])


def annualised_volatility(returns: FloatArray, periods_per_year: float = 252) -> float:
    """Return the standard deviation (n - 1) times sqrt(periods a year); NaN for one period."""
    return float(_deviation(_one(returns))[0]) * sqrt(_year(periods_per_year))


def summarise_performance(
    returns: FloatArray, turnover: FloatArray | None = None, periods_per_year: float = 252
) -> PerformanceSummary:
    """Measure one series.

    Args:
        returns: net of cost, shape (periods,).
        turnover: traded value / capital of each period, at least 0, shape (periods,). None when it is not known.
        periods_per_year: 252 for daily returns.

    Raises:
        ModelError: as :func:`equity_curve`, or a turnover of another length or below 0.
    """
    table = performance_table(_one(returns), periods_per_year)
    traded = None
    if turnover is not None:
        moved = _one(turnover, what="turnover")[:, 0]
        if len(moved) != table.periods or moved.min() < 0:
            raise ModelError(
                f"`turnover` has {len(moved)} values, the least {moved.min()}, for {table.periods} returns",
                remedy="give one value of at least 0 for each return",
            )
        traded = float(moved.mean())
    return PerformanceSummary(
        periods=table.periods,
        total_return=float(table.total_return[0]),
        annualised_return=float(table.annualised_return[0]),
        annualised_volatility=float(table.annualised_volatility[0]),
        annualised_sharpe=float(table.annualised_sharpe[0]),
        max_drawdown=float(table.max_drawdown[0]),
        profit_factor=float(table.profit_factor[0]),
        win_rate=float(table.win_rate[0]),
        turnover=traded,
    )


def performance_table(returns: FloatArray, periods_per_year: float = 252) -> PerformanceTable:
    """Measure many strategies at once, shape (periods, strategies).

    Raises:
        ModelError: as :func:`equity_curve`.
    """
    values, year = _columns(np.asarray(returns, dtype=np.float64)), _year(periods_per_year)
    wealth = _wealth(values)
    return PerformanceTable(
        periods=len(values),
        total_return=wealth[-1] - 1,
        annualised_return=_growth(wealth[-1], len(values), year),
        annualised_volatility=_deviation(values) * sqrt(year),
        annualised_sharpe=_sharpe(values, year),
        max_drawdown=_drawdown(wealth),
        profit_factor=_profit_factor(values),
        win_rate=_win_rate(values),
    )


def _deviation(values: FloatArray) -> FloatArray:
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    # A series of one value repeated has no variation; rounding in its mean must not give it some.
    return np.asarray(np.where(values.max(axis=0) == values.min(axis=0), 0.0, values.std(axis=0, ddof=1)))


def _sharpe(values: FloatArray, year: float) -> FloatArray:
    deviation = _deviation(values)
    varies = deviation > 0
    return np.where(varies, values.mean(axis=0) / np.where(varies, deviation, 1.0), np.nan) * sqrt(year)


def _wealth(values: FloatArray) -> FloatArray:
    if values.min() < -1:
        raise ModelError(
            f"a return of {values.min()} loses more than everything",
            remedy="give simple returns of capital, at least -1: -0.05 for a loss of 5 per cent",
        )
    return np.asarray(np.cumprod(1.0 + values, axis=0), dtype=np.float64)


def _growth(wealth: FloatArray, periods: int, year: float) -> FloatArray:
    # Wealth 0 is a rate of -1; a gain of a few periods may be more in a year than a float can hold.
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.expm1(np.log(wealth) * (year / periods)))


def _drawdown(wealth: FloatArray) -> FloatArray:
    peak = np.maximum(np.maximum.accumulate(wealth, axis=0), 1.0)
    return np.asarray((1.0 - wealth / peak).max(axis=0))


def _profit_factor(values: FloatArray) -> FloatArray:
    gains, losses = np.maximum(values, 0.0).sum(axis=0), np.maximum(-values, 0.0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(gains / losses)


def _win_rate(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.asarray((values > 0).sum(axis=0) / (values != 0).sum(axis=0))


def _one(returns: Any, what: str = "returns") -> FloatArray:
    """Return one series as a column, shape (periods, 1)."""
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise ModelError(
            f"`{what}` has shape {values.shape}, not one dimension",
            remedy="give one series, or use performance_table for many strategies",
        )
    return _columns(values, what)


def _columns(values: FloatArray, what: str = "returns") -> FloatArray:
    if values.ndim not in (1, 2) or values.size == 0:
        raise ModelError(
            f"`{what}` has shape {values.shape}", remedy="give at least one period: (periods,) or (periods, strategies)"
        )
    if not bool(np.isfinite(values).all()):
        raise ModelError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} values of `{what}` are not finite",
            remedy="put 0 where nothing was held, or drop the periods before the first position",
        )
    return values if values.ndim == 2 else values[:, None]


def _year(periods_per_year: float) -> float:
    if not 0 < periods_per_year < np.inf:
        raise ModelError(
            f"`periods_per_year={periods_per_year}` is not a positive number", remedy="use 252 for daily returns"
        )
    return float(periods_per_year)
