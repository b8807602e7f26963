"""A viewport: the levels near a price at one moment, each with what the models expect of it (seed 001).

Stage A, stage B and retrieval score the same rows of ``gold.events_targets``; the ensemble makes one forecast of them;
the feasibility gate says which of them may not be acted on, and why. Nothing here computes a feature.

The worth of a target, in ATR, of betting on its likelier side with target and stop at the second threshold::

    utility_score = max(0, p_tradeable_2 x |p_break - p_bounce| x payoff - cost)      0 where the gate refuses

and ``relevance = max(0, 1 - distance / band)``, both distances in ATR: 1 at the level, 0 at the edge of the band.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.sleeves.events.viewport.document import IN_BAND, OUTSIDE, REACH, RETRIEVAL_NUMBERS, Moment, Viewport
from trademl.sleeves.events.viewport.ensemble import Ensemble
from trademl.sleeves.events.viewport.feasibility import Facts, Refusal, judge

if TYPE_CHECKING:
    import pyarrow as pa

FloatArray = NDArray[np.float64]

NEEDED = (
    "symbol", "ts_ns", "level_id", "level_kind_name", "level_price", "direction",
    "direction_sign", "distance", "distance_signed", "close_price", "atr_price",
)  # fmt: skip
"""Columns of ``gold.events_targets`` that a viewport reads besides the models' features."""

StageName = Literal["stage_a", "stage_b"]


class Predictions(Protocol):
    """What a bundle of heads predicts; arrays of shape (rows,), and by horizon in seconds."""

    tradeable_2: FloatArray
    p_break: FloatArray
    strength_signed: FloatArray
    t1_probs: dict[int, FloatArray]
    t2_probs: dict[int, FloatArray]
    t1_break_probs: dict[int, FloatArray]
    t1_bounce_probs: dict[int, FloatArray]
    t2_break_probs: dict[int, FloatArray]
    t2_bounce_probs: dict[int, FloatArray]


class StageModel(Protocol):
    """A bundle of heads of one stage."""

    @property
    def feature_names(self) -> Sequence[str]: ...
    def predict(self, df: Any) -> Any: ...


class Retrieval(Protocol):
    """What finds the most similar touches of the past that were resolved before the one asked about."""

    def summaries(self, table: "pa.Table", k: int) -> Sequence[Any]: ...


@dataclass(frozen=True)
class ViewportModels:
    """What scores.

    Attributes:
        stages: by stage; at least stage A.
        retrieval: the index of past touches.
        ensemble: how they are pooled.
        model_id: names exactly these models and this configuration.
        notes: what somebody should know of them.
    """

    stages: Mapping[StageName, StageModel]
    retrieval: Retrieval
    ensemble: Ensemble
    model_id: str
    notes: tuple[str, ...] = ()


def score_viewport(
    table: "pa.Table",
    moment: Moment,
    models: ViewportModels,
    config: ViewportConfig,
    *,
    pinned: Collection[str] = (),
    neighbors: int = 0,
) -> Viewport:
    """Score the candidates of one bar.

    Args:
        table: rows of ``gold.events_targets`` of the moment's symbol and bar, one per level; none where no level
            is near.
        moment: when it is asked about.
        models: what scores.
        config: how.
        pinned: level_ids that are shown wherever price stands.
        neighbors: how many of the similar touches each target lists.

    Raises:
        ConfigError: the table lacks a column, or has rows of another bar.
        ModelError: the models do not fit the table.
    """
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise ConfigError(
            f"targets lack the columns {', '.join(missing)}", remedy="give rows of gold.events_targets; `trademl build`"
        )
    _check_bar(table, moment)
    shown = frozenset(pinned)
    chosen = _choose(table, config, shown)
    rows = chosen.select(list(NEEDED)).to_pylist()
    scored = _score(chosen, rows, moment, models, config, shown, neighbors) if rows else []
    scored.sort(key=lambda one: _order(one[0]))
    return Viewport(
        moment=moment,
        model_id=models.model_id,
        targets=tuple(target for target, _ in scored),
        kinds={str(row["level_id"]): str(row["level_kind_name"]) for row in rows},
        refusals={target["level_id"]: refused for target, refused in scored if refused},
        notes=(*models.notes, *_absent(table, shown)),
    )


