"""Feature tables: in blocks of any size, filled column by column and date by date, the bytes are those of one build."""

from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from tests.oracles.equities import Version
from tests.warehouse.feature_homes import (
    CORE,
    MOVES,
    TINY,
    ask,
    build_killed_at,
    copy_of,
    define,
    edit,
    ingest,
    last_fills,
    mark,
    new_home,
    open_warehouse,
    rebuilt,
    switch,
)
from tests.warehouse.small_market import File, make_market, sessions
from trademl.config import Home
from trademl.errors import BuildError
from trademl.warehouse.content import content_hashes
from trademl.warehouse.dbt import build
from trademl.warehouse.ingest import ingest_files

# dbt leaves its log file open in the process it ran in.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
    ),
]

ALL = ("1900-01-01", "9999-12-31")
REACH = 10 + 20 + 130
"""Sessions after a bar that may read it: delisted_after_sessions, the universe's 20 sessions, longest_lookback."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A built home with all files of the small market but today's."""
    home = new_home(tmp_path_factory.mktemp("features") / "home", make_market().landings[:-1])
    build(home)
    return home


def equal_to_a_full_refresh(home: Home) -> None:
    """The content of every table is that of the same files and project built from nothing."""
    found = {schema: content_hashes(home.warehouse, schema=schema) for schema in ("gold", "silver")}
    build(home, full_refresh=True)
    assert found == {schema: content_hashes(home.warehouse, schema=schema) for schema in found}


@pytest.mark.parametrize("rows, threads", [(30, 1), (30, 2), (331, 2), (100_000, 1)])
def test_blocks_of_any_size_give_the_same_bytes(history: Home, tmp_path: Path, rows: int, threads: int) -> None:
    """One block or fifty, on one thread or two."""
    home = rebuilt(history, tmp_path / "home")
    edit(home, "dbt_project.yml", "feature_block_rows: 0", f"feature_block_rows: {rows}")
    build(home, threads=threads)
    assert content_hashes(home.warehouse) == content_hashes(history.warehouse)
    bars = int(str(ask(home, "select count(*) from silver.equity_bars")[0][0]))
    blocks = int(str(ask(home, "select max(blocks) from meta.feature_builds where table_name = 'equities_tiny'")[0][0]))
    assert (blocks == 1) if rows > bars else (bars / rows / 2 < blocks <= bars / rows + 1)


def test_a_build_without_news_fills_nothing(history: Home, tmp_path: Path) -> None:
    """Nothing landed and nothing changed: no feature table is touched."""
    home = copy_of(history, tmp_path / "home")
    build(home)
    assert last_fills(home) == {}
    assert content_hashes(home.warehouse) == content_hashes(history.warehouse)


def test_a_new_column_is_filled_alone(history: Home, tmp_path: Path) -> None:
    """A feature between two others is computed over all dates; the others keep even a cell that was tampered with."""
    home = copy_of(history, tmp_path / "home")
    define(home, {"move_3": MOVES["move_3"], "move_7": "log_index - log_index_7", **MOVES})
    where = f"symbol = 'AAA' and date = '{sessions()[50]}'"
    before = ask(home, f"select move_3, calm_20 from {TINY} where {where}")[0]
    gap = ask(home, f"select gap_1d from {CORE} where {where}")[0][0]
    assert mark(home, TINY, "move_3 = 777", where) == mark(home, CORE, "gap_1d = 777", where) == 1
    build(home)
    assert last_fills(home) == {"equities_tiny": [("columns", "move_7", *ALL)]}
    assert ask(home, f"select move_3, calm_20 from {TINY} where {where}") == [(777.0, before[1])]
    assert ask(home, f"select gap_1d from {CORE} where {where}") == [(777.0,)]
    assert mark(home, TINY, f"move_3 = {before[0]}", where) == mark(home, CORE, f"gap_1d = {gap}", where) == 1
    equal_to_a_full_refresh(home)


def test_a_new_core_feature_is_filled_alone_with_its_twins(history: Home, tmp_path: Path) -> None:
    """A window that was not there: the raw feature and its three twins, and no other column."""
    home = copy_of(history, tmp_path / "home")
    add_momentum_of_ten_days(home)
    build(home)
    columns = ",".join(f"momentum_10d{twin}" for twin in ("", "_dm", "_rank", "_sn"))
    assert last_fills(home) == {"equities_features": [("columns", columns, *ALL)]}
    equal_to_a_full_refresh(home)


def add_momentum_of_ten_days(home: Home) -> None:
    """Define momentum_10d behind momentum_5d, with the column that it needs."""
    edit(home, "macros/features/equities_features.sql", "[5, 20, 60, 126]", "[5, 10, 20, 60, 126]")
    edit(home, "macros/features/equities_feature_columns.sql", "[5, 20, 60, 126]", "[5, 10, 20, 60, 126]")
    for twin in ("", "_dm", "_rank", "_sn"):
        entry = f"      - name: momentum_20d{'' if not twin else '_dm'}\n"
        added = f"      - name: momentum_10d{twin}\n        data_type: float\n"
        edit(home, "models/gold/equities/gld_equities_features.yml", entry, added + entry)


