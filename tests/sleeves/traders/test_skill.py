"""The ranking of traders, on stand-ins of the silver tables."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import pytest

from tests.sleeves.traders.days_and_trades import START, add_days, add_trades, publish, silver
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError, SnapshotError
from trademl.lake.layout import layout_of
from trademl.schema import BATCHES
from trademl.sleeves.traders.skill import SkillSettings, rank_from, rank_traders, read_panel, skill_rows
from trademl.warehouse.read import read_snapshot

NOW = datetime(2025, 6, 1, 8, tzinfo=UTC)
AS_OF = date(2025, 4, 10)
QUICK = SkillSettings(resamples=50)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Ten traders over 100 days: a is skilled, b a martingale, c stopped long ago, d is new, the rest is noise."""
    made = silver()
    rng = np.random.default_rng(1)
    add_days(made, "a", (rng.standard_normal(100) + 0.8).tolist())
    sizes, results, size = [], [], 100.0
    for _ in range(100):
        won = rng.random() < 0.6
        sizes.append(size)
        results.append(size * (0.01 if won else -0.01))
        size = 100.0 if won else min(2 * size, 3200.0)
    add_days(made, "b", [abs(value) for value in rng.standard_normal(100)])
    add_trades(made, "b", sizes, results)
    add_days(made, "c", (rng.standard_normal(5) + 2).tolist())
    add_days(made, "d", rng.standard_normal(8).tolist(), first=START + timedelta(days=92))
    for name in "efghij":
        add_days(made, name, (rng.standard_normal(100) * 10.0 ** rng.integers(0, 5)).tolist())
    yield made
    made.close()


def test_skill_comes_first_and_a_flag_last(con: duckdb.DuckDBPyConnection) -> None:
    """The skilled trader leads, the martingale with the best numbers of all comes after all without a flag."""
    found = rank_from(con, AS_OF, QUICK)
    assert found.panel.addresses == tuple("abcdefghij")
    assert found.rank[0] == 1
    assert found.records.sharpe[1] > found.records.sharpe[0]
    assert found.conduct.is_martingale.tolist() == [name == "b" for name in "abcdefghij"]
    assert found.rank[1] == 1 + int((~found.conduct.flagged & (found.rank > 0)).sum())
    assert found.n_ranked == 8
    assert found.status[2:4] == ("gone", "short")
    assert found.rank[2:4].tolist() == [0, 0]


def test_the_vanished_and_the_new_are_observed(con: duckdb.DuckDBPyConnection) -> None:
    """N counts every trader; more can be said to have been looked at, fewer cannot."""
    assert rank_from(con, AS_OF, QUICK).luck.n_observed == 10
    many = rank_from(con, AS_OF, SkillSettings(resamples=10, observed=5000))
    assert many.luck.n_observed == 5000
    assert many.luck.z_star > rank_from(con, AS_OF, QUICK).luck.z_star
    assert rank_from(con, AS_OF, SkillSettings(resamples=10, observed=3)).luck.n_observed == 10


def test_only_what_was_known_counts(con: duckdb.DuckDBPyConnection) -> None:
    """Later days, corrections that came later and trades closed later leave a past ranking as it was."""
    day = date(2025, 3, 1)
    before = skill_rows(rank_from(con, day, QUICK), NOW)
    con.execute("delete from silver.trader_days where date > ?", [day])
    con.execute("delete from silver.trader_trades where closed_at >= ?", [datetime(2025, 3, 2)])
    assert skill_rows(rank_from(con, day, QUICK), NOW) == before
    add_days(con, "k", [9.0] * 20, first=date(2025, 2, 1), known_at=datetime(2025, 3, 2, 0, 0, 1))
    assert skill_rows(rank_from(con, day, QUICK), NOW) == before
    add_days(con, "l", [9.0, 1.0] * 10, first=date(2025, 2, 1), known_at=datetime(2025, 3, 2))
    assert rank_from(con, day, QUICK).luck.n_observed == 10


