"""Nearest neighbours and their summary by loops over Python floats: slow, and without any of the code under test."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def scaled(rows: Sequence[Sequence[float]], query: Sequence[float]) -> tuple[list[list[float]], list[float]]:
    """Return rows and query scaled by means and deviations of the rows; 0 where a value is missing."""
    columns = []
    for number in range(len(query)):
        known = [row[number] for row in rows if math.isfinite(row[number])]
        if not known:
            columns.append(None)
            continue
        mean = math.fsum(known) / len(known)
        deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in known) / len(known))
        columns.append((mean, 1.0 if min(known) == max(known) else deviation))

    def scale(vector: Sequence[float]) -> list[float]:
        return [
            (x - column[0]) / column[1] if column is not None and math.isfinite(x) else 0.0
            for x, column in zip(vector, columns, strict=True)
        ]

    return [scale(row) for row in rows], scale(query)


def nearest(rows: Sequence[Sequence[float]], query: Sequence[float], k: int) -> list[tuple[float, int]]:
    """Return (distance, place) of the k rows nearest to a query, both scaled already."""
    found = [(math.dist(row, query), place) for place, row in enumerate(rows)]
    return sorted(found)[:k]


def summary(neighbors: Sequence[Mapping[str, Any]], distances: Sequence[float]) -> dict[str, float]:
    """Return the thirteen numbers of neighbours given as mappings of label to value, None where missing."""
    if 0.0 in distances:
        raw = [1.0 if distance == 0.0 else 0.0 for distance in distances]
    else:
        raw = [1.0 / distance for distance in distances]

    def mean(values: Sequence[Any]) -> float:
        known = [(w, v) for w, v in zip(raw, values, strict=True) if v is not None and not math.isnan(v)]
        total = math.fsum(w for w, _ in known)
        return math.fsum(w * v for w, v in known) / total if total > 0 else math.nan

    def share(kind: str) -> float:
        return mean([None if row["outcome"] is None else float(row["outcome"] == kind) for row in neighbors])

    def label(name: str) -> list[Any]:
        return [row[name] for row in neighbors]

    shares = [share(kind) for kind in ("BREAK", "BOUNCE", "OTHER")]
    strength = label("strength_signed")
    found = {
        "p_break": shares[0],
        "p_bounce": shares[1],
        "p_tradeable_2": mean(label("tradeable_2")),
        "strength_signed_mean": mean(strength),
        "strength_abs_mean": mean([None if value is None else abs(value) for value in strength]),
    }
    for name in ("threshold_1", "threshold_2", "break_1", "bounce_1", "break_2", "bounce_2"):
        found[f"time_to_{name}_mean"] = mean(label(f"time_to_{name}"))
    count = len(distances)
    found["similarity"] = math.fsum(1.0 / (1.0 + d) for d in distances) / count if count else math.nan
    # Neighbours none of whose outcomes is known have no shares, and so no entropy.
    known = not any(math.isnan(p) for p in shares)
    found["entropy"] = -math.fsum(p * math.log(p) for p in shares if p > 0) if known else math.nan
    return found
