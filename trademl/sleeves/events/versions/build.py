"""Versions of the event features: named, immutable sets of events with features and labels, side by side in silver.

A version is taken from the snapshot's ``gold.events_features`` and ``gold.events_labels`` as its configuration says:
one file a session, as ``silver/features/{version}/date=.../*.parquet``. From the same snapshot it has the same bytes. A
build that was killed is resumed by the same command: sessions that are done are not done again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from trademl.artifacts.files import (
    INCOMING,
    commit_file,
    fsync_dir,
    sha256_file,
    temporary_beside,
    write_atomic,
)
from trademl.config.home import Home
from trademl.errors import ArtifactError, DataGateError
from trademl.lake.files import FileLock
from trademl.lake.manifest import Manifest
from trademl.lake.names import quoted
from trademl.sleeves.events.feature_columns import FeatureSet, select_features
from trademl.sleeves.events.versions.config import VersionConfig, read_version
from trademl.sleeves.events.versions.files import (
    BUILDING,
    FORMAT,
    MANIFEST,
    SessionFile,
    VersionManifest,
    check_files,
    read_version_manifest,
    session_path,
    version_folder,
    versions_folder,
)
from trademl.warehouse.read import read_snapshot

FEATURES_TABLE, LABELS_TABLE = "gold.events_features", "gold.events_labels"
SHARED = ("event_id", "symbol", "ts_ns", "date")
"""Identity that features and labels both carry."""

CONTEXT = ("distance",)
"""Measures that a version has whatever it selects: they belong to what an event is (seed 001, required columns)."""

Progress = Callable[[int, int, str], None]
"""Called with sessions done, sessions in all, and the session that comes next."""

_PLAN = "plan.json"
_MEASURES = ("FLOAT", "DOUBLE")
_ROW_GROUP = 50_000


@dataclass(frozen=True)
class Built:
    """What a build did: ``made`` and ``kept`` count session files; ``already`` says that the version was there."""

    manifest: VersionManifest
    folder: Path
    made: int
    kept: int
    already: bool


@dataclass(frozen=True)
class _Parts:
    """Columns of a version with their types, in order, and what they are."""

    columns: dict[str, str]
    identity: tuple[str, ...]
    selected: FeatureSet
    coverage: tuple[str, ...]
    labels: tuple[str, ...]


def build_version(home: Home, version: str, *, progress: Progress | None = None) -> Built:
    """Build a version, or go on with a build that was killed; a version that is there already is only checked.

    Raises:
        ConfigError: there is no such version, or it selects no column.
        SnapshotError: nothing was built yet.
        DataGateError: the snapshot has none of its events.
        ArtifactError: the version is there, from other data or another configuration, or it is damaged.
        LockedError: another build is at work.
    """
    config = read_version(home, version)
    target = version_folder(home, version)
    with (
        FileLock(versions_folder(home) / ".build.lock"),
        read_snapshot(home) as snapshot,
    ):
        _require_tables(snapshot.manifest)
        parts = _parts(snapshot.con, config)
        plan = _plan(config, parts, snapshot.manifest)
        if target.exists():
            return Built(_same(home, version, plan), target, 0, 0, True)
        staged = versions_folder(home) / f"{BUILDING}{version}"
        _begin(staged, plan)
        days = _sessions(snapshot.con, config)
        files, made = [], 0
        for number, day in enumerate(days):
            if progress:
                progress(number, len(days), day.isoformat())
            file, is_new = _session(snapshot.con, config, parts, staged, day)
            files.append(file)
            made += is_new
        if progress:
            progress(len(days), len(days), "")
        manifest = _manifest(config, parts, plan, files)
        write_atomic(staged / MANIFEST, (manifest.model_dump_json(indent=1) + "\n").encode())
        (staged / _PLAN).unlink()
        fsync_dir(staged)
        os.rename(staged, target)
        fsync_dir(target.parent)
    return Built(manifest, target, made, len(files) - made, False)


def load_features(home: Home, version: str, *, start: date | None = None, end: date | None = None) -> Any:
    """Return the events of a built version as an Arrow table, in order of date, time and event.

    Every file is compared with the manifest first.

    Raises:
        ArtifactError: it is not built, or a file is missing or altered.
    """
    manifest = read_version_manifest(home, version)
    check_files(home, manifest)
    folder = version_folder(home, version)
    chosen = [
        str(folder / file.path)
        for file in manifest.files
        if (start is None or file.date >= start) and (end is None or file.date <= end)
    ]
    listed = ", ".join(f'"{name}"' for name in manifest.columns)
    with duckdb.connect() as con:
        if not chosen:
            empty = ", ".join(f'cast(null as {kind}) as "{name}"' for name, kind in manifest.columns.items())
            return con.sql(f"select {empty} where false").to_arrow_table()
        files = ", ".join(quoted(path) for path in chosen)
        return con.sql(
            f"select {listed} from read_parquet([{files}], hive_partitioning = false) order by date, ts_ns, event_id"
        ).to_arrow_table()


def built_versions(home: Home) -> list[str]:
    """Return the names of the versions that are built, sorted."""
    return sorted(path.parent.name for path in versions_folder(home).glob(f"v*/{MANIFEST}"))


def _require_tables(snapshot: Manifest) -> None:
    missing = [name for name in (FEATURES_TABLE, LABELS_TABLE) if name not in snapshot.tables]
    if missing:
        raise DataGateError(
            f"snapshot {snapshot.seq} has no {' and no '.join(missing)}",
            remedy="run `trademl build` with the events' models",
        )


def _parts(con: duckdb.DuckDBPyConnection, config: VersionConfig) -> _Parts:
    features = _described(con, FEATURES_TABLE)
    labels = _described(con, LABELS_TABLE)
    measures = [name for name, kind in features.items() if kind in _MEASURES]
    kept = [name for name in measures if not config.exclude or not name.startswith(config.exclude)]
    selected = select_features(kept, config.stage, config.ablation)
    identity = tuple(name for name, kind in features.items() if kind not in _MEASURES and not name.startswith("has_"))
    identity += tuple(name for name in CONTEXT if name in features and name not in selected.numeric)
    coverage = tuple(name for name in features if name.startswith("has_"))
    own = tuple(name for name in labels if name not in SHARED)
    columns = {name: features[name] for name in (*identity, *selected.columns, *coverage)}
    return _Parts(columns | {name: labels[name] for name in own}, identity, selected, coverage, own)


def _described(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: str(kind) for name, kind, *_ in con.execute(f"describe {table}").fetchall()}


def _plan(config: VersionConfig, parts: _Parts, snapshot: Manifest) -> dict[str, Any]:
    """Return what decides the bytes of a version, and where the data came from."""
    tables = {name: [file.sha256 for file in snapshot.tables[name].files] for name in (FEATURES_TABLE, LABELS_TABLE)}
    return {
        "config_sha256": config.digest(),
        "columns": parts.columns,
        "tables": tables,
        "duckdb": duckdb.__version__,
        "snapshot": {
            "seq": snapshot.seq,
            "build_id": snapshot.build_id,
            "definition_hash": snapshot.definition_hash,
            "git_revision": snapshot.git_revision,
            "as_of": str(snapshot.as_of),
        },
    }


def _decisive(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out which snapshot it was: one of the same tables gives the same bytes."""
    return {name: value for name, value in plan.items() if name != "snapshot"}


