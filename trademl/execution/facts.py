"""What is known at a decision, read from one snapshot: sessions, targets, bars, coverage, drift, and the model's age.

Every query names the decision date; nothing after it is read, but for the bars that a simulated broker fills at, and
those only from the instant at which they became known.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError, DataGateError
from trademl.execution.known import PREDICTIONS
from trademl.execution.orders import Hours, Target
from trademl.lake.names import identifier
from trademl.portfolio.utility import SESSIONS_PER_YEAR
from trademl.validation.drift import drift_from_bins, reference_bins

REFERENCE_SESSIONS = 60
_RECENT = timedelta(days=40)
_FEATURES = {"equities": "gold.equities_features"}

SLEEVES: tuple[str, ...] = tuple(_FEATURES)
"""Sleeves whose targets can be traded: those with daily bars."""


@dataclass(frozen=True)
class Bar:
    """A session of a symbol as landed: raw prices in USD, shares, cash a share, new shares for each old one."""

    symbol: str
    date: date
    open: float
    close: float
    volume: float
    dividend: float
    split: float


@dataclass(frozen=True)
class DecidedTargets:
    """The rows of ops.targets of one sleeve and date, and which model they come from; ``scores`` go with ``rows``."""

    sleeve: str
    dt: date
    run_id: str
    model_id: str
    portfolio_hash: str
    rows: tuple[Target, ...]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """A population stability index, and that of the strangest session of the reference."""

    name: str
    index: float
    worst: float


@dataclass(frozen=True)
class DataFacts:
    """What the tripwires of data look at.

    Attributes:
        coverage: status and reasons of the decision date; None: no grade.
        sessions_behind: decided sessions after the decision date; None: it is no session.
        model_age_days: calendar days since the model's last training label ended; None: not known.
        prediction: drift of the scores; None: nothing to compare with.
        features: drift of each z-scored feature.
    """

    dt: date
    coverage: tuple[str, str] | None
    sessions_behind: int | None
    model_age_days: int | None
    prediction: Drift | None
    features: tuple[Drift, ...]


class Facts:
    """Reads a snapshot's connection; made for one command."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con

    def hours(self, day: date) -> Hours | None:
        """Return the hours of a session, None when that day is none."""
        return self._hours("date = ?", [day])

    def next_session(self, day: date) -> Hours:
        """Return the first session after a day.

        Raises:
            ConfigError: the calendar ends before.
        """
        found = self.session_after(day)
        if found is None:
            raise ConfigError(f"the calendar has no session after {day}", remedy="land a calendar that reaches on")
        return found

    def session_after(self, day: date) -> Hours | None:
        """Return the first session after a day, None when the calendar ends before."""
        return self._hours("date > ?", [day])

    def sessions(self, after: date, until: datetime) -> list[Hours]:
        """Return the sessions after a day that have closed by an instant, oldest first."""
        rows = self.con.execute(
            "select date, open_at, close_at from silver.calendar where date > ? and close_at <= ? order by date",
            [after, until],
        ).fetchall()
        return [Hours(*row) for row in rows]

    def last_decided(self, now: datetime) -> date | None:
        """Return the latest session whose decision time has passed."""
        rows = self.con.execute("select max(date) from silver.calendar where decision_at <= ?", [now]).fetchall()
        return rows[0][0] if rows else None

    def _hours(self, condition: str, given: list[Any]) -> Hours | None:
        rows = self.con.execute(
            f"select date, open_at, close_at from silver.calendar where {condition} order by date limit 1", given
        ).fetchall()
        return Hours(*rows[0]) if rows else None

    def bars(self, day: date, symbols: Iterable[str], known_by: datetime) -> dict[str, Bar]:
        """Return the bars of a session that were known by an instant."""
        rows = self.con.execute(
            "select symbol, date, open, close, volume, dividend_amount, split_coefficient from silver.equity_bars "
            "where date = ? and symbol in (select unnest(?::varchar[])) and known_at <= ?",
            [day, sorted(symbols), known_by],
        ).fetchall()
        return {row[0]: Bar(*row) for row in rows}

    def has_bars(self, day: date, known_by: datetime) -> bool:
        """Tell whether any bar of a session was known by an instant."""
        rows = self.con.execute(
            "select count(*) from silver.equity_bars where date = ? and known_at <= ?", [day, known_by]
        ).fetchall()
        return bool(rows[0][0])

    def listed(self, day: date) -> set[str]:
        """Return the symbols with a bar in the weeks up to a day."""
        rows = self.con.execute(
            "select distinct symbol from silver.equity_bars where date <= ? and date > ?", [day, day - _RECENT]
        ).fetchall()
        return {symbol for (symbol,) in rows}

    def marks(self, day: date, symbols: Collection[str]) -> dict[str, float]:
        """Return each symbol's last close at or before a day."""
        found: dict[str, float] = {}
        # Nearly all have a bar in the last weeks; the rest of history is read for the others only.
        for first in (day - _RECENT, date.min):
            missing = sorted(set(symbols) - set(found))
            if missing:
                rows = self.con.execute(
                    "select symbol, max_by(close, date) from silver.equity_bars where date <= ? and date > ? "
                    "and symbol in (select unnest(?::varchar[])) and close is not null group by symbol",
                    [day, first, missing],
                ).fetchall()
                found.update(rows)
        return found

    def actions(self, after: date, until: date, symbols: Iterable[str]) -> list[Bar]:
        """Return the bars with a split or a dividend after one day and up to another, oldest first."""
        rows = self.con.execute(
            "select symbol, date, open, close, volume, dividend_amount, split_coefficient from silver.equity_bars "
            "where date > ? and date <= ? and symbol in (select unnest(?::varchar[])) "
            "and (split_coefficient <> 1 or dividend_amount <> 0) order by date, symbol",
            [after, until, sorted(symbols)],
        ).fetchall()
        return [Bar(*row) for row in rows]

    def targets(self, sleeve: str, dt: date | None = None) -> DecidedTargets:
        """Return the target weights of a sleeve at a date, the newest ones when none is given.

        Raises:
            ConfigError: the sleeve cannot be traded, or there are no targets.
            DataGateError: the targets come from more than one model or portfolio.
        """
        if sleeve not in SLEEVES:
            raise ConfigError(f"the sleeve {sleeve!r} cannot be traded", remedy=f"sleeves are {', '.join(SLEEVES)}")
        newest = "coalesce(?, (select max(dt) from ops.targets where sleeve = ?))"
        rows = self.con.execute(
            "select symbol, weight, price_usd, day_value_usd, volatility, score, dt, coalesce(run_id, ''), model_id, "
            f"portfolio_hash, recorded_at from ops.targets where sleeve = ? and dt = {newest} order by symbol",
            [sleeve, dt, sleeve],
        ).fetchall()
        if not rows:
            raise ConfigError(
                f"there are no targets of {sleeve} for {dt or 'any date'}",
                remedy=f"run `trademl portfolio build --sleeve {sleeve}` first",
            )
        # A later decision replaces an earlier one as a whole: a symbol that it does not name has no target any more.
        last = max(row[10] for row in rows)
        rows = [row for row in rows if row[10] == last]
        sources = {row[7:10] for row in rows}
        if len(sources) > 1:
            raise DataGateError(
                f"the targets of {sleeve} for {rows[0][6]} come from {len(sources)} models or portfolios",
                remedy="run `trademl portfolio build` again",
            )
        (run_id, model_id, portfolio_hash), day = next(iter(sources)), rows[0][6]
        targets = tuple(
            Target(
                symbol=row[0],
                weight=row[1],
                price=_number(row[2]),
                day_volume=_number(row[3]) / _number(row[2]) if row[2] else 0.0,
                day_volatility=(row[4] or 0.0) / SESSIONS_PER_YEAR**0.5,
            )
            for row in rows
        )
        scores = np.array([_number(row[5]) for row in rows], dtype=np.float64)
        return DecidedTargets(sleeve, day, run_id or model_id, model_id, portfolio_hash, targets, scores)

    def liquidity(self) -> dict[str, tuple[float, float]]:
        """Return average traded value (USD) and volatility of a session by symbol, as the newest targets know them."""
        rows = self.con.execute(
            "select symbol, max_by(day_value_usd, dt), max_by(volatility, dt) from ops.targets "
            "where day_value_usd > 0 and volatility >= 0 group by symbol"
        ).fetchall()
        return {symbol: (value, volatility / SESSIONS_PER_YEAR**0.5) for symbol, value, volatility in rows}

    def data(self, targets: DecidedTargets, now: datetime) -> DataFacts:
        """Measure what the tripwires of data look at."""
        dt = targets.dt
        coverage = self.con.execute(
            "select status, reasons::varchar from silver.coverage where dataset = 'equity_bars' and date = ?", [dt]
        ).fetchall()
        behind = None
        if self.hours(dt) is not None:
            behind = self.con.execute(
                "select count(*) from silver.calendar where date > ? and decision_at <= ?", [dt, now]
            ).fetchall()[0][0]
        ended = self.con.execute(
            "select max(label_end) from preds.oof where sleeve = ? and run_id = ? and label_end <= ?",
            [targets.sleeve, targets.run_id, dt],
        ).fetchall()[0][0]
        return DataFacts(
            dt=dt,
            coverage=(coverage[0][0], coverage[0][1] or "") if coverage else None,
            sessions_behind=behind,
            model_age_days=None if ended is None else (dt - ended).days,
            prediction=self._prediction_drift(targets),
            features=self._feature_drift(targets.sleeve, dt),
        )

    def _prediction_drift(self, targets: DecidedTargets) -> Drift | None:
        """Compare the scores with the model's out-of-fold ones of the sessions before, else with those it served."""
        table = PREDICTIONS[targets.sleeve]
        seen = targets.scores[np.isfinite(targets.scores)]
        for relation, where, given in (
            (
                "preds.oof",
                "sleeve = ? and run_id = ? and path_id = (select min(path_id) from preds.oof where run_id = ?)",
                [targets.sleeve, targets.run_id, targets.run_id],
            ),
            (table, "model_id = ?", [targets.model_id]),
        ):
            rows = self.con.execute(
                f"select dt, yhat from {relation} where {where} and dt < ? and yhat is not null "
                f"qualify dense_rank() over (order by dt desc) <= {REFERENCE_SESSIONS}",
                [*given, targets.dt],
            ).fetchnumpy()
            days, values = np.asarray(rows["dt"]), np.ma.filled(np.ma.asarray(rows["yhat"], dtype=np.float64), np.nan)
            if len(np.unique(days)) >= 2 and len(seen):
                return _drift("prediction", days, values, seen)
        return None

    def _feature_drift(self, sleeve: str, dt: date) -> tuple[Drift, ...]:
        """Compare each z-scored feature of a session with the sessions before it."""
        table = _FEATURES[sleeve]
        columns = [row[0] for row in self.con.execute(f"describe {table}").fetchall() if row[0].endswith("_dm")]
        if not columns:
            return ()
        listed = ", ".join(identifier(name) for name in columns)
        found = self.con.execute(
            f"select date, {listed} from {table} where in_universe and date <= $day and date >= "
            f"(select min(date) from (select distinct date from {table} where date < $day order by date desc "
            f"limit {REFERENCE_SESSIONS}))",
            {"day": dt},
        ).fetchnumpy()
        days = np.asarray(found["date"]).astype("datetime64[D]")
        is_new = days == np.datetime64(dt)
        if not is_new.any() or len(np.unique(days)) < 3:
            return ()
        drifts = []
        for name in columns:
            values = np.ma.filled(np.ma.asarray(found[name], dtype=np.float64), np.nan)
            drifts.append(_drift(name, days[~is_new], values[~is_new], values[is_new]))
        return tuple(drifts)


def _drift(name: str, days: NDArray[Any], values: NDArray[np.float64], seen: NDArray[np.float64]) -> Drift:
    """The index of a session against the pool of the reference, beside that of the pool's strangest session."""
    edges, shares = reference_bins(values)
    worst = max(drift_from_bins(edges, shares, values[days == day]) for day in np.unique(days))
    return Drift(name, drift_from_bins(edges, shares, seen), worst)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
