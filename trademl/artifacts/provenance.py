"""Where a result came from: source revision and library versions, read without importing anything heavy."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = (
    "trademl",
    "numpy",
    "duckdb",
    "pyarrow",
    "lightgbm",
    "xgboost-cpu",
    "catboost",
    "onnx",
    "onnxruntime",
    "dbt-core",
    "dbt-duckdb",
    "mlflow",
)

UNKNOWN_REVISION = "unknown"


def git_revision(folder: Path) -> str:
    """Return the commit that ``folder`` is at, with ``-dirty`` when tracked files differ from it.

    ``unknown`` where there is no git, no repository or no commit, as in an installed wheel.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return UNKNOWN_REVISION
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return name -> version of the installed ones of ``names``, and of Python and the machine's architecture."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hash_json(value: Mapping[str, Any]) -> str:
    """Return the sha256 of ``value`` as JSON with sorted keys: equal mappings have equal hashes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