def _same(home: Home, version: str, plan: Mapping[str, Any]) -> VersionManifest:
    """Return the manifest of a version that is there, if this plan would give the same.

    Raises:
        ArtifactError: it would not, or the version is damaged.
    """
    manifest = read_version_manifest(home, version)
    there = {
        "config_sha256": manifest.config_sha256,
        "columns": manifest.columns,
        "tables": manifest.source["tables"],
        "duckdb": manifest.duckdb,
    }
    wanted = _decisive(plan)
    differing = [name for name in wanted if wanted[name] != there[name]]
    if differing:
        told = {
            "config_sha256": "its configuration",
            "columns": "the columns",
            "tables": "the data",
            "duckdb": "DuckDB's version",
        }
        raise ArtifactError(
            f"{version} was built from snapshot {manifest.source['snapshot']['seq']}, and since then "
            f"{' and '.join(told[name] for name in differing)} changed; a version is never changed in place",
            remedy=f"copy configs/events/versions/{version}.yml under the name of a new version and build that",
        )
    check_files(home, manifest)
    return manifest


def _begin(staged: Path, plan: Mapping[str, Any]) -> None:
    """Keep what an earlier build of the same plan has made; clear away what another left."""
    place = staged / _PLAN
    if staged.exists():
        try:
            found = json.loads(place.read_bytes())
        except (OSError, ValueError):
            found = {}
        if _decisive(found) != json.loads(json.dumps(_decisive(plan))):
            shutil.rmtree(staged)
    staged.mkdir(parents=True, exist_ok=True)
    for leftover in staged.glob(f"{INCOMING}*"):
        leftover.unlink()
    write_atomic(place, json.dumps(plan, indent=1).encode(), 0o644)


