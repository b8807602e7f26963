"""The manifest of a version and the files that it names."""

import json

import pytest

from tests.sleeves.events.versions_home import FULL, Events, publish
from trademl.artifacts.files import sha256_file
from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError
from trademl.sleeves.events.versions.build import build_version
from trademl.sleeves.events.versions.files import damaged_files, read_version_manifest, version_folder


@pytest.fixture
def built(home: Home) -> Home:
    """A home with a version of three sessions."""
    publish(home, Events(sessions=3, per_session=5))
    build_version(home, FULL)
    return home


def test_the_manifest_names_columns_files_parameters_and_source(built: Home) -> None:
    """It is plain JSON: what the version holds, from which build, and the sha256 of each file."""
    folder = version_folder(built, FULL)
    document = json.loads((folder / "manifest.json").read_text())
    assert document["parameters"]["ablation"] == "full"
    assert document["source"]["snapshot"]["build_id"] == "b1"
    assert sorted(document["source"]["tables"]) == ["gold.events_features", "gold.events_labels"]
    assert document["columns"]["level_price"] == "DECIMAL(18,6)"
    for file in document["files"]:
        assert sha256_file(folder / file["path"]) == file["sha256"]
        assert file["path"] == f"date={file['date']}/events.parquet"
    assert document["rows"] == sum(file["rows"] for file in document["files"]) == 15


def test_files_that_are_gone_or_too_many_are_found(built: Home) -> None:
    """Each is named: the missing one, and the one that nobody wrote."""
    manifest = read_version_manifest(built, FULL)
    assert damaged_files(built, manifest) == []
    folder = version_folder(built, FULL)
    (folder / manifest.files[0].path).unlink()
    (folder / "date=2025-09-16" / "other.parquet").write_bytes(b"x")
    assert damaged_files(built, manifest) == [
        "date=2025-09-15/events.parquet is missing",
        "date=2025-09-16/other.parquet is not in the manifest",
    ]


def test_a_manifest_that_is_none_is_refused(built: Home) -> None:
    """Not built, not JSON, and another version's: each says how to get it back."""
    with pytest.raises(ArtifactError, match="is not built"):
        read_version_manifest(built, "v9.9_nothing")
    with pytest.raises(ConfigError):
        read_version_manifest(built, "../escape")
    path = version_folder(built, FULL) / "manifest.json"
    path.chmod(0o644)
    text = path.read_text()
    path.write_text(text.replace(f'"version": "{FULL}"', '"version": "v2.1_other"'))
    with pytest.raises(ArtifactError, match=r"v2\.1_other"):
        read_version_manifest(built, FULL)
    path.write_text(text[:100])
    with pytest.raises(ArtifactError, match="no manifest of a version"):
        read_version_manifest(built, FULL)
