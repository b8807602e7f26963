"""How to work an order through time: Almgren-Chriss trajectories, their frontier, TWAP and VWAP slices.

Source: Almgren & Chriss, "Optimal Execution of Portfolio Transactions" (2000) [AC]. Selling X shares in N intervals of
length tau costs on average E and varies by V; for a risk aversion lambda the trajectory that minimises E + lambda V is
a hyperbolic sine (their equations 16 to 20).
"""

from dataclasses import dataclass
from math import acosh, inf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl.errors import ConfigError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MarketModel:
    """What [AC] need to know of a market, per share, in the money of the price.

    Attributes:
        volatility: sigma, of the price in a day, in money (not a fraction).
        half_spread: epsilon, the fixed cost of a share.
        permanent: gamma, by which each share sold lowers the price for good.
        temporary: eta, by which selling one share a day lowers the price while it lasts.
    """

    volatility: float
    half_spread: float
    permanent: float
    temporary: float


def market_of_day(price: float, day_volatility: float, day_volume: float, spread: float) -> MarketModel:
    """Return the market model of a share by the rules of thumb of [AC], section 4.1.

    Trading a hundredth of a day's volume in a day moves the price by one spread while it lasts; selling a tenth of it
    moves it by one spread for good. The paper's example (50 USD, 5 million shares a day, a spread of 1/8) gives its
    eta of 2.5e-6 and its gamma of 2.5e-7.

    Args:
        price: of a share.
        day_volatility: of a day's return, as a fraction.
        day_volume: shares.
        spread: between bid and ask, in the money of the price.

    Raises:
        ConfigError: a price, volume or spread is not above 0, or the volatility is negative.
    """
    _require(
        price > 0 and day_volume > 0 and spread > 0 and day_volatility >= 0,
        f"a price of {price}, a volume of {day_volume}, a spread of {spread} and a volatility of {day_volatility}",
    )
    return MarketModel(
        volatility=day_volatility * price,
        half_spread=spread / 2,
        permanent=spread / (0.1 * day_volume),
        temporary=spread / (0.01 * day_volume),
    )


@dataclass(frozen=True)
class Trajectory:
    """A schedule and what it costs; money, shares and days as given.

    ``holdings`` (N + 1) run from the whole order to 0, ``trades`` (N) are their differences. ``kappa`` is the rate of
    decay per day and ``half_life`` 1 / kappa, infinite for equal slices.
    """

    holdings: FloatArray
    trades: FloatArray
    kappa: float
    expected_cost: float
    variance: float
    risk_aversion: float

    @property
    def half_life(self) -> float:
        return 1 / self.kappa if self.kappa > 0 else inf

    @property
    def deviation(self) -> float:
        """The standard deviation of the cost."""
        return sqrt(self.variance)

    @property
    def utility(self) -> float:
        """E + lambda V, what the trajectory minimises."""
        return self.expected_cost + self.risk_aversion * self.variance

    def value_at_risk(self, confidence: float = 0.95) -> float:
        """Return the cost that is exceeded with the probability 1 - confidence."""
        return self.expected_cost + NormalDist().inv_cdf(confidence) * self.deviation


def optimal_trajectory(
    shares: float, days: float, intervals: int, market: MarketModel, risk_aversion: float
) -> Trajectory:
    """Return the trajectory that minimises expected cost plus ``risk_aversion`` times its variance.

    Args:
        shares: X, above 0; a purchase has the same schedule.
        days: T, the time for the whole order.
        intervals: N.
        market: the cost of trading.
        risk_aversion: lambda, per unit of money; 0 gives equal slices.

    Raises:
        ConfigError: a size is not above 0, lambda is negative, or an interval is so long that the permanent impact eats
            the temporary one (eta <= gamma tau / 2), for which the problem has no solution.
    """
    _require(shares > 0 and days > 0 and intervals >= 1, f"{shares} shares in {intervals} intervals of {days} days")
    _require(risk_aversion >= 0, f"a risk aversion of {risk_aversion}")
    tau = days / intervals
    eta = _effective_temporary(market, tau)
    # Twice the decay in an interval, in the form that keeps its digits for a small lambda.
    decay = acosh(1 + risk_aversion * market.volatility**2 * tau**2 / (2 * eta))
    left = np.arange(intervals, -1, -1, dtype=np.float64)
    if decay * intervals < 1e-8:
        holdings = shares * left / intervals
    else:
        # sinh(a) / sinh(b) for large arguments, where sinh itself would overflow.
        holdings = shares * np.exp(decay * (left - intervals)) * -np.expm1(-2 * decay * left)
        holdings /= -np.expm1(-2 * decay * intervals)
    holdings[0], holdings[-1] = shares, 0.0
    return cost_of(holdings, days, market, risk_aversion, kappa=decay / tau)


