"""Scoring the equities sleeve: from the snapshot to ``preds.equities``, a new snapshot and the daily report.

Every step is either whole or absent and can be repeated: after a kill the same command completes, and a second run of
it adds nothing.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.edge.daily import CHALLENGER, EQUITIES, Report, daily_report, write_report
from trademl.edge.score import Scores, score
from trademl.errors import ArtifactError, DataGateError, SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot, snapshot_batches
from trademl.warehouse.read import read_snapshot

_SLEEVE = EQUITIES.sleeve
_REGISTERED = "registered"
_FEATURES = "gold.equities_features"
_SHOWN = 5


@dataclass(frozen=True)
class ScoringResult:
    """One scored session.

    Attributes:
        as_of: the session.
        run_id: the run whose model scored it, which is also the model's id.
        chosen: whether the caller named the run; otherwise it is the latest registered one.
        rows: how many entities have a score.
        written: whether this call added rows; False when they were there, unchanged, before.
        snapshot: number of the snapshot that shows them.
        report: the daily report; ``json_path`` and ``markdown_path`` hold it.
    """

    as_of: date
    run_id: str
    chosen: bool
    rows: int
    written: bool
    snapshot: int
    report: Report
    json_path: Path
    markdown_path: Path

    @property
    def model_status(self) -> str:
        """How the model stands in governance."""
        return str(self.report["model"]["status"])


def score_equities(
    home: Home, as_of: date | None = None, run_id: str | None = None, *, now: Clock = utc_now
) -> ScoringResult:
    """Score one session, publish the scores and write the daily report.

    Args:
        home: where snapshot and artifacts are.
        as_of: the session; None is the latest one with features.
        run_id: the run to score with; None is the latest registered one. No run is promoted before governance decides,
            so either is a challenger.
        now: gives ``scored_at``.

    Raises:
        DataGateError: the session is not one, is not GREEN, or has no features.
        ArtifactError: there is no such registered run, or its folder does not verify.
        ModelError: the features do not fit the model.
        SnapshotError: there is no snapshot, or it lacks a table.
        LockedError: another process keeps publishing.
    """
    layout = layout_of(home)
    with read_snapshot(home, now=now) as snapshot:
        session = as_of or latest_session(snapshot.con)
        run, folder = find_run(snapshot.con, home, run_id)
        scores = score(snapshot.con, folder, session, coverage=EQUITIES.coverage, regimes=EQUITIES.regimes)
        if scores.bundle.run_id != run:
            raise ArtifactError(
                f"ops.runs says that run {run} lies in {folder}, which holds {scores.bundle.run_id}",
                remedy="restore the run folder, or train again",
            )
    before = set(layout.batch_files(EQUITIES.predictions))
    batch = write_rows(layout, EQUITIES.predictions, prediction_rows(scores, now=now), now=now)
    manifest = snapshot_batches(layout, now=now)
    with open_snapshot(layout, manifest.seq) as published:
        report = daily_report(published.con, published.manifest, session, run, model_status=CHALLENGER)
    as_json, as_markdown = write_report(layout, report)
    return ScoringResult(
        as_of=session,
        run_id=run,
        chosen=run_id is not None,
        rows=len(scores),
        written=batch is not None and batch not in before,
        snapshot=manifest.seq,
        report=report,
        json_path=as_json,
        markdown_path=as_markdown,
    )


def latest_session(con: duckdb.DuckDBPyConnection) -> date:
    """Return the last session that has features.

    Raises:
        DataGateError: no session has.
        SnapshotError: the snapshot has no features table.
    """
    try:
        found = con.execute(f"select max(date) from {_FEATURES}").fetchall()[0][0]
    except duckdb.CatalogException as error:
        raise SnapshotError(f"the snapshot has no {_FEATURES}", remedy="run `trademl build`") from error
    if found is None:
        raise DataGateError(
            f"{_FEATURES} is empty: there is no session to score",
            remedy="land bars (`trademl ingest equities PATHS`), then `trademl build`",
        )
    session: date = found
    return session


def find_run(con: duckdb.DuckDBPyConnection, home: Home, run_id: str | None) -> tuple[str, Path]:
    """Return the name and folder of a registered run: ``run_id``, or the one registered last.

    A run whose splits leak, or that never finished, is not registered and so cannot score.

    Raises:
        ArtifactError: there is none.
    """
    rows = con.execute(
        "select run_id, path from ops.runs where sleeve = $sleeve and status = $status "
        "order by recorded_at desc, run_id",
        {"sleeve": _SLEEVE, "status": _REGISTERED},
    ).fetchall()
    if not rows:
        raise ArtifactError(
            f"ops.runs has no registered run of {_SLEEVE}", remedy=f"run `trademl train {_SLEEVE}` to the end"
        )
    for name, path in rows:
        if run_id in (None, name):
            return name, home.root / path
    known = ", ".join(name for name, _ in rows[:_SHOWN]) + (", ..." if len(rows) > _SHOWN else "")
    raise ArtifactError(
        f"`run={run_id}` is not a registered run of {_SLEEVE}", remedy=f"give one of {known}, or leave out --run"
    )


def prediction_rows(scores: Scores, *, now: Clock = utc_now) -> list[dict[str, Any]]:
    """Return the scores as rows of ``preds.equities``."""
    bundle, stamp = scores.bundle, sql_utc(now())
    return [
        {
            EQUITIES.entity: entity,
            "dt": scores.as_of,
            "horizon": bundle.horizon,
            "model_id": bundle.run_id,
            "label": bundle.label,
            "yhat": float(yhat),
            "yhat_std": float(spread),
            "prob_up": float(probability),
            "rank_pct": float(rank),
            "scored_at": stamp,
        }
        for entity, yhat, spread, probability, rank in zip(
            scores.entities, scores.yhat, scores.yhat_std, scores.prob_up, scores.rank_pct, strict=True
        )
    ]
