"""Parameters of a simulated market."""

from datetime import date

from pydantic import Field, model_validator

from trademl.config.reading import Section

FEATURE_WINDOW = 60
"""Sessions of history behind the planted signal's two features (``momentum_60d``, ``realised_volatility_60d``)."""

SECTORS = (
    "Technology",
    "Financials",
    "Health Care",
    "Industrials",
    "Consumer Discretionary",
    "Consumer Staples",
    "Energy",
    "Materials",
    "Utilities",
    "Real Estate",
    "Communication Services",
)


class SimulationConfig(Section):
    """What to simulate. Volatilities are standard deviations of daily log returns; rates are per year.

    ``planted_ic`` is the population mean rank IC between the planted signal at a session's close and the total return
    from the next open to the close ``label_horizon`` sessions after the decision. Zero plants nothing: no function of
    the past then predicts the cross-section of returns.
    """

    symbols: int = Field(200, ge=10, le=20_000)
    sessions: int = Field(1260, ge=FEATURE_WINDOW + 40, le=20_000)
    start: date = date(2015, 1, 2)
    seed: int = Field(7, ge=0)
    planted_ic: float = Field(0.05, ge=0.0, le=0.3)
    label_horizon: int = Field(5, ge=1, le=20)
    momentum_weight: float = Field(1.0, ge=-1.0, le=1.0)
    volatility_weight: float = Field(0.0, ge=-1.0, le=1.0)
    calendar: str = "XNYS"

    market_volatility: float = Field(0.009, gt=0.0, le=0.05)
    sector_volatility: float = Field(0.004, ge=0.0, le=0.05)
    idiosyncratic_volatility: float = Field(0.015, gt=0.0, le=0.05)
    tail_degrees: float = Field(6.0, gt=2.0, le=100.0)
    overnight_share: float = Field(0.25, gt=0.0, lt=1.0)

    late_listing_share: float = Field(0.12, ge=0.0, le=0.9)
    delisting_rate: float = Field(0.02, ge=0.0, le=0.5)
    membership_turnover: float = Field(0.05, ge=0.0, le=1.0)
    dividend_payers: float = Field(0.6, ge=0.0, le=1.0)
    missing_rate: float = Field(0.0005, ge=0.0, le=0.05)
    corrections: int = Field(20, ge=0, le=10_000)

    @model_validator(mode="after")
    def _some_signal(self) -> "SimulationConfig":
        if self.momentum_weight == 0.0 and self.volatility_weight == 0.0:
            raise ValueError("momentum_weight and volatility_weight are both 0: there is no signal to plant")
        return self
