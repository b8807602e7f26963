"""The simulated broker: prices, costs, splits, dividends and borrowing, each by hand."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from trademl.costs.model import BorrowTier, CostModel
from trademl.errors import OrderRejected
from trademl.execution.broker import Order
from trademl.execution.facts import Facts
from trademl.execution.simulated import SimulatedBroker

MONDAY, TUESDAY, WEDNESDAY = date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)
FREE = CostModel(spread_bps=0.0, impact_coefficient=0.0)


class World:
    """Three sessions of two symbols, and a broker whose clock a test sets."""

    def __init__(self, root: Path, costs: CostModel, *changes: str, participation: float = 0.1) -> None:
        self.con = duckdb.connect()
        self.con.execute(
            """
            create schema silver;
            create table silver.calendar as select day::date as date, day::date + interval 870 minute as open_at,
                day::date + interval 21 hour as close_at, day::date + interval 1275 minute as decision_at
                from range(date '2024-01-05', date '2024-01-12', interval 1 day) as t(day)
                where dayofweek(day) in (1, 2, 3, 4, 5);
            create table silver.equity_bars as select symbol, date, price::double as open, price::double + 1 as close,
                10000::double as volume, 0::double as dividend_amount, 1::double as split_coefficient,
                date + interval 1270 minute as known_at
                from silver.calendar, (values ('A', 50), ('B', 20)) as t(symbol, price)
                where date < date '2024-01-11';
            """
        )
        for change in changes:
            self.con.execute(change)
        self.root, self.costs, self.participation = root, costs, participation
        self.at(MONDAY, 7)

    def at(self, day: date, hour: int, minute: int = 0) -> "World":
        """Set the clock, and look at the broker's file again as another process would."""
        self.now = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
        self.broker = SimulatedBroker(
            self.root / "book.json",
            Facts(self.con),
            self.costs,
            max_participation=self.participation,
            capital_usd=100_000.0,
            liquidity={"A": (5e6, 0.01), "B": (5e6, 0.01)},
            now=lambda: self.now,
        )
        return self


def order(name: str, symbol: str, shares: int, side: str = "buy", when: str = "opg") -> Order:
    return Order(name, symbol, side, shares, time_in_force=when)  # type: ignore[arg-type]


def test_an_order_for_the_auction_fills_at_the_open_when_its_bar_is_known(tmp_path: Path) -> None:
    """Sent on Monday morning: nothing by the close, because the bar is known at 21:10; then 100 at 50."""
    world = World(tmp_path, FREE)
    world.broker.submit(order("o", "A", 100))
    assert world.at(MONDAY, 21).broker.positions() == {}
    broker = world.at(MONDAY, 21, 10).broker
    (fill,) = broker.fills(datetime(2024, 1, 1))
    assert (fill.quantity, fill.price, fill.filled_at) == (100.0, 50.0, datetime(2024, 1, 8, 14, 30))
    assert broker.positions() == {"A": 100.0}
    account = broker.account()
    assert (account.cash_usd, account.equity_usd) == (95_000.0, 95_000.0 + 100 * 51)


def test_an_order_in_the_session_fills_on_the_line_from_open_to_close(tmp_path: Path) -> None:
    """A quarter of the session after the open (97.5 of 390 minutes): 50 + 0.25 x 1."""
    world = World(tmp_path, FREE).at(MONDAY, 16, 7)
    world.now = world.now.replace(second=30)
    world.broker.submit(order("o", "A", 10, when="day"))
    (fill,) = world.at(MONDAY, 22).broker.fills(datetime(2024, 1, 1))
    assert fill.price == pytest.approx(50.25, abs=1e-12)


def test_a_fill_pays_what_the_cost_model_says(tmp_path: Path) -> None:
    """5,000 USD, 5 bps, impact 0.01 x sqrt(5,000 / 5,000,000), 1 cent a share: buyers pay more, sellers get less."""
    world = World(tmp_path, CostModel(commission_usd_per_share=0.01))
    world.broker.submit(order("b", "A", 100))
    world.broker.submit(order("s", "B", 250, "sell"))
    bought, sold = world.at(MONDAY, 22).broker.fills(datetime(2024, 1, 1))
    slip = 5e-4 + 0.01 * (5000 / 5e6) ** 0.5
    assert bought.price == pytest.approx(50 * (1 + slip), rel=1e-12)
    assert sold.price == pytest.approx(20 * (1 - slip), rel=1e-12)
    assert (bought.fee_usd, sold.fee_usd) == (pytest.approx(1.0), pytest.approx(2.5))


def test_an_order_takes_its_share_of_the_volume_and_the_rest_expires(tmp_path: Path) -> None:
    """A tenth of 10,000 shares is 1,000; 500 of 1,500 expire."""
    world = World(tmp_path, FREE)
    world.broker.submit(order("o", "A", 1500))
    known = world.at(MONDAY, 22).broker.status("o")
    assert known is not None
    assert (known.status, known.filled_quantity) == ("expired", 1000.0)
    assert "500 shares" in known.reason


