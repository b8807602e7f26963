"""The SQL backtest beside vectorbt: 2,520 sessions of 500 symbols, the same signals, every trade compared.

    python -m benchmarks.backtests                    # vectorbt in a temporary environment
    python -m benchmarks.backtests --venv .venv-vbt   # in one that is kept and used again
    python -m benchmarks.backtests --simulated        # random walks in place of the real panel

The panel is the last 2,520 sessions of TRADEML_REAL_DATA, 496 stocks and four funds, with the stocks' prices adjusted
for splits and dividends, which vectorbt does not know. The signal is the cross-sectional rank of the return of 20
sessions, long and short, decided at every close and filled at the next open; 1,000,000 USD, fractions of shares, 5
basis points.
Each contender runs in a process of its own: the seconds are from arrays in memory to daily equity and all trades in
memory, the median of five after one run to warm up, which compiles vectorbt's code; memory is the peak of the process
above what it held when its libraries and the panel were loaded. The event-driven engine trades the same signals.
Exit code 1 when a trade or a session's equity differs by a cent, or the SQL backtest takes a second.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import duckdb

FloatArray = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).with_name("backtests_requirements.txt")
DATA = Path(os.environ.get("TRADEML_REAL_DATA", ROOT.parent / "shared" / "data")) / "equities"
SESSIONS, SYMBOLS, LOOKBACK = 2520, 500, 20
CAPITAL, SPREAD = 1_000_000.0, 5e-4
RUNS = 5
LIMIT_SECONDS, CENT = 1.0, 0.005


def real_panel() -> Columns:
    """Read adjusted bars of the panel as arrays of shape (sessions, symbols), NaN without a bar."""
    import duckdb

    rows = duckdb.execute(
        """
        with every as (
            select symbol, date, open, close, volume, ln(split_coefficient * (1 + dividend_amount / close)) as action
            from read_parquet($stocks)
            union all
            select symbol, date, open, close, volume, 0.0 as action from read_parquet($funds)
            where symbol in ('EEM', 'IWM', 'SPY', 'USO')
        ),
        bars as (
            select * from every where date in (
                select distinct date from read_parquet($stocks) order by date desc limit $sessions
            )
        ),
        chosen as (select symbol from bars group by symbol order by count(*) desc, symbol limit $symbols)
        select
            dense_rank() over (order by date) - 1 as session,
            dense_rank() over (order by symbol) - 1 as code,
            symbol, date, volume,
            open * exp(sum(action) over history) as open,
            close * exp(sum(action) over history) as close
        from bars where symbol in (select symbol from chosen)
        window history as (partition by symbol order by date)
        """,
        {
            "stocks": str(DATA / "us_sp500_daily_1999_2018.parquet"),
            "funds": str(DATA / "us_etf_daily.parquet"),
            "sessions": SESSIONS,
            "symbols": SYMBOLS,
        },
    ).fetchnumpy()
    at = (np.asarray(rows["session"]), np.asarray(rows["code"]))
    panel: Columns = {}
    for name in ("open", "close", "volume"):
        panel[name] = np.full((SESSIONS, SYMBOLS), np.nan)
        panel[name][at] = rows[name]
    symbols = np.unique(np.asarray(rows["symbol"], dtype=str))
    return {**panel, "dates": np.unique(np.asarray(rows["date"], dtype="datetime64[D]")), "symbols": symbols}


def simulated_panel() -> Columns:
    """Random walks without gaps, for where there is no market data."""
    random = np.random.default_rng(7)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, (SESSIONS, SYMBOLS)), axis=0))
    return {
        "open": close * np.exp(random.normal(0, 0.005, close.shape)),
        "close": close,
        "volume": np.full(close.shape, 1e6),
        "dates": np.datetime64("2009-01-01") + np.arange(SESSIONS),
        "symbols": np.array([f"S{code:03d}" for code in range(SYMBOLS)]),
    }


def with_signals(panel: Columns) -> Columns:
    """Add marks (the last close there was) and the weights that each close decides."""
    close = panel["close"]
    last = np.maximum.accumulate(np.where(np.isfinite(close), np.arange(SESSIONS)[:, None], -1), axis=0)
    mark = np.where(last >= 0, np.take_along_axis(close, np.maximum(last, 0), axis=0), np.nan)
    growth = np.full(close.shape, np.nan)
    growth[LOOKBACK:] = close[LOOKBACK:] / mark[:-LOOKBACK]
    order = np.argsort(np.argsort(np.where(np.isfinite(growth), growth, np.inf), axis=1), axis=1)
    count = np.isfinite(growth).sum(axis=1, keepdims=True)
    tilt = np.where(np.isfinite(growth), order - (count - 1) / 2, 0.0)
    total = np.abs(tilt).sum(axis=1, keepdims=True)
    return {**panel, "mark": mark, "weights": tilt / np.where(total > 0, total, 1.0)}


def prepare_sql(panel: Columns) -> Callable[[], Any]:
    """Make a DuckDB with the bars and the project's own views; return the backtest."""
    import duckdb

    from trademl.backtest.engine import BacktestConfig
    from trademl.backtest.set_based import run_set_based
    from trademl.backtest.strategy import Weights
    from trademl.costs.model import CostModel

    con = duckdb.connect()
    con.execute("set threads = 2")
    _tables(con, panel)
    decided = np.arange(LOOKBACK, SESSIONS)
    weights = Weights(panel["dates"][decided], tuple(panel["symbols"].tolist()), panel["weights"][decided])
    config = BacktestConfig(capital_usd=CAPITAL, sizing="capital", whole_shares=False, max_participation=None)
    costs = CostModel(spread_bps=SPREAD * 1e4, impact_coefficient=0.0, borrow=free_borrowing())

    def run() -> Any:
        found = run_set_based(con, weights, costs=costs, config=config, last=panel["dates"][-1])
        return {
            "equity": found.daily["equity_usd"],
            "trades": found.trades,
        }

    return run


