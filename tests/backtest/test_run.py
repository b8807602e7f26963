"""From a run to backtests: both engines on a snapshot, one reading for many requests, and what is refused."""

from dataclasses import replace

import duckdb
import numpy as np
import pytest

from tests.backtest.home import FIRST, LAST, RUN
from tests.backtest.warehouse import day
from trademl.backtest.engine import BacktestConfig
from trademl.backtest.run import Request, agreement, compare_engines, run_requests, settings_of
from trademl.errors import ArtifactError, ConfigError
from trademl.portfolio.config import PortfolioConfig

COMMON = BacktestConfig(sizing="capital", max_participation=None)
REQUEST = Request(RUN, portfolio=PortfolioConfig(max_name=0.2, max_sector=10.0))


def test_both_engines_agree_to_the_cent_on_a_snapshot(con: duckdb.DuckDBPyConnection) -> None:
    """On the same weights under common rules; days, trades and figures."""
    event, sql, found = compare_engines(con, replace(REQUEST, rules=COMMON), build_id="b-1")
    assert found.to_the_cent
    assert found.sessions == LAST - FIRST + 1
    assert found.trades > 500
    assert event.figures.net_sharpe == pytest.approx(sql.figures.net_sharpe)
    assert event.figures.cost_bps == pytest.approx(sql.figures.cost_bps)
    assert event.request.engine == "event"
    assert sql.request.engine == "sql"


def test_a_difference_of_a_cent_is_seen(con: duckdb.DuckDBPyConnection) -> None:
    """In equity, in a trade, and a trade that the other has not."""
    event, sql, _ = compare_engines(con, replace(REQUEST, rules=COMMON), build_id="b-1")
    other = replace(event, trades={name: values[1:] for name, values in event.trades.items()})
    assert agreement(other, sql).only_in_one == 1
    costlier = {**event.trades, "spread_usd": event.trades["spread_usd"] + 0.01}
    found = agreement(replace(event, trades=costlier), sql)
    assert found.cost_usd == pytest.approx(0.01, rel=1e-6)
    assert not found.to_the_cent


def test_requests_share_predictions_and_prices(con: duckdb.DuckDBPyConnection) -> None:
    """A larger capital pays more impact and fills less; the ids differ, and are the same again."""
    wanted = [replace(REQUEST, rules=BacktestConfig(capital_usd=capital)) for capital in (1e4, 1e5, 1e9)]
    told: list[str] = []
    small, middle, large = run_requests(con, wanted, build_id="b-1", told=told.append)
    assert small.figures.cost_bps["impact"] < middle.figures.cost_bps["impact"]
    assert middle.figures.filled > large.figures.filled
    assert small.backtest_id != large.backtest_id
    assert small.backtest_id == run_requests(con, wanted[:1], build_id="b-1")[0].backtest_id
    assert small.backtest_id != replace(small, build_id="b-2").backtest_id
    assert any("80 decision dates" in line for line in told)


def test_the_sql_engine_alone(con: duckdb.DuckDBPyConnection) -> None:
    """Trades by date and symbol; smoothing and rarer rebalancing trade less."""
    (found,) = run_requests(con, [replace(REQUEST, engine="sql", rules=COMMON)], build_id="b-1")
    (slower,) = run_requests(con, [replace(REQUEST, engine="sql", rules=COMMON, smooth=10, every=5)], build_id="b-1")
    assert slower.figures.turnover < found.figures.turnover
    dates = found.trades["date"]
    assert np.all(dates[1:] >= dates[:-1])
    assert settings_of(found)["capital_usd"] == 1e6


def test_one_path_is_one_history(con: duckdb.DuckDBPyConnection) -> None:
    """Between two dates: the last decision is filled on the session after it."""
    request = replace(REQUEST, path="1", first=str(day(20)), last=str(day(40)))
    (found,) = run_requests(con, [request], build_id="b-1")
    assert found.days.date[[0, -1]].tolist() == [day(20).item(), day(41).item()]
    assert found.backtest_id.startswith("bt-1-")


def test_what_cannot_be_run_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    """Rules that SQL has not, a run of another sleeve, a run that is not there."""
    with pytest.raises(ConfigError, match="fixed capital"):
        run_requests(con, [replace(REQUEST, engine="sql")], build_id="b-1")
    with pytest.raises(ArtifactError, match="no prediction of run nothing"):
        run_requests(con, [replace(REQUEST, run_id="nothing")], build_id="b-1")
    con.execute(
        "create or replace view preds.oof as select 'traders' as sleeve, 'w' as entity, date '2020-02-03' as dt, "
        "'pnl' as label, 'r' as run_id, 0 as path_id, 1.0 as yhat"
    )
    with pytest.raises(ConfigError, match="of the sleeve traders"):
        run_requests(con, [replace(REQUEST, run_id="r")], build_id="b-1")
