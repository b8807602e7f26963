"""Measures of out-of-fold predictions."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.panels import by_hand
from trademl.artifacts.run_folder import RunFolder
from trademl.training.cross_validate import CrossValidation, SplitResult
from trademl.training.evaluate import evaluate, plain, probability, write_metrics

SESSION = np.repeat([0, 1], 4)
ENTITY = np.tile(np.arange(4), 2)
VALUE = np.array([0.4, 0.3, 0.2, 0.1, 0.1, 0.2, 0.3, 0.4])


def validated(*paths: list[float]) -> CrossValidation:
    scores = np.array(paths)
    split_of = np.where(np.isfinite(scores), np.arange(len(paths))[:, None], -1).astype(np.int16)
    splits = tuple(
        SplitResult(number, (number,), 10, 8, 0.5, 1.0, {"first": 3.0 - number, "second": 1.0 + number}, "")
        for number in range(len(paths))
    )
    return CrossValidation(scores, split_of, splits, None, 0)


def test_paths_by_hand() -> None:
    """A path that ranks both dates right has rank IC 1; one that is right on one date and inverted on the other, 0."""
    right = VALUE.tolist()
    torn = [0.4, 0.3, 0.2, 0.1, 0.4, 0.3, 0.2, 0.1]
    found = evaluate(by_hand(SESSION, ENTITY, VALUE), validated(right, torn), "regression")
    assert [path["rank_ic"] for path in found.paths] == pytest.approx([1.0, 0.0])
    assert found.summary["rank_ic"] == pytest.approx({"mean": 0.5, "std": math.sqrt(0.5), "min": 0.0, "max": 1.0})
    assert found.paths[0]["rmse"] == 0.0
    # Errors of the torn path on the second date: 0.3, 0.1, 0.1, 0.3.
    assert found.paths[1]["mae"] == pytest.approx(0.8 / 8)
    assert found.paths[1]["rmse"] == pytest.approx(math.sqrt(0.2 / 8))
    # Squared deviations of the label from its mean 0.25 sum to 0.1.
    assert found.paths[1]["r2"] == pytest.approx(1 - 0.2 / 0.1)
    assert found.paths[1]["direction_accuracy"] == 1.0


def test_rows_that_a_path_does_not_test_do_not_count() -> None:
    """Rows without a score on a path are in none of its measures."""
    path = [math.nan] * 4 + [0.1, 0.2, 0.3, 0.4]
    found = evaluate(by_hand(SESSION, ENTITY, VALUE), validated(path), "regression").paths[0]
    assert (found["rows"], found["dates"], found["rank_ic"]) == (4.0, 1.0, pytest.approx(1.0))


def test_regimes_part_the_dates() -> None:
    """Each regime is measured on its own dates, and dates of unknown regime apart."""
    torn = [0.4, 0.3, 0.2, 0.1, 0.4, 0.3, 0.2, 0.1]
    data = by_hand(SESSION, ENTITY, VALUE, regime=np.repeat([2, -1], 4))
    found = evaluate(data, validated(torn), "regression").regimes
    assert {name: values["rank_ic"] for name, values in found.items()} == pytest.approx({"high": 1.0, "unknown": -1.0})


def test_tails_are_measured_as_probabilities() -> None:
    """Of top/bottom, errors compare probability with class where there is a class; a positive score says top."""
    score = math.log(3)  # probability 0.75
    target = np.array([1.0, np.nan, np.nan, 0.0] * 2)
    found = evaluate(by_hand(SESSION, ENTITY, VALUE, target=target), validated([score, 0, 0, -score] * 2), "top_bottom")
    assert found.paths[0]["rmse"] == pytest.approx(0.25)
    assert found.paths[0]["direction_accuracy"] == 1.0


def test_importances_are_shares_of_gain() -> None:
    """Gains 3 and 1, then 2 and 2, are shares 0.75 and 0.5 of the first feature: mean 0.625, std 0.177."""
    found = evaluate(by_hand(SESSION, ENTITY, VALUE), validated(VALUE.tolist(), VALUE.tolist()), "regression")
    assert found.importances[0][0] == "first"
    assert found.importances[0][1:] == pytest.approx((0.625, math.sqrt(2) * 0.125))


def test_the_metrics_folder_is_readable(tmp_path: Path) -> None:
    """The tables are CSV with one row per path, split, regime, feature, and path and date; JSON has null for NaN."""
    folder = RunFolder.create(tmp_path, "equities", "r")
    found = evaluate(by_hand(SESSION, ENTITY, VALUE), validated([0.0] * 8, VALUE.tolist()), "regression")
    write_metrics(folder, found)
    document = json.loads((folder.path / "metrics" / "metrics.json").read_text())
    assert document["paths"][0]["rank_ic"] is None
    lengths = {}
    for name in ("paths", "splits", "regimes", "importances", "ic_by_date"):
        with (folder.path / "metrics" / f"{name}.csv").open() as stream:
            lengths[name] = len(list(csv.DictReader(stream)))
    assert lengths == {"paths": 2, "splits": 2, "regimes": 1, "importances": 2, "ic_by_date": 4}


def test_probability_is_the_logistic_function_without_overflow() -> None:
    """Log-odds of 0, log 3 and a thousand are 0.5, 0.75 and 1; minus a thousand is 0."""
    np.testing.assert_allclose(probability(np.array([0.0, math.log(3), 1000.0, -1000.0])), [0.5, 0.75, 1.0, 0.0])


def test_plain_numbers() -> None:
    """NaN and infinities become None, at any depth; everything else stays."""
    assert plain({"a": [1, math.nan, {"b": math.inf}], "c": "x"}) == {"a": [1, None, {"b": None}], "c": "x"}


def test_the_shape_of_the_signal_is_that_of_the_mean_score(tmp_path: Path) -> None:
    """Scores that rank the second date as the first was: 0 at once by hand, undefined later, and kept in metrics.json.

    The paths average to 0.4 .. 0.1 on both dates; the labels are that order on the first date and its inverse on the
    second, so a session later the first date's scores are inverted.
    """
    high, low = [0.5, 0.4, 0.3, 0.2] * 2, [0.3, 0.2, 0.1, 0.0] * 2
    found = evaluate(by_hand(SESSION, ENTITY, VALUE), validated(high, low), "regression")
    assert [(point.lag, point.dates) for point in found.decay][:3] == [(0, 2), (1, 1), (2, 0)]
    assert [point.rank_ic for point in found.decay][:2] == pytest.approx([0.0, -1.0])
    # Four names fill deciles 3, 5, 8 and 10; each holds one label of either date.
    filled = {decile.quantile: decile.mean for decile in found.deciles if decile.dates}
    assert filled == pytest.approx({3: 0.25, 5: 0.25, 8: 0.25, 10: 0.25})
    folder = RunFolder.create(tmp_path, "equities", "run-1")
    write_metrics(folder, found)
    document = json.loads((folder.path / "metrics" / "metrics.json").read_text())
    assert document["ic_decay"][1] == pytest.approx({"lag": 1, "rank_ic": -1.0, "rank_ic_t": None, "dates": 1})
    assert document["deciles"][0] == {"quantile": 1, "mean": None, "dates": 0}
