"""What the out-of-fold predictions are worth: per path, per split, per regime, and over the paths.

Correlations compare the score with the label as gold holds it (within a date, neither the mean nor a monotone target
changes a rank). Errors compare the prediction with what was fitted: the target, or the class for top/bottom.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.run_folder import RunFolder
from trademl.errors import ModelError
from trademl.training import binary
from trademl.training.config import REGIMES, Task
from trademl.training.cross_validate import CrossValidation, SplitResult
from trademl.training.dataset import TrainingData
from trademl.validation.classification import Classification, classification
from trademl.validation.metrics import DailyIC, direction_accuracy, information_coefficient, mae, r2, rmse, summarise_ic
from trademl.validation.signal_profile import DecayPoint, QuantileMean, quantile_means, rank_ic_decay

Metrics = dict[str, float]

LOG_ODDS: frozenset[Task] = frozenset({"top_bottom", "binary"})
"""Tasks whose score is the log-odds of class 1."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures of a run.

    Attributes:
        paths: metrics of each path.
        summary: per metric its mean, std (over paths, n - 1), min and max.
        splits: metrics of each split, with its rows and folds.
        regimes: metrics of the dates of each regime, of the score averaged over paths.
        daily: coefficients per date of each path.
        importances: per feature the mean and std of its share of the gain over splits, largest first.
        decay: rank IC of the score averaged over paths with labels that start some sessions later.
        deciles: mean label by decile of that score.
        classes: of each path, how well the fitted classes are predicted; empty for a regression.
    """

    paths: tuple[Metrics, ...]
    summary: dict[str, Metrics]
    splits: tuple[dict[str, Any], ...]
    regimes: dict[str, Metrics]
    daily: tuple[DailyIC, ...]
    importances: tuple[tuple[str, float, float], ...]
    decay: tuple[DecayPoint, ...]
    deciles: tuple[QuantileMean, ...]
    classes: tuple[Classification, ...] = ()

    def headline(self) -> Metrics:
        """Return the numbers that name a run: means and spread over the paths."""
        named = ["ic", "rank_ic", "rank_icir", "rank_ic_t", "rmse", "mae", "r2", "direction_accuracy"]
        if self.classes:
            named += ["accuracy", "majority", "macro_f1"]
        named += [name for name in binary.HEADLINE if name in self.summary]
        found = {name: self.summary[name]["mean"] for name in named}
        return {**found, "rank_ic_std_over_paths": self.summary["rank_ic"]["std"]}


def evaluate(data: TrainingData, validated: CrossValidation, task: Task) -> Evaluation:
    """Measure every path, split and regime, and the shape of the signal."""
    daily = []
    paths = []
    classes = []
    for number, scores in enumerate(validated.scores):
        tested = np.isfinite(scores)
        series = information_coefficient(scores[tested], data.value[tested], data.dates[tested])
        daily.append(series)
        path = {**_correlations(series, data.horizon), **_errors(scores[tested], data.target[tested], task)}
        if task != "regression":
            classes.append(_classes(data, validated, number, task))
            path |= {name: getattr(classes[-1], name) for name in ("accuracy", "majority", "macro_f1")}
        if task == "binary":
            path |= binary.judge_path(data, scores, validated.split_of[number]).to_dict()
        paths.append(path)
    score = validated.mean_score
    decay = rank_ic_decay(score, data.value, data.spans.start, data.spans.entity, overlap=max(data.horizon - 1, 0))
    return Evaluation(
        paths=tuple(paths),
        summary={name: _spread([path[name] for path in paths]) for name in paths[0]},
        splits=tuple(_split_metrics(data, validated, result, task) for result in validated.splits),
        regimes=_by_regime(data, validated, task),
        daily=tuple(daily),
        importances=_importances(data.feature_names, validated.splits),
        decay=decay,
        deciles=quantile_means(score, data.value, data.dates),
        classes=tuple(classes),
    )


def write_metrics(folder: RunFolder, evaluation: Evaluation) -> None:
    """Write metrics/: metrics.json, and as CSV paths, splits, regimes, importances, ic_by_date and, of a task with
    classes, their precision and recall by path.
    """
    document = {
        "summary": evaluation.summary,
        "headline": evaluation.headline(),
        "paths": list(evaluation.paths),
        "regimes": evaluation.regimes,
        "ic_decay": [asdict(point) for point in evaluation.decay],
        "deciles": [asdict(decile) for decile in evaluation.deciles],
        "classes": [asdict(path) for path in evaluation.classes],
    }
    folder.add_json("metrics/metrics.json", plain(document))
    _add_csv(folder, "paths", [{"path_id": number, **path} for number, path in enumerate(evaluation.paths)])
    _add_csv(folder, "splits", evaluation.splits)
    _add_csv(folder, "regimes", [{"regime": name, **values} for name, values in evaluation.regimes.items()])
    _add_csv(
        folder,
        "importances",
        [
            {"feature": name, "gain_share_mean": mean, "gain_share_std": std}
            for name, mean, std in evaluation.importances
        ],
    )
    if evaluation.classes:
        rows = [{"path_id": at, **asdict(one)} for at, path in enumerate(evaluation.classes) for one in path.classes]
        _add_csv(folder, "classes", rows)
    _add_csv(
        folder,
        "ic_by_date",
        [
            {"path_id": number, "date": str(day), "ic": ic, "rank_ic": rank_ic, "rows": int(rows)}
            for number, series in enumerate(evaluation.daily)
            for day, ic, rank_ic, rows in zip(series.dates, series.pearson, series.spearman, series.count, strict=True)
        ],
    )


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def probability(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logistic function of log-odds, without overflow in either tail."""
    small = np.exp(-np.abs(score))
    return np.where(score >= 0, 1.0, small) / (1.0 + small)


