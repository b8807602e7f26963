"""The files of simulated bars: what is in them, and that they agree."""

import csv
import json
from datetime import date
from pathlib import Path

import duckdb
import pytest

from trademl.errors import ConfigError
from trademl.warehouse.simulate.intraday import IntradaySimulation
from trademl.warehouse.simulate.intraday_files import (
    BARS,
    FILES,
    TRUTH,
    TRUTH_TABLE,
    IntradayReport,
    simulate_intraday,
    trading_sessions,
)

CONFIG = IntradaySimulation(symbols=5, sessions=4, start=date(2024, 11, 26), seed=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("intraday")


@pytest.fixture(scope="module")
def done(folder: Path) -> IntradayReport:
    return simulate_intraday(CONFIG, folder)


def test_sessions_are_those_of_the_exchange() -> None:
    """Thanksgiving 2024 has no bars, and the Friday after closes at 13:00: 210 minutes."""
    sessions = trading_sessions(CONFIG)
    assert [str(one.day) for one in sessions] == ["2024-11-26", "2024-11-27", "2024-11-29", "2024-12-02"]
    assert [one.bars for one in sessions] == [390, 390, 210, 390]
    assert str(sessions[0].open_at) == "2024-11-26T09:30:00"


def test_bars_are_a_table_in_local_time(done: IntradayReport, folder: Path) -> None:
    """One row per symbol and minute from 08:30 to the close, in New York time."""
    with duckdb.connect() as con:
        path = str(folder / BARS)
        rows = con.execute(
            "select cast(ts as date) as day, min(ts), max(ts), count(*), count(distinct symbol) from read_parquet(?) "
            "group by 1 order by 1",
            [path],
        ).fetchall()
        twice = con.execute("select count(*) - count(distinct (symbol, ts)) from read_parquet(?)", [path]).fetchall()
    assert [(str(first), str(last)) for _, first, last, _, _ in rows][2] == (
        "2024-11-29 08:30:00",
        "2024-11-29 12:59:00",
    )
    assert [count for *_, count, _ in rows] == [5 * 450, 5 * 450, 5 * 270, 5 * 450]
    assert sum(count for *_, count, _ in rows) == done.rows
    assert twice == [(0,)]


def test_the_truth_agrees_with_the_touches(done: IntradayReport, folder: Path) -> None:
    """truth.json repeats parameters and counts; truth.csv has a row a touch, and the bar of a touch closes near it."""
    truth = json.loads((folder / TRUTH).read_text())
    with (folder / TRUTH_TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert truth["parameters"] == CONFIG.model_dump(mode="json")
    assert truth["touches"] == len(rows) == done.touches > 30
    assert sum(truth["touches_by_kind"].values()) == len(rows)
    assert {row["direction"] for row in rows} == {"UP", "DOWN"}
    with duckdb.connect() as con:
        missed = con.execute(
            "select count(*) from read_csv(?) t left join read_parquet(?) b on b.symbol = t.symbol "
            "and b.ts = t.touched_at where b.low is null or abs(b.close - t.level_price) > 0.5 * t.atr + 1e-5",
            [str(folder / TRUTH_TABLE), str(folder / BARS)],
        ).fetchall()
    assert missed == [(0,)]


def test_the_same_configuration_gives_the_same_bytes(done: IntradayReport, folder: Path, tmp_path: Path) -> None:
    """A second folder, and the same folder written again, hold the same bytes."""
    assert done.folder == folder
    for _ in range(2):
        simulate_intraday(CONFIG, tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    """A folder with anything else, or a file in its place, is refused."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        simulate_intraday(CONFIG, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        simulate_intraday(CONFIG, tmp_path / "notes.txt")


def test_an_unknown_calendar_is_refused(tmp_path: Path) -> None:
    """The message names the calendar."""
    with pytest.raises(ConfigError, match="XNIX"):
        simulate_intraday(IntradaySimulation(calendar="XNIX"), tmp_path)
