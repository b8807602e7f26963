"""The comparison of an experiment: one table of its cells, as Markdown, CSV and picture."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trademl.artifacts.files import write_atomic
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.reports.predictions import FinishedRun
from trademl.reports.runs import ABSENT, RunSummary, number, summarise
from trademl.training.experiment import CellResult
from trademl.training.report import markdown
from trademl.training.run import RunResult

_WRITABLE = 0o644
HEADING = (
    "label", "task", "model", "rank IC", "std", "min", "max", "t", "accuracy", "majority", "Sharpe net", "drawdown",
    "turnover", "seconds", "run",
)  # fmt: skip

_COLUMNS = (
    "label", "task", "model", "kind", "run_id", "paths", "rank_ic", "rank_ic_std_over_paths", "rank_ic_min",
    "rank_ic_max", "rank_ic_t", "accuracy", "majority", "annualised_sharpe_net", "max_drawdown", "turnover",
    "fit_seconds", "error",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CellRow:
    """A cell, and its run in numbers; None when it failed."""

    result: CellResult
    summary: RunSummary | None


def experiment_folder(home: Home, name: str) -> Path:
    """Return where the comparison of the experiment ``name`` lies."""
    return home.models_artifacts / "experiments" / name


def collect(home: Home, results: Sequence[CellResult]) -> tuple[CellRow, ...]:
    """Read what the run of each cell left.

    Raises:
        ArtifactError: a run folder is damaged.
    """
    runs = {number: _opened(result.run) for number, result in enumerate(results) if result.run is not None}
    summaries = dict(zip(runs, summarise(home, list(runs.values())), strict=True))
    return tuple(CellRow(result, summaries.get(number)) for number, result in enumerate(results))


def table(rows: Sequence[CellRow]) -> list[list[str]]:
    """Return heading and one row per cell, as text."""
    return [list(HEADING), *(_row(row) for row in rows)]


def write_comparison(folder: Path, name: str, rows: Sequence[CellRow]) -> tuple[Path, Path, Path]:
    """Write comparison.md, .csv and .png to ``folder``, each whole or not at all, and return their paths."""
    text, data, picture = (folder / f"comparison.{ending}" for ending in ("md", "csv", "png"))
    write_atomic(picture, draw(rows), _WRITABLE)
    write_atomic(data, as_csv(rows).encode(), _WRITABLE)
    write_atomic(text, page(name, rows).encode(), _WRITABLE)
    return text, data, picture


def page(name: str, rows: Sequence[CellRow]) -> str:
    """Return the comparison as Markdown."""
    failed = [row for row in rows if row.summary is None]
    lines = [
        f"# Experiment {name}",
        "",
        f"{len(rows)} cells, {len(failed)} failed.",
        "",
        markdown(table(rows)),
        "",
        "Rank IC is the mean over the paths, beside its standard deviation, least and largest over them; paths share",
        "data: their spread is no standard error. t is Newey-West, the mean of the paths'. Accuracy stands beside the",
        "share of the commonest class, for tasks with classes. Sharpe ratio (a year), drawdown and turnover (a day)",
        "are of the long-short portfolio net of cost; seconds are those of all fits.",
        "",
        "The best of many cells owes something to the search. The ledger has every cell as a trial, and the deflated",
        "Sharpe ratio of `trademl gate` counts them.",
        "",
        "![comparison](comparison.png)",
        "",
    ]
    if failed:
        lines += ["## Failed", ""]
        lines += [f"- {row.result.cell.name}: {' '.join(row.result.error.split())}" for row in failed]
        lines += [""]
    return "\n".join(lines)


def as_csv(rows: Sequence[CellRow]) -> str:
    """Return the comparison as CSV with unrounded numbers; a number that there is none of is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows:
        cell, one = row.result.cell, row.summary
        named = {"label": cell.label, "task": cell.task, "model": cell.model, "kind": cell.config.model.kind}
        if one is None:
            writer.writerow({**named, "error": " ".join(row.result.error.split())})
            continue
        numbers = {
            "rank_ic": one.metrics["rank_ic"],
            "rank_ic_std_over_paths": one.spread,
            "rank_ic_min": float(one.rank_ic.min()),
            "rank_ic_max": float(one.rank_ic.max()),
            "rank_ic_t": one.metrics["rank_ic_t"],
            **{name: one.metrics[name] for name in ("accuracy", "majority") if name in one.metrics},
            "fit_seconds": one.fit_seconds,
        }
        if one.returns is not None:
            numbers |= {
                "annualised_sharpe_net": one.returns.annualised_sharpe,
                "max_drawdown": one.returns.max_drawdown,
                "turnover": math.nan if one.returns.turnover is None else one.returns.turnover,
            }
        known = {key: value for key, value in numbers.items() if not math.isnan(value)}
        writer.writerow({**named, "run_id": one.run.run_id, "paths": len(one.rank_ic), **known})
    return text.getvalue()


def draw(rows: Sequence[CellRow]) -> bytes:
    """Return the picture as PNG: rank IC of every path, and net Sharpe ratio, cell by cell."""
    from matplotlib.figure import Figure

    shown = list(reversed(rows))
    figure = Figure(figsize=(12, 1.5 + 0.35 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(shown):
        one = row.summary
        if one is None:
            left.text(0, place, "failed", va="center", ha="center", fontsize=8, color="grey")
            continue
        left.plot(one.rank_ic, np.full(len(one.rank_ic), place), "o", color="tab:blue", alpha=0.4, markersize=4)
        left.plot(one.metrics["rank_ic"], place, "|", color="black", markersize=14)
        if one.returns is not None and math.isfinite(one.returns.annualised_sharpe):
            right.barh(place, one.returns.annualised_sharpe, height=0.6, color="tab:blue")
    for axes in (left, right):
        axes.axvline(0, color="black", linewidth=0.5)
    left.set(title="Rank IC: paths (dots) and their mean", yticks=range(len(shown)), ylim=(-0.5, len(shown) - 0.5))
    left.set_yticklabels([row.result.cell.name for row in shown], fontsize=8)
    right.set(title="Sharpe ratio a year, long-short, net of cost")
    image = io.BytesIO()
    # No version in the file: the same runs give the same bytes.
    figure.savefig(image, format="png", dpi=100, metadata={"Software": None})
    return image.getvalue()


def _opened(run: RunResult) -> FinishedRun:
    folder = RunFolder.open(run.path)
    return FinishedRun(run.run_id, folder.sleeve, run.label, folder, folder.manifest())


def _row(row: CellRow) -> list[str]:
    cell, one = row.result.cell, row.summary
    named = [cell.label, cell.task, cell.model]
    if one is None:
        return [*named, *[ABSENT] * (len(HEADING) - len(named) - 1), "failed"]
    money = one.returns
    return [
        *named,
        number(one.metrics["rank_ic"], "+.4f"),
        number(one.spread, ".4f"),
        number(float(one.rank_ic.min()), "+.4f"),
        number(float(one.rank_ic.max()), "+.4f"),
        number(one.metrics["rank_ic_t"], "+.2f"),
        number(one.metrics.get("accuracy"), ".4f"),
        number(one.metrics.get("majority"), ".4f"),
        number(money.annualised_sharpe if money else None, "+.2f"),
        number(money.max_drawdown if money else None, ".1%"),
        number(money.turnover if money else None, ".3f"),
        number(one.fit_seconds, ".0f"),
        one.run.run_id,
    ]
