"""What a built version must be, checked against its files: the evidence that a curation is decided on."""

from dataclasses import dataclass

import duckdb

from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.sleeves.events.versions.config import read_version
from trademl.sleeves.events.versions.files import (
    VersionManifest,
    damaged_files,
    read_version_manifest,
    version_folder,
)

_SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One check: how many things are wrong, and in words what was looked at or found."""

    name: str
    wrong: int
    detail: str

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.wrong == 0


def validate_version(home: Home, version: str) -> list[Check]:
    """Check a built version: files, definition, rows, identity, types, numbers and times.

    Where a file is damaged its rows are not looked at.

    Raises:
        ArtifactError: it is not built, or its manifest cannot be read.
    """
    manifest = read_version_manifest(home, version)
    damaged = damaged_files(home, manifest)
    shown = "; ".join(damaged[:_SHOWN]) + ("; ..." if len(damaged) > _SHOWN else "")
    found = [
        Check("files", len(damaged), shown or f"{len(manifest.files)} files have the content that the manifest names"),
        _definition(home, manifest),
    ]
    if damaged:
        return found
    paths = [str(version_folder(home, version) / file.path) for file in manifest.files]
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.execute(
            "create view events as select *, parse_path(filename)[-2] as folder "
            f"from read_parquet([{', '.join(_text(path) for path in paths)}], hive_partitioning = false, "
            "filename = true)"
        )
        return [*found, *_rows(con, manifest)]


def _definition(home: Home, manifest: VersionManifest) -> Check:
    try:
        same = read_version(home, manifest.version).digest() == manifest.config_sha256
    except ConfigError as error:
        return Check("definition", 1, error.message)
    told = "is what it was built from" if same else "is not what it was built from: a change needs a new version"
    return Check("definition", int(not same), f"configs/events/versions/{manifest.version}.yml {told}")


def _rows(con: duckdb.DuckDBPyConnection, manifest: VersionManifest) -> list[Check]:
    described = {
        name: kind for name, kind, *_ in con.execute("describe events").fetchall() if name not in ("filename", "folder")
    }
    differing = [
        name for name in {**described, **manifest.columns} if described.get(name) != manifest.columns.get(name)
    ]
    types = Check(
        "columns",
        len(differing),
        f"of another type, or missing: {', '.join(sorted(differing)[:_SHOWN])}"
        if differing
        else f"{len(described)} columns have the types that the manifest names",
    )
    if differing:
        return [types]
    floats = [f'"{name}"' for name, kind in described.items() if kind in ("FLOAT", "DOUBLE")]
    bad = " + ".join(f"cast(not isfinite(coalesce({name}, 0)) as integer)" for name in floats) or "0"
    flags = [f'"{name}"' for name in manifest.categorical]
    unset = f"{' + '.join(flags)} <> 1" if flags else "false"
    rows, distinct, unnamed, misplaced, infinite, kinds, early = con.execute(f"""
        select count(*), count(distinct event_id), count(*) filter (where event_id is null),
            count(*) filter (where folder <> 'date=' || date), coalesce(sum({bad}), 0),
            count(*) filter (where {unset}), count(*) filter (where resolved_at <= make_timestamp(ts_ns // 1000))
        from events
    """).fetchall()[0]
    return [
        types,
        Check("rows", abs(rows - manifest.rows), f"{rows} rows, the manifest says {manifest.rows}"),
        Check("identity", rows - distinct, f"{distinct} events in {rows} rows, {unnamed} without a name"),
        Check("sessions", misplaced, f"{misplaced} events lie in the folder of another session"),
        Check("numbers", int(infinite), f"{infinite} values are infinite or no number; NULL is what is not known"),
        Check("level_kinds", kinds, f"{kinds} events are not of exactly one kind of level"),
        Check("labels_after", early, f"{early} events have labels that were known by t1"),
    ]


def _text(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"
