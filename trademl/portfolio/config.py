"""configs/portfolio.yml: the limits of a portfolio, how its weights are found, and which symbols may be in it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section

PORTFOLIO_FILE = "portfolio.yml"

Share = Annotated[float, Field(ge=0, le=1)]


class ConvexConfig(Section):
    """What the convex optimiser weighs against each other.

    Attributes:
        information_coefficient: the correlation that is expected between scores and returns over the horizon. It
            turns a score into a forecast: coefficient x volatility over the horizon x standardised score (Grinold,
            "Alpha is Volatility times IC times Score", 1994).
        horizon_sessions: over which the forecast holds, and within which it must earn the cost of trading.
        risk_aversion: lambda of return - lambda / 2 x variance.
        cost_aversion: multiplies the cost of trading and of borrowing; 1 takes costs for what they are.
    """

    information_coefficient: float = Field(default=0.02, gt=0, le=1)
    horizon_sessions: int = Field(default=5, ge=1, le=252)
    risk_aversion: float = Field(default=1.0, gt=0, le=1000)
    cost_aversion: float = Field(default=1.0, ge=0, le=100)


class UniverseConfig(Section):
    """Which symbols may be traded, judged on what was known at the close of the date.

    Attributes:
        members_only: only members of the index on that day.
        min_price_usd: the last close, as traded.
        min_day_value_usd: median traded value of a session of the window; sessions without a bar count 0.
        window_sessions: how many sessions the medians are over.
        min_history_sessions: sessions with a bar since the listing began.
        min_present: share of the window's sessions that must have a bar.
        max_names: the most liquid ones; None: all.
    """

    members_only: bool = True
    min_price_usd: float = Field(default=5.0, ge=0)
    min_day_value_usd: float = Field(default=5e6, ge=0)
    window_sessions: int = Field(default=60, ge=5, le=252)
    min_history_sessions: int = Field(default=126, ge=0, le=2520)
    min_present: Share = 0.95
    max_names: int | None = Field(default=500, ge=1)


class PortfolioConfig(Section):
    """The limits of a portfolio and the way to its weights; weights are shares of equity.

    Attributes:
        side: whether anything may be sold short.
        max_name: largest absolute weight of a symbol.
        gross: sum of absolute weights, at most.
        max_net: absolute sum of weights, at most; long-only portfolios may be net what they are gross.
        max_sector: absolute sum of the weights of a sector, at most.
        max_turnover: sum of the absolute changes of weights on one date, at most.
        kelly_fraction: of the bet that grows fastest.
        target_volatility: a year, at most; None: no target.
        correlation: assumed between any two symbols where a portfolio's volatility is forecast.
        confidence: in the scores, from 0 to 1, and scales every weight; ``measured`` takes it from the evidence of the
            model's out-of-fold returns.
        volatility_sessions: window of the volatility forecast, a column of ``gold.equities_features``.
        equity_usd: what is invested where no account says.
        optimiser: ``ranked`` is the fixed policy, ``convex`` weighs forecast, risk and costs.
        convex: settings of the latter.
        universe: settings of ``trademl universe build``.
    """

    side: Literal["long_short", "long_only"] = "long_short"
    max_name: float = Field(default=0.05, gt=0, le=1)
    gross: float = Field(default=1.0, gt=0, le=10)
    max_net: float = Field(default=0.1, ge=0, le=10)
    max_sector: float = Field(default=0.25, gt=0, le=10)
    max_turnover: float = Field(default=2.0, gt=0, le=20)
    kelly_fraction: float = Field(default=1.0, ge=0.5, le=1)
    target_volatility: float | None = Field(default=None, gt=0, le=2)
    correlation: float = Field(default=0.2, ge=0, lt=1)
    confidence: Share | Literal["measured"] = 1.0
    volatility_sessions: Literal[20, 60] = 60
    equity_usd: float = Field(default=1_000_000.0, gt=0)
    optimiser: Literal["ranked", "convex"] = "ranked"
    convex: ConvexConfig = ConvexConfig()
    universe: UniverseConfig = UniverseConfig()

    @field_validator("convex", "universe", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return {} if value is None else value

    @property
    def net_limit(self) -> float:
        """The net exposure that is allowed: all of the gross one where nothing is sold short."""
        return self.gross if self.side == "long_only" else self.max_net


def read_portfolio(home: Home, path: Path | None = None) -> PortfolioConfig:
    """Return configs/portfolio.yml of a home, or another file; a home without that file has the defaults.

    Raises:
        ConfigError: the file named is missing, a field is unknown or has a wrong value.
    """
    if path is not None:
        return load_section(path, PortfolioConfig)
    usual = home.configs / PORTFOLIO_FILE
    return load_section(usual, PortfolioConfig) if usual.is_file() else PortfolioConfig()
