"""The same adjusted bars for every engine, as float32.

Raw prices are divided by all later splits and dividends, volumes multiplied by all later splits. Features do not depend
on a symbol's scale, so hindsight in it changes nothing that is compared. What lies in a folder:

    bars.parquet    one row per bar: code, symbol, session, date, open, high, low, close, vwap, volume
    grid.parquet    the same with every session of a symbol from its first to its last bar, NULL where there is no bar
    qlib/           pyqlib's bin files, instruments named S00001 and so on after the code
    home/           a trademl home with these bars landed as raw ones, without dividends and splits
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.features.arrays import Array
from benchmarks.features.names import SETS

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRADEML_REAL_DATA", ROOT.parent / "shared" / "data")) / "equities"
PANEL = DATA / "us_sp500_daily_1999_2018.parquet"
FIELDS = ("open", "high", "low", "close", "vwap", "volume")
ADJUSTED = """
create or replace table bars as
with dated as (
    select * from read_parquet($source) where date between cast($first as date) and cast($last as date)
),
symbols as (
    select
        symbol,
        row_number() over (order by symbol) as code
    from (select distinct symbol from dated)
),
chosen as (
    select
        dated.*,
        symbols.code
    from dated
    inner join symbols on dated.symbol = symbols.symbol and ($symbols = 0 or symbols.code <= $symbols)
),
acted as (
    select
        *,
        coalesce(sum(ln(split_coefficient * (1 + dividend_amount / close))) over later, 0) as later_actions,
        coalesce(sum(ln(split_coefficient)) over later, 0) as later_splits
    from chosen
    window later as (partition by symbol order by date rows between 1 following and unbounded following)
),
adjusted as (
    select
        code,
        symbol,
        dense_rank() over (order by date) - 1 as session,
        cast(date as date) as date,
        cast(open * exp(-later_actions) as float) as open,
        cast(high * exp(-later_actions) as float) as high,
        cast(low * exp(-later_actions) as float) as low,
        cast(close * exp(-later_actions) as float) as close,
        cast(round(volume * exp(later_splits)) as float) as volume
    from acted
)
select
    *,
    cast((cast(high as double) + cast(low as double) + cast(close as double)) / 3 as float) as vwap
from adjusted
order by code, session
"""
GRID = """
select
    spells.code, cast(sessions.session as integer) as session, bars.* exclude (code, session, symbol, date)
from (select code, min(session) as first, max(session) as last from bars group by code) as spells
inner join (select distinct session from bars) as sessions on sessions.session between spells.first and spells.last
left join bars on bars.code = spells.code and bars.session = sessions.session
order by 1, 2
"""


def write_bars(folder: Path, source: Path, first: str, last: str, symbols: int = 0) -> None:
    """Write bars.parquet, grid.parquet and qlib/ for the first ``symbols`` of a file of raw bars (0: all of them)."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.execute(ADJUSTED, {"source": str(source), "first": first, "last": last, "symbols": symbols})
        con.execute(f"copy bars to '{folder / 'bars.parquet'}' (format parquet)")
        con.execute(f"copy ({GRID}) to '{folder / 'grid.parquet'}' (format parquet)")
        days = [str(row[0]) for row in con.execute("select distinct date from bars order by 1").fetchall()]
        columns = con.execute(f"from read_parquet('{folder / 'grid.parquet'}')").fetchnumpy()
    write_bins(folder / "qlib", days, {name: np.ma.filled(found, np.nan) for name, found in columns.items()})


def write_bins(folder: Path, days: list[str], grid: dict[str, Array]) -> None:
    """Write pyqlib's files: a calendar, the instruments' spells, each field's first session and values."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("calendars", "instruments", "features"):
        (folder / name).mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days), encoding="ascii")
    starts = np.flatnonzero(np.diff(grid["code"], prepend=-1))
    spells = []
    for start, end in zip(starts, [*starts[1:], len(grid["code"])], strict=True):
        first, last = int(grid["session"][start]), int(grid["session"][end - 1])
        name = f"S{int(grid['code'][start]):05d}"
        spells.append(f"{name}\t{days[first]}\t{days[last]}\n")
        symbol = folder / "features" / name.lower()
        symbol.mkdir()
        for field in FIELDS:
            values = np.concatenate([[first], grid[field][start:end]]).astype("<f4")
            values.tofile(symbol / f"{field}.day.bin")
    (folder / "instruments" / "all.txt").write_text("".join(spells), encoding="ascii")


def make_home(folder: Path) -> Path:
    """Land ``folder``'s bars in a new home: float32 values as the doubles that they are, known at their close."""
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    trademl(None, "init", str(home))
    switch_on(home, tuple(f"equities_{name}" for name in SETS))
    staged = folder / "landing.parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select symbol, date, cast(columns(* exclude (code, symbol, session, date, vwap)) as double) "
            f"from read_parquet('{folder / 'bars.parquet'}')) to '{staged}' (format parquet)"
        )
        (rows,) = con.execute(f"select count(*) from read_parquet('{staged}')").fetchall()[0]
    print(trademl(home, "ingest", "equities", str(staged), "--known-at", "close", "--source", "adjusted"), flush=True)
    staged.unlink()
    with duckdb.connect() as con:
        (landed,) = con.execute(
            f"select count(*) from read_parquet('{home}/lake/raw/equity_bars/*/rows.parquet')"
        ).fetchall()[0]
    if landed != rows:
        raise SystemExit(f"{rows:,} bars went in, {landed:,} landed: see the quarantine of {home}")
    return home


def switch_on(home: Path, tables: tuple[str, ...]) -> None:
    """Name the feature tables that the home's own dbt project builds, and take every jump of a price for a return.

    The warehouse distrusts a jump that looks like an unrecorded split (TTWO in February 2008: a bid, +55 %). No other
    engine does, and the bars are adjusted already: the rule is put out of reach, as log returns.
    """
    path = home / "dbt_project" / "dbt_project.yml"
    text = path.read_text(encoding="utf-8")
    for name, value in (
        ("feature_tables", f"[{', '.join(tables)}]"),
        ("jump_threshold", "100.0"),
        ("split_mismatch_threshold", "100.0"),
    ):
        text, found = re.subn(rf"(?m)^  {name}: .*$", f"  {name}: {value}", text)
        if found != 1:
            raise SystemExit(f"{path} has {found} lines `  {name}: `; one was expected")
    path.write_text(text, encoding="utf-8")


def trademl(home: Path | None, *arguments: str) -> str:
    """Run one `trademl` command on a home and return what it said."""
    environment = {**os.environ, **({"TRADEML_HOME": str(home)} if home else {})}
    done = subprocess.run(
        [sys.executable, "-m", "trademl", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"trademl {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr
