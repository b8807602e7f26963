"""Columns of the alpha tables in pyqlib's order, each with pyqlib's own name."""

WINDOWS = (5, 10, 20, 30, 60)
LAGS = 60

_CANDLES = {
    "KMID": "candle_body",
    "KLEN": "candle_range",
    "KMID2": "candle_body_of_range",
    "KUP": "candle_upper_shadow",
    "KUP2": "candle_upper_shadow_of_range",
    "KLOW": "candle_lower_shadow",
    "KLOW2": "candle_lower_shadow_of_range",
    "KSFT": "candle_shift",
    "KSFT2": "candle_shift_of_range",
}
_PRICES = {"OPEN0": "open_to_close", "HIGH0": "high_to_close", "LOW0": "low_to_close", "VWAP0": "vwap_to_close"}
_ROLLING = {
    "ROC": "roc",
    "MA": "mean",
    "STD": "std",
    "BETA": "beta",
    "RSQR": "rsquare",
    "RESI": "residual",
    "MAX": "max",
    "MIN": "min",
    "QTLU": "quantile_80",
    "QTLD": "quantile_20",
    "RANK": "rank",
    "RSV": "range_position",
    "IMAX": "argmax",
    "IMIN": "argmin",
    "IMXD": "argmax_less_argmin",
    "CORR": "corr_price_volume",
    "CORD": "corr_return_volume_change",
    "CNTP": "up_share",
    "CNTN": "down_share",
    "CNTD": "up_less_down",
    "SUMP": "gain_share",
    "SUMN": "loss_share",
    "SUMD": "gain_less_loss",
    "VMA": "volume_mean",
    "VSTD": "volume_std",
    "WVMA": "weighted_volatility",
    "VSUMP": "volume_gain_share",
    "VSUMN": "volume_loss_share",
    "VSUMD": "volume_gain_less_loss",
}
_FIELDS = ("close", "open", "high", "low", "vwap", "volume")

ALPHA158 = {
    **_CANDLES,
    **_PRICES,
    **{f"{alias}{n}": f"rolling_{name}_{n}" for alias, name in _ROLLING.items() for n in WINDOWS},
}
"""pyqlib's name -> column of gold.equities_alpha158."""

ALPHA360 = {f"{field.upper()}{k}": f"{field}_lag_{k}" for field in _FIELDS for k in range(LAGS - 1, -1, -1)}
"""pyqlib's name -> column of gold.equities_alpha360."""

SETS = {"alpha158": ALPHA158, "alpha360": ALPHA360}


def operator(alias: str) -> str:
    """Return the operator that a name belongs to: its letters, without window or lag."""
    return alias if alias in _CANDLES else alias.rstrip("0123456789")


SEGMENTS = {
    "train": ("2008-01-01", "2013-12-31"),
    "valid": ("2014-01-01", "2014-12-31"),
    "test": ("2015-01-01", "2018-12-31"),
}
"""Periods of the model on Alpha158, both ends included."""

PUBLISHED = {
    "colsample_bytree": 0.8879,
    "learning_rate": 0.2,
    "subsample": 0.8789,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
    "max_depth": 8,
    "num_leaves": 210,
}
"""What pyqlib's benchmark gives LightGBM on Alpha158."""

REGIMES = {"stopped": (1000, 50), "fixed": (100, 0)}
"""Rounds at most, and after how many without a better validation loss a fit stops (0: never, and nothing validates).

``stopped`` is pyqlib's own; ``fixed`` shows how near two fits are whose length does not hang on a loss's last digits.
"""
