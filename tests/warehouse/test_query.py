"""SQL from users: SELECT over the snapshot runs, everything else is refused before it does anything."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.lake.small_warehouse import write_warehouse
from trademl.errors import QueryRefused
from trademl.lake.layout import Layout
from trademl.lake.snapshot import Snapshot, open_snapshot, take_snapshot
from trademl.warehouse.query import list_tables, run_query, stream_query, write_parquet

SECRET = "do-not-read-me"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    layout = Layout(folder / "lake")
    write_warehouse(layout)
    take_snapshot(layout)
    (folder / "secret.csv").write_text(f"a,b\n{SECRET},1\n")
    (folder / "secret.json").write_text(f'{{"a": "{SECRET}"}}')
    duckdb.sql(f"copy (select '{SECRET}' as a) to '{folder / 'secret.parquet'}'")
    with duckdb.connect(str(folder / "other.duckdb")) as con:
        con.execute(f"create table t as select '{SECRET}' as a")
    return layout.root


@pytest.fixture(scope="module")
def snapshot(lake: Path) -> Iterator[Snapshot]:
    with open_snapshot(Layout(lake), guarded=True) as opened:
        yield opened


ATTACKS = [
    # other statements
    "copy (select 1) to '{folder}/out.csv'",
    "copy gold.equities_features from '{folder}/secret.csv'",
    "copy (select 1) to '{lake}/CURRENT' (format csv)",
    "export database '{folder}/export'",
    "import database '{folder}/export'",
    "attach '{folder}/other.duckdb' as other",
    "attach ':memory:' as scratch",
    "detach warehouse",
    "use memory",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset lock_configuration",
    "set variable x = 1",
    "pragma database_list",
    "pragma enable_logging",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "begin",
    "create table gold.mine as select 1",
    "create or replace view gold.equities_features as select 1",
    "create macro f() as 1",
    "create secret s (type s3)",
    "insert into gold.equities_features values ('S0', '2020-01-01', 1, 1)",
    "update gold.equities_features set beta_60d = 0",
    "delete from gold.equities_features",
    "drop view gold.equities_features",
    "alter view gold.equities_features rename to x",
    "prepare p as select 1",
    "explain analyze select 1",
    "select 1; select 2",
    "select 1; copy (select 1) to '{folder}/out.csv'",
    "",
    ";",
    "-- nothing",
    "selec 1",
    # statements inside a SELECT
    "with x as (insert into gold.equities_features values ('S0', '2020-01-01', 1, 1) returning *) select * from x",
    "with x as (delete from gold.equities_features returning *) select * from x",
    "select * from (call pragma_version())",
    # files through table functions
    "select * from read_csv('{folder}/secret.csv')",
    "select * from READ_CSV_AUTO('{folder}/secret.csv')",
    "select * from system.main.read_csv('{folder}/secret.csv')",
    "select * from \"read_csv\"('{folder}/secret.csv')",
    "select * from read_parquet('{folder}/secret.parquet')",
    "select * from read_parquet(['{folder}/secret.parquet'])",
    "select * from parquet_scan('{folder}/secret.parquet')",
    "select * from read_json('{folder}/secret.json')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from sniff_csv('{folder}/secret.csv')",
    "select * from parquet_metadata('{folder}/secret.parquet')",
    "select * from parquet_schema('{object}')",
    "select * from read_parquet('{object}')",
    "select * from read_parquet('{lake}/objects/*.parquet')",
    "select * from read_csv('https://example.com/x.csv')",
    "with x as (select * from read_csv('{folder}/secret.csv')) select * from x",
    "select (select a from read_csv('{folder}/secret.csv') limit 1)",
    "select * from gold.equities_features where exists (from read_text('/etc/passwd'))",
    "select * from gold.equities_features, lateral (select * from read_csv('{folder}/secret.csv'))",
    "select 1 union all select a from read_csv('{folder}/secret.csv')",
    "describe select * from read_csv('{folder}/secret.csv')",
    "summarize from '{folder}/secret.csv'",
    # files through names
    "select * from '{folder}/secret.csv'",
    "from '{folder}/secret.parquet'",
    "from '{object}'",
    'select * from "{folder}/secret.json"',
    "select * from 'https://example.com/x.parquet'",
    'select * from "/etc/passwd", (with "/etc/passwd" as (select 1 as a) select a from "/etc/passwd") t',
    # names and text turned into SQL
    "from query('select * from read_csv(''{folder}/secret.csv'')')",
    "from query_table('gold.equities_features')",
    "select * from json_execute_serialized_sql('x')",
    "select json_serialize_plan('select * from read_csv(''{folder}/secret.csv'')')",
    # Python objects
    "select * from params",
    "select * from snapshot",
    "select * from ATTACKS",
    # the session and the machine
    "select getenv('HOME')",
    "select current_setting('temp_directory')",
    "select getvariable('x')",
    "select current_query()",
    "select * from duckdb_secrets()",
    "select * from duckdb_settings()",
    "select * from duckdb_settings",
    "select * from duckdb_logs()",
    "select * from duckdb_databases()",
    "select * from duckdb_views()",
    "select * from pg_catalog.pg_settings",
    "select * from pragma_database_list",
    "select * from sqlite_master",
    "select * from which_secret('s3://x', 's3')",
    "show tables",
    "show databases",
    "select write_log('x')",
    "select nextval('x')",
    "select setseed(0.5)",
    # other catalogs and schemas
    "select * from bronze.hidden",
    "select * from memory.main.x",
    "select * from system.information_schema.tables",
    "select * from meta.builds",
    "select * from information_schema.character_sets",
]


def filled(sql: str, lake: Path) -> str:
    first = min((lake / "objects").glob("*.parquet"))
    return sql.replace("{folder}", str(lake.parent)).replace("{lake}", str(lake)).replace("{object}", str(first))


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused(snapshot: Snapshot, lake: Path, attack: str) -> None:
    """Whatever is not one SELECT over published tables is refused with a remedy, and nothing is written or changed."""
    before = sorted(path.name for path in lake.parent.rglob("*"))
    with pytest.raises(QueryRefused) as refusal:
        run_query(snapshot, filled(attack, lake))
    assert refusal.value.remedy
    assert SECRET not in str(refusal.value)
    assert sorted(path.name for path in lake.parent.rglob("*")) == before
    assert run_query(snapshot, "select count(*) from gold.equities_features").rows == [(440,)]


BEHIND_THE_GUARD = [
    "from read_csv('{folder}/secret.csv')",
    "from '{folder}/secret.parquet'",
    "from read_parquet('{lake}/objects/../../secret.parquet')",
    "from read_text('/etc/passwd')",
    "from glob('/etc/*')",
    "from hidden_table",
    "attach '{folder}/other.duckdb' as other",
    "copy (select 1) to '{folder}/out.csv'",
    "copy (select 1) to '{lake}/CURRENT' (format csv, use_tmp_file false)",
    "install httpfs",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set allowed_paths = ['/etc/passwd']",
    "set temp_directory = '{folder}'",
]


@pytest.mark.parametrize("attack", BEHIND_THE_GUARD)
def test_connection_itself_refuses(lake: Path, attack: str) -> None:
    """Without the parser's check the locked connection still reads and writes nothing outside the snapshot."""
    hidden_table = duckdb.sql("select 'do-not-read-me' as a").to_arrow_table()
    assert hidden_table.num_rows == 1
    before = {path: path.stat().st_size for path in lake.parent.rglob("*") if path.is_file()}
    with open_snapshot(Layout(lake), guarded=True) as opened, pytest.raises(duckdb.Error):
        opened.con.execute(filled(attack, lake)).fetchall()
    assert {path: path.stat().st_size for path in lake.parent.rglob("*") if path.is_file()} == before


