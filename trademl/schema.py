"""Tables whose rows Python writes: raw datasets, predictions and evidence, with their column types and grains.

dbt's ``sources.yml`` states the same columns for the warehouse; a test keeps the two equal. Types are DuckDB's; every
timestamp is a naive UTC ``TIMESTAMP``.
"""

from dataclasses import dataclass

LANDING_COLUMNS: dict[str, str] = {
    "known_at": "TIMESTAMP",
    "ingested_at": "TIMESTAMP",
    "source": "VARCHAR",
    "batch_id": "VARCHAR",
    "file": "VARCHAR",
    "line": "BIGINT",
    "content_hash": "VARCHAR",
    "assumption": "VARCHAR",
}
"""Columns that ingest adds to every raw row. ``assumption`` says what was assumed where ``known_at`` was not seen."""


@dataclass(frozen=True)
class RawDataset:
    """A landed dataset: the columns a source file provides, and the key that a version history hangs on."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, str]
    required: tuple[str, ...]
    defaults: dict[str, float]

    @property
    def all_columns(self) -> dict[str, str]:
        return {**self.columns, **LANDING_COLUMNS}


@dataclass(frozen=True)
class BatchTable:
    """A table written by Python as immutable parquet batches; its view shows the latest row per grain."""

    name: str
    grain: tuple[str, ...]
    columns: dict[str, str]
    latest_by: str


RAW: dict[str, RawDataset] = {
    dataset.name: dataset
    for dataset in (
        RawDataset(
            "equity_bars",
            key=("symbol", "date"),
            columns={
                "symbol": "VARCHAR",
                "date": "DATE",
                "open": "DOUBLE",
                "high": "DOUBLE",
                "low": "DOUBLE",
                "close": "DOUBLE",
                "volume": "DOUBLE",
                "dividend_amount": "DOUBLE",
                "split_coefficient": "DOUBLE",
            },
            required=("symbol", "date", "open", "high", "low", "close", "volume"),
            defaults={"dividend_amount": 0.0, "split_coefficient": 1.0},
        ),
        RawDataset(
            "membership",
            key=("symbol", "start_date"),
            columns={"symbol": "VARCHAR", "start_date": "DATE", "end_date": "DATE"},
            required=("symbol", "start_date", "end_date"),
            defaults={},
        ),
        RawDataset(
            "reference",
            key=("symbol",),
            columns={"symbol": "VARCHAR", "name": "VARCHAR", "sector": "VARCHAR"},
            required=("symbol", "sector"),
            defaults={},
        ),
        RawDataset(
            "series",
            key=("series", "date"),
            columns={"series": "VARCHAR", "date": "DATE", "value": "DOUBLE"},
            required=("date", "value"),
            defaults={},
        ),
        RawDataset(
            "trader_fills",
            key=("address", "fill_id"),
            columns={
                "address": "VARCHAR",
                "fill_id": "VARCHAR",
                "coin": "VARCHAR",
                "side": "VARCHAR",
                "direction": "VARCHAR",
                "position_side": "VARCHAR",
                "venue": "VARCHAR",
                "price": "DOUBLE",
                "size": "DOUBLE",
                "start_position": "DOUBLE",
                "closed_pnl": "DOUBLE",
                "fee": "DOUBLE",
                "date": "DATE",
                "filled_at": "TIMESTAMP",
                "day_end_at": "TIMESTAMP",
            },
            required=("address", "coin", "side", "price", "size", "closed_pnl", "fee", "filled_at"),
            defaults={},
        ),
        RawDataset(
            "trader_days",
            key=("address", "date"),
            columns={
                "address": "VARCHAR",
                "venue": "VARCHAR",
                "daily_pnl": "DOUBLE",
                "fees": "DOUBLE",
                "n_trades": "DOUBLE",
                "win_rate": "DOUBLE",
                "volume_usd": "DOUBLE",
                "long_ratio": "DOUBLE",
                "date": "DATE",
                "day_end_at": "TIMESTAMP",
            },
            required=("address", "date", "daily_pnl", "n_trades"),
            defaults={},
        ),
        RawDataset(
            "calendar",
            key=("calendar", "date"),
            columns={"calendar": "VARCHAR", "date": "DATE", "open_at": "TIMESTAMP", "close_at": "TIMESTAMP"},
            required=("calendar", "date", "open_at", "close_at"),
            defaults={},
        ),
    )
}

QUARANTINE_COLUMNS: dict[str, str] = {
    "dataset": "VARCHAR",
    "file": "VARCHAR",
    "line": "BIGINT",
    "reason": "VARCHAR",
    "detail": "VARCHAR",
    "row": "VARCHAR",
    "source": "VARCHAR",
    "batch_id": "VARCHAR",
    "ingested_at": "TIMESTAMP",
}
"""Rejected rows, kept whole: ``reason`` is a short code, ``detail`` a sentence, ``row`` the original values as JSON."""

_SCORES = {
    "yhat": "DOUBLE",
    "yhat_std": "DOUBLE",
    "prob_up": "DOUBLE",
    "rank_pct": "DOUBLE",
    "scored_at": "TIMESTAMP",
}


def _scores(name: str, entity: str) -> BatchTable:
    return BatchTable(
        f"preds.{name}",
        grain=(entity, "dt", "horizon", "model_id"),
        columns={
            entity: "VARCHAR",
            "dt": "DATE",
            "horizon": "INTEGER",
            "model_id": "VARCHAR",
            "label": "VARCHAR",
            **_SCORES,
        },
        latest_by="scored_at",
    )


BATCHES: dict[str, BatchTable] = {
    table.name: table
    for table in (
        _scores("equities", "ticker"),
        _scores("traders", "address"),
        _scores("events", "event_id"),
        _scores("options", "ticker"),
        BatchTable(
            "preds.shadow",
            grain=("sleeve", "entity", "dt", "horizon", "model_id"),
            columns={
                "sleeve": "VARCHAR",
                "entity": "VARCHAR",
                "dt": "DATE",
                "horizon": "INTEGER",
                "model_id": "VARCHAR",
                "label": "VARCHAR",
                **_SCORES,
            },
            latest_by="scored_at",
        ),
        BatchTable(
            "preds.oof",
            grain=("sleeve", "entity", "dt", "horizon", "run_id", "path_id"),
            columns={
                "sleeve": "VARCHAR",
                "entity": "VARCHAR",
                "dt": "DATE",
                "horizon": "INTEGER",
                "label": "VARCHAR",
                "run_id": "VARCHAR",
                "path_id": "INTEGER",
                "split_id": "INTEGER",
                "yhat": "DOUBLE",
                "y": "DOUBLE",
                "label_end": "DATE",
                "scored_at": "TIMESTAMP",
            },
            latest_by="scored_at",
        ),
        BatchTable(
            "ops.trials",
            grain=("trial_id",),
            columns={
                "trial_id": "VARCHAR",
                "run_id": "VARCHAR",
                "sleeve": "VARCHAR",
                "label": "VARCHAR",
                "config_hash": "VARCHAR",
                "data_hash": "VARCHAR",
                "config": "VARCHAR",
                "returns_ref": "VARCHAR",
                "status": "VARCHAR",
                "started_at": "TIMESTAMP",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.trial_events",
            grain=("run_id", "attempt", "event", "split_id"),
            columns={
                "trial_id": "VARCHAR",
                "run_id": "VARCHAR",
                "attempt": "INTEGER",
                "event": "VARCHAR",
                "split_id": "INTEGER",
                "seconds": "DOUBLE",
                "detail": "VARCHAR",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.trial_returns",
            grain=("run_id", "strategy", "date"),
            columns={
                "run_id": "VARCHAR",
                "sleeve": "VARCHAR",
                "label": "VARCHAR",
                "kind": "VARCHAR",
                "strategy": "VARCHAR",
                "date": "DATE",
                "gross_return": "DOUBLE",
                "net_return": "DOUBLE",
                "turnover": "DOUBLE",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.runs",
            grain=("run_id",),
            columns={
                "run_id": "VARCHAR",
                "sleeve": "VARCHAR",
                "label": "VARCHAR",
                "status": "VARCHAR",
                "git_revision": "VARCHAR",
                "data_hash": "VARCHAR",
                "config_hash": "VARCHAR",
                "path": "VARCHAR",
                "metrics": "VARCHAR",
                "started_at": "TIMESTAMP",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.leakage_audit",
            grain=("run_id", "split_id", "check_name"),
            columns={
                "run_id": "VARCHAR",
                "split_id": "INTEGER",
                "check_name": "VARCHAR",
                "violations": "BIGINT",
                "compared": "BIGINT",
                "detail": "VARCHAR",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.promotions",
            grain=("decision_id", "bar"),
            columns={
                "decision_id": "VARCHAR",
                "sequence": "BIGINT",
                "action": "VARCHAR",
                "run_id": "VARCHAR",
                "sleeve": "VARCHAR",
                "label": "VARCHAR",
                "previous_run_id": "VARCHAR",
                "bar": "VARCHAR",
                "value": "DOUBLE",
                "bound": "DOUBLE",
                "verdict": "VARCHAR",
                "reason": "VARCHAR",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.skew",
            grain=("as_of", "model_id", "feature"),
            columns={
                "as_of": "DATE",
                "model_id": "VARCHAR",
                "feature": "VARCHAR",
                "mismatches": "BIGINT",
                "missing": "BIGINT",
                "extra": "BIGINT",
                "smape": "DOUBLE",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.trader_skill",
            grain=("as_of", "address"),
            columns={
                "as_of": "DATE",
                "address": "VARCHAR",
                "status": "VARCHAR",
                "evidence": "VARCHAR",
                "skill_rank": "INTEGER",
                "rank_low": "INTEGER",
                "rank_high": "INTEGER",
                "n_ranked": "INTEGER",
                "n_observed": "INTEGER",
                "n_days": "INTEGER",
                "n_active_days": "INTEGER",
                "n_trades": "BIGINT",
                "net_pnl": "DOUBLE",
                "sharpe": "DOUBLE",
                "skew": "DOUBLE",
                "kurtosis": "DOUBLE",
                "psr": "DOUBLE",
                "dsr": "DOUBLE",
                "sharpe_threshold": "DOUBLE",
                "deflated_skill": "DOUBLE",
                "min_track_record": "DOUBLE",
                "best_day_share": "DOUBLE",
                "best_trade_share": "DOUBLE",
                "size_after_loss": "DOUBLE",
                "flat_share": "DOUBLE",
                "is_martingale": "BOOLEAN",
                "is_single_trade": "BOOLEAN",
                "is_wash": "BOOLEAN",
                "settings": "VARCHAR",
                "first_date": "DATE",
                "last_date": "DATE",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.universe",
            grain=("dt", "symbol"),
            columns={
                "dt": "DATE",
                "symbol": "VARCHAR",
                "sector": "VARCHAR",
                "is_included": "BOOLEAN",
                "reasons": "VARCHAR",
                "liquidity_rank": "INTEGER",
                "is_member": "BOOLEAN",
                "price_usd": "DOUBLE",
                "day_value_usd": "DOUBLE",
                "history_sessions": "INTEGER",
                "present_ratio": "DOUBLE",
                "settings": "VARCHAR",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.targets",
            grain=("sleeve", "dt", "symbol"),
            columns={
                "sleeve": "VARCHAR",
                "dt": "DATE",
                "symbol": "VARCHAR",
                "sector": "VARCHAR",
                "weight": "DOUBLE",
                "held_weight": "DOUBLE",
                "score": "DOUBLE",
                "rank_pct": "DOUBLE",
                "volatility": "DOUBLE",
                "price_usd": "DOUBLE",
                "day_value_usd": "DOUBLE",
                "cost_usd": "DOUBLE",
                "equity_usd": "DOUBLE",
                "model_id": "VARCHAR",
                "run_id": "VARCHAR",
                "horizon": "INTEGER",
                "optimiser": "VARCHAR",
                "portfolio_hash": "VARCHAR",
                "notes": "VARCHAR",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.orders",
            grain=("client_order_id", "event_seq"),
            columns={
                "client_order_id": "VARCHAR",
                "event_seq": "INTEGER",
                "status": "VARCHAR",
                "reason": "VARCHAR",
                "account": "VARCHAR",
                "broker": "VARCHAR",
                "broker_order_id": "VARCHAR",
                "sleeve": "VARCHAR",
                "run_id": "VARCHAR",
                "model_id": "VARCHAR",
                "portfolio_hash": "VARCHAR",
                "symbol": "VARCHAR",
                "side": "VARCHAR",
                "slice": "INTEGER",
                "order_type": "VARCHAR",
                "time_in_force": "VARCHAR",
                "quantity": "DOUBLE",
                "filled_quantity": "DOUBLE",
                "average_price": "DOUBLE",
                "expected_price": "DOUBLE",
                "dt": "DATE",
                "session": "DATE",
                "send_at": "TIMESTAMP",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.fills",
            grain=("fill_id",),
            columns={
                "fill_id": "VARCHAR",
                "order_id": "VARCHAR",
                "symbol": "VARCHAR",
                "quantity": "DOUBLE",
                "price": "DOUBLE",
                "fee_usd": "DOUBLE",
                "account": "VARCHAR",
                "broker": "VARCHAR",
                "broker_order_id": "VARCHAR",
                "filled_at": "TIMESTAMP",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.halts",
            grain=("account", "sequence"),
            columns={
                "account": "VARCHAR",
                "sequence": "BIGINT",
                "event": "VARCHAR",
                "tripwire": "VARCHAR",
                "value": "DOUBLE",
                "bound": "DOUBLE",
                "reason": "VARCHAR",
                "remedy": "VARCHAR",
                "who": "VARCHAR",
                "dt": "DATE",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.backtests",
            grain=("backtest_id",),
            columns={
                "backtest_id": "VARCHAR",
                "run_id": "VARCHAR",
                "sleeve": "VARCHAR",
                "label": "VARCHAR",
                "path": "VARCHAR",
                "engine": "VARCHAR",
                "config_hash": "VARCHAR",
                "config": "VARCHAR",
                "figures": "VARCHAR",
                "folder": "VARCHAR",
                "capital_usd": "DOUBLE",
                "whole_shares": "BOOLEAN",
                "commission_bps": "DOUBLE",
                "commission_usd_per_share": "DOUBLE",
                "spread_bps": "DOUBLE",
                "impact_coefficient": "DOUBLE",
                "impact_exponent": "DOUBLE",
                "permanent_coefficient": "DOUBLE",
                "auction_bps": "DOUBLE",
                "borrow_min_day_value_usd": "DOUBLE[]",
                "borrow_bps_per_year": "DOUBLE[]",
                "borrow_days_per_year": "INTEGER",
                "delisting_return": "DOUBLE",
                "first_date": "DATE",
                "last_date": "DATE",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
        BatchTable(
            "ops.backtest_weights",
            grain=("backtest_id", "symbol", "dt"),
            columns={
                "backtest_id": "VARCHAR",
                "symbol": "VARCHAR",
                "weight": "DOUBLE",
                "dt": "DATE",
                "recorded_at": "TIMESTAMP",
            },
            latest_by="recorded_at",
        ),
    )
}
