"""Run folders."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trademl.artifacts.files import INCOMING, sha256_file
from trademl.artifacts.run_folder import FOLDERS, RunFolder, RunManifest, run_id
from trademl.errors import ArtifactError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def finish(folder: RunFolder) -> RunManifest:
    return folder.finish(created=NOW, data_hash="d", config={"folds": 8}, summary={"rank_ic": 0.02}, revision="r")


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    folder.add_text("card.md", "# Card\n")
    folder.add_json("metrics/summary.json", {"b": 1, "a": None})
    folder.add_bytes("model.txt", b"tree")
    finish(folder)
    return folder


def test_create_makes_every_subfolder(tmp_path: Path) -> None:
    """A new run folder has the six subfolders and no manifest."""
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    assert folder.path == tmp_path / "equities" / "run-1"
    assert sorted(entry.name for entry in folder.path.iterdir()) == sorted(FOLDERS)
    assert not folder.finished


def test_manifest_lists_sha256_and_size_of_every_file(finished: RunFolder) -> None:
    """The manifest has one entry per file, with the sum that sha256sum prints, and what the run came from."""
    raw = json.loads((finished.path / "manifest.json").read_text())
    assert list(raw["files"]) == ["card.md", "metrics/summary.json", "model.txt"]
    # printf tree | sha256sum
    assert raw["files"]["model.txt"] == {
        "sha256": "dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622",
        "bytes": 4,
    }
    assert raw["created"] == "2026-01-02T03:04:05Z"
    assert raw["config"] == {"folds": 8}
    assert raw["git_revision"] == "r"
    assert raw["data_hash"] == "d"
    assert "numpy" in raw["versions"]


def test_json_has_sorted_keys_and_refuses_nan(tmp_path: Path) -> None:
    """JSON files have sorted keys, and NaN is refused because readers other than Python cannot read it."""
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    assert folder.add_json("metrics/x.json", {"b": 1, "a": 2}).read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    with pytest.raises(ArtifactError, match=r"metrics/x\.json cannot be JSON"):
        folder.add_json("metrics/x.json", {"a": float("nan")})


def test_a_whole_folder_verifies(finished: RunFolder) -> None:
    """A finished folder that nobody touched verifies, also after it is opened anew."""
    assert RunFolder.open(finished.path).verify().summary == {"rank_ic": 0.02}


def test_verify_names_altered_missing_and_extra_files(finished: RunFolder) -> None:
    """One message names the altered file, the missing file, the extra file and the link."""
    (finished.path / "model.txt").chmod(0o644)
    (finished.path / "model.txt").write_bytes(b"trea")
    (finished.path / "card.md").unlink()
    (finished.path / "plots" / "new.png").write_bytes(b"")
    summary = finished.path / "metrics" / "summary.json"
    elsewhere = finished.path.parent / "summary.json"
    summary.rename(elsewhere)
    summary.symlink_to(elsewhere)
    with pytest.raises(ArtifactError) as caught:
        finished.verify()
    assert (
        "card.md is missing; metrics/summary.json is a link, not a file; model.txt was altered; "
        "plots/new.png is not in the manifest" in str(caught.value)
    )


def test_a_folder_moved_to_another_name_does_not_verify(finished: RunFolder) -> None:
    """The manifest belongs to one run: renaming the folder is noticed."""
    moved = finished.path.rename(finished.path.parent / "run-2")
    with pytest.raises(ArtifactError, match="the manifest is of equities/run-1"):
        RunFolder.open(moved).verify()


def test_an_unfinished_run_cannot_be_opened_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Opening a folder without a manifest explains that the same command resumes it."""
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    with pytest.raises(ArtifactError, match="did not finish") as caught:
        RunFolder.open(folder.path)
    assert "resumes" in caught.value.remedy
    with pytest.raises(ArtifactError, match="no run folder"):
        RunFolder.open(tmp_path / "equities" / "other")


def test_a_damaged_manifest_is_named(finished: RunFolder) -> None:
    """A cut manifest is an ArtifactError, not a traceback."""
    manifest = finished.path / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes()[:50])
    with pytest.raises(ArtifactError, match="cannot read"):
        finished.verify()


def test_resume_keeps_files_and_sweeps_leftovers(tmp_path: Path) -> None:
    """Creating the same run again keeps what was written and removes what a killed writer left."""
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    folder.add_text("checkpoints/split-0.txt", "done")
    (folder.path / "checkpoints" / f"{INCOMING}1-abc").write_bytes(b"half")
    again = RunFolder.create(tmp_path, "equities", "run-1")
    assert [path.name for path in (again.path / "checkpoints").iterdir()] == ["split-0.txt"]


def test_a_finished_run_never_changes(finished: RunFolder) -> None:
    """Adding to, or finishing, a finished run is refused."""
    with pytest.raises(ArtifactError, match="finished and never changes"):
        finished.add_text("card.md", "other")
    with pytest.raises(ArtifactError, match="finished and never changes"):
        finish(finished)
    finished.verify()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "manifest.json", "weights/x", "metrics/../../x", ""])
def test_places_outside_the_layout_are_refused(tmp_path: Path, name: str) -> None:
    """A file can only lie in the folder itself or in one of the six subfolders, and never be the manifest."""
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    with pytest.raises(ArtifactError, match="no place in a run folder"):
        folder.add_text(name, "x")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_run_and_sleeve_are_plain_folder_names(tmp_path: Path, name: str) -> None:
    """A run id or sleeve that would leave its folder is refused."""
    with pytest.raises(ArtifactError, match="is not a folder name"):
        RunFolder.create(tmp_path, "equities", name)


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    """When the block that writes a file raises, neither the file nor a temporary one remains."""
    folder = RunFolder.create(tmp_path, "equities", "run-1")

    def fail() -> None:
        with folder.writing("predictions/oof.parquet") as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((folder.path / "predictions").iterdir()) == []


def test_add_file_copies(tmp_path: Path) -> None:
    """A file is copied in with the same bytes, read-only."""
    (tmp_path / "x").write_bytes(b"abc")
    placed = RunFolder.create(tmp_path, "equities", "run-1").add_file("plots/x", tmp_path / "x")
    assert sha256_file(placed) == sha256_file(tmp_path / "x")
    assert placed.stat().st_mode & 0o777 == 0o444


def test_run_id_depends_on_config_and_data_only() -> None:
    """The same command on the same data finds the same folder; another value or other data does not."""
    base = run_id("equities", "fwd_5d", {"a": 1, "b": 2}, "data")
    assert base == run_id("equities", "fwd_5d", {"b": 2, "a": 1}, "data")
    assert base.startswith("equities-fwd_5d-")
    assert len({base, run_id("equities", "fwd_5d", {"a": 1}, "data"), run_id("equities", "fwd_5d", {"a": 1}, "x")}) == 3


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from trademl.artifacts import run_folder
folder = run_folder.RunFolder.create(Path(sys.argv[1]), "equities", "run-1")
folder.add_text("checkpoints/split-0.txt", "done")
run_folder.commit_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
folder.add_text("checkpoints/split-1.txt", "never")
"""


@pytest.mark.fault
def test_a_killed_run_resumes_with_its_whole_files(tmp_path: Path) -> None:
    """After SIGKILL in the middle of a write the folder is unfinished, has the first file, and can be completed."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    assert not folder.finished
    assert [path.name for path in (folder.path / "checkpoints").iterdir()] == ["split-0.txt"]
    finish(folder)
    assert list(folder.verify().files) == ["checkpoints/split-0.txt"]
