"""The audit of training data as a step of a run: it gets the run's own rows, and what it finds stops the run."""

from datetime import datetime
from typing import Any

import pytest

from tests.training.market import small_config
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import LeakageError
from trademl.governance.audit import AuditRow
from trademl.lake.layout import layout_of
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training import data_audit
from trademl.training.data_audit import audit_training_data
from trademl.training.dataset import load_training
from trademl.warehouse.read import read_snapshot


def judged(home: Home) -> list[AuditRow]:
    config = load_section(small_config(home), EquitiesConfig)
    with read_snapshot(home) as snapshot:
        data = load_training(snapshot.con, EQUITIES, config, "fwd_5d", ())
        return audit_training_data(snapshot, EQUITIES, data, (), run_id="run-1")


def with_landed_bars(home: Home) -> None:
    folder = layout_of(home).raw("equity_bars") / "batch"
    folder.mkdir(parents=True)
    (folder / "rows.parquet").touch()


def test_without_landed_bars_there_is_no_row(market: Home) -> None:
    """A snapshot without its record cannot be judged by it, and does not pass as judged."""
    assert judged(market) == []


@pytest.mark.parametrize("violations", [0, 3])
def test_a_violation_stops_the_run(market: Home, monkeypatch: pytest.MonkeyPatch, violations: int) -> None:
    """The audit gets label, features and dates of the run; a count above 0 is a LeakageError that names the check."""
    with_landed_bars(market)
    asked: dict[str, Any] = {}

    def fake(con: object, sleeve: object, label: str, features: object, **given: Any) -> list[AuditRow]:
        asked.update(label=label, features=features, **given)
        return [AuditRow("run-1", -1, "label_end_differs", violations, 100, "late", datetime(2024, 1, 1))]

    monkeypatch.setattr(data_audit, "audit_data", fake)
    monkeypatch.setattr(data_audit, "price_tables", lambda snapshot: "prices")
    if violations:
        with pytest.raises(LeakageError, match="label_end_differs: 3 violations"):
            judged(market)
    else:
        assert [row.check_name for row in judged(market)] == ["label_end_differs"]
    assert asked["label"] == "fwd_5d"
    assert set(asked["features"]) == {"signal_rank", "noise_rank", "noise"}
    assert asked["first"].isoformat() == "2020-01-01"
    assert asked["prices"] == "prices"
