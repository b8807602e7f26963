"""Values of Alpha158 and Alpha360 that the tests expect: computed by pyqlib 0.9.7, not by trademl.

    python -m benchmarks.features.expected --venv .venv-qlib

writes tests/warehouse/alpha_expected_bars.csv (the bars, prices and volumes that float32 holds exactly),
alpha_expected_158.csv and alpha_expected_360.csv: for chosen sessions of each symbol the values by trademl's column
names, as the shortest text of pyqlib's float32, empty where pyqlib has none. The market:

    TIES   prices in quarters, so that closes, highs and lows repeat; session 30 has no bar, session 40 no volume
    FLAT   listed at session 5; one price from session 20 to 34; no volume in sessions 50 and 51
    ACTS   two new shares for one at session 45, a dividend of 0.5 on a close of 31.5 at session 58

pyqlib knows no splits or dividends, only bars adjusted beforehand. So each expected row of ACTS has an instrument of
its own: the bars up to that row in the row's own shares and dividends, exactly (the factors are 1/2 and 63/64).
"""

import argparse
import csv
import os
import subprocess
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from benchmarks.features.arrays import Array
from benchmarks.features.bars import FIELDS, ROOT, write_bins
from benchmarks.features.environment import install
from benchmarks.features.names import SETS

OUT = ROOT / "tests" / "warehouse"
SESSIONS = 70
SYMBOLS = ("TIES", "FLAT", "ACTS")
SHOWN = {
    "TIES": (0, 1, 2, 4, 5, 10, 29, 31, 40, 41, 59, 60, 68, 69),
    "FLAT": (5, 6, 8, 10, 25, 34, 35, 50, 51, 52, 65, 69),
    "ACTS": (0, 3, 44, 45, 46, 57, 58, 59, 69),
}
PRICES = ("open", "high", "low", "close")


def days() -> list[str]:
    """The weekdays from 2015-01-05 on that are sessions of XNYS, ``SESSIONS`` of them."""
    closed = {date(2015, 1, 19), date(2015, 2, 16), date(2015, 4, 3)}
    found: list[str] = []
    day = date(2015, 1, 5)
    while len(found) < SESSIONS:
        if day.weekday() < 5 and day not in closed:
            found.append(str(day))
        day += timedelta(days=1)
    return found


def market() -> dict[str, dict[str, Array]]:
    """Return the three symbols: raw bars with NaN where there is none, splits and dividends."""
    draw = np.random.default_rng(158)
    found = {}
    for symbol, level, tick in (("TIES", 24.0, 0.25), ("FLAT", 40.0, 1 / 64), ("ACTS", 50.0, 1 / 64)):
        close = level + np.cumsum(np.round(draw.normal(0, 0.5, SESSIONS) / tick) * tick)
        opening = close + np.round(draw.normal(0, 0.4, SESSIONS) / tick) * tick
        up, down = np.round(np.abs(draw.normal(0, 0.4, (2, SESSIONS))) / tick) * tick
        bars = {
            "open": opening,
            "high": np.maximum(opening, close) + up,
            "low": np.minimum(opening, close) - down,
            "close": close,
            "volume": np.round(np.exp(draw.normal(11, 0.5, SESSIONS))),
            "split": np.ones(SESSIONS),
            "dividend": np.zeros(SESSIONS),
        }
        found[symbol] = bars
    for name in PRICES:
        found["FLAT"][name][20:35] = 41.5
        found["FLAT"][name][:5] = np.nan
        found["TIES"][name][30] = np.nan
        found["ACTS"][name][45:] = np.round(found["ACTS"][name][45:] * 32) / 64
    found["FLAT"]["volume"][:5] = np.nan
    found["FLAT"]["volume"][25:34] = 70_000
    found["FLAT"]["volume"][50:52] = 0
    found["TIES"]["volume"][30] = np.nan
    found["TIES"]["volume"][40] = 0
    acts = found["ACTS"]
    acts["split"][45], acts["dividend"][58] = 2, 0.5
    shift = 31.5 - acts["close"][58]
    for name in PRICES:
        acts[name] += np.where(np.arange(SESSIONS) < 45, 2 * shift, shift)
    return found


