"""Publishing the equities sleeve for devices: from the current snapshot to a signed release, RELEASED flipped last.

What leaves the machine is what scoring a session takes and no more: the newest bars, the SQL that makes features of
them, one model. Before it is signed, the session is computed from the extract alone and must equal gold bit for bit.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import commit_file, temporary_beside
from trademl.artifacts.provenance import library_versions
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.lake import LakeConfig, read_lake_config
from trademl.edge.bundle import ASSETS, Bundle, open_bundle
from trademl.edge.daily import CHALLENGER
from trademl.edge.features import BARS, MARKET, REGIME, FeatureSql, column_in, feature_source
from trademl.edge.golden import GOLDEN, SQL, check_release, golden_values
from trademl.edge.score import check_session, read_features, read_regime
from trademl.errors import DataGateError, PromotionError, ReleaseError, SnapshotError
from trademl.governance.router import resolve
from trademl.lake.export import stored_types, view_columns, write_object
from trademl.lake.files import FileLock, sha256_file, write_atomic
from trademl.lake.keys import load_private_key, sign
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import next_seq
from trademl.lake.names import identifier, qualified
from trademl.lake.reading import Snapshot
from trademl.lake.release import Asset, Part, Release, ReleaseModel, ReleaseTable, parse_release
from trademl.sleeves.routed import CHAMPION, registered_run
from trademl.validation.drift import drift_from_bins, reference_bins
from trademl.warehouse.device_sql import device_steps
from trademl.warehouse.read import read_snapshot

SLEEVE = "equities"
DRIFT = "drift/reference.json"
LOOKBACK = 200
"""Sessions that the panel reads before the one it computes: longest_lookback + 70 of dbt_project.yml."""

_REFERENCE_SESSIONS = 252
_WAIT = 120.0
_TWINS = ("_rank", "_dm", "_sn")
_TABLES: dict[str, int | None] = {BARS: None, MARKET: 340, "silver.calendar": None, "silver.coverage": 60}
# The newest dates of each; None is all of them. The regime looks back on 272 sessions of the market.

Told = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """A release that devices can pull; ``bytes_new`` is what a device that has the one before must fetch."""

    seq: int
    as_of: date
    run_id: str
    bytes_total: int
    bytes_new: int
    path: Path


def publish(
    home: Home, run_id: str | None = None, *, now: Clock = utc_now, progress: Told = lambda text: None
) -> Published:
    """Sign and release the current snapshot's last session with one model.

    Args:
        home: the server's home. The private key is the file that ``TRADEML_RELEASE_KEY`` names.
        run_id: the model; None asks the router, which must have a champion.
        now: gives ``created``; the data must be fresh by it.
        progress: called with each step.

    Raises:
        ConfigError: configs/lake.yml or the key is wrong.
        DataGateError: the last session is not GREEN, or older than ``max_age_days``.
        PromotionError: the sleeve has no champion and no run is named.
        ParityError: the extract computes the session differently from gold.
        SnapshotError, ArtifactError, LockedError: snapshot or run folder cannot be read, or another process publishes.
    """
    config = read_lake_config(home)
    layout = layout_of(home)
    key = load_private_key(layout.root)
    run, status = _routed(home, run_id, now)
    with read_snapshot(home, now=now) as snapshot:
        bundle = open_bundle(registered_run(snapshot.con, home, SLEEVE, run)[1])
        as_of = _session(snapshot, bundle, config, now)
        progress("compiling the features for a device")
        steps = device_steps(home, bundle.tables)
        with FileLock(layout.publish_lock, wait=_WAIT):
            progress("extracting tables")
            tables = {name: _extract(snapshot, layout, name) for name in _TABLES}
            progress("noting golden values and the reference of drift")
            symbols, X = read_features(snapshot.con, bundle, as_of)
            regime = read_regime(snapshot.con, REGIME, as_of)
            golden = golden_values(as_of, symbols, bundle.feature_names, X, regime, bundle.session.predict(X))
            sql = FeatureSql(LOOKBACK, _is_whole(snapshot.con), steps, bundle.features_table, bundle.feature_tables)
            folder = home.models_artifacts / SLEEVE / bundle.run_id
            documents = {
                SQL: sql.to_json(),
                GOLDEN: _json(golden),
                DRIFT: _json(_reference(snapshot.con, bundle, as_of)),
                **{asset: (folder / name).read_bytes() for name, asset in ASSETS.items()},
            }
            created = now().replace(microsecond=0)
            facts = snapshot.manifest
            release = Release(
                seq=next_seq(layout),
                created=created,
                expires=created + timedelta(days=config.expires_after_days),
                as_of=as_of,
                git_revision=facts.git_revision,
                build_id=facts.build_id,
                definition_hash=facts.definition_hash,
                duckdb_version=facts.duckdb_version,
                versions=library_versions(("numpy", "duckdb", "onnxruntime")),
                sleeve=SLEEVE,
                model=ReleaseModel(run_id=bundle.run_id, label=bundle.label, horizon=bundle.horizon, status=status),
                tables=tables,
                assets={name: _store(layout, data) for name, data in documents.items()},
                coverage=facts.coverage,
            )
            progress("computing the session from the extract alone")
            check_release(layout, release.to_manifest(), release)
            raw = release.to_bytes()
            before = _previous_objects(layout)
            layout.releases.mkdir(parents=True, exist_ok=True)
            write_atomic(layout.release(release.seq), raw)
            signature = sign(raw, key)
            write_atomic(layout.signature(release.seq), signature)
            # The last step: from here on devices see it.
            write_atomic(layout.released, f"{release.seq}\n".encode(), mode=0o644)
    objects = release.objects()
    documents_size = len(raw) + len(signature)
    return Published(
        seq=release.seq,
        as_of=as_of,
        run_id=bundle.run_id,
        bytes_total=sum(objects.values()) + documents_size,
        bytes_new=sum(size for name, size in objects.items() if name not in before) + documents_size,
        path=layout.release(release.seq),
    )


def _routed(home: Home, run_id: str | None, now: Clock) -> tuple[str, str]:
    """Return the run to release and how it stands."""
    route = resolve(home, SLEEVE, now=now)
    if run_id is not None:
        return run_id, CHAMPION if route.run_id == run_id else CHALLENGER
    if route.run_id is None:
        raise PromotionError(
            f"nothing to release: {SLEEVE} has no champion that answers ({route.reason})",
            remedy="promote a run (`trademl promote RUN`), or release one that is none with --run RUN",
        )
    return route.run_id, CHAMPION


def _session(snapshot: Snapshot, bundle: Bundle, config: LakeConfig, now: Clock) -> date:
    """Return the snapshot's last session, which must be GREEN and fresh."""
    as_of = snapshot.manifest.as_of
    missing = [name for name in (*_TABLES, *bundle.tables, REGIME) if name not in snapshot.manifest.tables]
    if as_of is None or missing:
        raise SnapshotError(
            f"the snapshot has no {missing[0] if missing else 'session'} to release", remedy="run `trademl build`"
        )
    age = (now().date() - as_of).days
    if config.max_age_days is not None and age > config.max_age_days:
        raise DataGateError(
            f"the last session of the snapshot, {as_of}, is {age} days old; at most {config.max_age_days} are allowed",
            remedy="land newer bars and `trademl build`; for history, set max_age_days in configs/lake.yml to null",
        )
    check_session(snapshot.con, as_of, "equity_bars")
    return as_of


