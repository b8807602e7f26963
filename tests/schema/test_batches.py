"""Tables of batches; tests/architecture/test_warehouse.py compares them with dbt's sources."""

import duckdb
import pytest

from trademl.schema import BATCHES, LANDING_COLUMNS, QUARANTINE_COLUMNS, RAW


@pytest.mark.parametrize("name", list(BATCHES))
def test_a_batch_table_is_consistent(name: str) -> None:
    """Grain and version are columns of the table, and the version is a timestamp outside the grain."""
    table = BATCHES[name]
    assert table.name == name
    assert set(table.grain) <= set(table.columns)
    assert table.columns[table.latest_by] == "TIMESTAMP"
    assert table.latest_by not in table.grain


def test_predictions_share_their_scores() -> None:
    """Predictions of all sleeves have the same columns after their own entity; some have more of their own behind."""
    tables = [BATCHES[f"preds.{name}"] for name in ("equities", "traders", "events", "options")]
    assert [table.grain[0] for table in tables] == ["ticker", "address", "event_id", "ticker"]
    shared = list(tables[0].columns.items())[1:]
    assert {tuple(list(table.columns.items())[1 : len(shared) + 1]) for table in tables} == {tuple(shared)}


def test_every_type_is_duckdbs_own_name() -> None:
    """A table with these types describes itself with the same words."""
    used = {kind for table in [*RAW.values(), *BATCHES.values()] for kind in table.columns.values()}
    used |= set(LANDING_COLUMNS.values()) | set(QUARANTINE_COLUMNS.values())
    with duckdb.connect() as con:
        con.execute(f"create table t ({', '.join(f'c{at} {kind}' for at, kind in enumerate(sorted(used)))})")
        assert [row[1] for row in con.execute("describe t").fetchall()] == sorted(used)
