"""Weights by convex optimisation: forecast return less risk less costs, within the limits of the ranked policy.

Maximised over the weights w, per horizon and as shares of equity::

    alpha' w - lambda / 2 w' S w - kappa (rate' |w - h| + sum of c' |w - h|^p + borrow' max(-w, 0))

with h the weights held, S the covariance of one correlation between any two symbols, and the costs those of the cost
model: spread and commission linear, the square-root law as the power 1.5, borrowing on what is short (Boyd et al.,
"Multi-Period Trading via Convex Optimization", 2017, section 4). Where no weights keep all limits, the turnover limit
is relaxed as little as can be, and the limits that it keeps out of reach are named.
"""

import importlib
import warnings
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ConfigError, TrademlError
from trademl.portfolio.build import (
    Candidates,
    PortfolioConfig,
    TargetWeights,
    broken_limits,
    check_candidates,
    confidence_of,
    shrunk_to_limits,
)
from trademl.portfolio.utility import SESSIONS_PER_YEAR, Problem, TradingMarket, problem_of

FloatArray = NDArray[np.float64]

TOLERANCE = 1e-5
"""By how much turnover and the target of volatility may be exceeded: what the solver's accuracy leaves."""

_BPS = 1e4
_TURNOVER = "max_turnover"
_DUST = 1e-7
_EXACT = 1e-8
# In basis points and weights. Where the last digits cannot be had, fewer are enough, and are asked for once more.
_ACCURACIES: tuple[dict[str, float], ...] = ({}, {"tol_gap_abs": 1e-5, "tol_gap_rel": 1e-6, "tol_feas": 1e-6})


@dataclass(frozen=True)
class Limit:
    """A limit as the optimiser sees it: ``left`` <= ``bound``, both in weights (or volatility a year)."""

    name: str
    left: Any
    bound: float


def optimise(
    candidates: Candidates, config: PortfolioConfig, market: TradingMarket, *, confidence: float | None = None
) -> TargetWeights:
    """Return the target weights of one date that are worth most; see :class:`trademl.portfolio.utility.Utility`.

    A symbol without a score gets weight 0; what is held of it is sold as far as the turnover limit allows. The same
    limits hold as for :func:`trademl.portfolio.build.build`, to :data:`TOLERANCE`.

    Raises:
        ConfigError: as ``build``, no volatility is forecast, or no weights keep all limits: the message names those
            out of reach, and the turnover that each takes.
        TrademlError: the solver finds no answer.
        ModuleNotFoundError: cvxpy is not installed (extra ``portfolio``).
    """
    check_candidates(candidates)
    problem = problem_of(candidates, config, market, confidence_of(config, confidence))
    weights = np.zeros(len(candidates.symbols))
    scored = np.isfinite(candidates.scores)
    rows = scored | (problem.held != 0)
    if not rows.any():
        return TargetWeights(candidates.symbols, weights, ("no symbol has a score",))
    sectors = None if candidates.sectors is None else np.asarray(candidates.sectors)[rows]
    volatility = np.asarray(candidates.volatility)[rows]
    found = _solve(problem.only(rows), scored[rows], sectors, volatility, config)
    weights[rows] = np.where(np.abs(found) < _DUST, 0.0, found)
    # What the solver's accuracy leaves beyond a limit, a millionth or so, is taken off.
    weights = shrunk_to_limits(weights, candidates, config)
    _check_answer(weights, candidates, config, problem.held)
    return TargetWeights(candidates.symbols, weights, _notes(weights, candidates, config, problem))


def _check_answer(weights: FloatArray, candidates: Candidates, config: PortfolioConfig, held: FloatArray) -> None:
    """Refuse an answer that the solver calls one, and that breaks a limit all the same."""
    broken = broken_limits(weights, candidates, config, _EXACT)
    turnover = float(np.abs(weights - held).sum())
    if turnover > config.max_turnover + TOLERANCE:
        broken.append(f"{_TURNOVER} {config.max_turnover:g}: {turnover:.6f}")
    if broken:
        raise TrademlError(
            f"the convex optimiser's answer breaks limits: {'; '.join(broken)}",
            remedy="use the ranked optimiser, and report this with the configuration",
        )


