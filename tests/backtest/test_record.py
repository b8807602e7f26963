"""What a backtest leaves: files, rows, and marts that show it again."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.backtest.home import NOW, RUN
from trademl.backtest.engine import BacktestConfig
from trademl.backtest.record import find_backtests, folder_of, record
from trademl.backtest.run import Finished, Request, run_requests
from trademl.config.home import Home
from trademl.errors import ArtifactError
from trademl.lake.layout import layout_of
from trademl.portfolio.config import PortfolioConfig
from trademl.warehouse.read import read_snapshot

REQUEST = Request(
    RUN,
    engine="sql",
    rules=BacktestConfig(sizing="capital", max_participation=None),
    portfolio=PortfolioConfig(max_name=0.2, max_sector=10.0),
)


def finished(home: Home, request: Request = REQUEST) -> Finished:
    """A backtest of the home's run."""
    with read_snapshot(home) as snapshot:
        return run_requests(snapshot.con, [request], build_id="b-1")[0]


def test_the_marts_show_a_recorded_backtest_again(traded: Home) -> None:
    """To the last digit: from its weights and rates alone."""
    made = finished(traded)
    record(traded, made, {"gate": "not judged yet"}, now=lambda: NOW)
    with read_snapshot(traded) as snapshot:
        rows = snapshot.con.execute(
            "select date, equity_usd, spread_usd from marts.backtest_daily where backtest_id = ? order by date",
            [made.backtest_id],
        ).fetchall()
        trades = snapshot.con.execute("select count(*) from marts.backtest_trades").fetchall()[0][0]
    assert [row[0] for row in rows] == made.days.date.tolist()
    assert [row[1] for row in rows] == made.days.columns["equity_usd"].tolist()
    assert [row[2] for row in rows] == made.days.columns["spread_usd"].tolist()
    assert trades == len(made.trades["shares"])


def test_files_and_rows_say_what_was_run(traded: Home) -> None:
    """The request, the figures, the days and every order; recording it again writes no second row."""
    made = finished(traded)
    folder = record(traded, made, {"dsr": 0.5}, now=lambda: NOW)
    assert folder == folder_of(traded, made.backtest_id)
    assert json.loads((folder / "config.json").read_text())["rules"]["sizing"] == "capital"
    assert json.loads((folder / "figures.json").read_text())["dsr"] == 0.5
    counted = duckdb.execute(f"select count(*) from read_parquet('{folder / 'trades.parquet'}')").fetchall()
    assert counted == [(len(made.trades["shares"]),)]
    record(traded, made, {"dsr": 0.5}, now=lambda: NOW)
    with read_snapshot(traded) as snapshot:
        (found,) = find_backtests(snapshot.con, traded, (made.backtest_id[:8],))
        assert snapshot.con.execute("select count(*), count(distinct symbol) from ops.backtest_weights").fetchall() == [
            (int((made.weights.values != 0).sum()), 12)
        ]
    assert found.backtest_id == made.backtest_id
    assert found.run_id == RUN
    assert found.figures["net_sharpe"] == pytest.approx(made.figures.net_sharpe)
    assert found.days.net == pytest.approx(made.days.net)
    assert len(layout_of(traded).batch_files("ops.backtests")) == 1


def test_a_backtest_is_found_by_the_beginning_of_its_id(traded: Home) -> None:
    """None, or more than one, is an error that lists them; so are files that are gone."""
    first = finished(traded)
    second = finished(traded, replace(REQUEST, every=5))
    for made in (first, second):
        record(traded, made, {}, now=lambda: NOW)
    with read_snapshot(traded) as snapshot:
        with pytest.raises(ArtifactError, match="2 backtests are called 'bt-mean'"):
            find_backtests(snapshot.con, traded, ("bt-mean",))
        with pytest.raises(ArtifactError, match="0 backtests are called 'x'; there are bt-mean"):
            find_backtests(snapshot.con, traded, ("x",))
        days: Path = folder_of(traded, first.backtest_id) / "days.parquet"
        days.unlink()
        with pytest.raises(ArtifactError, match="cannot be read"):
            find_backtests(snapshot.con, traded, (first.backtest_id,))
