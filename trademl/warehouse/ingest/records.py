"""The careful CSV reader: every record of a file comes out exactly once, as a row or as a complaint.

It reads what DuckDB's reader would refuse or repair silently: quotes, embedded newlines, ragged lines, NUL bytes, bytes
that are not UTF-8. A quote that is never closed costs its own line, not the rest of the file.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from trademl.warehouse.ingest.files import Inspected, open_bytes

LONGEST_RECORD = 50
"""Most lines that one quoted record may span; beyond it the opening quote counts as a mistake."""


@dataclass(frozen=True)
class Record:
    """A record at ``line`` (the first of its lines, from 1): ``values``, or the ``reason`` why it is none.

    ``text`` is the record as read; bytes that are not UTF-8 are shown as ``\\xNN``.
    """

    line: int
    values: tuple[str, ...]
    text: str
    reason: str | None = None
    detail: str | None = None


def read_records(file: Inspected) -> Iterator[Record]:
    """Yield the records below the header of a CSV file, in order; blank lines are none."""
    pending = _lines(file)
    queue: list[tuple[int, bytes]] = []
    while True:
        if not queue:
            following = next(pending, None)
            if following is None:
                return
            queue.append(following)
        line, raw = queue.pop(0)
        if line <= file.header_line or not raw.strip():
            continue
        if raw.count(b'"') % 2 == 0:
            yield _parse(file, line, raw)
            continue
        record, used = _join_quoted(raw, queue, pending)
        if record is not None and len(_split(file, record)) == len(file.columns):
            del queue[:used]
            yield _parse(file, line, record)
        else:
            yield Record(line, (), _show(raw), "unbalanced_quote", "the line opens a quote that is not closed")


def _lines(file: Inspected) -> Iterator[tuple[int, bytes]]:
    with open_bytes(file.source.path) as stream:
        yield from enumerate(_terminated(stream), start=1)


def _terminated(stream: IO[bytes]) -> Iterator[bytes]:
    for raw in stream:
        line = raw.removesuffix(b"\n").removesuffix(b"\r")
        # A file from an old Macintosh has carriage returns only: it arrives as one line.
        if b"\r" in line and not raw.endswith(b"\n"):
            yield from line.split(b"\r")
        else:
            yield line


def _join_quoted(
    raw: bytes, queue: list[tuple[int, bytes]], pending: Iterator[tuple[int, bytes]]
) -> tuple[bytes | None, int]:
    """Append following lines until the quotes balance; they stay in ``queue`` until the caller accepts them."""
    joined = raw
    for used in range(1, LONGEST_RECORD):
        if len(queue) < used:
            following = next(pending, None)
            if following is None:
                return None, 0
            queue.append(following)
        joined += b"\n" + queue[used - 1][1]
        if joined.count(b'"') % 2 == 0:
            return joined, used
    return None, 0


def _parse(file: Inspected, line: int, raw: bytes) -> Record:
    shown = _show(raw)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        found = raw[error.start : error.start + 1].hex()
        return Record(line, (), shown, "bad_encoding", f"byte 0x{found} at position {error.start + 1} is not UTF-8")
    values = _split(file, raw)
    if not values:
        return Record(line, (), shown, "ragged_row", "the line cannot be split into fields")
    if len(values) != len(file.columns):
        detail = f"the line has {len(values)} fields, the header {len(file.columns)}"
        return Record(line, (), shown, "ragged_row", detail)
    return Record(line, tuple(values), shown)


def _split(file: Inspected, raw: bytes) -> list[str]:
    text = raw.decode("utf-8", errors="backslashreplace")
    if '"' not in text:
        return text.split(file.delimiter)
    try:
        rows = list(csv.reader(iter([text]), delimiter=file.delimiter))
    except csv.Error:
        return []
    return rows[0] if len(rows) == 1 else []


def _show(raw: bytes) -> str:
    return raw.decode("utf-8", errors="backslashreplace")
