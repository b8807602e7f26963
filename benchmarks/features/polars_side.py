"""Alpha158 and Alpha360 in polars, written as one would: expressions over each symbol, all in its own threads.

    POLARS_MAX_THREADS=2 python -m benchmarks.features.polars_side FOLDER alpha158 [--out FOLDER]

Runs in the other engines' environment. The seconds run from the parquet file to one frame of all symbols.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl  # type: ignore[import-not-found,unused-ignore]

from benchmarks.features.arrays import new_values
from benchmarks.features.memory import largest_resident_mib
from benchmarks.features.names import LAGS, SETS, WINDOWS

TINY = 1e-12
FLAT = 2e-5
Expr = Any  # pl.Expr, which this environment may not have


def before(name: str, k: int = 1) -> Expr:
    """A column ``k`` sessions before."""
    return pl.col(name).shift(k).over("code")


def over(expression: Expr, name: str) -> Expr:
    """A window expression of each symbol."""
    return expression.over("code").alias(name)


def series(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Add what windows are taken of: in single precision like the bars, then widened."""
    bars = bars.with_columns(
        change=pl.col("close") - before("close"),
        growth=pl.col("close") / before("close"),
        log_volume=(pl.col("volume") + 1).log(),
        log_growth=(pl.col("volume") / before("volume") + 1).log(),
        volume_change=pl.col("volume") - before("volume"),
    )
    bars = bars.with_columns(
        swing=(pl.col("growth") - 1).abs() * pl.col("volume"),
        log_growth=pl.when(pl.col("log_growth").is_finite()).then("log_growth"),
        up=(pl.col("change") > 0).fill_null(False),
        down=(pl.col("change") < 0).fill_null(False),
        gain=pl.col("change").clip(lower_bound=0),
        loss=(-pl.col("change")).clip(lower_bound=0),
        move=pl.col("change").abs(),
        volume_gain=pl.col("volume_change").clip(lower_bound=0),
        volume_loss=(-pl.col("volume_change")).clip(lower_bound=0),
        volume_move=pl.col("volume_change").abs(),
        number=pl.when(pl.col("close").is_not_null()).then("session"),
    )
    return bars.with_columns(pl.exclude("code", "session").cast(pl.Float64))


def windows(n: int) -> list[Expr]:
    """The columns of one window that rolling expressions give."""
    x = {name: pl.col(name) for name in ("close", "high", "low", "volume", "swing", "number", "growth")}

    def mean(name: str) -> Expr:
        return pl.col(name).rolling_mean(n, min_samples=1)

    def spread(name: str) -> Expr:
        return pl.col(name).rolling_std(n, min_samples=2)

    def total(name: str) -> Expr:
        return pl.col(name).rolling_sum(n, min_samples=1)

    def correlation(left: str, right: str) -> Expr:
        found = pl.rolling_corr(pl.col(left), pl.col(right), window_size=n, min_samples=2)
        return pl.when((spread(left) > FLAT) & (spread(right) > FLAT)).then(found)

    slope = pl.rolling_cov(x["close"], x["number"], window_size=n, min_samples=2) / x["number"].rolling_var(
        n, min_samples=2
    )
    fit = pl.rolling_corr(x["close"], x["number"], window_size=n, min_samples=2) ** 2
    highest, lowest = x["high"].rolling_max(n, min_samples=1), x["low"].rolling_min(n, min_samples=1)
    known = x["close"].is_not_null().cast(pl.Float64).rolling_sum(n, min_samples=1)
    units, moved, volume_moved = x["volume"] + TINY, total("move") + TINY, total("volume_move") + TINY
    found = {
        "ROC": x["close"].shift(n) / x["close"],
        "MA": mean("close") / x["close"],
        "STD": spread("close") / x["close"],
        "BETA": slope / x["close"],
        "RSQR": pl.when(spread("close") > FLAT).then(fit),
        "RESI": (x["close"] - mean("close") - slope * (x["number"] - mean("number"))) / x["close"],
        "MAX": highest / x["close"],
        "MIN": lowest / x["close"],
        "QTLU": x["close"].rolling_quantile(0.8, "linear", window_size=n, min_samples=1) / x["close"],
        "QTLD": x["close"].rolling_quantile(0.2, "linear", window_size=n, min_samples=1) / x["close"],
        "RANK": x["close"].rolling_rank(n, "average", min_samples=1) / known,
        "RSV": (x["close"] - lowest) / (highest - lowest + TINY),
        "CORR": correlation("close", "log_volume"),
        "CORD": correlation("growth", "log_growth"),
        "CNTP": mean("up"),
        "CNTN": mean("down"),
        "CNTD": mean("up") - mean("down"),
        "SUMP": total("gain") / moved,
        "SUMN": total("loss") / moved,
        "SUMD": (total("gain") - total("loss")) / moved,
        "VMA": mean("volume") / units,
        "VSTD": spread("volume") / units,
        "WVMA": spread("swing") / (mean("swing") + TINY),
        "VSUMP": total("volume_gain") / volume_moved,
        "VSUMN": total("volume_loss") / volume_moved,
        "VSUMD": (total("volume_gain") - total("volume_loss")) / volume_moved,
    }
    return [over(expression.cast(pl.Float32), f"{name}{n}") for name, expression in found.items()]


