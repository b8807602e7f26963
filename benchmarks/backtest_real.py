"""Backtests of a real run: both engines to the cent, books that balance, a poisoned future, and the capacity.

    python -m benchmarks.backtest_real HOME RUN
    python -m benchmarks.backtest_real HOME RUN --every 5 --smooth 20 --skip capacity

HOME is a built home with a finished run of the sleeve equities; nothing is written. Shown are

    agreement   the event-driven engine and the SQL backtest on the same weights, whole and fractional shares
    identity    equity of every session as cash and positions, and as the sum of all accounts of the books
    poison      garbage in every array after a session: decisions and equity up to it, at several sessions
    capacity    gross and net Sharpe ratio, drawdown, turnover, costs and fills at 1, 10 and 100 million USD

Exit code 1 when an amount differs by a cent, the books by 1e-6, or anything before the garbage at all.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trademl.backtest.books import OWNED
from trademl.backtest.data import Panel, bars_at_hand, read_panel
from trademl.backtest.engine import BacktestConfig, run_backtest
from trademl.backtest.luck import luck_in
from trademl.backtest.run import Request, compare_engines, run_requests
from trademl.backtest.scores import Scores, read_scores, smoothed
from trademl.backtest.strategy import ScoreStrategy
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.execution.config import read_execution
from trademl.governance.gate import POLICY_FILE, PromotionPolicy
from trademl.lake.layout import layout_of
from trademl.portfolio.config import read_portfolio
from trademl.warehouse.read import read_snapshot

LIMIT = 1e-6
CAPITALS = (1e6, 1e7, 1e8)
CUTS = (0.1, 0.5, 0.9)
PARTS = ("agreement", "identity", "poison", "capacity")


def agreement(con: Any, request: Request) -> bool:
    """Compare the two engines under common rules."""
    same = True
    for whole in (True, False):
        rules = BacktestConfig(sizing="capital", max_participation=None, whole_shares=whole)
        _, _, found = compare_engines(con, replace(request, rules=rules), build_id="")
        print(
            f"agreement  {'whole' if whole else 'fractional'} shares: {found.sessions:,} sessions, {found.trades:,} "
            f"trades, {found.only_in_one} in one only; largest differences in USD: equity {found.equity_usd:.1e}, "
            f"cash {found.cash_usd:.1e}, trade {found.trade_usd:.1e}, cost {found.cost_usd:.1e}",
            flush=True,
        )
        same &= found.to_the_cent
    return same


def identity(scores: Scores, panel: Panel, request: Request) -> bool:
    """Add up the books' entries day by day, apart from the engine's own check."""
    strategy = ScoreStrategy(scores, panel, request.portfolio, request.costs, request.every)
    result = run_backtest(panel.market, strategy, costs=request.costs, config=BacktestConfig())
    entries = result.books.entries()
    owned = np.isin(entries["account"], OWNED)
    days = [np.zeros(len(result.dates)) for _ in range(2)]
    for day, chosen in zip(days, (owned, ~owned), strict=True):
        np.add.at(day, entries["session"][chosen], entries["amount"][chosen])
    of_owned, of_sources = (np.cumsum(day) for day in days)
    worst = float(np.abs(of_owned - result.equity).max())
    balance = float(np.abs(of_owned + of_sources).max())
    print(
        f"identity   {len(entries['amount']):,} entries, {len(result.dates):,} sessions: cash + positions differ from "
        f"equity by at most {worst:.1e} USD, all accounts from 0 by {balance:.1e}",
        flush=True,
    )
    return worst < LIMIT and balance < LIMIT


def poison(scores: Scores, panel: Panel, request: Request) -> bool:
    """Put garbage behind a session and run again."""
    random = np.random.default_rng(7)

    def behind(array: Any, cut: int, low: float, high: float) -> Any:
        return np.concatenate([array[: cut + 1], random.uniform(low, high, array[cut + 1 :].shape)])

    def shaken(array: Any, cut: int) -> Any:
        # Wilder prices would ruin the account, and a ruined account decides nothing.
        return np.concatenate([array[: cut + 1], array[cut + 1 :] * random.uniform(0.9, 1.1, array[cut + 1 :].shape)])

    def run(given: Scores, market: Panel) -> tuple[ScoreStrategy, Any]:
        strategy = ScoreStrategy(given, market, request.portfolio, request.costs, request.every)
        return strategy, run_backtest(market.market, strategy, costs=request.costs, config=BacktestConfig())

    # What is held drifts far in such a market: a limit of turnover could not mend it.
    request = replace(request, portfolio=request.portfolio.model_copy(update={"max_turnover": 20.0}))
    plain, before = run(scores, panel)
    clean = True
    for share in CUTS:
        cut = int(share * len(panel.market.dates))
        day = panel.market.dates[cut]
        market = replace(
            panel.market,
            open_price=shaken(panel.market.open_price, cut),
            close_price=shaken(panel.market.close_price, cut),
            volume=behind(panel.market.volume, cut, 0.0, 1e6),
            day_value=behind(panel.market.day_value, cut, 1e6, 1e9),
            volatility=behind(panel.market.volatility, cut, 0.001, 0.1),
        )
        forecast = {window: behind(array, cut, 0.05, 1.0) for window, array in panel.forecast.items()}
        values = np.where((scores.dates > day)[:, None], random.normal(size=scores.values.shape), scores.values)
        other, after = run(replace(scores, values=values), replace(panel, market=market, forecast=forecast))
        upto = plain.weights.dates <= day
        wrong = int((plain.weights.values[upto] != other.weights.values[: int(upto.sum())]).sum())
        equity = int((before.equity[: cut + 1] != after.equity[: cut + 1]).sum())
        print(
            f"poison     after {day}: {wrong} of {plain.weights.values[upto].size:,} weights decided by then differ, "
            f"the equity of {equity} of {cut + 1:,} sessions",
            flush=True,
        )
        clean &= wrong == equity == 0
    return clean


def capacity(con: Any, home: Home, request: Request) -> bool:
    """Run the full cost model at several sizes."""
    orders = read_execution(home).orders
    rules = BacktestConfig(
        whole_shares=orders.whole_shares, max_participation=orders.max_participation, min_order_usd=orders.min_order_usd
    )
    wanted = [replace(request, rules=rules.model_copy(update={"capital_usd": capital})) for capital in CAPITALS]
    made = run_requests(con, wanted, build_id="")
    policy = load_section(home.configs / POLICY_FILE, PromotionPolicy)
    for one in made:
        found = one.figures
        parts = ", ".join(f"{part} {bps:.0f}" for part, bps in found.cost_bps.items() if bps)
        print(
            f"capacity   {one.request.rules.capital_usd:>11,.0f} USD: Sharpe {found.gross_sharpe:+.2f} gross, "
            f"{found.net_sharpe:+.2f} net, drawdown {found.max_drawdown:.1%}, turnover {found.turnover:.3f} a session, "
            f"costs in bps a year: {parts}; {found.filled:.2%} filled",
            flush=True,
        )
    luck = luck_in(layout_of(home), made[0], policy)
    print(f"capacity   DSR {luck.dsr:.3f} and PBO {luck.pbo:.3f} over {luck.trials} trials; the gate: {luck.said}")
    return True


def main() -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.backtest_real",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("home", type=Path)
    parser.add_argument("run")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--smooth", type=int, default=1)
    parser.add_argument("--skip", choices=PARTS, action="append", default=[])
    options = parser.parse_args()
    home = Home(options.home.resolve())
    request = Request(
        options.run,
        every=options.every,
        smooth=options.smooth,
        portfolio=read_portfolio(home),
        costs=read_execution(home).costs(),
    )
    holds = True
    with read_snapshot(home) as snapshot:
        con = snapshot.con
        if "agreement" not in options.skip:
            holds &= agreement(con, request)
        if not {"identity", "poison"} <= set(options.skip):
            scores = smoothed(read_scores(con, options.run), options.smooth)
            first, last = scores.dates[0], scores.dates[-1]
            with bars_at_hand(con, first, last):
                panel = read_panel(con, scores.symbols, first, last)
            if "identity" not in options.skip:
                holds &= identity(scores, panel, request)
            if "poison" not in options.skip:
                holds &= poison(scores, panel, request)
        if "capacity" not in options.skip:
            holds &= capacity(con, home, request)
    print("holds" if holds else "FAILS")
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
