"""The past stands still from one snapshot to the next."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.governance.data_audit.small_panel import SLEEVE, day, panel
from tests.training.market import Market, change, write_market
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.history import Past, audit_history, compare_past
from trademl.warehouse.read import read_snapshot

AS_OF = 120
FEATURES = "gold.equities_features"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """The small panel, and what an earlier build knew of it: everything up to session 120."""
    with panel() as database:
        for name, table in (
            ("old_features", FEATURES),
            ("old_bars", "silver.equity_bars"),
            ("old_members", "silver.universe_members"),
        ):
            database.execute(f"create table {name} as from {table} where date <= date '{day(AS_OF)}'")
        yield database


def compared(con: duckdb.DuckDBPyConnection) -> AuditRow:
    return compare_past(con, SLEEVE, Past("old_features", "old_bars", "old_members", day(AS_OF)), run_id="r")


def test_new_sessions_leave_the_past_alone(con: duckdb.DuckDBPyConnection) -> None:
    """Every row up to the earlier last session is compared, none has changed."""
    rows = con.execute("select count(*) from old_features").fetchall()[0][0]
    row = compared(con)
    assert (row.violations, row.compared) == (0, rows)


@pytest.mark.parametrize(
    "statement, violations",
    [
        (f"update {FEATURES} set beta_60d = beta_60d + 0.001 where symbol = 'S09' and date > date '{day(118)}'", 2),
        (
            f"update {FEATURES} set known_at = known_at - interval 1 hour where symbol = 'S09' and date = date "
            f"'{day(9)}'",
            1,
        ),
        (f"delete from {FEATURES} where symbol = 'S09' and date <= date '{day(9)}'", 10),
        (f"insert into {FEATURES} by name select 'NEW' as symbol, date '{day(50)}' as date, false as in_universe", 1),
        (f"update {FEATURES} set beta_60d = 0 where date > date '{day(AS_OF)}'", 0),
    ],
    ids=["changed", "known earlier", "gone", "new", "later dates"],
)
def test_a_past_that_moves_is_counted(con: duckdb.DuckDBPyConnection, statement: str, violations: int) -> None:
    """A cell that changed, a row that went and one that came; later dates may do as they like."""
    con.execute(statement)
    assert compared(con).violations == violations


def test_older_data_that_claims_to_have_been_known_excuses_its_dates(con: duckdb.DuckDBPyConnection) -> None:
    """A bar landed since with a timely known time may change 130 sessions from its own on; it is reported."""
    con.execute(
        "insert into silver.equity_bars by name select 'OLD' as symbol, date, known_at, timestamp '2022-01-01' as "
        "ingested_at "
        f"from silver.equity_bars where symbol = 'S09' and date = date '{day(60)}'"
    )
    con.execute(
        f"update {FEATURES} set gap_1d = 0.5 where symbol = 'S09' and date in (date '{day(59)}', date '{day(70)}')"
    )
    row = compared(con)
    assert row.violations == 1
    assert "1 more on dates for which older data landed since" in row.detail


def test_a_correction_does_not_excuse(con: duckdb.DuckDBPyConnection) -> None:
    """A bar landed since that was not known in its time has no business in the past."""
    con.execute(
        "update silver.equity_bars set ingested_at = timestamp '2022-01-01', known_at = timestamp '2022-01-01' "
        f"where symbol = 'S09' and date = date '{day(60)}'"
    )
    con.execute(f"update {FEATURES} set gap_1d = 0.5 where symbol = 'S09' and date = date '{day(60)}'")
    assert compared(con).violations == 1


def test_another_membership_excuses_its_dates(con: duckdb.DuckDBPyConnection) -> None:
    """Membership enters every beta through the market's return."""
    con.execute(f"delete from silver.universe_members where symbol = 'S07' and date = date '{day(60)}'")
    con.execute(
        f"update {FEATURES} set beta_60d = 1 where symbol = 'S09' and date in (date '{day(61)}', date '{day(59)}')"
    )
    row = compared(con)
    assert row.violations == 1
    assert "1 more" in row.detail


@pytest.fixture(scope="module")
def twice_built(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with two builds of the same rows, both published; nobody changes it."""
    root = tmp_path_factory.mktemp("twice") / "home"
    make_home(root, bundle())
    home = Home(root)
    write_market(home, Market(sessions=40, symbols=4))
    with duckdb.connect(str(home.warehouse)) as database:
        database.execute("create table silver.universe_members (symbol varchar, date date)")
        for column in ("known_at", "ingested_at"):
            database.execute(
                f"alter table silver.equity_bars add column {column} timestamp default timestamp '2020-01-01'"
            )
    change(home, build_id="b2")
    change(home, build_id="b3")
    return home


@pytest.fixture
def published(twice_built: Home, tmp_path: Path) -> Home:
    """A home of the test's own with the same two builds."""
    root = tmp_path / "home"
    # Sizes and times of the warehouse file are how a reader knows that nothing was built since.
    shutil.copytree(twice_built.root, root, copy_function=shutil.copy2)
    return Home(root)


def history(home: Home) -> AuditRow:
    with read_snapshot(home) as snapshot:
        return audit_history(snapshot, SLEEVE, run_id="run-1")


def test_snapshots_are_compared_by_their_files_first(published: Home) -> None:
    """A second build of the same rows shares its objects: nothing needs to be read."""
    row = history(published)
    assert (row.check_name, row.violations) == ("past_changed", 0)
    assert "is still the same file" in row.detail
    assert row.compared == 160


def test_a_rewritten_row_is_found_between_snapshots(published: Home) -> None:
    """Two cells of the past, changed by a later build."""
    change(
        published, f"update {FEATURES} set signal = 9 where symbol = 'S01' and date < date '2020-01-03'", build_id="b3"
    )
    row = history(published)
    assert (row.violations, row.compared) == (2, 160)
    assert "S01 2020-01-01" in row.detail


def test_other_definitions_are_not_compared(published: Home) -> None:
    """Features of another definition may differ everywhere."""
    with duckdb.connect(str(published.warehouse)) as database:
        database.execute(f"update {FEATURES} set signal = 9")
        database.execute("insert into meta.builds values ('b4', 'b4', now(), now(), null, 'other', '', 'success')")
    row = history(published)
    assert (row.violations, row.compared) == (0, 0)
    assert "other definitions" in row.detail


def test_a_first_build_has_no_past(home: Home) -> None:
    """There is nothing to compare with, and it is said."""
    write_market(home, Market(sessions=30, symbols=4))
    with read_snapshot(home) as snapshot:
        assert snapshot.manifest.as_of == date(2020, 2, 11)
        row = audit_history(snapshot, SLEEVE, run_id="run-1")
    assert (row.violations, row.compared, row.detail) == (0, 0, "no snapshot of an earlier build is kept")
