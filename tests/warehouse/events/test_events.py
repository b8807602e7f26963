"""Events, features and labels against a slow oracle, and what may not change them."""

import random
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.oracles.events import Bar, find_events
from tests.warehouse.events.project import built, calendar, landed, rows_of, walk

WINDOWS = {"": 8, "_2min": 2, "_4min": 4, "_8min": 8, "_10min": 10, "_20min": 20, "_40min": 40}
HORIZONS = [60, 120, 300, 600]
SESSIONS = calendar(7, early=(3,))


def windows(minutes: int) -> dict[str, int]:
    """Return the windows of the project's settings in seconds, the outcome's being eight bars."""
    return {suffix: 60 * (8 * minutes if suffix == "" else n) for suffix, n in WINDOWS.items()}


def told(con: duckdb.DuckDBPyConnection) -> dict[tuple[datetime, str, float, int], dict[str, Any]]:
    """Return the events of one symbol by what they are, features and labels together."""
    rows = rows_of(
        con,
        "select touches.t1, touches.level_kind_name as kind, touches.level_price as price, "
        "touches.direction_sign as sign, features.*, labels.* exclude (event_id, symbol, ts_ns, date) "
        "from slv_event_touches as touches join gld_events_features as features using (event_id) "
        "join gld_events_labels as labels using (event_id)",
    )
    return {(row["t1"], row["kind"], round(row["price"], 6), row["sign"]): row for row in rows}


def split(bars: list[Bar], day: Any, ratio: float) -> list[Bar]:
    """Return ``bars`` with every price from ``day`` on divided by ``ratio``, to whole cents."""

    def cut(price: float) -> float:
        return round(price / ratio * 100) / 100

    return [
        bar
        if bar.start.date() < day
        else Bar(bar.start, cut(bar.open), cut(bar.high), cut(bar.low), cut(bar.close), bar.volume)
        for bar in bars
    ]


@pytest.mark.parametrize("minutes, seed, price", [(1, 1, 50.0), (1, 2, 9.5), (5, 3, 120.0), (1, 4, 199.0)], ids=str)
def test_events_features_and_labels_are_those_of_the_oracle(minutes: int, seed: int, price: float) -> None:
    """Every touch, feature and label, with holes, an early close, a session without bars and a split."""
    sessions = calendar(14, early=(3,)) if minutes == 5 else SESSIONS
    absent = sessions[4].day
    bars = [bar for bar in walk(sessions, seed, minutes=minutes, price=price) if bar.start.date() != absent]
    if seed == 4:
        bars = split(bars, sessions[5].day, 2.0)
    con = built(landed("AAA", bars, sessions, minutes), sessions, events_bar_minutes=minutes)
    found = told(con)
    expected = {event.key: event for event in find_events(bars, sessions, minutes, windows(minutes), HORIZONS)}
    assert len(expected) > 100
    assert set(found) == set(expected)
    for key, event in expected.items():
        for name, value in {**event.features, **event.labels}.items():
            got = found[key][name]
            if value is None or isinstance(value, str):
                assert got == value, (key, name)
            else:
                assert got == pytest.approx(value, rel=2e-5, abs=2e-5), (key, name)
    kinds = {key[1] for key in found}
    assert {"ORH", "ORL", "PDC", "SMA_200"} <= kinds
    if seed == 1:
        assert kinds == {"PMH", "PML", "ORH", "ORL", "PDH", "PDL", "PDC", "SMA_200", "SMA_400", "ROUND"}


def hashes(con: duckdb.DuckDBPyConnection, table: str, where: str = "true") -> list[tuple[Any, ...]]:
    """Return every row of a table as text, in order."""
    return con.execute(f"select cast(t as varchar) from {table} as t where {where} order by 1").fetchall()


@pytest.mark.parametrize("seed", range(2))
def test_garbage_after_t1_changes_no_feature_and_no_settled_label(seed: int) -> None:
    """Whatever follows an instant, events until then and labels settled by then stay as they were."""
    bars = walk(SESSIONS, 10 + seed)
    chosen = random.Random(seed)
    whole = built(landed("AAA", bars, SESSIONS), SESSIONS)
    t1s = [row["t1"] for row in rows_of(whole, "select t1 from slv_event_touches order by t1")]
    for cut in chosen.sample(t1s, 3):
        noise = [
            bar
            if bar.start + timedelta(minutes=1) <= cut
            else Bar(bar.start, 1.0 + chosen.random(), 900.0, 0.5, 400 * chosen.random() + 1, 1e6 * chosen.random())
            for bar in bars
            if bar.start + timedelta(minutes=1) <= cut or chosen.random() < 0.7
        ]
        poisoned = built(landed("AAA", noise, SESSIONS), SESSIONS)
        until = f"ts_ns <= epoch_ns(timestamp '{cut}')"
        settled = f"resolved_at <= timestamp '{cut}'"
        before = hashes(whole, "gld_events_features", until)
        assert before
        assert hashes(poisoned, "gld_events_features", until) == before
        labels = hashes(whole, "gld_events_labels", settled)
        assert hashes(poisoned, "gld_events_labels", settled) == labels
        assert hashes(poisoned, "gld_events_labels") != hashes(whole, "gld_events_labels")


