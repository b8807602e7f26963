"""What is known at the close of a session: predictions, risk, liquidity, sectors, prices, and what is held.

All of it comes from one snapshot, through SQL that asks for rows of the session and of no later one.
"""

from dataclasses import dataclass
from datetime import date
from math import sqrt

import duckdb

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError
from trademl.governance.promotion import champion
from trademl.lake.names import identifier
from trademl.portfolio.kelly import estimation_shrinkage

PREDICTIONS = {"equities": "preds.equities"}
"""Sleeves whose symbols have prices in the warehouse -> their predictions."""

_SHOWN = 5
_MIN_RETURNS = 60


@dataclass(frozen=True)
class Known:
    """A symbol at the close. The volatility is a year's, as a fraction; None: not known.

    ``score``, ``rank_pct`` and ``horizon`` are those of the prediction; a symbol that has a bar only has none.
    """

    symbol: str
    sector: str | None = None
    price_usd: float | None = None
    volatility: float | None = None
    day_value_usd: float | None = None
    score: float | None = None
    rank_pct: float | None = None
    horizon: int | None = None

    @property
    def can_be_weighed(self) -> bool:
        """Whether its risk and its liquidity are known."""
        return bool((self.volatility or 0.0) > 0 and (self.day_value_usd or 0.0) > 0)


def last_session(con: duckdb.DuckDBPyConnection, sleeve: str) -> date:
    """Return the last session with predictions of a sleeve.

    Raises:
        DataGateError: there is none.
    """
    last = con.execute(f"select max(dt) from {PREDICTIONS[sleeve]}").fetchall()[0][0]
    if last is None:
        raise DataGateError(
            f"{PREDICTIONS[sleeve]} is empty: there is nothing to weigh",
            remedy=f"score a session first: `trademl score {sleeve}`",
        )
    session: date = last
    return session


def predictor(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    sleeve: str,
    session: date,
    asked: str | None = None,
    *,
    now: Clock = utc_now,
) -> tuple[str, list[str]]:
    """Return whose predictions to take, and what to say about it.

    The model that was asked for; else the champion; else, as when a fallback answered, whoever predicted last.

    Raises:
        DataGateError: nobody predicted the session, or not the model that was asked for.
        PromotionError: the decisions on the sleeve do not add up.
    """
    table = PREDICTIONS[sleeve]
    models = [
        row[0]
        for row in con.execute(
            f"select model_id from {table} where dt = ? group by model_id order by max(scored_at) desc, model_id",
            [session],
        ).fetchall()
    ]
    if not models:
        near = con.execute(f"select max(dt) from {table} where dt < ?", [session]).fetchall()[0][0]
        raise DataGateError(
            f"{table} has no predictions for {session}; the last ones before are of {near or 'no session'}",
            remedy=f"score it: `trademl score {sleeve} --as-of {session}`",
        )
    if asked is not None:
        if asked not in models:
            raise DataGateError(
                f"{table} has no predictions of {asked} for {session}",
                remedy=f"models with predictions there are {', '.join(models)}",
            )
        return asked, []
    made = champion(home, sleeve, now=now)
    if made is not None and made.run_id in models:
        return made.run_id, []
    if made is not None:
        return models[0], [f"the champion {made.run_id} did not predict {session}: weighing {models[0]}"]
    return models[0], [f"{sleeve} has no champion: weighing {models[0]}, which predicted last"]


def run_of(con: duckdb.DuckDBPyConnection, model_id: str) -> str | None:
    """Return the training run of a model, None where it is none, as for a fallback of several."""
    rows = con.execute("select run_id from ops.runs where run_id = ?", [model_id]).fetchall()
    return str(rows[0][0]) if rows else None


def known_at(
    con: duckdb.DuckDBPyConnection, sleeve: str, session: date, model_id: str, volatility_sessions: int
) -> dict[str, Known]:
    """Return what is known of every symbol with a prediction of the model or a bar on the session.

    ``volatility_sessions`` chooses the forecast: the realised volatility of so many sessions in
    ``gold.equities_features``.
    """
    volatility = identifier(f"realised_volatility_{volatility_sessions}d")
    cursor = con.execute(
        f"""
        with
            scores as (
                select ticker as symbol, yhat, rank_pct, horizon from {PREDICTIONS[sleeve]}
                where dt = $session and model_id = $model
                qualify row_number() over (partition by ticker order by horizon) = 1
            )
        select
            coalesce(scores.symbol, bars.symbol) as symbol, bars.sector, bars.close,
            cast(features.{volatility} as double), cast(features.adv_20d as double) * 1e6,
            scores.yhat, scores.rank_pct, scores.horizon
        from scores
        full join (select * from silver.equity_bars where date = $session) as bars on bars.symbol = scores.symbol
        left join (select * from gold.equities_features where date = $session) as features
            on features.symbol = coalesce(scores.symbol, bars.symbol)
        order by 1
        """,
        {"session": session, "model": model_id},
    )
    return {row[0]: Known(*row) for row in cursor.fetchall()}


