"""Score one session with one trained run: features from a snapshot; ONNX, calibrator and residual spread from a bundle.

Everything here runs on the base install. A score is made only from features of the very session asked for, by a bundle
whose files match their hashes and whose graph scores its golden vectors bit for bit on this machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, sql_utc, utc_now
from trademl.edge.bundle import SCORING, Bundle, open_bundle
from trademl.edge.features import read_matrix
from trademl.errors import DataGateError, ModelError, SnapshotError
from trademl.lake.names import qualified
from trademl.validation.calibration import PROBABILITY_RANGE, apply

__all__ = [
    "SCORING",
    "Bundle",
    "Scores",
    "check_session",
    "open_bundle",
    "prediction_rows",
    "rank_pct",
    "read_features",
    "read_regime",
    "score",
    "score_rows",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one session. Arrays have one element per entity, in order of the entity's name.

    Attributes:
        as_of: the session whose features were scored.
        regime: its volatility regime, None when unknown.
        yhat: raw score, in the unit of the run's target.
        yhat_std: standard deviation of out-of-fold residuals at this score and regime, in the same unit.
        prob_up: calibrated probability that the label is above 0, within [0.01, 0.99].
        rank_pct: rank of yhat over the number of entities, average rank for ties, in (0, 1].
    """

    bundle: Bundle
    as_of: date
    regime: str | None
    entities: tuple[str, ...]
    yhat: FloatArray
    yhat_std: FloatArray
    prob_up: FloatArray
    rank_pct: FloatArray

    @property
    def model_id(self) -> str:
        return self.bundle.run_id

    @property
    def label(self) -> str:
        return self.bundle.label

    @property
    def horizon(self) -> int:
        return self.bundle.horizon

    def __len__(self) -> int:
        return len(self.entities)


class Predicted(Protocol):
    """What becomes rows of a prediction table: scores of one run, or of whoever stood in for it."""

    @property
    def model_id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def horizon(self) -> int: ...
    @property
    def as_of(self) -> date: ...
    @property
    def entities(self) -> tuple[str, ...]: ...
    @property
    def yhat(self) -> FloatArray: ...
    @property
    def yhat_std(self) -> FloatArray: ...
    @property
    def prob_up(self) -> FloatArray: ...
    @property
    def rank_pct(self) -> FloatArray: ...


def score(
    con: duckdb.DuckDBPyConnection,
    bundle_dir: Path,
    as_of: date,
    *,
    coverage: str = "equity_bars",
    regimes: str = "gold.equities_regime",
) -> Scores:
    """Score the universe of session ``as_of`` with the run in ``bundle_dir``.

    Args:
        con: a snapshot's connection.
        bundle_dir: a finished run folder.
        as_of: the session; its own features are scored, never those of another.
        coverage: the dataset of ``silver.coverage`` that must be GREEN on that session.
        regimes: the table of volatility regimes: date, regime.

    Raises:
        DataGateError: ``as_of`` is no session, is not GREEN, or has no features.
        ArtifactError: the bundle does not verify or lacks a file.
        ModelError: the features table lacks a column of the model, or a score is not a number.
        ParityError: this machine scores the golden vectors differently.
        SnapshotError: the snapshot lacks a table.
    """
    bundle = open_bundle(bundle_dir)
    check_session(con, as_of, coverage)
    entities, X = read_features(con, bundle, as_of)
    regime = read_regime(con, regimes, as_of)
    return score_rows(bundle, as_of, entities, X, regime)


def score_rows(
    bundle: Bundle, as_of: date, entities: Sequence[str], X: NDArray[np.float32], regime: str | None
) -> Scores:
    """Score the features of one session: the one path by which a server and a device come to their numbers.

    Args:
        bundle: the model and what belongs to it.
        as_of: the session that ``X`` is of.
        entities: one name per row, in order of name.
        X: float32, shape (entities, features), in the model's order of features, NaN where missing.
        regime: the session's volatility regime, None when unknown.

    Raises:
        ModelError: ``X`` has another width, or a score is not a number.
    """
    yhat = bundle.session.predict(X)
    strange = ~np.isfinite(yhat)
    if strange.any():
        raise ModelError(
            f"{int(strange.sum())} of {len(yhat)} scores are not numbers, "
            f"{entities[int(np.argmax(strange))]} among them",
            remedy="look at the features of that row; nothing was written",
        )
    return Scores(
        bundle=bundle,
        as_of=as_of,
        regime=regime,
        entities=tuple(entities),
        yhat=yhat,
        yhat_std=bundle.residuals.lookup(yhat, bundle.residuals.code(regime)),
        prob_up=apply(bundle.calibrator, yhat, clip=PROBABILITY_RANGE),
        rank_pct=rank_pct(yhat),
    )


