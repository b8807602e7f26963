"""Columns by stage and ablation, against the seed's lists written out."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.errors import ConfigError
from trademl.sleeves.events.feature_columns import select_features

TA = [
    "approach_velocity", "approach_bars", "dist_pmh", "dist_session_low", "distance", "distance_signed",
    "sma_200_distance", "sma_slope_short", "mean_reversion_200", "confluence_count", "bars_since_open",
    "is_first_15m", "atr", "level_price_pct", "direction_sign", "attempt_index", "prior_touches",
]  # fmt: skip
STAGE_A_MECHANICS = [
    "fuel_effect", "gamma_exposure", "gamma_pressure", "dealer_pressure", "reversion_pressure", "sweep_detected",
]  # fmt: skip
STAGE_B_ONLY = [
    "barrier_delta_liq", "barrier_delta_liq_trend", "barrier_replenishment_ratio", "wall_ratio", "liquidity_pressure",
    "tape_imbalance", "tape_velocity_trend", "tape_pressure", "net_break_pressure",
]  # fmt: skip
KINDS = ["level_kind_pmh", "level_kind_sma_200"]
IDENTITY = [
    "event_id", "ts_ns", "date", "symbol", "source", "bar_minutes", "level_kind_name", "level_price", "direction",
    "known_at", "has_trades", "has_chain", "close", "atr_price", "level_id",
]  # fmt: skip
COLUMNS = [*IDENTITY, *TA, *KINDS, *STAGE_B_ONLY, *STAGE_A_MECHANICS]


@pytest.mark.parametrize(
    "stage, ablation, expected",
    [
        ("stage_a", "ta", TA),
        ("stage_b", "ta", TA),
        ("stage_a", "mechanics", STAGE_A_MECHANICS),
        ("stage_b", "mechanics", [*STAGE_B_ONLY, *STAGE_A_MECHANICS]),
        ("stage_a", "full", [*TA, *STAGE_A_MECHANICS]),
        ("stage_b", "full", [*TA, *STAGE_B_ONLY, *STAGE_A_MECHANICS]),
    ],
)
def test_stages_and_ablations_are_the_lists_of_the_seed(stage: str, ablation: str, expected: list[str]) -> None:
    """Technical analysis, mechanics or both, in the table's order; stage A without book, tape and trends."""
    chosen = select_features(COLUMNS, stage, ablation)
    assert chosen.numeric == expected
    assert chosen.categorical == KINDS
    assert chosen.columns == [*expected, *KINDS]


def test_tables_of_both_libraries_are_read() -> None:
    """A pandas table, an Arrow table and its schema give what the list of names gives."""
    frame = pd.DataFrame({name: [0.0] for name in COLUMNS})
    table = pa.Table.from_pandas(frame)
    expected = select_features(COLUMNS, "stage_b", "full")
    assert select_features(frame, "stage_b", "full") == expected
    assert select_features(table, "stage_b", "full") == expected
    assert select_features(table.schema, "stage_b", "full") == expected


@given(st.permutations(COLUMNS))
def test_every_column_is_chosen_by_its_name_alone(columns: list[str]) -> None:
    """The order of a table is the order of the list, and what is full is the sum of its parts."""
    full = select_features(columns, "stage_b", "full").numeric
    parts = [select_features(columns, "stage_b", part).numeric for part in ("ta", "mechanics")]
    assert full == [name for name in columns if name in parts[0] or name in parts[1]]
    assert not set(parts[0]) & set(parts[1])
    assert set(select_features(columns, "stage_a", "full").numeric) < set(full)


@pytest.mark.parametrize(
    "stage, ablation", [("stage_c", "full"), ("stage_a", "ta_only"), ("stage_b", "mechanics_only")]
)
def test_other_names_are_refused(stage: str, ablation: str) -> None:
    """The seed warns of `ta_only` and `mechanics_only`: they do not exist."""
    with pytest.raises(ConfigError, match="does not exist"):
        select_features(COLUMNS, stage, ablation)


def test_a_table_without_features_is_refused() -> None:
    """An empty choice is an error, not an empty model."""
    with pytest.raises(ConfigError, match="none of 15 columns"):
        select_features([*IDENTITY, *KINDS], "stage_a", "mechanics")
