"""A small warehouse with the tables that training reads, written with DuckDB directly and published as a snapshot."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

FEATURES = ("signal", "noise", "signal_rank", "noise_rank")


@dataclass(frozen=True)
class Market:
    """What to plant: ``strength`` is the share of the label that the feature ``signal`` explains."""

    sessions: int = 160
    symbols: int = 24
    strength: float = 0.4
    seed: int = 5


def write_market(home: Home, market: Market = Market(), *, build_id: str = "b1") -> None:
    """Write the warehouse of ``home`` anew and take its snapshot.

    Sessions are the weekdays from 2020-01-01. Labels: ret_1d ends one session after the decision, fwd_5d five; the
    last of each are pending and so not in the training table. Regimes change every 20 sessions.
    """
    rng = np.random.default_rng(market.seed)
    n, m = market.sessions, market.symbols
    days = np.busday_offset("2020-01-01", np.arange(n), roll="forward")
    signal = rng.normal(size=(n, m)).astype(np.float32)
    noise = rng.normal(size=(n, m)).astype(np.float32)
    noise[rng.random((n, m)) < 0.02] = np.nan
    day = np.repeat(np.arange(n), m)
    symbol = np.tile(np.arange(m), n)
    value = 0.02 * (market.strength * signal + np.sqrt(1 - market.strength**2) * rng.normal(size=(n, m)))
    columns = {
        "session": day.astype(np.int32),
        "symbol": np.array([f"S{code:02d}" for code in symbol]),
        "date": days[day].astype("datetime64[s]"),
        "signal": signal.ravel(),
        "noise": noise.ravel(),
        "value": value.ravel(),
    }
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.register("drawn", columns)
        for schema in ("meta", "silver", "gold"):
            con.execute(f"create schema {schema}")
        con.execute(
            "create table silver.calendar as select distinct date::date as date, session as session_index, "
            "date::timestamp + interval 14 hour as open_at, date::timestamp + interval 20 hour as close_at, "
            "date::timestamp + interval 20 hour + interval 15 minute as decision_at from drawn order by 1"
        )
        con.execute(
            f"create table silver.coverage as select 'equity_bars' as dataset, date, {m} as expected, {m} as present, "
            "1.0::double as coverage_ratio, 'GREEN' as status, '' as reasons from silver.calendar"
        )
        con.execute(
            "create table silver.equity_bars as select symbol, date::date as date, 1.0::double as close "
            "from drawn order by 2, 1"
        )
        con.execute(
            "create table gold.equities_features as select symbol, date::date as date, true as in_universe, "
            "'x' as sector, "
            "date::timestamp + interval 20 hour + interval 15 minute as known_at, "
            "signal, case when isnan(noise) then null else noise end as noise, "
            "(rank() over (partition by date order by signal) / count(*) over (partition by date))::float "
            "as signal_rank, "
            "(rank() over (partition by date order by noise) / count(*) over (partition by date))::float as noise_rank "
            "from drawn order by 2, 1"
        )
        con.execute(
            "create table gold.equities_samples as select drawn.symbol, drawn.date::date as date, labels.label, "
            "drawn.value, "
            "ended.date as label_end_date, 'resolved' as outcome, 1.0::double as time_decay_weight, "
            "0.5::double as uniqueness_weight, (0.5 + drawn.session / 1000)::double as sample_weight, "
            "['low', 'mid', 'high'][1 + (drawn.session // 20) % 3] as regime, 'GREEN' as coverage_status "
            "from drawn, (values ('ret_1d', 1), ('fwd_5d', 5)) labels(label, horizon), silver.calendar ended "
            "where ended.session_index = drawn.session + labels.horizon order by 2, 1, 3"
        )
        con.execute(
            "create view gold.equities_training as select s.*, f.known_at, f.in_universe, f.signal, f.noise, "
            "f.signal_rank, f.noise_rank from gold.equities_samples s "
            "join gold.equities_features f using (symbol, date)"
        )
        con.execute(
            "create table meta.builds (build_id varchar, invocation_id varchar, started_at timestamp, "
            "finished_at timestamp, affected_from date, definition_hash varchar, as_known_at varchar, status varchar)"
        )
        con.execute(
            f"insert into meta.builds values ('{build_id}', '{build_id}', now(), now(), null, 'd', '', 'success')"
        )
    take_snapshot(layout_of(home))


def change(home: Home, *statements: str, build_id: str = "b2") -> None:
    """Run ``statements`` on the warehouse and publish the result."""
    with duckdb.connect(str(home.warehouse)) as con:
        for statement in statements:
            con.execute(statement)
        con.execute(
            f"insert into meta.builds values ('{build_id}', '{build_id}', now(), now(), null, 'd', '', 'success')"
        )
    take_snapshot(layout_of(home))


def small_config(home: Home, **fields: object) -> Path:
    """Write a configuration of a few small trees over the market's features, and return its path."""
    import yaml

    document: dict[str, object] = {
        "label": "horizon",
        "k": 5,
        "features": ["*_rank", "noise"],
        "validation": {"folds": 4, "test_folds": 2, "embargo": 3},
        "model": {"kind": "lightgbm", "n_rounds": 8, "num_leaves": 7, "min_data_in_leaf": 20, "seed": 7, "threads": 1},
        **fields,
    }
    path = home.configs / "training" / "small.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


def with_barriers(home: Home) -> None:
    """Add the label tb_2_1_10: the returns of fwd_5d, by size taken as profits, stops and timeouts."""
    change(
        home,
        "insert into gold.equities_samples by name select * replace ('tb_2_1_10' as label, case when value > 0.012 "
        "then 'take_profit' when value < -0.008 then 'stop' else 'timeout' end as outcome) "
        "from gold.equities_samples where label = 'fwd_5d'",
        build_id="barriers",
    )


def with_second_table(home: Home) -> None:
    """Add the feature table gold.equities_second (slow, fast, and a noise of its own) and a catalogue of both tables.

    The definition of a column is the sha256 of its name, so that a test can pin it.
    """
    change(
        home,
        "create table gold.equities_second as select symbol, in_universe, "
        "case when symbol <> 'S05' then (signal * 2)::float end as slow, (signal + 1)::float as fast, "
        "0.5::float as noise, date, known_at from gold.equities_features order by date, symbol",
        "create table gold.feature_catalogue as select table_name, name, sha256(name) as sql_sha256, true as is_built "
        "from (values ('equities_features', ['signal', 'noise', 'signal_rank', 'noise_rank']), "
        "('equities_second', ['slow', 'fast', 'noise']), ('equities_third', ['far', 'fast'])) as t(table_name, names), "
        "unnest(names) as u(name)",
        build_id="second",
    )


def write_set(home: Home, name: str, features: list[str], **fields: object) -> Path:
    """Write a feature set over the tables of :func:`with_second_table` and return its path."""
    import hashlib

    import yaml

    stem, _, version = name.rpartition("_v")
    definitions = {one: hashlib.sha256(one.rpartition(".")[2].encode()).hexdigest() for one in features}
    document: dict[str, object] = {
        "name": stem,
        "version": int(version),
        "description": "for tests",
        "features": features,
        "definitions": definitions,
        **fields,
    }
    path = home.configs / "features" / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
