"""How a record was made: sizes that grow after losses, profits that hang on one trade, and trades that only trade.

A Sharpe ratio cannot see what has not happened yet. A martingale doubles after each loss and wins almost every day,
until it does not; one lucky trade makes a year; a wallet that trades with itself has volume and no risk. Each measure
below comes with the bounds from which it raises a flag, all in :class:`Bounds`. A flag is a reason to look, not proof:
a market maker turns over at about one price too, and who adds to a losing position by plan does so honestly.

Events (trades or days) are given as columns of equal length, ordered by trader and then by time; ``trader`` is the
place of each event's trader, from 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Bounds:
    """From which values on a record is flagged.

    Attributes:
        growth: geometric mean growth of size after losses, relative to that after gains.
        growth_t: Welch's t of that difference.
        growth_events: at least so many sizes after losses and after gains.
        best_share: share of the net profit that comes from the best trade or day.
        flat_share: share of the traded value in round trips that end where they began.
        flat_events: at least so many such round trips (or days).
        flat_return: gross profit as a share of the value entered, up to which a round trip counts as flat.
        flat_hours: time held, up to which a round trip counts as flat.
    """

    growth: float = 1.5
    growth_t: float = 3.0
    growth_events: int = 5
    best_share: float = 0.5
    flat_share: float = 0.5
    flat_events: int = 50
    flat_return: float = 2e-4
    flat_hours: float = 1.0


@dataclass(frozen=True, eq=False)
class SizeResponse:
    """How sizes follow results, per trader, shape (traders,).

    Attributes:
        growth: geometric mean growth of size after losses / that after gains: 1 for a trader who does not look back, 2
            and more for one who doubles. NaN without both.
        t_stat: Welch's t of the difference of log growths; NaN for fewer than 2 of either.
        n_losses, n_gains: sizes that follow a loss, a gain.
    """

    growth: FloatArray
    t_stat: FloatArray
    n_losses: IntArray
    n_gains: IntArray


def size_response(trader: Any, size: Any, result: Any, follows: Any, n_traders: int) -> SizeResponse:
    """Measure how the size of an event depends on the result of the one before.

    Args:
        trader: place of each event's trader, not falling.
        size: value at risk of the event, above 0; others are left out.
        result: what the event earned; 0 says neither loss nor gain.
        follows: whether the event was entered when the result of the one before it was known.
        n_traders: number of traders.

    Raises:
        ModelError: columns of unlike length, or events that are not in order of trader.
    """
    place, sizes, results = _columns(n_traders, trader, size, result)
    known = np.asarray(follows, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(sizes)
    pair = known[1:] & (place[1:] == place[:-1]) & np.isfinite(level[1:]) & np.isfinite(level[:-1])
    growth = np.where(pair, level[1:] - np.where(pair, level[:-1], 0.0), 0.0)
    after = [pair & (results[:-1] < 0), pair & (results[:-1] > 0)]
    counts, means, variances = [], [], []
    for chosen in after:
        n = np.bincount(place[1:][chosen], minlength=n_traders).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.bincount(place[1:][chosen], weights=growth[chosen], minlength=n_traders) / n
            squares = (growth - mean[place[1:]])[chosen] ** 2
            variance = np.bincount(place[1:][chosen], weights=squares, minlength=n_traders) / (n - 1)
        counts.append(n)
        means.append(mean)
        variances.append(np.where(n > 1, variance, np.nan))
    difference = means[0] - means[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(variances[0] / counts[0] + variances[1] / counts[1])
        # Sizes that always double have no variation at all: then the difference itself decides.
        t_stat = np.where(error > 1e-12, difference / error, np.where(error >= 0, np.sign(difference) * np.inf, np.nan))
        t_stat = np.where((error <= 1e-12) & (np.abs(difference) < 1e-9), 0.0, t_stat)
    return SizeResponse(np.exp(difference), t_stat, counts[0].astype(np.int64), counts[1].astype(np.int64))


def is_martingale(response: SizeResponse, bounds: Bounds | None = None) -> BoolArray:
    """Flag traders whose size grows after losses, clearly and by much."""
    limit = bounds or Bounds()
    enough = np.minimum(response.n_losses, response.n_gains) >= limit.growth_events
    with np.errstate(invalid="ignore"):
        return np.asarray(enough & (response.growth >= limit.growth) & (response.t_stat >= limit.growth_t))


def best_share(trader: Any, result: Any, n_traders: int) -> FloatArray:
    """Return the share of each trader's net profit that its best event made, shape (traders,).

    Above 1 when the others lost together; NaN without a net profit.

    >>> best_share([0, 0, 0, 1], [6.0, 3.0, -1.0, -2.0], 2)
    array([0.75,  nan])
    """
    place, results = _columns(n_traders, trader, result)
    total = np.bincount(place, weights=results, minlength=n_traders)
    best = np.full(n_traders, -np.inf)
    np.maximum.at(best, place, results)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, best / total, np.nan), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FlatFlow:
    """Round trips that end where they began, per trader, shape (traders,): their ``share`` of the traded value (NaN
    without any value) and their ``number``."""

    share: FloatArray
    number: IntArray


def flat_flow(trader: Any, value: Any, is_flat: Any, n_traders: int) -> FlatFlow:
    """Measure how much of each trader's traded value is flat: no net exposure and about one price.

    Raises:
        ModelError: as :func:`size_response`.
    """
    place, values = _columns(n_traders, trader, value)
    flat = np.asarray(is_flat, dtype=bool)
    total = np.bincount(place, weights=values, minlength=n_traders)
    inside = np.bincount(place[flat], weights=values[flat], minlength=n_traders)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, inside / total, np.nan)
    return FlatFlow(share, np.bincount(place[flat], minlength=n_traders).astype(np.int64))


def is_flat_trip(gross: Any, value: Any, hours: Any, bounds: Bounds | None = None) -> BoolArray:
    """Tell which round trips are flat: short, and a gross profit of about 0 of the value entered (not NaN)."""
    limit = bounds or Bounds()
    result, entered, held = (np.asarray(column, dtype=np.float64) for column in (gross, value, hours))
    with np.errstate(invalid="ignore"):
        return np.asarray((entered > 0) & (np.abs(result) <= limit.flat_return * entered) & (held <= limit.flat_hours))


def is_wash(flow: FlatFlow, bounds: Bounds | None = None) -> BoolArray:
    """Flag traders most of whose traded value is flat, many times over."""
    limit = bounds or Bounds()
    with np.errstate(invalid="ignore"):
        return np.asarray((flow.number >= limit.flat_events) & (flow.share >= limit.flat_share))


def _columns(n_traders: int, trader: Any, *columns: Any) -> Any:
    place = np.asarray(trader, dtype=np.int64)
    found = [np.asarray(column, dtype=np.float64) for column in columns]
    if any(column.shape != place.shape for column in found) or place.ndim != 1:
        raise ModelError(
            f"columns of shapes {[column.shape for column in found]} for {place.shape} events",
            remedy="give one value per event in each column",
        )
    if len(place) and (place.min() < 0 or place.max() >= n_traders or bool((np.diff(place) < 0).any())):
        raise ModelError(
            f"traders {place.min()} to {place.max()} of {n_traders}, not in order",
            remedy="order events by trader, numbered from 0, and then by time",
        )
    return (place, *found)
