"""Orders to be priced before they are sent, and what they are expected to cost."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError

FloatArray = NDArray[np.float64]

_BPS = 1e-4


@dataclass(frozen=True)
class Orders:
    """Orders of one date, one entry per symbol, all of the same length.

    Attributes:
        symbols: names.
        value_usd: to be bought (positive) and sold.
        day_value_usd: average traded value of a day.
        day_volatility: of a day's return, as a fraction.
        price_usd: of a share, for commissions by the share; None: they cost nothing.
        position_usd: what is held after the order, negative for short; None: nothing is borrowed.
        spread_bps: measured, one way, NaN where it was not; None: the model's own.
        in_auction: whether all are filled in an auction.
    """

    symbols: tuple[str, ...]
    value_usd: FloatArray
    day_value_usd: FloatArray
    day_volatility: FloatArray
    price_usd: FloatArray | None = None
    position_usd: FloatArray | None = None
    spread_bps: FloatArray | None = None
    in_auction: bool = False

    def __post_init__(self) -> None:
        for one in fields(self):
            values = getattr(self, one.name)
            if isinstance(values, np.ndarray) and values.shape != (len(self.symbols),):
                raise ConfigError(
                    f"{one.name} has the shape {values.shape} for {len(self.symbols)} orders",
                    remedy="give one number for each order",
                )

    @property
    def shares(self) -> FloatArray:
        """How many shares each order is of; 0 where prices were not given."""
        if self.price_usd is None:
            return np.zeros(len(self.symbols))
        return np.divide(self.value_usd, self.price_usd, out=np.zeros(len(self.symbols)), where=self.price_usd > 0)


@dataclass(frozen=True)
class Estimate:
    """What orders are expected to cost in USD, part by part, one entry per order.

    ``borrow_usd`` is what short positions cost over ``borrow_days`` calendar days after the orders, and no cost of
    trading: ``total_usd`` is without it.
    """

    symbols: tuple[str, ...]
    value_usd: FloatArray
    commission_usd: FloatArray
    spread_usd: FloatArray
    impact_usd: FloatArray
    auction_usd: FloatArray
    borrow_usd: FloatArray
    borrow_days: float

    @property
    def total_usd(self) -> FloatArray:
        """The cost of trading each order."""
        return self.commission_usd + self.spread_usd + self.impact_usd + self.auction_usd

    @property
    def bps(self) -> FloatArray:
        """The cost of trading as basis points of each order's value; 0 where nothing is traded."""
        size = np.abs(self.value_usd)
        return np.divide(self.total_usd, size * _BPS, out=np.zeros(len(size)), where=size > 0)

    def by_part(self) -> dict[str, float]:
        """Return the sum of each part in USD, by its name without the unit."""
        parts = ("commission_usd", "spread_usd", "impact_usd", "auction_usd", "borrow_usd")
        return {name.removesuffix("_usd"): float(getattr(self, name).sum()) for name in parts}
