"""The market that a backtest runs in: daily bars as traded, and what was known of each at its close."""

import copy
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Market:
    """Bars of a panel; arrays have the shape (sessions, symbols), prices and shares as they were traded on the day.

    Attributes:
        dates: the sessions, ascending, datetime64[D].
        symbols: distinct names.
        open_price, close_price: USD; NaN where the symbol had no bar: it cannot be traded on that session.
        volume: shares; 0 or NaN cannot be traded either.
        split: new shares for an old one, in force from the open; 1 on other days.
        dividend: USD a share, on the shares after the split, to who held at the last close.
        day_value: average daily traded value in USD as known at the close; what costs of a trade are estimated from.
        volatility: of a day's return as known at the close.
        delisted: whether it is known at the close that the listing has ended.
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    open_price: FloatArray
    close_price: FloatArray
    volume: FloatArray
    split: FloatArray
    dividend: FloatArray
    day_value: FloatArray
    volatility: FloatArray
    delisted: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.dates), len(self.symbols))
        for one in fields(self)[2:]:
            found = getattr(self, one.name).shape
            if found != shape:
                raise ConfigError(
                    f"{one.name} has the shape {found}; {shape[0]} sessions and {shape[1]} symbols were given",
                    remedy="give one row for each session and one column for each symbol",
                )
        if len(set(self.symbols)) != len(self.symbols):
            raise ConfigError("a symbol is there twice", remedy="give each symbol one column")
        if bool(np.any(np.diff(self.dates) <= np.timedelta64(0, "D"))):
            raise ConfigError("dates do not ascend", remedy="sort the sessions, each once")
        if not bool(np.all(self.split > 0)):
            raise ConfigError("a split is not above 0", remedy="give 1 on days without one")
        if not bool(np.all(np.isfinite(self.dividend) & (self.dividend >= 0))):
            raise ConfigError("a dividend is missing or negative", remedy="give 0 on days without one")

    def until(self, session: int) -> "Market":
        """Return what was known at the close of a session: its bars and those before, without copying them."""
        view = copy.copy(self)
        # Checked once, as a whole: a view of it needs no second look.
        object.__setattr__(view, "dates", self.dates[: session + 1])
        for one in fields(self)[2:]:
            object.__setattr__(view, one.name, getattr(self, one.name)[: session + 1])
        return view
