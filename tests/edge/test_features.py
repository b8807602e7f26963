"""Statements on a device: run in order over a release's tables, for one session, refusing what they cannot compute."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from trademl.edge.features import BARS, FeatureSql, Step, bound_memory, compute_features, read_matrix
from trademl.errors import DataGateError, ModelError, ReleaseError
from trademl.lake.layout import Layout

FIRST, TODAY = date(2024, 1, 3), date(2024, 1, 4)
MARKET = Step(
    "silver.equity_market",
    "select avg(close) as level, date from work.equity_bar_versions "
    "where date >= cast(getvariable('first_session') as date) group by date",
    append=True,
)
FEATURES = Step(
    "gold.equities_features",
    """
    select v.symbol, bars.sector, bars.is_member as in_universe, v.date,
        cast(v.close - now.level as float) as gap, cast(before.level as float) as previous_level
    from work.equity_bar_versions as v
    inner join silver.equity_bars as bars on v.symbol = bars.symbol and v.date = bars.date
    inner join silver.equity_market as now on v.date = now.date
    left join silver.equity_market as before on before.date = v.date - 1
    where v.date = cast(getvariable('first_session') as date)
    """,
    append=True,
)
REGIME = Step("gold.equities_regime", "select 'mid' as regime, date from silver.equity_market", append=False)
SQL = FeatureSql(1, False, (MARKET, FEATURES, REGIME))


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Three symbols on three sessions; the published market says something that no bar does."""
    with duckdb.connect(":memory:") as opened:
        opened.execute("attach ':memory:' as warehouse; use warehouse; create schema silver; create schema gold")
        opened.execute(
            "create table silver.calendar as select date '2024-01-01' + n::integer as date from range(9) as t(n)"
        )
        opened.execute(
            """
            create view silver.equity_bar_window as
            select symbol, 'Tech' as sector, symbol <> 'C' as is_member, level + extra as close, true as is_latest, date
            from (values (date '2024-01-02', 10.0::double), (date '2024-01-03', 20.0), (date '2024-01-04', 30.0))
                as d(date, level)
            cross join (values ('B', 1.0), ('A', 2.0), ('C', 3.0)) as s(symbol, extra)
            """
        )
        opened.execute(
            "create view silver.equity_market as "
            "select 100.0::double + n as level, date '2024-01-01' + n::integer as date from range(1, 4) as t(n)"
        )
        yield opened


def test_a_session_is_computed_after_the_published_past(con: duckdb.DuckDBPyConnection) -> None:
    """What is appended follows the published earlier rows; the published row of the session itself is not used."""
    symbols, X = compute_features(con, SQL, TODAY, ["previous_level", "gap"])
    assert symbols == ("A", "B")
    assert X.dtype == np.float32
    assert X.tolist() == [[102.0, 0.0], [102.0, -1.0]]
    assert con.execute("select * from silver.equity_market order by date").fetchall() == [
        (101.0, date(2024, 1, 2)),
        (102.0, date(2024, 1, 3)),
        (32.0, date(2024, 1, 4)),
    ]


def test_an_earlier_session_does_not_see_a_later_one(con: duckdb.DuckDBPyConnection) -> None:
    """Sessions can be computed in any order on one connection."""
    compute_features(con, SQL, TODAY, ["gap"])
    symbols, X = compute_features(con, SQL, FIRST, ["previous_level", "gap"])
    assert symbols == ("A", "B")
    assert X.tolist() == [[101.0, 0.0], [101.0, -1.0]]


@pytest.mark.parametrize("day", [date(2024, 1, 2), date(2024, 1, 5)])
def test_a_session_out_of_reach_is_refused(con: duckdb.DuckDBPyConnection, day: date) -> None:
    """Before the first session with its lookback, and after the last with bars."""
    with pytest.raises(DataGateError, match=f"cannot score {day}: its bars end on 2024-01-04.*2024-01-03"):
        compute_features(con, SQL, day, ["gap"])


def test_a_session_without_a_universe_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    """Nobody to rank is no ranking."""
    nobody = Step(FEATURES.relation, FEATURES.sql.replace("bars.is_member", "false"), append=True)
    with pytest.raises(DataGateError, match="no row in the universe on 2024-01-04"):
        compute_features(con, FeatureSql(1, False, (MARKET, nobody, REGIME)), TODAY, ["gap"])


def test_an_unknown_feature_is_named(con: duckdb.DuckDBPyConnection) -> None:
    """A model and a feature set that do not belong together are told apart before anything is scored."""
    with pytest.raises(ModelError, match="lacks 1 of the 2 features of the model: nothing"):
        compute_features(con, SQL, TODAY, ["gap", "nothing"])


def test_a_statement_that_does_not_run_is_the_releases_fault(con: duckdb.DuckDBPyConnection) -> None:
    """No traceback: the engine's first line, and what to do."""
    broken = FeatureSql(1, False, (Step("gold.equities_features", "select nothing from nowhere", append=False),))
    with pytest.raises(ReleaseError, match="nowhere does not exist"):
        compute_features(con, broken, TODAY, ["gap"])