def as_of(bars: dict[str, Array], last: int) -> dict[str, Array]:
    """Return the bars up to a session in that session's shares and dividends."""
    factor = np.cumsum(np.log(bars["split"] * (1 + bars["dividend"] / np.nan_to_num(bars["close"], nan=1.0))))
    shares = np.cumsum(np.log(bars["split"]))
    kept = slice(None, last + 1)
    seen = {name: bars[name][kept] * np.exp(factor[kept] - factor[last]) for name in PRICES}
    return seen | {"volume": np.round(bars["volume"][kept] * np.exp(shares[last] - shares[kept]))}


def grid(found: dict[str, dict[str, Array]]) -> tuple[dict[str, Array], dict[tuple[str, int], int]]:
    """Return what the bin files hold, and the instrument that each expected row is the last or one row of."""
    columns: dict[str, list[Array]] = {name: [] for name in ("code", "session", *FIELDS)}
    code_of: dict[tuple[str, int], int] = {}
    code = 0
    for symbol in SYMBOLS:
        for last in SHOWN[symbol] if symbol == "ACTS" else (SESSIONS - 1,):
            code += 1
            bars = as_of(found[symbol], last)
            bars["vwap"] = (bars["high"] + bars["low"] + bars["close"]) / 3
            first = int(np.flatnonzero(~np.isnan(bars["close"]))[0])
            columns["code"].append(np.full(last + 1 - first, code))
            columns["session"].append(np.arange(first, last + 1))
            for field in FIELDS:
                columns[field].append(bars[field][first:])
            code_of |= {(symbol, at): code for at in (SHOWN[symbol] if symbol != "ACTS" else (last,))}
    return {name: np.concatenate(parts) for name, parts in columns.items()}, code_of


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features.expected", description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-qlib", help="pyqlib's environment; made when absent")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    python = install(options.venv)
    found, dates = market(), days()
    _write_bars(options.out / "alpha_expected_bars.csv", found, dates)
    columns, code_of = grid(found)
    with tempfile.TemporaryDirectory() as folder:
        write_bins(Path(folder) / "qlib", dates, columns)
        for name in SETS:
            command = [
                str(python),
                "-m",
                "benchmarks.features.qlib_side",
                folder,
                name,
                "--kernels",
                "1",
                "--out",
                folder,
            ]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
            _write_values(options.out / f"alpha_expected_{name[-3:]}.csv", name, Path(folder), dates, code_of)


def _write_bars(path: Path, found: dict[str, dict[str, Array]], dates: list[str]) -> None:
    with path.open("w", newline="", encoding="ascii") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["symbol", "session", "date", *PRICES, "volume", "split_coefficient", "dividend_amount"])
        for symbol, bars in found.items():
            for at, day in enumerate(dates):
                if np.isnan(bars["close"][at]):
                    continue
                values = [float(bars[name][at]) for name in (*PRICES, "volume", "split", "dividend")]
                if any(float(np.float32(value)) != value for value in values):
                    raise SystemExit(f"{symbol}, session {at}: float32 does not hold {values}")
                lines.writerow([symbol, at, day, *(f"{value:.10g}" for value in values)])


def _write_values(path: Path, name: str, folder: Path, dates: list[str], code_of: dict[tuple[str, int], int]) -> None:
    values = np.load(folder / f"{name}.npy", allow_pickle=False)
    codes = np.load(folder / f"{name}_code.npy", allow_pickle=False)
    rows = np.load(folder / f"{name}_day.npy", allow_pickle=False)
    with path.open("w", newline="", encoding="ascii") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["symbol", "session", "date", *SETS[name].values()])
        for (symbol, at), code in code_of.items():
            (row,) = np.flatnonzero((codes == code) & (rows == np.datetime64(dates[at])))
            lines.writerow([symbol, at, dates[at], *("" if np.isnan(x) else str(x) for x in values[:, row])])


if __name__ == "__main__":
    main()