def weights_held(
    con: duckdb.DuckDBPyConnection, session: date, equity: float, account: str | None = None
) -> dict[str, float]:
    """Return the weights that the fills up to a session have left, marked at its close or the last one before.

    Shares that were bought before a split are as many as it made of them.

    Args:
        con: a snapshot's connection.
        session: the decision's.
        equity: what the weights are shares of, in USD.
        account: whose fills; None: those of the only account that has any.

    Raises:
        ConfigError: there are fills of several accounts, and none was named.
        DataGateError: something is held that has no price.
    """
    accounts = [
        row[0]
        for row in con.execute(
            "select distinct coalesce(account, '') from ops.fills where cast(filled_at as date) <= ? order by 1",
            [session],
        ).fetchall()
    ]
    if account is None and len(accounts) > 1:
        raise ConfigError(
            f"ops.fills has fills of {len(accounts)} accounts, {', '.join(accounts[:_SHOWN])}, and no account is named",
            remedy="name the account whose positions count as held",
        )
    rows = con.execute(
        """
        with
            fills as (
                select symbol, quantity, cast(filled_at as date) as filled_on from ops.fills
                where cast(filled_at as date) <= $session and ($account is null or coalesce(account, '') = $account)
            ),
            bars as (
                select symbol, date, close, split_coefficient from silver.equity_bars
                where date <= $session and symbol in (select symbol from fills)
            ),
            positions as (
                select
                    symbol, quantity * coalesce((
                        select product(bars.split_coefficient) from bars
                        where bars.symbol = fills.symbol and bars.date > fills.filled_on
                    ), 1) as shares
                from fills
            )
        select symbol, sum(shares) * (select max_by(close, date) from bars where bars.symbol = positions.symbol)
        from positions group by symbol having abs(sum(shares)) > 1e-9 order by symbol
        """,
        {"session": session, "account": account},
    ).fetchall()
    unpriced = [symbol for symbol, value in rows if value is None]
    if unpriced:
        raise DataGateError(
            f"{len(unpriced)} symbols are held that have no bar up to {session}: {', '.join(unpriced[:_SHOWN])}",
            remedy="land their bars and build, or reconcile the account",
        )
    return {symbol: value / equity for symbol, value in rows}


def measured_confidence(
    con: duckdb.DuckDBPyConnection, run_id: str | None, strategy: str, session: date
) -> tuple[float, str]:
    """Return the part of a full bet that a run's out-of-fold net returns up to a session are evidence for, and why.

    Raises:
        ConfigError: the ledger has too few returns of the run.
    """
    mean, deviation, count = con.execute(
        "select avg(net_return), stddev_samp(net_return), count(net_return) from ops.trial_returns "
        "where run_id = ? and strategy = ? and date <= ?",
        [run_id, strategy, session],
    ).fetchall()[0]
    if count < _MIN_RETURNS or not deviation:
        raise ConfigError(
            f"confidence is measured, and {run_id or 'the model'} has {count} out-of-fold returns of {strategy} up to "
            f"{session}; at least {_MIN_RETURNS} are needed",
            remedy="judge the run with `trademl gate`, which records them, or write a number for confidence",
        )
    confidence = estimation_shrinkage(mean, deviation, count)
    t = mean / deviation * sqrt(count)
    return confidence, f"confidence {confidence:.3f}: {count} out-of-fold net returns with a t-statistic of {t:.2f}"


def symbols_decided(con: duckdb.DuckDBPyConnection, sleeve: str, session: date) -> set[str]:
    """Return the symbols that earlier decisions on a session have rows for in ``ops.targets``."""
    rows = con.execute("select symbol from ops.targets where sleeve = ? and dt = ?", [sleeve, session]).fetchall()
    return {row[0] for row in rows}


@dataclass(frozen=True)
class Liquidity:
    """What a schedule needs of a symbol at a close: USD a share, volatility of a day's return, shares a session."""

    session: date
    price: float
    day_volatility: float
    volume: float


def liquidity_of(con: duckdb.DuckDBPyConnection, symbol: str, asof: date | None) -> Liquidity:
    """Return a symbol's close, 20-session volatility and average traded value over its price.

    Raises:
        DataGateError: the symbol has no bar on the session, or too short a history.
    """
    rows = con.execute(
        """
        select bars.date, bars.close, features.realised_volatility_20d / sqrt(252), features.adv_20d * 1e6 / bars.close
        from silver.equity_bars as bars
        inner join gold.equities_features as features on features.symbol = bars.symbol and features.date = bars.date
        where bars.symbol = $symbol and ($asof is null or bars.date = $asof)
        order by bars.date desc limit 1
        """,
        {"symbol": symbol, "asof": asof},
    ).fetchall()
    if not rows or None in rows[0]:
        raise DataGateError(
            f"{symbol} has no bar with a volatility and a volume on {asof or 'any session'}",
            remedy="name a symbol and a session of `silver.equity_bars`",
        )
    return Liquidity(*rows[0])
