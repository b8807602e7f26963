"""The matrix that is fitted, compared with the warehouse: nothing may happen to it on the way into memory.

Checks:

    matrix_differs_from_gold   features, labels or label ends that are not the warehouse's, or rows that occur twice:
                               scaling, filling or shuffling fitted over all rows, test rows among them
    target_differs_from_label  targets that are not made from the label over the row's own date
    matrix_weight_differs      sample weights that are not the chosen column's, up to one factor
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, sql_utc, utc_now
from trademl.governance.audit import WHOLE_RUN, AuditRow
from trademl.governance.data_audit.scope import PREFIX, Sleeve
from trademl.governance.data_audit.sources import with_sources
from trademl.lake.names import identifier, quoted

Target = Literal["raw", "demeaned", "rank", "top_bottom"]
CHECKS = ("matrix_differs_from_gold", "target_differs_from_label", "matrix_weight_differs")

_ROWS_AT_MOST = 20_000
_TOLERANCE = 1e-9
_VIEW = PREFIX + "matrix"

# The middle of a row's place in (0, 1) decides about top and bottom.
_DUE: dict[Target, str] = {
    "raw": "value",
    "demeaned": "value - avg(value) over by_date",
    "rank": "(place - (n + 1) / 2) / n",
    "top_bottom": "case when (place - 0.5) / n > 1 - {tail} then 1 when (place - 0.5) / n < {tail} then 0 end",
}


class Matrix(Protocol):
    """What is fitted; :class:`trademl.training.dataset.TrainingData` is one. One element per row."""

    @property
    def X(self) -> NDArray[np.float32]: ...
    @property
    def target(self) -> NDArray[np.float64]: ...
    @property
    def value(self) -> NDArray[np.float64]: ...
    @property
    def weight(self) -> NDArray[np.float64]: ...
    @property
    def dates(self) -> NDArray[np.datetime64]: ...
    @property
    def label_end(self) -> NDArray[np.datetime64]: ...
    @property
    def entities(self) -> tuple[str, ...]: ...
    @property
    def feature_names(self) -> tuple[str, ...]: ...


def audit_matrix(
    con: duckdb.DuckDBPyConnection,
    sleeve: Sleeve,
    label: str,
    matrix: Matrix,
    codes: NDArray[np.int64],
    *,
    target: Target,
    weight: str,
    tail_fraction: float = 0.2,
    sources: Mapping[str, tuple[str, str]] | None = None,
    run_id: str,
    now: Clock = utc_now,
) -> list[AuditRow]:
    """Compare the rows of evenly chosen dates, up to 20,000 of them, with the training table.

    Args:
        con: a connection to the snapshot. One temporary view is made in it and dropped.
        sleeve: its tables.
        label: the run's label.
        matrix: what is fitted.
        codes: entity of each row, a position in ``matrix.entities``.
        target: how targets are made: the configuration's ``target``, or ``top_bottom`` for that task.
        weight: the configuration's ``weight``: a column, or ``none``.
        tail_fraction: of ``top_bottom``.
        sources: table and column of the features that the training table does not have.
        run_id: written on every row.
        now: the clock for ``recorded_at``.
    """
    stamp = sql_utc(now())
    chosen = _chosen(matrix.dates)
    columns: dict[str, Any] = {
        "entity": np.array([matrix.entities[code] for code in codes[chosen]], dtype=object),
        "date": matrix.dates[chosen].astype("datetime64[s]"),
        "label_end": matrix.label_end[chosen].astype("datetime64[s]"),
        "value": matrix.value[chosen],
        "target": matrix.target[chosen],
        "weight": matrix.weight[chosen],
    }
    columns |= {f"x{at}": np.ascontiguousarray(matrix.X[chosen, at]) for at in range(len(matrix.feature_names))}
    con.register(_VIEW, columns)
    try:
        query = _query(sleeve, label, matrix.feature_names, target, weight, tail_fraction, sources or {})
        counted = con.execute(query).fetchall()[0]
    finally:
        con.unregister(_VIEW)
    rows, cells, targets, low, high = (0 if value is None else value for value in counted)
    repeated = len(chosen) - len(set(zip(columns["entity"], columns["date"].tolist(), strict=True)))
    # A weight is the column's times one factor; where either side is missing, low is infinite.
    scaled = int(not (low > 0 and high <= low * (1 + 1e-9))) if len(chosen) else 0
    return [
        AuditRow(run_id, WHOLE_RUN, check, int(violations), len(chosen), detail, stamp)
        for check, violations, detail in (
            (
                CHECKS[0],
                cells + repeated,
                f"{len(chosen)} rows of {len(matrix.dates)} compared, {rows} of them found in {sleeve.training}: "
                f"{cells} rows differ, {repeated} repeat an entity and date",
            ),
            (CHECKS[1], targets, f"{targets} of {len(chosen)} targets are not the {target} label over their own date"),
            (CHECKS[2], scaled, f"weight over {weight} runs from {low:.6g} to {high:.6g}"),
        )
    ]


def _chosen(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the rows of evenly chosen dates, the first and the last among them."""
    days = np.unique(dates)
    wanted = max(2, int(len(days) * _ROWS_AT_MOST / max(len(dates), 1)))
    if wanted < len(days):
        days = days[np.linspace(0, len(days) - 1, wanted).astype(int)]
    return np.flatnonzero(np.isin(dates, days)).astype(np.int64)


def _query(
    sleeve: Sleeve,
    label: str,
    features: Sequence[str],
    target: Target,
    weight: str,
    tail_fraction: float,
    sources: Mapping[str, tuple[str, str]],
) -> str:
    entity = identifier(sleeve.entity)
    source = "1.0::double" if weight == "none" else identifier(weight)
    number = "case when not isnan(matrix.{0}) then matrix.{0} end"
    same = " and ".join(
        [
            "matrix.value = due.value",
            "matrix.label_end::date = due.label_end_date",
            *(
                f"({number.format(f'x{at}')}) is not distinct from due.{identifier(name)}::float"
                for at, name in enumerate(features)
            ),
        ]
    )
    goal = number.format("target")
    chosen = (
        f"label = {quoted(label)} and value is not null and label_end_date is not null "
        f"and date in (select date::date from {_VIEW})"
    )
    return f"""
        with placed as (
            select *,
                rank() over (partition by date order by value)
                    + (count(*) over (partition by date, value) - 1) / 2 as place,
                count(*) over by_date as n
            from {with_sources(sleeve.training, entity, sources, features, chosen)}
            window by_date as (partition by date)
        ),
        due as (
            select *, {_DUE[target].format(tail=repr(tail_fraction))} as goal, {source} as source_weight
            from placed window by_date as (partition by date)
        )
        select
            count(due.{entity}),
            count(*) filter (where due.{entity} is null or not coalesce({same}, false)),
            count(*) filter (where not coalesce(
                abs(({goal}) - due.goal) <= {_TOLERANCE} * (1 + abs(due.goal)), ({goal}) is null and due.goal is null
            )),
            min(coalesce(matrix.weight / due.source_weight, 'infinity'::double)),
            max(coalesce(matrix.weight / due.source_weight, 'infinity'::double))
        from {_VIEW} as matrix
        left join due on matrix.entity = due.{entity} and matrix.date::date = due.date
    """
