"""Difficult CSV: nothing vanishes, nothing is repaired silently."""

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.warehouse.ingest.desk import HEADER, Desk, bar
from trademl.schema import RAW
from trademl.warehouse.ingest.files import FileRefused, SourceFile, inspect
from trademl.warehouse.ingest.mapping import Columns, Reading
from trademl.warehouse.ingest.records import Record, read_records
from trademl.warehouse.ingest.stage import create_staged, stage_file

A, B, C = (bar(symbol, "2026-11-18").encode() for symbol in "ABC")
HEAD = HEADER.encode()


def landed(desk: Desk, data: bytes) -> tuple[list[tuple[str, int]], list[tuple[int, str]]]:
    """Ingest ``data`` and return (symbol, line) landed and (line, reason) quarantined."""
    report = desk.ingest(desk.write_bytes("bars.csv", data))
    bad = desk.quarantine() if report.quarantined else []
    return desk.rows("select symbol, line from landed order by line"), bad


def test_windows_line_ends_and_a_byte_order_mark_are_nothing_special(desk: Desk) -> None:
    """Excel's UTF-8 export lands with its line numbers."""
    assert landed(desk, b"\xef\xbb\xbf" + b"\r\n".join([HEAD, A, B])) == ([("A", 2), ("B", 3)], [])


def test_mixed_line_ends_and_blank_lines_keep_the_line_numbers(desk: Desk) -> None:
    """Blank lines are no rows, but they count as lines."""
    assert landed(desk, b"\n" + HEAD + b"\r\n" + A + b"\n\r\n \n" + B + b"\r\n") == ([("A", 3), ("B", 6)], [])


def test_carriage_returns_alone_end_lines_too(desk: Desk) -> None:
    """A file from an old Macintosh is read."""
    assert landed(desk, b"\r".join([HEAD, A, B])) == ([("A", 2), ("B", 3)], [])


def test_quotes_may_hold_delimiters_and_newlines(desk: Desk) -> None:
    """A quoted note over two lines is one record, at its first line."""
    data = HEAD + b",note\n" + A + b',"one, ""two""\nthree"\n' + B + b",\n"
    assert landed(desk, data) == ([("A", 2), ("B", 4)], [])


def test_a_quote_that_is_never_closed_costs_its_own_line_only(desk: Desk) -> None:
    """The lines after it land; it is quarantined whole."""
    data = b"\n".join([HEAD, A, b'"X,2026-11-18,1,1,1,1,1', B, C])
    assert landed(desk, data) == ([("A", 2), ("B", 4), ("C", 5)], [(3, "unbalanced_quote")])


def test_bytes_that_are_not_utf8_and_nul_bytes_are_quarantined(desk: Desk) -> None:
    """Latin-1 text and NUL bytes in a row do not stop the rows around it."""
    data = b"\n".join([HEAD, A, B.replace(b"B", b"\xe9"), C.replace(b"C", b"C\0")])
    assert landed(desk, data) == ([("A", 2)], [(3, "bad_encoding"), (4, "bad_symbol")])
    assert "\\xe9" in desk.quarantine('"row"')[0][0]


LINES = st.lists(
    st.binary(max_size=12) | st.sampled_from([b'a,"b', b'"', b"1,2,3", b'"x\ny",2,3', b"", b"\r"]), max_size=12
)


@given(LINES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_byte_of_any_file_is_in_exactly_one_record(lines: list[bytes]) -> None:
    """Records cover the lines below the header in order, without gap or overlap, whatever the bytes are."""
    body = b"\n".join([b"a,b,c", *lines])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.csv"
        path.write_bytes(body)
        try:
            records = list(read_records(inspect(SourceFile(path, "any"))))
        except FileRefused:
            return
    physical = body.split(b"\n")
    if len(physical) == 1 and b"\r" in body:
        physical = body.split(b"\r")
    assert "".join(squeeze(record.text) for record in records) == "".join(
        squeeze(line.decode("utf-8", errors="backslashreplace")) for line in physical[1:] if line.strip()
    )
    assert [record.line for record in records] == sorted({record.line for record in records})
    assert all(is_row(record) for record in records if record.reason is None)


def squeeze(text: str) -> str:
    return text.replace("\n", "").replace("\r", "")


def is_row(record: Record) -> bool:
    return len(record.values) == 3


WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters='",\n\r\0', exclude_categories=["Cs", "Cc", "Z"]), min_size=1
)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_duckdb_and_the_careful_reader_agree_on_plain_files(rows: list[tuple[str, str]]) -> None:
    """Both readers give the same rows and lines where both can read; the careful one is the oracle of the fast one."""
    dataset = RAW["reference"]
    with TemporaryDirectory() as folder, duckdb.connect() as con:
        path = Path(folder) / "plain.csv"
        path.write_text("symbol,sector\n" + "".join(f"{a},{b}\n" for a, b in rows), encoding="utf-8", newline="")
        file = inspect(SourceFile(path, "plain"))
        assert file.plain
        con.execute("create temp table instant as select timestamp '2026-01-01' as now")
        create_staged(con, dataset)
        count = stage_file(con, dataset, file, Columns({"symbol": 0, "sector": 1}, {}), Reading(), 0)
        fast = con.execute('select line, "row" from staged where "row" is not null order by line').fetchall()
        values = dict(con.execute("select line, [symbol, sector] from staged").fetchall())
        slow = list(read_records(file))
    assert count == len(slow) == len(rows)
    for record in slow:
        if record.line not in dict(fast):
            assert values[record.line] == list(record.values)
