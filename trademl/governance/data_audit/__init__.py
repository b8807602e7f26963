"""The audit of the data: features, labels, universe and weights judged against the record they were made from.

The audit of splits (:mod:`trademl.governance.audit`) takes labels and features as given. This one does not: it computes
them again, by other means, from the bars as they landed, and looks for features that know the outcome. Each check has
a name, is a row of ``ops.leakage_audit`` with ``split_id`` -1, and forbids registration unless it counts 0.
docs/validation.md, "Audits of the data", lists the checks with what each one catches and what none of them can.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import duckdb

from trademl.clock import Clock, sql_utc, utc_now
from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.history import Past, audit_history, compare_past
from trademl.governance.data_audit.labels import audit_labels
from trademl.governance.data_audit.matrix import Matrix, audit_matrix
from trademl.governance.data_audit.prices import audit_features_and_universe
from trademl.governance.data_audit.record import lay_out
from trademl.governance.data_audit.rows import audit_bars, audit_rows
from trademl.governance.data_audit.scope import (
    Bounds,
    PriceTables,
    Rules,
    Sleeve,
    close_scope,
    open_scope,
    price_tables,
)
from trademl.governance.data_audit.signal import audit_signal
from trademl.governance.data_audit.twins import audit_twins
from trademl.governance.data_audit.weights import audit_regime, audit_weights

__all__ = [
    "Bounds",
    "Matrix",
    "Past",
    "PriceTables",
    "Rules",
    "Sleeve",
    "audit_data",
    "audit_history",
    "audit_matrix",
    "compare_past",
    "price_tables",
]


def audit_data(
    con: duckdb.DuckDBPyConnection,
    sleeve: Sleeve,
    label: str,
    features: Sequence[str],
    *,
    run_id: str,
    prices: PriceTables | None,
    first: date | None = None,
    last: date | None = None,
    excluded: Sequence[date] = (),
    as_of: date | None = None,
    bounds: Bounds | None = None,
    sources: Mapping[str, tuple[str, str]] | None = None,
    now: Clock = utc_now,
) -> list[AuditRow]:
    """Audit the rows of ``label`` between two dates; nothing is raised for a leak, see ``raise_if_leaking``.

    Args:
        con: a connection to the snapshot. Temporary tables are made in it and dropped.
        sleeve: its tables.
        label: the label that is trained on.
        features: the columns that are trained on.
        run_id: written on every row.
        prices: the record that labels, features and universe are recomputed from; None for a sleeve that is not made
            of daily bars, whose rows then show only the checks that need none.
        first, last: decision dates that are trained on; None is as far as the rows go.
        excluded: dates left out of training.
        as_of: the last session of the data; None: the last one with a bar.
        bounds: what no honest feature does.
        sources: table and column of the features that lie in other tables than the sleeve's own feature table. They
            have no second formula: of them rows, twins and correlations with the outcome are judged.
        now: the clock for ``recorded_at``.

    Raises:
        DataGateError: no row has the label in these dates.
    """
    scope = open_scope(
        con,
        sleeve,
        label,
        features,
        prices=prices,
        run_id=run_id,
        recorded_at=sql_utc(now()),
        first=first,
        last=last,
        excluded=excluded,
        sources=sources,
    )
    try:
        found = [*audit_rows(scope, as_of), audit_twins(scope)]
        if prices is not None:
            lay_out(scope, prices)
            found += [
                audit_bars(scope, prices),
                *audit_features_and_universe(scope, prices),
                *audit_labels(scope, prices),
                audit_weights(scope, prices),
                audit_regime(scope, prices),
            ]
        found += audit_signal(scope, bounds or Bounds())
    finally:
        close_scope(con)
    return sorted(found, key=lambda row: row.check_name)
