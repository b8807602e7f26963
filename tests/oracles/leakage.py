"""A slow leakage audit: every pair of rows, one at a time, and blocks of test sessions found by walking."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A row of the panel: sessions of decision and label end, and its entity."""

    start: int
    end: int
    entity: str


def audit(rows: list[Row], train: list[int], test: list[int], embargo: int) -> dict[str, int]:
    """Count the violations of one split by check name."""
    pairs = [(rows[i], rows[j]) for i in train for j in test]
    overlapping = [(a, b) for a, b in pairs if a.start <= b.end and b.start <= a.end]
    ends = last_label_ends(rows, test)
    return {
        "overlap_any_entity": len(overlapping),
        "overlap_same_entity": sum(a.entity == b.entity for a, b in overlapping),
        "duplicate_rows": sum(a.entity == b.entity and a.start == b.start for a, b in pairs),
        "train_and_test": len(set(train) & set(test)),
        "embargo_after_test": sum(any(end < rows[i].start <= end + embargo for end in ends) for i in train),
        "empty_role": int(not train or not test),
    }


def last_label_ends(rows: list[Row], test: list[int]) -> list[int]:
    """The last label end of each run of sessions that are all tested."""
    ends: list[int] = []
    previous_tested = False
    for session in sorted({row.start for row in rows}):
        label_ends = [rows[j].end for j in test if rows[j].start == session]
        if label_ends and previous_tested:
            ends[-1] = max(ends[-1], *label_ends)
        elif label_ends:
            ends.append(max(label_ends))
        previous_tested = bool(label_ends)
    return ends
