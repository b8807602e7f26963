"""What is fitted is what the warehouse says."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from tests.governance.data_audit.small_panel import LABEL, SLEEVE, panel
from trademl.governance.data_audit.matrix import Target, audit_matrix

TRAINING = "gold.equities_training"
NAMES = ("momentum_5d_rank", "adv_20d", "momentum_126d")


@dataclass(frozen=True)
class Loaded:
    """A matrix as training loads it, made with pandas."""

    X: np.ndarray
    target: np.ndarray
    value: np.ndarray
    weight: np.ndarray
    dates: np.ndarray
    label_end: np.ndarray
    entities: tuple[str, ...]
    feature_names: tuple[str, ...]
    codes: np.ndarray


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def loaded(con: duckdb.DuckDBPyConnection, target: Target = "demeaned") -> Loaded:
    frame = con.execute(
        f"select symbol, date::timestamp as date, label_end_date::timestamp as label_end, value, sample_weight, "
        f"{', '.join(NAMES)} from {TRAINING} order by date, symbol"
    ).df()
    by_date = frame.groupby("date")["value"]
    n = by_date.transform("count")
    goals: dict[str, Any] = {
        "raw": frame["value"],
        "demeaned": frame["value"] - by_date.transform("mean"),
        "rank": by_date.rank() / n - (n + 1) / (2 * n),
        "top_bottom": pd.Series(np.nan, index=frame.index)
        .mask((by_date.rank() - 0.5) / n > 0.8, 1.0)
        .mask((by_date.rank() - 0.5) / n < 0.2, 0.0),
    }
    entities = tuple(sorted(frame["symbol"].unique()))
    return Loaded(
        X=np.ascontiguousarray(frame[list(NAMES)].to_numpy(dtype=np.float32)),
        target=goals[target].to_numpy(dtype=float),
        value=frame["value"].to_numpy(),
        weight=(frame["sample_weight"] / frame["sample_weight"].mean()).to_numpy(),
        dates=frame["date"].to_numpy().astype("datetime64[D]"),
        label_end=frame["label_end"].to_numpy().astype("datetime64[D]"),
        entities=entities,
        feature_names=NAMES,
        codes=frame["symbol"].map({name: code for code, name in enumerate(entities)}).to_numpy(dtype=np.int64),
    )


def counts(
    con: duckdb.DuckDBPyConnection, matrix: Loaded, target: Target = "demeaned", weight: str = "sample_weight"
) -> dict[str, int]:
    rows = audit_matrix(
        con, SLEEVE, LABEL, matrix, matrix.codes, target=target, weight=weight, run_id="run-1"
    )  # fmt: skip
    assert all(row.compared == len(matrix.value) for row in rows)
    return {row.check_name: row.violations for row in rows if row.violations}


@pytest.mark.parametrize("target", ["raw", "demeaned", "rank", "top_bottom"])
def test_an_honest_matrix_passes(con: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Every kind of target, made by pandas, is the one that SQL makes."""
    assert counts(con, loaded(con, target), target) == {}


def test_scaling_over_all_rows_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """A matrix standardised with its own mean and deviation has been fitted on test rows."""
    matrix = loaded(con)
    scaled = (matrix.X - np.nanmean(matrix.X, axis=0)) / np.nanstd(matrix.X, axis=0)
    valued = int((~np.isnan(matrix.X)).any(axis=1).sum())
    assert valued > 1500
    assert counts(con, replace(matrix, X=scaled.astype(np.float32))) == {"matrix_differs_from_gold": valued}


def test_a_filled_gap_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """Each row with a missing value that was filled counts."""
    matrix = loaded(con)
    gaps = np.isnan(matrix.X).any(axis=1)
    filled = replace(matrix, X=np.nan_to_num(matrix.X, nan=0.5))
    assert 0 < gaps.sum() < len(gaps)
    assert counts(con, filled) == {"matrix_differs_from_gold": gaps.sum()}


def test_rows_in_another_order_are_found(con: duckdb.DuckDBPyConnection) -> None:
    """Labels that are shifted by a row no longer belong to their features."""
    matrix = loaded(con)
    assert counts(con, replace(matrix, value=np.roll(matrix.value, 1)))["matrix_differs_from_gold"] > 1000


def test_rows_there_twice_are_found(con: duckdb.DuckDBPyConnection) -> None:
    """A copy of a row counts, though it equals the warehouse's."""
    matrix = loaded(con)
    twice = np.append(np.arange(len(matrix.value)), 0)
    copied = {
        name: getattr(matrix, name)[twice] for name in ("X", "target", "value", "weight", "dates", "label_end", "codes")
    }
    assert counts(con, replace(matrix, **copied)) == {"matrix_differs_from_gold": 1}


def test_a_target_over_the_whole_sample_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """Less the mean of all dates instead of its own."""
    matrix = loaded(con)
    found = counts(con, replace(matrix, target=matrix.value - matrix.value.mean()))
    assert found == {"target_differs_from_label": len(matrix.value)}


@pytest.mark.parametrize("changed", ["winners", "missing", "zero"])
def test_other_weights_are_found(con: duckdb.DuckDBPyConnection, changed: str) -> None:
    """Weights that are not the column's times one factor, unknown ones among them."""
    matrix = loaded(con)
    weight = matrix.weight.copy()
    weight[3] = {"winners": 2 * weight[3], "missing": np.nan, "zero": 0.0}[changed]
    assert counts(con, replace(matrix, weight=weight)) == {"matrix_weight_differs": 1}


def test_no_weights_are_equal_weights(con: duckdb.DuckDBPyConnection) -> None:
    """With ``none`` every row counts the same."""
    matrix = loaded(con)
    assert counts(con, replace(matrix, weight=np.ones(len(matrix.value))), weight="none") == {}
    assert counts(con, matrix, weight="none") == {"matrix_weight_differs": 1}
