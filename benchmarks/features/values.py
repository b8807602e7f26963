"""The values that engines left (see benchmarks.features.arrays), lined up with the bars."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.features.arrays import Array, keyed, new_values
from benchmarks.features.names import SETS

COLUMNS_AT_ONCE = 40
KEYS = """
with stepped as (
    select *, session - lag(session) over (partition by code order by session) > 1 as is_after_absence
    from read_parquet($bars)
    where $symbols = 0 or code <= $symbols
)
select
    code,
    date,
    symbol,
    coalesce(bool_or(is_after_absence) over lookback, false) as near_absence
from stepped
window lookback as (partition by code order by session range between 60 preceding and current row)
order by code, date
"""


@dataclass(frozen=True)
class BarKeys:
    """Which bars there are, by code and session: what all values are lined up with.

    ``near_absence``: within the 60 sessions before the bar its symbol was without one.
    """

    code: Array
    day: Array
    symbol: Array
    near_absence: Array

    @classmethod
    def read(cls, folder: Path, symbols: int = 0) -> "BarKeys":
        """Read the keys of a folder of benchmarks.features.bars, of its first ``symbols`` (0: of all)."""
        with duckdb.connect() as con:
            given = {"bars": str(folder / "bars.parquet"), "symbols": symbols}
            found: dict[str, Any] = dict(con.execute(KEYS, given).fetchnumpy())
        days = found["date"].astype("datetime64[D]")
        code = found["code"].astype(np.int64)
        return cls(code, days, found["symbol"], np.asarray(found["near_absence"], np.bool_))

    @property
    def keys(self) -> Array:
        """One number per bar, rising."""
        return keyed(self.code, self.day)

    def __len__(self) -> int:
        return len(self.code)


@dataclass(frozen=True)
class Values:
    """The values of one engine; ``row[i]`` is where those of bar i are, -1 where it has none."""

    engine: str
    names: list[str]
    matrix: Array
    row: Array
    extra: int

    def column(self, name: str) -> Array:
        """Return one feature in the order of the bars, NaN where the engine has no row."""
        found = np.asarray(self.matrix[self.names.index(name)])[self.row]
        return np.where(self.row >= 0, found, np.float32(np.nan))

    @property
    def lacking(self) -> Array:
        """Which bars have no row."""
        return np.flatnonzero(self.row < 0)


def read_values(folder: Path, engine: str, name: str, bars: BarKeys) -> Values:
    """Read what an engine left in ``folder/engine`` and line it up with the bars."""
    at = folder / engine
    keys = keyed(np.load(at / f"{name}_code.npy"), np.load(at / f"{name}_day.npy"))
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], bars.keys)
    found = order[np.minimum(place, len(keys) - 1)]
    row = np.where(keys[found] == bars.keys, found, -1)
    names = json.loads((at / f"{name}.json").read_text(encoding="ascii"))
    if names != list(SETS[name]):
        raise SystemExit(f"{engine}: the features of {name} are not pyqlib's, or in another order")
    extra = int(np.sum(~np.isin(keys, bars.keys)))
    return Values(engine, names, np.load(at / f"{name}.npy", mmap_mode="r"), row, extra)


def export_gold(folder: Path, name: str, symbols: int = 0) -> None:
    """Read gold.equities_<set> from the home's warehouse; a cell is NULL or a number, anything else stops."""
    table = f"w.gold.equities_{name}"
    columns = SETS[name]
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.execute(f"attach '{folder / 'home' / 'lake' / 'warehouse.duckdb'}' as w (read_only)")
        con.execute(
            f"create table symbols as select distinct symbol, code from read_parquet('{folder / 'bars.parquet'}')"
        )
        source = f"{table} as gold left join symbols using (symbol) "
        source += f"where code <= {symbols}" if symbols else ""
        keys: dict[str, Any] = dict(
            con.execute(f"select coalesce(code, 0) as code, date from {source} order by 1, 2").fetchnumpy()
        )
        matrix = new_values(folder / "trademl", name, np.asarray(keys["code"]), keys["date"])
        names = list(columns.values())
        for start in range(0, len(names), COLUMNS_AT_ONCE):
            chosen = names[start : start + COLUMNS_AT_ONCE]
            query = f"select {', '.join(chosen)} from {source} order by coalesce(code, 0), date"
            found: dict[str, Any] = dict(con.execute(query).fetchnumpy())
            for at, column in enumerate(chosen, start):
                values = found[column]
                missing = np.ma.getmaskarray(values)
                if np.isnan(np.asarray(np.ma.getdata(values))[~missing]).any():
                    raise SystemExit(f"{table}.{column} holds NaN: a missing value is NULL")
                matrix[at] = np.ma.filled(values, np.nan)
        matrix.flush()


def remove_values(folder: Path, engine: str, name: str) -> None:
    """Remove what an engine left of a set."""
    for path in (folder / engine).glob(f"{name}[_.]*"):
        path.unlink()
