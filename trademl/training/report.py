"""The page and the pictures of a run: card.md, and four plots."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from trademl.artifacts.run_folder import RunFolder
from trademl.training.config import TrainingConfig
from trademl.training.dataset import TrainingData
from trademl.training.evaluate import Evaluation
from trademl.training.final import Calibration, FinalModel, clip_of
from trademl.training.gate import GateReport
from trademl.validation.signal_profile import DecayPoint, QuantileMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATH_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("ic", "IC", "+.4f"),
    ("rank_ic", "rank IC", "+.4f"),
    ("rank_icir", "ICIR", "+.3f"),
    ("rank_ic_t", "t", "+.2f"),
    ("rmse", "RMSE", ".5f"),
    ("mae", "MAE", ".5f"),
    ("r2", "R2", "+.5f"),
    ("direction_accuracy", "direction", ".4f"),
)
"""Metric, heading and format of the table of paths, here and on the command line."""

_TOP_FEATURES = 15


def path_table(paths: Sequence[Mapping[str, float]], summary: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Return heading, one row per path, and mean, std, min and max over the paths, as text."""
    rows = [["path", *(heading for _, heading, _ in PATH_COLUMNS)]]
    rows += [
        [str(number), *(_number(path[name], style) for name, _, style in PATH_COLUMNS)]
        for number, path in enumerate(paths)
    ]
    for statistic in ("mean", "std", "min", "max") if len(paths) > 1 else ():
        rows.append([statistic, *(_number(summary[name][statistic], style) for name, _, style in PATH_COLUMNS)])
    return rows


def decay_table(decay: Sequence[DecayPoint]) -> list[list[str]]:
    """Return the decay of the rank IC as a table of three rows: lags, coefficients, t-statistics."""
    return [
        ["sessions later", *(str(point.lag) for point in decay)],
        ["rank IC", *(_number(point.rank_ic, "+.4f") for point in decay)],
        ["t", *(_number(point.rank_ic_t, "+.1f") for point in decay)],
    ]


def decile_table(deciles: Sequence[QuantileMean]) -> list[list[str]]:
    """Return mean labels by decile as a table of two rows, with the difference of the outer deciles at the end."""
    spread = deciles[-1].mean - deciles[0].mean
    return [
        ["decile", *(str(decile.quantile) for decile in deciles), "top less bottom"],
        ["mean label", *(_number(decile.mean, "+.5f") for decile in deciles), _number(spread, "+.5f")],
    ]


def write_card(
    folder: RunFolder,
    config: TrainingConfig,
    data: TrainingData,
    evaluation: Evaluation,
    final: FinalModel,
    calibration: Calibration,
    gate: GateReport,
    facts: Mapping[str, Any],
) -> None:
    """Write card.md: what the model is, what it was trained on, what it is worth and how it may be used."""
    table = path_table(evaluation.paths, evaluation.summary)
    regimes = [["regime", "dates", "rank IC", "t"]] + [
        [name, f"{values['dates']:.0f}", _number(values["rank_ic"], "+.4f"), _number(values["rank_ic_t"], "+.2f")]
        for name, values in evaluation.regimes.items()
    ]
    features = [["feature", "share of gain", "std over splits"]] + [
        [name, f"{mean:.3f}", f"{std:.3f}"] for name, mean, std in evaluation.importances[:_TOP_FEATURES]
    ]
    validation = config.validation
    made = (
        f"CPCV, {validation.folds} choose {validation.test_folds}"
        if validation.kind == "cpcv"
        else f"walk-forward, {validation.folds} test blocks, {validation.mode}"
    )
    excluded = f"; {len(gate.excluded)} sessions left out on purpose" if gate.excluded else ""
    grades = ", ".join(f"{count} {status}" for status, count in sorted(gate.counts.items()))
    aim = f"{config.task} on the {config.target} target"
    if config.task == "top_bottom":
        aim = f"top against bottom {config.tail_fraction:.0%} of each date"
    if config.task == "three_class":
        aim = "which barrier is met first: 1 the profit, -1 the stop, 0 neither"
    if config.task == "binary":
        aim = "whether the label is 1"
    chosen = f" of {facts['feature_set']} ({facts['feature_set_sha256'][:16]})" if "feature_set" in facts else ""
    lags = max(data.horizon - 1, 0)
    # An event is an entity that is seen once.
    named = "events" if folder.sleeve == "events" else "symbols"
    text = f"""# {folder.run_id}

A {config.model.kind} model of the sleeve {folder.sleeve}: label `{data.label}` ({data.horizon} sessions), {aim}.

| | |
|---|---|
| rows | {len(data):,} ({int(data.fitted.sum()):,} fitted), {len(data.entities)} {named} |
| decisions | {data.dates[0]} to {data.dates[-1]} |
| data | {gate.sessions} sessions: {grades}{excluded} |
| validation | {made}, embargo {validation.embargo} sessions, purge {validation.purge}; leakage audit: 0 violations |
| features | {len(data.feature_names)}{chosen}, in features/feature_list.json |
| parity | native = ONNX, bit for bit, on {final.parity.rows:,} rows and {final.parity.thresholds:,} thresholds |
| data hash | {data.data_hash} |
| revision | {facts["git_revision"]} |
| command | `{facts["command"]}` |

## Out of fold

{markdown(table)}

IC and rank IC are means of daily correlations with the label; t is Newey-West with at least {lags} lags.
Errors are against the target that was fitted. Paths share data: their spread is no standard error.

{markdown(regimes)}

The score averaged over paths, against the label that starts some sessions later, and by decile of each date:

{markdown(decay_table(evaluation.decay))}

{markdown(decile_table(evaluation.deciles))}

{_class_section(evaluation)}## Features that matter

{markdown(features)}

## Probability

{_probability(config, calibration)}

## Use

{_use(config, named)} A backtest of a signal says nothing about costs, capacity or the future.
"""
    folder.add_text("card.md", text)


