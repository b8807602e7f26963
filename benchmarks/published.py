"""Published figures, reproduced: every entry of published_values.json whose topic trademl computes.

    python -m benchmarks.published
    TRADEML_REFERENCE=DIR python -m benchmarks.published

DIR holds published_values.json and its data files; without the variable it is ../shared/reference beside this checkout.
Each figure of an entry is one line: expected, got, the largest difference, and the tolerance stated there. Exit code 1
when a figure misses its tolerance, or when an entry of these topics has no recipe here.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trademl.costs.impact import AlmgrenCoefficients, almgren_impact
from trademl.execution.schedule import MarketModel, optimal_trajectory
from trademl.portfolio.kelly import growth_rate, kelly_fraction
from trademl.validation import calibration, sharpe, uniqueness
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.metrics import information_coefficient
from trademl.validation.pbo import probability_of_overfitting
from trademl.validation.spans import LabelSpans

VARIABLE = "TRADEML_REFERENCE"
FOLDER = Path(__file__).resolve().parents[1] / os.environ.get(VARIABLE, "../shared/reference")
FILE = "published_values.json"
WIDTH = 34

Inputs = dict[str, Any]
Entry = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One published figure (a number, or a list of them) beside ours. ``difference`` is NaN when they do not fit."""

    name: str
    expected: Any
    got: Any
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether every number lies within the tolerance."""
        return self.difference <= self.tolerance


def read_entries(folder: Path = FOLDER) -> list[Entry]:
    """Return the entries of published_values.json, with their data files named by absolute paths."""
    entries: list[Entry] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    for entry in entries:
        if "matrix" in entry["inputs"]:
            entry["inputs"]["matrix"] = str(folder / entry["inputs"]["matrix"])
    return entries


def reproduce(entry: Entry) -> list[Figure]:
    """Compute an entry and compare every figure of it."""
    if entry["id"] not in RECIPES:
        return [Figure(entry["id"], entry["expected"], "no recipe", np.nan, entry["tolerance"])]
    got = RECIPES[entry["id"]](entry["inputs"])
    return list(figures(entry["id"], entry["expected"], got, entry["tolerance"]))


def figures(name: str, expected: Any, got: Any, tolerance: float) -> Iterator[Figure]:
    """Compare name by name; a name that only one side has is a miss."""
    if isinstance(expected, dict):
        fields = dict(got) if isinstance(got, dict) else {}
        for key in [*expected, *(key for key in fields if key not in expected)]:
            yield from figures(f"{name}.{key}", expected.get(key), fields.get(key), tolerance)
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
        for at, row in enumerate(expected):
            yield from figures(f"{name}[{at}]", row, got[at] if at < len(got) else None, tolerance)
        if len(got) > len(expected):
            yield Figure(f"{name}[{len(expected)}]", None, got[len(expected)], np.nan, tolerance)
    else:
        yield Figure(name, expected, got, _difference(expected, got), tolerance)


def _difference(expected: Any, got: Any) -> float:
    """Return the largest difference of two numbers or equally nested lists of them, NaN when they are not alike."""
    if isinstance(got, np.ndarray):
        got = got.tolist()
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return np.nan
        return float(np.max([_difference(one, other) for one, other in zip(expected, got, strict=True)], initial=0.0))
    if isinstance(expected, list) or isinstance(got, list) or expected is None or got is None:
        return np.nan
    return 0.0 if expected == got else abs(float(expected) - float(got))


def path_map(inputs: Inputs) -> Any:
    """Which split serves each group of each path."""
    return CombinatorialPurgedCV(inputs["N"], inputs["k"]).paths().tolist()


def skfolio_train(inputs: Inputs) -> Any:
    """The train rows of each split."""
    # skfolio purges by row count; labels of that many sessions have the same reach.
    n, horizon = inputs["n"], inputs["purged_size"]
    start = np.arange(n)
    cv = CombinatorialPurgedCV(inputs["N"], inputs["k"], embargo=inputs["embargo_size"])
    return [split.train.tolist() for split in cv.split(LabelSpans(start, start + horizon, np.zeros(n, int)))]


def binary_bins(inputs: Inputs) -> Any:
    """Reliability bins of a binary forecast, and their errors."""
    return _bins(inputs["p"], inputs["y"], inputs["n_bins"])


def top_label_bins(inputs: Inputs) -> Any:
    """Reliability bins of the likeliest class of several."""
    table = np.array(inputs["P"])
    correct = (table.argmax(axis=1) == np.array(inputs["target"])).astype(float)
    return _bins(table.max(axis=1), correct, inputs["n_bins"])


def _bins(p: Any, y: Any, n_bins: int) -> Any:
    bins = calibration.reliability_bins(np.array(p), np.array(y), n_bins=n_bins)
    rows = zip(bins.index, bins.count, bins.confidence, bins.accuracy, strict=True)
    return {
        "ece": bins.ece,
        "mce": bins.mce,
        "rmsce": bins.rmsce,
        "table": [{"bin": int(i), "count": int(n), "conf": c, "acc": a} for i, n, c, a in rows],
    }


def calibration_curve(inputs: Inputs) -> Any:
    """The points of a reliability curve."""
    p, y = np.array(inputs["p"]), np.array(inputs["y"])
    bins = calibration.reliability_bins(p, y, n_bins=inputs["n_bins"], strategy=inputs["strategy"])
    return {"prob_true": bins.accuracy, "prob_pred": bins.confidence, "ece": bins.ece, "mce": bins.mce}


def brier(inputs: Inputs) -> Any:
    """The Brier score."""
    return calibration.brier(np.array(inputs["p"]), np.array(inputs["y"]))


def daily_ic(inputs: Inputs) -> Any:
    """The rank correlation of each date."""
    factor, forward = np.array(inputs["factor"], float), np.array(inputs["fwd"], float)
    dates = np.repeat(np.arange(len(factor)), factor.shape[1])
    return information_coefficient(factor.ravel(), forward.ravel(), dates).spearman


def pbo(inputs: Inputs) -> Any:
    """Combinatorially symmetric cross-validation of a matrix of strategies."""
    returns = np.loadtxt(inputs["matrix"], delimiter=",")
    result = probability_of_overfitting(returns, n_blocks=inputs["S"], risk_free=0.03 / 252)
    share = result.rank / returns.shape[1]
    return {
        "pbo": result.pbo,
        "oos_rank": result.rank,
        "n_star_0based": result.selected,
        "logits_Nplus1": result.logits,
        "logits_N": np.log(share / (1 - share)),
        "prob_loss": result.probability_of_loss,
        "slope_oos_on_is": result.slope,
        "is_best": result.is_sharpe,
        "oos_best": result.oos_sharpe,
    }


def combination_counts(inputs: Inputs) -> Any:
    """How many combinations each number of blocks gives."""
    returns = np.random.default_rng(0).standard_normal((32, 2))
    return [len(probability_of_overfitting(returns, n_blocks=blocks).logits) for blocks in inputs["S"]]


def deflated_paper(inputs: Inputs) -> Any:
    """The deflated Sharpe ratio and its threshold, from annual figures."""
    year = inputs["periods"]
    variance = inputs["V_annual"] / year
    threshold = sharpe.expected_maximum_sharpe(inputs["N"], variance)
    value = sharpe.deflated_sharpe_ratio(
        inputs["sr_annual"] / year**0.5,
        inputs["T"],
        n_trials=inputs["N"],
        trials_variance=variance,
        skew=inputs["skew"],
        kurtosis=inputs["kurtosis_pearson"],
    )
    return {"dsr": value, "sr0_daily": threshold, "sr0_annual": threshold * year**0.5}


def probabilistic(inputs: Inputs) -> Any:
    """The probabilistic Sharpe ratio."""
    ratio = inputs["sr"] if "sr" in inputs else inputs["sr_annual"] / inputs["periods"] ** 0.5
    return sharpe.probabilistic_sharpe_ratio(
        ratio, inputs["T"], skew=inputs["skew"], kurtosis=inputs["kurtosis_pearson"], benchmark=inputs["benchmark"]
    )


def deflated_of_trials(inputs: Inputs) -> Any:
    """The deflated Sharpe ratio with both variances across trials."""
    trials = np.array(inputs["trial_srs"])
    values = {}
    for ddof in (0, 1):
        variance = sharpe.sharpe_variance(trials, ddof=ddof)
        values[f"ddof{ddof}"] = sharpe.deflated_sharpe_ratio(
            inputs["sr"],
            inputs["T"],
            n_trials=len(trials),
            trials_variance=variance,
            skew=inputs["skew"],
            kurtosis=inputs["kurtosis_pearson"],
        )
    return values


def track_record(inputs: Inputs) -> Any:
    """The minimum track record length, in returns or years."""
    length = sharpe.minimum_track_record_length(
        inputs["sr"],
        benchmark=inputs["benchmark"],
        skew=inputs["skew"],
        kurtosis=inputs["kurtosis_pearson"],
        confidence=inputs["confidence"],
    )
    if "per_year" in inputs:
        return length / inputs["per_year"]
    return {"real": length, "ceil_convention": sharpe.whole_returns(length)}


def expected_maximum(inputs: Inputs) -> Any:
    """The best of N without skill, by the formula and exactly."""
    return {
        "gumbel_formula": sharpe.expected_maximum_sharpe(inputs["N"], 1.0),
        "exact_order_statistic": sharpe.expected_maximum_exact(inputs["N"]),
    }


def backtest_length(inputs: Inputs) -> Any:
    """The minimum backtest length in years."""
    result = sharpe.minimum_backtest_length(inputs["N"], target_sharpe=inputs["target_sr"])
    return {"years": result.years, "upper_bound": result.upper_bound}


def label_uniqueness(inputs: Inputs) -> Any:
    """Concurrency and uniqueness of labels."""
    first, last = np.array(inputs["labels_inclusive"]).T
    each = uniqueness.average_uniqueness(first, last, inputs["n"])
    return {
        "concurrency": uniqueness.concurrency(first, last, inputs["n"]),
        "per_label": each,
        "mean_of_labels": each.mean(),
        "pooled_over_cells": uniqueness.pooled_uniqueness(first, last, inputs["n"]),
    }


def sequential_bootstrap(inputs: Inputs) -> Any:
    """Uniqueness and chance of each label at the second draw."""
    first, last = np.array(inputs["labels"]).T
    next_draw = uniqueness.next_draw_uniqueness(first, last, int(last.max()) + 1, np.array([inputs["first_draw"]]))
    return {"avg_uniqueness": next_draw, "prob": next_draw / next_draw.sum()}


AC_TABLE_1 = {"X": 1e6, "T": 5.0, "N": 5, "sigma_abs": 0.95, "eps": 0.0625, "gamma": 2.5e-7, "eta": 2.5e-6}
"""Almgren and Chriss (2000), table 1: what an entry means by it."""


def _trajectory(inputs: Inputs, aversion: float) -> Any:
    market = MarketModel(
        volatility=inputs["sigma_abs"], half_spread=inputs["eps"], permanent=inputs["gamma"], temporary=inputs["eta"]
    )
    return optimal_trajectory(inputs["X"], inputs["T"], inputs["N"], market, aversion)


def optimal_execution(inputs: Inputs) -> Any:
    """A trajectory of Almgren and Chriss, and what it costs."""
    found = _trajectory(inputs, inputs["lam"])
    return {
        "kappa": found.kappa,
        "half_life": found.half_life,
        "trajectory": found.holdings,
        "trades": found.trades,
        "E": found.expected_cost,
        "V": found.variance,
        "sd": found.deviation,
        "utility": found.utility,
        "var95": found.value_at_risk(),
    }


def execution_frontier(inputs: Inputs) -> Any:
    """The short end of their frontier, in millions."""
    found = [_trajectory(AC_TABLE_1, aversion) for aversion in inputs["lambda_per_dollar"]]
    return [
        {
            "E_M": one.expected_cost / 1e6,
            "V_M2": one.variance / 1e12,
            "utility_M": one.utility / 1e6,
            "half_life": one.half_life,
        }
        for one in found
    ]


def direct_impact(inputs: Inputs) -> Any:
    """The impact of Almgren, Thum, Hauptmann and Li, in basis points."""
    names = ("gamma", "eta", "beta", "delta")
    found = almgren_impact(
        inputs["X"],
        inputs["V"],
        inputs["shares_out"],
        inputs["sigma_daily"],
        inputs["T_days"],
        AlmgrenCoefficients(**{name: inputs[name] for name in names}),
    )
    return {
        "permanent_I_bp": float(found.permanent[0]) * 1e4,
        "temporary_K_bp": found.temporary * 1e4,
        "realised_J_bp": found.cost * 1e4,
        "inverse_turnover": inputs["shares_out"] / inputs["V"],
    }


def kelly_coin(inputs: Inputs) -> Any:
    """The Kelly fraction of a coin, and the growth at it, half of it and twice it."""
    odds = inputs["p"], inputs["win"], inputs["loss"]
    fraction = kelly_fraction(*odds)
    return {
        "f": fraction,
        "growth": growth_rate(fraction, *odds),
        "half_kelly_growth": growth_rate(fraction / 2, *odds),
        "double_kelly_growth": growth_rate(fraction * 2, *odds),
    }


RECIPES: dict[str, Callable[[Inputs], Any]] = {
    "path_map_6_2": path_map,
    "path_map_5_2": path_map,
    "skfolio_12_3_2_p0_e0": skfolio_train,
    "skfolio_12_3_2_p1_e0": skfolio_train,
    "skfolio_12_3_2_p0_e1": skfolio_train,
    "torchmetrics_binary": binary_bins,
    "torchmetrics_multiclass_toplabel": top_label_bins,
    "sklearn_calibration_curve_doc": calibration_curve,
    "sklearn_brier_doc": brier,
    "ac2000_lambda_1e-6": optimal_execution,
    "drop_short_end_table": execution_frontier,
    "athl2005_DRI": direct_impact,
    "athl2005_IBM": direct_impact,
    "coin_53": kelly_coin,
    "alphalens_unit_test": daily_ic,
    "r_pbo_unit_test": pbo,
    "combination_counts": combination_counts,
    "dsr_paper_N100": deflated_paper,
    "psr_SREF_example": probabilistic,
    "psr_mlfinlab": probabilistic,
    "dsr_mlfinlab_ddof": deflated_of_trials,
    "mintrl_mlfinlab": track_record,
    "mintrl_years_daily": track_record,
    "mintrl_years_weekly": track_record,
    "mintrl_years_monthly_nonnormal": track_record,
    "expected_max_N100": expected_maximum,
    "minbtl_45_trials": backtest_length,
    "afml_uniqueness_example": label_uniqueness,
    "afml_sequential_bootstrap_delta2": sequential_bootstrap,
}
TOPICS = {
    "calibration",
    "cpcv",
    "execution_impact",
    "information_coefficient",
    "kelly",
    "pbo_cscv",
    "sharpe_psr_dsr_mintrl",
    "triple_barrier_uniqueness",
}


def show(value: Any) -> str:
    """Return a value in at most WIDTH characters; of a long list the beginning."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    elif isinstance(value, int | float | np.number):
        text = f"{value:.10g}"
    else:
        text = str(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def main() -> int:
    """Print the table; return 1 when a figure misses its tolerance."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    if not (FOLDER / FILE).is_file():
        print(f"error: there is no {FILE} in {FOLDER}", file=sys.stderr)
        print(f"  remedy: name the folder that has it in {VARIABLE}", file=sys.stderr)
        return 1
    entries = read_entries()
    ours = [entry for entry in entries if entry["topic"] in TOPICS]
    line = f"{{:<56}} {{:>{WIDTH}}} {{:>{WIDTH}}} {{:>11}} {{:>10}} {{}}"
    print(line.format("id", "expected", "got", "difference", "tolerance", "ok"))
    missed = shown = 0
    for figure in (figure for entry in ours for figure in reproduce(entry)):
        cells = (figure.name, show(figure.expected), show(figure.got), f"{figure.difference:.2e}")
        print(line.format(*cells, f"{figure.tolerance:.0e}", "yes" if figure.ok else "NO"))
        shown, missed = shown + 1, missed + (not figure.ok)
    print(f"{len(ours)} entries, {shown} figures, {missed} outside their tolerance")
    rest = sorted({entry["topic"] for entry in entries} - TOPICS)
    print(f"topics not computed yet: {', '.join(rest) or 'none'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
