"""A home to ingest into, with short ways to write a file, ingest it and look at what landed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from trademl.config.home import Home
from trademl.warehouse.ingest import IngestReport, ingest_files

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HEADER = "symbol,date,open,high,low,close,volume"


def bar(symbol: str, date: str, close: str = "10", volume: str = "100") -> str:
    """Return a good CSV line whose high and low lie 1 around the close."""
    return f"{symbol},{date},{close},{float(close) + 1},{float(close) - 1},{close},{volume}"


@dataclass
class Desk:
    """A scratch home and its sources; ``now`` is the clock of the next ingest."""

    home: Home
    sources: Path
    now: datetime = NOW

    def write(self, name: str, *lines: str, header: str | None = HEADER) -> Path:
        """Write a CSV file of ``lines`` below ``header``."""
        return self.write_bytes(name, ("\n".join([header, *lines] if header else lines) + "\n").encode())

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a source file byte by byte."""
        path = self.sources / name
        path.write_bytes(data)
        return path

    def ingest(self, *paths: Path | str, dataset: str = "equity_bars", **options: Any) -> IngestReport:
        """Ingest at ``now`` and move the clock on by a day."""
        report = ingest_files(self.home, dataset, list(paths), now=lambda: self.now, **options)
        assert report.balanced
        self.now += timedelta(days=1)
        return report

    def rows(self, select: str, dataset: str = "equity_bars") -> list[tuple[Any, ...]]:
        """Query all landed rows of ``dataset`` as the table ``landed``."""
        return self._query(select.replace("landed", f"read_parquet('{self.raw}/{dataset}/[0-9]*/rows.parquet')"))

    def quarantine(self, columns: str = "line, reason", dataset: str = "equity_bars") -> list[tuple[Any, ...]]:
        """Return ``columns`` of all quarantined rows, in the order of batches, files and lines."""
        pattern = f"{self.raw}/{dataset}/[0-9]*/quarantine.parquet"
        return self._query(f"select {columns} from read_parquet('{pattern}') order by batch_id, file, line")

    def batches(self, dataset: str = "equity_bars") -> Sequence[Path]:
        """Return the batch folders of ``dataset``, oldest first."""
        return sorted((self.raw / dataset).glob("[0-9]*"))

    @property
    def raw(self) -> Path:
        return self.home.lake / "raw"

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as con:
            return con.execute(sql).fetchall()
