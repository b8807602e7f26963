"""The convex optimiser: closed forms, the conditions of an optimum, the ranked policy's limits, and named conflicts."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trademl.costs.model import BorrowTier, CostModel
from trademl.errors import ConfigError, TrademlError
from trademl.portfolio.build import Candidates, PortfolioConfig, broken_limits, build
from trademl.portfolio.config import ConvexConfig
from trademl.portfolio.convex import TOLERANCE, optimise
from trademl.portfolio.utility import TradingMarket, problem_of

pytest.importorskip("cvxpy", reason="the extra portfolio is not installed")

FREE = CostModel(spread_bps=0.0, impact_coefficient=0.0, borrow=(BorrowTier(0.0, 0.0),))
WIDE = PortfolioConfig(max_name=1.0, gross=10, max_net=10, max_sector=10, max_turnover=20, correlation=0.3)
FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def wide(**convex: float) -> PortfolioConfig:
    """No limit that could bind, and these settings of the optimiser."""
    return WIDE.model_copy(update={"convex": ConvexConfig(**convex)})  # type: ignore[arg-type]


def five(**other: object) -> Candidates:
    """Five symbols of different risk."""
    given_ = {
        "symbols": tuple("ABCDE"),
        "scores": np.array([1.0, 5, 2, 4, 3]),
        "volatility": np.array([0.2, 0.3, 0.4, 0.25, 0.5]),
        **other,
    }
    return Candidates(**given_)  # type: ignore[arg-type]


def market(costs: CostModel = FREE, equity: float = 1e6, count: int = 5, day: float = 1e7) -> TradingMarket:
    """All symbols equally liquid."""
    return TradingMarket(equity, np.full(count, day), costs=costs)


def test_without_costs_and_limits_the_weights_are_markowitz_s() -> None:
    """S^-1 alpha / lambda, with the covariance written out and inverted here."""
    volatility = np.array([0.2, 0.3, 0.4, 0.25, 0.5])
    correlations = np.full((5, 5), 0.3) + 0.7 * np.eye(5)
    covariance = correlations * np.outer(volatility, volatility) / 252 * 5
    # Scores 1 5 2 4 3 are their own ranks: less 3, over the root of 10 / 4.
    forecast = 0.02 * volatility * sqrt(5 / 252) * (np.array([1.0, 5, 2, 4, 3]) - 3) / sqrt(2.5)
    expected = np.linalg.solve(covariance, forecast) / 4
    found = optimise(five(), wide(risk_aversion=4), market())
    assert found.weights == pytest.approx(expected, abs=1e-5)


def test_a_trade_that_does_not_earn_its_spread_is_not_made() -> None:
    """Held at the best weights, with a spread above any gradient nearby, nothing moves."""
    costs = CostModel(spread_bps=50.0, impact_coefficient=0.0)
    held = np.array([0.01, -0.02, 0.0, 0.03, 0.01])
    found = optimise(five(held=held), wide(), market(costs))
    assert found.weights == pytest.approx(held, abs=1e-6)


def test_the_square_root_law_by_its_own_equation() -> None:
    """One symbol of two matters: alpha = lambda v w + 3/2 c sqrt(w), a quadratic in the root of w."""
    config = wide(information_coefficient=0.1, risk_aversion=2).model_copy(update={"correlation": 0.0})
    costs = CostModel(spread_bps=0.0, impact_coefficient=1.0)
    pair = Candidates(("A", "B"), np.array([1.0, 2.0]), volatility=np.array([0.3, 0.3]))
    found = optimise(pair, config, market(costs, equity=1e8, count=2))
    variance = 0.3**2 * 5 / 252
    alpha = 0.1 * sqrt(variance) / sqrt(2)
    impact = 0.3 / sqrt(252) * sqrt(1e8 / 1e7)
    root = (-1.5 * impact + sqrt((1.5 * impact) ** 2 + 8 * variance * alpha)) / (4 * variance)
    assert found.weights[1] == pytest.approx(root**2, rel=1e-3)


@FEW
@given(data=st.data(), count=st.integers(1, 12), impact=st.sampled_from(["square_root", "almgren_2005"]))
def test_no_small_change_is_worth_more(data: st.DataObject, count: int, impact: str) -> None:
    """The conditions of an optimum, symbol by symbol: no step up or down within the cap pays, beyond rounding.

    The only limit that can bind is each symbol's own, and the utility is computed without the solver.
    """
    floats = st.floats(0.1, 0.6)
    volatility = np.array(data.draw(st.lists(floats, min_size=count, max_size=count)))
    scores = np.array(data.draw(st.permutations(range(count))), dtype=np.float64)
    held = np.array(data.draw(st.lists(st.floats(-0.05, 0.05), min_size=count, max_size=count)))
    config = wide(information_coefficient=0.05).model_copy(update={"max_name": 0.1})
    candidates = Candidates(tuple(f"S{at}" for at in range(count)), scores, volatility=volatility, held=held)
    trading = market(CostModel(impact=impact), count=count)  # type: ignore[arg-type]
    found = optimise(candidates, config, trading).weights
    problem = problem_of(candidates, config, trading, 1.0)
    best = problem.utility(found).total
    for at in range(count):
        for step in (-1e-3, 1e-3):
            moved = found.copy()
            moved[at] = np.clip(moved[at] + step, -0.1, 0.1)
            assert problem.utility(moved).total <= best + 1e-8


@FEW
@given(
    data=st.data(),
    count=st.integers(2, 30),
    side=st.sampled_from(["long_short", "long_only"]),
    max_name=st.floats(0.02, 0.5),
    max_net=st.floats(0, 0.5),
    max_sector=st.floats(0.02, 0.5),
    max_turnover=st.floats(0.05, 2),
    target=st.none() | st.floats(0.01, 0.3),
)
def test_it_keeps_the_ranked_policy_s_limits_and_is_worth_more(
    data: st.DataObject,
    count: int,
    side: str,
    max_name: float,
    max_net: float,
    max_sector: float,
    max_turnover: float,
    target: float | None,
) -> None:
    """Every limit of ``build`` holds, and the weights of ``build``, which keep them too, are worth no more."""
    scores = np.array(data.draw(st.lists(st.integers(-5, 5) | st.just(np.nan), min_size=count, max_size=count)))
    sectors = tuple(data.draw(st.lists(st.sampled_from(["tech", "energy", ""]), min_size=count, max_size=count)))
    volatility = np.array(data.draw(st.lists(st.floats(0.1, 1), min_size=count, max_size=count)))
    config = PortfolioConfig.model_validate(
        {
            "side": side,
            "max_name": max_name,
            "max_net": max_net,
            "max_sector": max_sector,
            "max_turnover": max_turnover,
            "target_volatility": target,
        }
    )
    candidates = Candidates(
        tuple(f"S{at}" for at in range(count)), scores.astype(float), volatility=volatility, sectors=sectors
    )
    trading = market(CostModel(), count=count)
    found = optimise(candidates, config, trading)
    ranked = build(candidates, config)
    assert broken_limits(found.weights, candidates, config, 1e-8) == []
    assert np.abs(found.weights).sum() <= max_turnover + TOLERANCE
    assert np.all(found.weights[np.isnan(scores.astype(float))] == 0)
    problem = problem_of(candidates, config, trading, 1.0)
    if target is not None:
        yearly = sqrt(252 / 5) * sqrt(problem.utility(found.weights).risk * 2)
        assert yearly <= target + TOLERANCE
    assert problem.utility(found.weights).total >= problem.utility(ranked.weights).total - 1e-7


def test_what_has_no_score_is_sold_as_far_as_the_turnover_goes() -> None:
    """A tenth of the way where the limit is a tenth; all of it, and more, where there is room."""
    held = np.array([0.0, 0.4, 0, 0, 0])
    candidates = five(scores=np.array([1.0, np.nan, 2, 4, 3]), held=held)
    config = WIDE.model_copy(update={"max_turnover": 0.1})
    trading = market(CostModel(), equity=1e8)
    assert optimise(candidates, config, trading).weights == pytest.approx([0, 0.3, 0, 0, 0], abs=1e-5)
    assert optimise(candidates, WIDE, trading).weights[1] == pytest.approx(0, abs=1e-6)


def test_limits_out_of_reach_are_named_with_the_turnover_they_take() -> None:
    """0.4 of one symbol: 0.2 to the cap, 0.3 to the net limit, 0.15 to the sector's; a tenth is allowed."""
    config = PortfolioConfig(max_name=0.2, max_turnover=0.1)
    candidates = five(held=np.array([0.0, 0.4, 0, 0, 0]), sectors=("a", "b", "c", "d", "e"))
    with pytest.raises(ConfigError) as caught:
        optimise(candidates, config, market(CostModel()))
    assert caught.value.message == (
        "a turnover of at most 0.1 cannot mend what is held: max_name 0.2 takes 0.2000, max_net 0.1 takes 0.3000, "
        "max_sector of b 0.25 takes 0.1500; all limits together take 0.3000"
    )


