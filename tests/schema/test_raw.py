"""Raw datasets; tests/architecture/test_warehouse.py compares them with dbt's sources."""

import pytest

from trademl.schema import LANDING_COLUMNS, RAW


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
