"""Where results come from."""

import subprocess
import sys
from pathlib import Path

from trademl.artifacts.provenance import git_revision, hash_json, library_versions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_revision_of_a_clean_and_a_changed_working_copy(tmp_path: Path) -> None:
    """The revision is the commit's hash, and says -dirty once a tracked file is changed."""
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert git_revision(tmp_path) == f"{commit}-dirty"


def test_revision_without_a_repository_is_unknown(tmp_path: Path) -> None:
    """A folder in no repository, or with no commit yet, has revision 'unknown'."""
    assert git_revision(tmp_path) == "unknown"
    git(tmp_path, "init", "-q")
    assert git_revision(tmp_path) == "unknown"


def test_versions_name_python_and_skip_what_is_not_installed() -> None:
    """Versions hold Python's own number and leave out packages that are not installed."""
    versions = library_versions(["numpy", "no_such_package_here"])
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(versions) == {"python", "machine", "numpy"}


def test_equal_mappings_hash_alike_whatever_the_order() -> None:
    """The hash is that of JSON with sorted keys and no spaces."""
    # printf '{"a":1,"b":[2,null]}' | sha256sum
    expected = "cc243773f70c3dff1b2058928d222d7edc29130da3f617c0e8ce04096aca153c"
    assert hash_json({"b": [2, None], "a": 1}) == expected
    assert hash_json({"a": 1, "b": [2, None]}) == expected