def test_a_symbol_without_a_bar_fills_nothing(tmp_path: Path) -> None:
    """A halt on Tuesday: the order expires with the session."""
    world = World(tmp_path, FREE, f"delete from silver.equity_bars where symbol = 'A' and date = '{TUESDAY}'")
    world.at(TUESDAY, 7).broker.submit(order("o", "A", 10))
    known = world.at(TUESDAY, 22).broker.status("o")
    assert known is not None
    assert (known.status, known.filled_quantity) == ("expired", 0.0)


def test_a_split_changes_shares_and_pays_for_fractions(tmp_path: Path) -> None:
    """Three for two on 101 shares: 151.5, so 151 shares and half a share at Tuesday's open of 34."""
    change = "update silver.equity_bars set split_coefficient = 1.5, open = 34.0, close = 35.0 where symbol = 'A'"
    world = World(tmp_path, FREE, f"{change} and date = '{TUESDAY}'")
    world.broker.submit(order("o", "A", 101))
    broker = world.at(TUESDAY, 22).broker
    assert broker.positions() == {"A": 151.0}
    (split,) = broker.activities(MONDAY)
    assert (split.kind, split.quantity, split.amount_usd) == ("split", 50.0, 17.0)
    assert broker.account().cash_usd == 100_000.0 - 101 * 50 + 17.0


def test_dividends_are_paid_to_the_long_and_by_the_short(tmp_path: Path) -> None:
    """Half a dollar a share on 100 long and 40 short."""
    world = World(tmp_path, FREE, f"update silver.equity_bars set dividend_amount = 0.5 where date = '{TUESDAY}'")
    world.broker.submit(order("l", "A", 100))
    world.broker.submit(order("s", "B", 40, "sell"))
    paid = world.at(TUESDAY, 22).broker.activities(TUESDAY)
    assert {(one.symbol, one.amount_usd) for one in paid if one.kind == "dividend"} == {("A", 50.0), ("B", -20.0)}


def test_what_is_borrowed_costs_each_night(tmp_path: Path) -> None:
    """100 short at a close of 21, 360 bps a year: one night costs 2,100 x 0.036 / 360 = 0.21 USD."""
    costs = CostModel(spread_bps=0.0, impact_coefficient=0.0, borrow=(BorrowTier(0.0, 360.0),))
    world = World(tmp_path, costs)
    world.broker.submit(order("s", "B", 100, "sell"))
    broker = world.at(TUESDAY, 22).broker
    (cost,) = broker.activities(TUESDAY)
    assert (cost.kind, cost.symbol) == ("borrow", "B")
    assert cost.amount_usd == pytest.approx(-0.21)


def test_a_name_is_taken_once_also_by_another_process(tmp_path: Path) -> None:
    """The second order of a name changes nothing, before and after it was filled."""
    world = World(tmp_path, FREE)
    first = world.broker.submit(order("o", "A", 10))
    assert world.at(MONDAY, 8).broker.submit(order("o", "A", 99)) == first
    filled = world.at(MONDAY, 22).broker.submit(order("o", "A", 99))
    assert (filled.status, filled.quantity) == ("filled", 10.0)


def test_an_order_is_there_for_another_process_or_not_at_all(tmp_path: Path) -> None:
    """Read back before the book was written again; a line that a kill cut short is no order and can be sent again."""
    world = World(tmp_path, FREE)
    world.broker.submit(order("o", "A", 10))
    world.broker.submit(order("p", "B", 10))
    new = tmp_path / "book.new"
    new.write_bytes(new.read_bytes()[:-5])
    broker = world.at(MONDAY, 8).broker
    assert broker.status("o") is not None
    assert broker.status("p") is None
    broker.submit(order("p", "B", 10))
    assert {fill.symbol for fill in world.at(MONDAY, 22).broker.fills(datetime(2024, 1, 1))} == {"A", "B"}
    assert not new.exists()


def test_cancelled_before_the_open_is_not_filled(tmp_path: Path) -> None:
    """A cancellation ends it; cancelling what is filled, or unknown, changes nothing."""
    world = World(tmp_path, FREE)
    world.broker.submit(order("o", "A", 10))
    world.broker.cancel("o")
    world.broker.cancel("unknown")
    assert world.at(MONDAY, 22).broker.positions() == {}


@pytest.mark.parametrize(
    "wrong", [order("o", "NONE", 10), order("o", "A", 0), Order("o", "A", "buy", 10, "limit", limit_price=5.0)]
)
def test_what_cannot_be_traded_is_rejected(tmp_path: Path, wrong: Order) -> None:
    """A symbol without bars, no share, a limit order."""
    with pytest.raises(OrderRejected):
        World(tmp_path, FREE).broker.submit(wrong)


def test_the_same_orders_give_the_same_book(tmp_path: Path) -> None:
    """Looked at once at the end, or many times in between: the same bytes."""
    books = []
    for name, looks in (("often", range(7, 23)), ("once", range(7, 8))):
        world = World(tmp_path / name, CostModel())
        for symbol, side in (("A", "buy"), ("B", "sell")):
            world.broker.submit(order(f"o-{symbol}", symbol, 300, side))
        for hour in looks:
            world.at(MONDAY, hour).broker.account()
        world.at(WEDNESDAY, 22).broker.account()
        books.append(json.loads((tmp_path / name / "book.json").read_text()))
    assert books[0] == books[1]
    assert len(books[0]["fills"]) == 2
