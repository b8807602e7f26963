"""Trading a session: once, whatever is run again, in whatever state it was left."""

from datetime import timedelta

import pytest

from tests.execution.conftest import Alpaca, Floor
from tests.execution.killed_sessions import compare
from tests.execution.trading_home import at, write_execution, write_targets
from trademl.errors import BrokerError, BrokerUnavailable, ConfigError, LockedError
from trademl.execution.blotter import recorded_fills
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot


def test_three_sessions_lead_to_the_targets(floor: Floor) -> None:
    """After each session positions are the whole shares of its targets; equity is cash and closes."""
    for number in range(3):
        day = floor.days[number]
        with floor.morning(number) as desk:
            made = desk.plan("equities", day)
            assert made.fired == ()
            equity = made.header.equity_usd
            done = desk.trade("equities", day)
            assert (done.sent, done.resumed, done.by_status) == (8, False, {"accepted": 8})
            wanted = {
                one.symbol: int(one.weight * equity / one.price)
                for one in desk.facts.targets("equities", day).rows
                if one.weight
            }
        with floor.night(number) as desk:
            found = desk.reconcile()
            assert found.unexplained == ()
            assert desk.status().positions == wanted
            marks = desk.facts.marks(floor.days[number + 1], wanted)
        worth = sum(shares * marks[symbol] for symbol, shares in wanted.items())
        assert found.equity_usd == pytest.approx(found.cash_usd + worth, abs=1e-6)
    assert recorded_fills(layout_of(floor.home), "simulated-paper") == wanted


def test_planning_sends_and_writes_nothing(floor: Floor) -> None:
    """A plan can be looked at as often as one likes."""
    with floor.morning(0) as desk:
        first, second = desk.plan("equities"), desk.plan("equities", floor.days[2])
        assert first.header.dt == second.header.dt == floor.days[2]
        assert "stale_predictions" not in {one.tripwire for one in first.fired}
        assert desk.blotter.headers() == []
        assert desk.broker.orders(at(floor.days[0], 0).replace(tzinfo=None)) == []


def test_the_same_command_again_does_nothing(alpaca: Alpaca) -> None:
    """Run three times in the morning and again after the auction: eight orders."""
    floor = alpaca.floor
    for again in range(3):
        with floor.morning(0) as desk:
            done = desk.trade("equities", floor.days[0])
        assert (done.sent, done.resumed) == ((8, False) if not again else (0, True))
    alpaca.open_session(0)
    with floor.desk(at(floor.days[1], 15)) as desk:
        assert desk.trade("equities", floor.days[0]).by_status == {"filled": 8}
    assert len(alpaca.books.orders) == 8


def test_a_rerun_keeps_the_plan_whatever_moved(alpaca: Alpaca) -> None:
    """The broker died after three orders; prices and fills change before the rerun: the other five are as planned."""
    floor = alpaca.floor
    alpaca.faults.script = []
    place = alpaca.books.place

    def dying(body: dict[str, object]) -> tuple[int, object]:
        if len(alpaca.books.orders) == 3:
            alpaca.faults.rate, alpaca.faults.kinds = 1.0, ("unavailable",)
        return place(body)

    alpaca.books.place = dying  # type: ignore[method-assign]
    with floor.morning(0) as desk, pytest.raises(BrokerUnavailable):
        desk.trade("equities", floor.days[0])
    alpaca.faults.rate = 0.0
    alpaca.books.place = place  # type: ignore[method-assign]
    alpaca.books.auction(1, 0.0, 0.0)
    alpaca.books.prices.update(dict.fromkeys(alpaca.books.prices, 80.0))
    with floor.desk(at(floor.days[1], 13)) as desk:
        planned = {one.order.client_order_id: one.order.quantity for one in desk.status().orders}
        done = desk.trade("equities", floor.days[0])
        assert done.resumed
    assert {one["client_order_id"]: int(one["qty"]) for one in alpaca.books.orders} == planned
    assert len(alpaca.books.orders) == 8


