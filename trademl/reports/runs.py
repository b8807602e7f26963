"""Finished runs side by side: what each is worth, in what two of them differ, and whether the difference is luck.

Everything is read from what a run left: its row in ``ops.runs``, its sealed folder, and its daily returns in
``ops.trial_returns``. What a run has not left is NaN here and a dash on the screen.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError
from trademl.governance.returns import series
from trademl.lake.layout import layout_of
from trademl.reports.predictions import FinishedRun, find_run
from trademl.training.run import read_metrics
from trademl.validation.metrics import summarise_ic
from trademl.validation.performance import PerformanceSummary, equity_curve, summarise_performance

FloatArray = NDArray[np.float64]
SortKey = Literal["started", "rank_ic", "t", "sharpe", "drawdown", "seconds"]

STRATEGY = "long_short"
ABSENT = "-"


@dataclass(frozen=True, eq=False)
class RunSummary:
    """One run in numbers.

    Attributes:
        run: the run, its folder and manifest.
        started: when its training began, UTC.
        model, task: family, and what was fitted.
        metrics: mean over the paths of every metric of metrics/metrics.json.
        rank_ic: of each path.
        returns: of the long-short portfolio of its out-of-fold scores, net of cost; None when none were recorded.
        dates, net: the same day by day; both shape (sessions,).
        fit_seconds: of all its splits, from metrics/splits.csv.
    """

    run: FinishedRun
    started: datetime
    model: str
    task: str
    metrics: dict[str, float]
    rank_ic: FloatArray
    returns: PerformanceSummary | None
    dates: NDArray[np.datetime64]
    net: FloatArray
    fit_seconds: float

    @property
    def spread(self) -> float:
        """Standard deviation of the rank IC over the paths (n - 1); NaN with one path."""
        return float(self.rank_ic.std(ddof=1)) if len(self.rank_ic) > 1 else math.nan

    @property
    def horizon(self) -> int:
        """Sessions that the label looks ahead."""
        return int(self.run.manifest.summary.get("horizon", 1))

    def numbers(self) -> dict[str, float]:
        """Return what a comparison shows, by name: metrics, spread over paths, returns, seconds."""
        found = {**self.metrics, "rank_ic_std_over_paths": self.spread}
        if self.returns is not None:
            for name in ("annualised_sharpe", "annualised_return", "annualised_volatility", "max_drawdown"):
                found[name] = float(getattr(self.returns, name))
            found |= {"profit_factor": self.returns.profit_factor, "win_rate": self.returns.win_rate}
            found["turnover"] = math.nan if self.returns.turnover is None else self.returns.turnover
        return {**found, "fit_seconds": self.fit_seconds}


@dataclass(frozen=True)
class Paired:
    """Daily rank IC of a run less that of the first one, over the dates that both have.

    Attributes:
        run_id, against: the two.
        dates: how many.
        mean: mean difference. t_stat: its Newey-West t-statistic, with the longer horizon's lags at least.
        share_better: share of the dates on which it is larger.
        correlation: of the two series.
    """

    run_id: str
    against: str
    dates: int
    mean: float
    t_stat: float
    share_better: float
    correlation: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side, the first one as the reference.

    Attributes:
        runs: in the order asked for.
        differences: field -> its value in each run, for fields that are not the same in all of them.
        numbers: measure -> its value in each run, NaN where it has none.
        paths: of each backtest path the mean rank IC of each run, NaN where a run has no such path.
        paired: of every other run with the first one's label.
    """

    runs: tuple[RunSummary, ...]
    differences: dict[str, tuple[str, ...]]
    numbers: dict[str, tuple[float, ...]]
    paths: tuple[tuple[float, ...], ...]
    paired: tuple[Paired, ...]


def summarise(home: Home, runs: Sequence[FinishedRun]) -> tuple[RunSummary, ...]:
    """Read what each of ``runs`` left.

    Raises:
        ArtifactError: metrics of a folder are missing or damaged.
    """
    returns = series(layout_of(home), [run.run_id for run in runs], STRATEGY)
    return tuple(_summary(run, returns.get(run.run_id, {})) for run in runs)


