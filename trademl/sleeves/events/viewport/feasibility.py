"""The feasibility gate: named, deterministic rules that say which targets may not be acted on, and why.

Rules look at facts of the bar, the level and the evidence, never at the outcome and never at chance: the same facts
give the same answer. A target that a rule refuses keeps its forecasts (they are what the models say); its utility is 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field

from trademl.config.reading import Section


class FeasibilityLimits(Section):
    """The limits of the rules.

    Attributes:
        max_stale_bars: bars that may have passed since the bar that is scored.
        min_minutes_open: minutes after the open before which nothing is acted on.
        max_crossed_atr: how far, in ATR, price may stand beyond the level on the break side.
        reach_sigmas: a level is out of reach beyond this many times the distance that price diffuses within the longest
            horizon, ATR x sqrt(horizon / bar).
        max_missing: share of the model's features that may be missing.
        min_neighbors: similar touches of the past that there must be.
        min_similarity: their mean similarity, 1 / (1 + distance), at least.
        max_disagreement: how far P(break) of the two stages may differ.
    """

    max_stale_bars: int = Field(default=2, ge=0)
    min_minutes_open: float = Field(default=0.0, ge=0.0)
    max_crossed_atr: float = Field(default=1.0, ge=0.0)
    reach_sigmas: float = Field(default=4.0, gt=0.0)
    max_missing: float = Field(default=0.75, ge=0.0, le=1.0)
    min_neighbors: int = Field(default=5, ge=0)
    min_similarity: float = Field(default=0.02, ge=0.0, le=1.0)
    max_disagreement: float = Field(default=0.5, ge=0.0, le=1.0)


@dataclass(frozen=True)
class Facts:
    """What the rules may look at; None is unknown.

    Attributes:
        level_price, close, atr: in dollars.
        direction_sign: 1 where a break goes up, -1 where it goes down.
        distance_atr: |close - level| in ATR.
        band_atr: half-width of the monitor band, in ATR.
        bar_minutes: length of the bar.
        stale_seconds: from the bar's end to the moment that is asked about.
        seconds_open, seconds_left: since the open and until the close, at the bar's end; negative outside.
        shortest, longest: horizons that are scored, in seconds.
        missing: share of the model's features without a value.
        neighbors, similarity: of retrieval.
        disagreement: |P(break) of stage A - P(break) of stage B|; None where only one stage scored.
    """

    level_price: float
    close: float
    atr: float | None
    direction_sign: int
    distance_atr: float | None
    band_atr: float
    bar_minutes: int
    stale_seconds: float
    seconds_open: float | None
    seconds_left: float | None
    shortest: int
    longest: int
    missing: float
    neighbors: int
    similarity: float | None
    disagreement: float | None


@dataclass(frozen=True)
class Refusal:
    """A rule that refuses a target, and why, with the value and the limit."""

    rule: str
    why: str

    def to_dict(self) -> dict[str, str]:
        """Return the two as a JSON object."""
        return {"rule": self.rule, "why": self.why}


Rule = Callable[[Facts, FeasibilityLimits], str | None]


def judge(facts: Facts, limits: FeasibilityLimits) -> tuple[Refusal, ...]:
    """Return the refusals of every rule that refuses, in the order of :data:`RULES`; none means feasible."""
    found = ((name, rule(facts, limits)) for name, rule in RULES.items())
    return tuple(Refusal(name, why) for name, why in found if why is not None)


def _price_unknown(facts: Facts, limits: FeasibilityLimits) -> str | None:
    for name, price in (("level", facts.level_price), ("close", facts.close)):
        if not math.isfinite(price) or price <= 0:
            return f"the {name} price is {price}, not a positive number"
    return None


def _range_unknown(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.atr is None or not math.isfinite(facts.atr) or facts.atr <= 0:
        return f"the ATR is {facts.atr}: thresholds and distances have no unit"
    return None


def _bar_stale(facts: Facts, limits: FeasibilityLimits) -> str | None:
    limit = limits.max_stale_bars * facts.bar_minutes * 60
    if facts.stale_seconds > limit:
        return f"the bar ended {facts.stale_seconds:.0f} s before the moment asked about; at most {limit} s may pass"
    return None


def _session_closed(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.seconds_open is not None and facts.seconds_open <= 0:
        return f"the session opens {abs(facts.seconds_open):.0f} s after the bar ended"
    if facts.seconds_left is not None and facts.seconds_left <= 0:
        return f"the session closed {abs(facts.seconds_left):.0f} s before the bar ended"
    return None


def _too_early(facts: Facts, limits: FeasibilityLimits) -> str | None:
    limit = limits.min_minutes_open * 60
    if facts.seconds_open is not None and 0 < facts.seconds_open < limit:
        return f"the session has been open for {facts.seconds_open:.0f} s; nothing is acted on before {limit:.0f} s"
    return None


def _session_ends(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.seconds_left is not None and 0 < facts.seconds_left < facts.shortest:
        return f"the session closes in {facts.seconds_left:.0f} s, before the shortest horizon of {facts.shortest} s"
    return None


def _outside_band(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.distance_atr is not None and facts.distance_atr > facts.band_atr:
        return f"price is {facts.distance_atr:.3g} ATR from the level; the monitor band is {facts.band_atr:.3g} ATR"
    return None


def _out_of_reach(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.distance_atr is None:
        return None
    reach = limits.reach_sigmas * math.sqrt(facts.longest / (60 * facts.bar_minutes))
    if facts.distance_atr > reach:
        return (
            f"price is {facts.distance_atr:.3g} ATR from the level and diffuses {reach:.3g} ATR "
            f"({limits.reach_sigmas:g} sigmas) in {facts.longest} s"
        )
    return None


def _level_crossed(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.atr is None or not facts.atr > 0:
        return None
    crossed = facts.direction_sign * (facts.close - facts.level_price) / facts.atr
    if crossed > limits.max_crossed_atr:
        return f"price is {crossed:.3g} ATR beyond the level already; at most {limits.max_crossed_atr:.3g} is accepted"
    return None


def _features_missing(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.missing > limits.max_missing:
        return f"{facts.missing:.0%} of the model's features have no value; at most {limits.max_missing:.0%} may lack"
    return None


def _few_neighbors(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.neighbors < limits.min_neighbors:
        return f"{facts.neighbors} similar touches were resolved before; at least {limits.min_neighbors} are needed"
    return None


def _unlike_the_past(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.similarity is not None and facts.similarity < limits.min_similarity:
        return f"the mean similarity of the neighbours is {facts.similarity:.3g}, below {limits.min_similarity:g}"
    return None


def _stages_disagree(facts: Facts, limits: FeasibilityLimits) -> str | None:
    if facts.disagreement is not None and facts.disagreement > limits.max_disagreement:
        return (
            f"the stages' probabilities of a break differ by {facts.disagreement:.3g}; "
            f"at most {limits.max_disagreement:g} is accepted"
        )
    return None


RULES: dict[str, Rule] = {
    "price_unknown": _price_unknown,
    "range_unknown": _range_unknown,
    "bar_stale": _bar_stale,
    "session_closed": _session_closed,
    "too_early": _too_early,
    "session_ends": _session_ends,
    "outside_band": _outside_band,
    "out_of_reach": _out_of_reach,
    "level_crossed": _level_crossed,
    "features_missing": _features_missing,
    "few_neighbors": _few_neighbors,
    "unlike_the_past": _unlike_the_past,
    "stages_disagree": _stages_disagree,
}
"""Every rule, in the order in which refusals are told; docs/events_scoring.md lists them."""
