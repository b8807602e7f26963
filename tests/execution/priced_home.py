"""A home with a small warehouse that is written by hand: prices, risk, membership, predictions and a few fills.

A to D have predictions of Wednesday; E has no volatility, F none either and no bar; G is held and was split on Tuesday.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from trademl.config.home import Home
from trademl.governance.ledger import record_run
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches, take_snapshot

RUN = "equities-fwd_5d-0123456789ab"
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2024, 1, day) for day in (8, 9, 10, 11))
NOW = datetime(2024, 1, 10, 22, 0, tzinfo=UTC)

WAREHOUSE = """
create schema meta; create schema silver; create schema gold;
create table meta.builds(build_id varchar, invocation_id varchar, started_at timestamp, finished_at timestamp,
    affected_from date, definition_hash varchar, as_known_at varchar, status varchar);
insert into meta.builds values ('b-1', 'i-1', timestamp '2024-01-10 21:20:00', timestamp '2024-01-10 21:21:00',
    null, 'd', '', 'success');
create table silver.calendar as
    select day::date as date, n as session_index, day + interval 1275 minute as decision_at
    from (values
        (timestamp '2024-01-08', 0), (timestamp '2024-01-09', 1), (timestamp '2024-01-10', 2),
        (timestamp '2024-01-11', 3)) as t(day, n);
create table silver.coverage as
    select 'equity_bars' as dataset, date, 4 as expected, 4::hugeint as present, 1.0::double as coverage_ratio,
        1.0::double as universe_coverage, 'GREEN' as status, '' as reasons
    from silver.calendar where date < date '2024-01-11';
create table silver.equity_bars(symbol varchar, date date, session_index integer, sector varchar, close double,
    dollar_volume double, split_coefficient double, known_at timestamp);
insert into silver.equity_bars
    select symbol, calendar.date, session_index, sector,
        if(symbol = 'G' and calendar.date < date '2024-01-09', 2 * close, close), value,
        if(symbol = 'G' and calendar.date = date '2024-01-09', 2, 1), calendar.decision_at - interval 15 minute
    from (values
        ('A', 'tech', 100.0, 4e7), ('B', 'tech', 50.0, 3e7), ('C', 'energy', 20.0, 2e7), ('D', 'energy', 10.0, 1e7),
        ('E', null, 4.0, 1e6), ('G', 'tech', 25.0, 5e6)) as t(symbol, sector, close, value)
    cross join silver.calendar as calendar
    where calendar.date < date '2024-01-11';
create table silver.universe_members as
    select symbol, date from (values ('A'), ('B'), ('C'), ('E'), ('Z')) as t(symbol) cross join silver.calendar;
create table gold.equities_features(symbol varchar, date date, realised_volatility_20d float,
    realised_volatility_60d float, adv_20d float);
insert into gold.equities_features
    select symbol, date, volatility, volatility, adv
    from (values ('A', 0.25, 40.0), ('B', 0.25, 30.0), ('C', 0.5, 20.0), ('D', 0.5, 10.0), ('E', null, 1.0),
        ('G', 0.25, 5.0)) as t(symbol, volatility, adv)
    cross join silver.calendar where date < date '2024-01-11';
"""


def write_warehouse(home: Home, *changes: str) -> None:
    """Write the warehouse anew, apply ``changes`` to it, and publish it."""
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute(WAREHOUSE)
        for statement in changes:
            con.execute(statement)
    take_snapshot(layout_of(home), now=lambda: NOW)


def write_predictions(
    home: Home,
    scores: dict[str, float],
    *,
    dt: date = WEDNESDAY,
    model_id: str = RUN,
    scored_at: datetime = datetime(2024, 1, 10, 21, 30),
) -> None:
    """Write predictions and publish them."""
    rows = [
        {
            "ticker": symbol,
            "dt": dt,
            "horizon": 5,
            "model_id": model_id,
            "label": "fwd_5d",
            "yhat": yhat,
            "yhat_std": 0.1,
            "prob_up": 0.5,
            "rank_pct": (place + 1) / len(scores),
            "scored_at": scored_at,
        }
        for place, (symbol, yhat) in enumerate(sorted(scores.items(), key=lambda item: item[1]))
    ]
    _publish(home, "preds.equities", rows)


def write_fills(home: Home, *fills: tuple[str, float, datetime], account: str = "paper") -> None:
    """Write fills: symbol, shares, time."""
    rows = [
        {
            "fill_id": f"{account}-{symbol}-{filled_at:%d%H}",
            "order_id": "o",
            "symbol": symbol,
            "quantity": shares,
            "price": 1.0,
            "fee_usd": 0.0,
            "account": account,
            "broker": "simulated",
            "broker_order_id": "b",
            "filled_at": filled_at,
            "recorded_at": filled_at,
        }
        for symbol, shares, filled_at in fills
    ]
    _publish(home, "ops.fills", rows)


def write_returns(home: Home, returns: Iterable[float], strategy: str = "long_short") -> None:
    """Register the run, with daily net returns of its out-of-fold predictions, one a day from 2023-01-01."""
    record_run(
        layout_of(home),
        run_id=RUN,
        sleeve="equities",
        label="fwd_5d",
        status="registered",
        git_revision="unknown",
        data_hash="d",
        config_hash="c",
        path="models_artifacts/x",
        metrics={},
        started_at=NOW,
        now=lambda: NOW,
    )
    rows = [
        {
            "run_id": RUN,
            "sleeve": "equities",
            "label": "fwd_5d",
            "kind": "trial",
            "strategy": strategy,
            "date": date.fromordinal(date(2023, 1, 1).toordinal() + day),
            "gross_return": value,
            "net_return": value,
            "turnover": 0.1,
            "recorded_at": NOW.replace(tzinfo=None),
        }
        for day, value in enumerate(returns)
    ]
    _publish(home, "ops.trial_returns", rows)


def _publish(home: Home, table: str, rows: list[dict[str, Any]]) -> None:
    write_rows(layout_of(home), table, rows, now=lambda: NOW)
    snapshot_batches(layout_of(home), now=lambda: NOW)
