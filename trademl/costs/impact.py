"""How far an order moves the price against itself, as a fraction of the price.

Two models. Almgren, Thum, Hauptmann and Li, "Direct Estimation of Equity Market Impact" (2005) [ATHL], fitted to 30,000
orders of US stocks: a permanent part that stays and a temporary one that depends on how fast the order is worked. The
square-root law (Barra 1997; Toth et al. 2011, "Anomalous price impact and the critical nature of liquidity in
financial markets"): volatility times the root of the order's share of a day's volume, whatever the duration.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trademl.errors import ConfigError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class AlmgrenCoefficients:
    """gamma, eta, beta and delta of [ATHL], equations 11 and 12; the defaults are the paper's own estimates."""

    gamma: float = 0.314
    eta: float = 0.142
    beta: float = 0.6
    delta: float = 0.25


@dataclass(frozen=True)
class Impact:
    """Fractions of the price, of the order's sign: what stays, what passes, and what the order pays on average."""

    permanent: FloatArray
    temporary: FloatArray
    cost: FloatArray


def almgren_impact(
    order_shares: ArrayLike,
    day_volume_shares: ArrayLike,
    shares_outstanding: ArrayLike,
    day_volatility: ArrayLike,
    duration_days: ArrayLike,
    coefficients: AlmgrenCoefficients | None = None,
) -> Impact:
    """Estimate the impact of orders by [ATHL].

    Args:
        order_shares: X, signed; arrays are broadcast against each other.
        day_volume_shares: V, the average daily volume; above 0.
        shares_outstanding: Theta; above 0.
        day_volatility: sigma, of a day's return, as a fraction.
        duration_days: T, how long the order is worked, in days of volume time; above 0.
        coefficients: other estimates than the paper's.

    Returns:
        permanent I = gamma sigma X/V (Theta/V)^delta, temporary K = eta sigma |X/(V T)|^beta with the sign of X, and
        the order's own cost J = I/2 + K.

    Raises:
        ConfigError: a volume, a number of shares or a duration is not above 0, or a volatility is negative.
    """
    given = coefficients or AlmgrenCoefficients()
    shares = np.asarray(order_shares, dtype=np.float64)
    volume = _above_zero(day_volume_shares, "day_volume_shares")
    outstanding = _above_zero(shares_outstanding, "shares_outstanding")
    duration = _above_zero(duration_days, "duration_days")
    volatility = _not_negative(day_volatility, "day_volatility")
    fraction = shares / volume
    permanent = given.gamma * volatility * fraction * (outstanding / volume) ** given.delta
    temporary = np.sign(shares) * given.eta * volatility * np.abs(fraction / duration) ** given.beta
    permanent, temporary = np.broadcast_arrays(permanent, temporary)
    return Impact(permanent=permanent, temporary=temporary, cost=permanent / 2 + temporary)


def power_law_impact(
    order_value: ArrayLike,
    day_value: ArrayLike,
    day_volatility: ArrayLike,
    *,
    coefficient: float = 1.0,
    exponent: float = 0.5,
) -> FloatArray:
    """Return what orders pay on average as fractions of the price: coefficient x sigma x |order / day|^exponent.

    ``order_value`` and ``day_value`` (average daily traded value, above 0) are in the same unit, USD or shares. The
    defaults are the square-root law with the coefficient 1; estimates of it lie between 0.5 and 1.5.

    Raises:
        ConfigError: a day's value is not above 0, or volatility, coefficient or exponent are negative.
    """
    day = _above_zero(day_value, "day_value")
    volatility = _not_negative(day_volatility, "day_volatility")
    _not_negative(coefficient, "coefficient")
    _not_negative(exponent, "exponent")
    size = np.abs(np.asarray(order_value, dtype=np.float64)) / day
    return np.asarray(coefficient * volatility * size**exponent, dtype=np.float64)


def _above_zero(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not bool(np.all(array > 0)):
        raise ConfigError(
            f"{name} has {int(np.sum(~(array > 0)))} values that are not above 0",
            remedy="leave out what was not traded, or give its average over more days",
        )
    return array


def _not_negative(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not bool(np.all(array >= 0)):
        raise ConfigError(
            f"{name} has {int(np.sum(~(array >= 0)))} values that are negative or missing", remedy="give 0 or more"
        )
    return array
