"""How honest the heads' probabilities are on test dates, before and after calibrators that never saw them.

Scores are out of fold: those of a date come from models of earlier dates (``preds.oof``). A calibrator for the test
dates is fitted on the out-of-fold scores of the dates before the first of them, and so is the base rate. The bundle
itself carries calibrators of all out-of-fold scores; these here say what such a calibrator is worth on days to come.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.config.home import Home
from trademl.errors import ConfigError, ModelError
from trademl.sleeves.events.heads import Head, listed_heads, model_dir, read_head
from trademl.sleeves.events.names import file_stem
from trademl.training.final import fit_calibrator
from trademl.validation.calibration import (
    EVENT_RANGE,
    ReliabilityBins,
    apply,
    brier,
    ece,
    log_loss,
    reliability_bins,
)
from trademl.validation.discrimination import auc, auc_error
from trademl.validation.sigmoid import sigmoid
from trademl.warehouse.read import read_snapshot

FloatArray = NDArray[np.float64]
FOLDER = "events_calibration"
"""Below models_artifacts/, unless a command names another."""

N_BINS = 10
_WRITABLE = 0o644


@dataclass(frozen=True)
class Honesty:
    """One way to state probabilities on the test dates.

    Attributes:
        brier, log_loss: mean squared error, and mean negative log-likelihood in nats.
        ece, mce: mean and largest gap of probability and event rate, over ten bins of about equal counts.
        ece_wide: the mean gap over ten bins of equal width.
    """

    brier: float
    log_loss: float
    ece: float
    mce: float
    ece_wide: float


@dataclass(frozen=True, eq=False)
class HeadCalibration:
    """A head on the test dates.

    Attributes:
        head, run_id: which.
        taught: rows before the test dates that calibrator and base rate come from; rows: rows of the test dates.
        base_rate: share of events on the test dates; known_rate: on the dates before.
        auc, auc_error: of the score on the test dates, and its standard error for independent rows.
        base: Brier score and log loss of ``known_rate``.
        before: of the logistic of the score; after: of the calibrated score.
        curves: reliability bins of both.
    """

    head: str
    run_id: str
    taught: int
    rows: int
    base_rate: float
    known_rate: float
    auc: float
    auc_error: float
    base: tuple[float, float]
    before: Honesty
    after: Honesty
    curves: tuple[ReliabilityBins, ReliabilityBins]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        numbers = {
            name: getattr(self, name) for name in ("head", "run_id", "taught", "rows", "base_rate", "known_rate")
        }
        curves = {
            name: {
                "predicted": bins.confidence.tolist(),
                "observed": bins.accuracy.tolist(),
                "rows": bins.count.tolist(),
            }
            for name, bins in zip(("before", "after"), self.curves, strict=True)
        }
        return {
            **numbers,
            "auc": None if np.isnan(self.auc) else self.auc,
            "auc_error": None if np.isnan(self.auc_error) else self.auc_error,
            "brier_of_known_rate": self.base[0],
            "log_loss_of_known_rate": self.base[1],
            "before": asdict(self.before),
            "after": asdict(self.after),
            "curves": curves,
        }


@dataclass(frozen=True, eq=False)
class CalibrationResult:
    """All heads of a bundle, and the files that show them."""

    heads: tuple[HeadCalibration, ...]
    test_dates: tuple[date, ...]
    folder: Path
    files: tuple[Path, ...]


def calibrate(
    home: Home,
    stage: str,
    ablation: str,
    test_dates: Sequence[date],
    *,
    heads: Sequence[str] = (),
    models: Path | None = None,
    output: Path | None = None,
) -> CalibrationResult:
    """Judge a bundle's probabilities on dates and write calibration.json and reliability_{head}.png.

    Args:
        home: whose out-of-fold predictions.
        stage, ablation: which bundle.
        test_dates: sessions that were predicted out of fold.
        heads: judge these; empty is every head of the bundle that states a probability.
        models: the bundle's folder; None is the home's.
        output: folder of the report; None is models_artifacts/events_calibration/<stage>_<ablation>.

    Raises:
        ConfigError: a date was not predicted out of fold, or there is nothing before the first of them.
        ModelError: a head was not trained, or states no probability.
        ArtifactError: the bundle is damaged.
    """
    if not test_dates:
        raise ConfigError("there are no test dates", remedy="give at least one with --test-dates")
    folder = models or model_dir(home)
    chosen = [read_head(folder, head, stage, ablation) for head in (heads or listed_heads(folder, stage, ablation))]
    sizes = [head.head for head in chosen if head.calibrator is None]
    if heads and sizes:
        raise ModelError(f"{', '.join(sizes)} state no probability", remedy="leave them out of --heads")
    days = tuple(sorted(set(test_dates)))
    place = output or home.models_artifacts / FOLDER / f"{stage}_{ablation}"
    with read_snapshot(home) as snapshot:
        judged = tuple(_judge_head(snapshot.con, head, days) for head in chosen if head.calibrator is not None)
    files = [_draw(place, found, file_stem(found.head, stage, ablation)) for found in judged]
    document = {
        "stage": stage,
        "ablation": ablation,
        "test_dates": [str(day) for day in days],
        "heads": [found.to_dict() for found in judged],
    }
    report = place / "calibration.json"
    write_atomic(report, json.dumps(document, indent=1).encode(), _WRITABLE)
    return CalibrationResult(judged, days, place, (report, *files))


def judge(score: FloatArray, outcome: FloatArray, taught: FloatArray, lessons: FloatArray) -> dict[str, Any]:
    """Judge scores of test rows, with calibrator and base rate of earlier ones.

    Args:
        score, outcome: log-odds and 0 or 1 of the test rows.
        taught, lessons: the same of earlier rows.

    Returns:
        Fields of :class:`HeadCalibration`.
    """
    raw, fitted = sigmoid(score), apply(fit_calibrator(taught, lessons, "binary"), score, clip=EVENT_RANGE)
    rate = np.full(len(score), lessons.mean())
    area, events = auc(score, outcome), int(outcome.sum())
    ways = [_honesty(likely, outcome) for likely in (raw, fitted)]
    return {
        "taught": len(taught),
        "rows": len(score),
        "base_rate": float(outcome.mean()),
        "known_rate": float(lessons.mean()),
        "auc": area,
        "auc_error": auc_error(area, events, len(outcome) - events),
        "base": (brier(rate, outcome), log_loss(rate, outcome)),
        "before": ways[0][0],
        "after": ways[1][0],
        "curves": (ways[0][1], ways[1][1]),
    }


def _honesty(likely: FloatArray, outcome: FloatArray) -> tuple[Honesty, ReliabilityBins]:
    bins = reliability_bins(likely, outcome, n_bins=N_BINS, strategy="quantile")
    wide = ece(likely, outcome, n_bins=N_BINS)
    return Honesty(brier(likely, outcome), log_loss(likely, outcome), bins.ece, bins.mce, wide), bins


def _judge_head(con: duckdb.DuckDBPyConnection, head: Head, days: Sequence[date]) -> HeadCalibration:
    rows = con.execute(
        "select dt, yhat, y from preds.oof where run_id = $run and path_id = 0 order by dt, entity",
        {"run": head.run_id},
    ).fetchnumpy()
    at = np.asarray(rows["dt"], dtype="datetime64[D]")
    wanted = np.array(days, dtype="datetime64[D]")
    missing = [str(day) for day in wanted if day not in at]
    if missing:
        told = f"{at.min()} to {at.max()}" if len(at) else "no date"
        raise ConfigError(
            f"{head.head} of run {head.run_id} predicted nothing out of fold on {', '.join(missing[:5])}; it has "
            f"{told}",
            remedy="choose sessions with events among these, or train again on later data",
        )
    test, earlier = np.isin(at, wanted), at < wanted.min()
    if not earlier.any():
        raise ConfigError(
            f"{head.head} has no out-of-fold prediction before {wanted.min()} that a calibrator could be fitted on",
            remedy=f"choose later test dates; its predictions begin on {at.min()}",
        )
    score, outcome = np.asarray(rows["yhat"], dtype=np.float64), np.asarray(rows["y"], dtype=np.float64)
    return HeadCalibration(
        head=head.head, run_id=head.run_id, **judge(score[test], outcome[test], score[earlier], outcome[earlier])
    )


def _draw(folder: Path, found: HeadCalibration, stem: str) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    ends = [min(bins.confidence.min() for bins in found.curves), max(bins.confidence.max() for bins in found.curves)]
    axes.plot(ends, ends, color="black", linewidth=0.5, label="calibrated")
    axes.axhline(found.known_rate, color="grey", linestyle=":", linewidth=0.8, label="base rate of before")
    for name, bins, way in zip(("before", "after"), found.curves, (found.before, found.after), strict=True):
        axes.plot(
            bins.confidence,
            bins.accuracy,
            marker="o",
            markersize=4,
            label=f"{name}: Brier {way.brier:.4f}, ECE {way.ece:.4f}, MCE {way.mce:.4f}",
        )
    axes.set(title=f"{stem}\n{found.rows:,} events on the test dates", xlabel="predicted", ylabel="observed")
    axes.legend(fontsize=8)
    image = io.BytesIO()
    # No version in the file: the same report gives the same bytes.
    figure.savefig(image, format="png", dpi=110, metadata={"Software": None})
    path = folder / f"reliability_{stem}.png"
    write_atomic(path, image.getvalue(), _WRITABLE)
    return path
