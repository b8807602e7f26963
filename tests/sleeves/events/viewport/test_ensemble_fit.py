"""Fitting the ensemble on what was predicted out of fold: no row is later than it may be, and skill gets the weight."""

import json

import numpy as np
import pytest

from tests.sleeves.events.conftest import copied
from tests.sleeves.events.scored_home import CONFIG, add_what_scoring_needs
from trademl.config.home import Home
from trademl.errors import DataGateError
from trademl.sleeves.events.train import EventsResult
from trademl.sleeves.events.viewport.ensemble import Ensemble
from trademl.sleeves.events.viewport.ensemble_fit import Evidence, fit_and_judge, fit_ensemble, gather
from trademl.validation.calibration import PROBABILITY_RANGE

CUT = np.datetime64("2025-03-01")


def evidence(rows: int = 4000, seed: int = 1, *, noise: float = 0.0) -> Evidence:
    """Log-odds of two stages and a retrieval that only guesses; the first stage knows the truth, the second less."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    days = np.datetime64("2025-01-01") + np.sort(rng.integers(0, 84, rows))
    return Evidence(
        {"stage_a": odds + noise * rng.normal(size=rows), "stage_b": odds + 2.0 * rng.normal(size=rows),
         "retrieval": rng.uniform(0.3, 0.7, rows)},
        y, days,
    )  # fmt: skip


def test_skill_gets_the_weight_and_the_evidence_is_of_later_dates() -> None:
    """The stage that knows the odds gets most of it; judged later, the ensemble is no worse than the best part."""
    given = evidence()
    pool, told = fit_and_judge("tradeable_2", [given], CUT)
    weights = dict(zip(pool.sources, pool.weights, strict=True))
    assert weights["stage_a"] > 0.7
    early = int((given.dates < CUT).sum())
    assert (told["rows_fitted"], told["rows_judged"]) == (early, 4000 - early)
    judged = told["judged"]
    assert set(judged) == {"stage_a", "stage_b", "retrieval", "equal", "ensemble", "base_rate"}
    assert judged["ensemble"]["brier"] < judged["stage_a"]["brier"] + 0.003
    assert judged["ensemble"]["brier"] < judged["equal"]["brier"] < judged["base_rate"]["brier"]
    assert judged["base_rate"]["auc"] == 0.5


def test_nothing_later_has_a_say() -> None:
    """Outcomes and forecasts after the cut, made into garbage, change neither weights nor calibrators."""
    given = evidence()
    late = given.dates >= CUT
    rng = np.random.default_rng(5)
    spoiled = Evidence(
        {name: np.where(late, rng.uniform(0, 1, len(late)), one) for name, one in given.forecasts.items()},
        np.where(late, rng.integers(0, 2, len(late)), given.y),
        given.dates,
    )
    assert fit_and_judge("p_break", [given], CUT)[0] == fit_and_judge("p_break", [spoiled], CUT)[0]


def test_scores_become_probabilities_piece_by_piece() -> None:
    """Two heads with opposite scales, each calibrated by itself, pool as one; probabilities stay in their range."""
    one, other = evidence(seed=1), evidence(seed=2)
    scaled = Evidence({name: 50 * value for name, value in other.forecasts.items() if name != "retrieval"}, other.y,
                      other.dates)  # fmt: skip
    first = Evidence({name: value for name, value in one.forecasts.items() if name != "retrieval"}, one.y, one.dates)
    pool, told = fit_and_judge("reach", [first, scaled], CUT)
    assert pool.calibrator is None
    assert told["judged"]["stage_a"]["auc"] > 0.65
    assert told["judged"]["ensemble"]["log_loss"] < -np.log(PROBABILITY_RANGE[0])


def test_sizes_are_judged_as_sizes() -> None:
    """Strength has errors and a correlation, no Brier score; a constant forecast has no correlation."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=1000)
    days = np.datetime64("2025-01-01") + np.arange(1000) % 84
    given = Evidence({"stage_a": truth + rng.normal(size=1000), "retrieval": np.zeros(1000)}, truth, np.sort(days))
    pool, told = fit_and_judge("strength", [given], CUT)
    assert pool.weights[0] == pytest.approx(0.5, abs=0.05)
    assert told["judged"]["base_rate"]["correlation"] is None
    assert told["judged"]["ensemble"]["mse"] < told["judged"]["stage_a"]["mse"]


def test_too_few_rows_are_no_evidence() -> None:
    """Fewer than a hundred rows on either side of the cut are refused, with both numbers."""
    with pytest.raises(DataGateError, match="rows before 2025-03-01"):
        fit_and_judge("tradeable_2", [evidence(120)], CUT)


def test_retrieval_is_joined_by_event() -> None:
    """Each row gets its own event's neighbours, also where an event is missing from a head; p_break is conditional."""
    day = np.array(["2025-01-01"] * 2, dtype="datetime64[D]")

    def rows(*events: str) -> dict[str, np.ndarray]:
        count = len(events)
        return {"event_id": np.array(events), "dt": day[:count], "y": np.ones(count), "stage_a": np.zeros(count)}

    retrieved = {
        "event_id": np.array(["b", "a"]),
        "p_tradeable_2": np.array([0.2, 0.1]),
        "p_break": np.array([0.3, 0.0]),
        "p_bounce": np.array([0.1, 0.0]),
        "strength_signed_mean": np.array([2.0, 1.0]),
    }
    predicted = {"tradeable_2": rows("a", "b"), "direction": rows("b", "a"), "strength": rows("b"), "t1_60s": rows("a")}
    found = gather(predicted, retrieved, ["stage_a"])
    assert found["tradeable_2"][0].forecasts["retrieval"].tolist() == [0.1, 0.2]
    conditional = found["p_break"][0].forecasts["retrieval"]
    assert conditional[0] == pytest.approx(0.75)
    assert np.isnan(conditional[1])
    assert found["strength"][0].forecasts["retrieval"].tolist() == [2.0]
    assert list(found["reach"][0].forecasts) == ["stage_a"]


def test_the_ensemble_of_trained_heads_is_written(
    heads_once: tuple[Home, EventsResult], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Weights of all quantities from the runs' own out-of-fold rows; evidence names dates and runs; twice is once."""
    home = copied(heads_once[0], tmp_path_factory.mktemp("pooled") / "home")
    add_what_scoring_needs(home, heads_once[1])
    lines: list[str] = []
    fitted, where = fit_ensemble(home, CONFIG, told=lines.append)
    assert lines[0].startswith("neighbours of ")
    first = where.ensemble.read_bytes()
    assert Ensemble.load(where.ensemble) == fitted
    assert set(fitted.pools) == {"tradeable_2", "p_break", "strength", "reach"}
    # Stage A was published from the runs of stage B: equal forecasts share their weight.
    for pool in fitted.pools.values():
        weights = dict(zip(pool.sources, pool.weights, strict=True))
        assert weights["stage_a"] == pytest.approx(weights["stage_b"])
    dates = fitted.evidence["fitted_dates"] + fitted.evidence["judged_dates"]
    assert dates == sorted(dates)
    assert json.loads(first)["evidence"]["runs"]["stage_a"]["direction"] == heads_once[1].runs["direction"].run_id
    assert fitted.evidence["quantities"]["p_break"]["judged"]["ensemble"]["auc"] > 0.6
    fit_ensemble(home, CONFIG)
    assert where.ensemble.read_bytes() == first
