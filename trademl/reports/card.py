"""The model card: one page and one picture on a run, for whoever decides about it and whoever asks later why.

The run folder is sealed when training ends, and its own card.md with it. What came after (returns, trials, the gate's
decisions) lies in the lake, so this card is a document of its own that can be written again at any time. It states
what is there and names what is not; it measures nothing that decides anything.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.governance.decisions import Recorded, read_decisions
from trademl.governance.gate import Bar
from trademl.governance.ledger import trials_of
from trademl.governance.returns import series
from trademl.lake.layout import layout_of
from trademl.reports.predictions import FinishedRun, OutOfFold
from trademl.training.report import decay_table, decile_table, markdown, path_table
from trademl.training.run import read_metrics
from trademl.validation.performance import PerformanceSummary, summarise_performance
from trademl.validation.signal_profile import DecayPoint, QuantileMean, quantile_means, rank_ic_decay

FloatArray = NDArray[np.float64]

STRATEGIES = ("long_short", "long_only")
SHEET = "card.png"

_DECISIONS = 5
_FEATURES = 8
_EVIDENCE = {
    "dsr": "deflated Sharpe ratio",
    "dsr_excess": "annual Sharpe ratio above the luckiest trial's",
    "pbo": "probability of backtest overfitting",
    "probability_of_loss": "probability of loss out of sample",
    "track_record": "minimum track record, sessions",
}


@dataclass(frozen=True, eq=False)
class Returns:
    """Net daily returns of a strategy on the run's predictions, from ``ops.trial_returns``; both shape (sessions,)."""

    strategy: str
    dates: NDArray[np.datetime64]
    net: FloatArray
    summary: PerformanceSummary


@dataclass(frozen=True, eq=False)
class Card:
    """Everything the page and the picture show.

    Attributes:
        run: the run; its folder has been verified.
        metrics, calibration, audit: documents of its folder: metrics.json, calibration.json, leakage_audit.json.
        importances: feature, mean and std of its share of the gain, largest first.
        daily: date, path and rank IC, from metrics/ic_by_date.csv.
        decay, deciles: of the score averaged over paths.
        returns: by strategy; empty before any were recorded.
        trials: (trial, run, status) of every configuration tried on the sleeve and label.
        decisions: on this run, oldest first; empty before the gate judged it.
        reigns: whether it is the sleeve's champion now.
    """

    run: FinishedRun
    metrics: dict[str, Any]
    calibration: dict[str, Any]
    audit: list[dict[str, Any]]
    importances: tuple[tuple[str, float, float], ...]
    daily: tuple[tuple[str, int, float], ...]
    decay: tuple[DecayPoint, ...]
    deciles: tuple[QuantileMean, ...]
    returns: tuple[Returns, ...]
    trials: tuple[tuple[str, str, str], ...]
    decisions: tuple[Recorded, ...]
    reigns: bool

    @property
    def judged(self) -> Recorded | None:
        """The last decision that has bars."""
        return next((made for made in reversed(self.decisions) if made.bars), None)


def collect(home: Home, run: FinishedRun, predictions: OutOfFold) -> Card:
    """Gather what is known of ``run``.

    Raises:
        ArtifactError: a file of the run folder is missing or damaged.
        PromotionError: the decisions on the sleeve do not add up.
    """
    layout = layout_of(home)
    horizon = int(run.manifest.summary.get("horizon", 1))
    every = read_decisions(layout, run.sleeve)
    crowned = [made for made in every if made.crowns]
    return Card(
        run=run,
        metrics=read_metrics(run.folder),
        calibration=_document(run, "metrics/calibration.json"),
        audit=_document(run, "metrics/leakage_audit.json"),
        importances=tuple(
            (row["feature"], float(row["gain_share_mean"]), float(row["gain_share_std"]))
            for row in _rows(run, "metrics/importances.csv")
        ),
        daily=tuple(
            (row["date"], int(row["path_id"]), float(row["rank_ic"] or "nan"))
            for row in _rows(run, "metrics/ic_by_date.csv")
        ),
        decay=rank_ic_decay(
            predictions.score, predictions.value, predictions.session, predictions.entity, overlap=max(horizon - 1, 0)
        ),
        deciles=quantile_means(predictions.score, predictions.value, predictions.session),
        returns=tuple(
            found for name in STRATEGIES if (found := _returns(name, series(layout, [run.run_id], name), run.run_id))
        ),
        trials=tuple(trials_of(layout, run.sleeve, run.label)),
        decisions=tuple(made for made in every if made.run_id == run.run_id),
        reigns=bool(crowned) and crowned[-1].run_id == run.run_id,
    )


