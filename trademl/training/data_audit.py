"""The audit of what a run is trained on, before its first fit: rows, features, labels and weights."""

from collections.abc import Sequence
from datetime import date

from trademl.clock import Clock, utc_now
from trademl.governance.audit import AuditRow, raise_if_leaking
from trademl.governance.data_audit import audit_data, price_tables
from trademl.lake.reading import Snapshot
from trademl.training.config import SleeveTables
from trademl.training.dataset import TrainingData

LANDED = "equity_bars"


def audit_training_data(
    snapshot: Snapshot,
    sleeve: SleeveTables,
    data: TrainingData,
    excluded: Sequence[date],
    *,
    run_id: str,
    now: Clock = utc_now,
) -> list[AuditRow]:
    """Judge the run's data against the bars as they landed; return the rows for ``ops.leakage_audit``.

    A snapshot without landed bars, such as a copy that left lake/raw behind, has no record to judge by: there is then
    no row, and the gate, which counts checks, says so. Of a sleeve that is not made of daily bars, rows, features and
    their correlations with the label are judged.

    Raises:
        LeakageError: a check counted a violation.
    """
    if sleeve.daily_bars and not any(snapshot.layout.raw(LANDED).glob("*/rows.parquet")):
        return []
    rows = audit_data(
        snapshot.con,
        sleeve,
        data.label,
        data.feature_names,
        run_id=run_id,
        prices=price_tables(snapshot) if sleeve.daily_bars else None,
        first=data.dates[0].astype(date),
        last=data.dates[-1].astype(date),
        excluded=excluded,
        sources={
            column.name: (column.table, column.column)
            for column in data.columns
            if column.table != sleeve.features_table or sleeve.features_joined
        },
        bounds=sleeve.bounds,
        now=now,
    )
    raise_if_leaking(rows)
    return rows
