"""What the simulator calls a touch the warehouse calls an event, with the same outcome: two definitions, one answer."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.oracles.events import Bar, Session
from tests.warehouse.events.project import built, landed, rows_of
from trademl.warehouse.simulate.intraday import KINDS, IntradaySimulation, simulate_bars
from trademl.warehouse.simulate.intraday_files import TIME_ZONE, trading_sessions

CONFIG = IntradaySimulation(symbols=4, sessions=4, seed=11)
OUTCOMES = {1: "BREAK", -1: "BOUNCE", 0: "OTHER"}


def test_every_touch_is_an_event_with_the_same_outcome() -> None:
    """Symbol, minute, kind, level, direction and ATR agree, and so do outcome and strength; but for the first ATR."""
    sessions = trading_sessions(CONFIG)
    bars, touches = simulate_bars(CONFIG, tuple(one.bars for one in sessions))
    minute = timedelta(minutes=1)
    calendar, rows = [], []
    for number, one in enumerate(sessions):
        opens = one.open_at.astype(object).replace(tzinfo=ZoneInfo(TIME_ZONE)).astimezone(ZoneInfo("UTC"))
        start = opens.replace(tzinfo=None)
        calendar.append(Session(one.day, number + 1, start, start + one.bars * minute))
    for symbol in range(CONFIG.symbols):
        made = [
            Bar(
                calendar[session].open_at + (bar - bars.pre) * minute,
                *(float(part[session][bar, symbol]) for part in (bars.open, bars.high, bars.low, bars.close)),
                float(bars.volume[session][bar, symbol]),
            )
            for session in range(CONFIG.sessions)
            for bar in range(bars.pre + bars.lengths[session])
        ]
        rows += landed(f"M{symbol}", made, calendar)
    con = built(rows, calendar)
    found = {
        (row["symbol"], row["t0"], row["level_kind_name"], round(row["level_price"], 3)): row
        for row in rows_of(
            con,
            "select t.symbol, t.t0, t.level_kind_name, t.level_price, t.direction, t.atr, l.outcome, l.strength_signed "
            "from slv_event_touches t join gld_events_labels l using (event_id)",
        )
    }
    compared = 0
    for place in range(len(touches.symbol)):
        session, number = int(touches.session[place]), int(touches.bar[place])
        if session == 0 and number < 15:
            # The warehouse has no ATR before it has seen 14 bars; the simulator begins with one.
            continue
        start = calendar[session].open_at + number * minute
        key = (
            f"M{touches.symbol[place]}",
            start,
            KINDS[int(touches.kind[place])],
            round(float(touches.level[place]), 3),
        )
        event = found[key]
        assert event["direction"] == ("UP" if touches.side[place] > 0 else "DOWN")
        assert event["atr"] == pytest.approx(touches.atr[place], rel=1e-6)
        if touches.excursion[place] == touches.excursion[place]:
            assert event["outcome"] == OUTCOMES[int(touches.first[place])]
            assert event["strength_signed"] == pytest.approx(touches.excursion[place], abs=5e-4)
        compared += 1
    assert compared > 150