def test_orders_that_missed_their_auction_are_never_sent(alpaca: Alpaca) -> None:
    """Planned in the morning, run again after the open without having been sent: unsent, with the reason."""
    floor = alpaca.floor
    alpaca.faults.rate, alpaca.faults.kinds = 0.0, ("unavailable",)
    place = alpaca.books.place

    def dead(body: dict[str, object]) -> tuple[int, object]:
        alpaca.faults.rate = 1.0
        return 503, {"message": "unavailable"}

    alpaca.books.place = dead  # type: ignore[method-assign]
    with floor.morning(0) as desk, pytest.raises(BrokerUnavailable):
        desk.trade("equities", floor.days[0])
    alpaca.books.place, alpaca.faults.rate = place, 0.0  # type: ignore[method-assign]
    alpaca.books.now = at(floor.days[1], 15)
    with floor.desk(at(floor.days[1], 15)) as desk:
        done = desk.trade("equities", floor.days[0])
    assert done.by_status == {"unsent": 8}
    assert "auction" in done.orders[0].reason
    assert alpaca.books.orders == []


def test_orders_for_the_auction_wait_for_the_hour_from_which_it_takes_them(alpaca: Alpaca) -> None:
    """Half an hour after the close Alpaca refuses them: planned then, sent from 19:00 New York time on."""
    floor = alpaca.floor
    with floor.desk(at(floor.days[0], 21, 45)) as desk:
        done = desk.trade("equities", floor.days[0])
    assert (done.sent, done.next_at) == (0, at(floor.days[1], 0).replace(tzinfo=None))
    alpaca.books.now = at(floor.days[1], 0)
    with floor.desk(at(floor.days[1], 0)) as desk:
        assert desk.trade("equities", floor.days[0]).by_status == {"accepted": 8}


def test_slices_are_sent_when_they_are_due(alpaca: Alpaca) -> None:
    """TWAP in four: one quarter at the open, two more by 18:00, the rest by the close; every order once."""
    floor = alpaca.floor
    write_execution(floor.home, "broker: {name: alpaca, timeout_seconds: 0.5}\norders: {type: twap, slices: 4}\n")
    traded = floor.days[1]
    with floor.morning(0) as desk:
        done = desk.trade("equities", floor.days[0])
    assert (done.sent, done.next_at) == (0, at(traded, 14, 30).replace(tzinfo=None))
    sent = []
    for hour, minute in ((14, 30), (18, 0), (20, 0)):
        with floor.desk(at(traded, hour, minute)) as desk:
            sent.append(desk.trade("equities", floor.days[0]).sent)
    assert sent == [8, 16, 8]
    assert {one["status"] for one in alpaca.books.orders} == {"filled"}


def test_a_position_that_changes_sign_is_opened_after_it_was_closed(alpaca: Alpaca) -> None:
    """Long on the first day, short on the second: the second leg goes out when the first is filled."""
    floor = alpaca.floor
    write_targets(floor.home, floor.days[0], {"S00": 0.05})
    write_targets(floor.home, floor.days[1], {"S00": -0.05})
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    alpaca.open_session(0)
    with floor.night(0) as desk:
        desk.reconcile()
    alpaca.books.now = at(floor.days[2], 12)
    with floor.morning(1) as desk:
        assert desk.trade("equities", floor.days[1]).by_status == {"accepted": 1, "planned": 1}
    with floor.desk(at(floor.days[2], 14, 31)) as desk:
        assert desk.trade("equities", floor.days[1]).by_status == {"accepted": 1, "planned": 1}
    alpaca.open_session(1)
    with floor.desk(at(floor.days[2], 14, 35)) as desk:
        assert desk.trade("equities", floor.days[1]).by_status == {"filled": 2}
    assert alpaca.books.positions["S00"] < 0


def test_an_order_whose_first_half_failed_is_never_sent(alpaca: Alpaca) -> None:
    """The closing order expired: opening the other side would double the risk, so it is left unsent."""
    floor = alpaca.floor
    write_targets(floor.home, floor.days[0], {"S00": 0.05})
    write_targets(floor.home, floor.days[1], {"S00": -0.05})
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    alpaca.open_session(0)
    alpaca.books.now = at(floor.days[2], 12)
    with floor.morning(1) as desk:
        assert desk.trade("equities", floor.days[1]).by_status == {"accepted": 1, "planned": 1}
    alpaca.open_session(1, fail=1.0)
    with floor.desk(at(floor.days[2], 14, 35)) as desk:
        statuses = desk.trade("equities", floor.days[1]).by_status
    assert statuses["unsent"] == 1