def _correlations(series: DailyIC, horizon: int) -> Metrics:
    # Labels of h sessions overlap on h - 1 dates, so their daily coefficients are correlated that far at least.
    dates = max(int(np.isfinite(series.spearman).sum()), 1)
    lags = max(horizon - 1, int(4 * (dates / 100) ** (2 / 9)))
    linear, rank = (summarise_ic(values, lags=lags) for values in (series.pearson, series.spearman))
    return {
        "ic": linear.mean,
        "rank_ic": rank.mean,
        "rank_ic_std": rank.std,
        "rank_icir": rank.icir,
        "rank_ic_t": rank.t_stat,
        "rank_ic_hit_rate": rank.hit_rate,
        "dates": float(rank.n_dates),
    }


def _errors(scores: NDArray[np.float64], target: NDArray[np.float64], task: Task) -> Metrics:
    predicted = probability(scores) if task in LOG_ODDS else scores
    centre = 0.5 if task in LOG_ODDS else 0.0
    return {
        "rmse": rmse(predicted, target),
        "mae": mae(predicted, target),
        "r2": r2(predicted, target),
        "direction_accuracy": direction_accuracy(predicted - centre, target - centre),
        "rows": float(len(scores)),
    }


def _classes(data: TrainingData, validated: CrossValidation, path: int, task: Task) -> Classification:
    """Judge the likeliest class of each row of a path that has a class: not the middle of top and bottom."""
    scores = validated.scores[path]
    judged = np.isfinite(scores) & np.isfinite(data.target)
    actual = data.target[judged]
    if task in LOG_ODDS:
        # Log-odds of 0 are a tie, and go to the bottom.
        return classification((scores[judged] > 0).astype(np.float64), actual, (0, 1))
    if validated.probabilities is None:
        raise ModelError("a run of three classes has no probabilities of them", remedy="report this as a bug")
    likeliest = validated.probabilities[path, judged].argmax(axis=1) - 1
    return classification(likeliest.astype(np.float64), actual, (-1, 0, 1))


def _split_metrics(data: TrainingData, validated: CrossValidation, result: SplitResult, task: Task) -> dict[str, Any]:
    path, rows = np.nonzero(validated.split_of == result.split_id)
    order = np.argsort(rows, kind="stable")
    path, rows = path[order], rows[order]
    scores = validated.scores[path, rows]
    series = information_coefficient(scores, data.value[rows], data.dates[rows])
    own: Metrics = {}
    if task == "binary":
        member = (validated.split_of == result.split_id).any(axis=0)
        rates = binary.known_rates(data, np.where(member, np.int16(0), np.int16(-1)))
        own = binary.judge(scores, data.target[rows], rates[rows]).to_dict()
    return {
        "split_id": result.split_id,
        "test_folds": " ".join(map(str, result.test_groups)),
        "first_test_date": str(data.dates[rows[0]]),
        "last_test_date": str(data.dates[rows[-1]]),
        "train_rows": result.train_rows,
        "test_rows": result.test_rows,
        "seconds": result.seconds,
        **_correlations(series, data.horizon),
        **_errors(scores, data.target[rows], task),
        **own,
    }


def _by_regime(data: TrainingData, validated: CrossValidation, task: Task) -> dict[str, Metrics]:
    scores = validated.mean_score
    tested = np.isfinite(scores)
    found = {}
    for name, code in [*((name, code) for code, name in enumerate(REGIMES)), ("unknown", -1)]:
        rows = tested & (data.regime == code)
        if rows.any():
            series = information_coefficient(scores[rows], data.value[rows], data.dates[rows])
            found[name] = {**_correlations(series, data.horizon), **_errors(scores[rows], data.target[rows], task)}
    return found


def _importances(names: Sequence[str], splits: Sequence[SplitResult]) -> tuple[tuple[str, float, float], ...]:
    gains = np.array([[split.importances[name] for name in names] for split in splits])
    totals = gains.sum(axis=1, keepdims=True)
    shares = gains / np.where(totals > 0, totals, 1.0)
    std = shares.std(axis=0, ddof=1) if len(shares) > 1 else np.zeros(len(names))
    listed = zip(names, shares.mean(axis=0).tolist(), std.tolist(), strict=True)
    return tuple(sorted(listed, key=lambda row: (-row[1], row[0])))


def _spread(values: Sequence[float]) -> Metrics:
    array = np.array(values, dtype=np.float64)
    known = array[np.isfinite(array)]
    if not len(known):
        return dict.fromkeys(("mean", "std", "min", "max"), math.nan)
    std = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return {"mean": float(known.mean()), "std": std, "min": float(known.min()), "max": float(known.max())}


def _add_csv(folder: RunFolder, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["empty"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if _is_nan(value) else value for key, value in row.items()} for row in rows)
    folder.add_text(f"metrics/{name}.csv", text.getvalue())


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
