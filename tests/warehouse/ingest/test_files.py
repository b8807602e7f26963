"""Files of which nothing can be read: each is refused with what it is, what was expected and what to do."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import duckdb
import pytest

from tests.warehouse.ingest.desk import HEADER, Desk, bar
from trademl.errors import IngestError

GOOD = f"{HEADER}\n{bar('AAA', '2026-11-18')}\n".encode()


def truncated_parquet(desk: Desk) -> bytes:
    path = desk.sources / "whole.tmp"
    duckdb.sql(f"copy (select * from range(10000)) to '{path}' (format parquet)")
    data = path.read_bytes()
    path.unlink()
    return data[: len(data) // 2]


def tar_gz(desk: Desk) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("bars.csv"))
    return stream.getvalue()


def zipped(desk: Desk) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("bars.csv", GOOD)
    return stream.getvalue()


@pytest.mark.parametrize(
    "name, data, reason, said",
    [
        ("empty.csv", b"", "empty_file", "0 bytes"),
        ("blank.csv", b"\n \n\n", "empty_file", "only blank lines"),
        ("header.csv", HEADER.encode(), "empty_file", "no line after the first"),
        ("json.csv", b'{\n"Error Message": "x"\n}\n', "not_a_table", "JSON or an API's error message"),
        ("page.csv", b"\n<!DOCTYPE html>\n<html></html>", "not_a_table", "HTML or XML page"),
        ("note.csv", b"Thank you for using our API!\nPlease pay.\n", "missing_column", "Thank you for using our API!"),
        ("wide.csv", GOOD.decode().encode("utf-16"), "not_a_table", "UTF-16"),
        (
            "less.csv",
            b"symbol,date,open,high,low,close\nA,2026-11-18,1,1,1,1\n",
            "missing_column",
            "a column for volume",
        ),
        (
            "twice.csv",
            b"symbol,date,open,high,low,close,Close,volume\n1,2,3,4,5,6,7,8\n",
            "missing_column",
            "2 columns",
        ),
        ("broken.csv.gz", gzip.compress(GOOD, mtime=0)[:-12], "unreadable_file", "gzip stream is broken"),
        ("cut.parquet", truncated_parquet, "unreadable_file", "truncated or broken parquet"),
        ("many.tar.gz", tar_gz, "not_a_table", "tar archive"),
        ("book.csv", zipped, "not_a_table", "zip archive or a spreadsheet"),
    ],
)
def test_a_refused_file_is_reported_and_recorded_and_the_others_land(
    desk: Desk, name: str, data: object, reason: str, said: str
) -> None:
    """The file gets one quarantine row at line 0; a good file of the same command lands all the same."""
    bad = desk.write_bytes(name, data(desk) if callable(data) else data)  # type: ignore[arg-type]
    good = desk.write_bytes("good.csv", GOOD)
    report = desk.ingest(bad, good)
    assert (report.rows_in, report.landed, report.quarantined) == (1, 1, 0)
    (refused,) = report.refused
    assert (refused.file, refused.reason) == (str(bad), reason)
    assert said in str(refused.detail)
    assert desk.quarantine("file, line, reason") == [(str(bad), 0, reason)]


def test_a_refused_file_is_recorded_once(desk: Desk) -> None:
    """Trying the same broken file again reports it again and writes nothing."""
    bad = desk.write_bytes("empty.csv", b"")
    assert desk.ingest(bad).batch_id
    again = desk.ingest(bad)
    assert (again.batch_id, len(again.refused), len(desk.batches())) == (None, 1, 1)


def test_a_path_that_names_nothing_is_an_error(desk: Desk) -> None:
    """A glob without a match stops the command before anything lands."""
    with pytest.raises(IngestError, match=r"nowhere-\*\.csv names no file"):
        desk.ingest(desk.write_bytes("good.csv", GOOD), desk.sources / "nowhere-*.csv")
    assert not desk.batches()


def test_folders_globs_and_repeated_paths_name_each_file_once(desk: Desk) -> None:
    """A folder gives its tables and leaves other files alone; naming a file twice reads it once."""
    for index, symbol in enumerate("AB"):
        desk.write(f"{index}.csv", bar(symbol, "2026-11-18"))
    desk.write_bytes("README.md", b"# not a table")
    report = desk.ingest(desk.sources, str(desk.sources / "*.csv"), desk.sources / "0.csv")
    assert [Path(file.file).name for file in report.files] == ["0.csv", "1.csv"]
    assert report.landed == 2


def test_a_gzipped_csv_is_read_like_a_plain_one(desk: Desk) -> None:
    """The suffix does not matter, the first bytes do."""
    desk.ingest(desk.write_bytes("bars.csv", gzip.compress(GOOD)))
    assert desk.rows("select symbol, line from landed") == [("AAA", 2)]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(desk: Desk, delimiter: str) -> None:
    """Semicolons, tabs and bars separate fields where the header uses them."""
    desk.ingest(desk.write_bytes("bars.csv", GOOD.replace(b",", delimiter.encode())))
    assert desk.rows("select symbol, close, volume from landed") == [("AAA", 10.0, 100.0)]
