"""The cost model: what a trade and a short position cost, part by part, in USD.

The same object prices a backtest, the optimiser's penalty and an estimate before an order is sent. Every part is kept
apart, so that a result can say what it paid for. Defaults: no commission, 5 basis points of spread on each traded
dollar, the square-root law of impact, 50 to 200 basis points a year to borrow.
"""

from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl.costs.impact import AlmgrenCoefficients, almgren_impact, power_law_impact
from trademl.costs.orders import Estimate, Orders
from trademl.errors import ConfigError

FloatArray = NDArray[np.float64]

_BPS = 1e-4


@dataclass(frozen=True)
class BorrowTier:
    """What borrowing costs for shares that trade at least ``min_day_value_usd`` a day."""

    min_day_value_usd: float
    bps_per_year: float


@dataclass(frozen=True)
class TradeCosts:
    """What trades cost in USD, each array of the trades' shape and not negative."""

    commission_usd: FloatArray
    spread_usd: FloatArray
    impact_usd: FloatArray
    auction_usd: FloatArray

    @property
    def total_usd(self) -> FloatArray:
        return self.commission_usd + self.spread_usd + self.impact_usd + self.auction_usd

    def by_part(self) -> dict[str, float]:
        """Return the sum of each part, by its name without the unit."""
        return {one.name.removesuffix("_usd"): float(np.sum(getattr(self, one.name))) for one in fields(self)}


@dataclass(frozen=True)
class PowerTerm:
    """A part of the impact as a function of an order's size: ``coefficient`` x |order in USD|^``exponent``, in USD.

    ``coefficient`` has one entry per symbol; the exponent is above 1, so a sum of such terms is convex.
    """

    coefficient: FloatArray
    exponent: float


