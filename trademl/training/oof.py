"""Out-of-fold predictions as rows of ``preds.oof``, one batch per path, for every question that SQL can ask."""

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from trademl.clock import Clock, sql_utc, utc_now
from trademl.lake.batches import write_batch
from trademl.lake.layout import Layout
from trademl.training.cross_validate import CrossValidation
from trademl.training.dataset import TrainingData

if TYPE_CHECKING:
    import pyarrow as pa


def write_oof(
    layout: Layout, sleeve: str, run_id: str, data: TrainingData, validated: CrossValidation, *, now: Clock = utc_now
) -> int:
    """Write every path's predictions and return the number of rows; writing them again changes nothing.

    A path's rows are made when its turn comes, so memory stays at one path.

    Raises:
        SnapshotError: the lake refuses the rows.
    """
    stamp = sql_utc(now())
    written = 0
    for path_id in range(len(validated.scores)):
        table = path_rows(sleeve, run_id, data, validated, path_id, stamp)
        write_batch(layout, "preds.oof", table, now=now)
        written += table.num_rows
    return written


def path_rows(
    sleeve: str, run_id: str, data: TrainingData, validated: CrossValidation, path_id: int, scored_at: datetime
) -> "pa.Table":
    """Return a path's predictions as an Arrow table with the columns of ``preds.oof``.

    ``yhat`` is the raw score, ``y`` the label as gold holds it.
    """
    import pyarrow as pa

    split_of = validated.split_of[path_id]
    rows = np.flatnonzero(split_of >= 0)
    same = np.zeros(len(rows), dtype=np.int8)

    def constant(value: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(same), pa.array([value]))

    names = pa.array(list(data.entities))
    return pa.table(
        {
            "sleeve": constant(sleeve),
            "entity": pa.DictionaryArray.from_arrays(pa.array(data.spans.entity[rows].astype(np.int32)), names),
            "dt": pa.array(data.dates[rows]),
            "horizon": pa.array(np.full(len(rows), data.horizon, dtype=np.int32)),
            "label": constant(data.label),
            "run_id": constant(run_id),
            "path_id": pa.array(np.full(len(rows), path_id, dtype=np.int32)),
            "split_id": pa.array(split_of[rows].astype(np.int32)),
            "yhat": pa.array(validated.scores[path_id, rows]),
            "y": pa.array(data.value[rows]),
            "label_end": pa.array(data.label_end[rows]),
            "scored_at": pa.array(np.full(len(rows), np.datetime64(scored_at, "us"))),
        }
    )


def oof_table(
    sleeve: str, run_id: str, data: TrainingData, validated: CrossValidation, scored_at: datetime
) -> "pa.Table":
    """Return the predictions of all paths as one table, for SQL that is asked before anything is written."""
    import pyarrow as pa

    paths = range(len(validated.scores))
    return pa.concat_tables(path_rows(sleeve, run_id, data, validated, path, scored_at) for path in paths)
