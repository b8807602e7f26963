"""Values that every broker speaks in."""

from datetime import datetime

from trademl.execution.broker import FINAL, BrokerOrder, Fill, positions_of, signed

NOON = datetime(2024, 1, 8, 12)


def fill(symbol: str, quantity: float) -> Fill:
    return Fill(f"{symbol}{quantity}", "b", symbol, quantity, 10.0, 0.0, NOON)


def test_fills_add_up_to_positions() -> None:
    """Bought 10 and 5, sold 3: 12; sold as much as was bought: nothing; sold first: short."""
    fills = [fill("A", 10), fill("A", 5), fill("A", -3), fill("B", 4), fill("B", -4), fill("C", -7)]
    assert positions_of(fills) == {"A": 12.0, "C": -7.0}
    assert positions_of([]) == {}


def test_a_sale_is_negative() -> None:
    """The sign of a change follows the side."""
    assert (signed("buy", 3), signed("sell", 3)) == (3, -3)


def test_what_is_final() -> None:
    """Filled, cancelled, expired, rejected and never sent end an order; the rest may still change."""
    assert {"filled", "canceled", "expired", "rejected", "unsent"} == FINAL
    working = BrokerOrder("n", "b", "A", "buy", 10, 4, 10.0, "partially_filled", "", NOON)
    assert not working.is_final
