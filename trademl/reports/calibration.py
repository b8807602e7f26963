"""How honest a run's probabilities are: reliability before and after calibration, judged on folds left out.

Each fold's scores are calibrated by a function fitted on the out-of-fold scores of the other folds, as in training, so
neither the model nor its calibrator has seen the outcomes it is judged by. The event is a label above 0.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ArtifactError
from trademl.reports.predictions import FinishedRun, OutOfFold
from trademl.validation.calibration import (
    PROBABILITY_RANGE,
    BrierParts,
    Calibrator,
    ReliabilityBins,
    apply,
    brier,
    brier_parts,
    ece,
    fit_isotonic,
    fit_platt,
    log_loss,
    reliability_bins,
)
from trademl.validation.sigmoid import sigmoid

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Method = Literal["isotonic", "platt"]

METHODS: dict[Method, Callable[[FloatArray, FloatArray], Calibrator]] = {"isotonic": fit_isotonic, "platt": fit_platt}
BINS = 20

_WRITABLE = 0o644


@dataclass(frozen=True, eq=False)
class Judged:
    """One way to state probabilities, and what it is worth.

    Attributes:
        name: ``before``, ``isotonic`` or ``platt``.
        note: what the probabilities are.
        parts: the Brier score and its decomposition, over ``bins``.
        log_loss: in nats.
        bins: about equally many rows in each; they also give ECE and MCE.
        ece_wide: ECE over 10 bins of equal width, as metrics/calibration.json and the gate have it.
    """

    name: str
    note: str
    parts: BrierParts
    log_loss: float
    bins: ReliabilityBins
    ece_wide: float


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """The probabilities of a run.

    Attributes:
        rows, folds: what was judged. first, last: decision dates.
        base_rate: share of labels above 0. fold_rates: the same of each fold, in order of time.
        base_brier, base_log_loss: of stating, in each fold, the base rate of the others: what is known without a score.
        judged: before calibration first.
    """

    run_id: str
    label: str
    rows: int
    folds: int
    first: str
    last: str
    base_rate: float
    fold_rates: tuple[float, ...]
    base_brier: float
    base_log_loss: float
    judged: tuple[Judged, ...]


def calibration_report(
    run: FinishedRun, predictions: OutOfFold, *, methods: Sequence[Method] = ("isotonic", "platt"), n_bins: int = BINS
) -> CalibrationReport:
    """Judge the raw scores and each method on folds left out.

    Raises:
        ArtifactError: fewer than two folds were tested, or there is no finite pair of score and label.
        ModelError: ``n_bins`` is below 1, or the folds left have outcomes of one class only (Platt).
    """
    known = np.isfinite(predictions.score) & np.isfinite(predictions.value)
    score, fold = predictions.score[known], predictions.fold[known]
    rose = (predictions.value[known] > 0).astype(np.float64)
    folds = np.unique(fold)
    if len(folds) < 2:
        raise ArtifactError(
            f"run {run.run_id} has {len(score)} tested rows in {len(folds)} fold: nothing is left to calibrate on",
            remedy="train with two folds or more (`--folds`)",
        )
    base = cross_fitted(score, rose, fold, lambda _, others: float(others.mean()), lambda rate, held: rate + 0 * held)
    stated, note = uncalibrated(run.manifest.config, score, predictions.value[known], fold)
    judged = [_judge("before", note, stated, rose, n_bins)]
    for method in methods:
        likely = cross_fitted(score, rose, fold, METHODS[method], _clipped)
        judged.append(_judge(method, "fitted on the other folds, within [0.01, 0.99]", likely, rose, n_bins))
    return CalibrationReport(
        run_id=run.run_id,
        label=run.label,
        rows=len(score),
        folds=len(folds),
        first=str(predictions.dates[known].min()),
        last=str(predictions.dates[known].max()),
        base_rate=float(rose.mean()),
        fold_rates=tuple(float(rose[fold == number].mean()) for number in folds),
        base_brier=brier(base, rose),
        base_log_loss=log_loss(base, rose),
        judged=tuple(judged),
    )


def cross_fitted(
    score: FloatArray,
    outcome: FloatArray,
    fold: IntArray,
    fit: Callable[[FloatArray, FloatArray], Any],
    use: Callable[[Any, FloatArray], FloatArray],
) -> FloatArray:
    """Return for each row what ``use`` makes of its score after ``fit`` on the rows of the other folds."""
    result = np.empty(len(score))
    for number in np.unique(fold):
        held = fold == number
        result[held] = use(fit(score[~held], outcome[~held]), score[held])
    return result


def uncalibrated(
    config: dict[str, Any], score: FloatArray, value: FloatArray, fold: IntArray
) -> tuple[FloatArray, str]:
    """Return P(label > 0) as the raw score itself would state it, and how; ``config`` is that of the run.

    Log-odds become their logistic, a centred rank the middle of its scale plus itself, and an expected class, in
    [-1, 1], likewise. An expected label is taken with normal errors around it, whose size is the root mean squared
    difference of label and score in the other folds.
    """
    if config.get("task") == "top_bottom":
        return sigmoid(score), "the model's own probability of the top class"
    if config.get("task") == "binary":
        return sigmoid(score), "the model's own probability of the event"
    if config.get("task") == "three_class":
        return np.clip(0.5 + 0.5 * score, 0.0, 1.0), "one half plus half the expected class"
    if config.get("target") == "rank":
        return np.clip(0.5 + score, 0.0, 1.0), "one half plus the centred rank"
    spread = cross_fitted(
        score, value, fold, lambda s, v: float(np.sqrt(np.mean((v - s) ** 2))), lambda size, held: size + 0 * held
    )
    scaled = score / np.where(spread > 0, spread, 1.0)
    normal = np.frompyfunc(lambda x: 0.5 * erfc(-x / sqrt(2.0)), 1, 1)
    return np.asarray(normal(scaled), dtype=np.float64), "normal errors around the score, of their size in other folds"


def summary_table(report: CalibrationReport) -> list[list[str]]:
    """Return heading and one row per way to state probabilities, the base rate first."""
    heading = [
        "",
        "Brier",
        "reliability",
        "resolution",
        "uncertainty",
        "within bins",
        "log loss",
        "ECE",
        "MCE",
        "ECE wide",
    ]
    rows = [["base rate", f"{report.base_brier:.6f}", "", "", "", "", f"{report.base_log_loss:.6f}", "", "", ""]]
    for found in report.judged:
        parts = found.parts
        others = (found.log_loss, found.bins.ece, found.bins.mce, found.ece_wide)
        numbers = (parts.brier, parts.reliability, parts.resolution, parts.uncertainty, parts.within_bins)
        rows.append([found.name, *(f"{number:.6f}" for number in (*numbers, *others))])
    return [heading, *rows]


def reliability_table(found: Judged) -> list[list[str]]:
    """Return heading and one row per bin: its edges, rows, mean probability, event rate and their difference."""
    bins = found.bins
    rows = [["above", "to", "rows", "predicted", "observed", "observed less predicted"]]
    for at, number in enumerate(bins.index.tolist()):
        low, high = bins.edges[number], bins.edges[number + 1]
        stated, seen = bins.confidence[at], bins.accuracy[at]
        rows.append(
            [
                f"{low:.5f}",
                f"{high:.5f}",
                f"{bins.count[at]:,}",
                f"{stated:.5f}",
                f"{seen:.5f}",
                f"{seen - stated:+.5f}",
            ]
        )
    return rows


def as_document(report: CalibrationReport) -> dict[str, Any]:
    """Return the report as plain values for JSON."""
    return {
        "run_id": report.run_id,
        "label": report.label,
        "rows": report.rows,
        "folds": report.folds,
        "first": report.first,
        "last": report.last,
        "base_rate": report.base_rate,
        "fold_rates": list(report.fold_rates),
        "base_brier": report.base_brier,
        "base_log_loss": report.base_log_loss,
        "judged": [
            {
                "name": found.name,
                "note": found.note,
                **found.parts.__dict__,
                "log_loss": found.log_loss,
                "ece": found.bins.ece,
                "mce": found.bins.mce,
                "ece_wide": found.ece_wide,
                "bins": {
                    "low": found.bins.edges[found.bins.index].tolist(),
                    "high": found.bins.edges[found.bins.index + 1].tolist(),
                    "count": found.bins.count.tolist(),
                    "predicted": found.bins.confidence.tolist(),
                    "observed": found.bins.accuracy.tolist(),
                },
            }
            for found in report.judged
        ],
    }


def write_plots(report: CalibrationReport, folder: Path) -> list[Path]:
    """Draw a reliability diagram per way, ``reliability_<name>.png`` in ``folder``, and return their paths."""
    from matplotlib.figure import Figure

    written = []
    for found in report.judged:
        bins = found.bins
        figure = Figure(figsize=(5.5, 6), layout="constrained")
        curve, rows = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        ends = np.array([bins.confidence[0], bins.confidence[-1]])
        curve.plot(ends, ends, color="black", linewidth=0.5, label="calibrated")
        curve.axhline(report.base_rate, color="grey", linestyle=":", linewidth=0.8, label="base rate")
        curve.plot(bins.confidence, bins.accuracy, marker="o", markersize=4, label=found.name)
        curve.set(title=f"{report.run_id}\nP({report.label} > 0), {found.name}: ECE {bins.ece:.4f}", ylabel="observed")
        curve.legend(fontsize=8)
        rows.vlines(bins.confidence, 0, bins.count, linewidth=3)
        rows.set(xlabel="predicted", ylabel="rows", ylim=(0, None))
        image = io.BytesIO()
        # No version in the file: the same report gives the same bytes.
        figure.savefig(image, format="png", dpi=110, metadata={"Software": None})
        path = folder / f"reliability_{found.name}.png"
        write_atomic(path, image.getvalue(), _WRITABLE)
        written.append(path)
    return written


def _clipped(calibrator: Calibrator, score: FloatArray) -> FloatArray:
    return apply(calibrator, score, clip=PROBABILITY_RANGE)


def _judge(name: str, note: str, likely: FloatArray, rose: FloatArray, n_bins: int) -> Judged:
    return Judged(
        name=name,
        note=note,
        parts=brier_parts(likely, rose, n_bins=n_bins, strategy="quantile"),
        log_loss=log_loss(likely, rose),
        bins=reliability_bins(likely, rose, n_bins=n_bins, strategy="quantile"),
        ece_wide=ece(likely, rose),
    )
