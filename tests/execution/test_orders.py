"""From weights to orders: sizes by hand, names that never change, slices that add up."""

from datetime import date, datetime, timedelta
from math import inf, trunc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ConfigError
from trademl.execution.config import OrderConfig
from trademl.execution.orders import Hours, Plan, Target, client_order_id, decision_date, plan_orders

DT = date(2024, 1, 5)
HOURS = Hours(date(2024, 1, 8), datetime(2024, 1, 8, 14, 30), datetime(2024, 1, 8, 21))
EARLY = datetime(2024, 1, 8, 12)
RUN = "equities-fwd_5d-0123456789ab"


def target(symbol: str, weight: float, price: float = 50.0, volume: float = 1e6) -> Target:
    return Target(symbol, weight, price, volume, 0.01)


def planned(
    *targets: Target,
    held: dict[str, float] | None = None,
    now: datetime = EARLY,
    equity: float = 100_000.0,
    **policy: object,
) -> Plan:
    rules = OrderConfig.model_validate(policy)
    known = {"Z": 20.0}
    return plan_orders(targets, held or {}, equity, run_id=RUN, dt=DT, hours=HOURS, policy=rules, now=now, prices=known)


def changes(plan: Plan) -> dict[str, int]:
    summed: dict[str, int] = {}
    for one in plan.orders:
        sign = 1 if one.order.side == "buy" else -1
        summed[one.order.symbol] = summed.get(one.order.symbol, 0) + sign * one.order.quantity
    return summed


def test_shares_are_weight_times_equity_by_price_cut_to_whole_ones() -> None:
    """5 % of 100,000 at 33 is 151.5 shares: 151; -2 % at 70 is -28.57: 28 sold short; what is held counts."""
    plan = planned(target("A", 0.05, 33.0), target("B", -0.02, 70.0), target("C", 0.01, 10.0), held={"C": 40.0})
    assert changes(plan) == {"A": 151, "B": -28, "C": 60}
    assert plan.traded_usd == pytest.approx(151 * 33 + 28 * 70 + 60 * 10)


def test_what_has_no_target_is_sold_even_when_it_is_cheap() -> None:
    """Two shares of 20 USD are below min_order_usd and are closed all the same; a small change is left and noted."""
    plan = planned(target("A", 0.05), held={"A": 99.0, "Z": 2.0})
    assert changes(plan) == {"Z": -2}
    assert [note for note in plan.notes if note.startswith("A: a change of 50.00 USD")]


def test_a_position_that_changes_sign_is_closed_before_it_is_opened() -> None:
    """100 held, -100 wanted: one order sells 100 in the auction, the next waits for it and follows at the open."""
    first, second = planned(target("A", -0.05), held={"A": 100.0}).orders
    assert (first.order.side, first.order.quantity, first.order.time_in_force, first.after) == (
        "sell",
        100,
        "opg",
        None,
    )
    assert (second.order.side, second.order.quantity, second.order.time_in_force) == ("sell", 100, "day")
    assert second.after == first.order.client_order_id
    assert second.send_at == HOURS.open_at


def test_the_name_of_an_order_depends_on_run_date_symbol_and_slice_alone() -> None:
    """Other prices, positions and equity name the same orders; another run, date or slice names others."""
    one = planned(target("A", 0.05)).orders[0].order
    other = planned(target("A", 0.03, 20.0), held={"A": 5.0}, equity=5e5).orders[0].order
    assert one.quantity != other.quantity
    assert one.client_order_id == other.client_order_id == client_order_id(RUN, DT, "A", 0)
    names = {
        client_order_id(run, dt, symbol, piece)
        for run in (RUN, RUN + "x")
        for dt in (DT, DT + timedelta(1))
        for symbol in ("A", "BRK.B")
        for piece in (0, 1)
    }
    assert len(names) == 16
    assert all(len(name) <= 48 for name in names)


def test_a_name_tells_its_decision_date() -> None:
    """The blotter finds the journal of an order by its name; names of others have no date."""
    assert decision_date(client_order_id(RUN, DT, "BRK.B", 3)) == DT
    assert decision_date("placed-by-hand-20240105") is None


