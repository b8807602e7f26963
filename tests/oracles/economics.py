"""Overlapping portfolios by their definition, one position and one session at a time.

A decision at the close of session t buys at the open of t + 1 and sells at the close of t + h, or of the next session
with a bar; a listing that ends is left at its last price on its tenth absent session.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from tests.oracles.equities import LISTING_GAP, Version

SPLIT_RATIOS = (1.5, 2, 3, 4, 5, 7, 10)
WEIGHTS = {"long_short": (0.5, -0.5), "long_only": (1.0, 0.0)}


@dataclass(frozen=True)
class Held:
    """A position on one session: worth of 1 invested at the entry, before and after it."""

    session: int
    before: float
    after: float
    is_entry: bool
    is_exit: bool


@dataclass
class Day:
    """One session of a strategy."""

    gross: float = 0.0
    traded: float = 0.0
    names_long: int = 0
    names_short: int = 0


def sides(scores: Mapping[str, float], quantile: Fraction) -> tuple[list[str], list[str]]:
    """(long, short): who is at least the k-th highest, at most the k-th lowest; nobody where the two would meet."""
    known = {name: score for name, score in scores.items() if math.isfinite(score)}
    if not known:
        return [], []
    k = math.ceil(quantile * len(known))
    ordered = sorted(known.values())
    lowest, highest = ordered[k - 1], ordered[-k]
    if lowest >= highest:
        return [], []
    return [name for name in known if known[name] >= highest], [name for name in known if known[name] <= lowest]


def is_suspect(bar: Version, previous: Version) -> bool:
    """A split that the prices do not show, or a price that moved as a split would with none recorded."""
    moved = abs(math.log((bar.close + bar.dividend) * bar.split / previous.close))
    if bar.split != 1:
        return moved > 0.25
    opened = abs(math.log(bar.open / previous.close))
    return moved > 0.4 and any(abs(opened - math.log(ratio)) < 0.02 for ratio in SPLIT_RATIOS)


def position(bars: Mapping[int, Version], t: int, h: int, last_session: int) -> list[Held]:
    """What a name is worth on each session with a bar, and on the one where it is left; empty without an entry."""
    if t + 1 not in bars:
        return []
    previous = bars[t + 1]
    value = previous.close / previous.open
    held = [Held(t + 1, 1.0, value, True, h == 1)]
    session = t + 1
    while not held[-1].is_exit and session < last_session:
        session += 1
        bar = bars.get(session)
        if bar is not None:
            growth = 1.0 if is_suspect(bar, previous) else (bar.close + bar.dividend) * bar.split / previous.close
            held.append(Held(session, value, value * growth, False, session >= t + h))
            value *= growth
            previous = bar
        elif session - previous.session >= LISTING_GAP:
            held.append(Held(session, value, value, False, True))
    return held


def path_returns(
    bars: Mapping[str, Mapping[int, Version]],
    scores: Mapping[int, Mapping[str, float]],
    h: int,
    *,
    last_session: int,
    quantile: Fraction,
    min_names: int,
) -> dict[str, dict[int, Day]]:
    """Strategy -> session -> day, for the scores of each decision session of one path."""
    found: dict[str, dict[int, Day]] = {strategy: {} for strategy in WEIGHTS}
    for t, of_session in scores.items():
        books = [
            [held for name in side if (held := position(bars.get(name, {}), t, h, last_session))]
            for side in sides(of_session, quantile)
        ]
        for strategy, weights in WEIGHTS.items():
            enough = all(len(book) >= min_names for book, weight in zip(books, weights, strict=True) if weight)
            for book, weight in zip(books, weights, strict=True):
                for held in (row for rows in book for row in rows):
                    day = found[strategy].setdefault(held.session, Day())
                    if not enough or not weight:
                        continue
                    day.gross += weight * (held.after - held.before) / len(book) / h
                    day.traded += abs(weight) * (held.is_entry + held.after * held.is_exit) / len(book) / h
                    day.names_long += held.is_entry and weight > 0
                    day.names_short += held.is_entry and weight < 0
    for days in found.values():
        for session in range(min(days), max(days) + 1) if days else ():
            days.setdefault(session, Day())
    return found
