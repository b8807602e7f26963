"""The tables whose rows Python writes; tests/architecture/test_warehouse.py compares them with dbt's sources."""

import duckdb
import pytest

from trademl.schema import BATCHES, LANDING_COLUMNS, QUARANTINE_COLUMNS, RAW


@pytest.mark.parametrize("name", list(RAW))
def test_a_raw_dataset_is_consistent(name: str) -> None:
    """Key, required columns and defaults are columns of the dataset; no column is both required and defaulted."""
    dataset = RAW[name]
    assert dataset.name == name
    assert set(dataset.key) | set(dataset.required) | set(dataset.defaults) <= set(dataset.columns)
    assert not set(dataset.required) & set(dataset.defaults)


@pytest.mark.parametrize("name", list(RAW))
def test_landing_columns_come_after_the_datasets_own(name: str) -> None:
    """Every raw table ends with the eight columns that ingest adds, none of which a file may provide."""
    columns = list(RAW[name].all_columns)
    assert columns[-8:] == list(LANDING_COLUMNS)
    assert len(columns) == len(RAW[name].columns) + 8


def test_a_share_pays_nothing_and_does_not_split_unless_told() -> None:
    """The defaults of bars are no dividend and a split of one to one."""
    assert RAW["equity_bars"].defaults == {"dividend_amount": 0.0, "split_coefficient": 1.0}


@pytest.mark.parametrize("name", list(BATCHES))
def test_a_batch_table_is_consistent(name: str) -> None:
    """Grain and version are columns of the table, and the version is a timestamp outside the grain."""
    table = BATCHES[name]
    assert table.name == name
    assert set(table.grain) <= set(table.columns)
    assert table.columns[table.latest_by] == "TIMESTAMP"
    assert table.latest_by not in table.grain


def test_predictions_share_their_scores() -> None:
    """Predictions of all sleeves have the same columns after their own entity."""
    tables = [BATCHES[f"preds.{name}"] for name in ("equities", "traders", "events", "options")]
    assert [table.grain[0] for table in tables] == ["ticker", "address", "event_id", "ticker"]
    assert {tuple(list(table.columns.items())[1:]) for table in tables} == {tuple(list(tables[0].columns.items())[1:])}


def test_every_type_is_duckdbs_own_name() -> None:
    """A table with these types describes itself with the same words."""
    used = {kind for table in [*RAW.values(), *BATCHES.values()] for kind in table.columns.values()}
    used |= set(LANDING_COLUMNS.values()) | set(QUARANTINE_COLUMNS.values())
    with duckdb.connect() as con:
        con.execute(f"create table t ({', '.join(f'c{at} {kind}' for at, kind in enumerate(sorted(used)))})")
        assert [row[1] for row in con.execute("describe t").fetchall()] == sorted(used)
