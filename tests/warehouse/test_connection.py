"""`trademl.connect()`: SELECT over the current snapshot from Python, on a server and on a device, and nothing else."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

import trademl
from tests.edge.device_home import NOW, SYMBOLS, write_release
from tests.lake.small_warehouse import REPOSITORY, write_warehouse
from trademl.config import Home
from trademl.edge.run import score_release
from trademl.errors import HomeNotFound, QueryRefused, SnapshotError
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import collect_garbage, take_snapshot

ROWS = 440


@pytest.fixture
def server(home: Home) -> Home:
    write_warehouse(layout_of(home), shift=0.5)
    take_snapshot(layout_of(home))
    return home


def test_rows_come_as_whatever_duckdb_gives(server: Home) -> None:
    """Tuples, a pandas frame and an Arrow table of the same SELECT; parameters by place and by name."""
    with trademl.connect(server.root) as db:
        query = "select symbol, count(*) as n from silver.equity_bars where symbol <> ? group by all order by symbol"
        assert db.sql(query, ["S0"]).fetchall() == [("S1", 110), ("S2", 110), ("S3", 110)]
        assert db.sql(query, ["S0"]).df()["n"].tolist() == [110, 110, 110]
        assert db.sql(query, ["S0"]).to_arrow_table().num_rows == 3
        assert db.sql("select count(*) from gold.equities_features where symbol = $one", {"one": "S3"}).fetchall() == [
            (110,)
        ]
        assert {row[0] for row in db.tables()} >= {"silver.equity_bars", "preds.equities"}
        assert db.manifest.seq == 1


def test_the_home_is_found_as_the_command_line_finds_it(server: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRADEML_HOME names it; a folder given by hand wins, and one that is no home is refused."""
    monkeypatch.setenv("TRADEML_HOME", str(server.root))
    with trademl.connect() as db:
        assert db.sql("select count(*) from silver.equity_bars").fetchall() == [(ROWS,)]
    with pytest.raises(HomeNotFound, match="is no home"):
        trademl.connect(server.lake)


def test_an_empty_home_says_to_build(home: Home) -> None:
    """Without a snapshot there is nothing to connect to."""
    with pytest.raises(SnapshotError, match="no snapshot"):
        trademl.connect(home.root)


@pytest.mark.parametrize(
    "statement",
    [
        "create table gold.mine as select 1",
        "insert into silver.equity_bars select * from silver.equity_bars",
        "copy (select 1) to '/tmp/out.csv'",
        "attach '/tmp/x.duckdb'",
        "set memory_limit = '1GB'",
        "pragma database_list",
        "install httpfs",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select getenv('HOME')",
        "select 1; select 2",
        "drop view silver.equity_bars",
        "select * from a_python_variable",
    ],
)
def test_anything_but_a_select_over_the_snapshot_is_refused(server: Home, statement: str) -> None:
    """Writing, settings, files, several statements and Python variables: each is refused before it runs."""
    a_python_variable = duckdb.sql("select 1")  # noqa: F841
    with trademl.connect(server.root) as db:
        with pytest.raises(QueryRefused):
            db.sql(statement)
        assert db.sql("select count(*) from silver.equity_bars").fetchall() == [(ROWS,)]


def test_a_relation_cannot_write_either(server: Home, tmp_path: Path) -> None:
    """What DuckDB offers on a relation meets the second wall: no file can be written, no setting changed."""
    with trademl.connect(server.root) as db:
        relation = db.sql("select 1 as a")
        with pytest.raises(duckdb.Error, match="disabled"):
            relation.write_parquet(str(tmp_path / "out.parquet"))
        with pytest.raises(duckdb.Error, match="disabled"):
            relation.query("a", "select * from read_text('/etc/passwd')")
        with pytest.raises(duckdb.Error, match="locked"):
            relation.query("a", "set memory_limit = '1GB'")
    assert list(tmp_path.glob("*.parquet")) == []


def test_wrong_sql_is_a_refusal_with_a_remedy(server: Home) -> None:
    """An unknown column is one message, not DuckDB's page."""
    with trademl.connect(server.root) as db, pytest.raises(QueryRefused, match="nonsense") as caught:
        db.sql("select nonsense from silver.equity_bars")
    assert "trademl sql --tables" in caught.value.remedy


def test_an_open_connection_stays_as_it_is(server: Home) -> None:
    """Publishing and garbage collection do not disturb it; a new connection sees what was published."""
    layout = layout_of(server)
    query = "select min(close) from silver.equity_bars"
    with trademl.connect(server.root) as db:
        for number in (1, 2):
            write_warehouse(layout, build_id=f"b{number + 1}", shift=float(number))
            take_snapshot(layout)
        collect_garbage(layout, keep=1)
        assert db.sql(query).fetchall() == [(11323.5,)]
        with trademl.connect(server.root) as later:
            assert later.sql(query).fetchall() == [(11325.0,)]


def test_it_opens_while_the_warehouse_is_being_written(server: Home) -> None:
    """A build that holds the warehouse file does not keep anyone from reading the snapshot."""
    with duckdb.connect(str(server.warehouse)) as builder:
        builder.execute("begin; create table silver.half_done as select 1")
        found: list[object] = []

        def read() -> None:
            with trademl.connect(server.root) as db:
                found.extend(db.sql("select count(*) from silver.equity_bars").fetchall())

        reader = threading.Thread(target=read)
        reader.start()
        reader.join()
    assert found == [(ROWS,)]


def test_a_device_is_asked_in_the_same_way(home: Home) -> None:
    """On a device the views show the release's tables and the device's own predictions."""
    write_release(home)
    score_release(home, now=lambda: NOW)
    with trademl.connect(home.root) as db:
        joined = "select count(*) from preds.equities p join silver.coverage c on p.dt = c.date where status = 'GREEN'"
        assert db.sql(joined).fetchall() == [(SYMBOLS,)]
        with pytest.raises(QueryRefused):
            db.sql("create table x as select 1")


def test_importing_trademl_loads_nothing_heavy() -> None:
    """`import trademl` alone brings in no third-party module."""
    code = "import sys, trademl; print(sorted({'duckdb', 'numpy', 'pydantic', 'yaml', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout == "[]\n"


def test_the_documented_sql_for_any_duckdb_reads_the_snapshot(server: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statements of docs/sql.md for the duckdb command line find CURRENT's objects and count the same rows."""
    page = (REPOSITORY / "docs" / "sql.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(set variable .*?)```", page, re.DOTALL)
    monkeypatch.chdir(server.root)
    with duckdb.connect() as con:
        for statement in [text for text in block.split(";") if text.strip()]:
            con.execute(statement)
        rows = con.fetchall()
    with trademl.connect(server.root) as db:
        expected = db.sql("select * from gold.equities_features order by date desc, symbol limit 5").fetchall()
    assert len(rows) == 5
    assert rows == expected
