"""One ingest batch on disk: written aside, made durable, and shown by a single rename."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from trademl.errors import IngestError
from trademl.lake.files import READ_ONLY, FileLock, fsync_dir
from trademl.lake.layout import Layout

INCOMING = ".incoming"
ROWS = "rows.parquet"
QUARANTINE = "quarantine.parquet"
RECORD = "batch.json"
ROW_GROUP = 100_000
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Batches:
    """The batches of one raw dataset, and the folder where the next one is written."""

    layout: Layout
    dataset: str

    @property
    def folder(self) -> Path:
        return self.layout.raw(self.dataset)

    def row_files(self) -> list[Path]:
        """Return the row files of complete batches, oldest first."""
        return sorted(self.folder.glob(f"[0-9]*/{ROWS}"))

    def records(self) -> list[dict[str, Any]]:
        """Return what each batch recorded about itself, oldest first.

        Raises:
            IngestError: a record was altered or removed.
        """
        records = []
        for folder in sorted(item for item in self.folder.glob("[0-9]*") if item.is_dir()):
            try:
                records.append(json.loads((folder / RECORD).read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                raise IngestError(
                    f"the batch {folder} has no readable {RECORD} ({error})",
                    remedy="restore it from a backup; batches are never edited",
                ) from error
        return records

    def next_instant(self, now: datetime) -> datetime:
        """Return when the next batch is ingested: ``now``, or just after the last batch when the clock runs back.

        Version order hangs on this instant, so it must grow whatever the clock does.
        """
        latest = [datetime.fromisoformat(record["ingested_until"]) for record in self.records()[-1:]]
        return max([now, *(instant + _TICK for instant in latest)])


@contextmanager
def ingest_lock(layout: Layout) -> Iterator[Path]:
    """Hold the one ingest lock of a lake, clear what killed ingests left, and yield the folder for incoming batches.

    Raises:
        LockedError: another ingest is running.
    """
    raw = layout.root / "raw"
    with FileLock(raw / ".ingest.lock"):
        incoming = raw / INCOMING
        if incoming.exists():
            shutil.rmtree(incoming)
        incoming.mkdir()
        try:
            yield incoming
        finally:
            shutil.rmtree(incoming)


def copy_rows(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write ``query``, whose order is kept, to a parquet file; return the number of rows that the file holds."""
    target = str(path).replace("'", "''")
    con.execute(f"copy ({query}) to '{target}' (format parquet, compression zstd, row_group_size {ROW_GROUP})")
    rows = con.execute("select sum(num_rows)::bigint from parquet_file_metadata(?)", [str(path)]).fetchall()[0][0]
    return int(rows or 0)


def commit(staged: Path, batches: Batches, record: dict[str, Any]) -> Path:
    """Add ``record`` to the staged batch, make every byte durable, and show the batch with one rename."""
    (staged / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for path in sorted(staged.iterdir()):
        path.chmod(READ_ONLY)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    fsync_dir(staged)
    batches.folder.mkdir(parents=True, exist_ok=True)
    target = batches.folder / staged.name
    os.rename(staged, target)
    fsync_dir(batches.folder)
    return target


def batch_name(instant: datetime, content: str) -> str:
    """Return the sortable name of a batch: its UTC instant, then 8 digits of what it was made from."""
    return f"{instant:%Y%m%dT%H%M%S%fZ}-{content[:8]}"
