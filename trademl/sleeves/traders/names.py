"""The columns of the traders' tables, in order. What they are is SQL (docs/traders.md); here are only their names."""

FEATURES: tuple[str, ...] = (
    "roi_7d",
    "roi_30d",
    "roi_90d",
    "pnl_7d",
    "pnl_30d",
    "pnl_90d",
    "win_rate",
    "profit_factor",
    "pseudo_sharpe",
    "max_drawdown",
    "trade_count",
    "avg_trade_pnl",
    "pnl_volatility",
    "avg_hold_hours",
    "long_ratio",
    "coin_concentration",
    "consistency",
    "recency_decay",
)
"""The raw features of ``gold.ml_feature_snapshots``."""

EXTRA_FEATURES: tuple[str, ...] = (
    "roi_momentum_7_30",
    "roi_momentum_30_90",
    "pnl_momentum_7_30",
    "wr_x_pf",
    "sharpe_x_wr",
    "roi7_x_rec",
)
"""Derived of them; only their cross-sectional forms are columns."""

N_WINDOWS = "n_windows"


def per_sample_columns() -> tuple[str, ...]:
    """Return the 48 columns of ``gold.traders_windows``: of each feature its z-score and its rank of the date."""
    return tuple(f"{name}_{form}" for name in (*FEATURES, *EXTRA_FEATURES) for form in ("dm", "rank"))


def aggregated_columns() -> tuple[str, ...]:
    """Return the 97 features of ``gold.traders_features``: mean and trend of each of the 48, and their number."""
    return (*(f"{name}_{form}" for name in per_sample_columns() for form in ("mean", "trend")), N_WINDOWS)
