"""Random cross-sections and the operators' SQL over them, for the tests of the cross-sectional macros."""

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from math import nan
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tests.warehouse.macro_rendering import Macros

MACROS = Macros()
QUANTUM = "1e-12"
FEATURES = ("x", "y", "f", "g", "h")
COLUMNS = ("date", "symbol", "sector_group", *FEATURES)

Row = dict[str, Any]


def feature(name: str, quantum: str | None = QUANTUM) -> dict[str, str | None]:
    """What the macros need of a feature's definition."""
    return {"name": name, "quantum": quantum}


def day(index: int) -> date:
    """The date with a number."""
    return date(2020, 1, 1) + timedelta(days=index)


def single(value: float | None) -> float | None:
    """The value as a FLOAT column holds it."""
    return None if value is None else float(np.float32(value))


def random_panel(seed: int, dates: int = 12, symbols: int = 40) -> list[Row]:
    """Return a panel with ties, missing values, constants, outliers, collinear factors and dates with few rows.

    x has outliers and ties, y is driven by the factors f and g, and h is collinear with them on every fourth date.
    Date 0 has one row, date 1 two rows, date 2 three; on date 3 x is constant, on date 4 missing; on date 5 f is
    constant, on date 6 missing, and on date 7 y is a factor's multiple.
    """
    draw = random.Random(seed)
    rows = []
    for index in range(dates):
        for number in range(min(symbols, index + 1) if index < 3 else symbols):
            f, g = draw.gauss(17, 2), draw.gauss(1, 0.5)
            x = draw.choice([draw.gauss(0, 1), draw.randint(-2, 2), draw.gauss(0, 50)])
            row: Row = {
                "date": day(index),
                "symbol": f"S{number:03d}",
                "sector_group": draw.choice(["", "a", "b", "c"]),
            }
            y: float | None = 0.3 * f - 2 * g + draw.gauss(0, 1)
            h = 2 * f - 3 * g if index % 4 == 0 else draw.gauss(-4, 3)
            missing = {name: draw.random() < 0.1 for name in FEATURES}
            values = {"x": x, "y": y, "f": f, "g": g, "h": h}
            if index == 3:
                values["x"] = 2.5
            if index == 5:
                values["f"] = 17.25
            if index == 7:
                values["y"] = 4 * float(np.float32(g))
            row.update({name: None if missing[name] else single(values[name]) for name in FEATURES})
            if index in (4, 6):
                row["x" if index == 4 else "f"] = None
            rows.append(row)
    draw.shuffle(rows)
    return rows


@cache
def connection(threads: int) -> duckdb.DuckDBPyConnection:
    """Return the database of all tests with this number of threads: to open one takes longer than a query."""
    con = duckdb.connect()
    con.execute(f"set threads = {threads}")
    return con


def database(rows: Sequence[Row], threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Return a database whose table `universe` has the rows in their order, features as FLOAT."""
    con = connection(threads)
    kinds = {"date": pa.date32(), "symbol": pa.string(), "sector_group": pa.string()}
    table = pa.table(
        {column: pa.array([row[column] for row in rows], type=kinds.get(column, pa.float32())) for column in COLUMNS}
    )
    con.register("given", table)
    con.execute("create or replace table universe as select * from given")
    con.unregister("given")
    return con


def rendered(template: str, **context: object) -> str:
    """The SQL of a template in which the features' definitions are names."""
    return MACROS.render(template, **{name: feature(name) for name in FEATURES}, **context)


def answers(rows: Sequence[Row], template: str, threads: int = 1, **context: object) -> dict[tuple[date, str], Any]:
    """Return column `value` of the template's query by date and symbol."""
    found = database(rows, threads).execute(rendered(template, **context)).fetchall()
    return {(when, symbol): value for when, symbol, value in found}


def large_universe(threads: int, order: str) -> duckdb.DuckDBPyConnection:
    """Return a database whose table `universe` has 300,000 rows, more than a thread takes at a time."""
    columns = ", ".join(
        f"case when hash(d, s, {n}) % 11 > 0 then cast(hash(s, d, {n}) % 100003 / 997.0 - 50 as float) end as {name}"
        for n, name in enumerate(FEATURES)
    )
    con = connection(threads)
    con.execute(f"""
        create or replace table universe as
        select date '2020-01-01' + cast(d as integer) as date, 'S' || s as symbol, 'abc'[1 + s % 3] as sector_group,
            {columns}
        from range(400) as dates(d) cross join range(750) as names(s)
        order by {order}
    """)
    return con


def cross_sections(rows: Sequence[Row]) -> dict[date, list[Row]]:
    """The rows of each date, by symbol."""
    found: dict[date, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["date"], row["symbol"])):
        found[row["date"]].append(row)
    return dict(found)


def values_of(rows: Sequence[Row], name: str) -> list[float | None]:
    """One column of a cross-section."""
    return [row[name] for row in rows]


def bits(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, bytes]:
    """Return every column of the result as bytes, missing values marked: equal only if equal in every bit."""
    table = con.sql(query).to_arrow_table()
    found = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        nulls = column.is_null().to_numpy(zero_copy_only=False)
        plain = column.fill_null(nan) if pa.types.is_floating(column.type) else column
        values = plain.to_numpy(zero_copy_only=False)
        payload = values.tobytes() if values.dtype != object else "\n".join(map(str, values)).encode()
        found[name] = nulls.tobytes() + payload
    return found


def assert_no_trace_of_threads(query: str) -> None:
    """One thread, two threads, and another order of the rows give the same bits on a large table."""
    runs = [(1, "d, s"), (2, "d, s"), (2, "hash(d, s, 7)")]
    found = [bits(large_universe(threads, order), query) for threads, order in runs]
    assert found[0] == found[1] == found[2]


def assert_close(found: dict[tuple[date, str], Any], expected: dict[tuple[date, str], Any], tolerance: float) -> None:
    """The same keys, the same missing values, and numbers within the tolerance of max(1, |value|)."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        got = found[key]
        assert (got is None) == (value is None), (key, got, value)
        assert got is None or abs(got - value) <= tolerance * max(1.0, abs(value)), (key, got, value)
