"""Scoring on a device: from a pulled release to predictions, a report and a journal, or to nothing at all.

``CURRENT`` is read once; everything else comes from the release that it names. Whatever is written is written after
every tripwire has held, each file whole or absent, and scoring again changes nothing: after a kill the same
command completes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.lake import read_lake_config
from trademl.edge.bundle import asset_file, open_release_bundle
from trademl.edge.daily import EQUITIES, Report, daily_report, write_report
from trademl.edge.features import FeatureSql, bound_memory, compute_features, read_matrix
from trademl.edge.golden import GOLDEN, SQL, golden_values, require_equal
from trademl.edge.guard import (
    REFERENCE,
    Measured,
    Reference,
    check_freshness,
    check_scores,
    no_scores_without,
    read_reference,
)
from trademl.edge.journal import Journal, write_journal
from trademl.edge.score import Scores, check_session, prediction_rows, read_regime, score_rows
from trademl.errors import ReleaseError, SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import Manifest
from trademl.lake.reading import Snapshot, is_device, open_snapshot, show_batches
from trademl.lake.release import Release, parse_release

Matrix = tuple[tuple[str, ...], NDArray[np.float32]]
Compute = Callable[[duckdb.DuckDBPyConnection, FeatureSql, date, Sequence[str]], Matrix]

_PULL = "run `trademl lake pull`"


@dataclass(frozen=True)
class EdgeResult:
    """One session scored on a device.

    Attributes:
        as_of: the session.
        run_id: the released model.
        release: the number of the release.
        rows: how many symbols have a score.
        written: whether this call added rows; False when they were there, unchanged, before.
        measured: what the tripwires saw.
        report: the daily report; ``json_path`` and ``markdown_path`` hold it.
        journal: the file with the feature vectors that were scored.
    """

    as_of: date
    run_id: str
    release: int
    rows: int
    written: bool
    measured: Measured
    report: Report
    json_path: Path
    markdown_path: Path
    journal: Path


def score_release(
    home: Home, as_of: date | None = None, *, now: Clock = utc_now, compute: Compute = compute_features
) -> EdgeResult:
    """Score one session with the current release; write predictions, report and journal if every tripwire holds.

    Args:
        home: a device's home, whose lake was filled by a pull.
        as_of: the session; None is the last one of the release.
        now: the clock.
        compute: how features are computed.

    Raises:
        TripwireError: the release is stale, the session is not GREEN, this machine computes differently, or the
            scores are not plausible. Nothing was written.
        ReleaseError: there is no pulled release, or snapshot and release do not belong together.
        ArtifactError: an object of the release is missing or altered.
        ModelError: the features do not fit the model, or a score is not a number.
        ConfigError: configs/lake.yml is wrong.
    """
    config = read_lake_config(home)
    layout = layout_of(home)
    if not layout.current.is_file():
        raise ReleaseError(f"no release in {layout.root}: there is nothing to score with", remedy=_PULL)
    with open_snapshot(layout, threads=1) as snapshot:
        con = snapshot.con
        release = pulled_release(layout, snapshot.manifest)
        check_freshness(con, release, config, now())
        session = as_of or release.as_of
        with no_scores_without(f"release {release.seq} cannot serve {session}"):
            scores, X = _scored(layout, snapshot, release, session, compute)
        reference = read_reference(asset_file(layout, release, REFERENCE).read_bytes())
        columns = _columns(con, scores, X, reference)
        measured = check_scores(con, scores, columns, reference, config.scoring, EQUITIES)
        journal = write_journal(layout, _journal(scores, X, release, now))
        before = set(layout.batch_files(EQUITIES.predictions))
        rows = prediction_rows(scores, EQUITIES.entity, now=now)
        batch = write_rows(layout, EQUITIES.predictions, rows, now=now)
        show_batches(con, layout, EQUITIES.predictions)
        report = daily_report(con, snapshot.manifest, session, scores.model_id, model_status=release.model.status)
    as_json, as_markdown = write_report(layout, report)
    return EdgeResult(
        as_of=session,
        run_id=scores.model_id,
        release=release.seq,
        rows=len(scores),
        written=batch is not None and batch not in before,
        measured=measured,
        report=report,
        json_path=as_json,
        markdown_path=as_markdown,
        journal=journal,
    )


def pulled_release(layout: Layout, manifest: Manifest) -> Release:
    """Return the release that ``manifest`` was made from.

    Raises:
        ReleaseError: it was made by a build, or the two do not belong together.
    """
    if not is_device(manifest):
        raise ReleaseError(
            f"snapshot {manifest.seq} in {layout.root} is of a build, not of a release: this is a server's lake",
            remedy="score here with `trademl score equities`; on a device run `trademl lake pull`",
        )
    path = layout.release(manifest.seq)
    try:
        release = parse_release(path.read_bytes())
    except OSError as error:
        raise ReleaseError(f"release {manifest.seq} has no document {path}: {error.strerror}", remedy=_PULL) from error
    if release.to_manifest() != manifest:
        raise ReleaseError(
            f"snapshot {manifest.seq} is not what {path} says: one of the two was replaced",
            remedy="run `trademl lake verify`, then `trademl lake pull`",
        )
    return release


def _scored(
    layout: Layout, snapshot: Snapshot, release: Release, session: date, compute: Compute
) -> tuple[Scores, NDArray[np.float32]]:
    """Return scores and the features behind them; for the release's own session they must be the server's own."""
    con, manifest = snapshot.con, snapshot.manifest
    bundle = open_release_bundle(layout, release)
    sql = FeatureSql.from_json(asset_file(layout, release, SQL).read_bytes())
    check_session(con, session, EQUITIES.coverage)
    bound_memory(con, layout, manifest, sql)
    symbols, X = compute(con, sql, session, bundle.feature_names)
    regime = read_regime(con, EQUITIES.regimes, session)
    scores = score_rows(bundle, session, symbols, X, regime)
    if session == release.as_of:
        found = golden_values(session, symbols, bundle.feature_names, X, regime, scores.yhat)
        require_equal(_golden(layout, release), found, "this machine")
    return scores, X


def _golden(layout: Layout, release: Release) -> dict[str, Any]:
    try:
        found: dict[str, Any] = dict(json.loads(asset_file(layout, release, GOLDEN).read_bytes()))
    except (ValueError, TypeError) as error:
        raise ReleaseError(f"{GOLDEN} of release {release.seq} cannot be read: {error!r}", remedy=_PULL) from error
    return found


def _columns(
    con: duckdb.DuckDBPyConnection, scores: Scores, X: NDArray[np.float32], reference: Reference
) -> Mapping[str, NDArray[np.float32]]:
    """Return every column of the reference: the model's features, and raw ones behind its ranks and z-scores."""
    names = scores.bundle.feature_names
    columns = {name: X[:, place] for place, name in enumerate(names)}
    others = [name for name in reference.features if name not in columns]
    if others:
        table, tables = scores.bundle.features_table, scores.bundle.feature_tables
        symbols, found = read_matrix(con, others, scores.as_of, table=table, others=tables)
        if symbols != scores.entities:
            raise SnapshotError(
                f"the features of {scores.as_of} have other symbols than were scored", remedy="score again"
            )
        columns |= {name: found[:, place] for place, name in enumerate(others)}
    return columns


def _journal(scores: Scores, X: NDArray[np.float32], release: Release, now: Clock) -> Journal:
    return Journal(
        sleeve=EQUITIES.sleeve,
        as_of=scores.as_of,
        run_id=scores.model_id,
        release=release.seq,
        scored_at=now(),
        symbols=scores.entities,
        feature_names=scores.bundle.feature_names,
        X=X,
        yhat=scores.yhat,
    )
