"""The desk: answers kept, new snapshots taken, followed bars recorded."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.sleeves.events.viewport_doubles import BAR_END, DAY, FixedStage, models, moment, publish, target, warehouse
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.sleeves.events.service.desk import Desk, open_desk
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.sleeves.events.viewport.source import ViewportSource

MINUTE = timedelta(minutes=1)


def desk(home: Home, stage: FixedStage | None = None, **over: object) -> Desk:
    """A desk over two bars of SPY, with levels near the second."""
    with warehouse([target("PDH"), target("ORH", price=100.75)], [("SPY", BAR_END - MINUTE), ("SPY", BAR_END)]) as con:
        source = ViewportSource(con, 1)
    stages = {"stage_a": stage or FixedStage()}
    found = Desk(home, ViewportConfig(), models(stages=stages), source, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    for name, value in over.items():
        setattr(found, name, value)
    return found


@pytest.fixture
def where(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path)


def test_an_answer_is_computed_once(where: Home) -> None:
    """The same question of the same snapshot asks the models once; another pin is another question."""
    stage = FixedStage()
    found = desk(where, stage)
    first = found.document("SPY")
    assert found.document("SPY") == first
    assert stage.asked == found.scored == 1
    assert found.document("SPY", pinned=("SPY PDH",))["viewport"]["targets"][0]["pinned"]
    assert stage.asked == 2
    assert first["snapshot"] == 1


def test_the_oldest_answers_are_let_go(where: Home) -> None:
    """With room for one, two questions in turn are computed each time."""
    stage = FixedStage()
    found = desk(where, stage, kept_answers=1)
    for _ in range(2):
        found.document("SPY", neighbors=0)
        found.document("SPY", neighbors=1)
    assert stage.asked == 4


def test_new_bars_are_those_after_the_last_seen(where: Home) -> None:
    """A follower gets the last bar first, then what is newer; nothing when nothing is."""
    found = desk(where)
    assert found.new_bars("SPY", None) == [BAR_END]
    assert found.new_bars("SPY", BAR_END - MINUTE) == [BAR_END]
    assert found.new_bars("SPY", BAR_END) == []
    assert found.bar_ends("SPY", DAY) == [BAR_END - MINUTE, BAR_END]


def test_followed_bars_are_recorded_once_where_asked(where: Home) -> None:
    """Two targets and two horizons: four rows in one batch, however many follow; none unless the desk records."""
    quiet, noted = desk(where), desk(where, record=True)
    quiet.followed("SPY", BAR_END)
    assert layout_of(where).batch_files("preds.events") == []
    for _ in range(3):
        noted.followed("SPY", BAR_END)
    assert len(layout_of(where).batch_files("preds.events")) == 1


def test_health_says_what_is_in_use(where: Home) -> None:
    """Snapshot, models, and how much was computed."""
    found = desk(where)
    found.document("SPY")
    state = found.health()
    assert (state["status"], state["snapshot"], state["model_id"], state["scored"]) == ("ok", 1, "viewport-doubles", 1)
    assert found.sessions() == [
        {
            "symbol": "SPY",
            "date": "2025-12-31",
            "bars": 2,
            "first_bar_end": "2025-12-31T14:59:00",
            "last_bar_end": "2025-12-31T15:00:00",
        }
    ]


def test_a_new_snapshot_is_taken_into_use(home: Home) -> None:
    """A build that brings one more bar: the desk reads it, forgets old answers, and followers get the bar."""
    rows = [target("PDH"), target("PDH", ts_ns=moment(bar_end=BAR_END + MINUTE).ts_ns)]
    publish(home, rows[:1], [("SPY", BAR_END)])
    found = open_desk(home, ViewportConfig(), models(stages={"stage_a": FixedStage()}))
    first = found.document("SPY")
    publish(home, rows, [("SPY", BAR_END), ("SPY", BAR_END + MINUTE)])
    assert found.refresh()
    assert not found.refresh()
    assert found.new_bars("SPY", BAR_END) == [BAR_END + MINUTE]
    second = found.document("SPY")
    assert second["snapshot"] > first["snapshot"]
    assert second["ts_ns"] == first["ts_ns"] + 60 * 10**9


def test_a_snapshot_that_cannot_be_read_leaves_the_old_one_in_use(where: Home) -> None:
    """CURRENT names a manifest that is not there: health says so, and answers go on."""
    found = desk(where)
    assert not found.refresh()
    layout = layout_of(where)
    layout.current.parent.mkdir(parents=True, exist_ok=True)
    layout.current.write_text("7\n")
    assert not found.refresh()
    assert found.health()["status"] == "stale"
    assert found.document("SPY")["snapshot"] == 1
