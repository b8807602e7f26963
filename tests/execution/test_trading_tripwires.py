"""Every tripwire, fired by its planted cause: trading halts, with the reason, and no order reaches the broker after."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.execution.conftest import Alpaca
from tests.execution.trading_home import RUN, SYMBOLS, at, change_warehouse, write_execution, write_targets
from trademl.errors import TradingHalted
from trademl.execution.trading import switch_of
from trademl.execution.tripwires import TRIPWIRES
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of


def limits(alpaca: Alpaca, text: str) -> None:
    write_execution(alpaca.floor.home, f"broker: {{name: alpaca, timeout_seconds: 0.5}}\ntripwires: {{{text}}}\n")


def amber(alpaca: Alpaca) -> None:
    day = alpaca.floor.days[1]
    change_warehouse(
        alpaca.floor.home,
        f"update silver.coverage set status = 'AMBER', reasons = 'absent 1: S03' where date = '{day}'",
    )


def late(alpaca: Alpaca) -> None:
    """The next session has been decided, and the targets are still those of the one before."""
    alpaca.floor.days[2] = alpaca.floor.days[2] + timedelta(1)


def old(alpaca: Alpaca) -> None:
    """The targets come from a run whose training labels ended half a year before the decision."""
    run, home, day = "equities-fwd_5d-00000000000d", alpaca.floor.home, alpaca.floor.days[1]
    ended = [day - timedelta(days) for days in (183, 182, 181)]
    rows = [
        {"sleeve": "equities", "entity": symbol, "dt": dt, "horizon": 5, "label": "fwd_5d", "run_id": run, "path_id": 0,
         "split_id": 0, "yhat": place / 500 - 0.01, "y": 0.0, "label_end": dt, "scored_at": datetime(2024, 1, 2)}
        for dt in ended
        for place, symbol in enumerate(SYMBOLS)
    ]  # fmt: skip
    write_rows(layout_of(home), "preds.oof", rows)
    write_targets(home, day, run=run)


def shifted_scores(alpaca: Alpaca) -> None:
    write_targets(alpaca.floor.home, alpaca.floor.days[1], scores=dict.fromkeys(SYMBOLS, 0.5))


def shifted_features(alpaca: Alpaca) -> None:
    day = alpaca.floor.days[1]
    change_warehouse(alpaca.floor.home, f"update gold.equities_features set momentum_20d_dm = 99 where date = '{day}'")


def turned_over(alpaca: Alpaca) -> None:
    limits(alpaca, "max_turnover: 0.05")


def large_position(alpaca: Alpaca) -> None:
    write_targets(alpaca.floor.home, alpaca.floor.days[1], {"S00": 0.061})


def large_gross(alpaca: Alpaca) -> None:
    limits(alpaca, "max_gross: 0.1")


def large_order(alpaca: Alpaca) -> None:
    limits(alpaca, "max_order_usd: 5000")


def lost_in_a_day(alpaca: Alpaca) -> None:
    """Everything held long becomes worthless over night."""
    for symbol, shares in alpaca.books.positions.items():
        alpaca.books.prices[symbol] = 1.0 if shares > 0 else 60.0


def lost_over_time(alpaca: Alpaca) -> None:
    """A small loss, below that of a day, is already beyond the largest fall allowed."""
    limits(alpaca, "max_drawdown: 0.001, max_daily_loss: 0.5")
    lost_in_a_day(alpaca)


def foreign_position(alpaca: Alpaca) -> None:
    alpaca.books.positions["S09"] = 7.0


def blocked(alpaca: Alpaca) -> None:
    alpaca.books.blocked = True


def by_hand(alpaca: Alpaca) -> None:
    switch_of(alpaca.floor.home).halt_by_hand("a drill of the whole desk")


CAUSES: dict[str, Callable[[Alpaca], None]] = {
    "coverage": amber,
    "stale_predictions": late,
    "stale_model": old,
    "prediction_drift": shifted_scores,
    "feature_drift": shifted_features,
    "turnover": turned_over,
    "position_limit": large_position,
    "gross_limit": large_gross,
    "order_limit": large_order,
    "daily_loss": lost_in_a_day,
    "drawdown": lost_over_time,
    "reconciliation": foreign_position,
    "broker_blocked": blocked,
    "manual": by_hand,
}


def test_every_tripwire_has_a_planted_cause() -> None:
    """No wire is left out of this file."""
    assert set(CAUSES) == set(TRIPWIRES)


@pytest.mark.parametrize("wire", list(CAUSES))
def test_a_tripwire_halts_before_an_order_is_sent(alpaca: Alpaca, wire: str) -> None:
    """A first session is traded; then the cause is planted: the wire fires, and nothing is sent, now or on a rerun."""
    floor, books = alpaca.floor, alpaca.books
    with floor.morning(0) as desk:
        assert desk.trade("equities", floor.days[0]).by_status == {"accepted": 8}
    alpaca.open_session(0)
    with floor.night(0) as desk:
        assert desk.reconcile().unexplained == ()
    books.now = at(floor.days[2], 11)
    sent = len(books.orders)
    CAUSES[wire](alpaca)
    for _ in range(2):
        with floor.morning(1) as desk, pytest.raises(TradingHalted, match=wire):
            desk.trade("equities", floor.days[1])
        assert len(books.orders) == sent
    with floor.morning(1) as desk:
        assert wire in {halt.tripwire for halt in desk.status().halts}


def test_a_resume_lets_a_mended_cause_trade_and_stops_one_that_stays(alpaca: Alpaca) -> None:
    """After a resume the wire is looked at again: with the cause still there it fires, without it orders go out."""
    floor, books = alpaca.floor, alpaca.books
    books.positions["S09"] = 7.0
    with floor.morning(0) as desk:
        with pytest.raises(TradingHalted, match="reconciliation"):
            desk.trade("equities", floor.days[0])
        desk.switch.resume("thought to be mended")
        with pytest.raises(TradingHalted, match="S09"):
            desk.trade("equities", floor.days[0])
        assert books.orders == []
        del books.positions["S09"]
        desk.switch.resume("the position was given back")
        assert desk.trade("equities", floor.days[0]).sent == 8


def test_a_halt_stops_a_run_in_the_middle(alpaca: Alpaca) -> None:
    """Halted from elsewhere after the third order, a run that is sending eight sends no fourth."""
    floor, books = alpaca.floor, alpaca.books
    place = books.place

    def placed(body: dict[str, object]) -> tuple[int, object]:
        answer = place(body)
        if len(books.orders) == 3:
            switch_of(floor.home).halt_by_hand("somebody saw something")
        return answer

    books.place = placed  # type: ignore[method-assign]
    with floor.morning(0) as desk, pytest.raises(TradingHalted, match="somebody saw something"):
        desk.trade("equities", floor.days[0])
    assert len(books.orders) == 3
    with floor.morning(0) as desk:
        assert desk.cancel() == 3
        assert {one.status for one in desk.status().orders} == {"canceled", "unsent"}
    assert {one["status"] for one in books.orders} == {"canceled"}
    assert RUN in desk.status().last.run_id  # type: ignore[union-attr]