def test_the_document_reads_back() -> None:
    """What a release carries is what was compiled."""
    assert FeatureSql.from_json(SQL.to_json()) == SQL
    wide = FeatureSql(1, False, (SECOND,), "gold.second", {"gold.third": ("x", "third__gap")})
    assert FeatureSql.from_json(wide.to_json()) == wide


def test_the_document_of_core_features_is_what_it_was() -> None:
    """A release whose features all lie in the core table says nothing about tables, as before there were others."""
    assert set(json.loads(SQL.to_json())) == {"lookback", "whole", "steps"}


SECOND = Step(
    "gold.second",
    """
    select v.symbol, bars.is_member as in_universe, v.date, cast(v.close * 2 as float) as twice, cast(7 as float) as gap
    from work.equity_bar_versions as v
    inner join silver.equity_bars as bars on v.symbol = bars.symbol and v.date = bars.date
    where v.date = cast(getvariable('first_session') as date)
    """,
    append=False,
)


def test_features_of_another_table_are_computed_by_its_own_statements_alone(con: duckdb.DuckDBPyConnection) -> None:
    """A model on one further table needs neither the core table's statements nor the table."""
    sql = FeatureSql(1, False, (MARKET, SECOND, REGIME), "gold.second")
    symbols, X = compute_features(con, sql, TODAY, ["twice"])
    assert symbols == ("A", "B")
    assert X.tolist() == [[64.0], [62.0]]
    tables = {row[0] for row in con.execute("select table_name from information_schema.tables").fetchall()}
    assert "second" in tables
    assert "equities_features" not in tables


def test_features_of_several_tables_stand_side_by_side(con: duckdb.DuckDBPyConnection) -> None:
    """Each is read where it lies: as listed, as its own name says, or in the table with the universe."""
    sql = FeatureSql(1, False, (MARKET, FEATURES, SECOND, REGIME), others={"gold.second": ("twice", "second__gap")})
    symbols, X = compute_features(con, sql, TODAY, ["second__gap", "gap", "twice", "previous_level"])
    assert X.tolist() == read_matrix(con, ["second.gap", "gap", "second.twice", "previous_level"], TODAY)[1].tolist()
    assert symbols == ("A", "B")
    assert X.tolist() == [[7.0, 0.0, 64.0, 102.0], [7.0, -1.0, 62.0, 102.0]]


@pytest.mark.parametrize(
    "change", ["delete from gold.second where symbol = 'B'", "insert into gold.second select * from gold.second"]
)
def test_a_table_without_one_row_each_is_refused(con: duckdb.DuckDBPyConnection, change: str) -> None:
    """A row that another table lacks, or has twice, is no missing value."""
    sql = FeatureSql(1, False, (MARKET, FEATURES, SECOND, REGIME), others={"gold.second": ("twice",)})
    compute_features(con, sql, TODAY, ["gap", "twice"])
    con.execute(change)
    with pytest.raises(
        DataGateError, match=r"gold.second has not one row for each of the \d of gold.equities_features"
    ):
        read_matrix(con, ["gap", "twice"], TODAY, others=sql.others)


def test_a_feature_that_its_table_lacks_is_named_with_the_table(con: duckdb.DuckDBPyConnection) -> None:
    """The message has the table that was looked in."""
    sql = FeatureSql(1, False, (MARKET, FEATURES, SECOND, REGIME), others={"gold.second": ("thrice",)})
    with pytest.raises(ModelError, match=r"gold.second lacks 1 of the 2 features of the model: thrice"):
        compute_features(con, sql, TODAY, ["gap", "thrice"])


def test_a_wide_statement_is_given_more_memory(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """The limit grows with the longest statement beyond that of the core table, and not below it."""
    found = []
    for length in (1_000, 50_000, 120_000):
        sql = FeatureSql(1, False, (Step("gold.second", "x" * length, append=False),))
        table = SimpleNamespace(rows=1000, files=[1])
        bound_memory(con, Layout(tmp_path, tmp_path), SimpleNamespace(tables={BARS: table}), sql)  # type: ignore[arg-type]
        found.append(con.execute("select current_setting('memory_limit')").fetchall()[0][0])
    assert found[0] == found[1] == "38.1 MiB"
    assert found[2] == "138.2 MiB"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"lookback": "x", "whole": false, "steps": []}',
        b'{"lookback": 1, "whole": false, "steps": [{}]}',
        b'{"lookback": 1, "whole": false, "steps": [], "others": []}',
        b"\xff",
    ],
)
def test_another_document_is_refused(raw: bytes) -> None:
    """Whatever is wrong with it, it is said in one line."""
    with pytest.raises(ReleaseError, match="no list of steps"):
        FeatureSql.from_json(raw)