def _extract(snapshot: Snapshot, layout: Layout, name: str) -> ReleaseTable:
    """Write a table's newest dates as objects: bars one a session, so that a new day adds one; others whole."""
    entry = snapshot.manifest.tables[name]
    grain = entry.grain or ("date",)
    order = ", ".join(identifier(column) for column in grain)
    select = f"select {view_columns(stored_types(entry.columns))} from {qualified(name)}"
    newest = _TABLES[name]
    if name != BARS:
        latest = f" where date in (select distinct date from {qualified(name)} order by date desc limit {newest})"
        file = write_object(snapshot.con, layout, f"{select}{latest if newest else ''} order by {order}")
        files: tuple[Part, ...] = (Part("all", file.sha256, file.bytes, file.rows),)
    else:
        days = [row[0] for row in snapshot.con.execute(f"select distinct date from {BARS} order by 1").fetchall()]
        written = [
            (day, write_object(snapshot.con, layout, f"{select} where date = date '{day}' order by {order}"))
            for day in days
        ]
        files = tuple(Part(day.isoformat(), file.sha256, file.bytes, file.rows) for day, file in written)
    return ReleaseTable(columns=entry.columns, grain=entry.grain, files=files)


def _is_whole(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether the extract has every bar that the warehouse has."""
    earlier = con.execute(
        f"select count(*) from silver.equity_bars where date < (select min(date) from {BARS})"
    ).fetchall()
    return int(earlier[0][0]) == 0


def _reference(con: duckdb.DuckDBPyConnection, bundle: Bundle, as_of: date) -> dict[str, Any]:
    """Return what features and scores looked like over a year: bins of all sessions, and the worst single session.

    A cross-section differs from the year's pool on any day that the whole market moves, so the index of a day is only
    strange beside that of other days. Beside the model's features stand the z-scores behind its ranks, which show the
    shape that a rank hides and do not move with the market. The year ends with the month before ``as_of``, so that a
    daily release adds nothing to it.
    """
    table, others = bundle.features_table, bundle.feature_tables
    names = [*bundle.feature_names, *_shapes(con, bundle)]
    source = feature_source(names, table, others, bundle.entity)
    columns = ", ".join(f"cast({source.columns[name]} as float) as {identifier(name)}" for name in names)
    found = con.execute(
        f"select own.date, {columns} from {source.relation} where own.in_universe and own.date < $day and own.date >= "
        f"(select coalesce(min(date), $day) from (select distinct date from {qualified(table)} where date < $day "
        f"order by date desc limit {_REFERENCE_SESSIONS})) order by own.date, own.symbol",
        {"day": as_of.replace(day=1)},
    ).fetchnumpy()
    values = {name: np.ma.filled(np.ma.asarray(found[name], dtype=np.float32), np.nan) for name in names}
    _, starts = np.unique(np.asarray(found["date"]), return_index=True)
    if not len(starts):
        return {"sessions": 0, "features": {}, "prediction": None}
    X = np.stack([values[name] for name in bundle.feature_names], axis=1)
    scores = bundle.session.predict(np.ascontiguousarray(X))
    return {
        "sessions": len(starts),
        "features": {name: _bins(values[name].astype(np.float64), starts) for name in names},
        "prediction": _bins(scores, starts),
    }


def _shapes(con: duckdb.DuckDBPyConnection, bundle: Bundle) -> list[str]:
    """Return the z-scores behind the model's ranks and within-sector scores, where their tables have them."""
    source = feature_source(bundle.feature_names, bundle.features_table, bundle.feature_tables)
    present = {table: set(con.execute(f"describe {qualified(table)}").fetchnumpy()["column_name"])
               for table in source.tables}  # fmt: skip
    found: set[str] = set()
    for name in bundle.feature_names:
        table = source.place[name]
        bare = column_in(name, table)
        prefix = "" if table == bundle.features_table else f"{table.partition('.')[2]}."
        shapes = {f"{bare.removesuffix(twin)}_dm" for twin in _TWINS if bare.endswith(twin)}
        found |= {f"{prefix}{shape}" for shape in shapes & present[table]}
    return sorted(found - set(bundle.feature_names))


def _bins(values: NDArray[np.float64], starts: NDArray[np.int64]) -> dict[str, Any]:
    edges, shares = reference_bins(values)
    worst = max(drift_from_bins(edges, shares, day) for day in np.split(values, starts[1:]))
    return {
        "edges": edges,
        "shares": [float(f"{share:.6g}") for share in shares],
        "worst": float(f"{worst:.6g}"),
    }


def _store(layout: Layout, data: bytes) -> Asset:
    """Write ``data`` as an object named by its hash, unless it is there."""
    temporary = temporary_beside(layout.objects / "object")
    try:
        temporary.write_bytes(data)
        digest = sha256_file(temporary)
        path = layout.asset(digest)
        if not (path.is_file() and path.stat().st_size == len(data)):
            commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return Asset(digest, len(data))


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _previous_objects(layout: Layout) -> set[str]:
    """Return the objects of the release that devices see now; none when there is none."""
    try:
        seq = int(layout.released.read_text(encoding="ascii"))
        return set(parse_release(layout.release(seq).read_bytes()).objects())
    except (OSError, ValueError, ReleaseError):
        return set()