def _summary(run: FinishedRun, found: Mapping[Any, tuple[float, float]]) -> RunSummary:
    days = sorted(found)
    net = np.array([found[day][0] for day in days], dtype=np.float64)
    turnover = np.array([found[day][1] for day in days], dtype=np.float64)
    document = read_metrics(run.folder)
    config = run.manifest.config
    task = str(config.get("task", ABSENT))
    return RunSummary(
        run=run,
        started=run.manifest.created,
        model=str(config.get("model", {}).get("kind", ABSENT)),
        task=f"{config.get('target', '')} {task}".strip() if task == "regression" else task,
        metrics={name: float(spread["mean"]) for name, spread in document["summary"].items()},
        rank_ic=np.array([path["rank_ic"] for path in document["paths"]], dtype=np.float64),
        returns=summarise_performance(net, turnover) if days else None,
        dates=np.array(days, dtype="datetime64[D]"),
        net=net,
        fit_seconds=_fit_seconds(run),
    )


def list_runs(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    *,
    sleeve: str | None = None,
    label: str | None = None,
    sort: SortKey = "started",
) -> tuple[tuple[RunSummary, ...], tuple[str, ...]]:
    """Return the registered runs, best or newest first, and a line on each whose folder cannot be read.

    Args:
        con: a snapshot's connection.
        home: where run folders lie.
        sleeve, label: of these only; None is all.
        sort: by what; runs without it come last.
    """
    rows = con.execute(
        "select run_id from ops.runs where status = 'registered' "
        "and ($sleeve is null or sleeve = $sleeve) and ($label is null or label = $label) "
        "order by started_at desc, run_id",
        {"sleeve": sleeve, "label": label},
    ).fetchall()
    whole, lost = [], []
    for (run_id,) in rows:
        try:
            run = find_run(con, home, run_id)
            read_metrics(run.folder)
            whole.append(run)
        except ArtifactError as error:
            lost.append(f"{run_id}: {error.message}")
    found = list(summarise(home, whole))
    if sort != "started":
        rising = sort in ("drawdown", "seconds")
        found.sort(key=lambda one: _rank(sort_value(one, sort), rising))
    return tuple(found), tuple(lost)


def sort_value(run: RunSummary, key: SortKey) -> float:
    """Return the number that ``key`` sorts by; NaN where the run has none."""
    if key in ("sharpe", "drawdown"):
        name = "annualised_sharpe" if key == "sharpe" else "max_drawdown"
        return math.nan if run.returns is None else float(getattr(run.returns, name))
    if key == "seconds":
        return run.fit_seconds
    if key == "started":
        return run.started.timestamp()
    return run.metrics["rank_ic" if key == "rank_ic" else "rank_ic_t"]


def compare(con: duckdb.DuckDBPyConnection, home: Home, run_ids: Sequence[str]) -> Comparison:
    """Put runs side by side, against the first one.

    Raises:
        ConfigError: fewer than two runs, or one twice.
        ArtifactError: a run does not exist, or its folder cannot be read.
    """
    if len(run_ids) < 2 or len(set(run_ids)) < len(run_ids):
        raise ConfigError(
            f"cannot compare {len(run_ids)} runs: {', '.join(run_ids) or 'none'}",
            remedy="name two or more different runs; `trademl runs list` shows what there is",
        )
    runs = summarise(home, [find_run(con, home, run_id) for run_id in run_ids])
    first = runs[0]
    names = dict.fromkeys(name for run in runs for name in run.numbers())
    daily = {run.run.run_id: daily_rank_ic(run.run) for run in runs}
    return Comparison(
        runs=runs,
        differences=_differences([_facts(run) for run in runs]),
        numbers={name: tuple(run.numbers().get(name, math.nan) for run in runs) for name in names},
        paths=tuple(zip_longest(*(_paths(run.run) for run in runs), fillvalue=math.nan)),
        paired=tuple(
            paired(run, first, daily[run.run.run_id], daily[first.run.run_id])
            for run in runs[1:]
            if run.run.label == first.run.label
        ),
    )


