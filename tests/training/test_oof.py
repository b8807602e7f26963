"""Out-of-fold predictions as batches."""

from pathlib import Path

import duckdb
import numpy as np

from tests.training.panels import by_hand
from trademl.lake.batches import latest_sql
from trademl.lake.layout import Layout
from trademl.schema import BATCHES
from trademl.training.cross_validate import CrossValidation
from trademl.training.dataset import TrainingData
from trademl.training.oof import write_oof

SCORES = np.array([[0.1, 0.2, 0.3, 0.4], [np.nan, 0.6, 0.7, np.nan]])
SPLIT_OF = np.array([[0, 0, 1, 1], [-1, 2, 2, -1]], dtype=np.int16)


def written(folder: Path, scores: np.ndarray = SCORES) -> tuple[Layout, int]:
    data: TrainingData = by_hand(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), [1.0, 2.0, 3.0, 4.0], horizon=5)
    layout = Layout(folder)
    return layout, write_oof(layout, "equities", "run-1", data, CrossValidation(scores, SPLIT_OF, (), None, 0))


def shown(layout: Layout) -> list[tuple[object, ...]]:
    view = latest_sql(BATCHES["preds.oof"], layout.batch_files("preds.oof"))
    with duckdb.connect() as con:
        return con.execute(
            "select entity, dt::varchar, path_id, split_id, yhat, y, label_end::varchar, horizon, label, sleeve, "
            f"run_id "
            f"from ({view}) order by path_id, dt, entity"
        ).fetchall()


def test_every_tested_row_of_every_path_is_a_row(tmp_path: Path) -> None:
    """Rows that a path tests are written with their split, score, label and label end; the others are not."""
    layout, count = written(tmp_path)
    rows = shown(layout)
    assert count == len(rows) == 6
    assert rows[0] == (
        "S00", "2020-01-01", 0, 0, 0.1, 1.0, "2020-01-06", 5, "fwd_5d", "equities", "run-1",
    )  # fmt: skip
    assert [row[:6] for row in rows[4:]] == [
        ("S01", "2020-01-01", 1, 2, 0.6, 2.0),
        ("S00", "2020-01-02", 1, 2, 0.7, 3.0),
    ]


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    """The same predictions again make no file, so a rerun of a killed command doubles nothing."""
    layout, _ = written(tmp_path)
    before = layout.batch_files("preds.oof")
    written(tmp_path)
    assert layout.batch_files("preds.oof") == before
    assert len(before) == 2