def _score(
    chosen: "pa.Table",
    rows: Sequence[Mapping[str, Any]],
    moment: Moment,
    models: ViewportModels,
    config: ViewportConfig,
    pinned: frozenset[str],
    neighbors: int,
) -> list[tuple[dict[str, Any], tuple[Refusal, ...]]]:
    summaries = list(models.retrieval.summaries(chosen, config.k_neighbors))
    predicted = {stage: model.predict(chosen) for stage, model in models.stages.items()}
    forecasts = _Forecasts.of(predicted, summaries, models.ensemble, config.horizons)
    lacking = _lacking(chosen, models)
    found = []
    for place, row in enumerate(rows):
        facts = _facts(row, moment, config, float(lacking[place]), summaries[place], forecasts.disagreement[place])
        refusals = judge(facts, config.feasibility)
        target = _target(row, place, forecasts, summaries[place], facts, refusals, config, pinned, neighbors)
        found.append((target, refusals))
    return found


@dataclass(frozen=True, eq=False)
class _Forecasts:
    """The ensemble's numbers, one per target; ``reach`` by family and horizon."""

    stage: StageName
    tradeable_2: FloatArray
    p_break: FloatArray
    strength: FloatArray
    reach: dict[tuple[str, int], FloatArray]
    disagreement: list[float | None]

    @classmethod
    def of(
        cls,
        predicted: Mapping[StageName, Predictions],
        summaries: Sequence[Any],
        ensemble: Ensemble,
        horizons: Sequence[int],
    ) -> "_Forecasts":
        def pooled(quantity: str, head: str, retrieval: FloatArray) -> FloatArray:
            given: dict[str, FloatArray] = {"retrieval": retrieval}
            given |= {stage: _float64(getattr(one, head)) for stage, one in predicted.items()}
            return ensemble.pool(quantity).combine(given)

        reach_pool = ensemble.pool("reach")
        reach = {
            (family, horizon): reach_pool.combine(
                {stage: _float64(getattr(one, f"{family}_probs")[horizon]) for stage, one in predicted.items()}
            )
            for family in REACH
            for horizon in horizons
        }
        sides = [_float64(one.p_break) for one in predicted.values()]
        apart: list[float | None] = [None] * len(summaries)
        if len(sides) == 2:
            apart = np.abs(sides[0] - sides[1]).tolist()
        return cls(
            stage="stage_b" if "stage_b" in predicted else "stage_a",
            tradeable_2=pooled("tradeable_2", "tradeable_2", _numbers(summaries, "p_tradeable_2")),
            p_break=pooled("p_break", "p_break", retrieved_break(summaries)),
            strength=pooled("strength", "strength_signed", _numbers(summaries, "strength_signed_mean")),
            reach=reach,
            disagreement=apart,
        )


def _check_bar(table: "pa.Table", moment: Moment) -> None:
    asked = (moment.symbol, moment.ts_ns)
    found = set(zip(table.column("symbol").to_pylist(), table.column("ts_ns").to_pylist(), strict=True))
    if found - {asked}:
        raise ConfigError(
            f"targets of {len(found)} bars for the bar {asked}", remedy="give the rows of one symbol and one bar"
        )


def retrieved_break(summaries: Sequence[Any]) -> FloatArray:
    """Return P(break | break or bounce) by retrieval: what the head ``direction`` says; NaN where neither occurs."""
    return conditional(_numbers(summaries, "p_break"), _numbers(summaries, "p_bounce"))