def free_borrowing() -> Any:
    """Return one tier that costs nothing: vectorbt knows no borrowing."""
    from trademl.costs.model import BorrowTier

    return (BorrowTier(0.0, 0.0),)


def _tables(con: "duckdb.DuckDBPyConnection", panel: Columns) -> None:
    """Put the calendar, the bars and the views of the dbt project into a database."""
    import jinja2

    from trademl.schema import BATCHES

    project = ROOT / "dbt_project"
    for schema in ("silver", "ops", "marts"):
        con.execute(f"create schema {schema}")
    session, code = (axis.ravel() for axis in np.indices(panel["close"].shape))
    con.register("calendar", {"date": panel["dates"].astype("datetime64[us]"), "session_index": np.arange(SESSIONS)})
    con.execute("create table silver.calendar as select cast(date as date) as date, session_index from calendar")
    con.execute(
        "create table names as select unnest($names) as symbol, generate_subscripts($names, 1) - 1 as code",
        {"names": panel["symbols"].tolist()},
    )
    bars = {name: panel[name].ravel() for name in ("open", "mark", "volume")}
    con.register("cells", {"session_index": session, "code": code, **bars})
    # Every session from the first bar on has a row, as in marts.backtest_bars.
    con.execute(
        """
        create table bars as
        select
            names.symbol, '' as sector, true as is_member, isfinite(cells.open) as has_bar, false as is_delisted,
            cells.session_index,
            cast(calendar.date - lag(calendar.date) over by_symbol as integer) as nights,
            case when isfinite(cells.open) then cells.open end as open,
            cells.mark as close,
            case when isfinite(cells.open) then cells.volume end as volume,
            1.0::double as split, 0.0::double as dividend_usd, 1e9::double as day_value_usd,
            0.02::double as volatility_1d,
            lag(cells.mark) over by_symbol as previous_close,
            1e9::double as previous_day_value_usd, 0.02::double as previous_volatility_1d, calendar.date
        from cells inner join names using (code) inner join silver.calendar as calendar using (session_index)
        where isfinite(cells.mark)
        window by_symbol as (partition by cells.code order by cells.session_index)
        order by symbol, session_index
        """
    )
    for name in ("calendar", "cells"):
        con.unregister(name)
    con.execute("create view marts.backtest_bars as select * from bars")
    for table in ("ops.backtests", "ops.backtest_weights"):
        columns = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in BATCHES[table].columns.items())
        con.execute(f"create view {table} as select {columns} where false")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    macros = (project / "macros" / "backtest.sql").read_text(encoding="utf-8")
    layers = {"ops": "ops", "mrt": "marts", "slv": "silver"}
    for mart in ("positions", "trades", "daily"):
        text = (project / "models" / "marts" / "backtest" / f"mrt_backtest_{mart}.sql").read_text(encoding="utf-8")
        sql = environment.from_string(macros + text).render(
            ref=lambda model: f"{layers[model.partition('_')[0]]}.{model.partition('_')[2]}"
        )
        con.execute(f"create view marts.backtest_{mart} as {sql}")


