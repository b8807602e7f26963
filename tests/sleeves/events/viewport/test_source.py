"""Bars and targets of a snapshot: which bar a moment has, and that it is never a later one."""

from datetime import date, datetime, timedelta

import duckdb
import pytest

from tests.sleeves.events.viewport_doubles import BAR_END, CLOSE, DAY, OPEN, moment, target, warehouse
from trademl.errors import DataGateError, SnapshotError
from trademl.sleeves.events.viewport.source import ViewportSource

MINUTE = timedelta(minutes=1)
BARS = [("SPY", BAR_END - MINUTE), ("SPY", BAR_END), ("SPY", BAR_END + MINUTE), ("QQQ", BAR_END)]


def source() -> ViewportSource:
    """Three bars of SPY, levels near the second one only; one bar of QQQ."""
    rows = [target("PDH"), target("ORH", price=100.75), target("PDH", symbol="QQQ", level_id="QQQ PDH")]
    with warehouse(rows, BARS) as con:
        return ViewportSource(con, 7)


def test_a_moments_bar_is_the_last_that_had_ended() -> None:
    """One second before a bar ends it is not known; when it ends it is."""
    found = source()
    assert found.moment("SPY", BAR_END).bar_end == BAR_END
    before = found.moment("SPY", BAR_END - timedelta(seconds=1))
    assert before.bar_end == BAR_END - MINUTE
    assert (before.date, before.open_at, before.close_at) == (DAY, OPEN, CLOSE)
    assert found.moment("SPY").bar_end == BAR_END + MINUTE
    assert found.moment("SPY").at == BAR_END + MINUTE


def test_targets_are_of_the_bar_alone() -> None:
    """A bar without a level near has no targets, although the bar before had some; nor has it others' levels."""
    found = source()
    assert found.targets(found.moment("SPY", BAR_END)).column("level_id").to_pylist() == ["SPY ORH", "SPY PDH"]
    assert found.targets(found.moment("SPY")).num_rows == 0
    assert found.targets(moment(symbol="QQQ")).column("level_id").to_pylist() == ["QQQ PDH"]


def test_sessions_and_bars_are_listed() -> None:
    """What can be scored, and the bars of a session after an instant."""
    found = source()
    assert [(one["symbol"], one["bars"]) for one in found.sessions()] == [("QQQ", 1), ("SPY", 3)]
    assert found.bar_ends("SPY", DAY) == [BAR_END - MINUTE, BAR_END, BAR_END + MINUTE]
    assert found.bar_ends("SPY", DAY, BAR_END) == [BAR_END + MINUTE]
    assert found.seq == 7


def test_what_is_not_there_is_said() -> None:
    """An unknown symbol names the known ones; a moment before the first bar names the sessions."""
    found = source()
    with pytest.raises(DataGateError) as refused:
        found.moment("TSLA")
    assert "QQQ, SPY" in refused.value.remedy
    with pytest.raises(DataGateError, match="no bar of SPY"):
        found.moment("SPY", datetime(2025, 12, 30))
    with pytest.raises(DataGateError, match="no bar of SPY"):
        found.bar_ends("SPY", date(2025, 12, 30))
    with pytest.raises(DataGateError, match="no targets of"):
        found.moment("'; drop table bars; --")


def test_a_snapshot_without_events_is_refused() -> None:
    """Neither an empty table nor a missing one gives viewports."""
    with warehouse([], BARS) as con, pytest.raises(DataGateError, match="is empty"):
        ViewportSource(con)
    with duckdb.connect(":memory:") as con, pytest.raises(SnapshotError, match="cannot give viewports"):
        ViewportSource(con)
