"""configs/execution.yml: what trading costs, how orders are worked, what halts them, and who the broker is."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.costs.impact import AlmgrenCoefficients
from trademl.costs.model import BorrowTier, CostModel

EXECUTION_FILE = "execution.yml"

OrderType = Literal["market_open", "twap", "vwap", "almgren_chriss"]


class AlmgrenConfig(Section):
    """The coefficients of Almgren, Thum, Hauptmann and Li (2005), equations 11 and 12; the defaults are theirs."""

    gamma: float = Field(default=0.314, ge=0)
    eta: float = Field(default=0.142, ge=0)
    beta: float = Field(default=0.6, gt=0, le=2)
    delta: float = Field(default=0.25, ge=0, le=2)


class BorrowConfig(Section):
    """What borrowing costs a year for shares that trade at least so much a day."""

    min_day_value_usd: float = Field(ge=0)
    bps_per_year: float = Field(ge=0, le=10_000)


class CostConfig(Section):
    """The rates of :class:`trademl.costs.model.CostModel`, under the same names."""

    commission_bps: float = Field(default=0.0, ge=0)
    commission_usd_per_share: float = Field(default=0.0, ge=0)
    spread_bps: float = Field(default=5.0, ge=0)
    impact: Literal["square_root", "almgren_2005"] = "square_root"
    impact_coefficient: float = Field(default=1.0, ge=0)
    impact_exponent: float = Field(default=0.5, gt=0, le=2)
    almgren: AlmgrenConfig = AlmgrenConfig()
    impact_duration_days: float = Field(default=1.0, gt=0)
    days_to_turn_over: float = Field(default=200.0, gt=0)
    auction_bps: float = Field(default=0.0, ge=0)
    borrow: tuple[BorrowConfig, ...] = (
        BorrowConfig(min_day_value_usd=50e6, bps_per_year=50.0),
        BorrowConfig(min_day_value_usd=10e6, bps_per_year=100.0),
        BorrowConfig(min_day_value_usd=0.0, bps_per_year=200.0),
    )
    borrow_days_per_year: int = Field(default=360, ge=360, le=366)

    @field_validator("borrow")
    @classmethod
    def _falling(cls, value: tuple[BorrowConfig, ...]) -> tuple[BorrowConfig, ...]:
        limits = [tier.min_day_value_usd for tier in value]
        if not limits or limits[-1] != 0 or limits != sorted(set(limits), reverse=True):
            raise ValueError(f"the tiers begin at {limits} USD a day; order them downwards, the last one from 0")
        return value


class OrderConfig(Section):
    """How target weights become orders, and how these are worked.

    Attributes:
        type: one order at the open; slices of equal size; slices by expected volume; or the trajectory of Almgren and
            Chriss for ``risk_aversion``.
        slices: of a day's order; market_open has one.
        max_participation: share of the volume that an order, or a slice in its time, may be.
        risk_aversion: lambda of Almgren and Chriss, per USD.
        min_order_usd: smaller changes are not worth an order; a position that is to be closed is closed.
        whole_shares: whether fractions of a share are left out.
    """

    type: OrderType = "market_open"
    slices: int = Field(default=1, ge=1, le=390)
    max_participation: float = Field(default=0.1, gt=0, le=1)
    risk_aversion: float = Field(default=1e-6, ge=0)
    min_order_usd: float = Field(default=100.0, ge=0)
    whole_shares: bool = True

    @model_validator(mode="after")
    def _one_slice(self) -> "OrderConfig":
        if self.type == "market_open" and self.slices != 1:
            raise ValueError(f"slices is {self.slices} with type market_open, which has one; write 1 or another type")
        return self


class TripwireConfig(Section):
    """What halts trading before an order is sent.

    Attributes:
        max_turnover: sum of the absolute changes of weights on one date, by equity.
        max_feature_psi, max_prediction_psi: population stability index of today's features and scores.
        max_model_age_days: calendar days since the end of the model's training data.
        max_prediction_age_sessions: sessions since the predictions' own.
        max_position: absolute weight of a symbol after the orders.
        max_gross: sum of the absolute weights after the orders.
        max_order_usd: value of one order.
        max_daily_loss: of equity since the last session's close, as a fraction.
        max_drawdown: of equity since its highest close, as a fraction.
        max_unexplained_usd: of the reconciliation with the broker, for all positions and cash together.
    """

    max_turnover: float = Field(default=2.0, gt=0, le=20)
    max_feature_psi: float = Field(default=0.5, gt=0, le=100)
    max_prediction_psi: float = Field(default=0.5, gt=0, le=100)
    max_model_age_days: int = Field(default=120, ge=1, le=3660)
    max_prediction_age_sessions: int = Field(default=0, ge=0, le=20)
    max_position: float = Field(default=0.06, gt=0, le=1)
    max_gross: float = Field(default=1.1, gt=0, le=10)
    max_order_usd: float = Field(default=250_000.0, gt=0)
    max_daily_loss: float = Field(default=0.03, gt=0, le=1)
    max_drawdown: float = Field(default=0.2, gt=0, le=1)
    max_unexplained_usd: float = Field(default=1.0, ge=0)


class BrokerConfig(Section):
    """Who takes the orders. Keys are read from the environment only, never from a file.

    Attributes:
        name: ``simulated`` fills at given prices with the costs above; ``alpaca`` sends orders.
        mode: ``live`` trades money, and needs ``live_account`` too.
        live_account: number of the one account that may be traded with money.
        timeout_seconds: of one request.
    """

    name: Literal["simulated", "alpaca"] = "simulated"
    mode: Literal["paper", "live"] = "paper"
    live_account: str | None = Field(default=None, min_length=1, max_length=64)
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)

    @model_validator(mode="after")
    def _both(self) -> "BrokerConfig":
        if self.mode == "live" and self.live_account is None:
            raise ValueError("mode is live, and live_account names no account; give its number, or write mode: paper")
        return self


class ExecutionConfig(Section):
    """The whole file; ``rates`` are its section ``costs``."""

    rates: CostConfig = Field(default=CostConfig(), alias="costs")
    orders: OrderConfig = OrderConfig()
    tripwires: TripwireConfig = TripwireConfig()
    broker: BrokerConfig = BrokerConfig()

    @field_validator("rates", "orders", "tripwires", "broker", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value

    def costs(self) -> CostModel:
        """Return the cost model of the file's rates."""
        given = {name: getattr(self.rates, name) for name in CostConfig.model_fields}
        given["almgren"] = AlmgrenCoefficients(**self.rates.almgren.model_dump())
        given["borrow"] = tuple(BorrowTier(**tier.model_dump()) for tier in self.rates.borrow)
        return CostModel(**given)


def read_execution(home: Home, path: Path | None = None) -> ExecutionConfig:
    """Return configs/execution.yml of a home, or another file; a home without that file has the defaults.

    Raises:
        ConfigError: the file named is missing, a field is unknown or has a wrong value.
    """
    if path is not None:
        return load_section(path, ExecutionConfig)
    usual = home.configs / EXECUTION_FILE
    return load_section(usual, ExecutionConfig) if usual.is_file() else ExecutionConfig()