def test_a_column_of_the_core_changes_the_features_that_name_it(history: Home, tmp_path: Path) -> None:
    """Features over a shared column are made anew when it changes, and no others."""
    home = copy_of(history, tmp_path / "home")
    edit(home, "macros/features/equities_feature_columns.sql", "'sum(log_gap)'", "'sum(log_gap + 0)'")
    build(home)
    ((action, columns, *dates),) = last_fills(home)["equities_features"]
    assert (action, *dates) == ("columns", *ALL)
    names = {f"{name}{twin}" for name in ("gap_mean_20d", "gap_std_20d") for twin in ("", "_dm", "_rank", "_sn")}
    assert set(str(columns).split(",")) == names
    assert content_hashes(home.warehouse) == content_hashes(history.warehouse)


def test_columns_change_move_and_vanish(history: Home, tmp_path: Path) -> None:
    """One gets another expression, one goes, two change places."""
    home = copy_of(history, tmp_path / "home")
    define(home, {"calm_20": MOVES["calm_20"], "move_3": "log_index_3 - log_index"})
    build(home)
    assert last_fills(home) == {"equities_tiny": [("columns", "move_3", *ALL)]}
    equal_to_a_full_refresh(copy_of(home, tmp_path / "copy"))
    define(home, {"move_3": "log_index_3 - log_index"})
    build(home)
    assert last_fills(home) == {}
    assert "calm_20" not in {row[0] for row in ask(home, f"describe {TINY}")}
    equal_to_a_full_refresh(home)


def test_a_table_is_switched_on_and_off_alone(history: Home, tmp_path: Path) -> None:
    """Switched off it vanishes, on again it is made whole, a day that came between included; the core is left alone."""
    home = copy_of(history, tmp_path / "home")
    where = f"symbol = 'AAA' and date = '{sessions()[50]}'"
    switch(home, [])
    build(home)
    assert ask(home, "select count(*) from duckdb_tables() where table_name = 'equities_tiny'") == [(0,)]
    ingest(home, make_market().landings[-1:])
    build(home)
    ((action, columns, first, _),) = last_fills(home)["equities_features"]
    assert (action, columns, first) == ("dates", "all", str(sessions()[-1]))
    (kept,) = ask(home, f"select gap_1d from {CORE} where {where}")[0]
    assert mark(home, CORE, "gap_1d = 777", where) == 1
    switch(home, ["equities_tiny"])
    build(home)
    assert last_fills(home) == {"equities_tiny": [("all", "all", *ALL)]}
    assert ask(home, f"select gap_1d from {CORE} where {where}") == [(777.0,)]
    assert mark(home, CORE, f"gap_1d = {kept}", where) == 1
    equal_to_a_full_refresh(home)


def correct(home: Home, session: int, effective: int) -> None:
    """Land other prices for BBB's bar of a session, known on the evening before the session from which they count."""
    query = (
        f"select open, high, low, close from silver.equity_bars where symbol = 'BBB' and date = '{sessions()[session]}'"
    )
    prices = [round(float(str(value)) * 1.2, 4) for value in ask(home, query)[0]]
    path = home.root / f"late_{session}.csv"
    path.write_text(File(path.name, [Version("BBB", session, effective, 1, *prices, 400_000.0)], datetime.min).text())
    evening = datetime.combine(sessions()[effective - 1], time(23, 40), UTC)
    report = ingest_files(home, "equity_bars", [path], source="test", known_at=evening)
    assert report.landed == 1, report.as_text()


def test_a_late_correction_replaces_the_dates_it_reaches_and_no_others(history: Home, tmp_path: Path) -> None:
    """From the first session that could act on it to the last whose windows hold it; today's bars beside it."""
    home = copy_of(history, tmp_path / "home")
    days = sessions()
    correct(home, 20, 23)
    ingest(home, make_market().landings[-1:])
    marked = {session: f"symbol = 'CCC' and date = '{days[session]}'" for session in (22, 23, 20 + REACH, 21 + REACH)}
    kept = {session: ask(home, f"select gap_1d from {CORE} where {where}")[0][0] for session, where in marked.items()}
    for where in marked.values():
        assert mark(home, CORE, "gap_1d = 777", where) == 1
    build(home)
    (reached,) = ask(
        home,
        "select reached.date::varchar from silver.calendar as last inner join silver.calendar as reached "
        f"on reached.session_index = last.session_index + {REACH + 1} where last.date = '{days[-1]}'",
    )[0]
    ranges = [(str(days[23]), str(days[21 + REACH])), (str(days[-1]), str(reached))]
    expected = [("dates", "all", *dates) for dates in ranges]
    assert last_fills(home) == {"equities_features": expected, "equities_tiny": expected}
    for session, where in marked.items():
        inside = 23 <= session <= 20 + REACH
        assert ask(home, f"select gap_1d from {CORE} where {where}") == [(kept[session] if inside else 777.0,)]
        mark(home, CORE, f"gap_1d = {kept[session]}", where)
    equal_to_a_full_refresh(home)


