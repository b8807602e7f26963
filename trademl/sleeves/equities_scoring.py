"""Scoring the equities sleeve: from the snapshot to ``preds.equities``, a new snapshot and the daily report.

Every step is either whole or absent and can be repeated: after a kill the same command completes, and a second run of
it adds nothing.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.edge.daily import EQUITIES, Report, daily_report, write_report
from trademl.edge.fetch import sign_report
from trademl.edge.score import prediction_rows
from trademl.errors import DataGateError, SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot, snapshot_batches
from trademl.sleeves.equities_shadow import shadow_beside
from trademl.sleeves.routed import Features, Origin, answer
from trademl.warehouse.read import read_snapshot

_FEATURES = Features("gold.equities_features", "symbol")


@dataclass(frozen=True)
class ScoringResult:
    """One scored session.

    Attributes:
        as_of: the session.
        run_id: the model's id: the run whose model scored it, unless a fallback or the frozen scorer did.
        origin: how the model was chosen: asked for, or by the router.
        notes: what happened on the way that somebody should know.
        rows: how many entities have a score.
        written: whether this call added rows; False when they were there, unchanged, before.
        snapshot: number of the snapshot that shows them.
        report: the daily report; ``json_path`` and ``markdown_path`` hold it.
    """

    as_of: date
    run_id: str
    origin: Origin
    notes: tuple[str, ...]
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
    """Score one session, publish the scores and write the daily report; sign it if ``TRADEML_RELEASE_KEY`` names a key.

    Args:
        home: where snapshot and artifacts are.
        as_of: the session; None is the latest one with features.
        run_id: the run to score with; None asks the router: the champion, or the latest registered run while there is
            none, or the frozen scorer when the kill switch is on.
        now: gives ``scored_at``.

    Raises:
        DataGateError: the session is not one, is not GREEN, or has no features.
        ArtifactError: there is no such registered run, or its folder does not verify.
        ModelError: the features do not fit the model.
        ConfigError: configs/router.yml is wrong, or the key cannot be used.
        PromotionError: the decisions on the sleeve do not add up.
        SnapshotError: there is no snapshot, or it lacks a table.
        LockedError: another process keeps publishing.
    """
    layout = layout_of(home)
    with read_snapshot(home, now=now) as snapshot:
        session = as_of or latest_session(snapshot.con)
        given = answer(snapshot.con, home, EQUITIES, _FEATURES, session, run_id, now=now)
    before = set(layout.batch_files(EQUITIES.predictions))
    batch = write_rows(layout, EQUITIES.predictions, prediction_rows(given, EQUITIES.entity, now=now), now=now)
    manifest = snapshot_batches(layout, now=now)
    with open_snapshot(layout, manifest.seq) as published:
        report = daily_report(published.con, published.manifest, session, given.model_id, model_status=given.status)
    as_json, as_markdown = write_report(layout, report)
    sign_report(layout, as_json)
    beside = shadow_beside(home, session, now=now)
    return ScoringResult(
        as_of=session,
        run_id=given.model_id,
        origin=given.origin,
        notes=(*given.notes, *beside),
        rows=len(given),
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
        found = con.execute(f"select max(date) from {_FEATURES.table}").fetchall()[0][0]
    except duckdb.CatalogException as error:
        raise SnapshotError(f"the snapshot has no {_FEATURES.table}", remedy="run `trademl build`") from error
    if found is None:
        raise DataGateError(
            f"{_FEATURES.table} is empty: there is no session to score",
            remedy="land bars (`trademl ingest equities PATHS`), then `trademl build`",
        )
    session: date = found
    return session
