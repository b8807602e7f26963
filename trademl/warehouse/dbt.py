"""Run dbt on the home's project and publish what it built.

`trademl build` and a plain `dbt build` inside dbt_project/ do the same thing: the project itself decides what must be
rebuilt (macros/build_window.sql). This module adds the lock, the progress, an error that names the failing model, and
the snapshot at the end. Unit tests try the SQL on rows of their own: their answer changes only with the project or the
programs, so they run again when one of these has changed. A full refresh and a plain `dbt build` run them always.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trademl.clock import Clock, parse_instant, utc_now
from trademl.config.home import Home
from trademl.errors import BuildError, ConfigError, LockedError, MissingExtra
from trademl.lake.files import FileLock
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import Manifest
from trademl.warehouse.read import publish_after_build

DEFAULT_THREADS = 2
DEFAULT_MEMORY_LIMIT = "4GB"


@dataclass(frozen=True)
class NodeResult:
    """One executed dbt node: a model, a test, a unit test or a hook."""

    name: str
    kind: str
    status: str
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class BuildReport:
    """What a build did: nodes in the order they ran, the seconds spent in models, and the snapshot it ended with."""

    nodes: list[NodeResult]
    snapshot: Manifest | None
    warehouse: Path

    @property
    def model_seconds(self) -> float:
        """Seconds spent in models, tests and hooks left out."""
        return sum(node.seconds for node in self.nodes if node.kind == "model")

    @property
    def tests(self) -> int:
        return sum(node.kind in ("test", "unit_test") for node in self.nodes)


def build(
    home: Home,
    *,
    as_known_at: datetime | str | None = None,
    full_refresh: bool = False,
    select: str | None = None,
    threads: int = DEFAULT_THREADS,
    memory_limit: str = DEFAULT_MEMORY_LIMIT,
    progress: Callable[[NodeResult, int, int], None] | None = None,
    now: Clock = utc_now,
) -> BuildReport:
    """Build the warehouse with dbt, run its tests, and publish the snapshot.

    Args:
        home: the home whose dbt_project and lake are used.
        as_known_at: rebuild what was known at this instant, in a warehouse and a snapshot of its own; the present is
            untouched.
        full_refresh: rebuild everything, whatever changed.
        select: a dbt node selection; a selection never becomes a snapshot.
        threads: threads of DuckDB; results do not depend on it.
        memory_limit: DuckDB's memory limit, such as ``4GB``.
        progress: called after each node with its result, its number and the number of nodes.
        now: gives the time of the snapshot.

    Raises:
        BuildError: dbt reported an error; the message names every failing node.
        LockedError: another build is running on this home.
        MissingExtra: dbt is not installed.
    """
    layout = _layout(home, as_known_at)
    arguments = _arguments(home, layout, as_known_at, full_refresh=full_refresh, select=select)
    layout.base.mkdir(parents=True, exist_ok=True)
    tested, stamp = _project_digest(home.dbt_project), layout.base / ".unit_tests_passed"
    if not full_refresh and stamp.is_file() and stamp.read_text(encoding="utf-8") == tested:
        arguments += ["--exclude-resource-type", "unit_test"]
    settings = {
        "TRADEML_LAKE": str(layout_of(home).root),
        "TRADEML_WAREHOUSE": str(layout.warehouse),
        "TRADEML_THREADS": str(threads),
        "TRADEML_MEMORY_LIMIT": memory_limit,
    }
    with FileLock(layout.base / ".build.lock"), dbt_environment(settings):
        nodes = _run(arguments, progress, layout)
    snapshot = None
    if select is None:
        stamp.write_text(tested, encoding="utf-8")
        snapshot = publish_after_build(home, as_known_at, now=now)
    return BuildReport(nodes=nodes, snapshot=snapshot, warehouse=layout.warehouse)


def _layout(home: Home, as_known_at: datetime | str | None) -> Layout:
    layout = layout_of(home)
    return layout if as_known_at is None else layout.as_known(as_known_at)


def _arguments(
    home: Home, layout: Layout, as_known_at: datetime | str | None, *, full_refresh: bool, select: str | None
) -> list[str]:
    if not (home.dbt_project / "dbt_project.yml").is_file():
        raise ConfigError(
            f"{home.dbt_project} has no dbt_project.yml",
            remedy="run `trademl init DIR` for a whole home, or restore it",
        )
    project = str(home.dbt_project)
    arguments = ["--quiet", "build", "--project-dir", project, "--profiles-dir", project]
    if as_known_at is not None:
        instant = parse_instant(as_known_at) if isinstance(as_known_at, str) else as_known_at
        arguments += ["--vars", f"{{as_known_at: '{instant:%Y-%m-%d %H:%M:%S.%f}'}}"]
        arguments += ["--target-path", str(layout.base / "target")]
    if full_refresh:
        arguments.append("--full-refresh")
    if select is not None:
        arguments += ["--select", *select.split()]
    return arguments


def _project_digest(project: Path) -> str:
    """Everything that a unit test's answer can depend on: the project's files and the programs that run them."""
    digest = hashlib.sha256()
    for package in ("dbt-core", "dbt-duckdb", "duckdb"):
        try:
            digest.update(f"{package} {version(package)}\n".encode())
        except PackageNotFoundError:
            continue
    folders = [project / name for name in ("macros", "models", "tests")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    for file in sorted([*files, *project.glob("*.yml")]):
        digest.update(f"{file.relative_to(project)}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _run(
    arguments: list[str], progress: Callable[[NodeResult, int, int], None] | None, layout: Layout
) -> list[NodeResult]:
    try:
        from dbt.cli.main import dbtRunner
    except ImportError as error:
        raise MissingExtra("dbt-core", "train") from error

    finished: list[NodeResult] = []
    errors: list[str] = []

    def listen(event: Any) -> None:
        if event.info.name == "NodeFinished" and progress is not None:
            node = event.data.node_info
            finished.append(NodeResult(node.node_name, node.resource_type, node.node_status, 0.0))
            progress(finished[-1], len(finished), 0)
        elif event.info.level == "error":
            errors.append(str(event.info.msg))

    with closed_warehouse():
        outcome = dbtRunner(callbacks=[listen]).invoke(arguments)
    executed: Any = outcome.result or []
    nodes = [
        NodeResult(
            str(result.node.alias if result.node.resource_type == "model" else result.node.name),
            str(result.node.resource_type),
            str(result.status),
            float(result.execution_time),
            str(result.message or ""),
        )
        for result in executed
        if hasattr(result, "execution_time")
    ]
    bad = [node for node in nodes if node.status in ("error", "fail", "runtime error")]
    if outcome.success and not bad:
        return nodes
    if any("Could not set lock on file" in text for text in [*errors, str(outcome.exception or "")]):
        raise LockedError(
            f"another process holds {layout.warehouse}", remedy="wait for the other build to end, or stop it"
        )
    lines = [f"{node.kind} {node.name}: {' '.join(node.message.split())[:400]}" for node in bad]
    lines = lines or [
        " ".join(str(text).split())[:600] for text in (errors or [str(outcome.exception or "unknown error")])
    ]
    raise BuildError(
        f"dbt build failed in {len(bad) or 1} place(s):\n  " + "\n  ".join(lines[:12]),
        remedy="mend the models or the data named above and build again; the last snapshot is still in place",
    )


@contextmanager
def closed_warehouse() -> Iterator[None]:
    """Close, at the end, the connection that dbt-duckdb keeps for the life of the process: others can lock the file."""
    try:
        yield
    finally:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        with DuckDBConnectionManager._LOCK:
            environment: Any = DuckDBConnectionManager._ENV
            DuckDBConnectionManager._ENV = None
            if environment is not None:
                environment.close()


@contextmanager
def dbt_environment(settings: dict[str, str]) -> Iterator[None]:
    """Set variables that profiles.yml reads, for the time of one run."""
    saved = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
