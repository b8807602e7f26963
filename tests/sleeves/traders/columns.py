"""The columns of the traders' tables, written out after the published plan and not taken from the package."""

RAW = [
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
]
EXTRA = ["roi_momentum_7_30", "roi_momentum_30_90", "pnl_momentum_7_30", "wr_x_pf", "sharpe_x_wr", "roi7_x_rec"]

PER_SAMPLE: list[str] = []
for name in RAW + EXTRA:
    PER_SAMPLE.append(name + "_dm")
    PER_SAMPLE.append(name + "_rank")

AGGREGATED: list[str] = []
for name in PER_SAMPLE:
    AGGREGATED.append(name + "_mean")
    AGGREGATED.append(name + "_trend")
AGGREGATED.append("n_windows")
