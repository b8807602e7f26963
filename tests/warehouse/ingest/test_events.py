"""External events: what they must have, what they may lack, and each reason to quarantine one."""

from datetime import date, datetime

import pytest

from tests.warehouse.ingest.desk import Desk

HEADER = (
    "event_id,symbol,ts_ns,date,level_kind_name,level_price,direction,distance,barrier_delta_liq,sweep_detected,"
    "outcome,strength_signed,tradeable_2,t1_60,time_to_break_1"
)
T1 = 1_733_150_400_000_000_000
"""2024-12-02 14:40 UTC, ten minutes after the open in New York."""


def event(name: str = "a", **given: str) -> str:
    """Return a good line with some values replaced."""
    values = {
        "event_id": name,
        "symbol": "SPY",
        "ts_ns": str(T1),
        "date": "2024-12-02",
        "level_kind_name": "PDH",
        "level_price": "602.5",
        "direction": "UP",
        "distance": "0.25",
        "barrier_delta_liq": "-120",
        "sweep_detected": "true",
        "outcome": "BREAK",
        "strength_signed": "2.5",
        "tradeable_2": "1",
        "t1_60": "0",
        "time_to_break_1": "90",
    }
    return ",".join((values | given)[column] for column in HEADER.split(","))


def test_an_event_lands_with_what_it_has(desk: Desk) -> None:
    """Given columns land typed, absent ones are NULL, and the event is known at t1."""
    report = desk.ingest(desk.write("events.csv", event(), header=HEADER), dataset="events")
    assert report.by_reason == {}
    assert desk.rows(
        "select event_id, symbol, date, ts_ns, level_price, direction, barrier_delta_liq, sweep_detected, outcome, "
        "t1_60, gamma_exposure, known_at from landed",
        "events",
    ) == [
        ("a", "SPY", date(2024, 12, 2), T1, 602.5, "UP", -120.0, 1.0, "BREAK", 0.0, None, datetime(2024, 12, 2, 14, 40))
    ]


def test_empty_measures_and_labels_are_null(desk: Desk) -> None:
    """A measure that could not be made and a label that is not resolved are empty, and the event still lands."""
    blank = event(barrier_delta_liq="", sweep_detected="nan", outcome="", strength_signed="", tradeable_2="NULL")
    report = desk.ingest(desk.write("events.csv", blank, header=HEADER), dataset="events")
    assert report.landed == 1
    assert desk.rows("select barrier_delta_liq, sweep_detected, outcome, tradeable_2 from landed", "events") == [
        (None, None, None, None)
    ]


@pytest.mark.parametrize(
    "given, reason",
    [
        ({"event_id": ""}, "missing_value"),
        ({"distance": ""}, "missing_value"),
        ({"event_id": "two words"}, "bad_event_id"),
        ({"symbol": "A B"}, "bad_symbol"),
        ({"ts_ns": "yesterday"}, "bad_time"),
        ({"ts_ns": "-5"}, "bad_time"),
        ({"date": "02.12.2024"}, "bad_date"),
        ({"date": "2024-12-03"}, "not_a_session"),
        ({"ts_ns": str(T1 - 2 * 86_400_000_000_000), "date": "2024-11-30"}, "not_a_session"),
        ({"ts_ns": "1795186800000000000", "date": "2026-11-20"}, "future_date"),
        ({"level_kind_name": "VWAP"}, "bad_level_kind"),
        ({"direction": "SIDEWAYS"}, "bad_direction"),
        ({"level_price": "0"}, "nonpositive_price"),
        ({"distance": "-0.1"}, "negative_value"),
        ({"time_to_break_1": "-1"}, "negative_value"),
        ({"outcome": "MAYBE"}, "bad_outcome"),
        ({"tradeable_2": "0.5"}, "bad_flag"),
        ({"barrier_delta_liq": "inf"}, "wrong_type"),
        ({"barrier_delta_liq": "1e300"}, "too_large"),
    ],
)
def test_a_bad_event_is_kept_aside_with_its_reason(desk: Desk, given: dict[str, str], reason: str) -> None:
    """The good event beside it lands; the bad one is in the quarantine, whole."""
    path = desk.write("events.csv", event("good"), event(**given), header=HEADER)
    report = desk.ingest(path, dataset="events")
    assert (report.landed, report.by_reason) == (1, {reason: 1})
    assert desk.quarantine(dataset="events") == [(3, reason)]


def test_an_event_that_changes_is_a_correction(desk: Desk) -> None:
    """The same event again is a duplicate; with other labels it is a later version, known when it came."""
    desk.ingest(desk.write("first.csv", event(), header=HEADER), dataset="events")
    again = desk.ingest(desk.write("second.csv", event(), header=HEADER), dataset="events")
    assert (again.landed, again.duplicates) == (0, 1)
    changed = desk.ingest(desk.write("third.csv", event(outcome="BOUNCE"), header=HEADER), dataset="events")
    assert changed.corrections == 1
    versions = desk.rows("select outcome, known_at from landed order by known_at", "events")
    assert [outcome for outcome, _ in versions] == ["BREAK", "BOUNCE"]
    assert versions[1][1] > versions[0][1]


def test_a_dataset_without_identity_is_refused(desk: Desk) -> None:
    """A file without a column for the level lands nothing, and says what it lacks."""
    report = desk.ingest(desk.write("events.csv", "a,SPY", header="event_id,symbol"), dataset="events")
    assert report.landed == 0
    assert "level_kind_name" in str(report.refused[0].detail)