def paired(run: RunSummary, first: RunSummary, own: Mapping[str, float], other: Mapping[str, float]) -> Paired:
    """Compare two series of daily rank IC on the dates that both have.

    Days on which both err alike cancel, so a difference is seen sooner than from two means with errors of their own.
    Labels of h sessions overlap on h - 1 dates, so the t-statistic (Newey and West 1987) has at least that many lags.
    """
    days = sorted(set(own) & set(other))
    left = np.array([own[day] for day in days], dtype=np.float64)
    right = np.array([other[day] for day in days], dtype=np.float64)
    lags = max(run.horizon - 1, first.horizon - 1, int(4 * (max(len(days), 1) / 100) ** (2 / 9)))
    summary = summarise_ic(left - right, lags=lags)
    varies = len(days) > 1 and left.std() > 0 and right.std() > 0
    return Paired(
        run_id=run.run.run_id,
        against=first.run.run_id,
        dates=len(days),
        mean=summary.mean,
        t_stat=summary.t_stat,
        share_better=summary.hit_rate,
        correlation=float(np.corrcoef(left, right)[0, 1]) if varies else math.nan,
    )


def daily_rank_ic(run: FinishedRun) -> dict[str, float]:
    """Return the rank IC of each date, averaged over the paths that have one, from metrics/ic_by_date.csv.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    found: dict[str, list[float]] = {}
    try:
        for row in _rows(run, "metrics/ic_by_date.csv"):
            if row["rank_ic"]:
                found.setdefault(row["date"], []).append(float(row["rank_ic"]))
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"cannot read metrics/ic_by_date.csv of {run.run_id}: {error!r}",
            remedy="restore the run folder, or train again",
        ) from error
    return {day: sum(values) / len(values) for day, values in found.items()}


def plot(comparison: Comparison) -> bytes:
    """Return a picture of the runs as PNG: cumulative daily rank IC, and wealth of the long-short portfolio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for one in comparison.runs:
        daily = daily_rank_ic(one.run)
        days = sorted(daily)
        told = f"{one.run.run_id} ({one.model})"
        left.plot(np.array(days, dtype="datetime64[D]"), np.cumsum([daily[day] for day in days]), label=told)
        if len(one.net):
            right.plot(one.dates, equity_curve(one.net), label=told)
    left.axhline(0, color="black", linewidth=0.5)
    left.set(title="Cumulative daily rank IC, mean over paths", ylabel="sum of rank IC")
    left.legend(fontsize=7)
    right.axhline(1, color="black", linewidth=0.5)
    right.set(title="Long-short portfolio, net of cost", ylabel="wealth")
    image = io.BytesIO()
    # No version in the file: the same runs give the same bytes.
    figure.savefig(image, format="png", dpi=100, metadata={"Software": None})
    return image.getvalue()


def _facts(one: RunSummary) -> dict[str, str]:
    """Return what decides a run's result, as text by dotted name."""
    manifest = one.run.manifest
    facts = {"label": one.run.label, **flat(manifest.config)}
    facts |= {"data_hash": manifest.data_hash[:16], "git_revision": manifest.git_revision[:12]}
    return {**facts, **{f"versions.{name}": version for name, version in manifest.versions.items()}}


def _differences(facts: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for one in facts for name in one)
    rows = {name: tuple(one.get(name, ABSENT) for one in facts) for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested mappings as one of text, with dots in the names.

    >>> flat({"model": {"kind": "ridge"}, "symbols": ["A", "B"], "end": None})
    {'model.kind': 'ridge', 'symbols': 'A, B', 'end': 'null'}
    """
    found: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            found.update(flat(item, f"{prefix}{key}."))
        elif isinstance(item, Iterable) and not isinstance(item, str | Mapping):
            found[f"{prefix}{key}"] = ", ".join(map(str, item)) or "none"
        else:
            found[f"{prefix}{key}"] = "null" if item is None else str(item)
    return found


def number(value: float | None, style: str) -> str:
    """Return a number as text, a dash where there is none."""
    return ABSENT if value is None or math.isnan(value) else format(value, style)


def _fit_seconds(run: FinishedRun) -> float:
    try:
        seconds = [float(row["seconds"]) for row in _rows(run, "metrics/splits.csv")]
    except (OSError, KeyError, ValueError):
        return math.nan
    return sum(seconds) if seconds else math.nan


def _paths(run: FinishedRun) -> list[float]:
    return [float(row["rank_ic"] or "nan") for row in _rows(run, "metrics/paths.csv")]


def _rows(run: FinishedRun, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(run.folder.place(name).read_text(encoding="utf-8"))))


def _rank(value: float, rising: bool) -> tuple[bool, float]:
    """Order numbers, the best first, and NaN after all of them."""
    unknown = math.isnan(value)
    return unknown, 0.0 if unknown else value if rising else -value
