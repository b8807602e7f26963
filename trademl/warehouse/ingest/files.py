"""What a source file is, before a row of it is read: found, hashed, recognised, or refused with a reason."""

import codecs
import glob
import gzip
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from trademl.errors import IngestError

SUFFIXES = (".csv", ".csv.gz", ".txt", ".tsv", ".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_TABLES = "a CSV file with a header line, or a parquet file"


class FileRefused(Exception):
    """One file cannot be read at all; the other files of the command still can.

    ``reason`` is a quarantine code, ``found`` what is there, ``remedy`` what to do.
    """

    def __init__(self, reason: str, found: str, remedy: str, expected: str = _TABLES) -> None:
        super().__init__(f"{found}; expected {expected}; {remedy}")
        self.reason = reason
        self.found = found
        self.expected = expected
        self.remedy = remedy


@dataclass(frozen=True)
class SourceFile:
    """A file to ingest. ``label`` is the name kept on every row: its resolved path, or the query of a remote source."""

    path: Path
    label: str


@dataclass(frozen=True)
class Inspected:
    """A recognised file: ``columns`` as spelled in it, ``records`` the lines after the header (CSV, else None).

    ``plain`` says that DuckDB can split the CSV: UTF-8, no quotes, NUL bytes, blank lines or stray carriage returns.
    """

    source: SourceFile
    sha256: str
    size: int
    kind: str
    columns: tuple[str, ...]
    delimiter: str = ","
    records: int | None = None
    header_line: int = 1
    plain: bool = False
    newline: str = "\n"


def expand(paths: Iterable[str | Path]) -> list[SourceFile]:
    """Return the files that ``paths`` name, sorted by resolved path, each once.

    A path is a file, a folder (its CSV and parquet files, not deeper) or a glob (``**`` goes deeper).

    Raises:
        IngestError: a path names nothing.
    """
    found: set[Path] = set()
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            matches = [item for item in path.iterdir() if item.is_file() and item.name.lower().endswith(SUFFIXES)]
        elif path.exists():
            matches = [path]
        else:
            matches = [Path(item) for item in glob.glob(str(path), recursive=True) if Path(item).is_file()]
        if not matches:
            raise IngestError(
                f"{text} names no file",
                remedy=f"give a file, a folder with {', '.join(SUFFIXES)} files, or a quoted glob such as 'bars/*.csv'",
            )
        found.update(match.resolve() for match in matches)
    return [SourceFile(path, str(path)) for path in sorted(found)]


def inspect(source: SourceFile) -> Inspected:
    """Hash a file and find out what it is.

    Raises:
        FileRefused: it is empty, an archive, an error page, a broken parquet file or no table at all.
    """
    try:
        with source.path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise FileRefused(
            "unreadable_file", f"it cannot be opened ({error.strerror})", "see who may read it"
        ) from error
    if not head:
        raise FileRefused("empty_file", "it has 0 bytes", "fetch it again")
    if head.startswith(_PARQUET):
        return _inspect_parquet(source)
    if head.startswith(b"PK\x03\x04"):
        raise FileRefused("not_a_table", "it is a zip archive or a spreadsheet", "unpack it, or export it as CSV")
    try:
        return _inspect_csv(source)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileRefused("unreadable_file", f"its gzip stream is broken ({error})", "fetch it again") from error


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, through gzip where it is compressed."""
    with path.open("rb") as stream:
        packed = stream.read(2) == _GZIP
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def split_header(text: str, delimiter: str) -> list[str]:
    """Return the names on a header line, quotes and blanks removed."""
    return [name.strip().strip('"').strip() for name in text.split(delimiter)]


def _inspect_csv(source: SourceFile) -> Inspected:
    scan = _Scan()
    with open_bytes(source.path) as stream:
        while chunk := stream.read(_CHUNK):
            scan.feed(chunk)
    scan.finish()
    header = scan.first_line.decode("utf-8", errors="replace")
    _refuse_other_content(scan.head, header)
    delimiter = max(DELIMITERS, key=header.count)
    columns = split_header(header, delimiter)
    if scan.records == 0:
        raise FileRefused("empty_file", f"it has no line after the first, which is {header[:80]!r}", "fetch it again")
    size, sha256 = _fingerprint(source.path)
    return Inspected(
        source,
        sha256,
        size,
        "csv",
        tuple(columns),
        delimiter,
        records=scan.records,
        header_line=scan.header_line,
        plain=scan.plain and scan.header_line == 1 and not scan.mixed_newlines,
        newline="\r\n" if scan.crlf else "\n",
    )


def _fingerprint(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _refuse_other_content(head: bytes, header: str) -> None:
    shown = " ".join(head[:160].decode("utf-8", errors="replace").split())[:80]
    start = head.lstrip()[:1]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRefused("not_a_table", "it is UTF-16 text", "save it as UTF-8", "UTF-8 text")
    if head[257:262] == b"ustar":
        raise FileRefused("not_a_table", "it is a tar archive", "unpack it with `tar xf` and ingest what is inside")
    if start in (b"{", b"["):
        raise FileRefused("not_a_table", f"it is JSON or an API's error message: {shown!r}", "fetch it again")
    if start == b"<":
        raise FileRefused("not_a_table", f"it is an HTML or XML page: {shown!r}", "fetch it again")
    if not header.strip():
        raise FileRefused("empty_file", "it has only blank lines", "fetch it again")
    if "\x00" in header:
        raise FileRefused("not_a_table", f"its first line holds NUL bytes: {shown!r}", "export it as CSV")


def _inspect_parquet(source: SourceFile) -> Inspected:
    import duckdb

    size, sha256 = _fingerprint(source.path)
    with duckdb.connect() as con:
        try:
            described = con.execute("describe select * from read_parquet(?)", [str(source.path)]).fetchall()
            count = "select sum(num_rows)::bigint from parquet_file_metadata(?)"
            rows = con.execute(count, [str(source.path)]).fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise FileRefused(
                "unreadable_file", f"it is a truncated or broken parquet file ({reason})", "fetch it again"
            ) from error
    if not rows[0][0]:
        raise FileRefused("empty_file", "it is a parquet file without rows", "fetch it again")
    columns = tuple(str(row[0]) for row in described)
    return Inspected(source, sha256, size, "parquet", columns)


class _Scan:
    """One pass over a text file's bytes: the first line, the number of records, and whether it is plain."""

    def __init__(self) -> None:
        self.head = b""
        self.first_line = b""
        self.header_line = 0
        self.records = 0
        self.plain = True
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = b""
        self._line = 0
        self._newlines = False
        self.crlf = 0
        self._lf = 0

    @property
    def mixed_newlines(self) -> bool:
        return bool(self.crlf and self._lf)

    def feed(self, chunk: bytes) -> None:
        if len(self.head) < 512:
            self.head += chunk[: 512 - len(self.head)]
        if self.plain:
            self._check(chunk)
        data = self._rest + chunk
        if b"\n" not in data and not self._newlines:
            self._rest = data
            return
        self._newlines = True
        lines = data.split(b"\n")
        self._rest = lines.pop()
        crlf = sum(line.endswith(b"\r") for line in lines)
        self.crlf += crlf
        self._lf += len(lines) - crlf
        self._count(lines)

    def finish(self) -> None:
        if not self._newlines and b"\r" in self._rest:
            self.plain = False
            *lines, self._rest = self._rest.split(b"\r")
            self._count(lines)
        if self._rest:
            self._count([self._rest])
        if self.plain:
            try:
                self._decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                self.plain = False

    def _check(self, chunk: bytes) -> None:
        if b'"' in chunk or b"\0" in chunk:
            self.plain = False
            return
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError:
            self.plain = False

    def _count(self, lines: list[bytes]) -> None:
        if self.plain and any(b"\r" in line[:-1] for line in lines):
            self.plain = False
        for line in lines:
            self._line += 1
            if not line.strip():
                self.plain = False
            elif not self.header_line:
                self.header_line = self._line
                self.first_line = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r")
                self.plain = self.plain and not line.startswith(codecs.BOM_UTF8)
            else:
                self.records += 1
