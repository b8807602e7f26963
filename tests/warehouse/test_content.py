"""Content hashes tell equal tables from different ones."""

from pathlib import Path

import duckdb

from trademl.warehouse.content import content_hashes


def made(path: Path, *statements: str) -> Path:
    with duckdb.connect(str(path)) as con:
        con.execute("create schema gold; create schema silver")
        for statement in statements:
            con.execute(statement)
    return path


def digest_of(path: Path, query: str) -> tuple[int, str]:
    return content_hashes(made(path, f"create table gold.t as {query}"))["t"]


def test_the_order_of_rows_does_not_show(tmp_path: Path) -> None:
    """Two files with the same 10,000 rows, forwards and backwards, have one hash."""
    forwards = digest_of(tmp_path / "a", "select range as n, range / 7 as x from range(10_000) order by n")
    backwards = digest_of(tmp_path / "b", "select range as n, range / 7 as x from range(10_000) order by n desc")
    assert forwards == backwards
    assert forwards[0] == 10_000


def test_one_bit_of_one_cell_shows(tmp_path: Path) -> None:
    """0.1 + 0.2 and 0.3 differ in their last bit, and so do their hashes."""
    found = [
        digest_of(tmp_path / name, f"select 1 as n, {value} as x")
        for name, value in (("a", "0.1::double + 0.2::double"), ("b", "0.3::double"))
    ]
    assert found[0] != found[1]


def test_a_doubled_row_shows(tmp_path: Path) -> None:
    """Three copies of every row have the same exclusive or as one, but another sum and another count."""
    single = digest_of(tmp_path / "a", "select range as n from range(3)")
    threefold = digest_of(tmp_path / "b", "select one.range as n from range(3) as one, range(3) as again")
    assert (single[0], threefold[0]) == (3, 9)
    assert single[1] != threefold[1]


def test_null_is_not_zero(tmp_path: Path) -> None:
    """A missing value and 0 differ."""
    assert digest_of(tmp_path / "a", "select null::integer as n") != digest_of(tmp_path / "b", "select 0 as n")


def test_an_empty_table_has_a_hash(tmp_path: Path) -> None:
    """No rows: the hash is 32 zeros."""
    assert digest_of(tmp_path / "a", "select 1 as n where false") == (0, "0" * 32)


def test_tables_of_the_schema_are_hashed_and_views_are_not(tmp_path: Path) -> None:
    """Base tables of the one schema asked for, in the order of their names."""
    path = made(
        tmp_path / "a",
        "create table gold.b as select 1 as n",
        "create table gold.a as select 1 as n",
        "create view gold.v as select 1 as n",
        "create table silver.s as select 1 as n",
    )
    assert list(content_hashes(path)) == ["a", "b"]
    assert list(content_hashes(path, schema="silver")) == ["s"]


def test_a_filter_cuts_every_table(tmp_path: Path) -> None:
    """Up to a cutoff, a longer table has the hash of the shorter one."""
    short = made(tmp_path / "a", "create table gold.t as select range as n from range(5)")
    long = made(tmp_path / "b", "create table gold.t as select range as n from range(9)")
    assert content_hashes(long, where="n < 5") == content_hashes(short)
