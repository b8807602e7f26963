"""The final model and what scoring needs beside it: native text, ONNX, parity proof, calibrator, residual spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.models.base import BaseModel
from trademl.models.golden import write_golden
from trademl.models.onnx import ParityReport, prove_parity
from trademl.training.binary import forward_calibrated
from trademl.training.config import REGIMES, SleeveTables, Task
from trademl.training.cross_validate import CrossValidation
from trademl.training.dataset import TrainingData
from trademl.training.evaluate import LOG_ODDS, probability
from trademl.training.feature_columns import FeatureColumn
from trademl.validation.calibration import (
    EVENT_RANGE,
    PROBABILITY_RANGE,
    Calibrator,
    Clip,
    ReliabilityBins,
    apply,
    brier,
    ece,
    fit_isotonic,
    fit_platt,
    log_loss,
    reliability_bins,
)
from trademl.validation.residuals import fit_residual_std

PARITY_ROWS = 100_000
"""Real rows that native and ONNX scores are compared on, when there are as many."""

GOLDEN_ROWS = 256
CALIBRATION_BINS = 20

_NOTES = (
    "cross-fitted: each fold is judged by a calibrator fitted on the out-of-fold scores of the others",
    "forward-fitted: each fold but the first is judged by a calibrator fitted on the scores of the folds before",
)


@dataclass(frozen=True, eq=False)
class FinalModel:
    """The fitted model and the proof that its ONNX form scores alike."""

    model: BaseModel
    parity: ParityReport


@dataclass(frozen=True, eq=False)
class Calibration:
    """Probability that the label is positive, given the score.

    ``bins`` and ``metrics`` are cross-fitted: each fold is judged by a calibrator that was fitted on the others; of the
    task ``binary`` on the folds before, so that its first fold teaches and is not judged.
    """

    knots: Calibrator
    bins: ReliabilityBins
    metrics: dict[str, float]


def fit_final(folder: RunFolder, data: TrainingData, model: BaseModel) -> FinalModel:
    """Write the fitted model as native file, ONNX and golden vectors, and prove that they score alike.

    Raises:
        ModelError: the export failed.
        ParityError: native and ONNX scores differ on some row.
    """
    native, exported = folder.place(f"checkpoints/model{model.suffix}"), folder.place("checkpoints/model.onnx")
    model.save(native)
    model.export_onnx(exported)
    golden = np.ascontiguousarray(data.X[_evenly(len(data), GOLDEN_ROWS)])
    write_golden(folder.place("checkpoints/golden.json"), data.feature_names, golden, model.predict(golden))
    proved = np.ascontiguousarray(data.X[_evenly(len(data), PARITY_ROWS)])
    parity = prove_parity(type(model).native(native), exported, proved, latency=True)
    folder.add_json("metrics/parity.json", parity.to_dict())
    return FinalModel(model, parity)


def calibrate(
    folder: RunFolder, data: TrainingData, validated: CrossValidation, folds: NDArray[np.int64], task: Task
) -> Calibration:
    """Fit P(label > 0 | score) and the residual spread on out-of-fold scores, and write both as JSON.

    The score is the mean over the paths that test a row; ``folds`` is the fold of each row, for the honest measure
    of the calibrator. Residuals are target less prediction, in the target's unit.

    Raises:
        ModelError: no row was tested, or residuals do not vary.
    """
    score = validated.mean_score
    tested = np.flatnonzero(np.isfinite(score))
    rose = (data.value[tested] > 0).astype(np.float64)
    knots = fit_calibrator(score[tested], rose, task)
    folder.add_json("checkpoints/calibrator.json", knots.to_dict())
    predicted = probability(score) if task in LOG_ODDS else score
    residual = data.target - predicted
    known = tested[np.isfinite(residual[tested])]
    spread = fit_residual_std(score[known], residual[known], data.regime[known], regimes=REGIMES)
    folder.add_json("checkpoints/yhat_std.json", spread.to_dict())
    if task == "binary":
        likely, base = _forward_fitted(score[tested], rose, folds[tested], data.spans.start[tested])
        judged = np.isfinite(likely)
        tested, rose, likely, base = tested[judged], rose[judged], likely[judged], base[judged]
    else:
        likely = _cross_fitted(score[tested], rose, folds[tested])
        base = _base_rate(rose, folds[tested])
    bins = reliability_bins(likely, rose, n_bins=CALIBRATION_BINS, strategy="quantile")
    metrics = {
        "rows": float(len(tested)),
        "base_rate": float(rose.mean()),
        "brier": brier(likely, rose),
        "brier_of_base_rate": float(rose.mean() * (1 - rose.mean())),
        "brier_of_cross_fitted_base_rate": brier(base, rose),
        "log_loss": log_loss(likely, rose),
        "ece": ece(likely, rose),
        "ece_quantile": bins.ece,
    }
    folder.add_json(
        "metrics/calibration.json",
        {
            "note": _NOTES[task == "binary"],
            **metrics,
            "confidence": bins.confidence.tolist(),
            "accuracy": bins.accuracy.tolist(),
            "count": bins.count.tolist(),
        },
    )
    return Calibration(knots, bins, metrics)


def _base_rate(rose: NDArray[np.float64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each row the share of ones in the other folds: what is known without any score."""
    rate = np.empty(len(rose))
    for fold in np.unique(folds):
        rate[folds == fold] = rose[folds != fold].mean() if (folds != fold).any() else rose.mean()
    return rate


