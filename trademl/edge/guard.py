"""Tripwires of a device: what it would serve must be fresh, GREEN, complete, and like what came before.

A tripwire that fires stops everything: no prediction, no report, exit code 5 and a message that names every wire
that fired, its value and its limit. There is no way to serve yesterday's numbers under today's date.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Self

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import sql_utc
from trademl.config.lake import LakeConfig, ScoringLimits
from trademl.edge.daily import DailySource
from trademl.edge.score import Scores
from trademl.errors import ArtifactError, DataGateError, ModelError, ParityError, TripwireError
from trademl.lake.names import identifier, qualified
from trademl.lake.release import Release
from trademl.validation.drift import drift_from_bins

REFERENCE = "drift/reference.json"
FIFTH = 5
COMPARED_SESSIONS = 5
"""Scores of a session further back are no yardstick for turnover: a device that was off for weeks has none."""

_SHOWN = 5
_PULL = "run `trademl lake pull`; if it brings nothing new, publish again on the server"


@dataclass(frozen=True)
class Measured:
    """What the tripwires saw when none fired.

    Attributes:
        turnover: share of the top and bottom fifth that was not there on ``compared_with``; None without such scores.
        compared_with: the session this device scored before with the same model.
        feature_drift: population stability index of each feature that the release has a reference for.
        prediction_drift: the same for the prediction; None without a reference.
    """

    turnover: float | None
    compared_with: date | None
    feature_drift: Mapping[str, float]
    prediction_drift: float | None


@dataclass(frozen=True)
class Bins:
    """The distribution of one column over the sessions of the reference.

    Attributes:
        edges, shares: as :func:`trademl.validation.drift.reference_bins` returns them, all sessions together.
        worst: the largest index of one of these sessions against all of them. The cross-section of a single day is
            never the pool of a year (the market moves as a whole, and a weekday is the same for everyone), so a day is
            strange only beside other days.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    worst: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read one entry of the reference; without ``worst`` it is 0."""
        edges, shares = (tuple(float(value) for value in document[name]) for name in ("edges", "shares"))
        return cls(edges, shares, float(document.get("worst", 0.0)))

    def drift(self, values: NDArray[Any]) -> float:
        """Return the population stability index of ``values`` against these bins."""
        return drift_from_bins(self.edges, self.shares, values.astype(np.float64))


@dataclass(frozen=True)
class Reference:
    """What features and prediction looked like on the server; without sessions there is nothing to compare with."""

    features: Mapping[str, Bins]
    prediction: Bins | None


@contextmanager
def no_scores_without(what: str) -> Iterator[None]:
    """Turn a refusal of the data gate or a failed parity check into a tripwire that fired.

    Raises:
        TripwireError: as soon as the block raises one of the two.
    """
    try:
        yield
    except (DataGateError, ParityError) as error:
        raise TripwireError(f"{what}: {error.message}; nothing was written", remedy=error.remedy) from error


def check_freshness(con: duckdb.DuckDBPyConnection, release: Release, config: LakeConfig, now: datetime) -> None:
    """Refuse a release that has expired, is from the future, or ends too long before the sessions that have closed.

    Raises:
        TripwireError: with the times and the limits.
    """
    stamp = sql_utc(now)
    if sql_utc(release.expires) <= stamp:
        raise TripwireError(
            f"release {release.seq} of {release.as_of} expired at {sql_utc(release.expires)} UTC; it is {stamp} UTC "
            "now: nothing was written",
            remedy=_PULL,
        )
    skew = timedelta(minutes=config.max_clock_skew_minutes)
    if sql_utc(release.created) > stamp + skew:
        raise TripwireError(
            f"release {release.seq} was made at {sql_utc(release.created)} UTC, after the {stamp} UTC of this device's "
            f"clock; limit: {config.max_clock_skew_minutes} minutes: nothing was written",
            remedy="set the clock (`timedatectl`), and score again",
        )
    limit, today = config.max_age_days, stamp.date()
    if limit is not None and (today - release.as_of).days > limit and not _nothing_since(con, release.as_of, today):
        raise TripwireError(
            f"release {release.seq} ends on {release.as_of}, {(today - release.as_of).days} days before {today}; "
            f"limit: {limit} days: nothing was written",
            remedy="land the missing sessions on the server, build, publish and pull; for history, set max_age_days in "
            "configs/lake.yml to null",
        )


def check_scores(
    con: duckdb.DuckDBPyConnection,
    scores: Scores,
    columns: Mapping[str, NDArray[np.float32]],
    reference: Reference,
    limits: ScoringLimits,
    source: DailySource,
) -> Measured:
    """Compare new scores with this device's previous ones, and them and their features with the reference of drift.

    Args:
        con: a device's snapshot: ``preds`` are its own.
        scores: the new scores.
        columns: each feature of the reference over the scored entities, NaN where missing.
        reference: what :func:`read_reference` returned.
        limits: what it takes for implausible.
        source: the sleeve's tables.

    Raises:
        TripwireError: naming every tripwire that fired, with value and limit.
        ModelError: a feature of the reference was not computed.
    """
    fired = []
    if len(scores) < limits.min_rows:
        fired.append(f"{len(scores)} rows, limit at least {limits.min_rows}")
    previous = previous_scores(con, scores, source)
    changed = None
    if previous is not None:
        changed = turnover(scores.entities, scores.yhat, *previous[1:])
        if changed > limits.max_turnover:
            fired.append(
                f"turnover of the top and bottom fifth since {previous[0]} is {changed:.3f}, limit "
                f"{limits.max_turnover:g}"
            )
    drift = {name: bins.drift(columns[name]) for name, bins in reference.features.items()}
    far = sorted(
        (
            (value - bins.worst, name)
            for name, bins in reference.features.items()
            if (value := drift[name]) > bins.worst + limits.max_feature_psi
        ),
        reverse=True,
    )
    if far:
        listed = ", ".join(
            f"{name} {drift[name]:.2f} (worst before {reference.features[name].worst:.2f})" for _, name in far[:_SHOWN]
        )
        listed += ", ..." if far[_SHOWN:] else ""
        fired.append(
            f"{len(far)} of {len(drift)} features drifted: PSI of {listed}; limit {limits.max_feature_psi:g} above the "
            "worst session of the reference"
        )
    shift = None
    if reference.prediction is not None:
        shift = reference.prediction.drift(scores.yhat)
        if shift > reference.prediction.worst + limits.max_prediction_psi:
            fired.append(
                f"the prediction drifted: PSI {shift:.2f} (worst before {reference.prediction.worst:.2f}); limit "
                f"{limits.max_prediction_psi:g} above that"
            )
    if fired:
        raise TripwireError(
            f"scores of {scores.as_of} are not served: {'; '.join(fired)}; nothing was written",
            remedy="look at the day's bars on the server; if the market itself moved so far, raise the limit under "
            "`scoring` in configs/lake.yml and score again",
        )
    return Measured(changed, previous[0] if previous else None, drift, shift)


def read_reference(raw: bytes) -> Reference:
    """Read ``drift/reference.json``.

    Raises:
        ArtifactError: it is something else.
    """
    try:
        found = json.loads(raw)
        prediction = found["prediction"]
        reference = Reference(
            {str(name): Bins.of(document) for name, document in found["features"].items()},
            None if prediction is None else Bins.of(prediction),
        )
        for bins in (*reference.features.values(), *([reference.prediction] if reference.prediction else [])):
            # Tells bins that contradict themselves now, before anything is computed.
            bins.drift(np.zeros(1))
    except (ValueError, KeyError, TypeError, AttributeError, ModelError) as error:
        raise ArtifactError(
            f"{REFERENCE} is damaged: {error!r}", remedy="pull a release of this version of trademl"
        ) from error
    return reference


def previous_scores(
    con: duckdb.DuckDBPyConnection, scores: Scores, source: DailySource
) -> tuple[date, tuple[str, ...], NDArray[np.float64]] | None:
    """Return session, entities and yhat of what this device scored before with the same model, None if long ago."""
    table, entity = qualified(source.predictions), identifier(source.entity)
    rows = con.execute(
        f"""
        with recent as (
            select min(date) as day from (
                select date from silver.calendar where date < $day order by date desc limit {COMPARED_SESSIONS}
            )
        ),

        earlier as (
            select *, max(scored_at) over (partition by dt) as last_scored_at from {table}
            where model_id = $model and dt < $day and dt >= (select day from recent)
        )

        select dt, {entity}, yhat from earlier
        where scored_at = last_scored_at and dt = (select max(dt) from earlier) order by {entity}
        """,
        {"day": scores.as_of, "model": scores.bundle.run_id},
    ).fetchall()
    if not rows:
        return None
    return rows[0][0], tuple(row[1] for row in rows), np.array([row[2] for row in rows], dtype=np.float64)


def _nothing_since(con: duckdb.DuckDBPyConnection, as_of: date, today: date) -> bool:
    """Tell whether the calendar, if it reaches so far, has no session between the two: a long holiday is no delay."""
    due, last = con.execute(
        "select max(date) filter (where date < $today), max(date) from silver.calendar", {"today": today}
    ).fetchall()[0]
    return last is not None and last >= today and due == as_of


def turnover(
    names: Sequence[str], yhat: NDArray[np.float64], old_names: Sequence[str], old_yhat: NDArray[np.float64]
) -> float:
    """Return the share of the top and bottom fifth that was not in the same fifth before, in [0, 1].

    Each fifth has ``max(1, n // 5)`` names; among equal scores the name decides, for one answer. A name that
    was not scored before counts as new. The answer is the mean of the two fifths' shares.
    """
    new, old = _fifths(names, yhat), _fifths(old_names, old_yhat)
    shares = [len(now - before) / len(now) for now, before in zip(new, old, strict=True)]
    return sum(shares) / len(shares)


def _fifths(names: Sequence[str], yhat: NDArray[np.float64]) -> tuple[set[str], set[str]]:
    order = np.lexsort((np.array(names), yhat))
    size = max(1, len(names) // FIFTH)
    return {names[place] for place in order[-size:]}, {names[place] for place in order[:size]}