@dataclass(frozen=True)
class CostModel:
    """Rates of every part of the cost.

    Attributes:
        commission_bps: of the traded value.
        commission_usd_per_share: beside it.
        spread_bps: paid on each traded dollar, one way: half the quoted spread where that is measured.
        impact: ``square_root`` is the law of impact_coefficient and impact_exponent; ``almgren_2005`` the permanent and
            temporary impact of Almgren, Thum, Hauptmann and Li (2005) with the coefficients ``almgren``.
        impact_coefficient: c of c x volatility x (trade / day's value)^exponent; 0: no impact.
        impact_exponent: 0.5 is the square-root law; 0.6 is the temporary part's in Almgren et al.
        almgren: gamma, eta, beta and delta of the paper.
        impact_duration_days: T of the paper: for how long an order is worked, in days of volume.
        days_to_turn_over: Theta / V of the paper: shares outstanding by a day's volume. The paper's own examples have
            263 (IBM) and 87 (DRI); the permanent part grows with its fourth root.
        auction_bps: slippage of what is traded in an auction.
        borrow: tiers in falling order of daily value; the last one holds for everything below.
        borrow_days_per_year: lenders count 360.
    """

    commission_bps: float = 0.0
    commission_usd_per_share: float = 0.0
    spread_bps: float = 5.0
    impact: Literal["square_root", "almgren_2005"] = "square_root"
    impact_coefficient: float = 1.0
    impact_exponent: float = 0.5
    almgren: AlmgrenCoefficients = field(default_factory=AlmgrenCoefficients)
    impact_duration_days: float = 1.0
    days_to_turn_over: float = 200.0
    auction_bps: float = 0.0
    borrow: tuple[BorrowTier, ...] = (BorrowTier(50e6, 50.0), BorrowTier(10e6, 100.0), BorrowTier(0.0, 200.0))
    borrow_days_per_year: int = 360

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, float) and not value >= 0:
                raise ConfigError(f"{one.name} is {value}", remedy="give a cost of 0 or more")
        if self.impact not in ("square_root", "almgren_2005"):
            raise ConfigError(f"impact is {self.impact!r}", remedy="give square_root or almgren_2005")
        for name in ("impact_duration_days", "days_to_turn_over"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}", remedy="give more than 0 days")
        limits = [tier.min_day_value_usd for tier in self.borrow]
        if not limits or limits[-1] != 0 or limits != sorted(limits, reverse=True):
            raise ConfigError(
                f"the borrow tiers begin at {limits} USD a day", remedy="order them downwards, the last one from 0"
            )

    def trade_costs(
        self,
        trade_value_usd: ArrayLike,
        day_value_usd: ArrayLike,
        day_volatility: ArrayLike,
        *,
        shares: ArrayLike = 0.0,
        spread_bps: ArrayLike | None = None,
        in_auction: ArrayLike = False,
    ) -> TradeCosts:
        """Price trades; arrays are broadcast against each other.

        Args:
            trade_value_usd: of each trade, signed; 0 costs nothing.
            day_value_usd: average traded value of a day; above 0 wherever there is a trade.
            day_volatility: of a day's return, as a fraction.
            shares: for commissions by the share, signed.
            spread_bps: measured, one way; NaN where it was not. None: the model's own.
            in_auction: which trades are in an auction.

        Raises:
            ConfigError: something is traded that has no daily value, or a volatility is negative or missing there.
        """
        value = np.abs(np.asarray(trade_value_usd, dtype=np.float64))
        value, day, volatility, count = np.broadcast_arrays(
            value,
            np.asarray(day_value_usd, dtype=np.float64),
            np.asarray(day_volatility, dtype=np.float64),
            np.abs(np.asarray(shares, dtype=np.float64)),
        )
        measured = np.asarray(self.spread_bps if spread_bps is None else spread_bps, dtype=np.float64)
        spread = np.where(np.isnan(measured), self.spread_bps, measured)
        traded = value > 0
        impact = np.zeros(value.shape)
        if bool(traded.any()):
            impact[traded] = self._impact(value[traded], day[traded], volatility[traded])
        return TradeCosts(
            commission_usd=value * self.commission_bps * _BPS
            + np.where(traded, count, 0) * self.commission_usd_per_share,
            spread_usd=value * spread * _BPS,
            impact_usd=value * impact,
            auction_usd=value * np.where(np.asarray(in_auction), self.auction_bps, 0.0) * _BPS,
        )

    def _impact(self, value: FloatArray, day: FloatArray, volatility: FloatArray) -> FloatArray:
        """What orders pay for moving the price, as fractions of their value; nothing is asked of a free market."""
        if self.impact == "almgren_2005":
            # Shares and their counts appear only as ratios, which are those of values at one price.
            outstanding = day * self.days_to_turn_over
            return almgren_impact(value, day, outstanding, volatility, self.impact_duration_days, self.almgren).cost
        if self.impact_coefficient == 0:
            return np.zeros(value.shape)
        return power_law_impact(
            value, day, volatility, coefficient=self.impact_coefficient, exponent=self.impact_exponent
        )

    def impact_terms(self, day_value_usd: ArrayLike, day_volatility: ArrayLike) -> tuple[PowerTerm, ...]:
        """Return the impact as a sum of powers of the order's size: what an optimiser needs of it.

        Raises:
            ConfigError: a daily value is not above 0, or a volatility is negative or missing.
        """
        one = np.ones(np.shape(day_value_usd))
        day, volatility = np.asarray(day_value_usd, dtype=np.float64), np.asarray(day_volatility, dtype=np.float64)
        # Priced at one dollar, the fraction of the value is the coefficient itself.
        if self.impact == "square_root":
            return (PowerTerm(self._impact(one, day, volatility), 1 + self.impact_exponent),)
        outstanding = day * self.days_to_turn_over
        parts = almgren_impact(one, day, outstanding, volatility, self.impact_duration_days, self.almgren)
        return PowerTerm(parts.permanent / 2, 2.0), PowerTerm(parts.temporary, 1 + self.almgren.beta)

    def rate_bps(
        self, price_usd: ArrayLike | None = None, spread_bps: ArrayLike | None = None, *, in_auction: bool = False
    ) -> FloatArray:
        """Return what each traded dollar costs whatever the order's size: commission, spread and auction slippage.

        Args:
            price_usd: of a share, for commissions by the share; None: those are left out.
            spread_bps: measured, one way, NaN where it was not; None: the model's own.
            in_auction: whether the order is filled in an auction.
        """
        measured = np.asarray(self.spread_bps if spread_bps is None else spread_bps, dtype=np.float64)
        rate = self.commission_bps + np.where(np.isnan(measured), self.spread_bps, measured)
        if price_usd is not None:
            rate = rate + self.commission_usd_per_share / np.asarray(price_usd, dtype=np.float64) / _BPS
        return np.asarray(rate + (self.auction_bps if in_auction else 0.0), dtype=np.float64)

    def estimate(self, orders: Orders, *, borrow_days: float = 1.0) -> Estimate:
        """Price orders before they are sent, and the borrowing of what is short after them.

        Raises:
            ConfigError: something is traded that has no daily value, or a volatility is negative or missing there.
        """
        parts = self.trade_costs(
            orders.value_usd,
            orders.day_value_usd,
            orders.day_volatility,
            shares=orders.shares,
            spread_bps=orders.spread_bps,
            in_auction=orders.in_auction,
        )
        held = np.zeros(len(orders.symbols)) if orders.position_usd is None else orders.position_usd
        return Estimate(
            symbols=orders.symbols,
            value_usd=orders.value_usd,
            commission_usd=parts.commission_usd,
            spread_usd=parts.spread_usd,
            impact_usd=parts.impact_usd,
            auction_usd=parts.auction_usd,
            borrow_usd=self.borrow_cost_usd(held, orders.day_value_usd, borrow_days),
            borrow_days=borrow_days,
        )

    def borrow_bps_per_year(self, day_value_usd: ArrayLike) -> FloatArray:
        """Return the rate of each share's tier; a missing daily value has the last one's."""
        day = np.asarray(day_value_usd, dtype=np.float64)
        conditions = [day >= tier.min_day_value_usd for tier in self.borrow]
        return np.select(
            conditions, [np.float64(tier.bps_per_year) for tier in self.borrow], self.borrow[-1].bps_per_year
        )

    def borrow_cost_usd(self, position_value_usd: ArrayLike, day_value_usd: ArrayLike, days: float) -> FloatArray:
        """Return what short positions (negative values) cost over ``days`` calendar days; long ones cost nothing."""
        short = np.maximum(-np.asarray(position_value_usd, dtype=np.float64), 0.0)
        rate = self.borrow_bps_per_year(day_value_usd) * _BPS
        return np.asarray(short * rate * days / self.borrow_days_per_year, dtype=np.float64)
