"""What a set of weights is worth: forecast return less risk less costs over a horizon, each a share of equity.

The convex optimiser maximises this sum, the ranked policy does not, and both can be judged by it. Costs are those of
:class:`trademl.costs.model.CostModel`, the object that prices backtests and orders.
"""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from trademl.costs.model import CostModel, PowerTerm
from trademl.errors import ConfigError
from trademl.portfolio.build import Candidates, PortfolioConfig, correlation_of, standardised_ranks

FloatArray = NDArray[np.float64]

SESSIONS_PER_YEAR = 252
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class TradingMarket:
    """What trading depends on besides weights; arrays have one entry per candidate.

    Attributes:
        equity_usd: what the weights are shares of; impact grows with it.
        day_value_usd: average traded value of a day; NaN where it is not known: no impact is estimated.
        price_usd: of a share, for commissions by the share; None: they cost nothing.
        spread_bps: measured, one way, NaN where it was not; None: the model's own.
        costs: the cost model.
    """

    equity_usd: float
    day_value_usd: FloatArray
    price_usd: FloatArray | None = None
    spread_bps: FloatArray | None = None
    costs: CostModel = field(default_factory=CostModel)


@dataclass(frozen=True)
class Utility:
    """Parts of what weights are worth over the horizon, as shares of equity.

    ``risk`` is half of lambda times the variance; ``trading`` and ``borrow`` are costs before their aversion.
    """

    forecast: float
    risk: float
    trading: float
    borrow: float
    cost_aversion: float

    @property
    def total(self) -> float:
        """The forecast less everything else: what the convex optimiser makes as large as it can be."""
        return self.forecast - self.risk - self.cost_aversion * (self.trading + self.borrow)


@dataclass(frozen=True)
class Problem:
    """The numbers of the optimisation, one entry per candidate; per horizon and as shares of equity.

    Attributes:
        forecast: alpha, expected return of a weight of 1.
        deviation: sigma, of the return over the horizon.
        correlation: rho, of any two returns.
        risk_aversion: lambda.
        rate: linear cost of a change of weight of 1.
        powers: cost of a change of weight d as coefficient x |d|^exponent.
        borrow: cost of a short weight of 1.
        held: weights before.
    """

    forecast: FloatArray
    deviation: FloatArray
    correlation: float
    risk_aversion: float
    rate: FloatArray
    powers: tuple[PowerTerm, ...]
    borrow: FloatArray
    held: FloatArray
    cost_aversion: float

    def utility(self, weights: FloatArray) -> Utility:
        """Return what weights are worth."""
        risk = weights * self.deviation
        variance = (1 - self.correlation) * float(risk @ risk) + self.correlation * float(risk.sum()) ** 2
        change = np.abs(weights - self.held)
        trading = float(self.rate @ change)
        trading += sum(float(power.coefficient @ change**power.exponent) for power in self.powers)
        return Utility(
            forecast=float(self.forecast @ weights),
            risk=self.risk_aversion / 2 * variance,
            trading=trading,
            borrow=float(self.borrow @ np.maximum(-weights, 0.0)),
            cost_aversion=self.cost_aversion,
        )

    def only(self, rows: NDArray[np.bool_]) -> "Problem":
        """Return the same of some candidates."""
        return Problem(
            self.forecast[rows],
            self.deviation[rows],
            self.correlation,
            self.risk_aversion,
            self.rate[rows],
            tuple(PowerTerm(power.coefficient[rows], power.exponent) for power in self.powers),
            self.borrow[rows],
            self.held[rows],
            self.cost_aversion,
        )


def problem_of(candidates: Candidates, config: PortfolioConfig, market: TradingMarket, confidence: float) -> Problem:
    """Turn candidates, settings and costs into the numbers of the optimisation.

    A standardised rank z forecasts ``confidence x information_coefficient x volatility over the horizon x z``. Half of
    the bet that grows fastest is the one of twice the risk aversion, so ``kelly_fraction`` divides it.

    Raises:
        ConfigError: no volatility is forecast, or the market does not fit the candidates.
    """
    if candidates.volatility is None:
        raise ConfigError(
            "the convex optimiser weighs risk, and no volatility is forecast",
            remedy="give the candidates' volatility, or use the ranked optimiser",
        )
    count = len(candidates.symbols)
    for name in ("day_value_usd", "price_usd", "spread_bps"):
        values = getattr(market, name)
        if values is not None and values.shape != (count,):
            raise ConfigError(f"{name} has the shape {values.shape} for {count} symbols", remedy="give one for each")
    if not market.equity_usd > 0:
        raise ConfigError(f"an equity of {market.equity_usd} USD", remedy="give more than 0")
    settings, costs = config.convex, market.costs
    deviation = candidates.volatility * sqrt(settings.horizon_sessions / SESSIONS_PER_YEAR)
    known = market.day_value_usd > 0
    day = np.where(known, market.day_value_usd, 1.0)
    terms = costs.impact_terms(day, candidates.volatility / sqrt(SESSIONS_PER_YEAR))
    # A change d of weight is d x equity USD; its cost in USD is divided by the equity again.
    powers = tuple(
        PowerTerm(np.where(known, term.coefficient, 0.0) * market.equity_usd ** (term.exponent - 1), term.exponent)
        for term in terms
        if term.coefficient.any()
    )
    days = settings.horizon_sessions * DAYS_PER_YEAR / SESSIONS_PER_YEAR
    rate = costs.rate_bps(market.price_usd, market.spread_bps) * 1e-4
    return Problem(
        forecast=confidence * settings.information_coefficient * deviation * standardised_ranks(candidates.scores),
        deviation=deviation,
        correlation=correlation_of(candidates, config),
        risk_aversion=settings.risk_aversion / config.kelly_fraction,
        rate=np.broadcast_to(rate, (count,)).astype(np.float64),
        powers=powers,
        borrow=costs.borrow_cost_usd(-np.ones(count), market.day_value_usd, days),
        held=np.zeros(count) if candidates.held is None else candidates.held,
        cost_aversion=settings.cost_aversion,
    )
