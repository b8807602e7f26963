"""The two optimisers on a session of a real home, at several sizes: what the weights cost, and what they are worth.

    python -m benchmarks.portfolio --home HOME [--asof DATE]

Nothing is written to the home. Each line is one optimiser at one equity, from cash: names, gross exposure, cost of
getting there in basis points of the equity by part, the optimiser's own utility over its horizon, seconds, and for the
convex one the largest gain that moving a single weight by a basis point either way would bring (an optimum has none).
Exit code 1 when a limit is broken, the convex weights are worth less than the ranked ones, or such a gain is above
1e-9.
"""

import argparse
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trademl.config.home import Home
from trademl.execution.config import read_execution
from trademl.execution.targets import Targets, build_targets
from trademl.portfolio.build import Candidates, PortfolioConfig, broken_limits
from trademl.portfolio.config import read_portfolio
from trademl.portfolio.utility import Problem, TradingMarket, problem_of

EQUITIES = (1e6, 1e7, 1e8)
STEP = 1e-4
GAIN = 1e-9
EXACT = 1e-8


def inputs(found: Targets, config: PortfolioConfig, home: Home) -> tuple[Candidates, Problem]:
    """Return what was decided on, and the numbers by which weights are judged."""
    known = [one for one in found.targets if (one.volatility or 0) > 0 and (one.day_value_usd or 0) > 0]
    candidates = Candidates(
        tuple(one.symbol for one in known),
        np.array([np.nan if one.score is None else one.score for one in known]),
        volatility=np.array([one.volatility for one in known], dtype=np.float64),
        sectors=tuple(one.sector or "" for one in known),
        held=np.zeros(len(known)),
    )
    market = TradingMarket(
        found.equity_usd,
        np.array([one.day_value_usd for one in known], dtype=np.float64),
        price_usd=np.array([one.price_usd for one in known], dtype=np.float64),
        costs=read_execution(home).costs(),
    )
    return candidates, problem_of(candidates, config, market, found.confidence)


def largest_gain(
    weights: NDArray[np.float64], candidates: Candidates, problem: Problem, config: PortfolioConfig
) -> float:
    """Return what the best step of one weight, that keeps every limit, is worth more than none."""
    best, gain = problem.utility(weights).total, 0.0
    for at in range(len(weights)):
        for step in (-STEP, STEP):
            moved = weights.copy()
            moved[at] += step
            allowed = not broken_limits(moved, candidates, config, 0.0)
            if allowed and np.abs(moved - problem.held).sum() <= config.max_turnover:
                gain = max(gain, problem.utility(moved).total - best)
    return gain


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--asof", type=date.fromisoformat)
    options = parser.parse_args(argv)
    home, failed = Home(options.home), False
    config = read_portfolio(home)
    print("optimiser  equity USD  names   gross  spread  impact  borrow  utility bps  seconds  gain of one step")
    for equity in EQUITIES:
        worth = {}
        for optimiser in ("ranked", "convex"):
            chosen = config.model_copy(update={"optimiser": optimiser})
            # The first call pays for imports and for opening the snapshot's tables.
            build_targets(home, "equities", options.asof, chosen, equity_usd=equity, held={}, write=False)
            began = time.perf_counter()
            found = build_targets(home, "equities", options.asof, chosen, equity_usd=equity, held={}, write=False)
            seconds = time.perf_counter() - began
            candidates, problem = inputs(found, chosen, home)
            weight = {one.symbol: one.weight for one in found.targets}
            weights = np.array([weight[symbol] for symbol in candidates.symbols])
            utility = problem.utility(weights)
            worth[optimiser] = utility.total
            gain = largest_gain(weights, candidates, problem, chosen) if optimiser == "convex" else float("nan")
            parts = found.estimate.by_part()
            bps = {name: usd / equity * 1e4 for name, usd in parts.items()}
            held = replace(candidates, held=None)
            failed |= bool(broken_limits(weights, held, chosen, EXACT)) or gain > GAIN
            print(
                f"{optimiser:9}  {equity:10,.0f}  {int((np.abs(weights) > 0).sum()):5}  {found.gross:6.4f}"
                f"  {bps['spread']:6.2f}  {bps['impact']:6.2f}  {bps['borrow']:6.2f}  {utility.total * 1e4:11.2f}"
                f"  {seconds:7.2f}  {gain:.1e}"
            )
        failed |= worth["convex"] < worth["ranked"] - GAIN
    print("FAILED" if failed else "all limits hold; the convex weights are worth no less, and no step improves them")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
