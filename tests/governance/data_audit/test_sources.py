"""The audit of features that lie in other tables than the sleeve's own."""

from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from tests.governance.data_audit.small_panel import BOUNDS, LABEL, PRICES, SLEEVE, day, panel
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit import audit_data, audit_matrix
from trademl.governance.data_audit.sources import by_table, with_sources

OTHER = "gold.equities_other"
SOURCES = {"wide": (OTHER, "wide"), "equities_other__adv_20d_rank": (OTHER, "adv_20d_rank")}
FEATURES = ("momentum_5d", *SOURCES)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """The small panel, with a second feature table: a raw column of its own and the twin of a copied one."""
    with panel() as database:
        database.execute(
            f"create table {OTHER} as select symbol, in_universe, adv_20d, adv_20d_rank, "
            "(hash(symbol, date) % 1000)::float as wide, date, known_at from gold.equities_features"
        )
        yield database


def audited(con: duckdb.DuckDBPyConnection, features: tuple[str, ...] = FEATURES) -> dict[str, AuditRow]:
    rows = audit_data(
        con, SLEEVE, LABEL, features, run_id="run-1", prices=PRICES, sources=SOURCES, bounds=BOUNDS,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    return {row.check_name: row for row in rows}


def test_an_honest_table_passes_and_the_note_says_what_was_judged(con: duckdb.DuckDBPyConnection) -> None:
    """Rows, known times, twins and signal of the other table are looked at; the note says that no formula was."""
    found = audited(con)
    assert {name: row.violations for name, row in found.items() if row.violations} == {}
    assert "2 features of" in found["feature_differs_from_source"].detail
    assert f"read from {OTHER}: 0 rows are not there, 0 are there twice, 0 are known" in (
        found["feature_differs_from_source"].detail
    )
    told = found["feature_not_point_in_time"].detail
    assert told.startswith("1 raw features of")
    assert f"no second formula for the 2 features of {OTHER}" in told
    assert found["twin_differs_from_cross_section"].compared > 0
    assert "3 features on" in found["feature_is_target"].detail


def test_without_a_core_feature_there_is_still_a_verdict(con: duckdb.DuckDBPyConnection) -> None:
    """A run on another table alone is judged by its rows, its twins and its signal."""
    found = audited(con, tuple(SOURCES))
    assert {name: row.violations for name, row in found.items() if row.violations} == {}
    assert found["feature_differs_from_source"].compared > 0
    assert found["feature_not_point_in_time"].detail.startswith("no feature of the run can be recomputed; no second")


@pytest.mark.parametrize(
    "change, told",
    [
        (f"delete from {OTHER} where symbol = 'S09' and date > date '{day(100)}'", "rows are not there"),
        (
            f"insert into {OTHER} select * from {OTHER} where symbol = 'S09' and date = date '{day(90)}'",
            "1 are there twice",
        ),
        (f"update {OTHER} set known_at = known_at + interval 2 day where symbol = 'S09'", "are known only after"),
    ],
    ids=["behind", "twice", "late"],
)
def test_rows_of_another_table_are_counted(con: duckdb.DuckDBPyConnection, change: str, told: str) -> None:
    """A table that is behind, that repeats a row, or that knows one only after its decision, is a violation."""
    con.execute(change)
    row = audited(con)["feature_differs_from_source"]
    assert row.violations > 0
    assert told in row.detail


def test_a_feature_of_another_table_that_is_the_target_is_found(con: duckdb.DuckDBPyConnection) -> None:
    """A copy of the label is one wherever it lies."""
    con.execute(
        f"update {OTHER} as o set wide = t.value from gold.equities_training as t "
        f"where t.label = '{LABEL}' and t.symbol = o.symbol and t.date = o.date"
    )
    row = audited(con)["feature_is_target"]
    assert row.violations == 1
    assert "wide with the label" in row.detail


def test_a_twin_of_another_table_is_recomputed(con: duckdb.DuckDBPyConnection) -> None:
    """Over its own raw column and universe."""
    con.execute(f"update {OTHER} set adv_20d_rank = 1 - adv_20d_rank")
    row = audited(con)["twin_differs_from_cross_section"]
    assert row.violations > 0.5 * row.compared
    assert "differing: adv_20d_rank" in row.detail


def test_sector_twins_of_a_table_without_sectors_take_those_of_the_core(con: duckdb.DuckDBPyConnection) -> None:
    """The other table has the z-score within the sector, and only the core table the sector."""
    con.execute(f"alter table {OTHER} add column adv_20d_sn float")
    con.execute(
        f"update {OTHER} as o set adv_20d_sn = f.adv_20d_sn from gold.equities_features as f "
        "where f.symbol = o.symbol and f.date = o.date"
    )
    sources = {"adv_20d_sn": (OTHER, "adv_20d_sn")}
    rows = audit_data(con, SLEEVE, LABEL, ("adv_20d_sn",), run_id="r", prices=None, sources=sources, bounds=BOUNDS)
    (row,) = [one for one in rows if one.check_name == "twin_differs_from_cross_section"]
    assert (row.violations, row.compared > 0) == (0, True)


def test_the_matrix_is_compared_with_the_other_table(con: duckdb.DuckDBPyConnection) -> None:
    """A cell that is not the table's, read again by entity and date, counts."""
    rows = con.execute(
        f"select t.symbol, t.date, t.label_end_date, t.value, o.wide from gold.equities_training t "
        f"join {OTHER} o using (symbol, date) where label = '{LABEL}' and value is not null order by 2, 1"
    ).fetchall()
    names = sorted({row[0] for row in rows})

    class Fitted:
        X = np.array([[row[4]] for row in rows], dtype=np.float32)
        value = target = np.array([row[3] for row in rows])
        weight = np.ones(len(rows))
        dates = np.array([row[1] for row in rows], dtype="datetime64[D]")
        label_end = np.array([row[2] for row in rows], dtype="datetime64[D]")
        entities = tuple(names)
        feature_names = ("wide",)

    codes = np.array([names.index(row[0]) for row in rows])

    def wrong() -> int:
        found = audit_matrix(
            con, SLEEVE, LABEL, Fitted(), codes, target="raw", weight="none", sources=SOURCES, run_id="r"
        )
        return found[0].violations

    assert wrong() == 0
    Fitted.X[3, 0] += 1
    assert wrong() == 1


def test_features_are_sorted_by_table() -> None:
    """Only those that were asked for, in their order; without any, the training table is read as it is."""
    assert by_table(SOURCES, ("equities_other__adv_20d_rank", "momentum_5d")) == {
        OTHER: {"equities_other__adv_20d_rank": "adv_20d_rank"}
    }
    assert with_sources("gold.t", '"symbol"', SOURCES, ("momentum_5d",)) == "(select * from gold.t where true)"
