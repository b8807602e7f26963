"""The feasibility gate: every rule refuses what it names, at its limit, and says the value and the limit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trademl.sleeves.events.viewport.feasibility import RULES, Facts, FeasibilityLimits, Refusal, judge

FINE = Facts(
    level_price=101.0,
    close=100.5,
    atr=0.5,
    direction_sign=1,
    distance_atr=1.0,
    band_atr=2.0,
    bar_minutes=1,
    stale_seconds=0.0,
    seconds_open=1800.0,
    seconds_left=3600.0,
    shortest=60,
    longest=120,
    missing=0.1,
    neighbors=50,
    similarity=0.2,
    disagreement=0.1,
)
LIMITS = FeasibilityLimits()


def test_a_plain_target_is_feasible() -> None:
    """Nothing refuses a target in the band, in the session, with neighbours and features."""
    assert judge(FINE, LIMITS) == ()


@pytest.mark.parametrize(
    "rule, change, says",
    [
        ("price_unknown", {"level_price": 0.0}, "level price is 0.0"),
        ("price_unknown", {"close": float("nan")}, "close price is nan"),
        ("range_unknown", {"atr": None}, "ATR is None"),
        ("range_unknown", {"atr": 0.0}, "ATR is 0.0"),
        # Two bars of one minute may pass: 120 s.
        ("bar_stale", {"stale_seconds": 121.0}, "ended 121 s before"),
        ("session_closed", {"seconds_left": 0.0}, "closed 0 s before"),
        ("session_closed", {"seconds_open": -600.0}, "opens 600 s after"),
        ("session_ends", {"seconds_left": 59.0}, "closes in 59 s"),
        ("outside_band", {"distance_atr": 2.1}, "2.1 ATR from the level"),
        # 4 sigmas x sqrt(120 s / 60 s) are 5.66 ATR.
        ("out_of_reach", {"distance_atr": 5.7, "band_atr": 9.0}, "diffuses 5.66 ATR"),
        # (102.1 - 101) / 0.5 is 2.2 ATR above a level that breaks upwards.
        ("level_crossed", {"close": 102.1}, "2.2 ATR beyond"),
        ("level_crossed", {"close": 99.0, "direction_sign": -1}, "4 ATR beyond"),
        ("features_missing", {"missing": 0.8}, "80% of the model's features"),
        ("few_neighbors", {"neighbors": 4}, "4 similar touches"),
        ("unlike_the_past", {"similarity": 0.01}, "0.01, below 0.02"),
        ("stages_disagree", {"disagreement": 0.6}, "differ by 0.6"),
    ],
)
def test_each_rule_refuses_what_it_names(rule: str, change: dict[str, Any], says: str) -> None:
    """One fact beyond its limit is refused by its rule, which tells the value."""
    refused = {one.rule: one.why for one in judge(replace(FINE, **change), LIMITS)}
    assert says in refused[rule]


def test_the_first_minutes_are_refused_only_where_configured() -> None:
    """After 5 minutes a limit of 10 refuses, one of 5 does not."""
    early = replace(FINE, seconds_open=300.0)
    assert judge(early, FeasibilityLimits(min_minutes_open=5)) == ()
    (refusal,) = judge(early, FeasibilityLimits(min_minutes_open=10))
    assert refusal.rule == "too_early"
    assert "300 s" in refusal.why


@pytest.mark.parametrize(
    "change",
    [
        {"stale_seconds": 120.0},
        {"seconds_left": 60.0},
        {"distance_atr": 2.0},
        {"close": 101.5},
        {"missing": 0.75},
        {"neighbors": 5},
        {"similarity": 0.02},
        {"disagreement": 0.5},
        {"seconds_open": None, "seconds_left": None},
        {"similarity": None, "disagreement": None},
    ],
)
def test_a_value_at_its_limit_passes(change: dict[str, Any]) -> None:
    """Limits are inclusive, and what is not known refuses nothing where a target needs no such fact."""
    assert judge(replace(FINE, **change), LIMITS) == ()


def test_refusals_come_in_one_order_and_all_of_them() -> None:
    """A target that breaks several rules is told all of them, in the order of the table, whenever it is asked."""
    bad = replace(FINE, atr=None, stale_seconds=9999.0, neighbors=0, disagreement=1.0)
    first = judge(bad, LIMITS)
    assert [one.rule for one in first] == ["range_unknown", "bar_stale", "few_neighbors", "stages_disagree"]
    assert judge(bad, LIMITS) == first
    assert [name for name in RULES if name in {one.rule for one in first}] == [one.rule for one in first]


def test_a_refusal_is_a_json_object() -> None:
    """The payload shows the name of the rule and its reason."""
    assert Refusal("bar_stale", "late").to_dict() == {"rule": "bar_stale", "why": "late"}


def test_every_rule_is_documented(repository: Path) -> None:
    """docs/events_scoring.md names every rule."""
    page = (repository / "docs" / "events_scoring.md").read_text()
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []
