"""silver.event_external: the first version of each external event, in the columns of the computed ones."""

from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from tests.warehouse.events.project import declared, rendered, rows_of
from trademl.schema import EVENT_LABELS

T1 = datetime(2024, 12, 2, 20, 30)
CLOSE = datetime(2024, 12, 2, 21)


def external(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the model makes of these landed versions."""
    with duckdb.connect() as con:
        con.execute(f"create table brz_events__external ({', '.join(declared('brz_events__external'))})")
        con.execute("create table slv_calendar as select date '2024-12-02' as date, ? as close_at", [CLOSE])
        for row in rows:
            given = {
                "event_id": "a",
                "symbol": "SPY",
                "source": "vendor",
                "level_kind_name": "PDH",
                "direction": "UP",
                "level_price": 602.5,
                "distance": 0.25,
                "ts_ns": int(T1.replace(tzinfo=UTC).timestamp()) * 10**9,
                "date": date(2024, 12, 2),
                "known_at": T1,
                "ingested_at": datetime(2025, 1, 1),
                "line": 2,
            } | row
            names = ", ".join(f'"{name}"' for name in given)
            marks = ", ".join("?" for _ in given)
            con.execute(f"insert into brz_events__external ({names}) values ({marks})", list(given.values()))
        con.execute(f"create table built as {rendered('slv_event_external')}")
        assert [name for name, *_ in con.execute("describe built").fetchall()] == [
            name.split('"')[1] for name in declared("slv_event_external")
        ]
        return rows_of(con, "select * from built order by event_id")


def test_the_first_version_counts() -> None:
    """What was known later changes nothing of the past, whatever landed first."""
    rows = external(
        {"outcome": "BOUNCE", "known_at": datetime(2025, 1, 2)},
        {"outcome": "BREAK", "ingested_at": datetime(2025, 1, 3)},
        {"event_id": "b", "outcome": None},
    )
    assert [(row["event_id"], row["outcome"]) for row in rows] == [("a", "BREAK"), ("b", None)]


def test_the_kind_is_encoded_and_coverage_follows_the_values() -> None:
    """One of the level_kind_ columns is 1; has_ says which families the dataset measured."""
    (row,) = external({"level_kind_name": "SMA_200", "barrier_delta_liq": -5.0, "gamma_exposure": 2.0})
    kinds = {name: value for name, value in row.items() if name.startswith("level_kind_") and name != "level_kind_name"}
    assert kinds.pop("level_kind_sma_200") == 1.0
    assert set(kinds.values()) == {0.0}
    assert [row[name] for name in ("has_trades", "has_quotes", "has_book", "has_chain")] == [False, False, True, True]


def test_labels_are_known_after_the_session_and_the_longest_window() -> None:
    """At 15:30 in New York the longest window, 40 minutes, ends after the close; in the morning the close counts."""
    morning = datetime(2024, 12, 2, 15)
    rows = external({}, {"event_id": "b", "known_at": morning})
    assert [row["resolved_at"] for row in rows] == [datetime(2024, 12, 2, 21, 10), CLOSE]


@pytest.mark.parametrize("label", ["strength_signed", "time_to_break_1", "t1_60", "tradeable_2"])
def test_what_a_dataset_does_not_bring_is_null(label: str) -> None:
    """A label without a value is NULL, never 0."""
    assert label in EVENT_LABELS
    (row,) = external({})
    assert row[label] is None
    assert row["approach_velocity"] is None
