"""Ten events whose features were worked out by hand, and what must not change them.

Windows are of 60 seconds, the long one of ten of them. Times are minutes and seconds since the opening. The fractions
below come from paper, not from the code; the working stands beside each event.
"""

import math
from datetime import date, datetime, timedelta
from fractions import Fraction as F
from typing import Any

import pytest

from tests.warehouse.events.tick_market import Market, Row, at, built, measured

BARRIER = (
    "barrier_delta_liq",
    "barrier_replenishment_ratio",
    "barrier_delta_liq_trend",
    "barrier_replenishment_trend",
    "wall_ratio",
    "liquidity_pressure",
)
TAPE = (
    "tape_imbalance",
    "tape_velocity",
    "tape_imbalance_trend",
    "tape_velocity_trend",
    "sweep_detected",
    "tape_pressure",
)
FUEL = ("fuel_effect", "gamma_exposure", "gamma_pressure", "dealer_pressure", "reversion_pressure")
FLAGS = ("has_trades", "has_quotes", "has_book", "has_chain")
NONE = (None, None, None, None, None, None)


def market() -> Market:
    """Return the session: a tape and consolidated quotes of AAA, a book of BBB, a chain of CCC."""
    one = Market()
    one.bid("00:10", 100.00, 300)
    one.ask("00:10", 100.10, 200)
    one.ask("01:05", 100.10, 500)
    one.ask("01:20", 100.10, 100)
    one.bid("01:30", 100.02, 400)
    one.ask("01:50", 100.12, 600)

    one.trade("00:30", 100.10, 100)  # above the middle, 100.05: buyer
    one.trade("00:40", 100.00, 300)  # below: seller
    one.trade("01:10", 100.10, 200)  # buyer
    one.trade("01:15", 100.05, 100)  # the middle itself; down from 100.10: seller
    one.trade("01:40", 100.06, 100)  # the middle of 100.02 and 100.10; up from 100.05: buyer
    for clock, price in (("30:10.000", 100.20), ("30:10.050", 100.21), ("30:10.100", 100.22)):
        one.trade(clock, price, 100)
    one.trade("40:00.000", 100.00, 500)  # the first instant of the window [40:00, 41:00); seller
    one.trade("40:10.000", 100.20, 100)
    one.trade("40:10.150", 100.21, 100)  # 150 ms later: another run
    one.trade("40:10.200", 100.22, 100)
    one.trade("40:30.000", 200.00, 900, suspicious=1.0)
    one.trade("40:31.000", 100.00, 900, condition="20004000")  # out of sequence
    one.trade("41:00.000", 50.00, 10_000)  # t1 itself: belongs to the next bar

    one.message("00:10", 1, (1, 50.00, 100), (50.00, 100), (50.02, 100))
    one.message("01:10", 4, (1, 50.00, 60), (50.00, 40), (50.02, 100))  # a bid was hit: seller
    one.message("01:20", 1, (1, 50.00, 100), (50.00, 140), (50.02, 100))
    one.message("01:30", 5, (-1, 50.01, 20), (50.00, 140), (50.02, 100))  # a hidden offer was lifted: buyer
    one.message("01:45", 3, (-1, 50.02, 100), (50.00, 140), (50.03, 300))

    one.option(100.0, "call", 1000)
    one.option(100.0, "put", 400)
    one.option(120.0, "call", 500)
    one.option(101.0, "call", 9999, implied_vol=0.0)
    one.option(100.0, "put", 9999, expiration=date(2024, 1, 2))
    one.option(100.0, "call", 50_000, date=date(2024, 1, 3))
    return one


TOUCHES: list[Row] = [
    {"event_id": "e1", "t1": at("02:00"), "direction_sign": 1},
    {"event_id": "e2", "t1": at("02:00"), "direction_sign": -1},
    {"event_id": "e3", "t1": at("01:00"), "direction_sign": 1},
    {"event_id": "e4", "t1": at("20:00"), "direction_sign": 1},
    {"event_id": "e5", "t1": at("00:00"), "direction_sign": 1},
    {"event_id": "e6", "t1": at("31:00"), "direction_sign": 1},
    {"event_id": "e7", "t1": at("31:00"), "direction_sign": -1},
    {"event_id": "e8", "t1": at("41:00"), "direction_sign": 1},
    {"event_id": "e9", "t1": at("02:00"), "direction_sign": -1, "symbol": "BBB", "level_price": 50.0},
    {"event_id": "e10", "t1": at("05:00"), "direction_sign": 1, "symbol": "CCC"},
]

