"""The stacker: blends of finished runs, as runs of their sleeve; and blends of any tables of scores.

:func:`train` makes a run that is validated, audited, judged and scored like every other. :func:`train_stacker`,
:func:`load_stacker` and :func:`stack_scores` are the same blenders for data frames, of whatever models and sleeves,
whose rows the caller has aligned by {date, symbol}.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.reading import Section, validate_section
from trademl.errors import ConfigError, ModelError
from trademl.models.stacking.blend import Blend, average, read_document
from trademl.models.stacking.config import Blender, MetaTrees, StackConfig, check_weights
from trademl.models.stacking.fit import fit_blend
from trademl.models.stacking.graph import export_blend
from trademl.sleeves.equities import EQUITIES
from trademl.training.config import SleeveTables, Target, Task
from trademl.training.cross_validate import Progress
from trademl.training.run import RunResult, train_sleeve
from trademl.training.stack import StackTrainer, stack_config

if TYPE_CHECKING:
    import pandas as pd

SLEEVES: dict[str, SleeveTables] = {EQUITIES.name: EQUITIES}
"""Sleeves whose runs can be stacked."""

STACKER = "stacker.json"
GRAPH = "stacker.onnx"
"""Files of :func:`train_stacker`."""


class BlenderSettings(Section):
    """How scores are blended; see :class:`trademl.models.stacking.config.StackConfig`."""

    blender: Blender = "ridge"
    penalty: float = Field(default=0.01, ge=0.0, le=1e6)
    weights: dict[str, float] = Field(default_factory=dict)
    trees: MetaTrees = MetaTrees()


class StackerConfig(BlenderSettings):
    """The configuration of configs/training/stacker.yml.

    Attributes:
        runs: the runs to blend, in order.
        task, target: of the stack; None is the first run's.
    """

    runs: tuple[str, ...] = ()
    task: Task | None = None
    target: Target | None = None


def train(
    home: Home,
    config: StackerConfig,
    *,
    progress: Progress | None = None,
    mlflow: bool = True,
    command: str = "",
    now: Clock = utc_now,
) -> RunResult:
    """Train the stack of ``config.runs`` as a run of their sleeve; see :func:`trademl.training.run.train_sleeve`.

    Dates, label, validation, weights and data gate are those of the first run; the others must agree with it.

    Raises:
        ConfigError: a run does not exist, belongs to another sleeve, or was validated otherwise.
        LeakageError: the audit of splits, data or base scores found a violation.
    """
    sleeve = sleeve_of(home, config.runs)
    model = {"bases": config.runs, **config.model_dump(include=set(BlenderSettings.model_fields))}
    own = {"task": config.task, "target": config.target}
    chosen = stack_config(home, sleeve, model, own)
    return train_sleeve(
        home, sleeve, chosen, trainer=StackTrainer, progress=progress, mlflow=mlflow, command=command, now=now
    )


def sleeve_of(home: Home, runs: Sequence[str]) -> SleeveTables:
    """Return the one sleeve that all of ``runs`` belong to.

    Raises:
        ConfigError: no run is named, one does not exist, or they belong to several sleeves.
    """
    if not runs:
        raise ConfigError("runs is empty", remedy="give finished runs with --runs A,B,C")
    places: dict[str, str] = {}
    for run in runs:
        found = [name for name in SLEEVES if run and "/" not in run and (home.models_artifacts / name / run).is_dir()]
        if not found:
            raise ConfigError(
                f"runs: there is no run {run!r} in {home.models_artifacts}",
                remedy='`trademl sql "select run_id, sleeve from ops.runs"` lists those that are finished',
            )
        places[run] = found[0]
    if len(set(places.values())) > 1:
        told = ", ".join(f"{run} of {sleeve}" for run, sleeve in places.items())
        raise ConfigError(
            f"runs: {told}: one graph scores a stack, and it reads one table of features",
            remedy="stack runs of one sleeve, or blend their tables of scores with train_stacker",
        )
    return SLEEVES[places[runs[0]]]


class TableConfig(BlenderSettings):
    """What :func:`train_stacker` is told: the blender, and the folder in which its files are written."""

    out: Path


def train_stacker(oof_df: "pd.DataFrame", y: "pd.Series[Any]", cfg: Mapping[str, Any]) -> dict[str, Path]:
    """Fit a blend on a table of out-of-fold scores and write it; return its files by name (seed 004, appendix A).

    Args:
        oof_df: one row per {date, symbol}, one column per model or sleeve, NaN where one has no score.
        y: the label of each row, under the same index; rows without one are left out.
        cfg: fields of :class:`TableConfig`: ``out``, ``blender``, ``penalty``, ``weights``, ``trees``.

    Returns:
        ``stacker`` (JSON, for :func:`load_stacker`) and ``onnx`` (from ``scores`` to ``score``).

    How well the blend does out of sample is not told by these rows: `trademl train stacker` measures that.

    Raises:
        ConfigError: a field of ``cfg`` is wrong.
        ModelError: the tables do not fit each other, or the blend cannot be fitted.
    """
    settings = validate_section(dict(cfg), TableConfig, origin="cfg")
    inputs = [str(name) for name in oof_df.columns]
    if len(y) != len(oof_df) or not y.index.equals(oof_df.index):
        raise ModelError(
            f"y has {len(y)} rows and another index than oof_df with {len(oof_df)}",
            remedy="align both by {date, symbol}: y = y.reindex(oof_df.index)",
        )
    if not oof_df.index.is_unique:
        raise ModelError("the index of oof_df has a row twice", remedy="keep one row for each {date, symbol}")
    fields = {"bases": inputs, **settings.model_dump(exclude={"out"})}
    config = validate_section(fields, StackConfig, origin="cfg")
    scores, labels = _matrix(oof_df, inputs), np.asarray(y, dtype=np.float64)
    rows = np.isfinite(labels) & np.isfinite(scores).any(axis=1)
    blend = fit_blend(scores[rows], labels[rows], None, config, inputs)
    written = {"stacker": settings.out / STACKER, "onnx": settings.out / GRAPH}
    blend.save(written["stacker"])
    export_blend(blend, written["onnx"])
    return written


def load_stacker(path: Path | str) -> Blend:
    """Read a blend: the file of :func:`train_stacker`, its folder, or the model.json of a stack's run.

    Raises:
        ModelError: the file is missing or holds no blend.
    """
    place = Path(path) / STACKER if Path(path).is_dir() else Path(path)
    document = read_document(place)
    return Blend.from_dict(document.get("blend", document), origin=str(place))


def stack_scores(df_scores: "pd.DataFrame", model_or_weights: Blend | Mapping[str, float]) -> NDArray[np.float64]:
    """Return one blended score per row of ``df_scores``; NaN where no input is known.

    Args:
        df_scores: one column per input; a column that is not there, or NaN, is a missing input, and the row gets the
            blend of the others. Columns that are no input are not read.
        model_or_weights: a blend, or input -> weight of a weighted average.

    Raises:
        ModelError: no column is an input, or the weights are negative, not finite or all 0.
    """
    if isinstance(model_or_weights, Blend):
        blend = model_or_weights
    else:
        weights = {str(name): float(weight) for name, weight in model_or_weights.items()}
        try:
            check_weights(weights, tuple(weights))
        except ValueError as error:
            raise ModelError(str(error), remedy="give each input a weight of at least 0") from error
        if not weights:
            raise ModelError("there are no weights", remedy="give input -> weight")
        blend = average(list(weights), weights)
    if not set(blend.inputs) & set(df_scores.columns):
        raise ModelError(
            f"the table has none of the inputs {', '.join(blend.inputs)}", remedy="name its columns after them"
        )
    return blend.predict(_matrix(df_scores, blend.inputs))


def _matrix(table: "pd.DataFrame", names: Sequence[str]) -> NDArray[np.float64]:
    twice = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if twice:
        raise ModelError(f"the table has the column {twice[0]!r} twice", remedy="keep one column for each input")
    scores = np.full((len(table), len(names)), np.nan)
    for number, name in enumerate(names):
        if name in table.columns:
            scores[:, number] = np.asarray(table[name], dtype=np.float64)
    return scores
