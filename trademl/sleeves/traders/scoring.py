"""Scoring the traders sleeve: from the snapshot to ``preds.traders`` and a new snapshot; twice is once."""

from dataclasses import dataclass
from datetime import date

import duckdb

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.edge.bundle import open_bundle
from trademl.edge.score import check_session, score_rows
from trademl.errors import DataGateError
from trademl.governance.router import frozen_scorer, resolve
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.sleeves.routed import Origin, registered_run
from trademl.sleeves.traders.answers import TraderAnswer, of_frozen, of_run
from trademl.sleeves.traders.pipeline import MIN_WINDOWS
from trademl.sleeves.traders.stack import read_matrix
from trademl.sleeves.traders.train import TRADERS
from trademl.warehouse.read import read_snapshot

TABLE = "preds.traders"

_LAND = "land fills or account-days (`trademl ingest trader-fills PATHS`), then `trademl build`"


@dataclass(frozen=True)
class TraderScores:
    """One scored date.

    Attributes:
        scores: by address.
        origin: how the model was chosen: asked for, or by the router.
        composite: place by the composite score of ``gold.traders_composite``, of those that have one.
        written: whether this call added rows; False when they were there, unchanged, before.
        snapshot: number of the snapshot that shows them.
    """

    scores: TraderAnswer
    origin: Origin
    composite: dict[str, int]
    written: bool
    snapshot: int


def score_traders(
    home: Home, as_of: date | None = None, run_id: str | None = None, *, now: Clock = utc_now
) -> TraderScores:
    """Score the traders of one date and publish the scores.

    Args:
        home: where snapshot and artifacts are.
        as_of: the date; None is the latest one with features.
        run_id: the run to score with; None asks the router: the champion, or the run registered last while there is
            none, or the frozen model when the kill switch is on.
        now: gives ``scored_at``.

    Raises:
        DataGateError: the date has no traders with enough windows, or is not GREEN.
        ArtifactError: there is no such registered run, or its folder does not verify.
        ModelError: the features do not fit the model, or a score is not a number.
        ParityError: this machine scores the golden vectors differently.
        SnapshotError: there is no snapshot.
    """
    layout = layout_of(home)
    with read_snapshot(home, now=now) as snapshot:
        con = snapshot.con
        day = as_of or latest_date(con)
        check_session(con, day, TRADERS.coverage, calendar=TRADERS.calendar, coverage=TRADERS.coverage_table)
        route = resolve(home, TRADERS.name, now=now) if run_id is None else None
        if route is not None and route.answers == "legacy":
            scores = of_frozen(con, frozen_scorer(TRADERS.name), day)
        else:
            scores = _by_run(con, home, run_id if route is None else route.run_id, day)
        composite = composite_ranks(con, day)
    before = set(layout.batch_files(TABLE))
    batch = write_rows(layout, TABLE, scores.rows(now=now), now=now)
    manifest = snapshot_batches(layout, now=now)
    origin: Origin = "asked" if route is None else route.answers
    return TraderScores(scores, origin, composite, batch is not None and batch not in before, manifest.seq)


def _by_run(con: duckdb.DuckDBPyConnection, home: Home, run_id: str | None, day: date) -> TraderAnswer:
    bundle = open_bundle(registered_run(con, home, TRADERS.name, run_id)[1])
    addresses, X = read_matrix(con, bundle.feature_names, day, min_windows=MIN_WINDOWS)
    if not addresses:
        raise DataGateError(
            f"{TRADERS.features_table} has no trader with {MIN_WINDOWS} windows on {day}",
            remedy=f"score a date that has some; or {_LAND}",
        )
    return of_run(score_rows(bundle, day, addresses, X, None))


def latest_date(con: duckdb.DuckDBPyConnection) -> date:
    """Return the last date that has features.

    Raises:
        DataGateError: none has.
    """
    try:
        found = con.execute(f"select max({TRADERS.features_date}) from {TRADERS.features_table}").fetchall()[0][0]
    except duckdb.CatalogException:
        found = None
    if found is None:
        raise DataGateError(f"{TRADERS.features_table} is empty: there is no date to score", remedy=_LAND)
    day: date = found
    return day


def composite_ranks(con: duckdb.DuckDBPyConnection, day: date) -> dict[str, int]:
    """Return each trader's place by the composite score on ``day``; nothing where the warehouse has none."""
    try:
        rows = con.execute(
            "select address, composite_rank from gold.traders_composite where as_of = $day", {"day": day}
        ).fetchall()
    except duckdb.CatalogException:
        return {}
    return {str(address): int(rank) for address, rank in rows}