EXPECTED: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], Any, tuple[bool, ...]]] = {
    # Offers defend. In [01:00, 02:00) 300 are added at 01:05; 400 are taken at 01:20 and, as the offer rises, 100 at
    # 01:50. Shown after each row since there is an offer: 200, 500, 100, 100, 600: mean 300. Net (300 - 500) / 300; the
    # window before has no change. Ratio 300 / 500. Wall 600 / 300. Pressure (400 - 600) / 1000.
    # Trades: +200 -100 +100 of 400, before +100 -300 of 400; 3 and 2 trades; 5 in ten windows: half of one a window.
    # Tape pressure 1/2 x 3 / 3.5. Barrier (300 - 500) / 800. Net (3/7 - 1/5 + 1/4) / 3.
    "e1": (
        (F(-2, 3), F(3, 5), F(-2, 3), None, 2, F(-1, 5)),
        (F(1, 2), F(3, 60), 1, F(1, 60), 0, F(3, 7)),
        F(67, 420),
        (True, True, False, False),
    ),
    # Bids defend. A better bid of 400 is added at 01:30, none is taken. Shown: 300 four times, 400 twice: mean 1000/3.
    "e2": (
        (F(6, 5), None, F(6, 5), None, F(6, 5), F(1, 5)),
        (F(-1, 2), F(3, 60), -1, F(1, 60), 0, F(-3, 7)),
        F(-43, 105),  # (-3/7 + 1/5 - 400/400) / 3
        (True, True, False, False),
    ),
    # The first rows of a side change nothing. One offer shown, 200. Pressure (300 - 200) / 500. Two trades, both in the
    # window: two tenths of one a window; -1/2 x 2 / 2.2. Net (-5/11 + 1/5 - 0) / 3.
    "e3": (
        (0, None, 0, None, 1, F(1, 5)),
        (F(-1, 2), F(2, 60), None, F(2, 60), 0, F(-5, 11)),
        F(-14, 165),
        (True, True, False, False),
    ),
    # Nothing for ten minutes: the quotes are stale, the tape stands still.
    "e4": (NONE, (None, 0, None, 0, 0, None), None, (True, True, False, False)),
    # Before the first row of every feed.
    "e5": (NONE, NONE, None, (False, False, False, False)),
    # Three prices within 100 ms of each other, bought: a sweep upwards. 1 x 3 / 3.3.
    "e6": (NONE, (1, F(3, 60), None, F(3, 60), 1, F(10, 11)), None, (True, True, False, False)),
    # The same trades at a level that price comes down to.
    "e7": (NONE, (-1, F(3, 60), None, F(3, 60), 0, F(-10, 11)), None, (True, True, False, False)),
    # -500 +100 +100 +100 of 800; the suspicious, the late and the one at t1 do not count. -1/4 x 4 / 4.4.
    "e8": (
        NONE,
        (F(-1, 4), F(4, 60), None, F(4, 60), 0, F(-5, 22)),
        None,
        (True, True, False, False),
    ),
    # Bids defend: 60 taken, 100 added; shown 100, 40, 140, 140, 140: mean 112. Pressure (300 - 140) / 440. Trades -60
    # and +20, seen from above: 40 of 80; 1/2 x 2 / 2.2. Net (5/11 + 4/11 - 40/160) / 3.
    "e9": (
        (F(5, 14), F(5, 3), F(5, 14), None, F(5, 4), F(4, 11)),
        (F(1, 2), F(2, 60), None, F(2, 60), 0, F(5, 11)),
        F(25, 132),
        (True, False, True, False),
    ),
    "e10": (NONE, NONE, None, (False, False, False, True)),
}


@pytest.fixture(scope="module")
def events() -> dict[str, Row]:
    """The ten events, measured once."""
    return measured(built(market()), TOUCHES)


@pytest.mark.parametrize("event_id", list(EXPECTED))
def test_ten_events_have_the_values_of_paper(events: dict[str, Row], event_id: str) -> None:
    """Barrier, tape, their sum and the flags of coverage equal what was worked out by hand."""
    barrier, tape, net, flags = EXPECTED[event_id]
    row = events[event_id]
    for names, values in ((BARRIER, barrier), (TAPE, tape), (("net_break_pressure",), (net,))):
        for name, value in zip(names, values, strict=True):
            found = row[name]
            assert found == (None if value is None else pytest.approx(float(value), rel=1e-6)), name
    assert tuple(row[name] for name in FLAGS) == flags


