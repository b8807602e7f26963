"""What an ingest did, proved: rows in = landed + quarantined + exact duplicates."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class FileReport:
    """One file: ``status`` is ingested, unchanged (the same bytes were ingested before) or refused, with the reason."""

    file: str
    status: str
    rows: int = 0
    landed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class IngestReport:
    """The account of one ingest command; counts are rows.

    Attributes:
        landed: first values, corrections and backfills together.
        by_reason: quarantined rows per reason code.
        batch_id: the batch that was written, None when nothing had to be.
        refused: files of which nothing could be read.
    """

    dataset: str
    batch_id: str | None
    rows_in: int
    landed: int
    first: int
    corrections: int
    backfills: int
    quarantined: int
    duplicates: int
    by_reason: dict[str, int] = field(default_factory=dict)
    files: tuple[FileReport, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def refused(self) -> tuple[FileReport, ...]:
        return tuple(file for file in self.files if file.status == "refused")

    @property
    def balanced(self) -> bool:
        """Whether every row that came in is accounted for."""
        return self.rows_in == self.landed + self.quarantined + self.duplicates

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {**asdict(self), "balanced": self.balanced}

    def as_text(self) -> str:
        """Return the report as a small table."""
        unchanged = sum(file.status == "unchanged" for file in self.files)
        ingested = sum(file.status == "ingested" for file in self.files)
        reasons = sorted(self.by_reason.items(), key=lambda item: (-item[1], item[0]))
        lines = [
            f"{self.dataset}: {ingested} files ingested, {unchanged} unchanged, {len(self.refused)} refused "
            f"in {self.seconds:.1f} s",
            _row("rows in", self.rows_in),
            _row("= landed", self.landed),
            _row("first values", self.first, 4),
            _row("corrections", self.corrections, 4),
            _row("backfills", self.backfills, 4),
            _row("+ quarantined", self.quarantined),
            *(_row(reason, count, 4) for reason, count in reasons),
            _row("+ exact duplicates", self.duplicates),
            f"  batch {self.batch_id or 'none: nothing changed'}",
        ]
        lines += [f"  refused {file.file}: {file.detail}" for file in self.refused]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _row(name: str, count: int, indent: int = 2) -> str:
    return f"{' ' * indent}{name:<{30 - indent}}{count:>14,}"
