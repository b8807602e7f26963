"""How much to bet: the fraction of wealth that grows fastest, and what betting less or more of it does.

Sources: Kelly, "A New Interpretation of Information Rate" (1956); Thorp, "The Kelly Criterion in Blackjack, Sports
Betting and the Stock Market" (2006), equations 2.2 and 7.2.
"""

from math import inf, log1p

from trademl.errors import ConfigError


def kelly_fraction(win_probability: float, win: float, loss: float) -> float:
    """Return the fraction of wealth with the fastest growth in a bet that pays ``win`` or costs ``loss`` per unit.

    f = p / loss - (1 - p) / win; 0 where the bet is not worth taking.

    Raises:
        ConfigError: the probability is not within [0, 1], or ``win`` or ``loss`` is not above 0.
    """
    _check(win_probability, win, loss)
    return max(0.0, win_probability / loss - (1 - win_probability) / win)


def growth_rate(fraction: float, win_probability: float, win: float, loss: float) -> float:
    """Return the expected log growth per bet of wagering ``fraction`` of wealth; -inf when ruin is possible.

    Raises:
        ConfigError: as :func:`kelly_fraction`, or a negative fraction.
    """
    _check(win_probability, win, loss)
    if not fraction >= 0:
        raise ConfigError(f"a fraction of {fraction} of wealth cannot be wagered", remedy="give 0 or more")
    if fraction * loss >= 1:
        return log1p(fraction * win) if win_probability == 1 else -inf
    return win_probability * log1p(fraction * win) + (1 - win_probability) * log1p(-fraction * loss)


def kelly_leverage(mean_excess_return: float, variance: float) -> float:
    """Return the leverage with the fastest growth for normally distributed returns: mean / variance, not below 0.

    Both are of the same period. Thorp (2006), equation 7.3.

    Raises:
        ConfigError: the variance is not above 0.
    """
    if not variance > 0:
        raise ConfigError(f"a variance of {variance} gives no leverage", remedy="give the variance of returns, above 0")
    return max(0.0, mean_excess_return / variance)


def estimation_shrinkage(mean: float, deviation: float, count: int) -> float:
    """Return which part of an estimated Kelly bet to take when its mean is estimated from ``count`` returns.

    The estimate m has the variance s^2 / n. Betting c m / s^2 grows by c m mu / s^2 - c^2 m^2 / (2 s^2); in expectation
    over samples, E[m mu] = mu^2 and E[m^2] = mu^2 + s^2 / n, the best part is c = mu^2 / (mu^2 + s^2 / n). With the
    estimate put in for mu that is t^2 / (1 + t^2), t being the mean's t-statistic; 0 for a mean that is not above 0.
    Compare Baker & McHale, "Optimal Betting Under Parameter Uncertainty" (2013).

    >>> round(estimation_shrinkage(0.001, 0.01, 400), 3)
    0.8

    Raises:
        ConfigError: fewer than 2 returns, or a deviation that is not above 0.
    """
    if count < 2 or not deviation > 0:
        raise ConfigError(
            f"{count} returns with the standard deviation {deviation} say nothing of their mean",
            remedy="give 2 or more returns that differ",
        )
    if not mean > 0:
        return 0.0
    squared = mean**2 * count / deviation**2
    return squared / (1 + squared)


def _check(win_probability: float, win: float, loss: float) -> None:
    if not (0 <= win_probability <= 1 and win > 0 and loss > 0):
        raise ConfigError(
            f"a bet with the probability {win_probability}, the gain {win} and the loss {loss}",
            remedy="give a probability from 0 to 1, and gain and loss above 0",
        )