def test_too_late_for_the_auction_goes_to_the_market() -> None:
    """Two minutes before the open the auction closes."""
    assert planned(target("A", 0.05)).orders[0].order.time_in_force == "opg"
    late = planned(target("A", 0.05), now=HOURS.open_at - timedelta(minutes=1))
    assert late.orders[0].order.time_in_force == "day"


@pytest.mark.parametrize("kind", ["twap", "vwap", "almgren_chriss"])
def test_slices_add_up_and_are_spread_over_the_session(kind: str) -> None:
    """1,000 shares in 13 slices: half an hour apart from the open on, numbered, together 1,000."""
    plan = planned(target("A", 0.5), type=kind, slices=13, max_participation=1.0)
    assert sum(one.order.quantity for one in plan.orders) == 1000
    assert plan.orders[0].send_at == HOURS.open_at
    assert plan.orders[1].send_at - plan.orders[0].send_at == timedelta(minutes=30)
    assert [one.slice for one in plan.orders] == list(range(len(plan.orders)))


def test_the_risk_averse_trade_early() -> None:
    """With lambda 0 the slices of Almgren and Chriss are equal; with a high one the first is the largest."""
    calm = planned(target("A", 0.5), type="almgren_chriss", slices=5, risk_aversion=0.0, max_participation=1.0)
    assert [one.order.quantity for one in calm.orders] == [200] * 5
    hasty = planned(target("A", 0.5), type="almgren_chriss", slices=5, risk_aversion=1.0, max_participation=1.0)
    sizes = [one.order.quantity for one in hasty.orders]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 200


def test_what_the_volume_cannot_take_is_left_out_and_said() -> None:
    """A tenth of 5,000 shares a day is 500: of 1,000 wanted 500 are left out, with a note."""
    plan = planned(target("A", 0.5, volume=5000.0))
    assert changes(plan) == {"A": 500}
    assert "500 of 1000 shares" in plan.notes[0]


@pytest.mark.parametrize(
    "wrong",
    [
        target("A", float("nan")),
        target("A", 0.05, price=0.0),
        target("A", 0.05, price=float("nan")),
        target("A", 0.05, volume=float("nan")),
        target("a lower case name", 0.05),
    ],
)
def test_what_is_not_known_is_refused(wrong: Target) -> None:
    """A weight, price or volume that is missing, and a symbol that is none, are errors before anything is sent."""
    with pytest.raises(ConfigError):
        planned(wrong)


def test_a_plan_needs_equity_known_prices_and_whole_shares() -> None:
    """No equity, the same symbol twice, a position without a price, fractions: each says so."""
    for given_, text in (
        ({"equity": 0.0}, "equity"),
        ({"held": {"Q": 5.0}}, "no price"),
        ({"whole_shares": False}, "whole_shares"),
    ):
        with pytest.raises(ConfigError, match=text):
            planned(target("A", 0.05), **given_)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="twice"):
        planned(target("A", 0.05), target("A", 0.04))


@given(
    st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=8),
    st.lists(st.integers(-500, 500), min_size=8, max_size=8),
    st.sampled_from(["market_open", "twap", "vwap", "almgren_chriss"]),
    st.integers(1, 6),
)
def test_orders_lead_from_what_is_held_to_what_is_wanted(
    weights: list[float], shares: list[int], kind: str, slices: int
) -> None:
    """Filled as planned, positions are the targets' whole shares; no order changes a sign, no name is used twice."""
    targets = [target(f"S{at}", weight, volume=inf) for at, weight in enumerate(weights)]
    held = {one.symbol: float(count) for one, count in zip(targets, shares, strict=False) if count}
    count = 1 if kind == "market_open" else slices
    plan = planned(*targets, held=held, type=kind, slices=count, min_order_usd=0.0)
    position = dict(held)
    for one in plan.orders:
        before = position.get(one.order.symbol, 0.0)
        after = before + (one.order.quantity if one.order.side == "buy" else -one.order.quantity)
        assert before * after >= 0
        position[one.order.symbol] = after
    for one in targets:
        assert position.get(one.symbol, 0.0) == trunc(one.weight * 100_000.0 / 50.0)
    names = [one.order.client_order_id for one in plan.orders]
    assert len(set(names)) == len(names)
