"""What an audit looks at: settings, sampled days and the landed record."""

from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from tests.governance.data_audit.small_panel import LABEL, PRICES, SLEEVE, day, panel
from tests.training.market import Market, write_market
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.governance.data_audit.scope import Rules, Scope, close_scope, open_scope, price_tables
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.warehouse.read import read_snapshot


def opened(con: duckdb.DuckDBPyConnection, **changes: object) -> Scope:
    options = {"first": None, "last": None, "excluded": (), "prices": PRICES, **changes}
    moment = datetime(2026, 1, 2)
    return open_scope(con, SLEEVE, LABEL, ("momentum_5d",), run_id="r", recorded_at=moment, **options)  # type: ignore[arg-type]


def test_rules_are_those_of_the_project(repository: Path, tmp_path: Path) -> None:
    """The shipped dbt_project.yml has the defaults; a changed setting is read, an unknown one left alone."""
    project = repository / "dbt_project" / "dbt_project.yml"
    assert Rules.read(project) == Rules()
    changed = (
        project.read_text().replace("barrier_sessions: 10", "barrier_sessions: 7").replace("2000-01-01", "2001-02-03")
    )
    (tmp_path / "dbt_project.yml").write_text(changed)
    rules = Rules.read(tmp_path / "dbt_project.yml")
    assert (rules.barrier_sessions, rules.time_decay_epoch) == (7, date(2001, 2, 3))


@pytest.mark.parametrize(
    "text", ["vars: [1, 2]", "vars: {barrier_sessions: many}", "vars: {time_decay_epoch: soon}", "a: ["]
)
def test_unreadable_rules_are_refused(tmp_path: Path, text: str) -> None:
    """The file is named, with what to restore."""
    path = tmp_path / "dbt_project.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"dbt_project\.yml cannot be read"):
        Rules.read(path)
    with pytest.raises(ConfigError, match=r"missing\.yml"):
        Rules.read(tmp_path / "missing.yml")


def test_sampled_days_reach_from_the_first_to_the_last() -> None:
    """A long history is sampled evenly, both ends included, and excluded dates are no part of it."""
    with panel() as con:
        con.execute(
            "insert into silver.calendar select date '2030-01-01' + i::integer, 1000 + i, null from range(3000) as r(i)"
        )
        con.execute(
            "insert into gold.equities_training by name select s.symbol, c.date, 'fwd_5d' as label, 0.0 as value, "
            "c.date as label_end_date from silver.calendar as c, (select distinct symbol from landed_bars) as s "
            "where session_index >= 1000"
        )
        scope = opened(con, first=date(2030, 1, 1), excluded=(date(2030, 1, 2),))
        days = [row[0] for row in scope.all(f"select t from {scope.table('days')} order by t")]
        close_scope(con)
    assert (days[0], days[-1]) == (1000, 3999)
    assert 1001 not in days
    steps = {after - before for before, after in pairwise(days)}
    assert max(steps) - min(steps) <= 2
    assert 24 <= len(days) <= 150


def test_a_short_history_is_taken_whole() -> None:
    """Where there are few sessions, all of them are judged, those without rows too."""
    with panel() as con:
        con.execute(f"delete from gold.equities_training where date = date '{day(30)}' or date > date '{day(60)}'")
        scope = opened(con)
        days = [row[0] for row in scope.all(f"select t from {scope.table('days')} order by t")]
        close_scope(con)
    assert days == list(range(4, 61))


def test_rows_landed_after_the_build_are_left_out(home: Home) -> None:
    """Bars and spells that came after the build are no part of what it could know."""
    write_market(home, Market(sessions=30, symbols=4))
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("alter table silver.equity_bars add column ingested_at timestamp default timestamp '2020-06-01'")
        con.execute("insert into meta.builds values ('b2', 'b2', now(), now(), null, 'd', '', 'success')")
    built = datetime(2020, 6, 2, tzinfo=UTC)
    read_snapshot(home, now=lambda: built).close()
    for dataset, columns in (("equity_bars", "'S00' as symbol"), ("membership", "'S00' as symbol")):
        for at, moment in enumerate(("2020-06-01", "2020-06-03")):
            folder = layout_of(home).raw(dataset) / f"batch-{at}"
            folder.mkdir(parents=True)
            with duckdb.connect() as con:
                con.execute(
                    f"copy (select {columns}, timestamp '{moment}' as ingested_at, timestamp '2020-01-01' as known_at) "
                    f"to '{folder / 'rows.parquet'}'"
                )
    # Predictions written since make a newer manifest of the same build.
    snapshot_batches(layout_of(home), now=lambda: datetime(2020, 7, 1, tzinfo=UTC))
    with read_snapshot(home) as snapshot:
        tables = price_tables(snapshot)
        assert tables.landed_bars is not None
        assert tables.landed_members is not None
        for landed in (tables.landed_bars, tables.landed_members):
            found = snapshot.con.execute(f"select ingested_at from {landed}").fetchall()
            assert found == [(datetime(2020, 6, 1),)]


def test_without_landed_rows_the_snapshot_is_the_record(home: Home) -> None:
    """A lake without raw datasets leaves the latest versions."""
    write_market(home, Market(sessions=30, symbols=4))
    with read_snapshot(home) as snapshot:
        tables = price_tables(snapshot)
    assert (tables.landed_bars, tables.landed_members) == (None, None)