def write_plots(folder: RunFolder, evaluation: Evaluation, calibration: Calibration) -> None:
    """Draw rank_ic.png (cumulative, per path), signal.png (decay, deciles), importances.png and calibration.png."""
    from matplotlib.figure import Figure

    def saved(figure: Figure, name: str) -> None:
        with folder.writing(f"plots/{name}.png") as temporary:
            # No version or time in the file: the same run gives the same bytes.
            figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, series in enumerate(evaluation.daily):
        axes.plot(series.dates, np.nancumsum(series.spearman), linewidth=1, label=f"path {number}")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(title="Cumulative daily rank IC, out of fold", ylabel="sum of rank IC")
    axes.legend(fontsize=8, ncols=2)
    saved(figure, "rank_ic")

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_decay(left, evaluation.decay)
    draw_deciles(right, evaluation.deciles)
    saved(figure, "signal")

    shown = evaluation.importances[: 2 * _TOP_FEATURES][::-1]
    figure = Figure(figsize=(9, 1.2 + 0.25 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([row[0] for row in shown], [row[1] for row in shown], xerr=[row[2] for row in shown], height=0.7)
    axes.set(title="Share of gain, mean and std over splits", xlabel="share")
    saved(figure, "importances")

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    bins = calibration.bins
    axes.plot(bins.confidence, bins.accuracy, marker="o")
    edge = [min(bins.confidence.min(), bins.accuracy.min()), max(bins.confidence.max(), bins.accuracy.max())]
    axes.plot(edge, edge, color="black", linewidth=0.5)
    axes.set(title="P(label > 0), out of fold", xlabel="predicted", ylabel="observed")
    saved(figure, "calibration")


def draw_decay(axes: "Axes", decay: Sequence[DecayPoint]) -> None:
    """Draw rank IC by lag."""
    axes.plot([point.lag for point in decay], [point.rank_ic for point in decay], marker="o")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(title="Rank IC with later labels", xlabel="sessions later", ylabel="mean rank IC")


def draw_deciles(axes: "Axes", deciles: Sequence[QuantileMean]) -> None:
    """Draw the mean label by decile of the score."""
    axes.bar([decile.quantile for decile in deciles], [decile.mean for decile in deciles])
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(title="Mean label by decile", xlabel="decile of the score", xticks=[d.quantile for d in deciles])


def class_table(paths: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return precision, recall and F1 of each class, means over the paths (``classes`` of metrics.json), as text."""
    rows = [["class", "rows", "predicted", "precision", "recall", "F1"]]
    for at, one in enumerate(paths[0]["classes"]):
        mean = {name: float(np.mean([path["classes"][at][name] for path in paths])) for name in one}
        counts = [f"{mean[name]:,.0f}" for name in ("support", "predicted")]
        rows.append(
            [str(one["label"]), *counts, *(_number(mean[name], ".4f") for name in ("precision", "recall", "f1"))]
        )
    return rows


def _class_section(evaluation: Evaluation) -> str:
    if not evaluation.classes:
        return ""
    accuracy, majority = (evaluation.summary[name]["mean"] for name in ("accuracy", "majority"))
    return f"""## Classes

Accuracy {accuracy:.4f}, where always saying the most frequent class has {majority:.4f}; means over the paths.

{markdown(class_table([asdict(path) for path in evaluation.classes]))}

"""


def _probability(config: TrainingConfig, calibration: Calibration) -> str:
    brier, base = calibration.metrics["brier"], calibration.metrics["brier_of_base_rate"]
    low, high = clip_of(config.task)
    form, others = ("a sigmoid", "folds before") if config.task == "binary" else ("an isotonic function", "others")
    return (
        f"P(label > 0) is {form} of the score (checkpoints/calibrator.json), clipped to [{low:g}, {high:g}]. "
        f"Judged fold by\nfold with a calibrator fitted on the {others}, its Brier score is {brier:.5f} against "
        f"{base:.5f} of the base rate, and its\nexpected calibration error {calibration.metrics['ece']:.5f}."
    )


def _use(config: TrainingConfig, named: str) -> str:
    if config.task == "binary":
        return "Scores are log-odds that the label is 1; the calibrator above turns them into probabilities."
    return f"Ranks {named} within one date. Scores are {_unit(config)}; compare them within a date, not\nbetween dates."


def _unit(config: TrainingConfig) -> str:
    if config.task == "three_class":
        return "expected classes, P(1) - P(-1)"
    if config.task == "top_bottom":
        return f"log-odds of ending in the top rather than the bottom {config.tail_fraction:.0%} of the date"
    return {
        "raw": "expected label values",
        "demeaned": "expected label values in excess of the date's mean",
        "rank": "expected centred ranks",
    }[config.target]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table; the first is its heading."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _number(value: float, style: str) -> str:
    return "-" if not np.isfinite(value) else format(value, style)
