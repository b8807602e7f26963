"""Raw datasets: what source files provide, and what ingest adds to each row."""

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


EVENT_FEATURES: tuple[str, ...] = (
    "approach_velocity",
    "approach_bars",
    "approach_distance",
    "approach_volume_ratio",
    "dist_pmh",
    "dist_pml",
    "dist_orh",
    "dist_orl",
    "dist_pdh",
    "dist_pdl",
    "dist_pdc",
    "dist_session_high",
    "dist_session_low",
    "distance",
    "distance_signed",
    "sma_200_distance",
    "sma_400_distance",
    "sma_slope_short",
    "sma_slope_long",
    "sma_spread",
    "mean_reversion_200",
    "mean_reversion_400",
    "confluence_count",
    "confluence_score",
    "confluence_min_distance",
    "bars_since_open",
    "is_first_15m",
    "atr",
    "level_price_pct",
    "direction_sign",
    "attempt_index",
    "attempt_bars_since_last",
    "prior_touches",
    "barrier_delta_liq",
    "barrier_replenishment_ratio",
    "barrier_delta_liq_trend",
    "barrier_replenishment_trend",
    "wall_ratio",
    "liquidity_pressure",
    "tape_imbalance",
    "tape_velocity",
    "tape_imbalance_trend",
    "tape_velocity_trend",
    "sweep_detected",
    "tape_pressure",
    "net_break_pressure",
    "fuel_effect",
    "gamma_exposure",
    "gamma_pressure",
    "dealer_pressure",
    "reversion_pressure",
)
"""The measures of an event that an external dataset may bring: of price, then of order flow, book and chains."""

EVENT_LABELS: tuple[str, ...] = (
    *("strength_signed", "tradeable_1", "tradeable_2"),
    *(f"time_to_{name}_{number}" for name in ("threshold", "break", "bounce") for number in (1, 2)),
    *(
        f"{name}_{seconds}"
        for seconds in (60, 120, 300, 600)
        for name in ("t1", "t2", "t1_break", "t1_bounce", "t2_break", "t2_bounce")
    ),
)
"""What came of it, besides ``outcome``."""


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
            "intraday_bars",
            key=("symbol", "bar_minutes", "ts"),
            columns={
                "symbol": "VARCHAR",
                "bar_minutes": "DOUBLE",
                "ts": "TIMESTAMP",
                "date": "DATE",
                "open": "DOUBLE",
                "high": "DOUBLE",
                "low": "DOUBLE",
                "close": "DOUBLE",
                "volume": "DOUBLE",
            },
            required=("symbol", "ts", "open", "high", "low", "close", "volume"),
            defaults={},
        ),
        RawDataset(
            "trades",
            key=("symbol", "ts", "exchange", "seq"),
            columns={
                "symbol": "VARCHAR",
                "date": "DATE",
                "ts": "TIMESTAMP",
                "seq": "BIGINT",
                "price": "DOUBLE",
                "size": "DOUBLE",
                "exchange": "VARCHAR",
                "condition": "VARCHAR",
                "suspicious": "DOUBLE",
            },
            required=("symbol", "ts", "price", "size"),
            defaults={},
        ),
        RawDataset(
            "quotes",
            key=("symbol", "ts", "exchange", "seq"),
            columns={
                "symbol": "VARCHAR",
                "date": "DATE",
                "ts": "TIMESTAMP",
                "seq": "BIGINT",
                "bid": "DOUBLE",
                "bid_size": "DOUBLE",
                "ask": "DOUBLE",
                "ask_size": "DOUBLE",
                "exchange": "VARCHAR",
                "condition": "VARCHAR",
                "suspicious": "DOUBLE",
            },
            required=("symbol", "ts"),
            defaults={},
        ),
        RawDataset(
            "book",
            key=("symbol", "ts", "seq"),
            columns={
                "symbol": "VARCHAR",
                "date": "DATE",
                "ts": "TIMESTAMP",
                "seq": "BIGINT",
                "time_s": "DOUBLE",
                "event_type": "BIGINT",
                "order_id": "BIGINT",
                "size": "DOUBLE",
                "price": "DOUBLE",
                "direction": "BIGINT",
                "ask_price": "DOUBLE",
                "ask_size": "DOUBLE",
                "bid_price": "DOUBLE",
                "bid_size": "DOUBLE",
            },
            required=(
                "symbol",
                "time_s",
                "event_type",
                "order_id",
                "size",
                "price",
                "direction",
                "ask_price",
                "ask_size",
                "bid_price",
                "bid_size",
            ),
            defaults={},
        ),
        RawDataset(
            "option_quotes",
            key=("symbol", "date", "contract"),
            columns={
                "symbol": "VARCHAR",
                "date": "DATE",
                "contract": "VARCHAR",
                "expiration": "DATE",
                "strike": "DOUBLE",
                "option_type": "VARCHAR",
                "underlying_price": "DOUBLE",
                "bid": "DOUBLE",
                "ask": "DOUBLE",
                "last": "DOUBLE",
                "volume": "DOUBLE",
                "open_interest": "DOUBLE",
                "implied_vol": "DOUBLE",
                "delta": "DOUBLE",
                "gamma": "DOUBLE",
            },
            required=(
                "symbol",
                "date",
                "contract",
                "expiration",
                "strike",
                "option_type",
                "underlying_price",
                "bid",
                "ask",
            ),
            defaults={},
        ),
        RawDataset(
            "events",
            key=("event_id",),
            columns={
                "event_id": "VARCHAR",
                "symbol": "VARCHAR",
                "level_kind_name": "VARCHAR",
                "direction": "VARCHAR",
                "level_price": "DOUBLE",
                "bar_minutes": "DOUBLE",
                **dict.fromkeys(EVENT_FEATURES, "DOUBLE"),
                "outcome": "VARCHAR",
                **dict.fromkeys(EVENT_LABELS, "DOUBLE"),
                "ts_ns": "BIGINT",
                "date": "DATE",
            },
            required=("event_id", "symbol", "level_kind_name", "direction", "level_price", "distance", "ts_ns", "date"),
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
