"""Fixtures of the dbt unit tests of Alpha158 and Alpha360: bars of three symbols, and what an oracle makes of them.

    python -m benchmarks.features.unit_tests

writes, in dbt_project/tests/fixtures, alpha_panel.csv (the rows that work.equity_panel has for
tests/warehouse/alpha_expected_bars.csv), alpha158_expected.csv and alpha360_expected.csv, and the same for a symbol
with a split and a dividend (*_actions_*). The oracle (tests/oracles/alpha.py) shares nothing with the SQL; agreement
with pyqlib is tested beside it. dbt compares a unit test's floats bit by bit, so the values are the definitions'
in double precision, stored as single: pyqlib's own are in places one unit in the last place away, because it divides in
single precision. Two values are not pyqlib's: the place of an extreme in a window with an absent session (pyqlib takes
the absent one for it), and CORR after a split, whose logarithms are rounded in the shares of their own day (left out).
"""

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.features.bars import ROOT
from benchmarks.features.expected import SYMBOLS, days
from benchmarks.features.names import SETS
from tests.oracles import alpha

BARS = ROOT / "tests" / "warehouse" / "alpha_expected_bars.csv"
FIXTURES = ROOT / "dbt_project" / "tests" / "fixtures"
SHOWN = {"TIES": (0, 1, 31, 69), "FLAT": (34, 51), "ACTS": (3,)}
"""Sessions whose values the unit tests compare: beginnings, ties, a gap, no volume, a constant price."""

ACTIONS = {"ACTS": (45, 69)}
"""The same around a split and a dividend."""

SINGLE = ("CORR", "CORD", "WVMA")
"""Operators whose elements the definition rounds to single precision."""

NUMBERS = ("open", "high", "low", "close", "volume", "split_coefficient", "dividend_amount")

Bars = dict[int, dict[str, float]]
Shown = dict[str, tuple[int, ...]]


def read_bars() -> dict[str, Bars]:
    """Return the bars of each symbol by session number."""
    found: dict[str, Bars] = {symbol: {} for symbol in SYMBOLS}
    with BARS.open() as lines:
        for row in csv.DictReader(lines):
            found[row["symbol"]][int(row["session"])] = {name: float(row[name]) for name in NUMBERS}
    return found


def panel_rows(bars: dict[str, Bars], shown: Shown) -> Iterable[dict[str, object]]:
    """Yield the rows of work.equity_panel: every session of a symbol from its first bar, absent ones without prices."""
    dates = days()
    for key, symbol in enumerate(shown, start=1):
        first, action, shares = min(bars[symbol]), 0, 0
        for session in range(first, max(bars[symbol]) + 1):
            bar = bars[symbol].get(session)
            if bar and session > first:
                split = math.log(bar["split_coefficient"])
                action += round((split + math.log1p(bar["dividend_amount"] / bar["close"])) * 1e12)
                shares += round(split * 1e12)
            yield {
                "symbol": symbol,
                "series_key": key,
                "session_index": session,
                "date": dates[session],
                "is_live": session in shown[symbol],
                "is_present": bar is not None,
                "in_universe": True,
                "age": session - first + 1,
                **{name: (bar or {}).get(name, "") for name in ("open", "high", "low", "close")},
                "volume": int(bar["volume"]) if bar else "",
                "log_action": action,
                "log_shares": shares,
            }


def expected_rows(bars: dict[str, Bars], of: str, shown: Shown) -> Iterable[dict[str, object]]:
    """Yield the values of one set on the chosen sessions, by trademl's names."""
    dates = days()
    for symbol in shown:
        first, last = min(bars[symbol]), max(bars[symbol])
        values = _oracle(bars[symbol], first, last, of)
        for session in shown[symbol]:
            row: dict[str, object] = {"symbol": symbol, "date": dates[session]}
            for alias, name in SETS[of].items():
                if shown is ACTIONS and alias.startswith("CORR"):
                    continue
                value = values[alias][session - first]
                row[name] = (
                    "" if math.isnan(value) else np.format_float_positional(np.float32(value), unique=True, trim="-")
                )
            yield row


def _oracle(bars: Bars, first: int, last: int, of: str) -> dict[str, NDArray[np.float64]]:
    def column(name: str, absent: float = math.nan) -> NDArray[np.float64]:
        return np.array([bars[session][name] if session in bars else absent for session in range(first, last + 1)])

    given = alpha.Bars(
        *(column(name) for name in ("open", "high", "low", "close", "volume")),
        split=column("split_coefficient", 1.0),
        dividend=column("dividend_amount", 0.0),
    )
    if of == "alpha360":
        return alpha.alpha360(given, np.float64)
    exact = alpha.alpha158(given, np.float64)
    single = alpha.alpha158(given, np.float32, lambda x: np.log(np.asarray(x, np.float64)).astype(np.float32))
    found = {name: single[name] if name.startswith(SINGLE) else values for name, values in exact.items()}
    for n in alpha.WINDOWS if len(bars) < last - first + 1 else ():
        highest, lowest = _place(column("high"), n), _place(-column("low"), n)
        found |= {f"IMAX{n}": highest, f"IMIN{n}": lowest, f"IMXD{n}": highest - lowest}
    return found


def _place(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return where the oldest maximum of each window lies, counted from 1 at its oldest session, over ``n``."""
    found = np.full(len(values), math.nan)
    for end in range(len(values)):
        window = list(values[max(0, end + 1 - n) : end + 1])
        present = [value for value in window if not math.isnan(value)]
        found[end] = (window.index(max(present)) + 1) / n
    return found


def write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write the rows as CSV."""
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


if __name__ == "__main__":
    market = read_bars()
    for suffix, chosen in (("", SHOWN), ("_actions", ACTIONS)):
        write(FIXTURES / f"alpha{suffix}_panel.csv", panel_rows(market, chosen))
        for name in ("alpha158", "alpha360"):
            write(FIXTURES / f"{name}{suffix}_expected.csv", expected_rows(market, name, chosen))
