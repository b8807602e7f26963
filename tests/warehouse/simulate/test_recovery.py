from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from trademl.errors import SnapshotError
from trademl.warehouse.simulate.recovery import measure_recovery

LABEL = "fwd_5d"


@pytest.fixture
def con(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """Four symbols on three dates: the oracle ranks two dates rightly and one upside down, path 1 all upside down."""
    con = duckdb.connect()
    con.execute("create schema gold; create schema preds")
    con.execute("create table gold.equities_labels (symbol varchar, date date, label varchar, value double)")
    con.execute(
        "create table preds.oof (sleeve varchar, entity varchar, dt date, label varchar, run_id varchar,"
        " path_id integer, yhat double, y double, scored_at timestamp)"
    )
    con.execute("create table truth (symbol varchar, date date, signal double)")
    for day in range(3):
        when = date(2020, 1, 1) + timedelta(days=day)
        for rank, symbol in enumerate("ABCD"):
            value = rank / 100 if day < 2 else -rank / 100
            con.execute("insert into truth values (?, ?, ?)", [symbol, when, float(rank)])
            con.execute("insert into gold.equities_labels values (?, ?, ?, ?)", [symbol, when, LABEL, value])
            for path, sign in ((0, 1.0), (1, -1.0)):
                row = ["equities", symbol, when, LABEL, "run", path, sign * value, value, datetime(2021, 1, 1)]
                con.execute("insert into preds.oof values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    con.execute(f"copy truth to '{tmp_path / 'truth.parquet'}'")
    return con


def test_oracle_and_model_are_measured_apart(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """The oracle's daily ICs are 1, 1 and -1: mean 1/3; the paths' are 1 and -1: mean 0, spread sqrt(2)."""
    found = measure_recovery(con, tmp_path / "truth.parquet", LABEL, 5)
    assert found.run_id == "run"
    assert found.oracle_ic == pytest.approx(1 / 3)
    assert found.oracle_ic_on_tested == pytest.approx(1 / 3)
    assert found.model_ic == pytest.approx(0.0)
    assert found.model_spread == pytest.approx(2**0.5)
    assert found.paths == 2
    assert found.share == pytest.approx(0.0)


def test_without_a_run_the_remedy_is_named(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """No out-of-fold predictions of the label is an error that says what to run."""
    with pytest.raises(SnapshotError, match="trademl train"):
        measure_recovery(con, tmp_path / "truth.parquet", "fwd_20d", 20)


def test_a_truth_of_another_market_is_refused(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """A truth that shares no row with the labels cannot be compared."""
    con.execute(f"copy (select * from truth where false) to '{tmp_path / 'other.parquet'}'")
    with pytest.raises(SnapshotError, match="0 labels"):
        measure_recovery(con, tmp_path / "other.parquet", LABEL, 5)
