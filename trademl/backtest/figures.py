"""What a backtest came to: one table of days for both engines, and the figures that follow from it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.backtest.books import Account
from trademl.backtest.engine import BacktestConfig, BacktestResult
from trademl.backtest.set_based import SetBasedResult
from trademl.errors import ModelError
from trademl.validation.performance import summarise_performance

FloatArray = NDArray[np.float64]

COSTS = ("commission", "spread", "impact", "auction", "borrow")
"""Parts of the cost, each a column ``<part>_usd`` of the days."""

SESSIONS_A_YEAR = 252

_AMOUNTS = ("equity_usd", "cash_usd", "gross_usd", "net_usd", "traded_usd", "dividend_usd", "delisted_usd")
DAY_COLUMNS = ("date", *_AMOUNTS, *(f"{part}_usd" for part in COSTS))


@dataclass(frozen=True, eq=False)
class Days:
    """One row a session from the first decision on; arrays of shape (sessions,), money in USD.

    Attributes:
        date: the sessions. columns: the other columns of :data:`DAY_COLUMNS`; ``delisted_usd`` is what endings of
            listings gained or lost in the event-driven engine, and what they paid in SQL.
        base: what each session's return is measured on: equity at the last close, or the capital.
    """

    date: NDArray[np.datetime64]
    columns: dict[str, FloatArray]
    base: FloatArray

    @property
    def cost(self) -> FloatArray:
        """The cost of each session, all parts together."""
        return np.asarray(sum(self.columns[f"{part}_usd"] for part in COSTS), dtype=np.float64)

    @property
    def net(self) -> FloatArray:
        """Returns after cost of the sessions after the first, shape (sessions - 1,)."""
        return np.asarray(np.diff(self.columns["equity_usd"]) / self.base[1:], dtype=np.float64)

    @property
    def gross(self) -> FloatArray:
        """The same before cost."""
        return np.asarray(self.net + self.cost[1:] / self.base[1:], dtype=np.float64)

    @property
    def turnover(self) -> FloatArray:
        """Value bought and sold by what the return is measured on, of the same sessions."""
        return np.asarray(self.columns["traded_usd"][1:] / self.base[1:], dtype=np.float64)


@dataclass(frozen=True)
class Figures:
    """A backtest in numbers; ratios and returns are annual unless they say otherwise, 252 sessions a year.

    Attributes:
        sessions: returns in the series.
        gross_sharpe, net_sharpe: before and after cost; NaN without variation.
        gross_return, net_return: mean a year, as shares of what returns are measured on.
        volatility, max_drawdown: of net returns.
        turnover: mean value bought and sold a session, each dollar once.
        cost_bps: of each part, basis points a year.
        filled: value filled by value ordered; 1 without a limit.
        gross_exposure, net_exposure: means of the sessions.
        final_equity_usd: at the last close.
    """

    sessions: int
    gross_sharpe: float
    net_sharpe: float
    gross_return: float
    net_return: float
    volatility: float
    max_drawdown: float
    turnover: float
    cost_bps: dict[str, float]
    filled: float
    gross_exposure: float
    net_exposure: float
    final_equity_usd: float

    def document(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them; what is not a number is None."""
        return {
            name: {part: _finite(one) for part, one in value.items()} if isinstance(value, dict) else _finite(value)
            for name, value in self.__dict__.items()
        }


def event_days(result: BacktestResult, config: BacktestConfig, first: int) -> Days:
    """Return the days of an event-driven backtest from session ``first`` on, that of the first decision."""
    # Of each account what came on the session; what flows out of an account is earned or paid elsewhere.
    moved = np.diff(result.balances, axis=0, prepend=0.0)[first:]
    columns = {
        "equity_usd": result.equity[first:],
        "cash_usd": result.cash[first:],
        "gross_usd": result.gross_usd[first:],
        "net_usd": result.net_usd[first:],
        "traded_usd": result.traded_usd[first:],
        "dividend_usd": -moved[:, Account.DIVIDENDS],
        "delisted_usd": -moved[:, Account.DELISTING],
        **{f"{part}_usd": moved[:, Account[part.upper()]] for part in COSTS},
    }
    return Days(result.dates[first:], columns, session_bases(columns["equity_usd"], config))


def sql_days(result: SetBasedResult, config: BacktestConfig) -> Days:
    """Return the days of a set-based backtest."""
    columns = {name: np.asarray(result.daily[name], dtype=np.float64) for name in DAY_COLUMNS if name != "date"}
    dates = np.asarray(result.daily["date"], dtype="datetime64[D]")
    return Days(dates, columns, session_bases(columns["equity_usd"], config))


def summarise(days: Days, *, filled: float = 1.0) -> Figures:
    """Measure a backtest; ``filled`` is the share of the ordered value that was filled.

    Raises:
        ModelError: fewer than two returns, or equity fell to nothing.
    """
    if len(days.date) < 3:
        raise ModelError(f"a backtest of {len(days.date)} sessions has no figures", remedy="choose a longer period")
    equity = days.columns["equity_usd"]
    if float(equity.min()) <= 0:
        ruined = days.date[int(np.argmax(equity <= 0))]
        raise ModelError(
            f"nothing was left on {ruined}: equity is {float(equity.min()):,.0f} USD",
            remedy="lower the gross exposure, or read the cost attribution of a shorter period",
        )
    net, gross = (summarise_performance(series) for series in (days.net, days.gross))
    return Figures(
        sessions=len(days.net),
        gross_sharpe=gross.annualised_sharpe,
        net_sharpe=net.annualised_sharpe,
        gross_return=float(days.gross.mean()) * SESSIONS_A_YEAR,
        net_return=float(days.net.mean()) * SESSIONS_A_YEAR,
        volatility=net.annualised_volatility,
        max_drawdown=net.max_drawdown,
        turnover=float(days.turnover.mean()),
        cost_bps={
            part: float((days.columns[f"{part}_usd"][1:] / days.base[1:]).mean()) * SESSIONS_A_YEAR * 1e4
            for part in COSTS
        },
        filled=filled,
        gross_exposure=float((days.columns["gross_usd"][1:] / days.base[1:]).mean()),
        net_exposure=float((days.columns["net_usd"][1:] / days.base[1:]).mean()),
        final_equity_usd=float(equity[-1]),
    )


def filled_share(fills: dict[str, NDArray[Any]], marks: FloatArray) -> float:
    """Return the value filled by the value ordered; ``marks`` are the closes, shape (sessions, symbols).

    What was not filled has no price of its own, so both sides are valued at the last close before.
    """
    if not len(fills["session"]):
        return 1.0
    known = _carried(marks)[fills["session"] - 1, fills["symbol"]]
    ordered = float(np.abs(fills["ordered"] * known).sum())
    return float(np.abs(fills["filled"] * known).sum()) / ordered if ordered else 1.0


def _carried(marks: FloatArray) -> FloatArray:
    last = np.maximum.accumulate(np.where(np.isfinite(marks), np.arange(len(marks))[:, None], 0), axis=0)
    return np.asarray(np.nan_to_num(np.take_along_axis(marks, last, axis=0)), dtype=np.float64)


def session_bases(equity: FloatArray, config: BacktestConfig) -> FloatArray:
    """Return what each session's return is measured on: the equity at the last close, or the capital where it is fixed.

    The first session, which has no return, has its own equity.
    """
    if config.sizing == "capital":
        return np.full(len(equity), config.capital_usd)
    return np.concatenate([equity[:1], equity[:-1]])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
