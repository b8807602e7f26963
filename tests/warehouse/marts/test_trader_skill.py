"""marts.trader_skill: the last ranking of each date."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import pytest
import yaml

from tests.warehouse.marts.rendered import MODELS, rendered, warehouse
from trademl.schema import BATCHES

FOLDER = MODELS / "marts" / "traders"
DAY = date(2025, 3, 31)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    made = warehouse()
    made.execute(f"create view marts.trader_skill as {rendered(FOLDER / 'mrt_trader_skill.sql')}")
    yield made
    made.close()


def land(con: duckdb.DuckDBPyConnection, address: str, hour: int, **values: Any) -> None:
    """Land one row of a ranking of DAY, written at an hour."""
    row: dict[str, Any] = dict.fromkeys(BATCHES["ops.trader_skill"].columns)
    flags = {"is_martingale": False, "is_single_trade": False, "is_wash": False}
    row |= {"as_of": DAY, "address": address, "recorded_at": datetime(2025, 4, 1, hour), **flags, **values}
    con.execute(
        f"insert into landed.ops_trader_skill values ({', '.join('?' for _ in row)})",
        list(row.values()),
    )


def test_it_is_empty_and_typed_before_the_first_ranking(con: duckdb.DuckDBPyConnection) -> None:
    """Columns, order and types are those of the contract; there is no row."""
    (model,) = yaml.safe_load((FOLDER / "trader_skill.yml").read_text())["models"]
    stated = [(one["name"], one["data_type"].upper().replace("STRING", "VARCHAR")) for one in model["columns"]]
    found = con.execute("describe marts.trader_skill").fetchall()
    assert [(row[0], row[1]) for row in found] == stated
    assert con.execute("select count(*) from marts.trader_skill").fetchall() == [(0,)]


def test_luck_and_flags_follow_from_the_row(con: duckdb.DuckDBPyConnection) -> None:
    """Luck is what is left of the deflated skill, NULL without one; any flag flags."""
    land(con, "a", 1, deflated_skill=0.9)
    land(con, "b", 1, is_wash=True)
    found = con.execute("select address, round(luck, 12), is_flagged from marts.trader_skill order by 1").fetchall()
    assert found == [("a", 0.1, False), ("b", None, True)]


def test_the_last_ranking_of_a_date_replaces_the_one_before(con: duckdb.DuckDBPyConnection) -> None:
    """Traders that the last ranking of the date no longer has are gone; other dates keep theirs."""
    land(con, "a", 1, skill_rank=1)
    land(con, "b", 1, skill_rank=2)
    land(con, "b", 2, skill_rank=1)
    land(con, "a", 1, as_of=date(2025, 3, 30), skill_rank=7)
    found = con.execute("select as_of, address, skill_rank from marts.trader_skill order by 1").fetchall()
    assert found == [(date(2025, 3, 30), "a", 7), (DAY, "b", 1)]