def positions(bars: pl.LazyFrame, n: int) -> pl.LazyFrame:
    """Where the highest high and the lowest low of the window are; a session without a bar counts as either."""

    def place(name: str, extreme: Expr) -> Expr:
        missing = pl.col(name).is_null()
        return pl.when(missing.any()).then(missing.arg_max()).otherwise(extreme).cast(pl.Float64) + 1

    found = bars.rolling(index_column="session", period=f"{n}i", group_by="code").agg(
        place("high", pl.col("high").arg_max()).alias("highest"), place("low", pl.col("low").arg_min()).alias("lowest")
    )
    return found.select(
        (pl.col("highest") / n).cast(pl.Float32).alias(f"IMAX{n}"),
        (pl.col("lowest") / n).cast(pl.Float32).alias(f"IMIN{n}"),
        ((pl.col("highest") - pl.col("lowest")) / n).cast(pl.Float32).alias(f"IMXD{n}"),
    )


def alpha158(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return code, session and the 158 columns."""
    o, h, low, c = (pl.col(name) for name in ("open", "high", "low", "close"))
    span, top, bottom = h - low + TINY, pl.max_horizontal(o, c), pl.min_horizontal(o, c)
    of_bar = {
        "KMID": (c - o) / o,
        "KLEN": (h - low) / o,
        "KMID2": (c - o) / span,
        "KUP": (h - top) / o,
        "KUP2": (h - top) / span,
        "KLOW": (bottom - low) / o,
        "KLOW2": (bottom - low) / span,
        "KSFT": (2 * c - h - low) / o,
        "KSFT2": (2 * c - h - low) / span,
        **{f"{name.upper()}0": pl.col(name) / c for name in ("open", "high", "low", "vwap")},
    }
    rolled = [expression for n in WINDOWS for expression in windows(n)]
    plain = [expression.cast(pl.Float32).alias(name) for name, expression in of_bar.items()]
    columns = series(bars).select("code", "session", *plain, *rolled)
    return pl.concat([columns, *(positions(bars, n) for n in WINDOWS)], how="horizontal").select(
        "code", "session", *SETS["alpha158"]
    )


def alpha360(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return code, session and the 360 columns."""
    units = {name: pl.col("close") for name in ("close", "open", "high", "low", "vwap")}
    units["volume"] = pl.col("volume") + TINY
    lags = [
        (before(name, k) / unit).cast(pl.Float32).alias(f"{name.upper()}{k}")
        for name, unit in units.items()
        for k in range(LAGS - 1, -1, -1)
    ]
    return bars.select("code", "session", *lags)


def main() -> None:
    """Compute one set and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features.polars_side", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of benchmarks.features.bars")
    parser.add_argument("name", choices=tuple(SETS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    bars = (
        pl.scan_parquet(options.folder / "grid.parquet")
        .set_sorted("code")
        .with_columns(pl.col("session").cast(pl.Int64))
    )
    frame = {"alpha158": alpha158, "alpha360": alpha360}[options.name](bars).collect()
    seconds = time.perf_counter() - began
    if options.out:
        days = pl.read_parquet(options.folder / "bars.parquet", columns=["date"])["date"].unique().sort()
        day = days.to_numpy().astype("datetime64[D]")[frame["session"].to_numpy()]
        matrix = new_values(options.out, options.name, frame["code"].to_numpy(), day)
        for at, feature in enumerate(SETS[options.name]):
            matrix[at] = frame[feature].cast(pl.Float32).fill_null(np.nan).to_numpy()
        matrix.flush()
    said = {"seconds": seconds, "rows": len(frame), "columns": frame.width - 2}
    print(json.dumps({**said, "peak_mib": largest_resident_mib()}))


if __name__ == "__main__":
    main()
