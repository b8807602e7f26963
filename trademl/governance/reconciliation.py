"""Everything that follows from ``ops.promotions`` is brought in line with it: router, snapshot, model registry.

A promotion is done when its batch has its name. A process that dies after that leaves followers behind; whoever reads
the champion next brings them forward, so that no state needs a repair command and none lasts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trademl.artifacts.files import INCOMING
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ArtifactError, LockedError, MissingExtra, SnapshotError
from trademl.governance.decisions import TABLE, Recorded, batch_names, read_decisions, reign
from trademl.governance.router_config import read_router, set_champion
from trademl.governance.tracking import point_aliases, read_registry
from trademl.lake.files import FileLock
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import current_seq, read_manifest
from trademl.lake.snapshot import snapshot_batches

LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Reconciliation:
    """What a sleeve's decisions say, and what had to be done about it.

    Attributes:
        line: the decisions that made the champions in line, the present one last.
        changed: what was brought forward, in words.
        lagging: what could not be, in words with the reason; the decisions hold all the same.
    """

    line: tuple[Recorded, ...]
    changed: tuple[str, ...] = ()
    lagging: tuple[str, ...] = ()

    @property
    def champion(self) -> Recorded | None:
        """The decision that made the present champion."""
        return self.line[-1] if self.line else None


def promotion_lock(home: Home) -> FileLock:
    """Return the lock that is held while a decision is recorded or its followers are written."""
    return FileLock(layout_of(home).root / ".promotion.lock", wait=LOCK_SECONDS)


def reconcile(home: Home, sleeve: str, *, mlflow: bool = True, now: Clock = utc_now) -> Reconciliation:
    """Bring router, snapshot and registry in line with the decisions of ``sleeve``.

    Where they are in line already nothing is locked, written or loaded. ``mlflow=False`` leaves the registry alone.

    Raises:
        PromotionError: the decisions do not add up.
        ConfigError: configs/router.yml is wrong, or there is no such sleeve.
    """
    line = reign(read_decisions(layout_of(home), sleeve))
    if not _behind(home, sleeve, line, mlflow):
        return Reconciliation(line)
    try:
        with promotion_lock(home):
            return roll_forward(home, sleeve, mlflow=mlflow, now=now)
    except LockedError as error:
        return Reconciliation(line, lagging=(f"router and registry wait: {error.message}",))


def roll_forward(home: Home, sleeve: str, *, mlflow: bool = True, now: Clock = utc_now) -> Reconciliation:
    """Do what :func:`reconcile` does; the caller holds the lock."""
    layout = layout_of(home)
    line = reign(read_decisions(layout, sleeve))
    run = line[-1].run_id if line else None
    # Only holders of this lock write in these folders, so what is unfinished there belongs to nobody alive.
    _sweep([home.configs, layout.batches(TABLE)])
    changed, lagging = [], []
    if set_champion(home, sleeve, run):
        changed.append(f"configs/router.yml names {run or 'no champion'} for {sleeve}")
    if not _published(layout):
        try:
            changed.append(f"snapshot {snapshot_batches(layout, now=now).seq} shows {TABLE}")
        except (LockedError, SnapshotError) as error:
            lagging.append(f"no snapshot shows the last decisions: {error.message}")
    if mlflow and _registry_behind(home, sleeve, run):
        try:
            point_aliases(home, sleeve, run)
            changed.append(f"MLflow's aliases of trademl-{sleeve} follow {run or 'no champion'}")
        except (ArtifactError, MissingExtra) as error:
            lagging.append(f"MLflow's aliases do not follow: {error.message}")
    return Reconciliation(line, tuple(changed), tuple(lagging))


def _behind(home: Home, sleeve: str, line: tuple[Recorded, ...], mlflow: bool) -> bool:
    run = line[-1].run_id if line else None
    if read_router(home).of(sleeve).champion != run or not _published(layout_of(home)):
        return True
    return mlflow and _registry_behind(home, sleeve, run)


def _published(layout: Layout) -> bool:
    """Tell whether the snapshot, if there is one, shows every decision."""
    if current_seq(layout) is None:
        return True
    shown = {Path(file.path) for file in read_manifest(layout).batches.get(TABLE, ())}
    return set(batch_names(layout)) <= shown


def _registry_behind(home: Home, sleeve: str, run: str | None) -> bool:
    registry = read_registry(home, sleeve)
    return registry is None or not registry.follows(run)


def _sweep(folders: Iterable[Path]) -> None:
    for folder in folders:
        for leftover in folder.glob(f"{INCOMING}*"):
            leftover.unlink(missing_ok=True)
