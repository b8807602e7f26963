"""Probabilities that cannot contradict each other: reaching farther is rarer, and either side is one side or the other.

Heads are fitted one by one, so their probabilities may disagree. Let p[s, k, h] be the probability that side s (either,
break, bounce) reaches threshold k within horizon h. Of a sound set three things hold for each row:

1. p[s, 2, h] <= p[s, 1, h]: who reaches the second threshold has reached the first;
2. p[s, k, h] <= p[s, k, h'] for h < h': what happened sooner has happened by later;
3. max(p[break], p[bounce]) <= p[either] <= min(1, p[break] + p[bounce]), of the same k and h: the events of the two
   sides, of which both may happen, make up the event of either (Boole's and Frechet's inequalities).

The projection takes two steps. Step one makes each side's grid of thresholds and horizons monotone by the mean of its
two monotone envelopes, the largest of all cells at or below a cell and the smallest of all at or above it; a grid that
is monotone stays as it is, and of two cells in the wrong order both become their mean, as in isotonic regression. Step
two moves ``either`` into the interval that 3. allows. Its ends are monotone, because the sides are, so 1. and 2. still
hold afterwards. A set that is sound already comes out bit for bit as it went in.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SIDES: tuple[str, ...] = ("either", "break", "bounce")


def project(reach: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return probabilities that hold together.

    Args:
        reach: for ``either``, ``break`` and ``bounce`` an array of shape (2, n_horizons, n_rows): threshold 1, then 2,
            and horizons ascending; in [0, 1].

    Returns:
        Arrays of the same names and shapes.
    """
    sound = {side: _monotone(np.asarray(reach[side], dtype=np.float64)) for side in SIDES}
    lowest = np.maximum(sound["break"], sound["bounce"])
    highest = np.minimum(1.0, sound["break"] + sound["bounce"])
    sound["either"] = np.clip(sound["either"], lowest, highest)
    return sound


def violations(reach: Mapping[str, FloatArray], tolerance: float = 0.0) -> int:
    """Return how many of the inequalities above do not hold, over all rows."""
    broken = 0
    for side in SIDES:
        grid = np.asarray(reach[side], dtype=np.float64)
        broken += int((grid[1] > grid[0] + tolerance).sum())
        broken += int((grid[:, :-1] > grid[:, 1:] + tolerance).sum())
    either, through, back = (np.asarray(reach[side], dtype=np.float64) for side in SIDES)
    broken += int((np.maximum(through, back) > either + tolerance).sum())
    return broken + int((either > np.minimum(1.0, through + back) + tolerance).sum())


def _monotone(grid: FloatArray) -> FloatArray:
    """Return the mean of the envelopes of (2, n_horizons, n_rows): falling over thresholds, rising over horizons."""
    rising = grid[::-1]
    above = np.maximum.accumulate(np.maximum.accumulate(rising, axis=0), axis=1)
    back = rising[::-1, ::-1]
    below = np.minimum.accumulate(np.minimum.accumulate(back, axis=0), axis=1)[::-1, ::-1]
    # The mean of two equal numbers is that number, exactly.
    mean: FloatArray = (above + below) / 2.0
    return mean[::-1]