def page(card: Card) -> str:
    """Return the card as Markdown: one page with the picture :data:`SHEET` beside it."""
    return "\n".join(
        [
            *_head(card),
            *_signal(card),
            *_money(card),
            *_evidence(card),
            *_verdicts(card),
            "",
            "A backtest says nothing about capacity or the future. Numbers are out of fold; returns are net of cost.",
            "",
        ]
    )


def _head(card: Card) -> list[str]:
    run, manifest = card.run, card.run.manifest
    facts, config = manifest.summary, manifest.config
    violations = sum(int(row["violations"]) for row in card.audit)
    position = f"champion of {run.sleeve}" if card.reigns else f"not the champion of {run.sleeve}"
    model = config.get("model", {}).get("kind", "unknown")
    aims = {
        "top_bottom": "top against bottom",
        "three_class": "which barrier is met first",
        "binary": "whether it happens",
    }
    aim = aims.get(str(config.get("task")), f"{config.get('target', 'unknown')} target")
    named = ", ".join(name for name, _, _ in card.importances[:_FEATURES])
    more = ", ..." if len(card.importances) > _FEATURES else ""
    chosen = f" of {facts['feature_set']} ({facts['feature_set_sha256'][:16]})" if "feature_set" in facts else ""
    about = [
        ["run", f"`{run.run_id}`, {position}"],
        ["predicts", f"`{run.label}`, {facts.get('horizon', '?')} sessions ahead, {aim}, with {model}"],
        ["rows", f"{facts.get('rows', 0):,} of {facts.get('first_date')} to {facts.get('last_date')}"],
        ["features", f"{facts.get('features')}{chosen}: {named}{more}"],
        ["leakage audit", f"{violations} violations in {len(card.audit)} checks of {facts.get('splits')} splits"],
        ["data, revision", f"{manifest.data_hash[:16]}, {manifest.git_revision[:12]}, {manifest.created:%Y-%m-%d}"],
    ]
    return [f"# Model card: {run.run_id}", "", markdown([["", ""], *about]), "", f"![pictures]({SHEET})", ""]


def _signal(card: Card) -> list[str]:
    found = card.calibration
    # What the gate compares with; runs of before have only the base rate of all rows, which nobody knew.
    base = found.get("brier_of_cross_fitted_base_rate", found["brier_of_base_rate"])
    return [
        "## Signal",
        "",
        markdown(path_table(card.metrics["paths"], card.metrics["summary"])),
        "",
        markdown(decay_table(card.decay)),
        "",
        markdown(decile_table(card.deciles)),
        "",
        f"P({card.run.label} > 0): Brier {found['brier']:.5f} against {base:.5f} of the base "
        f"rate {found['base_rate']:.4f}, expected calibration error {found['ece']:.5f}.",
        "",
    ]


def _money(card: Card) -> list[str]:
    lines = ["## Returns, net of cost", ""]
    if not card.returns:
        return [
            *lines,
            f"None recorded: ops.trial_returns has no row of this run (`trademl gate {card.run.run_id}`).",
            "",
        ]
    rows = [
        ["strategy", "sessions", "Sharpe", "annual return", "volatility", "max drawdown", "profit factor", "turnover"]
    ]
    for found in card.returns:
        numbers = found.summary
        rows.append(
            [
                found.strategy.replace("_", "-"),
                str(numbers.periods),
                f"{numbers.annualised_sharpe:.2f}",
                f"{numbers.annualised_return:+.2%}",
                f"{numbers.annualised_volatility:.2%}",
                f"{numbers.max_drawdown:.2%}",
                f"{numbers.profit_factor:.2f}",
                f"{numbers.turnover:.3f}",
            ]
        )
    return [*lines, markdown(rows), ""]


