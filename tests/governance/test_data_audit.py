"""The audit of the data as a whole: an honest market passes, planted leaks are refused by name."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.governance.data_audit.small_panel import (
    BOUNDS,
    DELISTED,
    LABEL,
    NOW,
    PRICES,
    SILVER_ONLY,
    SLEEVE,
    connect,
    day,
    feature_names,
    panel,
)
from trademl.errors import DataGateError, LeakageError
from trademl.governance.audit import WHOLE_RUN, AuditRow, raise_if_leaking
from trademl.governance.data_audit import PriceTables, audit_data
from trademl.schema import BATCHES

OF_LABEL = f"label = '{LABEL}'"
WITH_PRICES = {
    "bar_without_features",
    "feature_differs_from_source",
    "feature_is_target",
    "feature_not_point_in_time",
    "feature_predicts_too_well",
    "known_at_before_source",
    "label_differs_from_prices",
    "label_end_differs",
    "outcome_missing",
    "pending_outcome_used",
    "regime_differs",
    "row_after_as_of",
    "row_duplicated",
    "twin_differs_from_cross_section",
    "universe_differs_from_membership",
    "weight_differs",
}
WITHOUT_PRICES = {
    "feature_differs_from_source",
    "feature_is_target",
    "feature_predicts_too_well",
    "row_after_as_of",
    "row_duplicated",
    "twin_differs_from_cross_section",
}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with panel() as database:
        yield database


def audited(con: duckdb.DuckDBPyConnection, prices: PriceTables | None = PRICES) -> list[AuditRow]:
    return audit_data(
        con, SLEEVE, LABEL, feature_names(con), run_id="run-1", prices=prices, bounds=BOUNDS, now=lambda: NOW
    )


@pytest.mark.parametrize(
    "prices, checks",
    [(PRICES, WITH_PRICES), (SILVER_ONLY, WITH_PRICES), (None, WITHOUT_PRICES)],
    ids=["landed versions", "latest versions", "no prices"],
)
def test_a_market_made_by_loops_passes(
    con: duckdb.DuckDBPyConnection, prices: PriceTables | None, checks: set[str]
) -> None:
    """Features, labels and weights of the loop oracle have no violation, and nearly every check has looked at rows."""
    rows = audited(con, prices)
    raise_if_leaking(rows)
    assert {row.check_name for row in rows} == checks
    assert {row.check_name for row in rows if not row.compared} <= {"row_after_as_of"}
    assert all(row.split_id == WHOLE_RUN and row.recorded_at == NOW.replace(tzinfo=None) for row in rows)
    table = BATCHES["ops.leakage_audit"]
    assert all(list(row.as_dict()) == list(table.columns) for row in rows)
    assert len({tuple(row.as_dict()[name] for name in table.grain) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    "plant, check",
    [
        (
            f"update gold.equities_training set value = value + 0.001 where symbol = '{DELISTED}'",
            "label_differs_from_prices",
        ),
        ("insert into gold.equities_training from gold.equities_training where symbol = 'S09'", "row_duplicated"),
        (f"delete from gold.equities_features where symbol = '{DELISTED}'", "bar_without_features"),
        (f"delete from gold.equities_training where symbol = '{DELISTED}'", "outcome_missing"),
        ("update gold.equities_training set sample_weight = 1", "weight_differs"),
    ],
)
def test_a_planted_leak_is_refused_by_name(con: duckdb.DuckDBPyConnection, plant: str, check: str) -> None:
    """The run is refused, and the message names the check."""
    con.execute(plant)
    with pytest.raises(LeakageError, match=check):
        raise_if_leaking(audited(con))


def test_nothing_is_left_behind() -> None:
    """An audit leaves no temporary table, also when an error ends it."""
    with connect() as con:
        con.execute("drop table silver.equity_market")
        with pytest.raises(duckdb.CatalogException):
            audited(con)
        assert con.execute("select count(*) from duckdb_tables() where temporary").fetchall() == [(0,)]


def test_a_label_without_rows_is_an_error(con: duckdb.DuckDBPyConnection) -> None:
    """There is nothing to audit, and the message says which label and dates."""
    with pytest.raises(DataGateError, match="no resolved fwd_20d"):
        audit_data(con, SLEEVE, "fwd_20d", ("momentum_5d",), run_id="run-1", prices=PRICES)


def test_only_the_trained_dates_are_judged(con: duckdb.DuckDBPyConnection) -> None:
    """A leak before the first trained date, or on an excluded one, is not this run's."""
    con.execute(f"update gold.equities_training set value = 9 where date in (date '{day(20)}', date '{day(50)}')")
    rows = audit_data(
        con,
        SLEEVE,
        LABEL,
        ("momentum_5d_rank",),
        run_id="run-1",
        prices=PRICES,
        first=day(30),
        excluded=[day(50)],
        bounds=BOUNDS,
    )
    raise_if_leaking(rows)
    compared = {row.check_name: row.compared for row in rows}
    kept = con.execute(
        f"select count(*) from gold.equities_training where date >= date '{day(30)}' and date <> date '{day(50)}'"
    ).fetchall()[0][0]
    assert compared["row_duplicated"] == kept


def test_every_check_is_explained() -> None:
    """docs/validation.md has a line for each check of the data, and for no other."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "validation.md").read_text(encoding="utf-8")
    section = page.split("## Audits of the data")[1].split("\n## ")[0]
    explained = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
    others = {"past_changed", "matrix_differs_from_gold", "target_differs_from_label", "matrix_weight_differs"}
    assert explained == WITH_PRICES | others
