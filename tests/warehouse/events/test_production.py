"""gold.events_production reads the version that the last crowning decision names, and nothing before there is one."""

from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import yaml

from tests.warehouse.macro_rendering import PROJECT, MacroError, Macros

MODEL = PROJECT / "models" / "gold" / "events" / "gld_events_production"
DECISIONS = "(sequence bigint, sleeve varchar, bar varchar, verdict varchar, run_id varchar, recorded_at timestamp)"


class Lake:
    """A folder with versions, and a database with decisions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.con = duckdb.connect()
        self.con.execute(f"create table promotions {DECISIONS}")
        self.sequence = 0

    def decide(self, version: str, verdict: str = "promoted", *, sleeve: str = "events.features") -> None:
        """Record a decision with one bar."""
        self.sequence += 1
        for bar, said in (("decision", verdict), ("files", "pass")):
            self.con.execute(
                "insert into promotions values (?, ?, ?, ?, ?, ?)",
                [self.sequence, sleeve, bar, said, version, datetime(2025, 1, self.sequence)],
            )

    def version(self, name: str, select: str) -> None:
        """Write a version of one session."""
        folder = self.root / "silver" / "features" / name / "date=2025-09-15"
        folder.mkdir(parents=True)
        self.con.execute(f"copy ({select}) to '{folder / 'events.parquet'}' (format parquet)")

    def built(self, as_known_at: str = "") -> list[dict[str, Any]]:
        """Return the model's rows."""
        columns = yaml.safe_load(MODEL.with_suffix(".yml").read_text())["models"][0]["columns"]
        declared = {
            column["name"]: SimpleNamespace(
                name=column["name"], data_type=column["data_type"].replace("string", "varchar")
            )
            for column in columns
        }

        def run_query(sql: str) -> SimpleNamespace:
            rows = self.con.execute(sql).fetchall()
            width = len(rows[0]) if rows else 1
            return SimpleNamespace(
                columns=[SimpleNamespace(values=lambda at=at: [row[at] for row in rows]) for at in range(width)]
            )

        macros = Macros(
            variables={"as_known_at": as_known_at},
            overrides={
                "execute": True,
                "config": lambda **_: "",
                "run_query": run_query,
                "landed_batches": lambda _schema, name: name,
                "lake_path": lambda: str(self.root),
                "model": SimpleNamespace(columns=declared),
            },
        )
        result = self.con.execute(macros.render(MODEL.with_suffix(".sql").read_text()))
        names = [column[0] for column in result.description or ()]
        assert names == list(declared)
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two versions of one event each, the second without the distance and with another time."""
    made = Lake(tmp_path)
    shared = "'e1' as event_id, 'SPY' as symbol, date '2025-09-15' as date, 'BREAK' as outcome"
    made.version("v1.0_a", f"select {shared}, 5::bigint as ts_ns, 0.25::float as distance")
    made.version("v2.0_b", f"select {shared}, 6::bigint as ts_ns, 1.5::float as atr")
    return made


def test_before_the_first_decision_it_is_empty(lake: Lake) -> None:
    """Every declared column is there, with its type, and no row."""
    assert lake.built() == []


def test_it_has_the_curated_version_with_null_for_what_it_lacks(lake: Lake) -> None:
    """The columns of the version, the version's name, and NULL where it has no such column."""
    lake.decide("v2.0_b")
    (row,) = lake.built()
    assert (row["version"], row["event_id"], row["ts_ns"], row["atr"]) == ("v2.0_b", "e1", 6, 1.5)
    assert (row["date"], row["outcome"], row["distance"]) == (date(2025, 9, 15), "BREAK", None)


def test_refusals_and_other_lines_change_nothing(lake: Lake) -> None:
    """Only decisions of the line events.features that crown a version count; the last of them wins."""
    lake.decide("v1.0_a")
    lake.decide("v2.0_b", "refused")
    lake.decide("v2.0_b", sleeve="events")
    assert lake.built()[0]["version"] == "v1.0_a"
    lake.decide("v2.0_b", "overridden")
    assert lake.built()[0]["version"] == "v2.0_b"
    lake.decide("v1.0_a", "rolled_back")
    assert lake.built()[0]["version"] == "v1.0_a"


def test_the_past_sees_the_version_of_its_time(lake: Lake) -> None:
    """A warehouse as known at an instant reads what was production then."""
    lake.decide("v1.0_a")
    lake.decide("v2.0_b")
    assert lake.built("2025-01-01T12:00:00")[0]["version"] == "v1.0_a"


def test_a_curated_version_without_files_stops_the_build(lake: Lake) -> None:
    """The message names the files and the way back; an empty table would look like no events."""
    lake.decide("v3.0_gone")
    with pytest.raises(MacroError, match="has no files"):
        lake.built()
