"""Features that know the outcome: rank correlations with the label, and with the very next session, beyond belief.

Checks:

    feature_is_target          |rank IC| of a feature averages at least ``Bounds.target_ic``: a copy, or a disguise, of
                               what is to be predicted
    feature_predicts_too_well  |mean rank IC| above ``Bounds.plausible_ic``, and significantly so

Correlations are those within a date. Dates are so far apart that labels do not overlap, so that the daily coefficients
are nearly independent and their plain t-statistic means what it says. A price of tomorrow hides in a label of twenty
sessions; against tomorrow's return alone it shows. Of a triple barrier only the direction counts: its size is the
volatility known at the decision, so any measure of volatility ranks it (rank IC -0.25 on real stocks). These two checks
need no formula of the feature, so they also see columns that came from elsewhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.scope import Bounds, Scope
from trademl.governance.data_audit.sources import with_sources
from trademl.lake.names import identifier, quoted
from trademl.validation.metrics import information_coefficient

_IS_TARGET, _TOO_WELL = "feature_is_target", "feature_predicts_too_well"


@dataclass(frozen=True)
class _Power:
    """How well a feature ranks an outcome: mean and mean size of its daily rank ICs, t-statistic, dates."""

    feature: str
    outcome: str
    mean: float
    size: float
    t: float
    dates: int

    def __str__(self) -> str:
        return (
            f"{self.feature} with {self.outcome}: mean rank IC {self.mean:+.3f}, |IC| {self.size:.3f}, t {self.t:.1f}"
        )


def audit_signal(scope: Scope, bounds: Bounds) -> list[AuditRow]:
    """Measure every feature of the run against the label and, with prices, against the next session's return."""
    present = scope.columns(scope.sleeve.training)
    features = [name for name in scope.features if name in present or name in scope.sources]
    sessions, apart = _sessions(scope, bounds)
    if not features or not sessions:
        return [scope.found(name, 0, 0, "no feature or no date to measure") for name in (_IS_TARGET, _TOO_WELL)]
    columns = _read(scope, features, sessions)
    outcomes = [name for name in ("the label", "the next session") if name in columns]
    powers = [
        _power(name, outcome, columns[name], columns[outcome], columns["t"], bounds)
        for outcome in outcomes
        for name in features
    ]
    judged = [power for power in powers if power.dates >= bounds.min_target_dates]
    copies = [power for power in judged if power.size >= bounds.target_ic]
    proven = [power for power in powers if apart and power.dates >= bounds.min_dates]
    knowing = [power for power in proven if abs(power.mean) > bounds.plausible_ic and abs(power.t) > bounds.plausible_t]
    text = f"{len(features)} features on {len(sessions)} dates"
    return [
        _verdict(scope, _IS_TARGET, text, judged, copies, f"|rank IC| averages {bounds.target_ic:g} or more"),
        _verdict(
            scope,
            _TOO_WELL,
            text
            + (
                "" if proven else f"; not judged with fewer than {bounds.min_dates} dates of labels that do not overlap"
            ),
            proven,
            knowing,
            f"mean rank IC beyond {bounds.plausible_ic:g}, |t| beyond {bounds.plausible_t:g}",
        ),
    ]


def _sessions(scope: Scope, bounds: Bounds) -> tuple[list[int], bool]:
    """Return the sessions to measure on, and whether their labels do not overlap."""
    rows, days = (
        scope.table("rows"),
        f"(select t from {scope.table('rows')} group by t having count(*) >= {bounds.min_rows})",
    )
    held = max(1, int(np.ceil(scope.one(f"select quantile_cont(end_index - t, 0.95) from {rows}")[0])))
    every = [row[0] for row in scope.all(f"select t from {days} order by t")]
    chosen: list[int] = []
    for t in every:
        if not chosen or t >= chosen[-1] + held:
            chosen.append(t)
    apart = len(chosen) >= bounds.min_target_dates
    pool = chosen if apart else every
    if len(pool) > bounds.max_dates:
        pool = [pool[i] for i in np.linspace(0, len(pool) - 1, bounds.max_dates).astype(int)]
    return pool, apart


def _read(scope: Scope, features: list[str], sessions: list[int]) -> dict[str, NDArray[Any]]:
    """Return t, the features and the outcomes of the chosen sessions, NaN where missing."""
    nearby = ""
    if scope.prices is not None:
        series = scope.table("series")
        nearby = f"""
            , (
                select exp(following.cum - own.cum) - 1
                from {series} as own
                inner join {series} as following
                    on own.entity = following.entity and own.listing = following.listing and following.t = own.t + 1
                where own.entity = codes.entity and own.t = sessions.session_index
            ) as "the next session"
        """
    outcome = "sign(training.value)::double" if scope.label.startswith("tb_") else "training.value::double"
    listed = "".join(f", training.{identifier(name)}::double as {identifier(name)}" for name in features)
    chosen = f"label = {quoted(scope.label)} and value is not null"
    training = with_sources(scope.sleeve.training, scope.entity, scope.sources, features, chosen)
    found = scope.con.execute(
        f"""
        select sessions.session_index as t, {outcome} as "the label" {nearby} {listed}
        from {training} as training
        inner join {scope.calendar} as sessions on training.date = sessions.date
        inner join {scope.table("codes")} as codes on training.{scope.entity} = codes.name
        where sessions.session_index in (select unnest($sessions))
        """,
        {"sessions": sessions},
    ).fetchnumpy()
    return {
        name: np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan) if name != "t" else np.asarray(values)
        for name, values in found.items()
    }


def _power(
    feature: str,
    outcome: str,
    values: NDArray[np.float64],
    outcomes: NDArray[np.float64],
    t: NDArray[Any],
    bounds: Bounds,
) -> _Power:
    daily = information_coefficient(values, outcomes, t, min_rows=bounds.min_rows).spearman
    defined = daily[np.isfinite(daily)]
    n = len(defined)
    if n < 2:
        return _Power(feature, outcome, 0.0, 0.0, 0.0, n)
    error = float(defined.std(ddof=1)) / np.sqrt(n)
    mean = float(defined.mean())
    t_statistic = mean / error if error > 0 else float(np.inf * np.sign(mean)) if mean else 0.0
    return _Power(feature, outcome, mean, float(np.abs(defined).mean()), float(t_statistic), n)


def _verdict(scope: Scope, check: str, text: str, looked_at: list[_Power], found: list[_Power], bound: str) -> AuditRow:
    if found:
        worst = sorted(found, key=lambda power: -power.size)
        named = len({power.feature for power in found})
        text += f"; {named} beyond the bound ({bound}): {'; '.join(map(str, worst[:4]))}"
    elif looked_at:
        text += f"; bound: {bound}; strongest: {max(looked_at, key=lambda power: power.size)}"
    return scope.found(check, len({power.feature for power in found}), len(looked_at), text)