def _chosen(config: VersionConfig, alias: str = "") -> str:
    """Return the SQL condition of the events that a version takes."""
    name = f"{alias}." if alias else ""
    parts = ["true"]
    if config.sources:
        parts.append(f"{name}source in ({', '.join(quoted(one) for one in config.sources)})")
    if config.start is not None:
        parts.append(f"{name}date >= date '{config.start}'")
    if config.end is not None:
        parts.append(f"{name}date <= date '{config.end}'")
    return " and ".join(parts)


def _sessions(con: duckdb.DuckDBPyConnection, config: VersionConfig) -> list[date]:
    rows = con.execute(f"select distinct date from {FEATURES_TABLE} where {_chosen(config)} order by 1").fetchall()
    if not rows:
        raise DataGateError(
            f"{FEATURES_TABLE} has no event of {config.version}",
            remedy="ingest bars or external events and run `trademl build`; or widen sources, start and end",
        )
    return [row[0] for row in rows]


def _session(
    con: duckdb.DuckDBPyConnection, config: VersionConfig, parts: _Parts, staged: Path, day: date
) -> tuple[SessionFile, bool]:
    """Write the events of a session, unless a killed build has; tell whether they were written."""
    path = staged / session_path(day)
    is_new = not path.is_file()
    if is_new:
        path.parent.mkdir(exist_ok=True)
        # Half-written files of a killed build.
        for leftover in path.parent.iterdir():
            leftover.unlink()
        temporary = temporary_beside(path)
        query = _query(config, parts, day)
        options = f"format parquet, compression zstd, row_group_size {_ROW_GROUP}"
        con.execute(f"copy ({query}) to {quoted(str(temporary))} ({options})")
        commit_file(temporary, path)
    rows = con.execute("select sum(num_rows)::bigint from parquet_file_metadata(?)", [str(path)]).fetchall()[0][0]
    return (
        SessionFile(
            date=day,
            path=str(session_path(day)),
            sha256=sha256_file(path),
            bytes=path.stat().st_size,
            rows=int(rows),
        ),
        is_new,
    )


def _query(config: VersionConfig, parts: _Parts, day: date) -> str:
    own = set(parts.labels)
    listed = ", ".join(f'{"labels" if name in own else "features"}."{name}"' for name in parts.columns)
    return (
        f"select {listed} from (select * from {FEATURES_TABLE} where date = date '{day}') as features "
        f"left join (select * from {LABELS_TABLE} where date = date '{day}') as labels "
        f"on labels.event_id = features.event_id where {_chosen(config, 'features')} "
        "order by features.ts_ns, features.event_id"
    )


def _manifest(
    config: VersionConfig, parts: _Parts, plan: Mapping[str, Any], files: Sequence[SessionFile]
) -> VersionManifest:
    content = json.dumps([[str(file.date), file.rows, file.sha256] for file in files])
    return VersionManifest(
        format=FORMAT,
        version=config.version,
        description=config.description,
        parameters=config.model_dump(mode="json"),
        config_sha256=plan["config_sha256"],
        columns=parts.columns,
        identity=parts.identity,
        features=tuple(parts.selected.numeric),
        categorical=tuple(parts.selected.categorical),
        coverage=parts.coverage,
        labels=parts.labels,
        source={"snapshot": plan["snapshot"], "tables": plan["tables"]},
        duckdb=plan["duckdb"],
        rows=sum(file.rows for file in files),
        files=tuple(files),
        data_hash=hashlib.sha256(content.encode()).hexdigest(),
    )
