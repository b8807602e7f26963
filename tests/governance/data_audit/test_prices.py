"""Features and universe against the bars as known: what each plant changes is what is counted."""

from collections.abc import Iterator

import duckdb
import pytest

from tests.governance.data_audit.small_panel import (
    CORRECTED,
    DELISTED,
    LEAVING,
    PRICES,
    SILVER_ONLY,
    day,
    frames,
    panel,
    scoped,
)
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.prices import audit_features_and_universe, formulas
from trademl.governance.data_audit.scope import PriceTables

FEATURES = "gold.equities_features"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def audited(con: duckdb.DuckDBPyConnection, prices: PriceTables = PRICES) -> dict[str, AuditRow]:
    return scoped(con, lambda scope: audit_features_and_universe(scope, prices), prices=prices)


def test_every_shipped_feature_has_a_formula(repository: object) -> None:
    """The features that dbt makes of prices are those that the audit can make again; a new one needs a formula here.

    A sector is no price: its columns come from the reference files alone.
    """
    from pathlib import Path

    page = (Path(str(repository)) / "docs" / "features.md").read_text(encoding="utf-8")
    table = page.split("<!-- catalogue: begin")[1].split("<!-- catalogue: end")[0]
    named = {line.split("`")[1] for line in table.splitlines() if line.startswith("| ") and "`" in line}
    assert set(formulas()) == {name for name in named if not name.startswith("sector_is_")}


@pytest.mark.parametrize("feature", ["momentum_5d", "zscore_price_20d", "beta_60d"])
def test_a_feature_one_session_ahead_is_found(con: duckdb.DuckDBPyConnection, feature: str) -> None:
    """Each row that takes the next session's value is counted, and the feature is named."""
    con.execute(
        f"update {FEATURES} as f set {feature} = n.{feature} from {FEATURES} as n, silver.calendar as a, "
        "silver.calendar as b "
        f"where a.date = f.date and b.session_index = a.session_index + 1 and n.date = b.date and n.symbol = f.symbol "
        f"and n.{feature} is not null"
    )
    row = audited(con)["feature_not_point_in_time"]
    known = frames().features[feature].notna().sum()
    assert 0.8 * known < row.violations <= 1.2 * known
    assert f"differing: {feature} in {row.violations}" in row.detail


def test_one_changed_cell_is_one_violation(con: duckdb.DuckDBPyConnection) -> None:
    """Also a value that should be missing counts, and one that is missing."""
    con.execute(f"update {FEATURES} set momentum_5d = 0.5 where symbol = 'S07' and date = date '{day(40)}'")
    con.execute(f"update {FEATURES} set momentum_60d = 0.5 where symbol = 'S07' and date = date '{day(40)}'")
    con.execute(f"update {FEATURES} set gap_1d = null where symbol = 'S08' and date = date '{day(40)}'")
    assert audited(con)["feature_not_point_in_time"].violations == 3


def test_a_corrected_close_used_before_it_was_known_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """Sessions 110 to 112 must use the first close of session 110; with the landed versions the mended one shows."""
    con.execute(
        f"update {FEATURES} as f set momentum_5d = (b.close / e.close - 1) from silver.equity_bars as b, "
        "silver.equity_bars as e "
        f"where f.symbol = '{CORRECTED}' and f.date = date '{day(110)}' and b.symbol = f.symbol and b.date = f.date "
        f"and e.symbol = f.symbol and e.date = date '{day(105)}'"
    )
    row = audited(con)["feature_not_point_in_time"]
    assert row.violations == 1
    assert "momentum_5d in 1" in row.detail
    # Without them nobody can tell what was known, and it is said how many rows are left open.
    silver = audited(con, SILVER_ONLY)["feature_not_point_in_time"]
    assert silver.violations == 0
    assert "rows near late bars not judged" in silver.detail


def test_a_dead_symbol_left_out_is_missing(con: duckdb.DuckDBPyConnection) -> None:
    """Survivorship: the delisted symbol's 96 sessions in the universe are missing, and it is named."""
    con.execute(f"delete from {FEATURES} where symbol = '{DELISTED}'")
    row = audited(con)["universe_differs_from_membership"]
    assert row.violations == 96
    assert DELISTED in row.detail


def test_survivorship_in_silver_shows_in_the_landed_bars(con: duckdb.DuckDBPyConnection) -> None:
    """Deleting the dead from silver and gold alike leaves the landed record to tell."""
    for table in (FEATURES, "silver.equity_bars"):
        con.execute(f"delete from {table} where symbol = '{DELISTED}'")
    assert audited(con)["universe_differs_from_membership"].violations == 96


def test_a_member_of_tomorrow_is_foreign(con: duckdb.DuckDBPyConnection) -> None:
    """A symbol that had left the index counts for each session in which it is taken for a member."""
    con.execute(f"update {FEATURES} set in_universe = true where symbol = '{LEAVING}'")
    row = audited(con)["universe_differs_from_membership"]
    # Sessions 75 to 144, the last one that a training row was decided on.
    assert row.violations == 70
    assert LEAVING in row.detail


def test_the_universe_rules_are_checked(con: duckdb.DuckDBPyConnection) -> None:
    """With a floor above some prices, their rows should not be in the cross-section."""
    from dataclasses import replace

    cheap = con.execute(
        "select count(*) from gold.equities_features as f inner join landed_bars as b using (symbol, date) "
        f"where f.in_universe and b.close < 40 and f.date <= date '{day(144)}' and b.known_at = (select "
        "min(v.known_at) "
        "from landed_bars as v where v.symbol = b.symbol and v.date = b.date)"
    ).fetchall()[0][0]
    dear = replace(PRICES, rules=replace(PRICES.rules, universe_min_price=40.0))
    assert cheap > 0
    assert audited(con, dear)["universe_differs_from_membership"].violations == cheap


def test_known_times_before_the_bar_are_found(con: duckdb.DuckDBPyConnection) -> None:
    """A row that claims to be older than its own bar counts, and one that does not say."""
    for symbol, known in (("S07", "known_at - interval 1 hour"), ("S08", "null")):
        con.execute(
            f"update gold.equities_training set known_at = {known} where symbol = '{symbol}' and date = date "
            f"'{day(40)}'"
        )
    assert audited(con)["known_at_before_source"].violations == 2


def test_features_without_a_formula_are_named(con: duckdb.DuckDBPyConnection) -> None:
    """A column from elsewhere cannot be made again: it is said, and judged by the other checks."""
    con.execute(f"alter table {FEATURES} add column vendor_score float")
    row = scoped(
        con, lambda scope: audit_features_and_universe(scope, PRICES), features=("vendor_score", "momentum_5d_rank")
    )
    assert "1 raw features" in row["feature_not_point_in_time"].detail
    assert "no formula for vendor_score" in row["feature_not_point_in_time"].detail
