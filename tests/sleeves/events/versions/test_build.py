"""Building a version: what is in it, the same bytes again, resuming after a kill, and never changing one in place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.lake.killing import Act, in_child, killed_before
from tests.lake.small_warehouse import write_warehouse
from tests.sleeves.events.versions_home import FULL, MECHANICS, VERSIONS, Events, more, publish
from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError, DataGateError, SnapshotError
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot
from trademl.sleeves.events.versions.build import build_version, built_versions, load_features
from trademl.sleeves.events.versions.files import read_version_manifest, version_folder

SMALL = Events(sessions=6, per_session=12)


@pytest.fixture
def ready(home: Home) -> Home:
    """A home with a snapshot of six sessions."""
    in_child(lambda: publish(home, SMALL))
    return home


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reworded(home: Home, version: str, **fields: str) -> None:
    """Change lines of a version's configuration."""
    path = home.root / VERSIONS / f"{version}.yml"
    lines = [
        f"{line.split(':')[0]}: {fields[line.split(':')[0]]}" if line.split(":")[0] in fields else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")


def test_a_version_has_the_events_with_features_and_labels(ready: Home) -> None:
    """Every event once, its columns those of the tables, one file a session with only that session's events."""
    built = build_version(ready, FULL)
    table = load_features(ready, FULL)
    assert table.num_rows == built.manifest.rows == SMALL.rows
    assert table.column_names == list(built.manifest.columns)
    assert built.manifest.features == (
        "approach_velocity",
        "dist_pdc",
        "distance",
        "barrier_delta_liq",
        "tape_imbalance_trend",
        "gamma_exposure",
    )
    assert built.manifest.categorical == ("level_kind_pdh", "level_kind_round")
    assert built.manifest.labels == ("outcome", "strength_signed", "tradeable_2", "t1_60", "resolved_at")
    with duckdb.connect(str(ready.warehouse), read_only=True) as con:
        events = con.execute(
            "select f.event_id, f.dist_pdc, l.outcome, l.resolved_at from gold.events_features f "
            "join gold.events_labels l using (event_id) order by f.date, f.ts_ns, f.event_id"
        ).fetchall()
    read = [tuple(row.values()) for row in table.select(["event_id", "dist_pdc", "outcome", "resolved_at"]).to_pylist()]
    assert read == events
    assert [str(file.date) for file in built.manifest.files][:6] == [
        "2025-09-15",
        "2025-09-16",
        "2025-09-17",
        "2025-09-18",
        "2025-09-19",
        "2025-09-22",
    ]


def test_a_version_selects_columns_sessions_and_sources(ready: Home) -> None:
    """Mechanics only leaves price out but for the distance; sources, dates and exclusions narrow it further."""
    reworded(
        ready,
        MECHANICS,
        sources="[vendor]",
        start="2025-09-16",
        end="2025-09-18",
        exclude="[gamma_]",
    )
    manifest = build_version(ready, MECHANICS).manifest
    assert manifest.features == ("barrier_delta_liq", "tape_imbalance_trend")
    assert "distance" in manifest.identity
    assert "approach_velocity" not in manifest.columns
    table = load_features(ready, MECHANICS)
    assert set(table.column("source").to_pylist()) == {"vendor"}
    assert sorted({str(day) for day in table.column("date").to_pylist()}) == ["2025-09-16", "2025-09-17", "2025-09-18"]


def test_the_same_snapshot_gives_the_same_bytes(ready: Home) -> None:
    """Built, removed and built again, every file and the manifest are the same; built while it is there, it is kept."""
    folder = build_version(ready, FULL).folder
    first = contents(folder)
    again = build_version(ready, FULL)
    assert again.already
    shutil.rmtree(folder)
    assert not build_version(ready, FULL).already
    assert contents(folder) == first


def test_a_newer_snapshot_of_the_same_tables_is_the_same_version(ready: Home) -> None:
    """The warehouse built again with the same content gives nothing new to build."""
    build_version(ready, FULL)
    publish(ready, more(SMALL))
    assert build_version(ready, FULL).already


def test_other_data_or_configuration_is_refused_not_overwritten(ready: Home) -> None:
    """A version is never changed in place: the message says what differs and to name a new one."""
    folder = build_version(ready, FULL).folder
    before = contents(folder)
    reworded(ready, FULL, ablation="ta")
    with pytest.raises(ArtifactError, match="its configuration and the columns changed"):
        build_version(ready, FULL)
    reworded(ready, FULL, ablation="full")
    publish(ready, more(SMALL, shift=1.0))
    with pytest.raises(ArtifactError, match="the data changed"):
        build_version(ready, FULL)
    assert contents(folder) == before


def test_versions_lie_side_by_side(ready: Home) -> None:
    """Two versions of one snapshot do not touch each other."""
    build_version(ready, FULL)
    build_version(ready, MECHANICS)
    assert built_versions(ready) == [MECHANICS, FULL]


def test_an_altered_file_is_not_read(ready: Home) -> None:
    """Loading compares every file with the manifest first."""
    folder = build_version(ready, FULL).folder
    path = folder / read_version_manifest(ready, FULL).files[2].path
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="another content"):
        load_features(ready, FULL)
    path.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        build_version(ready, FULL)


def test_what_cannot_be_built_says_why(home: Home) -> None:
    """No snapshot, no such version, no event of it: each is a message of its own."""
    with pytest.raises(SnapshotError):
        build_version(home, FULL)
    publish(home, Events(sessions=0))
    with pytest.raises(DataGateError, match="no event of"):
        build_version(home, FULL)
    publish(home, more(SMALL))
    with pytest.raises(ConfigError, match=r"did you mean v2\.0_full_ensemble"):
        build_version(home, "v2.0_full_ensembel")
    reworded(home, FULL, sources="[nobody]")
    with pytest.raises(DataGateError, match="no event of"):
        build_version(home, FULL)


def test_a_snapshot_without_the_events_tables_says_so(home: Home) -> None:
    """A warehouse of an earlier release has no events: the message names the tables."""
    write_warehouse(layout_of(home))
    take_snapshot(layout_of(home))
    with pytest.raises(DataGateError, match=r"has no gold\.events_features and no gold\.events_labels"):
        build_version(home, FULL)


def _build(home: Home) -> Callable[[Act], object]:
    return lambda _act: build_version(home, FULL)


@pytest.mark.fault
@pytest.mark.slow
def test_a_killed_build_loses_nothing(ready: Home, tmp_path: Path) -> None:
    """SIGKILL before each step: no half version is seen, the next build goes on and ends with the same bytes."""
    plain = tmp_path / "plain"
    shutil.copytree(ready.root, plain, symlinks=True)
    whole = killed_before(None, plain, _build(Home(plain)))
    assert (whole.killed, whole.error) == (False, "")
    expected = contents(version_folder(Home(plain), FULL))
    resumed = 0
    for stop in range(1, len(whole.steps) + 1):
        root = tmp_path / f"kill{stop}"
        shutil.copytree(ready.root, root, symlinks=True)
        torn = Home(root)
        assert killed_before(stop, root, _build(torn)).killed
        seen = version_folder(torn, FULL)
        assert not seen.exists() or contents(seen) == expected
        built = in_child(lambda torn=torn: build_version(torn, FULL).kept)  # type: ignore[misc]
        resumed += built > 0
        assert contents(seen) == expected
        assert [path.name for path in seen.parent.iterdir() if path.name.startswith(".building")] == []
        shutil.rmtree(root)
    assert resumed > 5
