"""Published figures, reproduced: shared/reference/published_values.json, one test per entry."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trademl.validation import calibration, sharpe, uniqueness
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.metrics import information_coefficient
from trademl.validation.pbo import probability_of_overfitting
from trademl.validation.spans import LabelSpans

VARIABLE = "TRADEML_REFERENCE"
FOLDER = Path(__file__).resolve().parents[2] / os.environ.get(VARIABLE, "../shared/reference")
VALUES = FOLDER / "published_values.json"

Inputs = dict[str, Any]


def path_map(inputs: Inputs) -> Any:
    return CombinatorialPurgedCV(inputs["N"], inputs["k"]).paths().tolist()


def skfolio_train(inputs: Inputs) -> Any:
    # skfolio purges by row count; labels of that many sessions have the same reach.
    n, horizon = inputs["n"], inputs["purged_size"]
    start = np.arange(n)
    cv = CombinatorialPurgedCV(inputs["N"], inputs["k"], embargo=inputs["embargo_size"])
    return [split.train.tolist() for split in cv.split(LabelSpans(start, start + horizon, np.zeros(n, int)))]


def binary_bins(inputs: Inputs) -> Any:
    return _bins(inputs["p"], inputs["y"], inputs["n_bins"])


def top_label_bins(inputs: Inputs) -> Any:
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
    p, y = np.array(inputs["p"]), np.array(inputs["y"])
    bins = calibration.reliability_bins(p, y, n_bins=inputs["n_bins"], strategy=inputs["strategy"])
    return {"prob_true": bins.accuracy, "prob_pred": bins.confidence, "ece": bins.ece, "mce": bins.mce}


def brier(inputs: Inputs) -> Any:
    return calibration.brier(np.array(inputs["p"]), np.array(inputs["y"]))


def daily_ic(inputs: Inputs) -> Any:
    factor, forward = np.array(inputs["factor"], float), np.array(inputs["fwd"], float)
    dates = np.repeat(np.arange(len(factor)), factor.shape[1])
    return information_coefficient(factor.ravel(), forward.ravel(), dates).spearman


def pbo(inputs: Inputs) -> Any:
    returns = np.loadtxt(FOLDER / inputs["matrix"], delimiter=",")
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
    returns = np.random.default_rng(0).standard_normal((32, 2))
    return [len(probability_of_overfitting(returns, n_blocks=blocks).logits) for blocks in inputs["S"]]


def deflated_paper(inputs: Inputs) -> Any:
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
    ratio = inputs["sr"] if "sr" in inputs else inputs["sr_annual"] / inputs["periods"] ** 0.5
    return sharpe.probabilistic_sharpe_ratio(
        ratio, inputs["T"], skew=inputs["skew"], kurtosis=inputs["kurtosis_pearson"], benchmark=inputs["benchmark"]
    )


def deflated_of_trials(inputs: Inputs) -> Any:
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
    return {
        "gumbel_formula": sharpe.expected_maximum_sharpe(inputs["N"], 1.0),
        "exact_order_statistic": sharpe.expected_maximum_exact(inputs["N"]),
    }


def backtest_length(inputs: Inputs) -> Any:
    result = sharpe.minimum_backtest_length(inputs["N"], target_sharpe=inputs["target_sr"])
    return {"years": result.years, "upper_bound": result.upper_bound}


def label_uniqueness(inputs: Inputs) -> Any:
    first, last = np.array(inputs["labels_inclusive"]).T
    each = uniqueness.average_uniqueness(first, last, inputs["n"])
    return {
        "concurrency": uniqueness.concurrency(first, last, inputs["n"]),
        "per_label": each,
        "mean_of_labels": each.mean(),
        "pooled_over_cells": uniqueness.pooled_uniqueness(first, last, inputs["n"]),
    }


def sequential_bootstrap(inputs: Inputs) -> Any:
    first, last = np.array(inputs["labels"]).T
    next_draw = uniqueness.next_draw_uniqueness(first, last, int(last.max()) + 1, np.array([inputs["first_draw"]]))
    return {"avg_uniqueness": next_draw, "prob": next_draw / next_draw.sum()}


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
    "information_coefficient",
    "pbo_cscv",
    "sharpe_psr_dsr_mintrl",
    "triple_barrier_uniqueness",
}


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, Any]]:
    """The published entries of these topics, by id."""
    if not VALUES.is_file():
        pytest.skip(f"no published values: {VARIABLE} (default ../shared/reference) names no folder that has them")
    entries = json.loads(VALUES.read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in entries if entry["topic"] in TOPICS}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_published_value_is_reproduced(name: str, published: dict[str, dict[str, Any]]) -> None:
    """What the paper or library prints is what comes out, within the tolerance stated there."""
    entry = published[name]
    assert_agrees(RECIPES[name](entry["inputs"]), entry["expected"], entry["tolerance"])


def test_no_published_value_is_left_out(published: dict[str, dict[str, Any]]) -> None:
    """Every entry of these topics has a recipe."""
    assert set(published) == set(RECIPES)


def assert_agrees(actual: Any, expected: Any, tolerance: float) -> None:
    if isinstance(expected, dict):
        assert set(actual) == set(expected)
        for key, value in expected.items():
            assert_agrees(actual[key], value, tolerance)
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict | list):
        for one, other in zip(actual, expected, strict=True):
            assert_agrees(one, other, tolerance)
    else:
        np.testing.assert_allclose(np.asarray(actual, float), np.asarray(expected, float), rtol=0, atol=tolerance)
