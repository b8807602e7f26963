"""MLflow: a finished run as a tracked run and a registered model version; the only module that imports mlflow.

Everything stays in one sqlite file under models_artifacts. MLflow keeps pointers to the run folder, never copies: the
folder and its manifest are the artifact, MLflow is a window on it that can be thrown away and filled again.
"""

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trademl.config.home import Home
from trademl.errors import ArtifactError, MissingExtra

DATABASE = "mlflow.db"
CHAMPION = "champion"
CHALLENGER = "challenger"
RUN_TAG = "trademl.run_id"

_PARAMETER_LENGTH = 6000
_NO_MLFLOW = (
    "the run itself is complete and registered; run the same command again, or go on without MLflow with --no-mlflow"
)


@dataclass(frozen=True)
class TrackedRun:
    """What to tell MLflow of a run.

    Attributes:
        run_id: trademl's own id; it names the MLflow run and makes logging it twice one run.
        sleeve, label: the experiment is ``trademl-<sleeve>``, and so is the registered model.
        folder: the run folder.
        params: flat configuration. metrics: plain numbers. tags: text.
    """

    run_id: str
    sleeve: str
    label: str
    folder: Path
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def database_uri(home: Home) -> str:
    """Return the tracking address, for ``mlflow ui --backend-store-uri``."""
    return f"sqlite:///{home.models_artifacts / DATABASE}"


def track(home: Home, run: TrackedRun) -> str:
    """Log ``run`` and register it as the challenger of its sleeve; return the model version. Twice is once.

    Raises:
        MissingExtra: mlflow is not installed.
        ArtifactError: MLflow refused; the run folder is complete all the same.
    """
    with _client(home, f"log run {run.run_id}", _NO_MLFLOW) as client:
        return _track(client, home, run)


@dataclass(frozen=True)
class Registry:
    """The registered versions of one sleeve: alias -> run id, and the runs that have a version."""

    aliases: Mapping[str, str]
    runs: frozenset[str]

    def follows(self, champion: str | None) -> bool:
        """Whether the aliases say what ``champion`` means: it alone is champion, and it is no challenger."""
        wanted = champion if champion in self.runs else None
        return self.aliases.get(CHAMPION) == wanted and (champion is None or self.aliases.get(CHALLENGER) != champion)


def read_registry(home: Home, sleeve: str) -> Registry | None:
    """Return the registry of ``sleeve`` without loading mlflow; None when only mlflow itself can read the file.

    The tables are MLflow's own and could change with it; then, or after a crash in mid-transaction, the answer is None.
    """
    path = home.models_artifacts / DATABASE
    if not path.is_file():
        return Registry({}, frozenset())
    living = (
        "select tag.value from model_version_tags as tag join model_versions as version "
        "on version.name = tag.name and version.version = tag.version "
        "where tag.name = :name and tag.key = :key and version.current_stage <> 'Deleted_Internal'"
    )
    aliased = (
        "select alias.alias, coalesce(tag.value, '') from registered_model_aliases as alias "
        "left join model_version_tags as tag "
        "on tag.name = alias.name and tag.version = alias.version and tag.key = :key where alias.name = :name"
    )
    names = {"name": f"trademl-{sleeve}", "key": RUN_TAG}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as con:
            return Registry(
                aliases=dict(con.execute(aliased, names).fetchall()),
                runs=frozenset(row[0] for row in con.execute(living, names).fetchall()),
            )
    except sqlite3.Error:
        return None


def point_aliases(home: Home, sleeve: str, champion: str | None) -> None:
    """Make the aliases of ``sleeve`` follow: ``champion`` on the champion's version, ``challenger`` on another or none.

    Where the champion has no version (it was trained with --no-mlflow) there is no alias ``champion`` at all: none is
    better than that of a run that is not.

    Raises:
        MissingExtra: mlflow is not installed.
        ArtifactError: MLflow refused.
    """
    name = f"trademl-{sleeve}"
    remedy = "promotion itself is done; mend the file, then `trademl champion` sets the aliases"
    with _client(home, f"set the aliases of {name}", remedy) as client:
        if not list(client.search_registered_models(f"name = '{name}'")):
            return
        aliases = {str(key): str(value) for key, value in client.get_registered_model(name).aliases.items()}
        version = None if champion is None else _version(client, name, champion)
        if version is not None and aliases.get(CHAMPION) != version:
            client.set_registered_model_alias(name, CHAMPION, version)
        if version is None and CHAMPION in aliases:
            client.delete_registered_model_alias(name, CHAMPION)
        if version is not None and aliases.get(CHALLENGER) == version:
            client.delete_registered_model_alias(name, CHALLENGER)