def _cvxpy() -> Any:
    # Its own types leave out the atoms, which are added while it is imported.
    return importlib.import_module("cvxpy")


def _solve(
    problem: Problem,
    scored: NDArray[np.bool_],
    sectors: NDArray[np.str_] | None,
    volatility: FloatArray,
    config: PortfolioConfig,
) -> FloatArray:
    cp = _cvxpy()

    weights = cp.Variable(len(scored))
    change = cp.abs(weights - problem.held)
    risk = cp.multiply(problem.deviation, weights)
    variance = (1 - problem.correlation) * cp.sum_squares(risk) + problem.correlation * cp.square(cp.sum(risk))
    costs = problem.rate @ change + problem.borrow @ cp.neg(weights)
    for power in problem.powers:
        costs += power.coefficient @ cp.power(change, power.exponent)
    worth = problem.forecast @ weights - problem.risk_aversion / 2 * variance - problem.cost_aversion * costs
    if not scored.all():
        worth -= _leaving(problem, scored, config.gross) * cp.norm1(weights[~scored])
    limits = _limits(weights, problem, scored, sectors, volatility, config)
    # In basis points, so that the solver's absolute accuracy is far below what matters.
    whole = cp.Problem(cp.Maximize(_BPS * worth), [limit.left <= limit.bound for limit in limits])
    status = _run(whole)
    if status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        return np.asarray(weights.value, dtype=np.float64)
    if status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        _refuse(weights, problem, limits, config)
    raise TrademlError(
        f"the convex optimiser ended as {status!r} for {len(scored)} symbols",
        remedy="use the ranked optimiser, and report this with the configuration",
    )


def _limits(
    weights: Any,
    problem: Problem,
    scored: NDArray[np.bool_],
    sectors: NDArray[np.str_] | None,
    volatility: FloatArray,
    config: PortfolioConfig,
) -> list[Limit]:
    cp = _cvxpy()

    limits = [
        Limit("max_name", cp.norm_inf(weights), config.max_name),
        Limit("gross", cp.norm1(weights), config.gross),
        Limit("max_net", cp.abs(cp.sum(weights)), config.net_limit),
        Limit(_TURNOVER, cp.norm1(weights - problem.held), config.max_turnover),
    ]
    if config.side == "long_only":
        limits.append(Limit("long_only", cp.max(-weights), 0.0))
    for name in [] if sectors is None else sorted(set(sectors.tolist())):
        members = np.flatnonzero(sectors == name)
        limits.append(Limit(f"max_sector of {name or '(none)'}", cp.abs(cp.sum(weights[members])), config.max_sector))
    if config.target_volatility is not None:
        own = sqrt(1 - problem.correlation) * cp.multiply(volatility, weights)
        common = sqrt(problem.correlation) * (volatility @ weights)
        limits.append(Limit("target_volatility", cp.norm(cp.hstack([own, common])), config.target_volatility))
    if not scored.all():
        held = problem.held[~scored]
        sold = cp.multiply(np.sign(held), weights[~scored])
        # Between 0 and what is held: nobody buys more of what has no score, or turns it round.
        limits.append(Limit("symbols without a score", cp.max(cp.maximum(-sold, sold - np.abs(held))), 0.0))
    return limits


def _leaving(problem: Problem, scored: NDArray[np.bool_], gross: float) -> float:
    """Return a price on each unit that is held without a score, above all that keeping it could be worth.

    That is the forecast of any other symbol that the turnover could buy instead, and what selling costs at the margin.
    """
    left = np.abs(problem.held[~scored])
    marginal = problem.rate.max() + problem.borrow.max()
    for power in problem.powers:
        slope = power.exponent * power.coefficient
        marginal += float((slope[~scored] * left ** (power.exponent - 1)).max())
    risk = problem.risk_aversion * float(problem.deviation.max()) ** 2 * max(gross, float(np.abs(problem.held).sum()))
    return float(2 * (np.abs(problem.forecast).max() + problem.cost_aversion * marginal + risk))