def prepare_engine(panel: Columns) -> Callable[[], Any]:
    """Return the event-driven engine's backtest."""
    from trademl.backtest.engine import BacktestConfig, run_backtest
    from trademl.backtest.market import Market
    from trademl.backtest.strategy import Weights, planned
    from trademl.costs.model import CostModel

    shape = panel["close"].shape
    market = Market(
        dates=panel["dates"],
        symbols=tuple(panel["symbols"].tolist()),
        open_price=panel["open"],
        close_price=panel["close"],
        volume=panel["volume"],
        split=np.ones(shape),
        dividend=np.zeros(shape),
        day_value=np.full(shape, 1e9),
        volatility=np.full(shape, 0.02),
        delisted=np.zeros(shape, dtype=bool),
    )
    decided = np.arange(LOOKBACK, SESSIONS)
    weights = Weights(panel["dates"][decided], market.symbols, panel["weights"][decided])
    config = BacktestConfig(capital_usd=CAPITAL, sizing="capital", whole_shares=False, max_participation=None)
    costs = CostModel(spread_bps=SPREAD * 1e4, impact_coefficient=0.0, borrow=free_borrowing())

    def run() -> Columns:
        found = run_backtest(market, planned(weights), costs=costs, config=config)
        filled = found.fills["filled"] != 0
        return {
            "equity": found.equity[LOOKBACK:],
            "date": market.dates[found.fills["session"][filled]],
            "symbol": panel["symbols"][found.fills["symbol"][filled]],
            "shares": found.fills["filled"][filled],
            "fill_price_usd": found.fills["price"][filled],
            "cost_usd": found.fills["spread_usd"][filled],
        }

    return run


def prepare_vectorbt(panel: Columns) -> Callable[[], Any]:
    """Return vectorbt's backtest: target amounts of shares, filled at the open of the next row, one pool of cash."""
    import vectorbt as vbt

    mark, weights = panel["mark"], panel["weights"]
    size = np.full(mark.shape, np.nan)
    size[LOOKBACK + 1 :] = weights[LOOKBACK:-1] * CAPITAL / mark[LOOKBACK:-1]
    size[~(np.isfinite(panel["open"]) & (panel["volume"] > 0))] = np.nan
    # Before its first bar a symbol has no position; any number will do for its price.
    first = np.take_along_axis(mark, np.argmax(np.isfinite(mark), axis=0)[None, :], axis=0)
    close = np.where(np.isfinite(mark), mark, first)
    # Cash never runs short: both of ours would say so in their books, and go on.
    spare = 1e8

    def run() -> Columns:
        portfolio = vbt.Portfolio.from_orders(
            close,
            size=size,
            size_type="targetamount",
            price=panel["open"],
            fees=SPREAD,
            cash_sharing=True,
            group_by=True,
            init_cash=spare,
            freq="1D",
        )
        found = portfolio.orders.records_arr
        sign = np.where(found["side"] == 0, 1.0, -1.0)
        return {
            "equity": np.asarray(portfolio.value(), dtype=np.float64).ravel()[LOOKBACK:] - spare + CAPITAL,
            "date": panel["dates"][found["idx"]],
            "symbol": panel["symbols"][found["col"]],
            "shares": found["size"] * sign,
            "fill_price_usd": found["price"],
            "cost_usd": found["fees"],
        }

    return run


CONTENDERS: dict[str, tuple[str, Callable[[Columns], Callable[[], Any]]]] = {
    "sql": ("trademl, SQL", prepare_sql),
    "vectorbt": ("vectorbt", prepare_vectorbt),
    "engine": ("trademl, event-driven", prepare_engine),
}


def measure(name: str, folder: Path) -> None:
    """Time one contender in this process; print seconds and memory as JSON and leave its results in ``folder``."""
    panel = dict(np.load(folder / "panel.npz"))
    run = CONTENDERS[name][1](panel)
    base = _resident()
    peak = Peak()
    began = time.perf_counter()
    found = run()
    warm = time.perf_counter() - began
    seconds, processor = [], []
    for _ in range(RUNS):
        began, spent = time.perf_counter(), time.process_time()
        found = run()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - spent)
    highest = peak.stop()
    if "trades" in found:
        # Arrow in memory is a result; to write it for the comparison is not.
        table = found.pop("trades")
        names = ("date", "symbol", "shares", "fill_price_usd", "cost_usd")
        found |= {name: table.column(name).to_numpy(zero_copy_only=False) for name in names}
    order = np.lexsort((found["symbol"].astype(str), found["date"]))
    kept = {key: values if key == "equity" else values[order] for key, values in found.items()}
    np.savez(folder / f"{name}.npz", **{**kept, "symbol": kept["symbol"].astype("U16")})
    print(json.dumps({"warm": warm, "seconds": seconds, "processor": processor, "memory": highest - base}))


