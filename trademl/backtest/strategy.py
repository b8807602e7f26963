"""From scores to weights, date by date, by the portfolio's own rules: the same function that trades on paper.

A :class:`ScoreStrategy` looks at what is really held, as trading does. :func:`plan` decides without a market, from the
weights that it wanted before: that is what a set-based backtest can know, and both differ only where a limit of
turnover binds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trademl.backtest.data import Panel
from trademl.backtest.engine import Holdings
from trademl.backtest.market import Market
from trademl.backtest.scores import Scores
from trademl.costs.model import CostModel
from trademl.errors import ConfigError
from trademl.portfolio.build import Candidates, PortfolioConfig, TargetWeights, build
from trademl.portfolio.convex import optimise
from trademl.portfolio.utility import TradingMarket

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weights:
    """Target weights by decision date, shape (dates, symbols); 0 where nothing is wanted."""

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    values: FloatArray


@dataclass(eq=False)
class ScoreStrategy:
    """Weights from scores: a strategy for the event-driven engine.

    Attributes:
        scores: of decision dates; their symbols are the market's.
        panel: for sectors; its market is not looked into, for the engine shows only what is past.
        portfolio: limits.
        costs: what the convex optimiser weighs.
        every: sessions from one rebalancing to the next, counted in decision dates.
        decided: what was decided so far, by date.
    """

    scores: Scores
    panel: Panel
    portfolio: PortfolioConfig
    costs: CostModel = field(default_factory=CostModel)
    every: int = 1
    decided: dict[np.datetime64, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"rebalancing every {self.every} sessions", remedy="give 1 or more")
        if self.scores.symbols != self.panel.market.symbols:
            raise ConfigError("scores and market have other symbols", remedy="read the market for the scores' symbols")
        chosen = range(0, len(self.scores.dates), self.every)
        self._row = {self.scores.dates[at]: at for at in chosen}

    def __call__(self, market: Market, holdings: Holdings) -> FloatArray | None:
        """Decide after the last close of ``market``; None on a date without a decision."""
        day = market.dates[-1]
        if day not in self._row:
            return None
        return self.decide(len(market.dates) - 1, holdings.weights, holdings.equity)

    def decide(self, session: int, held: FloatArray, equity_usd: float) -> FloatArray | None:
        """Return the weights decided at the close of a session, given those held; None where nothing is decided."""
        day = self.panel.market.dates[session]
        if day not in self._row:
            return None
        row = self.scores.values[self._row[day]]
        forecast = self.panel.forecast[self.portfolio.volatility_sessions][session]
        day_value = self.panel.market.day_value[session]
        scored = np.isfinite(row) & (forecast > 0) & (day_value > 0)
        shown = scored | (held != 0)
        # What is only held has no say in the ranks, and its own forecast is not needed to let it go.
        usual = float(np.median(forecast[scored])) if bool(scored.any()) else 1.0
        candidates = Candidates(
            tuple(np.array(self.scores.symbols, dtype=object)[shown]),
            np.where(scored, row, np.nan)[shown],
            volatility=np.where(forecast > 0, forecast, usual)[shown],
            sectors=_names(self.panel.sectors, self.panel.sector[session][shown]),
            held=held[shown],
        )
        try:
            found = self._weigh(candidates, session, shown, equity_usd)
        except ConfigError as error:
            raise ConfigError(f"{day}: {error.message}", remedy=error.remedy) from error
        weights = np.zeros(len(row))
        weights[shown] = found.weights
        self.decided[day] = weights
        return weights

    def _weigh(
        self, candidates: Candidates, session: int, shown: NDArray[np.bool_], equity_usd: float
    ) -> TargetWeights:
        # Evidence on the run comes from the whole history, which nobody had on the date.
        confidence = 1.0 if isinstance(self.portfolio.confidence, str) else None
        if self.portfolio.optimiser == "ranked":
            return build(candidates, self.portfolio, confidence=confidence)
        seen = self.panel.market.until(session)
        market = TradingMarket(
            equity_usd=equity_usd,
            day_value_usd=seen.day_value[-1][shown],
            price_usd=np.where(seen.close_price[-1] > 0, seen.close_price[-1], np.inf)[shown],
            costs=self.costs,
        )
        return optimise(candidates, self.portfolio, market, confidence=confidence)

    @property
    def weights(self) -> Weights:
        """Everything decided so far."""
        dates = np.array(sorted(self.decided), dtype="datetime64[D]")
        values = np.array([self.decided[day] for day in dates]).reshape(len(dates), len(self.scores.symbols))
        return Weights(dates, self.scores.symbols, values)


def plan(strategy: ScoreStrategy, equity_usd: float, *, progress: Callable[[int, int], None] | None = None) -> Weights:
    """Decide on every date without trading: what is held counts as the weights of the decision before."""
    count, held = len(strategy.panel.market.dates), np.zeros(len(strategy.scores.symbols))
    for session in range(count):
        found = strategy.decide(session, held, equity_usd)
        held = held if found is None else found
        if progress is not None:
            progress(session + 1, count)
    return strategy.weights


def planned(weights: Weights) -> Callable[[Market, Holdings], FloatArray | None]:
    """Return a strategy that trades weights decided before, whatever is held."""
    row = {day: at for at, day in enumerate(weights.dates)}
    return lambda market, holdings: weights.values[row[market.dates[-1]]] if market.dates[-1] in row else None


def _names(sectors: tuple[str, ...], codes: NDArray[np.int64]) -> tuple[str, ...] | None:
    """Return the sector of each symbol; None, which lifts the limit, when nobody knew any."""
    names = tuple(sectors[code] if code >= 0 else "" for code in codes.tolist())
    return names if any(names) else None
