"""Rows as text: an aligned table for eyes, CSV and JSON for programs.

NULL is an empty CSV field (an empty string is ``""``), JSON ``null``, and ``NULL`` in a table. JSON has no NaN or
infinity: they become ``null`` there, and stay ``nan``, ``inf`` and ``-inf`` in CSV and tables. Dates and timestamps are
ISO 8601.
"""

import base64
import csv
import io
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO

Row = Sequence[Any]

_CELL_WIDTH = 60
_NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_INEXACT = ("FLOAT", "DOUBLE", "DECIMAL", "UHUGEINT")


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Write a header and rows as CSV with ``\\n`` line ends; return the number of rows."""
    out.write(",".join(_csv_field(name) for name in columns) + "\n")
    count = 0
    for row in rows:
        out.write(",".join("" if value is None else _csv_field(_text(value)) for value in row) + "\n")
        count += 1
    return count


def write_json(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Write an array of objects, one a line; return the number of rows."""
    out.write("[")
    count = 0
    for row in rows:
        record = {name: _plain(value) for name, value in zip(columns, row, strict=True)}
        out.write(",\n " if count else "\n ")
        out.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
        count += 1
    out.write("\n]\n" if count else "]\n")
    return count


def write_table(
    out: TextIO,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Sequence[Row],
    *,
    width: int | None = None,
    more: bool = False,
) -> int:
    """Write rows as an aligned table that is at most ``width`` wide (None: as wide as it needs); return their number.

    Columns that do not fit are left out from the middle, and the last line says so. ``more`` says that rows were left
    out.
    """
    cells = [[_cell(value, kind) for value, kind in zip(row, types, strict=True)] for row in rows]
    heads = [_shorten(_printable(name)) for name in columns]
    widths = [max([_width(head), *(_width(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    shown = _fitting(widths, width)
    right = [types[i].startswith(_NUMERIC + _INEXACT) and not types[i].endswith("]") for i in range(len(types))]
    out.write(_line(heads, shown, widths, right))
    out.write(_line(["-" * w for w in widths], shown, widths, right))
    for row in cells:
        out.write(_line(row, shown, widths, right))
    rest = ", there are more: --limit 0 shows all" if more else ""
    notes = [f"{len(rows)} row{'' if len(rows) == 1 else 's'}{rest}"]
    hidden = len(columns) - sum(index is not None for index in shown)
    if hidden:
        notes.append(f"{hidden} of {len(columns)} columns do not fit: name the columns, or --format csv shows all")
    out.write(f"({'; '.join(notes)})\n")
    return len(rows)


def flatten(chunks: Iterable[list[tuple[Any, ...]]]) -> Iterator[tuple[Any, ...]]:
    """Give the rows of ``chunks`` one by one."""
    for chunk in chunks:
        yield from chunk


def _csv_field(text: str) -> str:
    if text == "":
        return '""'
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([text])
    return buffer.getvalue()


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case float() | int() | Decimal():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case list() | tuple() | dict():
            return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    """Return ``value`` as something JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return float(value) if value.is_finite() else None
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {_text(key): _plain(item) for key, item in value.items()}
        case _:
            return _text(value)


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        # A FLOAT has 7 digits; more would show the noise of its conversion to double.
        return f"{value:.7g}" if kind == "FLOAT" else f"{value:.10g}"
    return _shorten(_printable(_text(value)))


def _printable(text: str) -> str:
    """Escape control characters: data must not drive the reader's terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shorten(text: str) -> str:
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fitting(widths: Sequence[int], width: int | None) -> list[int | None]:
    """Return the columns to show, None standing for a gap; taken in turn from the left and from the right."""
    every: list[int | None] = list(range(len(widths)))
    if width is None or sum(widths) + 2 * (len(widths) - 1) <= width:
        return every
    left: list[int | None] = [0]
    right: list[int | None] = []
    used = widths[0] + 3
    low, high = 1, len(widths) - 1
    while low <= high:
        take_left = len(left) <= len(right) + 1
        column = low if take_left else high
        used += widths[column] + 2
        if used > width:
            break
        if take_left:
            left.append(column)
            low += 1
        else:
            right.insert(0, column)
            high -= 1
    return [*left, None, *right] if low <= high else every


def _line(cells: Sequence[str], shown: Sequence[int | None], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for index in shown:
        if index is None:
            parts.append("…")
            continue
        padding = " " * (widths[index] - _width(cells[index]))
        parts.append(padding + cells[index] if right[index] else cells[index] + padding)
    return "  ".join(parts).rstrip() + "\n"
