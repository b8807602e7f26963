"""Out-of-fold predictions as batches."""

from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.training.panels import by_hand, panel
from trademl.lake.batches import latest_sql
from trademl.lake.layout import Layout
from trademl.models.ridge import RidgeConfig
from trademl.schema import BATCHES
from trademl.training.config import ValidationConfig
from trademl.training.cross_validate import CrossValidation, Silent, cross_validate
from trademl.training.dataset import TrainingData
from trademl.training.oof import oof_table, write_oof
from trademl.training.splits import make_splitter

SCORES = np.array([[0.1, 0.2, 0.3, 0.4], [np.nan, 0.6, 0.7, np.nan]])
STAMP = datetime(2026, 3, 2)
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


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """A ridge regression under CPCV, four choose two."""
    splitter = make_splitter(ValidationConfig(folds=4, test_folds=2, embargo=2))
    return cross_validate(panel(), splitter, RidgeConfig(), tmp_path_factory.mktemp("oof"), Silent())


def test_predictions_have_the_columns_of_the_table(validated: CrossValidation) -> None:
    """Every path's row is there once, with its own score and split, in the columns of preds.oof."""
    data = panel()
    table = oof_table("equities", "run-1", data, validated, STAMP)
    assert table.column_names == list(BATCHES["preds.oof"].columns)
    assert table.num_rows == 3 * len(data)
    paths = table["path_id"].to_numpy()
    for path in range(3):
        rows = table.filter(pa.array(paths == path))
        np.testing.assert_array_equal(rows["yhat"].to_numpy(), validated.scores[path])
        np.testing.assert_array_equal(rows["split_id"].to_numpy(), validated.split_of[path])
        np.testing.assert_array_equal(rows["y"].to_numpy(), data.value)
        assert rows["entity"].to_pylist() == [data.entities[code] for code in data.spans.entity]
    assert set(table["run_id"].to_pylist()) == {"run-1"}


def test_rows_that_a_path_does_not_test_are_left_out(validated: CrossValidation) -> None:
    """Walk-forward's first window has no prediction."""
    split_of = validated.split_of.copy()
    split_of[0, :100] = -1
    partly = CrossValidation(validated.scores, split_of, validated.splits, None, 0)
    assert oof_table("equities", "r", panel(), partly, STAMP).num_rows == 3 * len(panel()) - 100
