"""The folder of one training run: written file by file, sealed by a manifest, verifiable for ever.

``models_artifacts/<sleeve>/<run_id>/`` holds ``checkpoints features config predictions metrics plots``, ``card.md`` and
the model files. ``manifest.json`` is written last: a folder without it is an unfinished run, which the same command
resumes, because the run's id depends only on the sleeve, the label, the configuration and the data.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import ValidationError

from trademl.artifacts.files import INCOMING, commit_file, sha256_file, temporary_beside, write_atomic
from trademl.artifacts.provenance import git_revision, hash_json, library_versions
from trademl.config.reading import Section
from trademl.errors import ArtifactError

FOLDERS = ("checkpoints", "features", "config", "predictions", "metrics", "plots")
MANIFEST = "manifest.json"
ID_DIGITS = 12


class FileEntry(Section):
    """One file of a finished run."""

    sha256: str
    bytes: int


class RunManifest(Section):
    """What a finished run folder holds and where it came from."""

    run_id: str
    sleeve: str
    created: datetime
    git_revision: str
    data_hash: str
    versions: dict[str, str]
    config: dict[str, Any]
    summary: dict[str, Any]
    files: dict[str, FileEntry]


def run_id(sleeve: str, label: str, config: Mapping[str, Any], data_hash: str) -> str:
    """Return the run's name: readable, and the same whenever the same command meets the same data.

    >>> run_id("equities", "fwd_5d", {"folds": 8}, "ab" * 32)
    'equities-fwd_5d-5c677c41c08e'
    """
    return f"{sleeve}-{label}-{hash_json({'config': dict(config), 'data': data_hash})[:ID_DIGITS]}"


class RunFolder:
    """One run's folder, open for adding until :meth:`finish`, then only for reading.

    Every file appears whole or not at all, read-only. Adding a file again before the end replaces it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path, sleeve: str, run_id: str) -> Self:
        """Make or resume ``root/sleeve/run_id``; leftovers of writes that were cut off are removed.

        Raises:
            ArtifactError: ``sleeve`` or ``run_id`` is not a plain folder name.
        """
        for part in (sleeve, run_id):
            if part in ("", ".", "..") or PurePosixPath(part).name != part or part.startswith("."):
                raise ArtifactError(f"{part!r} is not a folder name", remedy="use letters, digits, '-' and '_'")
        folder = cls(root / sleeve / run_id)
        for name in FOLDERS:
            (folder.path / name).mkdir(parents=True, exist_ok=True)
        if not folder.finished:
            folder._sweep()
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the finished run at ``path``.

        Raises:
            ArtifactError: there is none, or the run was never finished.
        """
        if not path.is_dir():
            raise ArtifactError(f"no run folder {path}", remedy="`trademl runs list` shows what there is")
        folder = cls(path)
        if not folder.finished:
            raise ArtifactError(
                f"{path} has no {MANIFEST}: the run did not finish", remedy="run the same command again; it resumes"
            )
        return folder

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def sleeve(self) -> str:
        return self.path.parent.name

    @property
    def finished(self) -> bool:
        """Whether the manifest has been written."""
        return (self.path / MANIFEST).is_file()

    def place(self, name: str) -> Path:
        """Return where the file ``name`` (relative, '/' between parts) lies or would lie.

        Raises:
            ArtifactError: it would lie outside the folder, in an unknown subfolder, or is the manifest.
        """
        parts = PurePosixPath(name).parts
        inside = parts and not name.startswith("/") and ".." not in parts and not parts[-1].startswith(INCOMING)
        if not inside or name == MANIFEST or (len(parts) > 1 and parts[0] not in FOLDERS):
            raise ArtifactError(
                f"{name!r} is no place in a run folder", remedy=f"use a plain name, or a folder of {', '.join(FOLDERS)}"
            )
        return self.path.joinpath(*parts)

    def add_bytes(self, name: str, data: bytes) -> Path:
        """Write ``data`` as file ``name`` and return its path."""
        with self.writing(name) as temporary:
            temporary.write_bytes(data)
        return self.place(name)

    def add_text(self, name: str, text: str) -> Path:
        """Write ``text`` (UTF-8) as file ``name`` and return its path."""
        return self.add_bytes(name, text.encode())

    def add_json(self, name: str, value: object) -> Path:
        """Write ``value`` as indented JSON with sorted keys; NaN and infinities are refused (they are not JSON)."""
        try:
            text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"{name} cannot be JSON: {error}", remedy="write null for a missing number") from error
        return self.add_text(name, text + "\n")

    def add_file(self, name: str, source: Path) -> Path:
        """Copy the file ``source`` as ``name`` and return its path."""
        with self.writing(name) as temporary:
            shutil.copyfile(source, temporary)
        return self.place(name)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path to write; it becomes file ``name`` when the block ends without an error.

        Raises:
            ArtifactError: the run is finished, or ``name`` is no place in it.
        """
        path = self.place(name)
        self._refuse_finished()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            yield temporary
            commit_file(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def finish(
        self,
        *,
        created: datetime,
        data_hash: str,
        config: Mapping[str, Any],
        summary: Mapping[str, Any] | None = None,
        revision: str | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> RunManifest:
        """Hash every file and seal the folder with its manifest, written last and in one step.

        Args:
            created: the time to record.
            data_hash: hash of the training data.
            config: the full configuration of the run.
            summary: the few numbers a list of runs shows.
            revision: source revision; found from the working copy when None.
            versions: library versions; those installed when None.

        Raises:
            ArtifactError: the run is already finished.
        """
        self._refuse_finished()
        self._sweep()
        manifest = RunManifest(
            run_id=self.run_id,
            sleeve=self.sleeve,
            created=created,
            git_revision=git_revision(Path(__file__).parent) if revision is None else revision,
            data_hash=data_hash,
            versions=dict(library_versions() if versions is None else versions),
            config=dict(config),
            summary=dict(summary or {}),
            files={
                name: FileEntry(sha256=sha256_file(path), bytes=path.stat().st_size)
                for name, path in self._files().items()
            },
        )
        write_atomic(self.path / MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode())
        return manifest

    def manifest(self) -> RunManifest:
        """Read the manifest.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        path = self.path / MANIFEST
        try:
            return RunManifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactError(f"cannot read {path}: {error}", remedy="restore the folder, or train again") from error

    def verify(self) -> RunManifest:
        """Check every file against the manifest and return it.

        Raises:
            ArtifactError: files are missing, altered or extra; all are named.
        """
        manifest = self.manifest()
        present = self._files()
        problems = [f"{name} is missing" for name in manifest.files if name not in present]
        problems += [f"{name} is not in the manifest" for name in present if name not in manifest.files]
        for name, entry in manifest.files.items():
            path = present.get(name)
            if path is not None and path.is_symlink():
                problems.append(f"{name} is a link, not a file")
            elif path is not None and (path.stat().st_size != entry.bytes or sha256_file(path) != entry.sha256):
                problems.append(f"{name} was altered")
        if (manifest.run_id, manifest.sleeve) != (self.run_id, self.sleeve):
            problems.append(f"the manifest is of {manifest.sleeve}/{manifest.run_id}")
        if problems:
            raise ArtifactError(
                f"{self.path} does not verify: {'; '.join(sorted(problems))}",
                remedy="restore the folder from a copy, or train again; never edit a finished run",
            )
        return manifest

    def _files(self) -> dict[str, Path]:
        found = {
            path.relative_to(self.path).as_posix(): path
            for path in self.path.rglob("*")
            if path.is_file() or path.is_symlink()
        }
        found.pop(MANIFEST, None)
        return dict(sorted(found.items()))

    def _sweep(self) -> None:
        for leftover in self.path.rglob(f"{INCOMING}*"):
            leftover.unlink()

    def _refuse_finished(self) -> None:
        if self.finished:
            raise ArtifactError(
                f"{self.path} is finished and never changes", remedy="start a new run with another configuration"
            )
