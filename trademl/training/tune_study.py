"""A study's memory: one sqlite file of Optuna's, which survives whatever kills its process.

Every change is one transaction of sqlite's rollback journal, flushed to the disk before it counts. A trial enters the
file with all its parameters in one of them. The study is locked while a process works on it, and the kernel frees the
lock of a dead one: a trial that is at work in a study that nobody holds is one that was killed, and goes on where it
stopped. That needs no heartbeat, and no time to wait for one to fall silent.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trademl.artifacts.files import INCOMING
from trademl.artifacts.provenance import hash_json
from trademl.errors import ArtifactError, ConfigError
from trademl.lake.files import commit_file, temporary_beside

if TYPE_CHECKING:
    import optuna

Pruner = Literal["median", "none"]

FILE = "study.db"
STARTUP_TRIALS = 5
"""Trials that are fitted to the end before the first one may be pruned."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SETTINGS = "trademl"
_WRITABLE = 0o644


def study_name(settings: Mapping[str, Any]) -> str:
    """Return a name for a study with these settings: the same whenever the same command meets the same data.

    >>> study_name({"label": "fwd_5d", "space": {"kind": "ridge"}})
    'fwd_5d-ridge-07e766f33f4b'
    """
    return f"{settings['label']}-{settings['space']['kind']}-{hash_json(dict(settings))[:12]}"


def check_name(name: str) -> str:
    """Return ``name`` if a study may be called so.

    Raises:
        ConfigError: it is no plain folder name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a study", remedy="use up to 100 letters, digits, '-', '_' and '.', a letter first"
        )
    return name


@contextmanager
def open_study(folder: Path, settings: Mapping[str, Any], pruner: Pruner) -> "Iterator[optuna.Study]":
    """Open the study in ``folder``, or begin it; the caller holds its lock.

    Args:
        folder: its place; the last part is its name.
        settings: what decides its trials, as JSON can hold it.
        pruner: ``median`` stops a trial whose best mean so far is below the median of the earlier trials after as many
            passes; ``none`` fits every trial to the end.

    Raises:
        ConfigError: a study of this name was begun with other settings; the message names them.
        ArtifactError: the file is no study.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{INCOMING}*"):
        leftover.unlink()
    path = folder / FILE
    if not path.is_file():
        # Tables, version and study come in many transactions: the file appears when all are in it.
        temporary = temporary_beside(path)
        try:
            with _storage(temporary) as storage:
                optuna.create_study(storage=storage, study_name=folder.name, direction="maximize").set_user_attr(
                    _SETTINGS, dict(settings)
                )
            commit_file(temporary, path, _WRITABLE)
        finally:
            temporary.unlink(missing_ok=True)
    stops: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if pruner == "median":
        stops = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS)
    with _storage(path) as storage:
        try:
            # Proposals are made elsewhere: this sampler is never asked.
            study = optuna.load_study(
                study_name=folder.name, storage=storage, sampler=optuna.samplers.RandomSampler(seed=0), pruner=stops
            )
        except KeyError as error:
            raise _damaged(path, f"it holds no study {folder.name}") from error
        _check_settings(study, settings)
        yield study


@contextmanager
def _storage(path: Path) -> "Iterator[optuna.storages.RDBStorage]":
    import optuna
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import DatabaseError

    url = URL.create("sqlite", database=str(path)).render_as_string()
    # Optuna fills `{SCHEMA_VERSION}` into URLs, so the braces of a folder's name are doubled.
    try:
        storage = optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"))
    except (DatabaseError, RuntimeError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{path} cannot be read as a study: {why}",
        remedy="restore it from a copy, or begin another study with --study NAME",
    )


def _check_settings(study: "optuna.Study", settings: Mapping[str, Any]) -> None:
    known = study.user_attrs.get(_SETTINGS)
    if known == dict(settings):
        return
    differing = [name for name in settings if not isinstance(known, dict) or known.get(name) != settings[name]]
    raise ConfigError(
        f"the study {study.study_name} was begun with other settings: {', '.join(differing) or 'of another version'}",
        remedy="repeat the command that began it, or give another name with --study",
    )