def test_the_order_of_rows_and_threads_and_other_symbols_change_nothing() -> None:
    """Rows in any order, one thread or four, alone or in company: the same tables."""
    bars = walk(SESSIONS, 21)
    rows = landed("AAA", bars, SESSIONS)
    company = landed("BBB", walk(SESSIONS, 22, price=300.0), SESSIONS)
    first = built(rows, SESSIONS, threads=1)
    shuffled = [*rows, *company]
    random.Random(3).shuffle(shuffled)
    second = built(shuffled, SESSIONS, threads=4)
    for table in ("gld_events_features", "gld_events_labels", "gld_events_targets"):
        assert hashes(second, table, "symbol = 'AAA'") == hashes(first, table), table


def test_an_earlier_beginning_of_history_changes_no_event_after_the_warm_up() -> None:
    """Four sessions more before the first: events three sessions later keep every bit."""
    sessions = calendar(10)
    bars = walk(sessions, 31)
    later = [bar for bar in bars if bar.start >= sessions[4].open_at - timedelta(hours=1)]
    whole = built(landed("AAA", bars, sessions), sessions)
    short = built(landed("AAA", later, sessions), sessions)
    until = f"date >= date '{sessions[8].day}'"
    assert hashes(short, "gld_events_features", until) == hashes(whole, "gld_events_features", until)
    assert hashes(short, "gld_events_features", until)


def test_a_correction_and_a_late_bar_are_seen_by_no_event() -> None:
    """The version that was there when the bar ended counts; what came an hour later was in no decision."""
    bars = walk(SESSIONS, 41, missing=0.0)
    rows = landed("AAA", bars, SESSIONS)
    plain = built(rows, SESSIONS)
    at = next(i for i, row in enumerate(rows) if row["ts"] == SESSIONS[2].open_at + timedelta(minutes=60))
    wrong = {**rows[at], "high": rows[at]["high"] + 40.0, "line": 10**6}
    wrong["known_at"] = wrong["ingested_at"] = rows[at]["known_at"] + timedelta(hours=5)
    assert hashes(built([*rows, wrong], SESSIONS), "gld_events_features") == hashes(plain, "gld_events_features")
    late = {**rows[at], "known_at": rows[at]["known_at"] + timedelta(hours=5)}
    without = built([row for i, row in enumerate(rows) if i != at], SESSIONS)
    came_late = built([late if i == at else row for i, row in enumerate(rows)], SESSIONS)
    assert hashes(came_late, "gld_events_features") == hashes(without, "gld_events_features")


def test_a_target_that_is_an_event_has_the_event_s_features() -> None:
    """What the viewport scores and what the models learn from come from one definition."""
    bars = walk(SESSIONS, 51)
    day = SESSIONS[-1].day
    strikes = [("AAA", session.day, price) for session in SESSIONS for price in np.arange(30, 80, 0.25).tolist()]
    con = built(landed("AAA", bars, SESSIONS), SESSIONS, strikes=strikes)
    features = rows_of(con, f"select * from gld_events_features where date = date '{day}'")
    targets = rows_of(con, "select * from gld_events_targets")
    by_key = {(row["ts_ns"], row["level_kind_name"], row["level_price"]): row for row in targets}
    assert features
    assert any(row["level_kind_name"] == "STRIKE" for row in features)
    for row in features:
        target = by_key[row["ts_ns"], row["level_kind_name"], row["level_price"]]
        shared = set(row) & set(target) - {"known_at"}
        assert {name: target[name] for name in shared} == {name: row[name] for name in shared}
    assert {row["date"] for row in targets} == {day}


def test_a_training_row_is_a_head_of_an_event_whose_label_is_known() -> None:
    """Direction has rows only where a side was first; levels at one price share a weight of one."""
    con = built(landed("AAA", walk(SESSIONS, 61), SESSIONS), SESSIONS)
    rows = rows_of(con, "select * from gld_events_training")
    labels = {row["event_id"]: row for row in rows_of(con, "select * from gld_events_labels")}
    assert {row["label"] for row in rows} >= {"tradeable_2", "direction", "strength", "t1_60s", "t2_bounce_600s"}
    for row in rows:
        label = labels[row["event_id"]]
        assert row["label_end_date"] == row["date"]
        if row["label"] == "direction":
            assert row["value"] == {"BREAK": 1.0, "BOUNCE": 0.0}[label["outcome"]]
        if row["label"] == "t1_break_120s":
            assert row["value"] == label["t1_break_120"]
    shared = con.execute(
        "select sum(uniqueness_weight) from gld_events_training where label = 'tradeable_2' and label is not null "
        "group by symbol, known_at having count(*) = (select count(*) from gld_events_features as f "
        "where epoch_ns(any_value(gld_events_training.known_at)) = f.ts_ns)"
    ).fetchall()
    assert shared
    assert all(total == pytest.approx(1.0) for (total,) in shared)


def test_a_session_that_loses_its_bars_is_not_green() -> None:
    """Two of three symbols have a quarter of the bars that they use to have: the session is RED."""
    rows = []
    for number, symbol in enumerate(("AAA", "BBB", "CCC")):
        bars = walk(SESSIONS, 70 + number)
        if symbol != "AAA":
            bars = [
                b
                for b in bars
                if b.start.date() != SESSIONS[5].day or b.start < SESSIONS[5].open_at + timedelta(hours=1)
            ]
        rows += landed(symbol, bars, SESSIONS)
    con = built(rows, SESSIONS)
    grades = {row["date"]: row for row in rows_of(con, "select * from slv_event_coverage")}
    assert grades[SESSIONS[5].day]["status"] == "RED"
    assert grades[SESSIONS[5].day]["present"] == 1
    assert grades[SESSIONS[4].day]["status"] == "GREEN"