def conditional(breaks: FloatArray, bounces: FloatArray) -> FloatArray:
    """Return ``breaks / (breaks + bounces)``, NaN where both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(breaks + bounces > 0, breaks / (breaks + bounces), np.nan)


def utility(p_tradeable: float, p_break: float, payoff_atr: float, cost_atr: float) -> float:
    """Return the worth of betting on the likelier side, in ATR, 0 at least; 0 where a probability is not known.

    >>> round(utility(0.5, 0.8, 2.0, 0.05), 3), utility(0.5, 0.5, 2.0, 0.05)
    (0.55, 0.0)
    """
    expected = p_tradeable * abs(2 * p_break - 1) * payoff_atr - cost_atr
    return max(0.0, expected) if math.isfinite(expected) else 0.0


def _absent(table: "pa.Table", pinned: frozenset[str]) -> list[str]:
    here = set(table.column("level_id").to_pylist())
    return [f"pinned {level} is no target of this bar" for level in sorted(pinned - here)]


def _choose(table: "pa.Table", config: ViewportConfig, pinned: frozenset[str]) -> "pa.Table":
    """Keep the pinned rows, and the nearest of those within the band, up to the number that a viewport holds."""
    levels = [str(level) for level in table.column("level_id").to_pylist()]
    away = _distance_atr(table)
    # Where there is no ATR, nothing says that a level is far: the gate refuses it.
    near = [at for at, level in enumerate(levels) if level in pinned or _known(away[at], 0.0) <= config.band_atr]
    kept = sorted(near, key=lambda at: (levels[at] not in pinned, _known(away[at], math.inf), levels[at]))
    return table.take(sorted(kept[: config.max_targets])) if kept else table.slice(0, 0)


def _distance_atr(table: "pa.Table") -> list[float]:
    close, level, atr = (
        np.array(table.column(name).to_pylist(), dtype=np.float64)
        for name in ("close_price", "level_price", "atr_price")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        away: list[float] = np.where(atr > 0, np.abs(close - level) / atr, np.nan).tolist()
    return away


def _facts(
    row: Mapping[str, Any],
    moment: Moment,
    config: ViewportConfig,
    missing: float,
    summary: Any,
    disagreement: float | None,
) -> Facts:
    level, close = float(row["level_price"]), float(row["close_price"])
    atr = None if row["atr_price"] is None else float(row["atr_price"])
    away = abs(close - level) / atr if atr is not None and atr > 0 else math.nan
    return Facts(
        level_price=level,
        close=close,
        atr=atr,
        direction_sign=int(row["direction_sign"]),
        distance_atr=away if math.isfinite(away) else None,
        band_atr=config.band_atr,
        bar_minutes=moment.bar_minutes,
        stale_seconds=(moment.at - moment.bar_end).total_seconds(),
        seconds_open=_seconds(moment.open_at, moment.bar_end),
        seconds_left=_seconds(moment.bar_end, moment.close_at),
        shortest=min(config.horizons),
        longest=max(config.horizons),
        missing=missing,
        neighbors=len(summary.neighbors),
        similarity=_or_none(summary.similarity),
        disagreement=None if disagreement is None else _or_none(disagreement),
    )


def _target(
    row: Mapping[str, Any],
    place: int,
    forecasts: _Forecasts,
    summary: Any,
    facts: Facts,
    refusals: Sequence[Refusal],
    config: ViewportConfig,
    pinned: frozenset[str],
    neighbors: int,
) -> dict[str, Any]:
    tradeable, p_break = float(forecasts.tradeable_2[place]), float(forecasts.p_break[place])
    strength = float(forecasts.strength[place])
    away = facts.distance_atr
    in_band = away is not None and away <= config.band_atr
    worth = 0.0 if refusals else utility(tradeable, p_break, config.payoff_atr, config.cost_atr)
    listed = summary.as_dict(neighbors=neighbors > 0)["neighbors"][:neighbors]
    retrieval = {name: _or_none(getattr(summary, name)) for name in RETRIEVAL_NUMBERS}
    return {
        "level_id": str(row["level_id"]),
        "level_price": facts.level_price,
        "direction": str(row["direction"]),
        "distance": _or_none(row["distance"]),
        "distance_signed": _or_none(row["distance_signed"]),
        "p_tradeable_2": _or_none(tradeable),
        "p_break": _or_none(p_break),
        "p_bounce": _or_none(1.0 - p_break),
        "strength_signed": _or_none(strength),
        "strength_abs": _or_none(abs(strength)),
        "time_to_threshold": _times(forecasts, place, config.horizons, facts.seconds_left),
        "retrieval": {**retrieval, "neighbors": listed},
        "utility_score": worth,
        "viewport_state": IN_BAND if in_band else OUTSIDE,
        "stage": forecasts.stage,
        "pinned": str(row["level_id"]) in pinned,
        "relevance": max(0.0, 1.0 - away / config.band_atr) if away is not None else 0.0,
    }


def _times(
    forecasts: _Forecasts, place: int, horizons: Sequence[int], seconds_left: float | None
) -> dict[str, dict[str, float | None]]:
    """Return the probabilities by family and horizon; a window that ends after the close has no answer."""

    def reached(family: str, horizon: int) -> float | None:
        open_long_enough = seconds_left is None or seconds_left >= horizon
        return _or_none(forecasts.reach[family, horizon][place]) if open_long_enough else None

    return {family: {str(horizon): reached(family, horizon) for horizon in horizons} for family in REACH}


def _order(target: Mapping[str, Any]) -> tuple[Any, ...]:
    return (not target["pinned"], -target["utility_score"], -target["relevance"], target["level_id"])


def _lacking(table: "pa.Table", models: ViewportModels) -> FloatArray:
    """Return the share of the features of the stages at work that have no value, per row."""
    names = sorted({name for model in models.stages.values() for name in model.feature_names} & set(table.column_names))
    if not names:
        return np.ones(table.num_rows)
    values = [np.array(table.column(name).to_pylist(), dtype=np.float64) for name in names]
    share: FloatArray = np.isnan(np.stack(values)).mean(axis=0)
    return share


def _numbers(summaries: Sequence[Any], name: str) -> FloatArray:
    return np.array([getattr(summary, name) for summary in summaries], dtype=np.float64)


def _float64(values: Any) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else (end - begin).total_seconds()


def _known(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _or_none(value: Any) -> float | None:
    # JSON has no NaN.
    return None if value is None or not math.isfinite(value) else float(value)