@contextmanager
def _client(home: Home, task: str, remedy: str) -> Iterator[Any]:
    """Give a client of the home's MLflow; its errors become ours.

    Raises:
        MissingExtra: mlflow is not installed.
        ArtifactError: MLflow refused to do ``task``.
    """
    # Read when mlflow is imported: nothing may leave this machine, and nothing may look for a git program.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        # What MLflow's own use of SQLAlchemy is deprecated for is no message for who trains a model.
        warnings.simplefilter("ignore")
        try:
            import mlflow
            from sqlalchemy.exc import SQLAlchemyError
        except ModuleNotFoundError as error:
            raise MissingExtra("mlflow", "train") from error
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        home.models_artifacts.mkdir(parents=True, exist_ok=True)
        address = database_uri(home)
        try:
            yield mlflow.MlflowClient(tracking_uri=address, registry_uri=address)
        except (mlflow.exceptions.MlflowException, SQLAlchemyError, OSError) as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArtifactError(
                f"MLflow could not {task} in {home.models_artifacts / DATABASE}: {first_line}", remedy=remedy
            ) from error


def _track(client: Any, home: Home, run: TrackedRun) -> str:
    name = f"trademl-{run.sleeve}"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = (home.models_artifacts / run.sleeve).resolve().as_uri()
        experiment_id = client.create_experiment(name, artifact_location=location)
    else:
        experiment_id = experiment.experiment_id
    found = client.search_runs([experiment_id], filter_string=f"tags.`{RUN_TAG}` = '{run.run_id}'", max_results=1)
    logged = found[0] if found else None
    if logged is None or logged.info.status != "FINISHED":
        logged = _log(client, experiment_id, run, logged)
    return _register(client, name, run, logged.info.run_id)


def _log(client: Any, experiment_id: str, run: TrackedRun, begun: Any) -> Any:
    """Log everything; a run that a killed process began is filled up instead of begun again."""
    from mlflow.entities import Metric, Param, RunTag

    if begun is None:
        begun = client.create_run(experiment_id, run_name=run.run_id, tags={RUN_TAG: run.run_id})
    moment = begun.info.start_time
    client.log_batch(
        begun.info.run_id,
        metrics=[Metric(key, float(value), moment, 0) for key, value in run.metrics.items()],
        params=[Param(key, str(value)[:_PARAMETER_LENGTH]) for key, value in run.params.items()],
        tags=[
            RunTag(key, value)
            for key, value in {"trademl.folder": str(run.folder), "trademl.label": run.label, **run.tags}.items()
        ],
    )
    client.set_terminated(begun.info.run_id, "FINISHED")
    return begun


def _register(client: Any, name: str, run: TrackedRun, tracked_id: str) -> str:
    if not list(client.search_registered_models(f"name = '{name}'")):
        client.create_registered_model(
            name, description=f"Models of the sleeve {run.sleeve}, one version a training run."
        )
    existing = _version(client, name, run.run_id)
    if existing is not None:
        return existing
    version = client.create_model_version(
        name,
        source=(run.folder / "checkpoints").resolve().as_uri(),
        run_id=tracked_id,
        tags={RUN_TAG: run.run_id, "trademl.label": run.label},
    )
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    return str(version.version)


def _version(client: Any, name: str, run_id: str) -> str | None:
    """Return the newest version that was registered for ``run_id``."""
    numbers = [
        int(version.version)
        for version in client.search_model_versions(f"name = '{name}'")
        if version.tags.get(RUN_TAG) == run_id
    ]
    return str(max(numbers)) if numbers else None
