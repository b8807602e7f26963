"""Out-of-fold predictions as rows of ``preds.oof``, one batch per path, for every question that SQL can ask."""

import numpy as np

from trademl.clock import Clock, sql_utc, utc_now
from trademl.lake.batches import write_batch
from trademl.lake.layout import Layout
from trademl.training.cross_validate import CrossValidation
from trademl.training.dataset import TrainingData


def write_oof(
    layout: Layout, sleeve: str, run_id: str, data: TrainingData, validated: CrossValidation, *, now: Clock = utc_now
) -> int:
    """Write every path's predictions and return the number of rows; writing them again changes nothing.

    ``yhat`` is the raw score, ``y`` the label as gold holds it. A path's rows are made when its turn comes, so memory
    stays at one path.

    Raises:
        SnapshotError: the lake refuses the rows.
    """
    import pyarrow as pa

    stamp = sql_utc(now())
    written = 0
    names = pa.array(list(data.entities))
    for path_id, (scores, split_of) in enumerate(zip(validated.scores, validated.split_of, strict=True)):
        rows = np.flatnonzero(split_of >= 0)
        same = np.zeros(len(rows), dtype=np.int8)

        def constant(value: str, same: np.ndarray[tuple[int], np.dtype[np.int8]] = same) -> pa.Array:
            return pa.DictionaryArray.from_arrays(pa.array(same), pa.array([value]))

        table = pa.table(
            {
                "sleeve": constant(sleeve),
                "entity": pa.DictionaryArray.from_arrays(pa.array(data.spans.entity[rows].astype(np.int32)), names),
                "dt": pa.array(data.dates[rows]),
                "horizon": pa.array(np.full(len(rows), data.horizon, dtype=np.int32)),
                "label": constant(data.label),
                "run_id": constant(run_id),
                "path_id": pa.array(np.full(len(rows), path_id, dtype=np.int32)),
                "split_id": pa.array(split_of[rows].astype(np.int32)),
                "yhat": pa.array(scores[rows]),
                "y": pa.array(data.value[rows]),
                "label_end": pa.array(data.label_end[rows]),
                "scored_at": pa.array(np.full(len(rows), np.datetime64(stamp, "us"))),
            }
        )
        write_batch(layout, "preds.oof", table, now=now)
        written += len(rows)
    return written
