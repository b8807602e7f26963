"""What shadow mode is in every sleeve."""

import duckdb

from trademl.errors import DataGateError, ModelError
from trademl.sleeves.shadowing import FAILURES, TABLE, reason_of, shadow_rows


def test_rows_name_sleeve_and_entity() -> None:
    """A prediction row becomes a shadow row; nothing else changes, and the original stays."""
    row = {"address": "0xa", "dt": "2025-01-01", "yhat": 1.5}
    assert shadow_rows([row], "traders", "address") == [
        {"sleeve": "traders", "entity": "0xa", "dt": "2025-01-01", "yhat": 1.5}
    ]
    assert row["address"] == "0xa"
    assert TABLE == "preds.shadow"


def test_failures_are_told_in_one_line_and_an_interrupt_is_none() -> None:
    """A refusal says its message without the remedy; an interrupt stops everything."""
    assert reason_of(ModelError("broken", remedy="mend it")) == "broken"
    assert reason_of(KeyError("x")) == "KeyError: 'x'"
    assert issubclass(DataGateError, FAILURES)
    assert issubclass(duckdb.CatalogException, FAILURES)
    assert not issubclass(KeyboardInterrupt, FAILURES)
