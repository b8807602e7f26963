"""Rows that should not be there, and features swapped on the way."""

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from tests.governance.data_audit.small_panel import PRICES, day, panel, scoped
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.rows import audit_bars, audit_rows

TRAINING = "gold.equities_training"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def audited(con: duckdb.DuckDBPyConnection, as_of: date | None = None) -> dict[str, AuditRow]:
    return scoped(con, lambda scope: audit_rows(scope, as_of), prices=None)


def test_repeated_rows_are_counted_and_named(con: duckdb.DuckDBPyConnection) -> None:
    """Three rows of one entity and date are two too many."""
    for _ in range(2):
        con.execute(
            f"insert into {TRAINING} select distinct * from {TRAINING} where symbol = 'S09' and date = date '{day(50)}'"
        )
    row = audited(con)["row_duplicated"]
    assert row.violations == 2
    assert f"S09 {day(50)}" in row.detail


def test_rows_after_the_last_session_are_counted(con: duckdb.DuckDBPyConnection) -> None:
    """A decision, an end or a known time after the last session of the data is from the future."""
    last = day(130)
    expected = con.execute(
        f"select count(*) from {TRAINING} where date > date '{last}' or label_end_date > date '{last}' "
        f"or known_at > timestamp '{last} 20:15'"
    ).fetchall()[0][0]
    assert expected > 0
    assert audited(con, last)["row_after_as_of"].violations == expected
    assert audited(con, day(149))["row_after_as_of"].violations == 0


def test_an_unknown_last_session_is_said(con: duckdb.DuckDBPyConnection) -> None:
    """Without prices and without a date nothing is compared, and the row says so."""
    row = audited(con)["row_after_as_of"]
    assert (row.compared, row.detail) == (0, "the last session of the data is not given")


@pytest.mark.parametrize(
    "change, violations",
    [
        (f"update {TRAINING} set momentum_5d = momentum_5d + 1e-7 where symbol = 'S09' and date = date '{day(50)}'", 1),
        (f"update {TRAINING} set adv_20d_rank = null where symbol = 'S09' and date = date '{day(50)}'", 1),
        (f"delete from gold.equities_features where symbol = 'S09' and date = date '{day(50)}'", 1),
    ],
    ids=["another value", "a missing value", "no source"],
)
def test_features_that_are_not_the_source_s_are_counted(
    con: duckdb.DuckDBPyConnection, change: str, violations: int
) -> None:
    """Bits are compared: a feature of another row, date or version differs."""
    con.execute(change)
    assert audited(con)["feature_differs_from_source"].violations == violations


def test_columns_from_elsewhere_are_named(con: duckdb.DuckDBPyConnection) -> None:
    """A feature that the feature table lacks has nothing to be compared with."""
    con.execute(f"alter table {TRAINING} add column vendor_score float")
    found = scoped(con, lambda scope: audit_rows(scope, None), prices=None, features=("vendor_score",))
    assert found["feature_differs_from_source"].detail.endswith("not in gold.equities_features: vendor_score")


def test_each_bar_needs_a_row_of_features(con: duckdb.DuckDBPyConnection) -> None:
    """A bar that was known at its decision and has no row counts; its symbol is named."""
    con.execute(f"delete from gold.equities_features where symbol = 'S09' and date < date '{day(30)}'")
    row = scoped(con, lambda scope: audit_bars(scope, PRICES))["bar_without_features"]
    # Sessions 4 to 29: the audited dates begin with the first training row.
    assert row.violations == 26
    assert row.detail.endswith("of S09")