def _cross_fitted(
    score: NDArray[np.float64], rose: NDArray[np.float64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    likely = np.empty(len(score))
    for fold in np.unique(folds):
        held = folds == fold
        knots = fit_isotonic(score[~held], rose[~held])
        likely[held] = apply(knots, score[held], clip=PROBABILITY_RANGE)
    return likely


def _forward_fitted(
    score: NDArray[np.float64], rose: NDArray[np.float64], folds: NDArray[np.int64], start: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return calibrated probability and base rate of each row as the folds before know them; NaN in the first fold."""
    likely, base = np.full(len(score), np.nan), np.full(len(score), np.nan)
    for held, before in forward_calibrated(start, folds):
        fitted = fit_calibrator(score[before], rose[before], "binary")
        likely[held] = apply(fitted, score[held], clip=EVENT_RANGE)
        base[held] = rose[before].mean()
    return likely, base


def fit_calibrator(score: NDArray[np.float64], rose: NDArray[np.float64], task: Task) -> Calibrator:
    """Return the function from score to probability that a task publishes.

    Log-odds of the task ``binary`` are nearly calibrated and their events may be rare: Platt's sigmoid moves and
    stretches them and keeps every order; where all outcomes are one class there is none, and the fit is isotonic, as
    that of every other task is.
    """
    if task == "binary" and 0 < rose.mean() < 1:
        return fit_platt(score, rose)
    return fit_isotonic(score, rose)


def clip_of(task: str) -> Clip:
    """Return the range that published probabilities of a run's task stay in."""
    return EVENT_RANGE if task == "binary" else PROBABILITY_RANGE


def write_features(
    folder: RunFolder, home: Home, sleeve: SleeveTables, data: TrainingData, scoring: Mapping[str, Any]
) -> None:
    """Write the feature list in exact order, the SQL that makes the features, and what scoring must know."""
    folder.add_json("features/feature_list.json", list(data.feature_names))
    folder.add_text("features/features.sql", _features_sql(home, sleeve, data))
    folder.add_json("config/scoring.json", dict(scoring))


def feature_places(columns: Sequence[FeatureColumn], sleeve: SleeveTables) -> dict[str, Any]:
    """Return where scoring reads the features, as scoring.json says it.

    ``features_table`` is the sleeve's own, unless no feature lies in it; ``feature_tables``, where there are any, are
    the further ones, each with the features that it has.
    """
    tables = list(dict.fromkeys(column.table for column in columns)) or [sleeve.features_table]
    own = sleeve.features_table if sleeve.features_table in tables else tables[0]
    others = {table: [column.name for column in columns if column.table == table] for table in tables if table != own}
    return {"features_table": own, **({"feature_tables": others} if others else {})}


def compiled_sql(home: Home, sleeve: SleeveTables) -> str:
    """Return the compiled SQL of the sleeve's features as the last build left it, else a comment that says why not."""
    return _sql_of(home, sleeve.features_model, sleeve.features_table)


def _features_sql(home: Home, sleeve: SleeveTables, data: TrainingData) -> str:
    """Return the compiled SQL of every table that a feature lies in, one after another, each under its name."""
    tables = list(dict.fromkeys(column.table for column in data.columns))
    if tables in ([], [sleeve.features_table]):
        return compiled_sql(home, sleeve)
    models = {sleeve.features_table: sleeve.features_model}
    parts = {table: _sql_of(home, models.get(table, f"gld_{table.rpartition('.')[2]}"), table) for table in tables}
    return "\n".join(f"-- {table}\n{text.strip()}\n" for table, text in parts.items())


def _sql_of(home: Home, model: str, table: str) -> str:
    found = _compiled(home.dbt_project / "target" / "compiled", model)
    if found is None:
        return (
            f"-- {model}.sql is not in {home.dbt_project.name}/target/compiled: this run was "
            f"trained from a snapshot without the build that made it. Scoring reads {table}.\n"
        )
    return found.read_text(encoding="utf-8")


def _compiled(folder: Path, model: str) -> Path | None:
    # dbt also compiles tests into folders called <file>.yml; the model itself lies under models/.
    found = sorted(path for path in folder.rglob(f"{model}.sql") if "models" in path.parts and ".yml" not in str(path))
    return found[0] if found else None


def _evenly(n_rows: int, wanted: int) -> NDArray[np.int64]:
    """Return ``wanted`` positions from first to last row at even distances; all when there are fewer."""
    if n_rows <= wanted:
        return np.arange(n_rows)
    return np.linspace(0, n_rows - 1, wanted).astype(np.int64)
