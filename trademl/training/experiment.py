"""Experiments: models by labels by horizons, each cell one run of the one training path.

A cell is what ``trademl train`` would train with the same configuration, so its run folder, its row in the ledger and
its gate are those of any run, and a cell that has been trained before, by whatever command, is not trained again. An
experiment that was killed goes on when the same command is run again: nothing but the runs themselves is remembered.
"""

import difflib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import yaml
from pydantic import BeforeValidator, Field

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.reading import Section, load_section, validate_section
from trademl.errors import ConfigError, TrademlError
from trademl.governance.ledger import trial_id
from trademl.models.base import ModelConfig
from trademl.models.registry import list_models, read_model_config
from trademl.training.config import SleeveTables, Target, Task, TrainingConfig, choose_features
from trademl.training.cross_validate import Progress
from trademl.training.run import RunResult, train_sleeve

HORIZON_LABEL = "horizon"
"""The one label that is crossed with the horizons."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_DECIDED_BY_CELLS = ("label", "k", "model")


class LabelChoice(Section):
    """One label of an experiment: its name as ``label`` of a training configuration, and what is fitted on it.

    Attributes:
        label: ``horizon``, ``tb`` or the exact name of a label.
        k: sessions of the label ``horizon``; None takes every horizon of the experiment.
        task, target: instead of the training configuration's; None keeps it.
    """

    label: str
    k: int | None = Field(default=None, ge=1)
    task: Task | None = None
    target: Target | None = None


def _read_label(raw: object) -> object:
    if isinstance(raw, str):
        return LabelChoice(label=raw)
    return validate_section(raw, LabelChoice, origin="labels") if isinstance(raw, dict) else raw


def _read_model(raw: object) -> object:
    return {"name": raw} if isinstance(raw, str) else raw


class ExperimentConfig(Section):
    """What an experiment compares.

    Attributes:
        name: names the folder models_artifacts/experiments/<name>.
        sleeve: whose tables are trained on.
        training: the configuration that all cells share, relative to configs/.
        overrides: fields of that configuration to change for every cell, nested as there.
        models: names of configs/models/<name>.yml or of families, or whole model sections with a ``name``.
        labels: names, or mappings as :class:`LabelChoice`.
        horizons: sessions that the label ``horizon`` is crossed with; none takes the configuration's ``k``.
    """

    name: str = Field(pattern=f"^{_NAME.pattern}$", max_length=64)
    sleeve: Literal["equities"] = "equities"
    training: str = "training/equities.yml"
    overrides: dict[str, Any] = Field(default_factory=dict)
    models: tuple[Annotated[dict[str, Any], BeforeValidator(_read_model)], ...] = Field(min_length=1)
    labels: tuple[Annotated[LabelChoice, BeforeValidator(_read_label)], ...] = Field(min_length=1)
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = ()


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: ``label`` as the warehouse calls it, ``model`` as the experiment does."""

    label: str
    model: str
    task: Task
    config: TrainingConfig

    @property
    def name(self) -> str:
        """Label, task where it is no regression, and model."""
        task = "" if self.task == "regression" else f" {self.task}"
        return f"{self.label}{task} {self.model}"


@dataclass(frozen=True)
class CellResult:
    """What became of a cell: its run, or why there is none. ``seconds`` is the time of this command alone."""

    cell: Cell
    run: RunResult | None
    error: str
    seconds: float


class Watcher(Progress, Protocol):
    """Receives what happens in an experiment, and inside its runs."""

    def cell(self, number: int, total: int, cell: Cell, seconds_left: float | None) -> None:
        """Say which cell begins, counted from 1; ``seconds_left`` for it and those after it, None before any."""

    def cell_done(self, result: CellResult) -> None:
        """Say what became of it."""


def read_experiment(path: Path) -> ExperimentConfig:
    """Read an experiment.

    Raises:
        ConfigError: the file is missing, or a field is unknown or wrong.
    """
    return load_section(path, ExperimentConfig)


def expand(
    home: Home, sleeve: SleeveTables, config_type: type[TrainingConfig], experiment: ExperimentConfig
) -> tuple[Cell, ...]:
    """Return the cells of ``experiment``, label by label, in the order of the file.

    Args:
        home: where configs/ lies.
        sleeve: names the labels.
        config_type: the sleeve's training configuration.
        experiment: what to cross.

    Raises:
        ConfigError: a file is missing, a field is wrong, or two cells are one and the same run.
    """
    models = _models(home, experiment.models)
    path = home.configs / experiment.training
    if not path.resolve().is_relative_to(home.configs.resolve()):
        raise ConfigError(
            f"experiment {experiment.name}: training={experiment.training!r} lies outside configs/",
            remedy="name a file below configs/, such as training/equities.yml",
        )
    taken = [name for name in _DECIDED_BY_CELLS if name in experiment.overrides]
    if taken:
        raise ConfigError(
            f"experiment {experiment.name}: overrides.{taken[0]} is what the cells differ in",
            remedy="say it in `models`, `labels` and `horizons`",
        )
    shared = _merged(load_section(path, config_type).model_dump(), experiment.overrides)
    choose_features(shared, experiment.overrides)
    cells: list[Cell] = []
    for choice in _labels(experiment):
        for name, model in models.items():
            chosen = choice.model_dump(exclude_none=True)
            fields = {**shared, **chosen, "model": model}
            config = validate_section(fields, config_type, origin=f"experiment {experiment.name}")
            cells.append(Cell(sleeve.label_name(config), name, config.task, config))
    _refuse_twins(experiment, cells)
    return tuple(cells)


