"""Rows as text, for eyes and for programs."""

import csv
import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from trademl.warehouse.rendering import flatten, write_csv, write_json, write_table

ROWS: list[tuple[Any, ...]] = [
    ("A", 1, 0.1, date(2020, 1, 2), True),
    ("", None, float("nan"), None, None),
    ('say "hi", twice\n', -2, float("-inf"), date(1999, 12, 31), False),
]
COLUMNS = ("name", "n", "x", "day", "flag")
TYPES = ("VARCHAR", "BIGINT", "DOUBLE", "DATE", "BOOLEAN")


def csv_text(rows: list[tuple[Any, ...]], columns: tuple[str, ...] = COLUMNS) -> str:
    out = io.StringIO()
    assert write_csv(out, columns, rows) == len(rows)
    return out.getvalue()


def json_text(rows: list[tuple[Any, ...]], columns: tuple[str, ...] = COLUMNS) -> str:
    out = io.StringIO()
    assert write_json(out, columns, rows) == len(rows)
    return out.getvalue()


def table_text(rows: list[tuple[Any, ...]], columns: tuple[str, ...], types: tuple[str, ...], **options: Any) -> str:
    out = io.StringIO()
    assert write_table(out, columns, types, rows, **options) == len(rows)
    return out.getvalue()


def test_csv_keeps_null_apart_from_the_empty_string() -> None:
    """NULL is an empty field, an empty string is quoted, NaN and infinity are words, quotes are doubled."""
    assert csv_text(ROWS) == (
        'name,n,x,day,flag\nA,1,0.1,2020-01-02,true\n"",,nan,,\n"say ""hi"", twice\n",-2,-inf,1999-12-31,false\n'
    )
    assert len(list(csv.reader(io.StringIO(csv_text(ROWS))))) == 4


def test_json_is_valid_and_has_no_nan() -> None:
    """NaN and infinity become null, which strict JSON readers accept; the rest keeps its type."""

    def refuse(word: str) -> None:
        raise AssertionError(f"not JSON: {word}")

    read = json.loads(json_text(ROWS), parse_constant=refuse)
    assert read == [
        {"name": "A", "n": 1, "x": 0.1, "day": "2020-01-02", "flag": True},
        {"name": "", "n": None, "x": None, "day": None, "flag": None},
        {"name": 'say "hi", twice\n', "n": -2, "x": None, "day": "1999-12-31", "flag": False},
    ]
    assert json.loads(json_text([])) == []


@pytest.mark.parametrize(
    "value,in_csv,in_json",
    [
        (datetime(2020, 1, 2, 3, 4, 5), "2020-01-02 03:04:05", "2020-01-02T03:04:05"),
        (datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), "2020-01-02 03:04:05+00:00", "2020-01-02T03:04:05+00:00"),
        (time(9, 30), "09:30:00", "09:30:00"),
        (timedelta(hours=1), "1:00:00", 3600.0),
        (Decimal("1.50"), "1.50", 1.5),
        (2**100, str(2**100), 2**100),
        (b"\x00\xff", "AP8=", "AP8="),
        ([1, None, float("nan")], '"[1, null, null]"', [1, None, None]),
        ({"a": date(2020, 1, 1)}, '"{""a"": ""2020-01-01""}"', {"a": "2020-01-01"}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        ("grün", "grün", "grün"),
    ],
)
def test_every_kind_of_value_has_a_form(value: Any, in_csv: str, in_json: Any) -> None:
    """Dates, times, decimals, big integers, bytes and nested values are written in CSV and JSON."""
    assert csv_text([(value,)], ("v",)) == f"v\n{in_csv}\n"
    assert json.loads(json_text([(value,)], ("v",))) == [{"v": in_json}]


def test_table_is_aligned_with_numbers_to_the_right() -> None:
    """Text stands left, numbers right; NULL is said; floats show the digits they have."""
    rows = [("AAPL", 0.123456789012345, 0.10000000149011612, None), ("B", -12.5, float("nan"), 7)]
    assert table_text(rows, ("symbol", "double", "float", "n"), ("VARCHAR", "DOUBLE", "FLOAT", "INTEGER")) == (
        "symbol       double  float     n\n"
        "------  -----------  -----  ----\n"
        "AAPL    0.123456789    0.1  NULL\n"
        "B             -12.5    nan     7\n"
        "(2 rows)\n"
    )


def test_table_says_what_it_left_out() -> None:
    """Rows beyond the limit and columns beyond the width are left out, and the last line says how to see them."""
    columns = tuple(f"column_{number}" for number in range(12))
    text = table_text([tuple(range(12))], columns, ("INTEGER",) * 12, width=50, more=True)
    lines = text.splitlines()
    assert all(len(line) <= 50 for line in lines[:3])
    assert lines[0].startswith("column_0")
    assert lines[0].endswith("column_11")
    assert "…" in lines[0]
    assert "--limit 0" in lines[-1]
    assert "8 of 12 columns do not fit" in lines[-1]


def test_table_of_nothing_has_its_header() -> None:
    """A query without rows shows its columns and says 0 rows."""
    assert table_text([], ("a",), ("INTEGER",)) == "a\n-\n(0 rows)\n"


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Escape sequences in data are written out, long text is cut, wide characters are aligned."""
    text = table_text([("\x1b[2Jx\n", "y"), ("z" * 100, "y"), ("日本", "y")], ("a", "b"), ("VARCHAR", "VARCHAR"))
    assert "\x1b" not in text
    assert "\\x1b[2Jx\\n" in text
    assert "z" * 59 + "…" in text
    assert "日本" + " " * 56 + "  y" in text


def test_chunks_are_flattened_lazily() -> None:
    """Rows come out one by one, in order."""
    assert list(flatten([[(1,), (2,)], [], [(3,)]])) == [(1,), (2,), (3,)]
