"""Features that know the outcome, and honest ones that do not."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from tests.governance.data_audit.small_panel import BOUNDS, PRICES, panel, scoped
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.scope import Bounds, PriceTables
from trademl.governance.data_audit.signal import audit_signal

TRAINING = "gold.equities_training"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def audited(
    con: duckdb.DuckDBPyConnection, *features: str, prices: PriceTables | None = None, bounds: Bounds = BOUNDS
) -> dict[str, AuditRow]:
    return scoped(con, lambda scope: audit_signal(scope, bounds), prices=prices, features=features or None)


def add(con: duckdb.DuckDBPyConnection, expression: str) -> None:
    """Add the column ``vendor_score``, made from the training row."""
    con.execute(f"alter table {TRAINING} add column vendor_score float")
    con.execute(f"update {TRAINING} set vendor_score = {expression}")


@pytest.mark.parametrize("expression", ["value", "-exp(9 * value) * day(date)", "round(value, 2)"])
def test_the_target_is_known_in_any_disguise(con: duckdb.DuckDBPyConnection, expression: str) -> None:
    """Any function that keeps or turns the order within a date is the target; it is named with its rank IC."""
    add(con, expression)
    row = audited(con, "vendor_score")["feature_is_target"]
    assert row.violations == 1
    assert "vendor_score with the label" in row.detail


def test_the_target_whose_sign_changes_by_date_is_known(con: duckdb.DuckDBPyConnection) -> None:
    """The mean rank IC is near 0, the mean of its size is 1."""
    add(con, "value * (1 - 2 * (day(date) % 2))")
    found = audited(con, "vendor_score")
    assert found["feature_is_target"].violations == 1
    assert found["feature_predicts_too_well"].violations == 0


def test_a_noisy_target_predicts_too_well(con: duckdb.DuckDBPyConnection) -> None:
    """A rank IC of about 0.4 is no copy, and beyond belief; a bound above it would let it pass."""
    draws = np.random.default_rng(2).normal(size=4000)
    con.register("drawn", {"x": draws, "i": np.arange(4000)})
    add(con, "value + 0.1 * (select x from drawn where i = hash(symbol, date) % 4000)")
    found = audited(con, "vendor_score")
    assert found["feature_is_target"].violations == 0
    assert found["feature_predicts_too_well"].violations == 1
    assert audited(con, "vendor_score", bounds=Bounds(min_dates=10, plausible_ic=0.9))[
        "feature_predicts_too_well"
    ].violations == 0  # fmt: skip


def test_tomorrow_shows_against_the_next_session(con: duckdb.DuckDBPyConnection) -> None:
    """A score of tomorrow's return is a copy of no five-session label, but of the next session's."""
    con.execute(
        "create table tomorrow as select symbol, date, ln(lead(close) over w / close) as r from silver.equity_bars "
        "where symbol <> 'S01' window w as (partition by symbol order by session_index)"
    )
    add(
        con,
        "(select r from tomorrow as n where n.symbol = equities_training.symbol and n.date = equities_training.date)",
    )
    assert audited(con, "vendor_score", prices=PRICES)["feature_is_target"].violations == 1
    assert audited(con, "vendor_score")["feature_is_target"].violations == 0


def test_too_few_dates_are_said(con: duckdb.DuckDBPyConnection) -> None:
    """Luck cannot be told from knowledge in 29 labels that do not overlap; copies can."""
    add(con, "value")
    found = audited(con, "vendor_score", bounds=Bounds())
    assert found["feature_is_target"].violations == 1
    assert found["feature_predicts_too_well"].compared == 0
    assert "fewer than 60 dates" in found["feature_predicts_too_well"].detail


def test_a_constant_feature_ranks_nothing(con: duckdb.DuckDBPyConnection) -> None:
    """A calendar feature, the same for all, has no coefficient and no verdict."""
    add(con, "1")
    found = audited(con, "vendor_score")
    assert {check: (row.violations, row.compared) for check, row in found.items()} == {
        "feature_is_target": (0, 0),
        "feature_predicts_too_well": (0, 0),
    }


def test_small_cross_sections_are_not_judged(con: duckdb.DuckDBPyConnection) -> None:
    """Eight symbols rank each other by chance: nothing is read."""
    con.execute(f"delete from {TRAINING} where symbol > 'S07'")
    add(con, "value")
    assert audited(con, "vendor_score")["feature_is_target"].detail == "no feature or no date to measure"