def test_a_chain_gives_fuel(events: dict[str, Row]) -> None:
    """Gamma of Black and Scholes from the tables of the normal density, open interest in dollars for 1 %.

    Strike 100, a year, 20 %: d1 = (0 + 0.02) / 0.2 = 0.1, density 0.3969525, gamma 0.3969525 / 20 = 0.01984763.
    For 100 shares at 100 dollars and 1 % that is 198.4763 dollars a contract: calls 198,476.3, puts 79,390.5.
    Strike 120: d1 = (ln(100 / 120) + 0.02) / 0.2 = -0.8116078, density 0.2869946, 143.4973 a contract: 71,748.6.
    Volatility 0, a contract that ended with its session and the chain of this very session do not count.
    """
    row = events["e10"]
    near, gross, far = 198_476.3 - 79_390.5, 198_476.3 + 79_390.5, 71_748.6
    assert row["gamma_exposure"] == pytest.approx(near / 1e6, rel=1e-5)
    assert row["dealer_pressure"] == pytest.approx(-near / gross, rel=1e-5)
    assert row["dealer_pressure"] == pytest.approx(-3 / 7, rel=1e-5)
    assert row["gamma_pressure"] == pytest.approx(-(near + far) / (gross + far), rel=1e-5)
    assert row["reversion_pressure"] == pytest.approx(near / (gross + far), rel=1e-5)
    assert row["fuel_effect"] == -1


def test_families_without_data_are_null_and_flagged(events: dict[str, Row]) -> None:
    """No chain, no fuel: NULL in every column, never 0."""
    for event_id, row in events.items():
        if event_id != "e10":
            assert [row[name] for name in FUEL] == [None] * len(FUEL)
            assert not row["has_chain"]


@pytest.mark.parametrize("touch", TOUCHES, ids=[touch["event_id"] for touch in TOUCHES])
def test_nothing_from_t1_on_changes_a_feature(events: dict[str, Row], touch: Row) -> None:
    """Garbage from t1 on, in every feed and of every symbol, and a chain of that evening: the same row to the bit."""
    poisoned = market()
    clock = touch["t1"] - at("00:00")
    for rows in (poisoned.rows["trades"], poisoned.rows["quotes"], poisoned.rows["book"]):
        rows[:] = [row for row in rows if row["ts"] < touch["t1"]]
    for step in range(0, 900, 7):
        offset = clock + timedelta(seconds=step)
        shown = f"{int(offset.total_seconds() // 60):02d}:{offset.total_seconds() % 60:06.3f}"
        for symbol in ("AAA", "BBB", "CCC"):
            poisoned.trade(shown, 1.0 + step, 1e6, symbol)
            poisoned.bid(shown, 90.0 + step, 5e5, symbol)
            poisoned.ask(shown, 30.0 + step, 1.0, symbol)
            poisoned.message(shown, 4, (-1, 7.0, 9e5), (6.0, 1.0), (8.0, 9e5), symbol)
    poisoned.option(100.0, "put", 1e9, date=touch["t1"].date())
    assert measured(built(poisoned), [touch])[touch["event_id"]] == events[touch["event_id"]]


def test_the_order_of_events_and_threads_changes_nothing(events: dict[str, Row]) -> None:
    """Events in the other order, on one thread: the same rows to the bit."""
    assert measured(built(market(), threads=1), TOUCHES[::-1]) == events


def test_late_rows_were_no_part_of_the_decision(events: dict[str, Row]) -> None:
    """A trade and a quote that came an hour after their time change nothing."""
    late = market()
    known = at("01:45") + timedelta(hours=1)
    late.trade("01:45", 150.0, 1e6, known_at=known)
    late.ask("01:45", 100.05, 1e6, known_at=known)
    assert measured(built(late), TOUCHES[:2]) == {name: events[name] for name in ("e1", "e2")}


def test_a_correction_is_not_known_at_the_time(events: dict[str, Row]) -> None:
    """The first version of a row counts: a correction of yesterday's trade was known today."""
    corrected = market()
    first = corrected.rows["trades"][2]
    corrected.rows["trades"].append(first | {"price": 90.0, "size": 1e5, "known_at": at("01:10") + timedelta(days=1)})
    assert measured(built(corrected), TOUCHES[:1])["e1"] == events["e1"]


def test_windows_follow_their_settings() -> None:
    """A window of 120 seconds holds what the two of 60 did: five trades, 800 shares, none of them net."""
    con = built(market(), events_micro_seconds=120)
    row = measured(con, TOUCHES[:1], events_micro_seconds=120)["e1"]
    assert row["tape_velocity"] == pytest.approx(5 / 120)
    assert row["tape_imbalance"] == 0
    assert row["tape_imbalance_trend"] is None


def test_flags_of_conditions_can_be_words() -> None:
    """With events_condition_flags 0 a condition is a word, and its sale counts: 900 shares more are sold."""
    con = built(market(), events_condition_flags=0)
    row = measured(con, [TOUCHES[7]], events_condition_flags=0)["e8"]
    assert row["tape_velocity"] == pytest.approx(5 / 60)
    assert row["tape_imbalance"] == pytest.approx((-500 - 900 + 300) / 1700)