def test_a_rejected_order_leaves_the_others(alpaca: Alpaca) -> None:
    """One symbol is refused: seven orders go out, one is rejected with the broker's words; a rerun changes nothing."""
    alpaca.books.refused = {"S03": "the symbol is halted"}
    for _ in range(2):
        with alpaca.floor.morning(0) as desk:
            done = desk.trade("equities", alpaca.floor.days[0])
    assert done.by_status == {"accepted": 7, "rejected": 1}
    assert "the symbol is halted" in next(one.reason for one in done.orders if one.status == "rejected")


def test_a_session_is_planned_once(alpaca: Alpaca) -> None:
    """Targets of another run or portfolio for a date that was planned are refused: they would trade it twice."""
    floor = alpaca.floor
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    write_targets(floor.home, floor.days[0], portfolio_hash="q" * 64)
    with floor.morning(0) as desk, pytest.raises(ConfigError, match="planned once"):
        desk.trade("equities", floor.days[0])
    assert len(alpaca.books.orders) == 8


def test_a_new_plan_waits_for_the_orders_of_the_old_one(alpaca: Alpaca) -> None:
    """While orders of the first session work, the second is not planned."""
    floor = alpaca.floor
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    with floor.morning(1) as desk, pytest.raises(BrokerError, match="still work"):
        desk.trade("equities", floor.days[1])


def test_two_processes_never_trade_at_once(floor: Floor) -> None:
    """The second finds the account locked."""
    with floor.morning(0) as desk, floor.morning(0) as other, desk.blotter.lock(), pytest.raises(LockedError):
        other.trade("equities", floor.days[0])


def test_sql_sees_orders_and_fills_at_once(floor: Floor) -> None:
    """What was traded is in the snapshot when the command ends."""
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    with floor.night(0) as desk:
        desk.reconcile()
    with open_snapshot(layout_of(floor.home)) as snapshot:
        rows = snapshot.con.execute(
            "select status, count(*) from ops.orders group by status order by status"
        ).fetchall()
        fills = snapshot.con.execute("select count(*) from ops.fills").fetchall()
    assert rows == [("accepted", 8), ("filled", 8), ("planned", 8), ("sending", 8)]
    assert fills == [(8,)]


def test_a_session_that_ended_is_not_planned(floor: Floor) -> None:
    """After the close of the session to trade in, the targets are too old for any order."""
    with floor.desk(at(floor.days[1], 21, 5)) as desk, pytest.raises(ConfigError, match="ended at"):
        desk.trade("equities", floor.days[0])


def test_the_comparison_finds_what_was_planted(alpaca: Alpaca, tmp_path: object) -> None:
    """A doubled order, a lost one and a changed fill in the broker's record are found: the faults' judge has eyes."""
    floor, books = alpaca.floor, alpaca.books
    with floor.morning(0) as desk:
        desk.trade("equities", floor.days[0])
    alpaca.open_session(0)
    with floor.night(0) as desk:
        desk.reconcile()
    record = books.record
    clean = compare(floor.home, record)
    assert (clean["doubled"], clean["lost"], clean["fills_missing"], clean["positions_equal"]) == (0, [], 0, True)
    twice = {**books.orders[0], "id": "another"}
    books.orders.append(twice)
    lost = books.orders.pop(1)
    books.activities[-1]["price"] = "1.0"
    books.activities = [one for one in books.activities if one["order_id"] != lost["id"]]
    books.positions.popitem()
    books.save()
    found = compare(floor.home, record)
    assert found["doubled"] == 1
    assert found["lost"] == [lost["client_order_id"]]
    assert found["fills_missing"] >= 1
    assert found["fills_too_many"] >= 1
    assert found["positions_equal"] is False


def test_equity_of_the_last_plans_is_what_losses_are_measured_by(floor: Floor) -> None:
    """Each plan keeps the equity that it was made with."""
    for number in range(2):
        with floor.morning(number) as desk:
            desk.trade("equities", floor.days[number])
        with floor.night(number) as desk:
            desk.reconcile()
    with floor.night(1) as desk:
        headers = desk.blotter.headers()
    assert [header.dt for header in headers] == floor.days[:2]
    assert headers[0].equity_usd == 1_000_000.0
    assert headers[1].equity_usd != headers[0].equity_usd
    assert headers[1].session - headers[1].dt <= timedelta(3)
