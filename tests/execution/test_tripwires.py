"""Each tripwire below and above its limit, on plain numbers; test_trading_tripwires.py plants the causes."""

from dataclasses import replace
from datetime import date, datetime
from math import inf, nan

import pytest

from trademl.execution.broker import Order
from trademl.execution.config import TripwireConfig
from trademl.execution.facts import DataFacts, Drift
from trademl.execution.halts import Tripped
from trademl.execution.orders import Plan, PlannedOrder
from trademl.execution.tripwires import (
    TRIPWIRES,
    Money,
    check_data,
    check_money,
    check_plan,
    check_reconciliation,
)

LIMITS = TripwireConfig()
FINE = DataFacts(
    date(2024, 1, 5), ("GREEN", ""), 0, 30, Drift("prediction", 0.1, 0.2), (Drift("momentum_20d_dm", 0.1, 0.3),)
)


def names(fired: list[Tripped]) -> list[str]:
    assert {one.tripwire for one in fired} <= set(TRIPWIRES)
    assert all(one.reason and one.remedy for one in fired)
    return [one.tripwire for one in fired]


def plan(*sizes: tuple[str, int, float]) -> Plan:
    orders = tuple(
        PlannedOrder(Order(f"tm-{at}", symbol, "buy", shares), 0, datetime(2024, 1, 8), None, price)
        for at, (symbol, shares, price) in enumerate(sizes)
    )
    return Plan(orders, ())


def test_good_data_fires_nothing() -> None:
    """GREEN, fresh, young and undrifted."""
    assert check_data(FINE, LIMITS) == []


@pytest.mark.parametrize(
    "changed, wire",
    [
        ({"coverage": ("AMBER", "absent 1: D")}, "coverage"),
        ({"coverage": ("RED", "")}, "coverage"),
        ({"coverage": None}, "coverage"),
        ({"sessions_behind": 1}, "stale_predictions"),
        ({"sessions_behind": None}, "stale_predictions"),
        ({"model_age_days": 121}, "stale_model"),
        ({"model_age_days": None}, "stale_model"),
        ({"prediction": Drift("prediction", 0.71, 0.2)}, "prediction_drift"),
        ({"prediction": Drift("prediction", nan, 0.2)}, "prediction_drift"),
        ({"prediction": None}, "prediction_drift"),
        ({"features": (Drift("a", 0.1, 0.3), Drift("b", 0.9, 0.3))}, "feature_drift"),
        ({"features": ()}, "feature_drift"),
    ],
)
def test_each_wire_of_data(changed: dict[str, object], wire: str) -> None:
    """One thing wrong, or not known, fires one wire; at the limit nothing does."""
    assert names(check_data(replace(FINE, **changed), LIMITS)) == [wire]  # type: ignore[arg-type]


def test_limits_themselves_are_allowed() -> None:
    """120 days and a drift of exactly worst + 0.5 pass."""
    edge = replace(FINE, model_age_days=120, prediction=Drift("prediction", 0.75, 0.25))
    assert check_data(edge, LIMITS) == []


def test_every_wire_that_fires_is_named() -> None:
    """Three causes, three wires."""
    bad = replace(FINE, coverage=None, sessions_behind=3, model_age_days=999)
    assert names(check_data(bad, LIMITS)) == ["coverage", "stale_predictions", "stale_model"]


def test_wires_of_a_plan() -> None:
    """On 100,000 USD: 210 % traded, a position of 7 %, 115 % in all, an order of 250,001 USD; each alone."""
    quiet = plan(("A", 100, 50.0))
    assert check_plan(quiet, {"A": 0.05}, 1e5, LIMITS) == []
    assert names(check_plan(plan(("A", 2100, 100.0)), {"A": 0.05}, 1e5, LIMITS)) == ["turnover"]
    assert names(check_plan(quiet, {"A": -0.07}, 1e5, LIMITS)) == ["position_limit"]
    assert names(check_plan(quiet, {f"S{at}": 0.05 for at in range(23)}, 1e5, LIMITS)) == ["gross_limit"]
    assert names(check_plan(plan(("A", 1, 250_001.0)), {"A": 0.05}, 1e7, LIMITS)) == ["order_limit"]
    assert names(check_plan(quiet, {"A": nan}, 1e5, LIMITS)) == ["position_limit", "gross_limit"]


def test_a_position_that_is_not_touched_is_not_judged() -> None:
    """A holding that grew over the limit does not keep others from being traded."""
    assert check_plan(plan(("A", 100, 50.0)), {"A": 0.05, "B": 0.3}, 1e5, LIMITS) == []


def test_wires_of_losses() -> None:
    """2.5 % in a session and 19 % from the top are allowed, more is not; a blocked account never trades."""
    assert check_money(Money(97.5, 100.0, 121.0), LIMITS) == []
    assert names(check_money(Money(96.9, 100.0, 100.0), LIMITS)) == ["daily_loss"]
    assert names(check_money(Money(79.0, 80.0, 100.0), LIMITS)) == ["drawdown"]
    assert names(check_money(Money(nan, 80.0, 100.0), LIMITS)) == ["daily_loss", "drawdown"]
    assert check_money(Money(50.0, None, None), LIMITS) == []
    assert names(check_money(Money(100.0, 100.0, 100.0, "trading_blocked"), LIMITS)) == ["broker_blocked"]


def test_the_wire_of_reconciliation() -> None:
    """A dollar of differences is allowed by default; what cannot be valued is not."""
    assert check_reconciliation(0.0, [], LIMITS) == []
    assert check_reconciliation(1.0, ["cash"], LIMITS) == []
    assert names(check_reconciliation(1.01, ["position A"], LIMITS)) == ["reconciliation"]
    assert names(check_reconciliation(inf, ["order X"], LIMITS)) == ["reconciliation"]