def test_limits_that_only_together_are_out_of_reach_are_named() -> None:
    """0.3 to the cap of 0.1 on each, 0.4 to sell nothing short; both take 0.1, 0.2 and 0.2, and 0.45 is allowed."""
    config = PortfolioConfig(side="long_only", max_name=0.1, max_turnover=0.45)
    candidates = five(held=np.array([0.2, -0.2, -0.2, 0, 0]))
    with pytest.raises(ConfigError, match=r"max_name 0\.1, long_only 0; all limits together take 0\.5000"):
        optimise(candidates, config, market(CostModel()))


def test_notes_say_what_bound_and_what_is_expected() -> None:
    """The cap of the four that have a forecast (the middle rank has none), and what the whole is worth."""
    config = PortfolioConfig(max_name=0.02, max_sector=0.5, convex=ConvexConfig(information_coefficient=0.5))
    found = optimise(five(), config, market())
    assert found.notes[0] == "4 names are at max_name 0.02"
    assert found.notes[-1].startswith("expects ")


def test_no_scores_are_no_weights() -> None:
    """And say so."""
    found = optimise(five(scores=np.full(5, np.nan)), PortfolioConfig(), market())
    assert found.weights.tolist() == [0] * 5
    assert found.notes == ("no symbol has a score",)


def test_an_answer_that_breaks_a_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the solver says of it."""
    wrong = np.array([0.02, 0.04, -0.02, 0, 0])
    monkeypatch.setattr("trademl.portfolio.convex._solve", lambda *_: wrong)
    with pytest.raises(TrademlError, match=r"breaks limits: max_turnover 0\.05: 0\.08"):
        optimise(five(), PortfolioConfig(max_turnover=0.05), market())


def test_a_solver_that_stops_short_is_asked_for_fewer_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once; and where that fails too the message names the ranked policy."""
    import cvxpy

    whole, asked = cvxpy.Problem.solve, []

    def short(problem: cvxpy.Problem, **options: object) -> object:
        asked.append("tol_feas" in options)
        if len(asked) == 2:
            return whole(problem, **options)
        raise cvxpy.error.SolverError("no progress")

    expected = optimise(five(), WIDE, market()).weights
    monkeypatch.setattr(cvxpy.Problem, "solve", short)
    assert optimise(five(), WIDE, market()).weights == pytest.approx(expected, abs=1e-3)
    assert asked == [False, True]
    with pytest.raises(TrademlError, match=r"(?s)no progress.*use the ranked optimiser"):
        optimise(five(), WIDE, market())