QUERIES = [
    ("select count(*) from gold.equities_features", [(440,)]),
    ("SELECT 1;", [(1,)]),
    ("/* one */ select 1 -- two", [(1,)]),
    ("from gold.big_numbers select symbol", [("x",)]),
    ("table gold.big_numbers", [("x", 2**100)]),
    ("values (1, 'a')", [(1, "a")]),
    ("select count(*) from warehouse.gold.equities_features", [(440,)]),
    ('select count(*) from "warehouse"."silver"."equity_bars"', [(440,)]),
    ("with a as (select 1 as x), b as (select x + 1 as x from a) select a.x, b.x from a, b", [(1, 2)]),
    ("with recursive t(n) as (select 1 union all select n + 1 from t where n < 4) select sum(n) from t", [(10,)]),
    (
        "select symbol, rank() over (partition by date order by momentum_5d desc) as r from gold.equities_features "
        "where date = '2001-01-01' order by r",
        [("S3", 1), ("S2", 2), ("S1", 3), ("S0", 4)],
    ),
    (
        "select symbol from gold.equities_features qualify row_number() over (order by date, symbol) = 2",
        [("S1",)],
    ),
    (
        "pivot (select symbol, close from silver.equity_bars where date = '2001-01-01') on symbol in ('S0', 'S1') "
        "using sum(close)",
        [(11323.0, 11323.25)],
    ),
    ("unpivot (select 1 as a, 2 as b) on a, b into name k value v", [("a", 1), ("b", 2)]),
    ("select column_name from (describe gold.equities_features) limit 2", [("symbol",), ("date",)]),
    ("select count(*) from (summarize gold.equities_features)", [(4,)]),
    ("select year(date) as y, count(*) from silver.equity_bars group by all order by y limit 1", [(2001, 148)]),
    ("select count(*) from silver.equity_bars a join gold.equities_features b using (symbol, date)", [(440,)]),
    ("select count(*) from silver.equity_bars a semi join gold.empty_yet b on a.symbol = b.symbol", [(0,)]),
    ("select list_transform([1, 2], lambda x: x * 2)", [([2, 4],)]),
    ("select sum(u) from (select unnest([1, 2, 3]) as u)", [(6,)]),
    ("select count(*) from range(5)", [(5,)]),
    ("select n from gold.a_summary union all select 0 order by 1", [(0,), (440,)]),
    ("select count(*) from preds.equities", [(0,)]),
    ("select count(*) > 0 from information_schema.columns where table_name = 'equities_features'", [(True,)]),
    ("select now()::date > date '2020-01-01', random() < 1", [(True, True)]),
    ("select count(*) from gold.equities_features tablesample 100%", [(440,)]),
    (
        "select corr(momentum_5d, beta_60d) > 0.9, quantile_cont(beta_60d, 0.5) > 0 from gold.equities_features",
        [(True, True)],
    ),
    ("select 'copy (select 1) to x; drop table y'", [("copy (select 1) to x; drop table y",)]),
    ("select * exclude (n) from gold.big_numbers", [("x",)]),
]