class Peak:
    """The largest resident memory of this process while it runs, looked at every 5 ms."""

    def __init__(self) -> None:
        self.highest, self.over = _resident(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.over.wait(0.005):
            self.highest = max(self.highest, _resident())

    def stop(self) -> int:
        """Return the peak in bytes."""
        self.over.set()
        self.thread.join()
        return self.highest


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def install(folder: Path) -> Path:
    """Make vectorbt's environment, unless it is there; return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making an environment in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True, stderr=subprocess.DEVNULL)
    return python


def differences(ours: Columns, theirs: Columns) -> dict[str, float]:
    """Count the trades that only one has, and give the largest difference of those that both have, field by field."""
    key = [np.char.add(one["date"].astype("U10"), one["symbol"].astype("U16")) for one in (ours, theirs)]
    _, left, right = np.intersect1d(*key, return_indices=True)
    found = {"only in one": float(len(key[0]) + len(key[1]) - 2 * len(left))}
    for name in ("shares", "fill_price_usd", "cost_usd"):
        found[name] = float(np.abs(ours[name][left] - theirs[name][right]).max(initial=0.0))
    value = np.abs(ours["shares"][left] - theirs["shares"][right]) * ours["fill_price_usd"][left]
    found["traded USD"] = float(value.max(initial=0.0))
    found["equity USD"] = float(np.abs(ours["equity"] - theirs["equity"]).max())
    return found


def compare(venv: Path, panel: Columns) -> int:
    """Print the table and the verdicts; return 1 when one of them fails."""
    pythons = {"sql": Path(sys.executable), "engine": Path(sys.executable), "vectorbt": install(venv)}
    results: dict[str, Columns] = {}
    seconds: dict[str, float] = {}
    print(f"{SESSIONS:,} sessions x {SYMBOLS} symbols, {panel['dates'][0]} to {panel['dates'][-1]}")
    print(f"{'':<24}{'first run s':>12}{'median s':>10}{'CPU s':>8}{'memory MB':>11}{'trades':>12}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "panel.npz", **panel)
        for contender, (title, _) in CONTENDERS.items():
            done = subprocess.run(
                [str(pythons[contender]), "-m", "benchmarks.backtests", "--measure", contender, "--out", str(folder)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise SystemExit(f"{contender} failed with exit code {done.returncode}; what it said is above")
            told = json.loads(done.stdout.splitlines()[-1])
            results[contender] = dict(np.load(folder / f"{contender}.npz"))
            seconds[contender] = statistics.median(told["seconds"])
            print(
                f"{title:<24}{told['warm']:>12.2f}{seconds[contender]:>10.3f}"
                f"{statistics.median(told['processor']):>8.2f}{told['memory'] / 1e6:>11.0f}"
                f"{len(results[contender]['shares']):>12,}",
                flush=True,
            )
    verdicts = []
    for other in ("vectorbt", "engine"):
        found = differences(results["sql"], results[other])
        told_of = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        print(f"largest differences of SQL and {CONTENDERS[other][0]}: {told_of}")
        same = (
            found["only in one"] == 0 and max(found[name] for name in ("traded USD", "cost_usd", "equity USD")) < CENT
        )
        verdicts.append((f"every trade and every day's equity as {CONTENDERS[other][0]}, to the cent", same))
    verdicts.append((f"{seconds['sql']:.2f} s, less than {LIMIT_SECONDS:g} s asked", seconds["sql"] < LIMIT_SECONDS))
    for text, holds in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return int(not all(holds for _, holds in verdicts))


def main() -> int:
    """Compare, or measure one contender for the process that compares."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.backtests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, metavar="DIR", help="environment of vectorbt; made when absent")
    parser.add_argument("--simulated", action="store_true", help="random walks in place of the real panel")
    parser.add_argument("--measure", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.out)
        return 0
    panel = with_signals(simulated_panel() if options.simulated else real_panel())
    if options.venv:
        return compare(options.venv.resolve(), panel)
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), panel)


if __name__ == "__main__":
    sys.exit(main())
