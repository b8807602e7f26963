"""What the dbt unit test of gold.equities_risk expects: from the oracles and by hand, never from the model's SQL.

    python -m tests.warehouse.risk_unit_cases

writes dbt_project/tests/fixtures/risk_expected.csv. The inputs are those of the unit test itself, which DuckDB makes.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import Any

import duckdb
import numpy as np
import yaml

from tests.oracles import risk_features as risk
from tests.oracles.equities import Series, Version
from tests.oracles.risk_features import Features

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
UNIT_TESTS = PROJECT / "models/gold/equities/gld_equities_risk_unit_tests.yml"
FIXTURE = PROJECT / "tests/fixtures/risk_expected.csv"
DAY = date(2020, 5, 7)
CHOSEN = (
    "yang_zhang_volatility_20d",
    "volatility_ratio_20d_120d",
    "amihud_illiquidity_20d",
    "abnormal_turnover_20d_120d",
    "idiosyncratic_volatility_60d",
    "sector_idiosyncratic_volatility_60d",
)
"""Features with the twins _wz, _gauss and _fn."""

# By hand, from the one row of the state of the market: ln 25 = 3.2189, ln 20, ln 50; 250 values with mean 3.
SHARED: Features = {
    "month_sin": math.sqrt(3) / 2,
    "month_cos": -0.5,
    "session_of_month": 5,
    "sessions_to_month_end": 16,
    "is_turn_of_month": 0,
    "is_before_holiday": 1,
    "is_after_holiday": 0,
    "sessions_to_expiry": 6,
    "sessions_to_quarter_end": 38,
    "vix_level": 25,
    "vix_change_1d": math.log(25 / 20),
    "vix_change_5d": math.log(25 / 50),
    "vix_zscore_252d": (3.218875824868 - 3) / math.sqrt((250 * 2251.6 - 750**2) / (250 * 249)),
    "vix_percentile_252d": 0.8,
    "vix_regime_252d": 2,
    # 50 values with sum 0.01 k and sum of squares 0.004902 k; a third, two thirds and all of 240 are not above.
    "factor_market_return_60d": math.exp(0.01) - 1,
    "factor_market_volatility_60d": math.sqrt(252) * 0.01,
    "factor_market_regime_252d": 0,
    "factor_size_return_60d": math.exp(0.02) - 1,
    "factor_size_volatility_60d": math.sqrt(252 * (50 * 0.009804 - 0.0004) / 2450),
    "factor_size_regime_252d": 1,
    "factor_value_return_60d": math.exp(0.03) - 1,
    "factor_value_volatility_60d": math.sqrt(252 * (50 * 0.014706 - 0.0009) / 2450),
    "factor_value_regime_252d": 2,
    "factor_profitability_return_60d": math.exp(0.04) - 1,
    "factor_profitability_volatility_60d": math.sqrt(252 * (50 * 0.019608 - 0.0016) / 2450),
    # 231 values are too few for a regime, 47 for a window.
    "factor_profitability_regime_252d": None,
    "factor_investment_return_60d": None,
    "factor_investment_volatility_60d": None,
    "factor_investment_regime_252d": None,
}


def inputs() -> dict[str, list[dict[str, Any]]]:
    """The rows of the unit test's inputs, by the model they stand for."""
    document = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))
    found = {}
    with duckdb.connect() as con:
        for given in document["unit_tests"][0]["given"]:
            result = con.execute(given["rows"])
            names = [column[0] for column in result.description or ()]
            found[given["input"][5:-2]] = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return found


def listing(panel: Sequence[Mapping[str, Any]]) -> Series:
    """The oracle's listing that ends with the last row of ``panel``."""
    bars = [
        Version(row["symbol"], row["session_index"], row["session_index"], 0, *_prices(row), row["volume"])
        if row["is_present"]
        else None
        for row in panel
    ]
    return Series(
        sessions=[row["session_index"] for row in panel],
        log_index=[row["log_index"] / 1e12 for row in panel],
        returns=[row["log_return"] / 1e12 for row in panel],
        gaps=[None if row["log_gap"] is None else row["log_gap"] / 1e12 for row in panel],
        present=[row["is_present"] for row in panel],
        bars=bars,
    )


def _prices(row: Mapping[str, Any]) -> list[float]:
    logs = [row["log_open"], row["log_high"], row["log_low"], 0]
    return [row["close"] * math.exp(log / 1e12) for log in logs]