@pytest.mark.parametrize("query,expected", QUERIES)
def test_reading_queries_run(snapshot: Snapshot, query: str, expected: list[tuple[object, ...]]) -> None:
    """Plain reading SQL runs: CTEs, windows, pivots, describe, lateral joins, compiled names."""
    assert run_query(snapshot, query).rows == expected


def test_unguarded_snapshots_are_guarded_for_the_query(lake: Path) -> None:
    """Internal code may hold an open connection; a query on it runs on a locked copy of the same manifest."""
    with open_snapshot(Layout(lake)) as opened:
        assert run_query(opened, "select count(*) from gold.equities_features").rows == [(440,)]
        with pytest.raises(QueryRefused):
            run_query(opened, "select * from read_text('/etc/passwd')")
        opened.con.execute("set threads = 1")


def test_parameters_are_values_not_sql(snapshot: Snapshot) -> None:
    """``?`` and ``$name`` take values; a value that looks like SQL stays a value."""
    assert run_query(snapshot, "select ?::varchar", ["x'; drop table y"]).rows == [("x'; drop table y",)]
    assert run_query(snapshot, "select $a + $b", {"a": 1, "b": 2}).rows == [(3,)]


def test_limit_cuts_and_says_so(snapshot: Snapshot) -> None:
    """At most ``limit`` rows come back, with a flag when there were more."""
    cut = run_query(snapshot, "select * from range(10)", limit=3)
    assert (cut.rows, cut.truncated) == ([(0,), (1,), (2,)], True)
    whole = run_query(snapshot, "select * from range(3)", limit=3)
    assert (len(whole.rows), whole.truncated) == (3, False)


def test_columns_and_types_are_told_and_names_made_distinct(snapshot: Snapshot) -> None:
    """A stream knows its columns and types before the first row; repeated names are numbered."""
    with stream_query(snapshot, "select 1 as a, 'x' as a, 1.5::float as b") as stream:
        assert stream.columns == ("a", "a_1", "b")
        assert stream.types == ("INTEGER", "VARCHAR", "FLOAT")
        assert list(stream.chunks) == [[(1, "x", 1.5)]]


def test_a_query_can_be_stopped_by_time(snapshot: Snapshot) -> None:
    """A query that takes longer than its timeout is stopped and refused, and the next one runs."""
    started = time.monotonic()
    with pytest.raises(QueryRefused, match=r"stopped after 0\.3 seconds"):
        run_query(
            snapshot,
            "select count(*) from range(1000000) a, range(1000000) b where (a.range * b.range) % 7 = 3",
            timeout=0.3,
        )
    assert time.monotonic() - started < 10
    assert run_query(snapshot, "select 1", timeout=30).rows == [(1,)]