def cost_of(
    holdings: ArrayLike, days: float, market: MarketModel, risk_aversion: float = 0.0, kappa: float = 0.0
) -> Trajectory:
    """Return what any schedule costs: E and V of [AC], equations 7 and 8. ``holdings`` begin with the whole order."""
    held = np.asarray(holdings, dtype=np.float64)
    _require(
        held.ndim == 1 and len(held) >= 2 and held[-1] == 0, f"holdings of shape {held.shape} that do not end in 0"
    )
    tau = days / (len(held) - 1)
    trades = -np.diff(held)
    eta = market.temporary - market.permanent * tau / 2
    expected = market.permanent * held[0] ** 2 / 2
    expected += market.half_spread * float(np.abs(trades).sum()) + eta / tau * float((trades**2).sum())
    variance = market.volatility**2 * tau * float((held[1:] ** 2).sum())
    return Trajectory(held, trades, kappa, float(expected), variance, risk_aversion)


def efficient_frontier(
    shares: float, days: float, intervals: int, market: MarketModel, risk_aversions: ArrayLike
) -> list[Trajectory]:
    """Return the optimal trajectory of each risk aversion: no other schedule has a lower cost at the same variance."""
    given = np.asarray(risk_aversions, dtype=np.float64)
    return [optimal_trajectory(shares, days, intervals, market, float(one)) for one in given]


def twap_slices(shares: int, intervals: int) -> NDArray[np.int64]:
    """Return whole shares for each interval, as equal as they can be and of one sign; they add up to ``shares``."""
    _require(intervals >= 1, f"{intervals} intervals")
    ends = np.arange(intervals + 1, dtype=np.int64) * abs(shares) // intervals
    return np.asarray(np.sign(shares) * np.diff(ends), dtype=np.int64)


def vwap_slices(shares: int, volume_profile: ArrayLike) -> NDArray[np.int64]:
    """Return whole shares for each interval in proportion to the volume expected there; they add up to ``shares``.

    Raises:
        ConfigError: an expected volume is negative or missing, or all are 0.
    """
    profile = np.asarray(volume_profile, dtype=np.float64)
    fine = profile.ndim == 1 and len(profile) > 0 and bool(np.all(profile >= 0)) and float(profile.sum()) > 0
    _require(fine, f"a volume profile of shape {profile.shape} with negative, missing or only zero volumes")
    ends = np.floor(np.concatenate([[0.0], np.cumsum(profile)]) / profile.sum() * abs(shares) + 0.5).astype(np.int64)
    ends[-1] = abs(shares)
    return np.asarray(np.sign(shares) * np.diff(ends), dtype=np.int64)


def capped_by_participation(slices: ArrayLike, volume: ArrayLike, limit: float) -> tuple[NDArray[np.int64], int]:
    """Return slices of at most ``limit`` (a fraction) of each interval's volume, and the shares that were not placed.

    What a slice cannot take waits for the next interval with room.

    Raises:
        ConfigError: the limit is not within (0, 1], or slices and volumes are not equally many.
    """
    _require(0 < limit <= 1, f"a participation limit of {limit}")
    wanted, traded = np.asarray(slices, dtype=np.int64), np.asarray(volume, dtype=np.float64)
    _require(wanted.shape == traded.shape, f"{wanted.shape} slices for {traded.shape} volumes")
    placed = np.zeros_like(wanted)
    waiting = 0
    for at, (one, room) in enumerate(zip(wanted.tolist(), np.floor(traded * limit).astype(int).tolist(), strict=True)):
        waiting += one
        placed[at] = max(-room, min(room, waiting))
        waiting -= int(placed[at])
    return placed, waiting


def _effective_temporary(market: MarketModel, tau: float) -> float:
    eta = market.temporary - market.permanent * tau / 2
    if eta <= 0:
        raise ConfigError(
            f"a temporary impact of {market.temporary} is not above half the permanent impact of an interval, "
            f"{market.permanent * tau / 2}",
            remedy="use more intervals, or estimate the impact again",
        )
    return eta


def _require(fine: bool, what: str) -> None:
    if not fine:
        raise ConfigError(f"no schedule can be made for {what}", remedy="give sizes and times above 0")