def expected() -> list[dict[str, object]]:
    """Every row that the model must give, in the order of symbol and date."""
    given = inputs()
    market = {row["session_index"]: row["market_return"] / 1e12 for row in given["slv_equity_market"]}
    sectors = {
        (row["sector"], row["session_index"]): row["sector_return"] / 1e12
        for row in given["slv_equity_risk_sectors"]
        if row["members"] >= 2
    }
    rows: list[dict[str, object]] = []
    universe: list[tuple[dict[str, object], dict[str, float], str]] = []
    panel = sorted(given["slv_equity_panel"], key=lambda row: (row["symbol"], row["session_index"]))
    for row in panel:
        if not (row["is_live"] and row["is_present"]):
            continue
        past = [one for one in panel if one["symbol"] == row["symbol"] and one["session_index"] <= row["session_index"]]
        own = {
            one["session_index"]: sectors[one["sector"], one["session_index"]]
            for one in past
            if (one["sector"], one["session_index"]) in sectors
        }
        series = listing(past)
        features = {name: single(value) for name, value in risk.own_features(series, market, own).items()}
        shown: dict[str, object] = {"symbol": row["symbol"], "in_universe": row["in_universe"], **features}
        shown |= {name: single(value) if row["date"] == DAY else None for name, value in SHARED.items()}
        shown["date"] = row["date"]
        rows.append(shown)
        if row["in_universe"]:
            slope = risk.regression(series.returns[-60:], [market[at] for at in series.sessions[-60:]])[0]
            factors = {
                "size": single(math.log(row["dollar_volume_20"] / row["present_20"])),
                "beta": single(slope),
                "momentum": single(math.exp(series.log_index[-1] - series.log_index[-127]) - 1),
            }
            universe.append((shown, {name: float(value or 0) for name, value in factors.items()}, row["sector"]))
    _add_twins(rows, universe)
    return rows


def _add_twins(
    rows: Sequence[dict[str, object]], universe: Sequence[tuple[dict[str, object], dict[str, float], str]]
) -> None:
    """Add to the rows of the universe the twins of their features, and NULLs to the others."""
    shared = {"symbol", "in_universe", "date", *SHARED}
    names = [name for name in rows[0] if name not in shared]
    sectors = [sector for _, _, sector in universe]
    design = np.array([[1.0, *factors.values()] for _, factors, _ in universe])
    for name in names:
        x = [float(str(shown[name])) if shown[name] is not None else math.nan for shown, _, _ in universe]
        values = np.array(x)
        twins = {"dm": _zscore(values), "rank": _ranks(values) / (~np.isnan(values)).sum(), "sn": values.copy()}
        for sector in set(sectors):
            inside = np.array([one == sector for one in sectors])
            twins["sn"][inside] = _zscore(values[inside])
        if name in CHOSEN:
            middle = float(np.nanmedian(values))
            reach = 5 * 1.4826 * float(np.nanmedian(np.abs(values - middle)))
            twins["wz"] = _zscore(np.clip(values, middle - reach, middle + reach))
            places = (_ranks(values) - 0.5) / (~np.isnan(values)).sum()
            twins["gauss"] = np.array([math.nan if math.isnan(p) else NormalDist().inv_cdf(p) for p in places])
            twins["fn"] = np.full(len(values), math.nan)
            whole = ~np.isnan(values)
            errors = values[whole] - design[whole] @ np.linalg.lstsq(design[whole], values[whole], rcond=None)[0]
            twins["fn"][whole] = errors / errors.std(ddof=1)
        for twin, column in twins.items():
            for shown in rows:
                shown[f"{name}_{twin}"] = None
            for (shown, _, _), value in zip(universe, column, strict=True):
                shown[f"{name}_{twin}"] = None if math.isnan(value) else single(float(value))


def _zscore(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    known = values[~np.isnan(values)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return np.where(np.isnan(values), np.nan, (values - known.mean()) / spread if spread else 0.0)


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Average-tie ranks from 1; NaN stays NaN."""
    known = values[~np.isnan(values)]
    return np.array(
        [math.nan if math.isnan(x) else (known < x).sum() + ((known == x).sum() + 1) / 2 for x in values], dtype=float
    )


def single(value: float | None) -> float | None:
    """The nearest FLOAT."""
    return None if value is None else float(np.float32(value))


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as the fixture's text, each number with the nine digits that tell a FLOAT from its neighbours."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            ""
            if value is None
            else f"{value:.9g}"
            if isinstance(value, float)
            else str(value).lower()
            if isinstance(value, bool)
            else value
            for value in row.values()
        )
    return out.getvalue()


if __name__ == "__main__":
    FIXTURE.write_text(as_csv(expected()), encoding="utf-8")