def _evidence(card: Card) -> list[str]:
    counts: dict[str, int] = {}
    for _, _, status in card.trials:
        counts[status] = counts.get(status, 0) + 1
    listed = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none in ops.trials"
    tried = f"Configurations tried on {card.run.sleeve} and {card.run.label} to date: {len(card.trials)} ({listed})."
    judged = card.judged
    bars = {bar.name: bar for bar in judged.bars} if judged else {}
    told = [f"{text} {_number(bars[name].value)}" for name, text in _EVIDENCE.items() if name in bars]
    deflated = f"At the last judgement: {'; '.join(told)}." if told else "DSR and PBO: not judged yet."
    return ["## Luck", "", tried, deflated, ""]


def _verdicts(card: Card) -> list[str]:
    lines = ["## Verdicts", ""]
    judged = card.judged
    if judged is None:
        lines.append(f"ops.promotions has no judgement of this run: `trademl gate {card.run.run_id}` makes one.")
    else:
        failed = [bar for bar in judged.bars if bar.verdict != "pass"]
        passed = [bar for bar in judged.bars if bar.verdict == "pass"]
        against = f" against {judged.previous_run_id}" if judged.previous_run_id else ""
        lines += [
            f"Decision {judged.decision_id} of {judged.recorded_at:%Y-%m-%d %H:%M} UTC{against}: **{judged.outcome}**, "
            f"{len(passed)} of {len(judged.bars)} bars passed.",
            "",
            markdown([["bar", "value", "limit", "verdict"], *(_bar(bar) for bar in (*failed, *passed))]),
        ]
        lines += ["", *(f"- {bar.name}: {_text(bar.reason)}" for bar in failed)] if failed else []
    lines += [
        line
        for made in card.decisions
        if made.outcome == "overridden"
        for line in ("", f"**Overridden** on {made.recorded_at:%Y-%m-%d} ({made.decision_id}): {_text(made.reason)}")
    ]
    shown = card.decisions[-_DECISIONS:]
    if len(card.decisions) > 1:
        before = f" ({len(card.decisions) - len(shown)} earlier ones are in ops.promotions)"
        lines += ["", f"Last decisions{before if len(card.decisions) > len(shown) else ''}:", ""]
        lines += [
            f"- {made.sequence}, {made.recorded_at:%Y-%m-%d %H:%M}: {made.action}, {made.outcome}: {_text(made.reason)}"
            for made in shown
        ]
    return lines


def _bar(bar: Bar) -> list[str]:
    return [bar.name, _number(bar.value), _number(bar.bound), bar.verdict]


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def _text(said: str) -> str:
    """Return words of a person on one line, so that they cannot become a heading, a list or HTML of the page."""
    return " ".join(said.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _returns(strategy: str, found: dict[str, dict[Any, tuple[float, float]]], run_id: str) -> Returns | None:
    days = sorted(found.get(run_id, {}))
    if not days:
        return None
    net = np.array([found[run_id][day][0] for day in days], dtype=np.float64)
    turnover = np.array([found[run_id][day][1] for day in days], dtype=np.float64)
    return Returns(strategy, np.array(days, dtype="datetime64[D]"), net, summarise_performance(net, turnover))


def _document(run: FinishedRun, name: str) -> Any:
    try:
        return json.loads(run.folder.place(name).read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"cannot read {name} of {run.run_id}: {error}", remedy="restore the run folder, or train again"
        ) from error


def _rows(run: FinishedRun, name: str) -> Sequence[dict[str, str]]:
    try:
        text = run.folder.place(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"cannot read {name} of {run.run_id}: {error}", remedy="restore the run folder, or train again"
        ) from error
    return list(csv.DictReader(io.StringIO(text)))
