"""Alpaca's client against a server on this machine that fails as networks and exchanges do."""

from datetime import date, datetime

import pytest

from tests.execution import fake_alpaca
from tests.execution.conftest import Alpaca
from tests.execution.trading_home import at
from trademl.errors import BrokerError, BrokerUnavailable, ConfigError, OrderRejected
from trademl.execution.alpaca import AlpacaBroker
from trademl.execution.broker import Order
from trademl.execution.config import BrokerConfig

LONG_AGO = datetime(2024, 1, 1)


def order(name: str = "tm-1", symbol: str = "S00", shares: int = 10, side: str = "buy", when: str = "day") -> Order:
    return Order(name, symbol, side, shares, time_in_force=when)  # type: ignore[arg-type]


def client(alpaca: Alpaca) -> AlpacaBroker:
    broker = alpaca.floor.broker
    assert isinstance(broker, AlpacaBroker)
    return broker


def test_an_order_its_fill_and_the_position(alpaca: Alpaca) -> None:
    """A market order at 50 USD: filled whole, one fill, ten shares, 500 USD less cash, the same equity."""
    broker = client(alpaca)
    known = broker.submit(order())
    assert (known.status, known.filled_quantity, known.average_price) == ("filled", 10.0, 50.0)
    (fill,) = broker.fills(LONG_AGO)
    assert (fill.broker_order_id, fill.quantity, fill.price) == (known.broker_order_id, 10.0, 50.0)
    assert broker.positions() == {"S00": 10.0}
    account = broker.account()
    assert (account.cash_usd, account.equity_usd, account.blocked) == (999_500.0, 1_000_000.0, "")
    assert broker.status("tm-1") == known
    assert broker.status("tm-2") is None
    assert not broker.is_live


def test_a_short_sale_is_negative_on_both_sides(alpaca: Alpaca) -> None:
    """Fills and positions of what is sold short have a minus."""
    broker = client(alpaca)
    broker.submit(order(side="sell", shares=7))
    assert broker.positions() == {"S00": -7.0}
    assert broker.fills(LONG_AGO)[0].quantity == -7.0


def test_an_order_that_would_turn_a_position_is_rejected(alpaca: Alpaca) -> None:
    """Ten held, eleven sold in one order: refused, which is why the plan closes first."""
    broker = client(alpaca)
    broker.submit(order())
    with pytest.raises(OrderRejected, match="insufficient qty"):
        broker.submit(order("tm-2", shares=11, side="sell"))
    assert not broker.reverses


@pytest.mark.parametrize("kind", list(fake_alpaca.FAULTS))
def test_an_order_is_placed_once_whatever_happens_to_the_request(alpaca: Alpaca, kind: str) -> None:
    """Carried out without an answer, not carried out, or carried out later: one order with one fill."""
    broker = client(alpaca)
    alpaca.faults.script = [kind]
    known = broker.submit(order())
    assert known.client_order_id == "tm-1"
    import time

    time.sleep(alpaca.faults.slow_seconds if kind == "late" else 0)
    assert [one["client_order_id"] for one in alpaca.books.orders] == ["tm-1"]
    assert broker.positions() == {"S00": 10.0}
    assert alpaca.faults.counted[kind] == 1


def test_a_name_is_taken_once(alpaca: Alpaca) -> None:
    """The second order of a name is not placed; the first one is returned, whatever the second asked for."""
    broker = client(alpaca)
    first = broker.submit(order())
    assert broker.submit(order(shares=99)) == first
    assert len(alpaca.books.orders) == 1


def test_no_answer_at_all_is_not_an_order(alpaca: Alpaca) -> None:
    """A broker that never answers: an error of its own kind, which says that a rerun is safe."""
    alpaca.faults.rate, alpaca.faults.kinds = 1.0, ("drop_before",)
    with pytest.raises(BrokerUnavailable) as caught:
        client(alpaca).submit(order())
    assert "same command" in caught.value.remedy
    assert alpaca.books.orders == []


def test_reading_is_tried_again_and_gives_up(alpaca: Alpaca) -> None:
    """Three failures of a reading request are overcome, endless ones are not."""
    broker = client(alpaca)
    alpaca.faults.script = ["unavailable", "drop_after", "cut_short"]
    assert broker.positions() == {}
    alpaca.faults.rate, alpaca.faults.kinds = 1.0, ("slow_before",)
    with pytest.raises(BrokerUnavailable, match=r"0\.5 s"):
        broker.positions()