def test_a_correction_that_no_window_reaches_replaces_nothing(history: Home, tmp_path: Path) -> None:
    """Known longest_lookback sessions later, a bar is in no feature's window any more."""
    home = copy_of(history, tmp_path / "home")
    correct(home, 20, 151)
    build(home)
    assert last_fills(home) == {}
    equal_to_a_full_refresh(home)


def test_a_correction_and_a_new_column_meet(history: Home, tmp_path: Path) -> None:
    """The new column everywhere, all columns where the correction reaches."""
    home = copy_of(history, tmp_path / "home")
    correct(home, 20, 23)
    ingest(home, make_market().landings[-1:])
    define(home, {"move_7": "log_index - log_index_7", **MOVES})
    add_momentum_of_ten_days(home)
    edit(home, "dbt_project.yml", "feature_block_rows: 0", "feature_block_rows: 331")
    build(home)
    fills = last_fills(home)["equities_tiny"]
    assert {fill[1:3] for fill in fills} >= {("move_7", ALL[0]), ("all", str(sessions()[23]))}
    assert sorted(str(fill[1]) for fill in fills) == ["all"] * 2 + ["move_7"] * 3
    equal_to_a_full_refresh(home)


def test_what_only_a_feature_table_reads_counts_as_its_own(history: Home, tmp_path: Path) -> None:
    """Another text of a working model rebuilds the table that it serves, whole, and nothing else."""
    home = copy_of(history, tmp_path / "home")
    model = home.dbt_project / "models/silver/equities/slv_equity_raw_features.sql"
    model.write_text("-- Another text.\n" + model.read_text())
    build(home)
    assert last_fills(home) == {"equities_features": [("all", "all", *ALL)]}
    assert ask(home, "select max(affected_from)::varchar from meta.builds") == [(ALL[1],)]
    assert content_hashes(home.warehouse) == content_hashes(history.warehouse)


def test_a_definition_taken_back_after_a_failed_build_is_built_again(history: Home, tmp_path: Path) -> None:
    """A table says what it holds, not what the last green build wanted of it."""
    home = copy_of(history, tmp_path / "home")
    define(home, {**MOVES, "move_3": "log_index_3 - log_index"})
    edit(home, "models/gold/equities/gld_equities_regime.sql", "order by date", "order by nowhere")
    with pytest.raises(BuildError, match="regime"):
        build(home)
    edit(home, "models/gold/equities/gld_equities_regime.sql", "order by nowhere", "order by date")
    define(home, MOVES)
    build(home)
    assert content_hashes(home.warehouse) == content_hashes(history.warehouse)


def test_new_columns_are_not_filled_from_the_last_dates_alone(history: Home, tmp_path: Path) -> None:
    """A selection without the table's inputs is refused, and says what to select."""
    home = copy_of(history, tmp_path / "home")
    define(home, {**MOVES, "move_7": "log_index - log_index_7"})
    with pytest.raises(BuildError, match=r"equity_panel holds the last dates only. Remedy: .* --select \+gld_equities"):
        build(home, select="gld_equities_tiny")
    build(home, select="+gld_equities_tiny")
    assert last_fills(home)["equities_tiny"] == [("columns", "move_7", *ALL)]


def whole_table(home: Home) -> None:
    """The table is made for the first time."""
    with open_warehouse(home, write=True) as con:
        con.execute(f"drop table {TINY}")


def one_column(home: Home) -> None:
    """A column is filled."""
    define(home, {**MOVES, "move_7": "log_index - log_index_7"})


def some_dates(home: Home) -> None:
    """A correction and a session land."""
    correct(home, 20, 23)
    ingest(home, make_market().landings[-1:])


@pytest.mark.fault
@pytest.mark.parametrize("change", [whole_table, one_column, some_dates])
def test_a_table_killed_at_any_statement_ends_as_if_never_killed(
    history: Home, tmp_path: Path, change: Callable[[Home], None]
) -> None:
    """SIGKILL before statements of the table's transaction, its commit among them: the rerun gives the same bytes."""
    home = copy_of(history, tmp_path / "home")
    edit(home, "dbt_project.yml", "feature_block_rows: 0", "feature_block_rows: 331")
    change(home)
    kills = sum(build_killed_at(home, statement, "equities_tiny") for statement in (20, 28, 34, 40))
    assert kills >= 3
    build(home)
    equal_to_a_full_refresh(home)
