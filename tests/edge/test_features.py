"""Statements on a device: run in order over a release's tables, for one session, refusing what they cannot compute."""

from collections.abc import Iterator
from datetime import date

import duckdb
import numpy as np
import pytest

from trademl.edge.features import FeatureSql, Step, compute_features
from trademl.errors import DataGateError, ModelError, ReleaseError

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


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"lookback": "x", "whole": false, "steps": []}',
        b'{"lookback": 1, "whole": false, "steps": [{}]}',
        b"\xff",
    ],
)
def test_another_document_is_refused(raw: bytes) -> None:
    """Whatever is wrong with it, it is said in one line."""
    with pytest.raises(ReleaseError, match="no list of steps"):
        FeatureSql.from_json(raw)
