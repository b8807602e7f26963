"""Alpha158 and Alpha360 in pandas, written as one would: rolling windows of a symbol's frame, symbols over processes.

    python -m benchmarks.features.pandas_side FOLDER alpha158 --processes 2 [--out FOLDER]

Runs in the other engines' environment. The seconds run from the parquet file to one frame of all symbols.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.features.arrays import new_values
from benchmarks.features.memory import largest_resident_mib
from benchmarks.features.names import LAGS, SETS, WINDOWS

TINY = 1e-12
FLAT = 2e-5


def alpha158(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the 158 columns of one symbol, whose rows are its sessions in order."""
    o, h, low, c, v = (bars[name] for name in ("open", "high", "low", "close", "volume"))
    span, top, bottom = h - low + TINY, np.maximum(o, c), np.minimum(o, c)
    found = {
        "KMID": (c - o) / o,
        "KLEN": (h - low) / o,
        "KMID2": (c - o) / span,
        "KUP": (h - top) / o,
        "KUP2": (h - top) / span,
        "KLOW": (bottom - low) / o,
        "KLOW2": (bottom - low) / span,
        "KSFT": (2 * c - h - low) / o,
        "KSFT2": (2 * c - h - low) / span,
        **{f"{name.upper()}0": bars[name] / c for name in ("open", "high", "low", "vwap")},
    }
    change, volume_change = c.diff(), v.diff()
    growth, log_volume, log_growth = c / c.shift(1), np.log(v + 1), np.log(v / v.shift(1) + 1)
    swing = (growth - 1).abs() * v
    session = pd.Series(np.arange(len(c), dtype=np.float64), c.index).where(c.notna())
    parts = {
        "up": c > c.shift(1),
        "down": c < c.shift(1),
        "gain": change.clip(lower=0),
        "loss": (-change).clip(lower=0),
        "move": change.abs(),
        "volume_gain": volume_change.clip(lower=0),
        "volume_loss": (-volume_change).clip(lower=0),
        "volume_move": volume_change.abs(),
    }
    units = v + TINY
    for n in WINDOWS:
        close, high, lows, volume, swings = (one.rolling(n, min_periods=1) for one in (c, h, low, v, swing))
        times = session.rolling(n, min_periods=1)
        total = {name: part.rolling(n, min_periods=1).sum() for name, part in parts.items()}
        spread, slope = close.std(), close.cov(session) / times.var()
        highest, lowest = high.max(), lows.min()
        argmax, argmin = high.apply(np.argmax, raw=True) + 1, lows.apply(np.argmin, raw=True) + 1
        sessions = parts["up"].rolling(n, min_periods=1).count()
        moved, volume_moved = total["move"] + TINY, total["volume_move"] + TINY
        found |= {
            f"ROC{n}": c.shift(n) / c,
            f"MA{n}": close.mean() / c,
            f"STD{n}": spread / c,
            f"BETA{n}": slope / c,
            f"RSQR{n}": (close.corr(session) ** 2).mask(spread <= FLAT),
            f"RESI{n}": (c - close.mean() - slope * (session - times.mean())) / c,
            f"MAX{n}": highest / c,
            f"MIN{n}": lowest / c,
            f"QTLU{n}": close.quantile(0.8) / c,
            f"QTLD{n}": close.quantile(0.2) / c,
            f"RANK{n}": close.rank(pct=True),
            f"RSV{n}": (c - lowest) / (highest - lowest + TINY),
            f"IMAX{n}": argmax / n,
            f"IMIN{n}": argmin / n,
            f"IMXD{n}": (argmax - argmin) / n,
            f"CORR{n}": close.corr(log_volume).mask((spread <= FLAT) | _flat(log_volume, n)),
            f"CORD{n}": growth.rolling(n, min_periods=1).corr(log_growth).mask(_flat(growth, n) | _flat(log_growth, n)),
            f"CNTP{n}": total["up"] / sessions,
            f"CNTN{n}": total["down"] / sessions,
            f"CNTD{n}": (total["up"] - total["down"]) / sessions,
            f"SUMP{n}": total["gain"] / moved,
            f"SUMN{n}": total["loss"] / moved,
            f"SUMD{n}": (total["gain"] - total["loss"]) / moved,
            f"VMA{n}": volume.mean() / units,
            f"VSTD{n}": volume.std() / units,
            f"WVMA{n}": swings.std() / (swings.mean() + TINY),
            f"VSUMP{n}": total["volume_gain"] / volume_moved,
            f"VSUMN{n}": total["volume_loss"] / volume_moved,
            f"VSUMD{n}": (total["volume_gain"] - total["volume_loss"]) / volume_moved,
        }
    return pd.DataFrame({name: found[name].astype(np.float32) for name in SETS["alpha158"]})


def _flat(series: pd.Series, n: int) -> pd.Series:
    return series.rolling(n, min_periods=1).std() <= FLAT


def alpha360(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the 360 columns of one symbol."""
    units = dict.fromkeys(("close", "open", "high", "low", "vwap"), bars["close"])
    units["volume"] = bars["volume"] + TINY
    return pd.DataFrame(
        {
            f"{name.upper()}{k}": bars[name].shift(k) / unit
            for name, unit in units.items()
            for k in range(LAGS - 1, -1, -1)
        }
    )


def compute(folder: Path, name: str, processes: int) -> pd.DataFrame:
    """Return the set of all symbols, one row per session of each."""
    grid = pd.read_parquet(folder / "grid.parquet")
    of_one = {"alpha158": alpha158, "alpha360": alpha360}[name]
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(of_one, [bars for _, bars in grid.groupby("code")], chunksize=4)
        return pd.concat(found, ignore_index=True)


def main() -> None:
    """Compute one set and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features.pandas_side", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of benchmarks.features.bars")
    parser.add_argument("name", choices=tuple(SETS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    frame = compute(options.folder, options.name, options.processes)
    seconds = time.perf_counter() - began
    if options.out:
        grid = pd.read_parquet(options.folder / "grid.parquet", columns=["code", "session"])
        days = (
            pd.read_parquet(options.folder / "bars.parquet", columns=["date"])["date"].drop_duplicates().sort_values()
        )
        day = days.to_numpy().astype("datetime64[D]")[grid["session"]]
        matrix = new_values(options.out, options.name, grid["code"].to_numpy(), day)
        for at, feature in enumerate(SETS[options.name]):
            matrix[at] = frame[feature].to_numpy()
        matrix.flush()
    said = {"seconds": seconds, "rows": len(frame), "columns": frame.shape[1]}
    print(json.dumps({**said, "peak_mib": largest_resident_mib()}))


if __name__ == "__main__":
    main()
