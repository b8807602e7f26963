"""The values of tests/oracles/alpha.py over a whole panel: whose error is a difference?"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.features.arrays import Array, new_values
from benchmarks.features.names import SETS
from tests.oracles.alpha import Bars, alpha158, alpha360

FIELDS = ("open", "high", "low", "close", "volume")


def write_oracle(folder: Path, name: str, symbols: int = 0) -> None:
    """Compute a set symbol by symbol, for the first ``symbols`` (0: all of them).

    Logarithms are the nearest float32, as NumPy's own are not; a session without a bar is no extreme.
    """
    with duckdb.connect() as con:
        gridded = con.execute(
            "from read_parquet($grid) where $symbols = 0 or code <= $symbols order by code, session",
            {"grid": str(folder / "grid.parquet"), "symbols": symbols},
        )
        grid: dict[str, Any] = dict(gridded.fetchnumpy())
        query = f"select distinct date from read_parquet('{folder / 'bars.parquet'}') order by 1"
        dated: dict[str, Any] = dict(con.execute(query).fetchnumpy())
    fields = {field: np.ma.filled(grid[field].astype(np.float64), np.nan) for field in FIELDS}
    day = dated["date"].astype("datetime64[D]")[grid["session"]]
    matrix = new_values(folder / "oracle", name, grid["code"], day)
    edges = [*np.flatnonzero(np.diff(grid["code"], prepend=-1)), len(day)]
    for start, end in pairwise(edges):
        bars = Bars(**{field: values[start:end] for field, values in fields.items()})
        found = alpha158(bars, log=nearest_log, absent_is_extreme=False) if name == "alpha158" else alpha360(bars)
        for at, feature in enumerate(SETS[name]):
            matrix[at, start:end] = found[feature]
    matrix.flush()


def nearest_log(values: Array) -> Array:
    """The logarithm of float32 values, rounded once."""
    found: Array = np.log(values.astype(np.float64)).astype(values.dtype)
    return found