def test_pages_and_duplicates(alpaca: Alpaca) -> None:
    """130 orders and fills come in pages of 100; an activity that is listed twice counts once."""
    broker = client(alpaca)
    with alpaca.books.lock:
        for number in range(130):
            alpaca.books.place({"client_order_id": f"tm-{number:03d}", "symbol": "S00", "qty": 1, "side": "buy",
                                "type": "market", "time_in_force": "day"})  # fmt: skip
    alpaca.books.duplicates = True
    assert len(broker.orders(LONG_AGO)) == 130
    fills = broker.fills(LONG_AGO)
    assert len(fills) == len({fill.fill_id for fill in fills}) == 130
    since = fills[100].filled_at
    assert [fill.fill_id for fill in broker.fills(since)] == [fill.fill_id for fill in fills[100:]]
    placed = broker.orders(LONG_AGO)
    assert broker.orders(placed[70].submitted_at) == placed[70:]


def test_cancelling(alpaca: Alpaca) -> None:
    """An order for the auction can be cancelled; one that is filled, or unknown, is left as it is."""
    broker = client(alpaca)
    alpaca.books.now = at(alpaca.floor.days[1], 12)
    broker.submit(order(when="opg"))
    broker.submit(order("tm-2"))
    for name in ("tm-1", "tm-2", "tm-3"):
        broker.cancel(name)
    assert [one["status"] for one in alpaca.books.orders] == ["canceled", "filled"]


def test_what_was_no_trade_is_listed(alpaca: Alpaca) -> None:
    """A split and a dividend, with shares and cash."""
    alpaca.books.action("SPLIT", "S00", "2024-02-01", 10.0, 0.0)
    alpaca.books.action("DIV", "S01", "2024-02-02", 0.0, 12.5)
    found = client(alpaca).activities(date(2024, 2, 1))
    assert [(one.kind, one.symbol, one.quantity, one.amount_usd) for one in found] == [
        ("split", "S00", 10.0, 0.0),
        ("dividend", "S01", 0.0, 12.5),
    ]
    assert client(alpaca).activities(date(2024, 2, 2)) == found[1:]


def test_wrong_keys_are_refused_with_a_remedy(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP 401 says which variables to check."""
    monkeypatch.setenv("APCA_API_SECRET_KEY", "another")
    with pytest.raises(BrokerError, match="401") as caught:
        AlpacaBroker(BrokerConfig(name="alpaca")).positions()
    assert "APCA_API_SECRET_KEY" in caught.value.remedy


def test_keys_come_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them nothing is asked."""
    monkeypatch.delenv("APCA_API_KEY_ID", raising=False)
    monkeypatch.delenv("APCA_API_SECRET_KEY", raising=False)
    monkeypatch.delenv("APCA_API_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="APCA_API_KEY_ID and APCA_API_SECRET_KEY not set"):
        AlpacaBroker(BrokerConfig(name="alpaca"))


@pytest.mark.parametrize(
    "url", ["https://api.alpaca.markets", "http://paper-api.alpaca.markets", "http://example.com", "http://10.0.0.1"]
)
def test_paper_goes_to_paper_or_to_this_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Neither the live address, nor an unsafe one, nor another machine."""
    monkeypatch.setenv("APCA_API_BASE_URL", url)
    with pytest.raises(ConfigError, match="paper"):
        AlpacaBroker(BrokerConfig(name="alpaca"))


def test_live_trading_needs_both_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mode: live` alone is refused by the file's reader and by the client; live never goes to another address."""
    monkeypatch.setenv("APCA_API_KEY_ID", "k")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "s")
    monkeypatch.delenv("APCA_API_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="live_account"):
        BrokerConfig(name="alpaca", mode="live")
    alone = BrokerConfig.model_construct(name="alpaca", mode="live", live_account=None, timeout_seconds=1.0)
    with pytest.raises(ConfigError, match="live_account names no account"):
        AlpacaBroker(alone)
    monkeypatch.setenv("APCA_API_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="live"):
        AlpacaBroker(BrokerConfig(name="alpaca", mode="live", live_account="123"))


def test_live_trading_of_another_account_is_refused(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both settings name account 123 and the keys are another's: nothing can be sent."""
    monkeypatch.delenv("APCA_API_BASE_URL")
    monkeypatch.setattr("trademl.execution.alpaca.LIVE_URL", alpaca.url)
    with pytest.raises(BrokerError, match="PA0000001"):
        AlpacaBroker(BrokerConfig(name="alpaca", mode="live", live_account="123"), pause=lambda _: None)
    right = AlpacaBroker(BrokerConfig(name="alpaca", mode="live", live_account="PA0000001"), pause=lambda _: None)
    assert right.is_live


def test_nonsense_is_told_apart_from_silence(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is no order is an error that names it."""
    broker = client(alpaca)
    broker.submit(order())
    alpaca.books.orders[0]["qty"] = "ten"
    with pytest.raises(BrokerError, match="something else than an order"):
        broker.status("tm-1")


def test_a_blocked_account_says_so(alpaca: Alpaca) -> None:
    """The flag reaches the tripwire."""
    alpaca.books.blocked = True
    assert client(alpaca).account().blocked == "trading_blocked"