def test_a_day_without_a_row_is_a_day_without_profit(con: duckdb.DuckDBPyConnection) -> None:
    """The panel spans calendar days; gaps and days without a known profit are 0 and not active."""
    add_days(con, "m", [1.0, None, None, -2.0])
    con.execute("update silver.trader_days set daily_pnl = null where address = 'e' and date = ?", [START])
    panel = read_panel(con, AS_OF)
    place = panel.addresses.index("m")
    assert panel.pnl[:5, place].tolist() == [1.0, 0.0, 0.0, -2.0, 0.0]
    assert (panel.first[place], panel.last[place], panel.active[place], panel.trades[place]) == (0, 3, 2, 8)
    assert panel.first[panel.addresses.index("e")] == 1


def test_the_order_of_rows_does_not_matter(con: duckdb.DuckDBPyConnection) -> None:
    """A table in another order gives the same ranking to the last bit."""
    before = skill_rows(rank_from(con, AS_OF, QUICK), NOW)
    con.execute("create or replace table silver.trader_days as from silver.trader_days order by hash(address, date)")
    con.execute("create or replace table silver.trader_trades as from silver.trader_trades order by hash(opened_at)")
    assert skill_rows(rank_from(con, AS_OF, QUICK), NOW) == before


def test_rows_have_the_columns_of_the_table(con: duckdb.DuckDBPyConnection) -> None:
    """A row has each column of ops.trader_skill, best first, and nothing that JSON cannot say."""
    rows = skill_rows(rank_from(con, AS_OF, QUICK), NOW)
    assert all(set(row) == set(BATCHES["ops.trader_skill"].columns) for row in rows)
    assert [row["skill_rank"] for row in rows] == [*range(1, 9), None, None]
    assert [row["address"] for row in rows[-2:]] == ["c", "d"]
    json.dumps(rows, default=str, allow_nan=False)
    settings = json.loads(rows[0]["settings"])
    assert settings["min_days"] == 30
    assert settings["block_days"] >= 1


def test_too_early_a_date_says_when_the_data_begin(con: duckdb.DuckDBPyConnection) -> None:
    """Before the first known day there is nothing to rank: the message says when it is; an empty table has its own."""
    with pytest.raises(DataGateError, match="begin on 2025-01-01") as caught:
        rank_from(con, date(2024, 12, 31), QUICK)
    assert "later --as-of" in caught.value.remedy
    with pytest.raises(DataGateError, match="it is empty") as caught:
        rank_from(silver(), AS_OF, QUICK)
    assert "trademl ingest trader-days" in caught.value.remedy


def test_a_ranking_is_written_once(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Ranking a date writes one batch that the snapshot shows; the same again writes nothing."""
    publish(home, con)
    rows = rank_traders(home, AS_OF, QUICK, now=lambda: NOW)
    again = rank_traders(home, AS_OF, QUICK, now=lambda: NOW + timedelta(hours=1))
    assert len(layout_of(home).batch_files("ops.trader_skill")) == 1
    assert [row["address"] for row in rows] == [row["address"] for row in again]
    rank_traders(home, AS_OF - timedelta(days=1), QUICK, now=lambda: NOW)
    assert len(layout_of(home).batch_files("ops.trader_skill")) == 2
    with read_snapshot(home) as snapshot:
        shown = snapshot.con.execute(
            "select address, skill_rank, recorded_at from ops.trader_skill where as_of = ? order by 2 nulls last",
            [AS_OF],
        ).fetchall()
    assert [row[0] for row in shown][:8] == [row["address"] for row in rows][:8]
    assert {row[2] for row in shown} == {NOW.replace(tzinfo=None)}


def test_a_date_in_the_future_is_refused(home: Home) -> None:
    """Nobody knows the days to come; and without a build there is nothing to read."""
    with pytest.raises(ConfigError, match="in the future"):
        rank_traders(home, date(2025, 6, 2), now=lambda: NOW)
    with pytest.raises(SnapshotError):
        rank_traders(home, AS_OF, now=lambda: NOW)
