"""The golden check of a release: this machine must compute what the server computed, to the last bit.

The server notes, for the session ``as_of``, a hash of every feature column and of the scores. A device computes the
session before it accepts the release, so an engine, a processor or a statement that gives other numbers is found before
it is used, and the differing features are named.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.edge.bundle import Bundle, asset_file, open_release_bundle
from trademl.edge.features import FeatureSql, bound_memory, compute_features
from trademl.errors import ParityError, ReleaseError
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest
from trademl.lake.reading import connect_files
from trademl.lake.release import Release

SQL = "sql/features.json"
GOLDEN = "golden/features.json"
_SHOWN = 5
_REFUSED = "do not score on this machine; compare its duckdb and onnxruntime versions with the release's"


def golden_values(
    as_of: date,
    symbols: Sequence[str],
    names: Sequence[str],
    X: NDArray[np.float32],
    regime: str | None,
    yhat: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the document ``golden/features.json``: hashes of what was computed for ``as_of``.

    A column is hashed as its little-endian float32 values in order of symbol, every NaN as the same one.
    """
    return {
        "as_of": as_of.isoformat(),
        "rows": len(symbols),
        "symbols": hashlib.sha256("\n".join(symbols).encode()).hexdigest(),
        "regime": regime,
        "features": {name: _column(X[:, number]) for number, name in enumerate(names)},
        "yhat": hashlib.sha256(yhat.astype("<f8").tobytes()).hexdigest(),
    }


def compute_golden(con: duckdb.DuckDBPyConnection, sql: FeatureSql, bundle: Bundle, as_of: date) -> dict[str, Any]:
    """Compute session ``as_of`` on ``con``, a private connection to a release's tables, and return its golden values.

    Raises:
        DataGateError, ModelError, ReleaseError: the session cannot be computed; see :func:`compute_features`.
    """
    symbols, X = compute_features(con, sql, as_of, bundle.feature_names)
    rows = con.execute("select regime from gold.equities_regime where date = $day", {"day": as_of}).fetchall()
    regime = rows[0][0] if rows else None
    return golden_values(as_of, symbols, bundle.feature_names, X, regime, bundle.session.predict(X))


def require_equal(expected: dict[str, Any], found: dict[str, Any], what: str) -> None:
    """Compare two golden documents.

    Raises:
        ParityError: they differ; the message names what does.
    """
    if expected == found:
        return
    old, new = expected.get("features", {}), found.get("features", {})
    differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    parts = [f"{key} {found.get(key)!r}, expected {expected.get(key)!r}" for key in ("as_of", "rows", "regime")
             if found.get(key) != expected.get(key)]  # fmt: skip
    parts += ["other symbols"] if found.get("symbols") != expected.get("symbols") else []
    if differing:
        listed = ", ".join(differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
        parts.append(f"{len(differing)} of {len(old)} features differ: {listed}")
    elif found.get("yhat") != expected.get("yhat"):
        parts.append("the same features score differently")
    raise ParityError(f"{what} computes {expected.get('as_of')} differently: {'; '.join(parts)}", remedy=_REFUSED)


def check_release(layout: Layout, manifest: Manifest, release: Release) -> None:
    """Compute the session of ``release`` from its own objects and compare with what the server noted.

    Raises:
        ParityError: a feature, the regime or a score differs.
        ReleaseError: the release lacks what it takes.
        ArtifactError: the model's files are altered or do not fit each other.
        DataGateError, ModelError, SnapshotError: the session cannot be computed.
    """
    bundle = open_release_bundle(layout, release)
    sql = FeatureSql.from_json(asset_file(layout, release, SQL).read_bytes())
    try:
        expected = json.loads(asset_file(layout, release, GOLDEN).read_bytes())
        told = date.fromisoformat(expected["as_of"])
    except (ValueError, TypeError, KeyError) as error:
        raise ReleaseError(
            f"{GOLDEN} of release {release.seq} cannot be read: {error!r}",
            remedy="pull a release that this version of trademl published",
        ) from error
    if told != release.as_of:
        raise ReleaseError(
            f"release {release.seq} is of {release.as_of}, its golden values are of {told}",
            remedy="publish again, and pull that release",
        )
    con = connect_files(layout, manifest, threads=1)
    try:
        bound_memory(con, layout, manifest, sql)
        found = compute_golden(con, sql, bundle, release.as_of)
    finally:
        con.close()
    require_equal(expected, found, "this machine")


def _column(values: NDArray[np.float32]) -> str:
    plain = np.where(np.isnan(values), np.float32(np.nan), values).astype("<f4")
    return hashlib.sha256(plain.tobytes()).hexdigest()