def _run(problem: Any) -> str:
    cp = _cvxpy()
    failure: Exception | None = None
    for accuracy in _ACCURACIES:
        try:
            with warnings.catch_warnings():
                # The status says the same, and is looked at.
                warnings.filterwarnings("ignore", message="Solution may be inaccurate")
                # One thread: the same digits whatever the machine.
                problem.solve(solver=cp.CLARABEL, max_threads=1, **accuracy)
        except cp.error.SolverError as error:
            failure = error
        else:
            return str(problem.status)
    raise TrademlError(
        f"the convex optimiser failed: {str(failure).splitlines()[0]}",
        remedy="use the ranked optimiser, and report this with the configuration",
    ) from failure


def _refuse(weights: Any, problem: Problem, limits: list[Limit], config: PortfolioConfig) -> None:
    """Name the limits that the turnover limit keeps from being reached, and the smallest turnover that reaches each.

    No position at all keeps every limit but that of the turnover, so it is the one to relax.

    Raises:
        ConfigError: always, unless every limit can be reached.
    """
    cp = _cvxpy()

    way = cp.norm1(weights - problem.held)
    others = [limit for limit in limits if limit.name != _TURNOVER]

    def needed(some: list[Limit]) -> float:
        smallest = cp.Problem(cp.Minimize(way), [limit.left <= limit.bound for limit in some])
        _run(smallest)
        return float(smallest.value)

    whole = needed(others)
    if whole <= config.max_turnover + TOLERANCE:
        return
    alone = [(limit, needed([limit])) for limit in others]
    out_of_reach = [
        f"{limit.name} {limit.bound:g} takes {way_there:.4f}"
        for limit, way_there in alone
        if way_there > config.max_turnover + TOLERANCE
    ]
    named = out_of_reach or [f"{limit.name} {limit.bound:g}" for limit, way_there in alone if way_there > TOLERANCE]
    raise ConfigError(
        f"a turnover of at most {config.max_turnover:g} cannot mend what is held: {', '.join(named)}; all limits "
        f"together take {whole:.4f}",
        remedy="raise max_turnover for this date, or the limits named here",
    )


def _notes(weights: FloatArray, candidates: Candidates, config: PortfolioConfig, problem: Problem) -> tuple[str, ...]:
    """Say which limits bound the answer."""
    gross, net = float(np.abs(weights).sum()), float(weights.sum())
    at_cap = int((np.abs(weights) > config.max_name - TOLERANCE).sum())
    notes = []
    if at_cap:
        notes.append(f"{at_cap} names are at max_name {config.max_name:g}")
    if gross > config.gross - TOLERANCE:
        notes.append(f"gross exposure is at its limit {config.gross:g}")
    if config.side == "long_short" and abs(net) > config.max_net - TOLERANCE:
        notes.append(f"net exposure is at its limit {config.max_net:g}")
    for name in [] if candidates.sectors is None else sorted(set(candidates.sectors)):
        inside = float(weights[np.asarray(candidates.sectors) == name].sum())
        if abs(inside) > config.max_sector - TOLERANCE:
            notes.append(f"sector {name or '(none)'} is at its limit {config.max_sector:g}")
    turnover = float(np.abs(weights - problem.held).sum())
    if turnover > config.max_turnover - TOLERANCE:
        notes.append(f"turnover is at its limit {config.max_turnover:g}")
    if config.target_volatility is not None:
        scale = sqrt(SESSIONS_PER_YEAR / config.convex.horizon_sessions)
        risk = weights * problem.deviation * scale
        rho = problem.correlation
        forecast = sqrt((1 - rho) * float(risk @ risk) + rho * float(risk.sum()) ** 2)
        if forecast > config.target_volatility - TOLERANCE:
            notes.append(f"volatility is at its target {config.target_volatility:g}")
    worth = problem.utility(weights)
    notes.append(
        f"expects {worth.forecast * _BPS:.2f} bps over {config.convex.horizon_sessions} sessions, less "
        f"{worth.risk * _BPS:.2f} for risk, {worth.trading * _BPS:.2f} for trading, {worth.borrow * _BPS:.2f} to borrow"
    )
    return tuple(notes)
