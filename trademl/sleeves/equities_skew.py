"""Training-serving skew of the equities sleeve: the server computes what a device scored again, and compares every bit.

A device keeps the vectors it served (:mod:`trademl.edge.journal`). Gold has the same session from the same SQL, so each
cell must be the same float32, and each score the same double. What differs is written to ``ops.skew`` by feature. A
correction that landed after the release differs too, and rightly so: what was served was not what is known now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.edge.daily import EQUITIES
from trademl.edge.journal import Journal, find_journals, journal_folder, read_journal
from trademl.edge.score import open_bundle, read_features
from trademl.errors import ArtifactError, SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.reading import is_device
from trademl.lake.snapshot import snapshot_batches
from trademl.sleeves.routed import registered_run
from trademl.warehouse.read import read_snapshot

TABLE = "ops.skew"
SCORE = "yhat"
"""The name under which the score itself is compared."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureSkew:
    """One feature of one session, device against server.

    Attributes:
        feature: its name; ``yhat`` is the score.
        mismatches: symbols with a value on both sides, and not the same bits.
        missing: symbols with a value on the server alone.
        extra: symbols with a value on the device alone.
        smape: mean of ``2 |a - b| / (|a| + |b|)`` over the symbols with a value on both sides (0 where both are 0),
            between 0 and 2. Source: Makridakis, "Accuracy measures" (International Journal of Forecasting, 1993).
    """

    feature: str
    mismatches: int
    missing: int
    extra: int
    smape: float

    @property
    def differs(self) -> bool:
        return bool(self.mismatches or self.missing or self.extra)


@dataclass(frozen=True)
class SkewReport:
    """One journal, replayed. ``features`` are in the model's order, the score last."""

    path: Path
    as_of: date
    run_id: str
    release: int
    rows: int
    features: tuple[FeatureSkew, ...]

    @property
    def skewed(self) -> tuple[FeatureSkew, ...]:
        """What differs."""
        return tuple(feature for feature in self.features if feature.differs)


def replay_journals(home: Home, place: Path | None = None, *, now: Clock = utc_now) -> tuple[SkewReport, ...]:
    """Compute the vectors of journals again and write what was found to ``ops.skew``.

    Args:
        home: the server's home.
        place: a journal, or a folder of them; None is ``lake/journal/equities`` of the home.
        now: gives ``recorded_at``.

    Raises:
        ArtifactError: there is no journal, one cannot be read, or its model is not a registered run.
        DataGateError: gold has no row of a journal's session.
        ModelError: gold lacks a feature of a journal.
        SnapshotError: there is no snapshot, or it is a device's.
    """
    layout = layout_of(home)
    found = []
    with read_snapshot(home, now=now) as snapshot:
        if is_device(snapshot.manifest):
            raise SnapshotError(
                "this lake holds a release and no gold of its own: only a server can replay what was computed here",
                remedy="copy lake/journal to the server and run `trademl edge verify --journal PATH` there",
            )
        for path in find_journals(place or journal_folder(layout, EQUITIES.sleeve)):
            found.append(_replay(snapshot.con, home, path))
    stamp = sql_utc(now())
    rows = [_row(report, feature, stamp) for report in _latest(found) for feature in report.features]
    write_rows(layout, TABLE, rows, now=now)
    snapshot_batches(layout, now=now)
    return tuple(found)


def compare(
    feature: str,
    symbols: Sequence[str],
    served: FloatArray,
    server_symbols: Sequence[str],
    computed: FloatArray,
) -> FeatureSkew:
    """Compare one column by symbol; a symbol that is not listed has no value, and neither has NaN.

    Both arrays are float64: every float32 is one, so equal bits of the one are equal bits of the other. ``0.0`` and
    ``-0.0`` differ.
    """
    ours = {symbol: value for symbol, value in zip(symbols, served.tolist(), strict=True) if value == value}
    theirs = {symbol: value for symbol, value in zip(server_symbols, computed.tolist(), strict=True) if value == value}
    both = sorted(ours.keys() & theirs.keys())
    a, b = (np.array([side[symbol] for symbol in both], dtype=np.float64) for side in (ours, theirs))
    mismatches = int((a.view(np.uint64) != b.view(np.uint64)).sum())
    with np.errstate(invalid="ignore"):
        size = np.abs(a) + np.abs(b)
        share = np.where(a == b, 0.0, 2.0 * np.abs(a - b) / np.where(size == 0.0, 1.0, size))
    # Two infinities of unlike sign, or one beside a number, are as far apart as can be.
    share = np.where(np.isnan(share), 2.0, share)
    return FeatureSkew(
        feature=feature,
        mismatches=mismatches,
        missing=len(theirs.keys() - ours.keys()),
        extra=len(ours.keys() - theirs.keys()),
        smape=float(share.mean()) if len(share) else 0.0,
    )


def _replay(con: duckdb.DuckDBPyConnection, home: Home, path: Path) -> SkewReport:
    journal = read_journal(path)
    bundle = open_bundle(registered_run(con, home, EQUITIES.sleeve, journal.run_id)[1])
    if journal.feature_names != bundle.feature_names:
        raise ArtifactError(
            f"{path} has {len(journal.feature_names)} features, which are not, in order, the "
            f"{len(bundle.feature_names)} of {bundle.run_id}",
            remedy="copy the journal again from the device",
        )
    symbols, X = read_features(con, bundle, journal.as_of)
    columns = [
        compare(name, journal.symbols, _column(journal, place), symbols, X[:, place].astype(np.float64))
        for place, name in enumerate(bundle.feature_names)
    ]
    columns.append(compare(SCORE, journal.symbols, journal.yhat, symbols, bundle.session.predict(X)))
    return SkewReport(path, journal.as_of, journal.run_id, journal.release, len(journal.symbols), tuple(columns))


def _column(journal: Journal, place: int) -> FloatArray:
    return journal.X[:, place].astype(np.float64)


def _latest(reports: Sequence[SkewReport]) -> list[SkewReport]:
    """Return one report per session and model: that of the highest release."""
    best: dict[tuple[date, str], SkewReport] = {}
    for report in sorted(reports, key=lambda report: report.release):
        best[(report.as_of, report.run_id)] = report
    return list(best.values())


def _row(report: SkewReport, feature: FeatureSkew, stamp: Any) -> dict[str, Any]:
    return {
        "as_of": report.as_of,
        "model_id": report.run_id,
        "feature": feature.feature,
        "mismatches": feature.mismatches,
        "missing": feature.missing,
        "extra": feature.extra,
        "smape": feature.smape,
        "recorded_at": stamp,
    }