def run_cells(
    home: Home,
    sleeve: SleeveTables,
    cells: Sequence[Cell],
    watcher: Watcher,
    *,
    mlflow: bool = True,
    command: str = "",
    now: Clock = utc_now,
    timer: Callable[[], float] = time.monotonic,
) -> tuple[CellResult, ...]:
    """Train every cell that is not trained yet; one that fails is reported, and the others go on.

    An interruption ends the experiment; so does an error that is no :class:`TrademlError`, which is a bug.
    """
    pace = Pace()
    results = []
    for number, cell in enumerate(cells):
        watcher.cell(number + 1, len(cells), cell, pace.left(cells[number:]))
        began = timer()
        run, error = None, ""
        try:
            run = train_sleeve(home, sleeve, cell.config, progress=watcher, mlflow=mlflow, command=command, now=now)
        except TrademlError as problem:
            error = str(problem)
        result = CellResult(cell, run, error, timer() - began)
        pace.add(result)
        results.append(result)
        watcher.cell_done(result)
    return tuple(results)


@dataclass
class Pace:
    """How long cells take, from those trained so far: of the same model where there are any, else of all."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, result: CellResult) -> None:
        """Count a cell that was trained now; one that was there already, or failed, says nothing."""
        if result.run is not None and not result.run.already_trained:
            self.seconds.setdefault(result.cell.model, []).append(result.seconds)

    def left(self, cells: Sequence[Cell]) -> float | None:
        """Return the seconds that ``cells`` will take if none of them is trained already; None before any was."""
        every = [value for values in self.seconds.values() for value in values]
        if not every:
            return None
        mean = sum(every) / len(every)
        known = {model: sum(values) / len(values) for model, values in self.seconds.items()}
        return sum(known.get(cell.model, mean) for cell in cells)


def cell_trial(sleeve: SleeveTables, cell: Cell) -> str:
    """Return the cell's id in ``ops.trials``."""
    return trial_id(sleeve.name, cell.label, cell.config.hash())


def read_model(home: Home, name: str) -> ModelConfig:
    """Return the settings of configs/models/``name``.yml; without such a file, the defaults of the family ``name``.

    Raises:
        ConfigError: there is neither, or the file is wrong.
    """
    folder = home.configs / "models"
    path = folder / f"{name}.yml"
    if not _NAME.fullmatch(name) or not (path.is_file() or name in list_models()):
        known = sorted({*list_models(), *(found.stem for found in folder.glob("*.yml"))})
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"models: {name!r} is neither a file of configs/models nor a family{hint}",
            remedy=f"give one of {', '.join(known)}, or a model section with its `kind`",
        )
    if not path.is_file():
        return read_model_config({"kind": name})
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", remedy="mend the line named above") from error
    return read_model_config(raw, origin=str(path))


def _models(home: Home, entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        fields = dict(entry)
        given = fields.pop("name", fields.get("kind"))
        if not isinstance(given, str) or not _NAME.fullmatch(given):
            raise ConfigError(
                f"models: {entry!r} has no name of lower case letters, digits, '-' and '_'",
                remedy="write `lightgbm`, or `{name: shallow, kind: lightgbm, max_depth: 3}`",
            )
        config = read_model_config(fields, origin=f"models.{given}") if fields else read_model(home, given)
        if given in found:
            raise ConfigError(f"models: {given!r} occurs twice", remedy="give each model a `name` of its own")
        found[given] = config.model_dump()
    return found


def _labels(experiment: ExperimentConfig) -> list[LabelChoice]:
    """Return the labels with the horizons multiplied in."""
    found: list[LabelChoice] = []
    for choice in experiment.labels:
        crossed = choice.label == HORIZON_LABEL and choice.k is None and experiment.horizons
        found += [choice.model_copy(update={"k": k}) for k in experiment.horizons] if crossed else [choice]
    if experiment.horizons and not any(choice.label == HORIZON_LABEL for choice in experiment.labels):
        raise ConfigError(
            f"experiment {experiment.name}: horizons={list(experiment.horizons)}, but `labels` has no `horizon`",
            remedy="add `horizon` to labels, or remove horizons",
        )
    return found


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` put over it, section by section."""
    found = dict(base)
    for name, value in over.items():
        inner = found.get(name)
        found[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return found


def _refuse_twins(experiment: ExperimentConfig, cells: Sequence[Cell]) -> None:
    """Refuse two names for one run: the comparison would count it twice."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        # `horizon` with k 5 and fwd_5d are one label, whatever the unused k says.
        identity = {**cell.config.identity(), "label": cell.label, "k": None}
        key = json.dumps(identity, sort_keys=True)
        if key in seen:
            raise ConfigError(
                f"experiment {experiment.name}: {seen[key].name!r} and {cell.name!r} are one and the same run",
                remedy="remove one of the two labels or models",
            )
        seen[key] = cell
