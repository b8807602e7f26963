"""Strategies from scores: the portfolio's rules, no look ahead, and the plan that SQL trades."""

from dataclasses import replace

import duckdb
import numpy as np
import pytest

from tests.backtest.home import LAST, RUN, SESSIONS
from tests.backtest.warehouse import day
from trademl.backtest.data import Panel, read_panel
from trademl.backtest.engine import BacktestConfig, run_backtest
from trademl.backtest.scores import Scores, read_scores
from trademl.backtest.strategy import ScoreStrategy, plan, planned
from trademl.costs.model import CostModel
from trademl.errors import ConfigError
from trademl.portfolio.build import Candidates, PortfolioConfig, build

CONFIG = PortfolioConfig(max_name=0.2, max_sector=10.0)


@pytest.fixture
def both(con: duckdb.DuckDBPyConnection) -> tuple[Scores, Panel]:
    """Scores and the market to trade them in."""
    scores = read_scores(con, RUN)
    return scores, read_panel(con, scores.symbols, scores.dates[0], day(SESSIONS - 1))


def test_weights_are_those_of_the_portfolio(both: tuple[Scores, Panel]) -> None:
    """On a date in the middle, from scores, the forecast of the date and the weights held."""
    scores, panel = both
    found = plan(ScoreStrategy(scores, panel, CONFIG), 1e6)
    at = 40
    session = int(np.searchsorted(panel.market.dates, scores.dates[at]))
    forecast = panel.forecast[60][session]
    known = (forecast > 0) & (panel.market.day_value[session] > 0)
    shown = known | (found.values[at - 1] != 0)
    names = tuple(np.array(scores.symbols)[shown])
    expected = build(
        Candidates(
            names,
            np.where(known, scores.values[at], np.nan)[shown],
            volatility=np.where(known, forecast, np.median(forecast[known]))[shown],
            sectors=("Energy",) * len(names),
            held=found.values[at - 1][shown],
        ),
        CONFIG,
    )
    assert found.values[at][shown] == pytest.approx(expected.weights)
    assert not found.values[at][~shown].any()
    assert np.abs(found.values).sum(axis=1).max() <= 1 + 1e-9


def test_rebalancing_is_counted_in_decision_dates(both: tuple[Scores, Panel]) -> None:
    """Every fifth from the first; between them nothing is decided."""
    scores, panel = both
    found = plan(ScoreStrategy(scores, panel, CONFIG, every=5), 1e6)
    assert found.dates.tolist() == scores.dates[::5].tolist()


def test_the_engine_decides_as_planned_where_no_limit_of_turnover_binds(both: tuple[Scores, Panel]) -> None:
    """What is held does not matter then."""
    scores, panel = both
    free = CONFIG.model_copy(update={"max_turnover": 20.0})
    live = ScoreStrategy(scores, panel, free)
    run_backtest(panel.market, live, config=BacktestConfig())
    wanted = plan(ScoreStrategy(scores, panel, free), 1e6)
    assert live.weights.dates.tolist() == wanted.dates.tolist()
    assert live.weights.values == pytest.approx(wanted.values)


def test_no_later_bar_changes_a_decision(both: tuple[Scores, Panel]) -> None:
    """Garbage after a session in every array that a strategy can reach, scores too: 0 differences up to it."""
    scores, panel = both
    cut = 50
    market = panel.market
    random = np.random.default_rng(1)
    garbage = {
        name: np.concatenate(
            [getattr(market, name)[: cut + 1], random.uniform(1, 90, getattr(market, name)[cut + 1 :].shape)]
        )
        for name in ("open_price", "close_price", "volume", "day_value", "volatility")
    }
    day_cut = market.dates[cut]
    later = scores.dates > day_cut
    poisoned_scores = replace(
        scores, values=np.where(later[:, None], random.normal(size=scores.values.shape), scores.values)
    )
    poisoned = replace(
        panel,
        market=replace(market, **garbage),
        forecast={
            window: np.concatenate([array[: cut + 1], random.uniform(0.1, 1, array[cut + 1 :].shape)])
            for window, array in panel.forecast.items()
        },
        sector=np.concatenate([panel.sector[: cut + 1], np.full(panel.sector[cut + 1 :].shape, -1)]),
    )
    one, other = ScoreStrategy(scores, panel, CONFIG), ScoreStrategy(poisoned_scores, poisoned, CONFIG)
    first = run_backtest(market, one, config=BacktestConfig())
    second = run_backtest(poisoned.market, other, config=BacktestConfig())
    upto = one.weights.dates <= day_cut
    assert upto.sum() == cut - panel.first + 1
    assert np.array_equal(one.weights.values[upto], other.weights.values[: upto.sum()])
    assert not np.array_equal(one.weights.values[~upto], other.weights.values[upto.sum() :])
    assert first.equity[: cut + 1].tolist() == second.equity[: cut + 1].tolist()


def test_the_convex_optimiser_keeps_the_same_limits(both: tuple[Scores, Panel]) -> None:
    """On a few dates."""
    pytest.importorskip("cvxpy", reason="the extra portfolio is not installed")
    scores, panel = both
    config = CONFIG.model_copy(update={"optimiser": "convex", "confidence": "measured"})
    found = plan(ScoreStrategy(scores.between(None, str(scores.dates[3])), panel, config, CostModel()), 1e6)
    assert len(found.dates) == 4
    assert np.abs(found.values).max() <= 0.2 + 1e-6
    assert np.abs(found.values).sum(axis=1).max() <= 1 + 1e-6
    assert np.abs(found.values).sum() > 0


def test_planned_weights_are_traded_on_their_dates_only(both: tuple[Scores, Panel]) -> None:
    """After the last decision nothing is ordered."""
    scores, panel = both
    wanted = plan(ScoreStrategy(scores, panel, CONFIG), 1e6)
    config = BacktestConfig(sizing="capital", max_participation=None)
    result = run_backtest(panel.market, planned(wanted), config=config)
    assert result.fills["session"].min() == panel.first + 1
    assert result.dates[result.fills["session"].max()] <= day(LAST)


def test_what_does_not_fit_is_refused(both: tuple[Scores, Panel]) -> None:
    """Other symbols, no sessions, and a limit that cannot hold, with its date."""
    scores, panel = both
    with pytest.raises(ConfigError, match="other symbols"):
        ScoreStrategy(replace(scores, symbols=scores.symbols[::-1]), panel, CONFIG)
    with pytest.raises(ConfigError, match="every 0 sessions"):
        ScoreStrategy(scores, panel, CONFIG, every=0)
    tight = PortfolioConfig(max_name=0.2, max_turnover=0.01)
    strategy = ScoreStrategy(scores, panel, tight)
    held = np.zeros(len(scores.symbols))
    held[0] = 0.9
    with pytest.raises(ConfigError, match=str(panel.market.dates[panel.first])):
        strategy.decide(panel.first, held, 1e6)
