"""Target weights of a session, from the predictions in the snapshot to ``ops.targets``.

Everything that is read was known at the close of the session: the predictions, the volatility and traded value of
``gold.equities_features``, the sector and close of ``silver.equity_bars``, and what the fills so far have left in the
account. The weights are those of :mod:`trademl.portfolio`, their costs those of configs/execution.yml.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import sqrt
from typing import Any

import duckdb
import numpy as np

from trademl.artifacts.provenance import hash_json
from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.costs.model import CostModel
from trademl.costs.orders import Estimate, Orders
from trademl.errors import ConfigError, SnapshotError
from trademl.execution.config import read_execution
from trademl.execution.known import (
    PREDICTIONS,
    Known,
    known_at,
    last_session,
    measured_confidence,
    predictor,
    run_of,
    symbols_decided,
    weights_held,
)
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.reading import show_batches
from trademl.lake.snapshot import snapshot_batches
from trademl.portfolio.build import Candidates, PortfolioConfig, TargetWeights, build
from trademl.portfolio.convex import optimise
from trademl.portfolio.utility import DAYS_PER_YEAR, SESSIONS_PER_YEAR, TradingMarket
from trademl.warehouse.read import read_snapshot

TABLE = "ops.targets"

_SHOWN = 5


@dataclass(frozen=True)
class Target:
    """A symbol's row of ``ops.targets``. Weights are shares of equity, the volatility is a year's; None: not known."""

    symbol: str
    sector: str | None
    weight: float
    held_weight: float
    score: float | None
    rank_pct: float | None
    volatility: float | None
    price_usd: float | None
    day_value_usd: float | None
    cost_usd: float | None


@dataclass(frozen=True)
class Targets:
    """The target weights of a session.

    Attributes:
        dt: the session at whose close they were decided; orders are for the next one.
        model_id: who predicted; ``run_id`` is its training run, None where it is none.
        confidence: by which the weights, or the convex optimiser's forecasts, were scaled.
        estimate: what going there is expected to cost, of the symbols that can be priced.
        written: whether rows were added to ``ops.targets``; False for a dry run and when they were there already.
    """

    sleeve: str
    dt: date
    model_id: str
    run_id: str | None
    horizon: int
    equity_usd: float
    optimiser: str
    confidence: float
    portfolio_hash: str
    targets: tuple[Target, ...]
    estimate: Estimate
    notes: tuple[str, ...]
    written: bool

    @property
    def gross(self) -> float:
        return sum(abs(one.weight) for one in self.targets)

    @property
    def net(self) -> float:
        return sum(one.weight for one in self.targets)

    @property
    def turnover(self) -> float:
        """The sum of the absolute changes of weights."""
        return sum(abs(one.weight - one.held_weight) for one in self.targets)


def build_targets(
    home: Home,
    sleeve: str,
    asof: date | None,
    config: PortfolioConfig,
    *,
    costs: CostModel | None = None,
    equity_usd: float | None = None,
    model_id: str | None = None,
    universe: Collection[str] | None = None,
    held: Mapping[str, float] | None = None,
    account: str | None = None,
    write: bool = True,
    now: Clock = utc_now,
) -> Targets:
    """Decide the target weights of a session and write them to ``ops.targets``.

    A symbol without a forecast of volatility or a traded value cannot be weighed and gets no weight, as one without a
    prediction: what is held of it is to be sold. Writing the same targets again changes nothing; other ones replace
    those of the session.

    Args:
        home: where snapshot and configuration are.
        sleeve: a key of :data:`PREDICTIONS`.
        asof: the session; None: the last one with predictions.
        config: limits and way of the weights.
        costs: None: those of configs/execution.yml.
        equity_usd: what the weights are shares of; None: the configuration's.
        model_id: whose predictions; None: the champion's, else those that were made last.
        universe: symbols that may have a weight; None: all with a prediction.
        held: weights held now by symbol; None: what the fills of ``ops.fills`` have left.
        account: whose fills; None: those of the only account that has any.
        write: False only computes.
        now: the clock of what is written.

    Raises:
        ConfigError: no such sleeve, or limits that cannot hold together.
        DataGateError: there are no predictions for the session, or not of the model.
        SnapshotError: the snapshot lacks a table.
        PromotionError: the decisions on the sleeve do not add up.
    """
    if sleeve not in PREDICTIONS:
        raise ConfigError(
            f"the sleeve {sleeve!r} has no portfolio: its entities have no prices in the warehouse",
            remedy=f"sleeves are {', '.join(PREDICTIONS)}",
        )
    equity = config.equity_usd if equity_usd is None else equity_usd
    if not equity > 0:
        raise ConfigError(f"an equity of {equity} USD cannot be invested", remedy="give more than 0")
    model = costs or read_execution(home).costs()
    layout = layout_of(home)
    with read_snapshot(home, now=now) as snapshot:
        con = snapshot.con
        show_batches(con, layout, TABLE)
        try:
            session = asof or last_session(con, sleeve)
            chosen, notes = predictor(con, home, sleeve, session, model_id, now=now)
            known = known_at(con, sleeve, session, chosen, config.volatility_sessions)
            before = weights_held(con, session, equity, account) if held is None else dict(held)
            run_id = run_of(con, chosen)
            confidence = config.confidence
            if confidence == "measured":
                confidence, said = measured_confidence(con, run_id, config.side, session)
                notes.append(said)
            decided = symbols_decided(con, sleeve, session)
        except duckdb.CatalogException as error:
            raise SnapshotError(
                f"the snapshot lacks a table that targets need: {str(error).splitlines()[0]}",
                remedy="run `trademl build`",
            ) from error
    facts = _facts(known, before, universe, notes)
    weights = _weigh(facts, before, config, model, equity, float(confidence))
    estimate = _estimate(facts, before, weights, model, equity)
    cost = dict(zip(estimate.symbols, estimate.total_usd.tolist(), strict=True))
    found = Targets(
        sleeve=sleeve,
        dt=session,
        model_id=chosen,
        run_id=run_id,
        horizon=next(one.horizon for one in known.values() if one.horizon is not None),
        equity_usd=equity,
        optimiser=config.optimiser,
        confidence=float(confidence),
        portfolio_hash=hash_json({"portfolio": config.model_dump(mode="json"), "costs": asdict(model)}),
        targets=tuple(
            Target(
                symbol=one.symbol,
                sector=one.sector,
                weight=float(weight),
                held_weight=before.get(one.symbol, 0.0),
                score=one.score,
                rank_pct=one.rank_pct,
                volatility=one.volatility,
                price_usd=one.price_usd,
                day_value_usd=one.day_value_usd,
                cost_usd=cost.get(one.symbol),
            )
            for one, weight in zip(facts, weights.weights, strict=True)
        ),
        estimate=estimate,
        notes=(*notes, *weights.notes),
        written=False,
    )
    if not write:
        return found
    there = set(layout.batch_files(TABLE))
    batch = write_rows(layout, TABLE, _rows(found, decided, now), now=now)
    snapshot_batches(layout, now=now)
    return replace(found, written=batch is not None and batch not in there)


def _facts(
    known: Mapping[str, Known], held: Mapping[str, float], universe: Collection[str] | None, notes: list[str]
) -> list[Known]:
    """Return the symbols to decide on, by name: those with a score, and those that are held, without one if need be."""
    scored = {symbol for symbol, one in known.items() if one.score is not None}
    allowed = scored if universe is None else scored & set(universe)
    if len(allowed) < len(scored):
        notes.append(f"{len(scored) - len(allowed)} symbols with a prediction are not in the universe")
    blind = sorted(symbol for symbol in allowed if not known[symbol].can_be_weighed)
    if blind:
        notes.append(
            f"{len(blind)} symbols get no weight, as their volatility or traded value is not known: "
            f"{', '.join(blind[:_SHOWN])}{' and more' if len(blind) > _SHOWN else ''}"
        )
    facts = []
    for symbol in sorted(allowed | {name for name, weight in held.items() if weight}):
        one = known.get(symbol, Known(symbol))
        facts.append(one if symbol in allowed else replace(one, score=None, rank_pct=None))
    return facts


def _weigh(
    facts: list[Known],
    held: Mapping[str, float],
    config: PortfolioConfig,
    costs: CostModel,
    equity: float,
    confidence: float,
) -> TargetWeights:
    # Of symbols that get no weight only the place is filled.
    usual = _usual_volatility(facts)
    sectors = tuple(one.sector or "" for one in facts)
    candidates = Candidates(
        symbols=tuple(one.symbol for one in facts),
        scores=np.array([one.score if one.score is not None and one.can_be_weighed else np.nan for one in facts]),
        volatility=np.array([one.volatility if one.can_be_weighed else usual for one in facts], dtype=np.float64),
        # Where nobody knows any, all would be one sector, and its limit that of the portfolio.
        sectors=sectors if any(sectors) else None,
        held=np.array([held.get(one.symbol, 0.0) for one in facts]),
    )
    if config.optimiser == "ranked":
        return build(candidates, config, confidence=confidence)
    market = TradingMarket(
        equity_usd=equity,
        day_value_usd=np.array([one.day_value_usd or np.nan for one in facts]),
        # A share of infinite price has no commission by the share: nothing is known of it.
        price_usd=np.array([one.price_usd or np.inf for one in facts]),
        costs=costs,
    )
    return optimise(candidates, config, market, confidence=confidence)


def _usual_volatility(facts: list[Known]) -> float:
    known = [one.volatility for one in facts if one.can_be_weighed]
    return float(np.median(np.array(known, dtype=np.float64))) if known else 1.0


def _estimate(
    facts: list[Known], held: Mapping[str, float], weights: TargetWeights, costs: CostModel, equity: float
) -> Estimate:
    """Price the way from what is held to the weights, and a session's borrowing, of what can be priced."""
    rows = [at for at, one in enumerate(facts) if one.can_be_weighed and one.price_usd]
    target = weights.weights[rows] * equity
    before = np.array([held.get(facts[at].symbol, 0.0) for at in rows]) * equity
    orders = Orders(
        symbols=tuple(facts[at].symbol for at in rows),
        value_usd=target - before,
        day_value_usd=np.array([facts[at].day_value_usd for at in rows], dtype=np.float64),
        day_volatility=np.array([facts[at].volatility for at in rows], dtype=np.float64) / sqrt(SESSIONS_PER_YEAR),
        price_usd=np.array([facts[at].price_usd for at in rows], dtype=np.float64),
        position_usd=target,
    )
    return costs.estimate(orders, borrow_days=DAYS_PER_YEAR / SESSIONS_PER_YEAR)


def _rows(found: Targets, decided: Collection[str], now: Clock) -> list[dict[str, Any]]:
    """Return the rows to write; a symbol of an earlier decision that this one does not know goes to 0."""
    shared = {
        "sleeve": found.sleeve,
        "dt": found.dt,
        "equity_usd": found.equity_usd,
        "model_id": found.model_id,
        "run_id": found.run_id,
        "horizon": found.horizon,
        "optimiser": found.optimiser,
        "portfolio_hash": found.portfolio_hash,
        "notes": json.dumps(found.notes),
        "recorded_at": sql_utc(now()),
    }
    gone = sorted(set(decided) - {one.symbol for one in found.targets})
    dropped = [Target(symbol, None, 0.0, 0.0, None, None, None, None, None, None) for symbol in gone]
    return [{**shared, **asdict(one)} for one in (*found.targets, *dropped)]