def test_a_query_cannot_take_more_memory_than_allowed(lake: Path) -> None:
    """Over its memory limit a query is refused; it cannot spill to disk instead."""
    big = "select count(*) from (select distinct hash(range) || repeat('x', 100) from range(5000000))"
    with (
        open_snapshot(Layout(lake), guarded=True, memory_limit="50MB") as opened,
        pytest.raises(QueryRefused, match="more memory"),
    ):
        run_query(opened, big)


@pytest.mark.parametrize("depth", [200, 20_000])
def test_deep_nesting_does_not_slip_past_the_check(snapshot: Snapshot, depth: int) -> None:
    """Thousands of parentheses neither crash the process nor hide a refused function; afterwards queries run."""
    with pytest.raises(QueryRefused):
        run_query(snapshot, "select " + "(" * depth + "getenv('HOME')" + ")" * depth)
    assert run_query(snapshot, "select ((((1))))").rows == [(1,)]


def test_too_long_a_statement_is_refused(snapshot: Snapshot) -> None:
    """A megabyte of SQL is refused by its length."""
    with pytest.raises(QueryRefused, match="the limit is"):
        run_query(snapshot, "select " + "1 + " * 250_000 + "1")


@pytest.mark.parametrize(
    "query,expected",
    [
        ("select * from equities_features", r"needs its schema, as in gold\.equities_features"),
        ("select * from gold.equities_featurs", r"did you mean gold\.equities_features"),
        ("select momentum from gold.equities_features", "momentum_5d"),
        ("select * from bronze.hidden", r"published are silver, gold"),
        ("copy (select 1) to 'x'", "a COPY statement is refused"),
        ("select * from read_csv('x')", "table function read_csv is refused"),
        ("select 'x'::int", "Conversion Error"),
    ],
)
def test_refusals_say_what_is_wrong(snapshot: Snapshot, query: str, expected: str) -> None:
    """The message names the statement, function, table or column at fault."""
    with pytest.raises(QueryRefused, match=expected):
        run_query(snapshot, query)


def test_parquet_output_keeps_types(snapshot: Snapshot, tmp_path: Path) -> None:
    """write_parquet writes the query's rows with their types, whole, and tells how many."""
    path = tmp_path / "out.parquet"
    query = "select symbol, date, momentum_5d from gold.equities_features order by date, symbol; -- the end"
    assert write_parquet(snapshot, query, path) == 440
    described = [row[:2] for row in duckdb.sql(f"describe from '{path}'").fetchall()]
    assert described == [("symbol", "VARCHAR"), ("date", "DATE"), ("momentum_5d", "FLOAT")]
    assert write_parquet(snapshot, query, path, limit=3) == 3
    assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(3,)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize(
    "query",
    [
        "select 1) to '/tmp/x' (format csv); --",
        "select 1; copy (select 1) to '/tmp/x'",
        "select * from read_text('/etc/passwd')",
        "from '/etc/passwd'",
    ],
)
def test_parquet_output_is_guarded_too(snapshot: Snapshot, tmp_path: Path, query: str) -> None:
    """The text cannot close the bracket DuckDB puts around it, nor read files, and nothing is left behind."""
    with pytest.raises(QueryRefused):
        write_parquet(snapshot, query, tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


def test_parquet_output_cannot_go_into_the_lake(snapshot: Snapshot, lake: Path, tmp_path: Path) -> None:
    """Only trademl writes the lake, and a missing folder is named."""
    with pytest.raises(QueryRefused, match="inside the lake"):
        write_parquet(snapshot, "select 1", lake / "objects" / "mine.parquet")
    with pytest.raises(QueryRefused, match="no folder"):
        write_parquet(snapshot, "select 1", tmp_path / "none" / "out.parquet")


def test_tables_are_listed_with_grain_columns_and_rows(snapshot: Snapshot) -> None:
    """Every published relation is listed once; batch tables and views too."""
    listed = {row[0]: row[1:] for row in list_tables(snapshot)}
    assert listed["silver.equity_bars"] == ("table", 440, "symbol, date", "symbol VARCHAR, date DATE, close DOUBLE")
    assert listed["gold.equities_training"][:2] == ("view", None)
    assert listed["preds.equities"][:3] == ("batches", 0, "ticker, dt, horizon, model_id")
    json.dumps(list_tables(snapshot))
