"""Two engines' values of a set, cell by cell: |a - b| / max(1, |b|) by operator, and where only one has a value."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.features.names import SETS, operator
from benchmarks.features.values import BarKeys, Values, read_values

TOLERANCE = 1e-6


@dataclass
class Tally:
    """What was found for one operator."""

    cells: int = 0
    largest: float = 0.0
    above: int = 0
    near_absence: int = 0
    nulls: int = 0
    worst: str = ""
    null_at: str = ""
    elsewhere: float = 0.0
    """The largest difference of bars that have none without a bar in the 60 sessions before them."""


@dataclass
class Comparison:
    """Left against right: ``right`` is what the difference is relative to."""

    left: str
    right: str
    name: str
    lacking_left: list[str]
    lacking_right: list[str]
    tallies: dict[str, Tally] = field(default_factory=dict)

    @property
    def largest(self) -> float:
        return max(tally.largest for tally in self.tallies.values())

    @property
    def elsewhere(self) -> float:
        return max(tally.elsewhere for tally in self.tallies.values())

    @property
    def above(self) -> int:
        return sum(tally.above for tally in self.tallies.values())

    @property
    def near_absence(self) -> int:
        return sum(tally.near_absence for tally in self.tallies.values())

    @property
    def nulls(self) -> int:
        return sum(tally.nulls for tally in self.tallies.values())


def compare(folder: Path, left: str, right: str, name: str, bars: BarKeys) -> Comparison:
    """Compare what two engines left in ``folder``."""
    one, other = read_values(folder, left, name, bars), read_values(folder, right, name, bars)
    found = Comparison(left, right, name, _lacking(one, bars), _lacking(other, bars))
    for alias, column in SETS[name].items():
        a, b = one.column(alias).astype(np.float64), other.column(alias).astype(np.float64)
        tally = found.tallies.setdefault(operator(alias), Tally())
        missing = np.isnan(a) != np.isnan(b)
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(a - b) / np.maximum(1, np.abs(b))
        difference[np.isnan(difference) | (a == b)] = 0
        at = int(np.argmax(difference))
        if difference[at] > tally.largest or not tally.worst:
            tally.largest = float(difference[at])
            tally.worst = f"{column} {bars.symbol[at]} {bars.day[at]}: {a[at]:.9g} and {b[at]:.9g}"
        if missing.any() and not tally.null_at:
            at = int(np.argmax(missing))
            tally.null_at = f"{column} {bars.symbol[at]} {bars.day[at]}: {a[at]:.9g} and {b[at]:.9g}"
        tally.cells += len(a)
        tally.above += int(np.sum(difference > TOLERANCE))
        tally.elsewhere = max(tally.elsewhere, float(np.max(difference[~bars.near_absence], initial=0.0)))
        tally.near_absence += int(np.sum((difference > TOLERANCE) & bars.near_absence))
        tally.nulls += int(np.sum(missing))
    return found


def _lacking(values: Values, bars: BarKeys) -> list[str]:
    return [f"{bars.symbol[at]} {bars.day[at]}" for at in values.lacking]


def show(found: Comparison, *, all_operators: bool = False) -> None:
    """Print the table: operators that differ by more than rounding, and what was found in all."""
    cells = sum(tally.cells for tally in found.tallies.values())
    print(f"{found.name}: {found.left} against {found.right}, {cells:,} cells", flush=True)
    for side, rows in ((found.left, found.lacking_left), (found.right, found.lacking_right)):
        if rows:
            print(f"  {side} lacks {len(rows):,} bars: {', '.join(rows[:3])}")
    print(
        f"  {'operator':<9}{'cells':>13}{'largest':>10}{'> 1e-6':>10}{'by absence':>12}{'NULL differs':>14}  worst cell"
    )
    for name, tally in found.tallies.items():
        if all_operators or tally.above or tally.nulls:
            print(_line(name, tally) + f"  {tally.worst}")
            if tally.nulls:
                print(f"  {'':<66}  NULL on one side: {tally.null_at}")
    whole = Tally(cells, found.largest, found.above, found.near_absence, found.nulls)
    print(_line("all", whole), flush=True)


def _line(name: str, tally: Tally) -> str:
    counts = f"{tally.above:>10,}{tally.near_absence:>12,}{tally.nulls:>14,}"
    return f"  {name:<9}{tally.cells:>13,}{tally.largest:>10.1e}{counts}"
