"""The names of the sleeve: heads, the files they lie in, stages and ablations (seed 001). What they mean is SQL.

A head is one model and one label of ``gold.events_training``. Its files are called ``{head}_{stage}_{ablation}``; with
a timeframe the first three heads are ``{head}_{timeframe}``, as their labels are.
"""

import re
from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

from trademl.errors import ConfigError

Stage = Literal["stage_a", "stage_b"]
Ablation = Literal["ta", "mechanics", "full"]
STAGES: tuple[Stage, ...] = get_args(Stage)
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)

TRADEABLE, DIRECTION, STRENGTH = "tradeable_2", "direction", "strength"
OUTCOME_HEADS: tuple[str, ...] = (TRADEABLE, DIRECTION, STRENGTH)
"""What happens within the outcome window, or within the timeframe: each has one model."""

HORIZON_HEADS: tuple[str, ...] = ("t1", "t2", "t1_break", "t1_bounce", "t2_break", "t2_bounce")
"""Which threshold is reached, on which side, within a horizon: each has one model per horizon."""

HORIZONS: tuple[int, ...] = (60, 120)
"""Horizons of the heads in seconds, unless a configuration names others."""

DAY_SECONDS = 86_400

T = TypeVar("T", Stage, Ablation)
_TIMEFRAME = re.compile(r"^[1-9]\d{0,3}min$")


def head_names(horizons: Sequence[int] = HORIZONS, timeframe: str | None = None) -> tuple[str, ...]:
    """Return the heads of a bundle, in order; each is a label of ``gold.events_training`` too.

    >>> head_names([60])[:4], head_names([60], "8min")[:3]
    (('tradeable_2', 'direction', 'strength', 't1_60s'), ('tradeable_2_8min', 'direction_8min', 'strength_8min'))
    """
    check_timeframe(timeframe)
    own = tuple(name if timeframe is None else f"{name}_{timeframe}" for name in OUTCOME_HEADS)
    return own + tuple(f"{name}_{horizon}s" for horizon in check_horizons(horizons) for name in HORIZON_HEADS)


def file_stem(head: str, stage: str, ablation: str) -> str:
    """Return the name of a head's files without their suffix.

    >>> file_stem("t1_60s", "stage_b", "full")
    't1_60s_stage_b_full'
    """
    return f"{head}_{stage}_{ablation}"


def is_regression(head: str) -> bool:
    """Tell whether a head predicts a size, not a probability."""
    return head.startswith(STRENGTH)


def check_stage(stage: str) -> Stage:
    """Return ``stage`` if it is one.

    Raises:
        ConfigError: it is not.
    """
    return _one_of(stage, STAGES, "stage")


def check_ablation(ablation: str) -> Ablation:
    """Return ``ablation`` if it is one.

    Raises:
        ConfigError: it is not.
    """
    return _one_of(ablation, ABLATIONS, "ablation")


def check_timeframe(timeframe: str | None) -> str | None:
    """Return ``timeframe`` if it is None or a number of minutes such as ``8min``.

    Raises:
        ConfigError: it is neither.
    """
    if timeframe is not None and not _TIMEFRAME.match(timeframe):
        raise ConfigError(f"`timeframe={timeframe!r}` is no window", remedy="write minutes as 2min, 4min or 8min")
    return timeframe


def check_horizons(horizons: Sequence[int]) -> tuple[int, ...]:
    """Return the horizons in ascending order.

    Raises:
        ConfigError: one is no positive number of seconds within a day, or stands there twice.
    """
    wrong = [horizon for horizon in horizons if not 0 < int(horizon) < DAY_SECONDS]
    if wrong or len(set(horizons)) != len(horizons):
        raise ConfigError(
            f"`horizons={list(horizons)}` are no different numbers of seconds within a day",
            remedy="write seconds, such as 60,120",
        )
    return tuple(sorted(int(horizon) for horizon in horizons))


def _one_of(value: str, allowed: tuple[T, ...], name: str) -> T:
    for choice in allowed:
        if choice == value:
            return choice
    raise ConfigError(f"`{name}={value!r}` does not exist", remedy=f"use one of {', '.join(map(str, allowed))}")
