"""Our book against the broker's: what explains a difference, and what does not."""

from datetime import timedelta

import pytest

from tests.execution.conftest import Alpaca, Floor
from tests.execution.trading_home import at, change_warehouse
from trademl.errors import TradingHalted


def traded(alpaca: Alpaca) -> None:
    """Trade the first session to its end."""
    with alpaca.floor.morning(0) as desk:
        desk.trade("equities", alpaca.floor.days[0])
    alpaca.open_session(0)
    with alpaca.floor.night(0) as desk:
        assert desk.reconcile().unexplained == ()


def test_fills_since_the_last_look_are_explained_and_joined(alpaca: Alpaca) -> None:
    """Eight orders filled in the auction: as many new fills, each explained; a second look finds nothing."""
    floor = alpaca.floor
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    alpaca.open_session(0)
    with floor.night(0) as desk:
        found = desk.reconcile()
        assert found.new_fills == len(found.differences) == len(alpaca.books.activities)
        assert {one.explanation for one in found.differences} == {"reported since the last look"}
        assert found.positions == alpaca.books.positions == desk.blotter.positions()
        assert desk.blotter.segment(floor.days[0]).closed
    with floor.night(0) as desk:
        assert desk.reconcile().differences == ()


def test_partial_fills_and_failures_in_the_auction_are_the_brokers_word(alpaca: Alpaca) -> None:
    """Half filled, expired, rejected by the exchange: statuses and shares are as the broker says."""
    floor = alpaca.floor
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    alpaca.open_session(0, seed=5, partial=0.4, fail=0.3)
    with floor.night(0) as desk:
        assert desk.reconcile().unexplained == ()
        ours = {one.order.client_order_id: (one.status, one.filled) for one in desk.status().orders}
    theirs = {one["client_order_id"]: (one["status"], float(one["filled_qty"])) for one in alpaca.books.orders}
    assert ours == theirs
    assert len({status for status, _ in ours.values()}) >= 2


def test_a_split_that_the_broker_lists_explains_the_shares(alpaca: Alpaca) -> None:
    """Two for one: our shares double once, with the reason; the next look finds nothing."""
    traded(alpaca)
    symbol, shares = next(iter(alpaca.books.positions.items()))
    alpaca.books.action("SPLIT", symbol, str(alpaca.floor.days[2]), shares, 0.0)
    alpaca.books.prices[symbol] /= 2
    with alpaca.floor.night(1) as desk:
        (change,) = desk.reconcile().differences
        assert (change.kind, change.what, change.ours, change.brokers) == ("position", symbol, shares, 2 * shares)
        assert "split of" in change.explanation
        assert desk.blotter.positions()[symbol] == 2 * shares
    with alpaca.floor.night(1) as desk:
        assert desk.reconcile().differences == ()


def test_a_split_in_the_landed_bars_explains_the_shares(alpaca: Alpaca) -> None:
    """A broker that changes the position and lists nothing: the bars know of the split."""
    traded(alpaca)
    symbol, shares = next(iter(alpaca.books.positions.items()))
    day = alpaca.floor.days[2]
    change_warehouse(
        alpaca.floor.home,
        f"update silver.equity_bars set split_coefficient = 3.0 where symbol = '{symbol}' and date = '{day}'",
    )
    alpaca.books.positions[symbol] = 3 * shares
    with alpaca.floor.night(1) as desk:
        (change,) = desk.reconcile().differences
        assert "landed bars" in change.explanation
    with alpaca.floor.night(1) as desk:
        assert desk.reconcile().differences == ()


def test_a_split_that_does_not_fit_explains_nothing(alpaca: Alpaca) -> None:
    """The bars say three for one and the broker has twice the shares: halted."""
    traded(alpaca)
    symbol, shares = next(iter(alpaca.books.positions.items()))
    change_warehouse(
        alpaca.floor.home,
        f"update silver.equity_bars set split_coefficient = 3.0 where symbol = '{symbol}' "
        f"and date = '{alpaca.floor.days[2]}'",
    )
    alpaca.books.positions[symbol] = 2 * shares
    with alpaca.floor.night(1) as desk, pytest.raises(TradingHalted, match=f"position {symbol}"):
        desk.reconcile()


def test_dividends_fees_and_deposits_explain_cash(alpaca: Alpaca) -> None:
    """What the broker lists as paid is in our cash; a cent more than it lists is not."""
    traded(alpaca)
    alpaca.books.action("DIV", "S00", str(alpaca.floor.days[2]), 0.0, 12.34)
    alpaca.books.action("FEE", "", str(alpaca.floor.days[2]), 0.0, -0.56)
    alpaca.books.action("CSD", "", str(alpaca.floor.days[2]), 0.0, 1000.0)
    with alpaca.floor.night(1) as desk:
        assert desk.reconcile().differences == ()
    alpaca.books.cash -= 1.5
    with alpaca.floor.night(1) as desk, pytest.raises(TradingHalted, match="cash USD"):
        desk.reconcile()


@pytest.mark.parametrize("kind", ["order", "fill", "position", "lost_fill", "lost_order"])
def test_what_nothing_explains_halts(alpaca: Alpaca, kind: str) -> None:
    """An order or fill that we did not place, a position from nowhere, a fill or an order that the broker forgot."""
    books = alpaca.books
    if kind == "lost_order":
        with alpaca.floor.morning(0) as desk:
            desk.trade("equities", alpaca.floor.days[0])
        gone = books.orders.pop()
        expected = gone["client_order_id"]
    else:
        traded(alpaca)
        expected = "S09"
    if kind == "order":
        books.now = at(alpaca.floor.days[2], 1)
        books.place({"client_order_id": "by-hand", "symbol": "S09", "qty": 1, "side": "buy", "type": "market",
                     "time_in_force": "opg"})  # fmt: skip
        expected = "by-hand"
    elif kind == "fill":
        books.place({"client_order_id": "by-hand", "symbol": "S09", "qty": 1, "side": "buy", "type": "market",
                     "time_in_force": "day"})  # fmt: skip
        expected = books.activities[-1]["id"]
    elif kind == "position":
        books.positions["S09"] = 1.0
    elif kind == "lost_fill":
        expected = books.activities.pop(0)["id"]
    now = alpaca.floor.night(0) if kind != "lost_order" else alpaca.floor.morning(0)
    with now as desk, pytest.raises(TradingHalted) as caught:
        desk.reconcile()
    assert expected in str(caught.value)


def test_the_simulated_broker_reconciles_over_splits_dividends_and_borrowing(floor: Floor) -> None:
    """A split, a dividend and nights of borrowing between two sessions: all explained, cash to the cent."""
    day = floor.days[2]
    change_warehouse(
        floor.home,
        f"update silver.equity_bars set split_coefficient = 1.5 where symbol = 'S00' and date = '{day}'",
        f"update silver.equity_bars set dividend_amount = 0.37 where symbol in ('S01', 'S02') and date = '{day}'",
    )
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    with floor.night(0) as desk:
        assert desk.reconcile().new_fills == 8
    with floor.night(1) as desk:
        found = desk.reconcile()
        assert found.unexplained == ()
        assert [one.what for one in found.differences] == ["S00"]
        kinds = {one.kind for one in desk.broker.activities(floor.days[0] - timedelta(1))}
        assert kinds == {"split", "dividend", "borrow"}
