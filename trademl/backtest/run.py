"""From a finished run to backtests of its out-of-fold predictions: choose, decide, trade, measure."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.provenance import hash_json
from trademl.backtest.data import Panel, bars_at_hand, read_panel
from trademl.backtest.engine import BacktestConfig, BacktestResult, run_backtest
from trademl.backtest.figures import Days, Figures, event_days, filled_share, sql_days, summarise
from trademl.backtest.scores import MEAN, Scores, read_scores, smoothed
from trademl.backtest.set_based import SetBasedResult, require_common_rules, run_set_based, sql_settings
from trademl.backtest.strategy import ScoreStrategy, Weights, plan, planned
from trademl.costs.model import CostModel
from trademl.errors import ConfigError
from trademl.portfolio.config import PortfolioConfig

Engine = Literal["event", "sql"]
Told = Callable[[str], None]

SLEEVE = "equities"
"""The sleeve whose entities have prices in the warehouse."""

_TOLD_EVERY = 500


@dataclass(frozen=True)
class Request:
    """What to run; everything that a result depends on besides the data.

    Attributes:
        run_id: whose out-of-fold predictions. path: number of a backtest path, or ``mean`` of all.
        engine: ``event`` trades what it really holds; ``sql`` the weights alone.
        every: sessions from one rebalancing to the next. smooth: sessions over which each symbol's rank is averaged.
        first, last: decision dates, ISO; None: all there are.
        rules, portfolio, costs: of the backtest, of the weights, and of trading.
    """

    run_id: str
    path: str = MEAN
    engine: Engine = "event"
    every: int = 1
    smooth: int = 1
    first: str | None = None
    last: str | None = None
    rules: BacktestConfig = field(default_factory=BacktestConfig)
    portfolio: PortfolioConfig = field(default_factory=PortfolioConfig)
    costs: CostModel = field(default_factory=CostModel)

    def document(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        plain = {name: getattr(self, name) for name in ("run_id", "path", "engine", "every", "smooth", "first", "last")}
        return {
            **plain,
            "rules": self.rules.model_dump(mode="json"),
            "portfolio": self.portfolio.model_dump(mode="json"),
            "costs": asdict(self.costs),
        }


@dataclass(frozen=True, eq=False)
class Finished:
    """A backtest and all it came to.

    Attributes:
        label: what the run predicts. build_id: the build whose prices were used.
        weights: what was decided. days: cash, positions and costs of each session. figures: in numbers.
        trades: columns date, symbol, ordered, shares (filled), fill_price_usd and the costs of each order.
    """

    request: Request
    label: str
    build_id: str
    weights: Weights
    days: Days
    figures: Figures
    trades: dict[str, NDArray[Any]]

    @property
    def config_hash(self) -> str:
        """sha256 of the request."""
        return hash_json(self.request.document())

    @property
    def backtest_id(self) -> str:
        """The same request on the same build is the same backtest."""
        return f"bt-{self.request.path}-{hash_json({'config': self.config_hash, 'build': self.build_id})[:12]}"


@dataclass(frozen=True)
class Agreement:
    """The event-driven engine and the SQL on the same weights under common rules.

    Attributes:
        sessions, trades: compared. only_in_one: trades that the other has not.
        equity_usd, cash_usd, trade_usd, cost_usd: largest absolute differences, of a session or of a trade.
    """

    sessions: int
    trades: int
    only_in_one: int
    equity_usd: float
    cash_usd: float
    trade_usd: float
    cost_usd: float

    @property
    def to_the_cent(self) -> bool:
        """Whether no amount differs by half a cent."""
        worst = max(self.equity_usd, self.cash_usd, self.trade_usd, self.cost_usd)
        return self.only_in_one == 0 and worst < 0.005


def run_requests(
    con: duckdb.DuckDBPyConnection, requests: Sequence[Request], *, build_id: str, told: Told | None = None
) -> list[Finished]:
    """Run backtests that differ in nothing but engine, rules and costs; predictions and prices are read once.

    Args:
        con: an open snapshot, which nobody else uses meanwhile.
        requests: at least one.
        build_id: of the snapshot.
        told: told what goes on.

    Raises:
        ConfigError: there is no such path or period, limits cannot hold together, or the run is of another sleeve.
        ArtifactError: the run has no predictions.
        SnapshotError: the snapshot was built by an earlier version.
    """
    say = told or (lambda _: None)
    first = requests[0]
    label = label_of(con, first.run_id)
    say(f"reading the predictions of {first.run_id}, path {first.path}")
    scores = smoothed(read_scores(con, first.run_id, first.path), first.smooth).between(first.first, first.last)
    end = _end(con, scores)
    dates = scores.dates
    say(f"{len(dates)} decision dates from {dates[0]} to {dates[-1]}, {len(scores.symbols)} symbols")
    with bars_at_hand(con, scores.dates[0], end):
        panel = read_panel(con, scores.symbols, scores.dates[0], end)
        return [_one(con, one, label, build_id, scores, panel, say) for one in requests]


def compare_engines(
    con: duckdb.DuckDBPyConnection, request: Request, *, build_id: str, told: Told | None = None
) -> tuple[Finished, Finished, Agreement]:
    """Run both engines on the same weights under common rules: capital fixed, orders filled whole.

    Raises:
        ConfigError: as :func:`run_requests`, or the rules are not common.
    """
    say = told or (lambda _: None)
    label = label_of(con, request.run_id)
    scores = smoothed(read_scores(con, request.run_id, request.path), request.smooth)
    scores = scores.between(request.first, request.last)
    end = _end(con, scores)
    with bars_at_hand(con, scores.dates[0], end):
        panel = read_panel(con, scores.symbols, scores.dates[0], end)
        set_based = replace(request, engine="sql")
        by_sql = _one(con, set_based, label, build_id, scores, panel, say)
        say("the event-driven engine on the same weights")
        strategy = planned(by_sql.weights)
        result = run_backtest(panel.market, strategy, costs=request.costs, config=request.rules)
        by_event = _event(replace(request, engine="event"), label, build_id, by_sql.weights, result, panel)
    return by_event, by_sql, agreement(by_event, by_sql)


def agreement(event: Finished, sql: Finished) -> Agreement:
    """Compare two backtests day by day and trade by trade."""
    filled = event.trades["shares"] != 0
    left, right = {name: one[filled] for name, one in event.trades.items()}, sql.trades
    names = np.unique(np.concatenate([left["symbol"], right["symbol"]]))
    keys = [one["date"].astype(np.int64) * len(names) + np.searchsorted(names, one["symbol"]) for one in (left, right)]
    _, at, there = np.intersect1d(keys[0], keys[1], return_indices=True)
    value = [one["shares"] * one["fill_price_usd"] for one in (left, right)]
    cost = [np.sum([one[f"{part}_usd"] for part in _TRADE_COSTS], axis=0) for one in (left, right)]

    def days(name: str) -> float:
        return float(np.abs(event.days.columns[name] - sql.days.columns[name]).max(initial=0.0))

    return Agreement(
        sessions=len(event.days.date),
        trades=len(at),
        only_in_one=len(keys[0]) + len(keys[1]) - 2 * len(at),
        equity_usd=days("equity_usd"),
        cash_usd=days("cash_usd"),
        trade_usd=float(np.abs(value[0][at] - value[1][there]).max(initial=0.0)),
        cost_usd=float(np.abs(cost[0][at] - cost[1][there]).max(initial=0.0)),
    )


def settings_of(finished: Finished) -> dict[str, Any]:
    """Return the columns of ``ops.backtests`` that the SQL reads."""
    return sql_settings(finished.request.costs, finished.request.rules)


def label_of(con: duckdb.DuckDBPyConnection, run_id: str) -> str:
    """Return the label of a run's predictions.

    Raises:
        ConfigError: its entities have no prices in the warehouse.
    """
    rows = con.execute(
        "select sleeve, label from preds.oof where run_id = $run group by sleeve, label", {"run": run_id}
    ).fetchall()
    others = sorted({sleeve for sleeve, _ in rows} - {SLEEVE})
    if others:
        raise ConfigError(
            f"run {run_id} is of the sleeve {', '.join(others)}, whose entities have no prices to trade at",
            remedy=f"give a run of the sleeve {SLEEVE}",
        )
    return str(rows[0][1]) if rows else ""


_TRADE_COSTS = ("commission", "spread", "impact", "auction")


def _one(
    con: duckdb.DuckDBPyConnection,
    request: Request,
    label: str,
    build_id: str,
    scores: Scores,
    panel: Panel,
    say: Told,
) -> Finished:
    strategy = ScoreStrategy(scores, panel, request.portfolio, request.costs, request.every)
    if request.engine == "sql":
        require_common_rules(request.rules)
        say("deciding")
        weights = plan(strategy, request.rules.capital_usd, progress=_counted(say))
        say("the SQL backtest")
        end = panel.market.dates[-1]
        found = run_set_based(con, weights, costs=request.costs, config=request.rules, last=end)
        days = sql_days(found, request.rules)
        return Finished(request, label, build_id, weights, days, summarise(days), _sql_trades(found))
    say(f"trading {request.rules.capital_usd:,.0f} USD")
    result = run_backtest(panel.market, strategy, costs=request.costs, config=request.rules)
    return _event(request, label, build_id, strategy.weights, result, panel)


def _event(
    request: Request, label: str, build_id: str, weights: Weights, result: BacktestResult, panel: Panel
) -> Finished:
    market, fills = panel.market, result.fills
    days = event_days(result, request.rules, panel.first)
    trades = {
        "date": market.dates[fills["session"].astype(np.int64)],
        "symbol": np.array(market.symbols)[fills["symbol"].astype(np.int64)],
        "ordered": fills["ordered"],
        "shares": fills["filled"],
        "fill_price_usd": fills["price"],
        **{f"{part}_usd": fills[f"{part}_usd"] for part in _TRADE_COSTS},
    }
    figures = summarise(days, filled=filled_share(fills, market.close_price))
    return Finished(request, label, build_id, weights, days, figures, trades)


def _sql_trades(result: SetBasedResult) -> dict[str, NDArray[Any]]:
    table = result.trades.sort_by([("date", "ascending"), ("symbol", "ascending")])
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    trades = {
        "date": columns["date"].astype("datetime64[D]"),
        "symbol": columns["symbol"].astype(str),
        "ordered": columns["shares"],
        **{name: columns[name] for name in ("shares", "fill_price_usd")},
    }
    return {**trades, **{f"{part}_usd": columns[f"{part}_usd"] for part in _TRADE_COSTS}}


def _end(con: duckdb.DuckDBPyConnection, scores: Scores) -> np.datetime64:
    """Return the session on which the last decision is filled, or the last one with bars."""
    found = con.execute(
        "select min(date) filter (date > cast($last as date)), max(date) from silver.equity_bars",
        {"last": str(scores.dates[-1])},
    ).fetchall()[0]
    return np.datetime64(found[0] or found[1], "D")


def _counted(say: Told) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done % _TOLD_EVERY == 0 or done == total:
            say(f"  {done} of {total} sessions")

    return progress
