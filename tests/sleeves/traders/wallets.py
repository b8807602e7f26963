"""A small warehouse with the traders' tables, written with DuckDB directly and published as a snapshot.

The tables have the columns that the warehouse's models have; the features are drawn, not computed.
"""

from dataclasses import dataclass

import duckdb
import numpy as np

from tests.sleeves.traders.columns import AGGREGATED, RAW
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

FIRST = np.datetime64("2025-01-01")


@dataclass(frozen=True)
class Wallets:
    """What to draw: ``strength`` is the share of the label that the first feature explains; the first ``new`` wallets
    have only 10 windows on every day."""

    wallets: int = 14
    days: int = 100
    strength: float = 0.6
    new: int = 2
    seed: int = 3


def address(number: int) -> str:
    """Return the address of a wallet."""
    return f"0x{number:040x}"


def write_wallets(home: Home, drawn: Wallets = Wallets(), *, build_id: str = "w1") -> None:
    """Write the warehouse of ``home`` anew and take its snapshot.

    Days are those from 2025-01-01; labels of the last seven are pending, and so not in the training table.
    """
    rng = np.random.default_rng(drawn.seed)
    n, m = drawn.days, drawn.wallets
    rows = n * m
    day, wallet = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    values = rng.normal(size=(rows, len(AGGREGATED)))
    values[:, -1] = np.where(wallet < drawn.new, 10, 16 + day % 75)
    pnl = 1000 * (drawn.strength * values[:, 0] + np.sqrt(1 - drawn.strength**2) * rng.normal(size=rows))
    columns = {
        "number": wallet.astype(np.int32),
        "address": np.array([address(one) for one in wallet]),
        "as_of": (FIRST + day).astype("datetime64[s]"),
        "pnl": pnl,
        **{f"f{at}": np.ascontiguousarray(values[:, at]) for at in range(len(AGGREGATED))},
    }
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.register("drawn", columns)
        for schema in ("meta", "silver", "gold"):
            con.execute(f"create schema {schema}")
        con.execute(
            "create table silver.trader_calendar as select d::date as date, "
            f"(row_number() over (order by d))::integer as session_index, d + interval 1 day as decision_at "
            f"from range(timestamp '{FIRST}', timestamp '{FIRST + n + 7}', interval 1 day) as days(d) order by 1"
        )
        con.execute(
            "create table silver.trader_coverage as select 'trader_days' as dataset, date, 1 as expected, "
            "1 as present, 1.0::double as coverage_ratio, 'GREEN' as status, '' as reasons from silver.trader_calendar"
        )
        features = ", ".join(f"f{at} as {name}" for at, name in enumerate(AGGREGATED))
        con.execute(
            f"create table gold.traders_features as select address, {features}, as_of::date as as_of, "
            "as_of + interval 1 day as known_at from drawn where f96 >= 10 order by as_of, address"
        )
        named = ", ".join(f"features.{name}" for name in AGGREGATED)
        con.execute(
            "create table gold.traders_training as "
            "with labels as (select address, as_of::date as date, pnl, "
            "pnl - avg(pnl) over (partition by as_of) as value "
            f"from drawn where as_of < timestamp '{FIRST + n - 7}' and f96 >= 16) "
            "select features.address, 'fwd_7d' as label, 'resolved' as outcome, 'GREEN' as coverage_status, "
            "null::varchar as regime, true as in_universe, labels.pnl as forward_pnl_7d, labels.value, "
            "1.0::double as time_decay_weight, (1 / 7.0)::double as uniqueness_weight, (1 / 7.0)::double as "
            f"sample_weight, {named}, labels.date, labels.date + 7 as label_end_date, features.known_at "
            "from labels inner join gold.traders_features as features "
            "on labels.address = features.address and labels.date = features.as_of order by date, address"
        )
        con.execute(
            "create table gold.trader_feature_caps as select 'profit_factor' as feature, "
            "(10 + session_index)::double as cap, date as snapshot_date from silver.trader_calendar"
        )
        raw = ", ".join(
            f"case when number = 3 then 'infinity'::double else abs(f{at}) end as {name}"
            if name == "profit_factor"
            else f"f{at} as {name}"
            for at, name in enumerate(RAW)
        )
        con.execute(
            f"create table gold.ml_feature_snapshots as select address, as_of::date as snapshot_date, {raw}, "
            "as_of + interval 1 day as known_at from drawn order by 2, 1"
        )
        con.execute(
            "create table meta.builds (build_id varchar, invocation_id varchar, started_at timestamp, "
            "finished_at timestamp, affected_from date, definition_hash varchar, as_known_at varchar, status varchar)"
        )
        con.execute(
            f"insert into meta.builds values ('{build_id}', '{build_id}', now(), now(), null, 'd', '', 'success')"
        )
    take_snapshot(layout_of(home))
