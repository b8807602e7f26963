"""What validation finds in a version."""

from pathlib import Path

import duckdb
import pytest

from tests.sleeves.events.versions_home import FULL, VERSIONS, Events, publish
from trademl.artifacts.files import sha256_file
from trademl.config.home import Home
from trademl.sleeves.events.versions.build import build_version
from trademl.sleeves.events.versions.checks import Check, validate_version
from trademl.sleeves.events.versions.files import read_version_manifest, version_folder


@pytest.fixture
def built(home: Home) -> Home:
    """A home with a version of three sessions."""
    publish(home, Events(sessions=3, per_session=8))
    build_version(home, FULL)
    return home


def found(home: Home) -> dict[str, Check]:
    return {check.name: check for check in validate_version(home, FULL)}


def rewrite(home: Home, select: str) -> None:
    """Replace the first session's rows by a query over them, and make the manifest name the new file."""
    manifest = read_version_manifest(home, FULL)
    folder = version_folder(home, FULL)
    path = folder / manifest.files[0].path
    other = path.with_name("other")
    with duckdb.connect() as con:
        con.execute(f"create table events as select * from read_parquet('{path}', hive_partitioning = false)")
        con.execute(f"copy ({select}) to '{other}' (format parquet)")
        rows = con.execute(f"select count(*) from read_parquet('{other}')").fetchall()[0][0]
    path.chmod(0o644)
    other.replace(path)
    entry = manifest.files[0].model_copy(
        update={"sha256": sha256_file(path), "bytes": path.stat().st_size, "rows": rows}
    )
    changed = manifest.model_copy(update={"files": (entry, *manifest.files[1:])})
    place = folder / "manifest.json"
    place.chmod(0o644)
    place.write_text(changed.model_dump_json())


def test_a_version_as_built_passes_every_check(built: Home) -> None:
    """Nine checks, nothing wrong."""
    checks = found(built)
    assert all(check.passed for check in checks.values())
    assert list(checks) == [
        "files",
        "definition",
        "columns",
        "rows",
        "identity",
        "sessions",
        "numbers",
        "level_kinds",
        "labels_after",
    ]


@pytest.mark.parametrize(
    "select, name, wrong",
    [
        ("select * from events limit 5", "rows", 3),
        ("select * replace (case when event_id like '%1' then 'e0000000' else event_id end as event_id) from events",
         "identity", 1),
        ("select * replace (date '2025-09-16' as date) from events", "sessions", 8),
        ("select * replace ('inf'::float as approach_velocity) from events", "numbers", 8),
        ("select * replace ('nan'::float as dist_pdc) from events", "numbers", 8),
        ("select * replace (1::float as level_kind_pdh) from events", "level_kinds", 4),
        ("select * replace (known_at as resolved_at) from events", "labels_after", 8),
    ],
)  # fmt: skip
def test_each_check_finds_what_it_is_for(built: Home, select: str, name: str, wrong: int) -> None:
    """Rows that a wrong build could have written, under a manifest that names them, fail that check and no other."""
    rewrite(built, select)
    checks = found(built)
    assert {check.name: check.wrong for check in checks.values() if not check.passed} == {name: wrong}


def test_a_column_of_another_type_ends_the_checks(built: Home) -> None:
    """Nothing is said about rows whose columns are not what the manifest says."""
    manifest = read_version_manifest(built, FULL)
    for file in manifest.files:
        assert Path(file.path).name == "events.parquet"
    place = version_folder(built, FULL) / "manifest.json"
    place.chmod(0o644)
    changed = manifest.model_copy(update={"columns": {**manifest.columns, "dist_pdc": "DOUBLE", "lost": "FLOAT"}})
    place.write_text(changed.model_dump_json())
    checks = found(built)
    assert checks["columns"].wrong == 2
    assert "rows" not in checks


def test_a_changed_definition_is_told(built: Home) -> None:
    """The configuration no longer says what was built; without one, that is told instead."""
    path = built.root / VERSIONS / f"{FULL}.yml"
    path.write_text(path.read_text().replace("ablation: full", "ablation: ta"))
    assert not found(built)["definition"].passed
    path.unlink()
    assert "is no version" in found(built)["definition"].detail


def test_damaged_files_end_the_checks(built: Home) -> None:
    """Rows of a damaged file are not looked at."""
    path = version_folder(built, FULL) / "date=2025-09-15" / "events.parquet"
    path.unlink()
    checks = found(built)
    assert checks["files"].wrong == 1
    assert list(checks) == ["files", "definition"]