def test_a_tape_goes_before_a_book() -> None:
    """A symbol with consolidated quotes and a book reads the quotes, from their first row on, and else the book."""
    both = market()
    both.bid("01:50", 49.99, 10, "BBB")
    both.ask("01:50", 50.01, 30, "BBB")
    rows = measured(
        built(both),
        [
            {"event_id": name, "t1": at(clock), "direction_sign": 1, "symbol": "BBB"}
            for name, clock in (("before", "01:50"), ("after", "02:00"))
        ],
    )
    assert (rows["before"]["has_book"], rows["before"]["has_quotes"]) == (True, False)
    assert (rows["after"]["has_book"], rows["after"]["has_quotes"]) == (False, True)
    assert rows["before"]["liquidity_pressure"] == pytest.approx((140 - 300) / 440)
    assert rows["after"]["liquidity_pressure"] == pytest.approx((10 - 30) / 40)


def test_sides_of_trades() -> None:
    """Quote rule, tick rule, and a book that says it; nothing is known of the first trade at the middle."""
    one = Market()
    one.trade("00:01", 10.00, 1)
    one.trade("00:02", 10.00, 1)
    one.bid("00:03", 9.98, 1)
    one.ask("00:03", 10.02, 1)
    one.trade("00:03", 10.01, 1)  # the quote of its own instant is not the one before it: up from 10.00
    one.trade("00:04", 9.99, 1)
    one.trade("00:05", 10.00, 1)
    one.ask("00:06", 9.97, 1)  # crossed: no middle
    one.trade("00:07", 9.98, 1)
    con = built(one)
    found = con.execute("select side, side_from from slv_intraday_trades order by tick").fetchall()
    expected = [(0, None), (0, None), (1, "tick"), (-1, "quote"), (1, "tick"), (-1, "tick")]
    assert found == expected


def test_bars_are_made_from_trades_that_tell_a_price() -> None:
    """First, highest, lowest and last price; a suspicious or late sale is left out; the bar is known when it ends."""
    con = built(market())
    rows = con.execute(
        "select symbol, source, ts, open, high, low, close, volume, session_part, minute_of_session, known_at "
        "from slv_intraday_trade_bars where symbol = 'BBB' or ts in ($1, $2) order by symbol, ts",
        [at("01:00"), at("40:00")],
    ).fetchall()
    assert rows == [
        ("AAA", "trades", at("01:00"), 100.10, 100.10, 100.05, 100.06, 400.0, "regular", 1, at("02:00")),
        ("AAA", "trades", at("40:00"), 100.00, 100.22, 100.00, 100.22, 800.0, "regular", 40, at("41:00")),
        ("BBB", "book", at("01:00"), 50.00, 50.01, 50.00, 50.01, 80.0, "regular", 1, at("02:00")),
    ]


def test_bars_of_five_minutes() -> None:
    """The length of the bars follows events_bar_minutes."""
    con = built(market(), events_bar_minutes=5)
    rows = con.execute("select ts, close, volume, ends_at from slv_intraday_trade_bars where symbol = 'AAA'").fetchall()
    assert rows[0] == (at("00:00"), 100.06, 800.0, at("05:00"))


def test_strikes_of_a_session_come_from_the_chain_before() -> None:
    """Strikes within 5 % of the underlying, by gamma; the chain of the session itself serves the next one."""
    con = built(market())
    rows = con.execute(
        "select date, level_price, strike_rank, open_interest, chain_date from slv_event_strikes order by 1, 3"
    ).fetchall()
    assert rows == [
        (date(2024, 1, 3), 100.0, 1, 1400, date(2024, 1, 2)),
        (date(2024, 1, 4), 100.0, 1, 50_000, date(2024, 1, 3)),
    ]
    known = con.execute(
        "select min(known_at), max(known_at) from slv_event_strikes where date = $1", [date(2024, 1, 3)]
    )
    assert known.fetchall() == [(datetime(2024, 1, 2, 21, 15), datetime(2024, 1, 2, 21, 15))]


def test_a_chain_that_came_too_late_serves_no_session() -> None:
    """A chain that was known only after the opening is not the chain of that session."""
    one = Market()
    one.option(100.0, "call", 10, known_at=at("00:01"))
    rows = built(one).execute("select date from slv_option_strikes").fetchall()
    assert rows == [(date(2024, 1, 4),)]


def test_gamma_has_the_size_that_the_formula_says() -> None:
    """A strike whose d1 is 0: the density is 1 / sqrt(2 pi), so gamma is 0.3989423 / (price x volatility x sqrt(t))."""
    one = Market()
    strike = 100 * math.exp(0.5 * 0.04)
    one.option(strike, "call", 100)
    (row,) = built(one).execute("select distinct call_gamma_cents from slv_option_strikes").fetchall()
    # 0.3989423 / 20 x 100 contracts x 100 shares x 10,000 x 1 %
    assert float(row[0]) / 100 == pytest.approx(19_947.11, abs=0.01)
