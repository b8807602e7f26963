"""The protocol of a bar source, and the way from it into the lake."""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import IngestError, MissingExtra
from trademl.warehouse.ingest.files import SourceFile
from trademl.warehouse.ingest.mapping import Reading
from trademl.warehouse.ingest.report import IngestReport
from trademl.warehouse.ingest.run import ingest_sources

_SHOWN_SYMBOLS = 5


@dataclass(frozen=True)
class Bar:
    """One raw daily bar: prices and volume as traded, dividend in cash per share, split in new shares per old.

    A value that the vendor left out is None; ingest judges it as it judges a file's.
    """

    symbol: str
    date: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    dividend_amount: float = 0.0
    split_coefficient: float = 1.0


@dataclass(frozen=True)
class Fetched:
    """What a source returned: the bars, and notes on what it could not."""

    bars: tuple[Bar, ...]
    notes: tuple[str, ...] = ()


class BarSource(Protocol):
    """A vendor of daily bars."""

    @property
    def name(self) -> str:
        """The vendor's name, kept on each row."""

    def fetch(self, symbols: tuple[str, ...], start: date, end: date) -> Fetched:
        """Return the bars of ``symbols`` from ``start`` to ``end``, both included.

        Raises:
            IngestError: the vendor refused, failed, or answered with something else than bars.
        """


def parse_symbols(text: str) -> tuple[str, ...]:
    """Read ``A,B,C``; each symbol once, in order.

    Raises:
        IngestError: there is an empty symbol, or none.
    """
    symbols = [item.strip() for item in text.split(",")]
    if not all(symbols):
        raise IngestError(f"--symbols {text!r} holds an empty symbol", remedy="write for example --symbols AAPL,MSFT")
    return tuple(dict.fromkeys(symbols))


def ingest_bars(
    home: Home,
    source: BarSource,
    symbols: Iterable[str],
    start: date,
    end: date,
    *,
    known_at: str | datetime | None = None,
    calendar: str = "XNYS",
    now: Clock = utc_now,
) -> IngestReport:
    """Fetch bars and land them in ``equity_bars``; the same ingest, rules and account as for files.

    Raises:
        IngestError: the source failed or has no bar at all for these symbols and dates.
    """
    wanted = tuple(symbols)
    if not wanted or not all(wanted):
        raise IngestError(f"symbols {list(wanted)!r} hold an empty one, or none", remedy="name at least one symbol")
    if start > end:
        raise IngestError(f"--start {start} is after --end {end}", remedy="swap them")
    fetched = source.fetch(wanted, start, end)
    found = {bar.symbol for bar in fetched.bars}
    missing = [symbol for symbol in wanted if symbol not in found]
    if not found:
        raise IngestError(
            f"{source.name} has no bar of {', '.join(wanted[:_SHOWN_SYMBOLS])} from {start} to {end}",
            remedy="check the symbols and the dates",
        )
    with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
        path = Path(folder) / f"{source.name}.parquet"
        _write(fetched.bars, path)
        report = ingest_sources(
            home,
            "equity_bars",
            [SourceFile(path, _label(source.name, wanted, start, end))],
            Reading(calendar=calendar),
            source=source.name,
            known_at=known_at,
            now=now,
        )
    notes = list(fetched.notes)
    if missing:
        notes.append(f"no bar of {', '.join(missing)} from {start} to {end}")
    return _with_notes(report, notes)


def _with_notes(report: IngestReport, notes: list[str]) -> IngestReport:
    from dataclasses import replace

    return replace(report, notes=(*report.notes, *notes))


def _label(name: str, symbols: tuple[str, ...], start: date, end: date) -> str:
    joined = ",".join(symbols)
    if len(symbols) > _SHOWN_SYMBOLS:
        joined = f"{len(symbols)}-symbols-{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
    return f"{name}://{joined}/{start}/{end}"


def _write(bars: tuple[Bar, ...], path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "train") from error
    types = {"symbol": pa.string(), "date": pa.date32()}
    ordered = sorted(bars, key=lambda bar: (bar.symbol, bar.date))
    columns = {
        item.name: pa.array([getattr(bar, item.name) for bar in ordered], types.get(item.name, pa.float64()))
        for item in fields(Bar)
    }
    pq.write_table(pa.table(columns), path)


def number(value: object) -> float | None:
    """Return a vendor's number as a float; None where it is missing or none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
