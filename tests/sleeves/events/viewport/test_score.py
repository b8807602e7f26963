"""Viewports: the seed's fields, the ensemble's numbers, the order of targets, what the gate takes away."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from tests.sleeves.events.viewport_doubles import (
    BAR_END,
    CLOSE,
    FixedRetrieval,
    FixedStage,
    models,
    moment,
    summary,
    table,
    target,
    weights,
)
from trademl.errors import ConfigError
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.sleeves.events.viewport.document import IN_BAND, OUTSIDE, TARGET_FIELDS
from trademl.sleeves.events.viewport.ensemble import Ensemble
from trademl.sleeves.events.viewport.score import score_viewport, utility

CONFIG = ViewportConfig()

# Typed from seed 001, not taken from the code.
SEED = {
    "level_id": str, "level_price": float, "direction": str, "distance": float, "distance_signed": float,
    "p_tradeable_2": float, "p_break": float, "p_bounce": float, "strength_signed": float, "strength_abs": float,
    "time_to_threshold": {
        family: {"60": float, "120": float} for family in ("t1", "t2", "t1_break", "t1_bounce", "t2_break", "t2_bounce")
    },
    "retrieval": {
        "p_break": float, "p_bounce": float, "p_tradeable_2": float, "strength_signed_mean": float,
        "strength_abs_mean": float, "time_to_threshold_1_mean": float, "time_to_threshold_2_mean": float,
        "time_to_break_1_mean": float, "time_to_bounce_1_mean": float, "time_to_break_2_mean": float,
        "time_to_bounce_2_mean": float, "similarity": float, "entropy": float, "neighbors": list,
    },
    "utility_score": float, "viewport_state": str, "stage": str, "pinned": bool, "relevance": float,
}  # fmt: skip


def shape_of(value: Any) -> Any:
    """The keys and types of a document."""
    return {name: shape_of(one) for name, one in value.items()} if isinstance(value, dict) else type(value)


def scored(*rows: Any, **over: Any) -> dict[str, Any]:
    """The only target of a viewport of these rows."""
    (only,) = score_viewport(table(*rows), moment(), models(**over), CONFIG).targets
    return only


def test_a_target_has_the_seeds_fields_exactly() -> None:
    """Names, order and types are those of seed 001, and the whole document is plain JSON."""
    found = score_viewport(table(target()), moment(), models(), CONFIG)
    assert shape_of(found.targets[0]) == SEED
    assert list(found.targets[0]) == list(SEED) == list(TARGET_FIELDS)
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["viewport"]["targets"][0]["level_id"] == "SPY PDH"
    assert (document["symbol"], document["at"], document["date"]) == ("SPY", "2025-12-31T15:00:00Z", "2025-12-31")


def test_forecasts_are_pooled() -> None:
    """With equal weights: (0.6 + 0.3 + 0.9) / 3 tradeable, (0.7 + 0.8 + 2/3) / 3 break, (1.5 + 0.9 + 0.6) / 3 ATR."""
    found = scored(target())
    assert found["p_tradeable_2"] == pytest.approx(0.6)
    assert found["p_break"] == pytest.approx((0.7 + 0.8 + 2 / 3) / 3)
    assert found["p_break"] + found["p_bounce"] == 1.0
    assert found["strength_signed"] == found["strength_abs"] == pytest.approx(1.0)
    # Stage A says 0.4 and stage B 0.2 within 60 s; half as much again within 120 s, half of it for threshold 2.
    assert found["time_to_threshold"]["t1"] == pytest.approx({"60": 0.3, "120": 0.45})
    assert found["time_to_threshold"]["t2"] == pytest.approx({"60": 0.15, "120": 0.225})
    assert found["stage"] == "stage_b"


def test_fitted_weights_count() -> None:
    """All weight on retrieval gives what retrieval says."""
    ensemble = Ensemble({"tradeable_2": weights(stage_a=0.0, stage_b=0.0, retrieval=1.0)}, {})
    assert scored(target(), ensemble=ensemble)["p_tradeable_2"] == pytest.approx(0.9)


def test_retrieval_without_an_answer_leaves_the_trees_to_speak() -> None:
    """Numbers that no neighbour knows are null in the document, and the pool goes without them."""
    silent = FixedRetrieval(summary(8, p_break=np.nan, p_bounce=np.nan, p_tradeable_2=np.nan, entropy=np.nan))
    found = scored(target(), retrieval=silent)
    assert found["retrieval"]["p_break"] is None
    assert found["p_tradeable_2"] == pytest.approx(0.45)
    assert found["p_break"] == pytest.approx(0.75)


def test_stage_a_alone_says_so() -> None:
    """Without stage B the target is of stage A, and nothing can disagree."""
    found = score_viewport(table(target()), moment(), models(stages={"stage_a": FixedStage()}), CONFIG)
    assert found.targets[0]["stage"] == "stage_a"
    assert found.refusals == {}


@pytest.mark.parametrize(
    "tradeable, p_break, worth",
    # 0.5 x |0.8 - 0.2| x 2 - 0.05; the same for a bounce; a coin is worth nothing, and costs are not negative worth.
    [(0.5, 0.8, 0.55), (0.5, 0.2, 0.55), (1.0, 0.5, 0.0), (0.01, 0.6, 0.0), (float("nan"), 0.9, 0.0)],
)
def test_utility_is_the_worth_of_the_likelier_side(tradeable: float, p_break: float, worth: float) -> None:
    """p_tradeable_2 x |p_break - p_bounce| x payoff - cost, 0 at least."""
    assert utility(tradeable, p_break, 2.0, 0.05) == pytest.approx(worth)


def test_relevance_and_state_follow_the_distance() -> None:
    """1 ATR of 2 away is half relevant; at the edge of the band nothing is, and beyond it only pins are shown."""
    assert scored(target())["relevance"] == 0.5
    assert scored(target(price=100.5))["relevance"] == 1.0
    far = target("PDL", price=105.0)
    assert score_viewport(table(far), moment(), models(), CONFIG).targets == ()
    found = score_viewport(table(far), moment(), models(), CONFIG, pinned=["SPY PDL"])
    (only,) = found.targets
    assert (only["viewport_state"], only["pinned"], only["relevance"]) == (OUTSIDE, True, 0.0)
    assert only["utility_score"] == 0.0
    assert {one.rule for one in found.refusals["SPY PDL"]} == {"outside_band", "out_of_reach"}


def test_a_pinned_level_without_a_target_is_noted() -> None:
    """A name that the bar does not have is told, and nothing is made up for it."""
    found = score_viewport(table(target()), moment(), models(), CONFIG, pinned=["SPY GHOST"])
    assert found.notes == ("pinned SPY GHOST is no target of this bar",)
    assert len(found.targets) == 1


def test_pinned_targets_come_first_then_the_worthiest() -> None:
    """Order: pinned, utility, relevance, name; a refused target has no utility and keeps its forecasts."""
    rows = [target("PDH"), target("ORH", price=100.75), target("PDC", price=99.0, direction_sign=-1.0), target("PMH")]
    rows[2] = target("PDC", price=99.75, direction_sign=1.0)  # 1.5 ATR beyond a level that breaks upwards
    found = score_viewport(table(*rows), moment(), models(), CONFIG, pinned=["SPY PMH"])
    assert [one["level_id"] for one in found.targets] == ["SPY PMH", "SPY ORH", "SPY PDH", "SPY PDC"]
    refused = found.targets[3]
    assert [one.rule for one in found.refusals["SPY PDC"]] == ["level_crossed"]
    assert refused["utility_score"] == 0.0
    assert refused["p_tradeable_2"] == found.targets[2]["p_tradeable_2"]
    assert refused["viewport_state"] == IN_BAND


def test_a_viewport_holds_the_nearest_targets() -> None:
    """Of 30 levels the 20 nearest are scored, and a pinned one that is farther; the models see no more than these."""
    rows = [target("ROUND", level_id=f"SPY ROUND {at:02d}", price=100.5 + 0.03 * at) for at in range(30)]
    stage = FixedStage()
    found = score_viewport(table(*rows), moment(), models(stages={"stage_a": stage}), CONFIG, pinned=["SPY ROUND 29"])
    assert len(found.targets) == 20
    assert {one["level_id"][-2:] for one in found.targets} == {f"{at:02d}" for at in range(19)} | {"29"}
    assert stage.asked == 1


def test_the_order_of_rows_does_not_matter() -> None:
    """Rows in another order give the same document."""
    rows = [target("PDH"), target("ORH", price=100.75), target("PML", price=100.0, direction_sign=-1.0)]
    one = score_viewport(table(*rows), moment(), models(), CONFIG)
    other = score_viewport(table(*rows[::-1]), moment(), models(), CONFIG)
    assert one.document() == other.document()


def test_a_window_beyond_the_close_has_no_answer() -> None:
    """90 seconds before the close 120 s cannot be told; 30 seconds before, nothing can be acted on."""
    late = CLOSE - timedelta(seconds=90)
    row = target(ts_ns=moment(late, late).ts_ns)
    (only,) = score_viewport(table(row), moment(late, late), models(), CONFIG).targets
    assert only["time_to_threshold"]["t1"]["60"] is not None
    assert only["time_to_threshold"]["t1"]["120"] is None
    last = CLOSE - timedelta(seconds=30)
    found = score_viewport(table(target(ts_ns=moment(last, last).ts_ns)), moment(last, last), models(), CONFIG)
    assert [one.rule for one in found.refusals["SPY PDH"]] == ["session_ends"]


def test_an_old_bar_is_refused() -> None:
    """Ten minutes after the bar its targets are shown, and none may be acted on."""
    found = score_viewport(table(target()), moment(BAR_END + timedelta(minutes=10)), models(), CONFIG)
    assert [one.rule for one in found.refusals["SPY PDH"]] == ["bar_stale"]


def test_no_level_near_is_an_empty_viewport() -> None:
    """A bar without candidates gives no targets, and no model is asked."""
    stage = FixedStage()
    found = score_viewport(table(), moment(), models(stages={"stage_a": stage}), CONFIG)
    assert (found.targets, found.refusals, stage.asked) == ((), {}, 0)


def test_a_target_without_range_is_shown_and_refused() -> None:
    """Without an ATR nothing can be measured: null distances, no relevance, and the reason."""
    found = score_viewport(table(target(atr=None)), moment(), models(), CONFIG)
    (only,) = found.targets
    assert (only["distance"], only["relevance"], only["viewport_state"]) == (None, 0.0, OUTSIDE)
    assert [one.rule for one in found.refusals["SPY PDH"]] == ["range_unknown"]


def test_missing_features_are_counted() -> None:
    """A target that lacks one of the two features is fine; the share that may lack is a limit."""
    strict = ViewportConfig.model_validate({"feasibility": {"max_missing": 0.4}})
    row = target(tape_imbalance=None)
    assert score_viewport(table(row), moment(), models(), CONFIG).refusals == {}
    found = score_viewport(table(row), moment(), models(), strict).refusals["SPY PDH"]
    assert [one.why.split(" ")[0] for one in found] == ["50%"]


def test_neighbours_are_listed_when_asked_for() -> None:
    """Two of six neighbours, nearest first; none unless asked; the configured k goes to the index."""
    retrieval = FixedRetrieval()
    found = score_viewport(table(target()), moment(), models(retrieval=retrieval), CONFIG, neighbors=2)
    assert [one["event_id"] for one in found.targets[0]["retrieval"]["neighbors"]] == ["e0", "e1"]
    assert retrieval.asked == [50]
    assert scored(target())["retrieval"]["neighbors"] == []


def test_rows_of_another_bar_are_refused() -> None:
    """A viewport is of one bar: rows of another, or without a column, are an error."""
    with pytest.raises(ConfigError, match="targets of 1 bars for the bar"):
        score_viewport(table(target(ts_ns=1)), moment(), models(), CONFIG)
    with pytest.raises(ConfigError, match="lack the columns level_price"):
        score_viewport(table(target()).drop_columns(["level_price"]), moment(), models(), CONFIG)