def prediction_rows(given: Predicted, entity: str, *, now: Clock = utc_now) -> list[dict[str, Any]]:
    """Return scores as rows of the sleeve's prediction table, whose entity column is ``entity``."""
    stamp = sql_utc(now())
    return [
        {
            entity: name,
            "dt": given.as_of,
            "horizon": given.horizon,
            "model_id": given.model_id,
            "label": given.label,
            "yhat": float(yhat),
            "yhat_std": float(spread),
            "prob_up": float(probability),
            "rank_pct": float(rank),
            "scored_at": stamp,
        }
        for name, yhat, spread, probability, rank in zip(
            given.entities, given.yhat, given.yhat_std, given.prob_up, given.rank_pct, strict=True
        )
    ]


def check_session(
    con: duckdb.DuckDBPyConnection,
    as_of: date,
    dataset: str,
    *,
    calendar: str = "silver.calendar",
    coverage: str = "silver.coverage",
) -> None:
    """Refuse a date that is not a session of ``calendar``, or whose grade in ``coverage`` is anything but GREEN.

    Raises:
        DataGateError: with the date, its status, the limit and the reasons.
        SnapshotError: the snapshot has no calendar or no coverage.
    """
    rows = _query(
        con,
        "select calendar.date, coverage.status, coverage.coverage_ratio, coverage.reasons, "
        f"(select max(date) from {coverage} where dataset = $dataset) "
        f"from {calendar} as calendar left join {coverage} as coverage "
        "on calendar.date = coverage.date and coverage.dataset = $dataset where calendar.date = $day",
        {"dataset": dataset, "day": as_of},
    )
    if not rows:
        raise DataGateError(
            f"{as_of} ({as_of:%A}) is not a session in {calendar}: there is nothing to score",
            remedy="give a trading day with --as-of, or leave it out for the latest one",
        )
    _, status, ratio, reasons, last = rows[0]
    if status is None:
        raise DataGateError(
            f"{coverage} does not grade {dataset} on {as_of}; it ends on {last or 'no session at all'}",
            remedy=f"land the bars of {as_of} (`trademl ingest`), then `trademl build`",
        )
    if status != "GREEN":
        told = "" if ratio is None else f" with {ratio:.1%} of the expected rows present and unflagged"
        raise DataGateError(
            f"the data gate refuses to score {as_of}: {dataset} is {status}{told}; limit: GREEN"
            + (f" ({_text(reasons)})" if reasons else ""),
            remedy=f"land what is missing on {as_of} (`trademl ingest`), then `trademl build` and score again",
        )


def read_features(
    con: duckdb.DuckDBPyConnection, bundle: Bundle, as_of: date
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the universe of ``as_of`` in order of name, and its features: float32, (entities, features), NaN for NULL.

    Raises:
        ModelError: the table lacks columns that the model was trained on.
        DataGateError: the session has no row in the universe.
        SnapshotError: the snapshot has no such table.
    """
    with _snapshot_has_it():
        return read_matrix(
            con,
            bundle.feature_names,
            as_of,
            table=bundle.features_table,
            others=bundle.feature_tables,
            entity=bundle.entity,
            model=bundle.run_id,
        )


def read_regime(con: duckdb.DuckDBPyConnection, table: str, as_of: date) -> str | None:
    """Return the volatility regime known at ``as_of``, None where it is unknown (early sessions).

    Raises:
        SnapshotError: the snapshot has no such table.
    """
    rows = _query(con, f"select regime from {qualified(table)} where date = $day", {"day": as_of})
    return rows[0][0] if rows else None


def rank_pct(values: FloatArray) -> FloatArray:
    """Return ranks over the number of values, average rank for ties: pandas' ``rank(pct=True)``.

    >>> rank_pct(np.array([0.3, 0.1, 0.3, 0.2])).tolist()
    [0.875, 0.25, 0.875, 0.5]
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place] / max(len(values), 1), dtype=np.float64)


def _query(
    con: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    with _snapshot_has_it():
        return con.execute(sql, dict(parameters) if parameters else None).fetchall()


@contextmanager
def _snapshot_has_it() -> Iterator[None]:
    try:
        yield
    except duckdb.CatalogException as error:
        raise SnapshotError(
            f"the snapshot lacks what scoring needs: {str(error).splitlines()[0]}",
            remedy="run `trademl build` with this version of trademl",
        ) from error


def _text(reasons: Any) -> str:
    return reasons if isinstance(reasons, str) else "; ".join(map(str, reasons))
